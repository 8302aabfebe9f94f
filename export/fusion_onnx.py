"""Writes the network of any painting at once as two ONNX files.

``frame``  uint8 (1, height, width, 3), ``code`` float32 (1, K) and ``alpha`` float32 (1, 1) to
``painted`` uint8 like the frame: what runs live. ``painting`` uint8 (1, height, width, 3) to
``code``: run once a painting. Codes may be mixed by weights that sum to 1. Pictures are RGB, of any
size. Weights are stored in 16 bits, those of the body in 8; arithmetic is in 32. In the 8-bit
variant, onnxruntime's own quantizer rewrites the convolutions of the decoder.
"""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor, nn

from . import colours
from ._colours_onnx import ColourGraph
from .fusion import EPSILON, FADE, USUAL, WEIGHT_EPSILON, Convolution, FusionNet, Modulated
from .networks import MARGIN, Conv, Head
from .onnx import IR_VERSION, OPSET, in_onnx_order
from .quantize import on_grid, quantize_weight

_STORED_IN_8_BITS: Final = "body."
_COMPUTED_IN_8_BITS: Final = "body.", "up4.", "merge4.", "quarter.", "up2.", "merge2.", "head."
"""What the names of those weights begin with. The encoder is left in float: what it says of a frame
is what colours and contrasts are made of.
"""
_SPATIAL: Final = 2, 3


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
            nodes_to_exclude=_in_float(source),
            # ranges are averaged over what is fed, not stretched to the rarest of it
            extra_options={"CalibMovingAverage": True},
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        model = onnx.load(target)
    del model.metadata_props[:]
    model.producer_name = "stylize-video"
    return model


def _in_float(model: Path) -> list[str]:
    """The convolutions that the quantizer leaves alone."""
    nodes = onnx.load(model).graph.node
    return [
        n.name
        for n in nodes
        if n.op_type == "Conv" and not n.input[1].startswith(_COMPUTED_IN_8_BITS)
    ]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantizer's advice, which is logged at the root."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@torch.no_grad()
def as_stored(network: FusionNet) -> None:
    """Round all weights to what they are stored in, in place: those of the body to 8 bits with a
    scale for every output, in both variants; the rest to 16 bits.
    """
    for name, parameter in network.named_parameters():
        small = name.startswith(_STORED_IN_8_BITS)
        parameter.copy_(on_grid(parameter) if small else parameter.half().float())


