"""Writes the network of any painting at once as two ONNX files.

``frame``  uint8 (1, height, width, 3), ``code`` float32 (1, K) and ``alpha`` float32 (1, 1) to
``painted`` uint8 like the frame: what runs live. ``painting`` uint8 (1, height, width, 3) to
``code``: run once a painting. Codes may be mixed by weights that sum to 1. Pictures are RGB, of any
size. Weights are stored in 16 bits, arithmetic is in 32; the 8-bit variant, whose convolutions
onnxruntime's own quantizer rewrites, keeps statistics and scales in float.
"""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor, nn

from .fusion import EPSILON, Convolution, Doubling, FusionNet
from .networks import MARGIN, Conv, phase_kernel
from .onnx import IR_VERSION, OPSET, Graph, in_onnx_order

_SPATIAL: Final = (2, 3)


def export_fusion(network: FusionNet) -> dict[str, onnx.ModelProto]:
    """The models ``fp32``, which paints, and ``code``, of a network."""
    return {"fp32": _FusionGraph(network).painter(), "code": _FusionGraph(network).encoder()}


def export_fusion_int8(network: FusionNet, feeds: Iterable[dict[str, Any]]) -> onnx.ModelProto:
    """The 8-bit variant of the painter, by what it is fed for calibration: its three inputs."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._feeds = iter(feeds)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._feeds, None)

    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = (Path(folder) / name for name in ("float.onnx", "int8.onnx"))
        onnx.save(_FusionGraph(network, plain=True).painter(), source)
        quantization.quantize_static(
            source,
            target,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        model = onnx.load(target)
    del model.metadata_props[:]
    model.producer_name = "stylize-video"
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantizer's advice, which is logged at the root."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def as_stored(network: FusionNet) -> None:
    """Round all weights to the 16 bits they are stored in, in place."""
    for parameter in network.parameters():
        parameter.data = parameter.data.half().float()


class _FusionGraph(Graph):
    """`plain` keeps the weights of convolutions as they are, where a quantizer looks for them."""

    def __init__(self, network: FusionNet, *, plain: bool = False) -> None:
        super().__init__(cast(Any, network), None)
        self._fusion, self._plain = network, plain

    def painter(self) -> onnx.ModelProto:
        """frame, code, alpha -> painted"""
        height, width = self._sides("frame")
        padded, sides = self._pad("frame", (height, width))
        levels = self._encode(padded)
        moments = [self._moments(level) for level in levels]
        own = self._node("Concat", *(part for pair in moments for part in pair), axis=1)
        code = self._node("Add", own, self._node("Mul", "alpha", self._node("Sub", "code", own)))
        painted = self._decode(self._fuse(levels, moments, code), self._affines(code), sides)
        corner = self._constant(np.array([MARGIN, MARGIN], np.int64))
        end = self._node("Add", corner, self._node("Concat", height, width, axis=0))
        axes = self._constant(np.array([1, 2], np.int64))
        self._node("Slice", painted, corner, end, axes, name="painted")
        picture: list[int | str] = [1, "height", "width", 3]
        size = self._fusion.code_size
        return self._finished(
            [
                helper.make_tensor_value_info("frame", TensorProto.UINT8, picture),
                helper.make_tensor_value_info("code", TensorProto.FLOAT, [1, size]),
                helper.make_tensor_value_info("alpha", TensorProto.FLOAT, [1, 1]),
            ],
            helper.make_tensor_value_info("painted", TensorProto.UINT8, picture),
        )

    def encoder(self) -> onnx.ModelProto:
        """painting -> code"""
        padded, _ = self._pad("painting", self._sides("painting"))
        moments = [self._moments(level) for level in self._encode(padded)]
        self._node("Concat", *(part for pair in moments for part in pair), axis=1, name="code")
        picture: list[int | str] = [1, "height", "width", 3]
        size = self._fusion.code_size
        return self._finished(
            [helper.make_tensor_value_info("painting", TensorProto.UINT8, picture)],
            helper.make_tensor_value_info("code", TensorProto.FLOAT, [1, size]),
        )

    def _finished(self, inputs: list[Any], output: Any) -> onnx.ModelProto:
        graph = helper.make_graph(self._nodes, "stylize_video", inputs, [output], self._constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="stylize-video"
        )
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return model

    # --- parts

    def _encode(self, frame: str) -> list[str]:
        net = self._fusion
        nchw = self._node("Transpose", frame, perm=[0, 3, 1, 2])
        cells = self._node("SpaceToDepth", nchw, blocksize=2)
        x = self._node("Cast", cells, to=TensorProto.FLOAT)  # (1, 12, H/2, W/2) in 0..255
        half = self._node("Relu", self._layer("stem", x))
        quarter = self._node("Relu", self._layer("down4", half))
        assert isinstance(net.down8, Convolution)
        return [half, quarter, self._node("Relu", self._layer("down8", quarter))]

    def _moments(self, x: str) -> tuple[str, str]:
        """Mean and deviation, (1, C) each."""
        axes = self._constant(np.array(_SPATIAL, np.int64))
        mean = self._node("ReduceMean", x, axes, keepdims=1)
        off = self._node("Sub", x, mean)
        variance = self._node("ReduceMean", self._node("Mul", off, off), axes, keepdims=0)
        lifted = self._node("Add", variance, self._constant(np.float32(EPSILON)))
        return self._node("Squeeze", mean, axes), self._node("Sqrt", lifted)

    def _fuse(self, levels: list[str], moments: list[tuple[str, str]], code: str) -> list[str]:
        """AdaIN as one scale and one shift a channel."""
        shape = self._fusion.shape
        sizes = [c for c in (shape.half, shape.quarter, shape.body) for _ in range(2)]
        parts = self._split(code, sizes)
        fused = []
        for level, (mean, deviation), wanted, spread in zip(
            levels, moments, parts[::2], parts[1::2], strict=True
        ):
            scale = self._node("Div", spread, deviation)
            shift = self._node("Sub", wanted, self._node("Mul", mean, scale))
            fused.append(self._affine(level, scale, shift))
        return fused

    def _affines(self, code: str) -> dict[str, tuple[str, str]]:
        affines = self._fusion.affines
        weight = self._half(affines.linear.weight, "affines.weight")
        bias = self._half(affines.linear.bias, "affines.bias")
        both = self._node("Gemm", code, weight, bias, transB=1)
        sizes = list(affines.sizes.values())
        parts = self._split(both, [*sizes, *sizes])
        count = len(sizes)
        pairs = zip(parts[:count], parts[count:], strict=True)
        return dict(zip(affines.sizes, pairs, strict=True))

    def _decode(
        self, levels: list[str], affines: dict[str, tuple[str, str]], sides: tuple[str, str]
    ) -> str:
        half, quarter, body = levels
        net = self._fusion

        def styled(name: str, x: str) -> str:
            return self._affine(x, *affines[name])

        def chain(name: str, layers: nn.ModuleList, x: str) -> str:
            for index in range(0, len(layers), 2):
                first, second = f"{name}.{index}", f"{name}.{index + 1}"
                y = self._node("Relu", styled(first, self._layer(first, x)))
                y = styled(second, self._layer(second, y))
                x = self._node("Relu", self._node("Add", x, y))
            return x

        def doubled(name: str, x: str, factor: int) -> str:
            conv = cast(Doubling, net.get_submodule(name))
            y = self._layer(name, x)
            y = self._depth_to_space(y, sides, factor, conv.weight.shape[0])
            return styled(name, self._node("Transpose", y, perm=[0, 3, 1, 2]))

        x = chain("body", net.body, body)
        x = self._node("Relu", self._node("Add", doubled("up4", x, 8), quarter))
        x = self._node("Relu", styled("merge4", self._layer("merge4", x)))
        x = chain("quarter", net.quarter, x)
        x = self._node("Relu", self._node("Add", doubled("up2", x, 4), half))
        x = self._node("Relu", styled("merge2", self._layer("merge2", x)))
        return self._head(x, net.head.fold(), sides, "picture")

    # --- pieces

    def _layer(self, name: str, x: str) -> str:
        module = self._fusion.get_submodule(name)
        if isinstance(module, Doubling):
            kernel = phase_kernel(module.weight, cast(Tensor, module.polyphase))
            conv = Conv(kernel.detach(), kernel.new_zeros(len(kernel)), 1, 2, "edge")
        else:
            assert isinstance(module, Convolution)
            conv = Conv(module.weight, module.bias, module.stride, 1, module.border)
        return self._raw_conv(name, x, conv)

    def _raw_conv(self, name: str, x: str, conv: Conv) -> str:
        weight, bias = (in_onnx_order(name, conv, _array(v)) for v in (conv.weight, conv.bias))
        if name == "stem":
            weight = weight / np.float32(255)  # the frame is 0..255, the network's values are 0..1
        if self._plain:
            full = np.float32(255 if name == "head" else 1)
            w = self._constant(weight * full, f"{name}.weight")
            b = self._constant(bias * full, f"{name}.bias")
        else:
            w, b = self._half(weight, f"{name}.weight"), self._half(bias, f"{name}.bias")
            if name == "head":
                levels = self._constant(np.float32(255))
                w, b = self._node("Mul", w, levels), self._node("Mul", b, levels)
        if conv.border == "edge":
            x = self._edged(x)
        return self._node(
            "Conv",
            x,
            w,
            b,
            kernel_shape=[int(weight.shape[-1])] * 2,
            strides=[conv.stride] * 2,
            pads=[1 if conv.border == "zero" else 0] * 4,
        )

    def _half(self, value: Tensor | NDArray[Any], name: str) -> str:
        """A constant stored in 16 bits, as float32."""
        array = value if isinstance(value, np.ndarray) else _array(value)
        stored = self._constant(array.astype(np.float16), name)
        return self._node("Cast", stored, to=TensorProto.FLOAT)

    def _affine(self, x: str, scale: str, shift: str) -> str:
        """x * scale + shift with (1, C) each."""
        axes = self._constant(np.array(_SPATIAL, np.int64))
        wide, high = (self._node("Unsqueeze", v, axes) for v in (scale, shift))
        return self._node("Add", self._node("Mul", x, wide), high)

    def _split(self, x: str, sizes: list[int]) -> list[str]:
        """Parts of (1, N) along its second axis."""
        outputs = [self._name("part") for _ in sizes]
        node = helper.make_node(
            "Split", [x, self._constant(np.array(sizes, np.int64))], outputs, axis=1
        )
        self._nodes.append(node)
        return outputs


def _array(tensor: Tensor) -> NDArray[Any]:
    return np.asarray(tensor.detach().cpu().float().numpy())
