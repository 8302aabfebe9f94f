"""The colours of a picture in an ONNX graph: what `colours` does in torch."""

import numpy as np
from onnx import TensorProto, helper

from . import colours
from .networks import STEM_RING
from .onnx import Graph


class ColourGraph(Graph):
    """Pictures are rows of four RGB pixels each: cells of 2x2, (i, j, colour)."""

    def colours_of(self, x: str) -> str:
        """Means and factor of the colours of (1, H/2 + 2, W/2 + 2, 12) in 0..1, without the ring of
        cells around it: (1, 9).
        """
        # cells of 2x2 pixels are rows (i, j, colour) here; further ones of 2x2 of them
        mixed = np.kron(np.full((1, 4), 0.25), np.array(colours.AXES)).astype(np.float32)
        x = self._node("MatMul", self.without_ring(x), self._constant(mixed.T.copy()))
        x = self._node("Transpose", x, perm=[0, 3, 1, 2])  # (1, 3, H/2, W/2)
        x = self._node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
        along = self._node("Reshape", x, self._constant(np.array([3, -1], np.int64)))  # (3, N)
        second = self._constant(np.array([1], np.int64))
        mean = self._node("ReduceMean", along, second, keepdims=1)
        off = self._node("Sub", along, mean)
        count = self._node("Cast", self._node("Shape", along, start=1), to=TensorProto.FLOAT)
        products = self._node("MatMul", off, self._node("Transpose", off, perm=[1, 0]))
        lift = self._constant(np.diag(np.square(colours.FLOORS)).astype(np.float32))
        covariance = self._node("Add", self._node("Div", products, count), lift)
        flat = self._node("Reshape", covariance, self._constant(np.array([1, 9], np.int64)))
        c11, _, _, c21, c22, _, c31, c32, c33 = self._split(flat, [1] * 9)
        l11 = self._node("Sqrt", c11)
        l21, l31 = self._node("Div", c21, l11), self._node("Div", c31, l11)
        least = self._constant(np.full((1, 1), colours.LEAST, np.float32))
        l22 = self._node("Sqrt", self._node("Max", self._less(c22, l21, l21), least))
        l32 = self._node("Div", self._less(c32, l31, l21), l22)
        rest = self._less(self._less(c33, l31, l31), l32, l32)
        l33 = self._node("Sqrt", self._node("Max", rest, least))
        means = self._node("Transpose", mean, perm=[1, 0])
        return self._node("Concat", means, l11, l21, l22, l31, l32, l33, axis=1)

    def without_ring(self, x: str) -> str:
        """(1, H/2 + 2, W/2 + 2, 12) without the cells around it, which only the stem reads."""
        ring = STEM_RING // 2
        bounds = (self._constant(np.array([v, v], np.int64)) for v in (ring, -ring))
        return self._node("Slice", x, *bounds, self._constant(np.array([1, 2], np.int64)))

    def _less(self, x: str, a: str, b: str) -> str:
        """x - a * b"""
        return self._node("Sub", x, self._node("Mul", a, b))

    def canonical(self, x: str, own: str) -> str:
        """As `colours.canonical`, for rows of four RGB pixels, (1, h, w, 12)."""
        means, l11, l21, l22, l31, l32, l33 = self._split(own, [3, *[1] * 6])
        one, zero = (self._constant(np.full((1, 1), v, np.float32)) for v in (1, 0))
        i11, i22, i33 = (self._node("Div", one, v) for v in (l11, l22, l33))
        minus21 = self._node("Neg", self._node("Mul", self._node("Mul", l21, i11), i22))
        minus32 = self._node("Neg", self._node("Mul", self._node("Mul", l32, i22), i33))
        i31 = self._node("Sub", self._node("Mul", l21, l32), self._node("Mul", l31, l22))
        for factor in (i11, i22, i33):
            i31 = self._node("Mul", i31, factor)
        inverse = self._matrix(i11, zero, zero, minus21, i22, zero, i31, minus32, i33)
        matrix, back = self._on_rgb(inverse, colours.SPREAD, means)
        middle = self._constant(np.full((1, 3), colours.MIDDLE, np.float32))
        return self._mapped(
            x, matrix, self._node("Sub", middle, self._node("MatMul", back, matrix))
        )

    def coloured(self, x: str, own: str) -> str:
        """As `colours.coloured`, for rows of four RGB pixels, (1, h, w, 12)."""
        means, l11, l21, l22, l31, l32, l33 = self._split(own, [3, *[1] * 6])
        zero = self._constant(np.zeros((1, 1), np.float32))
        lower = self._matrix(l11, zero, zero, l21, l22, zero, l31, l32, l33)
        matrix, back = self._on_rgb(lower, 1 / colours.SPREAD, means)
        middle = self._constant(np.full((1, 3), colours.MIDDLE, np.float32))
        return self._mapped(
            x, matrix, self._node("Sub", back, self._node("MatMul", middle, matrix))
        )

    def _on_rgb(self, matrix: str, factor: float, means: str) -> tuple[str, str]:
        """A matrix on the axes, times a factor, as one that rows of RGB are multiplied with; means
        along the axes as RGB. (3, 3) and (1, 3)
        """
        axes = np.array(colours.AXES, np.float32)
        turned = self._node("MatMul", matrix, self._constant(np.float32(factor) * axes))
        stored = self._constant(axes)
        transposed = self._node("Transpose", turned, perm=[1, 0])
        return self._node("MatMul", transposed, stored), self._node("MatMul", means, stored)

    def _matrix(self, *entries: str) -> str:
        """Nine (1, 1) as (3, 3)."""
        row = self._node("Concat", *entries, axis=1)
        return self._node("Reshape", row, self._constant(np.array([3, 3], np.int64)))

    def _mapped(self, x: str, matrix: str, shift: str) -> str:
        """colour @ matrix + shift for each of the four pixels of a row, (1, h, w, 12)."""
        four = self._constant(np.array([4, 4], np.int64))
        apart = self._constant(np.kron(np.eye(4), np.ones((3, 3))).astype(np.float32))
        wide = self._node("Mul", self._node("Tile", matrix, four), apart)
        along = self._node("Tile", shift, self._constant(np.array([1, 4], np.int64)))
        return self._node("Add", self._node("MatMul", x, wide), along)

    def _split(self, x: str, sizes: list[int]) -> list[str]:
        """Parts of (1, N) along its second axis."""
        outputs = [self._name("part") for _ in sizes]
        node = helper.make_node(
            "Split", [x, self._constant(np.array(sizes, np.int64))], outputs, axis=1
        )
        self._nodes.append(node)
        return outputs