class _FusionGraph(ColourGraph):
    """`plain` keeps the weights of convolutions as they are, where a quantizer looks for them."""

    def __init__(self, network: FusionNet, *, plain: bool = False) -> None:
        super().__init__(cast(Any, network), None)
        self._fusion, self._plain = network, plain

    def painter(self) -> onnx.ModelProto:
        """frame, code, alpha -> painted"""
        height, width = self._sides("frame")
        padded, sides = self._pad("frame", (height, width))
        cells = self._cells(padded)
        levels, own = self._analyse(cells)
        code = self._node("Add", own, self._node("Mul", "alpha", self._node("Sub", "code", own)))
        palette = self._split(code, [colours.SIZE, self._fusion.code_size - colours.SIZE])[0]
        x = self._decode(self._fuse(levels, own, code), self._told(code), sides)
        x = self._faded(cells, self.coloured(x, palette))
        painted = self._rows_to_space(self._as_bytes(x), sides, 2, 3)
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
        self._analyse(self._cells(padded), name="code")
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

    def _cells(self, frame: str) -> str:
        """Cells of 2x2 pixels of a padded frame, (1, H/2 + 2, W/2 + 2, 12) in 0..1."""
        cells = self._space_to_rows(frame)
        bytes_ = self._node("Cast", cells, to=TensorProto.FLOAT)
        return self._node("Mul", bytes_, self._constant(np.float32(1 / 255)))

    def _space_to_rows(self, frame: str) -> str:
        """(1, H, W, 3) -> (1, H/2, W/2, 12), channels (i, j, colour): rows of two pixels change
        places.
        """
        _, width = self._sides(frame)
        half = self._node("Div", width, self._int(2))
        any_, two, six, twelve = (self._int(v) for v in (-1, 2, 6, 12))
        split = self._node("Concat", any_, two, half, six, axis=0)
        y = self._node("Transpose", self._node("Reshape", frame, split), perm=[0, 2, 1, 3])
        joined = self._node("Concat", self._int(1), any_, half, twelve, axis=0)
        return self._node("Reshape", y, joined)

    def _analyse(self, x: str, name: str | None = None) -> tuple[list[str], str]:
        """The features of three levels of a frame's cells, and its code."""
        own = self.colours_of(x)
        x = self._node("Transpose", self.canonical(x, own), perm=[0, 3, 1, 2])
        half = self._node("Relu", self._layer("stem", x))
        quarter = self._node("Relu", self._layer("down4", half))
        levels = [half, quarter, self._node("Relu", self._layer("down8", quarter))]
        moments = [part for level in levels for part in self._moments(level)]
        return levels, self._node("Concat", own, *moments, name=name, axis=1)

    def _moments(self, x: str) -> tuple[str, str]:
        """Mean and deviation, (1, C) each."""
        axes = self._constant(np.array(_SPATIAL, np.int64))
        mean = self._node("ReduceMean", x, axes, keepdims=1)
        off = self._node("Sub", x, mean)
        variance = self._node("ReduceMean", self._node("Mul", off, off), axes, keepdims=0)
        lifted = self._node("Add", variance, self._constant(np.float32(EPSILON)))
        return self._node("Squeeze", mean, axes), self._node("Sqrt", lifted)

    def _fuse(self, levels: list[str], own: str, code: str) -> list[str]:
        """AdaIN as one scale and one shift a channel."""
        shape = self._fusion.shape
        sizes = [c for c in (shape.half, shape.quarter, shape.body) for _ in range(2)]
        had = self._split(own, [colours.SIZE, *sizes])[1:]
        given = self._split(code, [colours.SIZE, *sizes])[1:]
        fused = []
        for level, mean, deviation, wanted, spread in zip(
            levels, had[::2], had[1::2], given[::2], given[1::2], strict=True
        ):
            scale = self._node("Div", spread, deviation)
            shift = self._node("Sub", wanted, self._node("Mul", mean, scale))
            fused.append(self._affine(level, scale, shift))
        return fused

    def _told(self, code: str) -> dict[str, tuple[str, str, str]]:
        """Scales of inputs, and scales and shifts of outputs, by the name of the layer."""
        teller = self._fusion.teller
        off = self._node("Sub", code, self._constant(_array(teller.mean)[None], "teller.mean"))
        spread = self._constant(_array(teller.deviation)[None], "teller.deviation")
        low, high = (self._constant(np.float32(v)) for v in (-USUAL, USUAL))
        usual = self._node("Clip", self._node("Div", off, spread), low, high)
        x = self._node("Relu", self._linear("teller.hidden", usual))
        sizes = [n for parts in teller.sizes.values() for n in parts]
        parts = iter(self._split(self._linear("teller.out", x), sizes))
        told = {}
        for name in teller.sizes:
            taps, gains, shifts = next(parts), next(parts), next(parts)
            module = cast(Modulated, self._fusion.get_submodule(name))
            energies = self._half(_array(module.energies()).T, f"{name}.energies")
            energy = self._node("MatMul", self._node("Mul", taps, taps), energies)
            lifted = self._node("Add", energy, self._constant(np.float32(WEIGHT_EPSILON)))
            told[name] = taps, self._node("Div", gains, self._node("Sqrt", lifted)), shifts
        return told

    def _linear(self, name: str, x: str) -> str:
        layer = self._fusion.get_submodule(name)
        weight, bias = (cast(Tensor, v) for v in (layer.weight, layer.bias))
        stored = self._half(weight, f"{name}.weight"), self._half(bias, f"{name}.bias")
        return self._node("Gemm", x, *stored, transB=1)

    def _decode(
        self,
        levels: list[str],
        told: dict[str, tuple[str, str, str]],
        sides: tuple[str, str],
    ) -> str:
        """The painting in the colours of the common distribution, (1, H/2, W/2, 12)."""
        half, quarter, body = levels
        net = self._fusion

        def modulated(name: str, x: str, factor: int = 0) -> str:
            taps, scale, shift = told[name]
            y = self._layer(name, self._scaled(x, taps))
            if factor:
                channels = len(cast(Modulated, net.get_submodule(name)).weight)
                y = self._depth_to_space(y, sides, factor, channels)
                y = self._node("Transpose", y, perm=[0, 3, 1, 2])
            return self._affine(y, scale, shift)

        def chain(name: str, layers: nn.ModuleList, x: str) -> str:
            for index in range(0, len(layers), 2):
                y = self._node("Relu", modulated(f"{name}.{index}", x))
                y = modulated(f"{name}.{index + 1}", y)
                x = self._node("Relu", self._node("Add", x, y))
            return x

        x = chain("body", net.body, body)
        x = self._node("Relu", self._node("Add", modulated("up4", x, 8), quarter))
        x = self._node("Relu", modulated("merge4", x))
        x = chain("quarter", net.quarter, x)
        x = self._node("Relu", self._node("Add", modulated("up2", x, 4), half))
        x = self._node("Relu", modulated("merge2", x))
        return self._node("Transpose", self._layer("head", x), perm=[0, 2, 3, 1])

    def _faded(self, cells: str, painted: str) -> str:
        """The painting, (1, H/2, W/2, 12), with the photo mixed in for an alpha under `FADE`."""
        share = self._node("Div", "alpha", self._constant(np.float32(FADE)))
        share = self._node("Min", share, self._constant(np.float32(1)))
        photo = self.without_ring(cells)
        more = self._node("Mul", share, self._node("Sub", painted, photo))
        return self._node("Add", photo, more)

    def _as_bytes(self, x: str) -> str:
        """0..1 as uint8."""
        low, high = self._constant(np.float32(0)), self._constant(np.float32(255))
        levels = self._node("Clip", self._node("Mul", x, high), low, high)
        return self._node("Cast", self._node("Round", levels), to=TensorProto.UINT8)

    # --- pieces

    def _layer(self, name: str, x: str) -> str:
        module = self._fusion.get_submodule(name)
        if isinstance(module, Modulated):
            conv = Conv(
                module.kernel().detach(),
                module.weight.new_zeros(0),
                1,
                2 if module.doubling else 1,
                module.border,
            )
        elif isinstance(module, Head):
            conv = module.fold()
        else:
            assert isinstance(module, Convolution)
            conv = Conv(module.weight, module.bias, module.stride, 1, module.border)
        return self._raw_conv(name, x, conv)

    def _raw_conv(self, name: str, x: str, conv: Conv) -> str:
        weight = in_onnx_order(name, conv, _array(conv.weight))
        stored = [self._weight(weight, f"{name}.weight")]
        if len(conv.bias):
            bias = in_onnx_order(name, conv, _array(conv.bias))
            stored.append(self._weight(bias, f"{name}.bias"))
        if conv.border == "edge":
            x = self._edged(x)
        return self._node(
            "Conv",
            x,
            *stored,
            kernel_shape=[int(weight.shape[-1])] * 2,
            strides=[conv.stride] * 2,
            pads=[1 if conv.border == "zero" else 0] * 4,
        )

    def _weight(self, value: NDArray[Any], name: str) -> str:
        """What a convolution multiplies with: the body's weights in 8 bits, the rest in 16."""
        if self._plain and name.startswith(_COMPUTED_IN_8_BITS):
            return self._constant(value, name)
        if not name.startswith(_STORED_IN_8_BITS):
            return self._half(value, name)
        integers, scale = quantize_weight(value)
        as_float = self._node("Cast", self._constant(integers, name), to=TensorProto.FLOAT)
        return self._node(
            "Mul", as_float, self._constant(scale[:, None, None, None], f"{name}.scale")
        )

    def _half(self, value: Tensor | NDArray[Any], name: str) -> str:
        """A constant stored in 16 bits, as float32."""
        array = value if isinstance(value, np.ndarray) else _array(value)
        stored = self._constant(array.astype(np.float16), name)
        return self._node("Cast", stored, to=TensorProto.FLOAT)

    def _affine(self, x: str, scale: str, shift: str) -> str:
        """x * scale + shift with (1, C) each."""
        axes = self._constant(np.array(_SPATIAL, np.int64))
        return self._node("Add", self._scaled(x, scale), self._node("Unsqueeze", shift, axes))

    def _scaled(self, x: str, scale: str) -> str:
        """x * scale, (1, C)."""
        axes = self._constant(np.array(_SPATIAL, np.int64))
        return self._node("Mul", x, self._node("Unsqueeze", scale, axes))


def _array(tensor: Tensor) -> NDArray[Any]:
    return np.asarray(tensor.detach().cpu().float().numpy())
