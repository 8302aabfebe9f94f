"""Writes a style network as one self-contained ONNX file, in float or in 8 bits.

Input ``frame`` and output ``painted`` are uint8 (1, height, width, 3), RGB, of any size: the graph
itself repeats its borders and pads to its stride, scales,
paints, rounds, clips and crops. Weights are stored as 8-bit integers with a scale for every output
channel in both variants; what differs is the arithmetic. In the 8-bit variant (QDQ: QuantizeLinear
and DequantizeLinear around every operator) runtimes fuse each convolution into one integer kernel.

Depth-to-space is written as a transpose of short runs between channels-last views, which cancels
with the layout that integer kernels want: 48 instead of 70 ms a 720p frame in onnxruntime, and no
slower in OpenVINO, so that one graph serves both.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from .errors import ConversionError
from .networks import (
    MARGIN,
    STEM_RING,
    STRIDE,
    Block,
    Conv,
    ConvNorm,
    Head,
    Shape,
    StyleNet,
    UpConvNorm,
)
from .quantize import FRAME_SCALE, Ranges, quantize_weight

OPSET: Final = 18
IR_VERSION: Final = 9  # what opset 18 came with: older runtimes refuse newer
CARD_KEY: Final = "stylize_video.card"
Output = Literal["picture", "float"]


def export_onnx(
    network: StyleNet, ranges: Ranges | None = None, output: Output = "picture"
) -> onnx.ModelProto:
    """The ONNX model of a folded network: float without `ranges`, 8-bit with them.

    ``output="float"`` leaves out rounding and clipping and puts out float32 in 0..255: for checks.
    """
    graph = Graph(network, ranges)
    return graph.model(output)


def add_card(model: onnx.ModelProto, card: Mapping[str, Any]) -> None:
    """Put a style's card into the metadata of its model."""
    helper.set_model_props(model, {CARD_KEY: json.dumps(card, ensure_ascii=False)})


def network_from_onnx(model: onnx.ModelProto) -> StyleNet:
    """The folded network of a float style of ours, from its weights in the file.

    Raises `ConversionError` for any other model.
    """
    constants = float_constants(model)
    if "head.scale" not in constants:
        raise ConversionError("the model is not a float style of ours: export one from a run")
    network = StyleNet(shape_of(constants, r"\d+\.first"))
    for name, module in list(network.named_modules()):
        if not isinstance(module, ConvNorm | UpConvNorm | Head):
            continue
        weight, bias = _torch_weights(name, constants)
        shuffle = 1 if isinstance(module, ConvNorm) else 2
        parent = network.get_submodule(name.rpartition(".")[0])
        folded = Conv(weight, bias, module.stride, shuffle, module.border)
        setattr(parent, name.rpartition(".")[2], folded)
    return network.eval()


def float_constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """The constants of a model by name; none of one whose activations are in 8 bits."""
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        return {}
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def shape_of(constants: Mapping[str, NDArray[Any]], first: str) -> Shape:
    """The shape of the network that weights are of; `first` is the pattern of what a residual block
    begins with.
    """
    half, quarter, body = (len(constants[f"{name}.weight"]) for name in ("stem", "down4", "down8"))
    quarters, bodies = (
        sum(1 for name in constants if re.fullmatch(rf"{chain}\.{first}\.weight", name))
        for chain in ("quarter", "body")
    )
    return Shape(half, quarter, body, quarters, bodies)


class Graph:
    """Builds the graph node by node; values are passed around by name."""

    def __init__(self, network: StyleNet, ranges: Ranges | None) -> None:
        self._network, self._ranges = network, ranges
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._stored: dict[str, tuple[str, float, int]] = {}  # 8-bit tensors by what reads them
        self._count = 0

    def model(self, output: Output) -> onnx.ModelProto:
        height, width = self._sides("frame")
        padded, sides = self._pad("frame", (height, width))
        painted = self._network_nodes(padded, sides, output)
        corner = self._constant(np.array([MARGIN, MARGIN], np.int64))
        end = self._node("Add", corner, self._node("Concat", height, width, axis=0))
        axes = self._constant(np.array([1, 2], np.int64))
        self._node("Slice", painted, corner, end, axes, name="painted")
        kind = TensorProto.UINT8 if output == "picture" else TensorProto.FLOAT
        shape: list[int | str] = [1, "height", "width", 3]
        graph = helper.make_graph(
            self._nodes,
            "stylize_video",
            [helper.make_tensor_value_info("frame", TensorProto.UINT8, shape)],
            [helper.make_tensor_value_info("painted", kind, shape)],
            self._constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="stylize-video"
        )
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return model

    def _network_nodes(self, frame: str, sides: tuple[str, str], output: Output) -> str:
        net = self._network
        nchw = self._node("Transpose", frame, perm=[0, 3, 1, 2])
        x = self._node(
            "SpaceToDepth", nchw, blocksize=2
        )  # (1, 12, H/2, W/2), channels (i, j, colour)
        if self._ranges is not None:
            x = self._dequantized(x, FRAME_SCALE)
        else:
            x = self._node("Cast", x, to=TensorProto.FLOAT)
        half = self._conv("stem", x, cast(Conv, net.stem), relu=True)
        quarter = self._conv("down4", half, cast(Conv, net.down4), relu=True)
        x = self._conv("down8", quarter, cast(Conv, net.down8), relu=True)
        x = self._blocks("body", x, net.body)
        x = self._up("up4", x, cast(Conv, net.up4), quarter, sides, 8)
        x = self._conv("merge4", x, cast(Conv, net.merge4), relu=True)
        x = self._blocks("quarter", x, net.quarter)
        x = self._up("up2", x, cast(Conv, net.up2), half, sides, 4)
        x = self._conv("merge2", x, cast(Conv, net.merge2), relu=True)
        return self._head(x, cast(Conv, net.head), sides, output)

    # --- layers

    def _conv(self, name: str, x: str, conv: Conv, *, relu: bool) -> str:
        y = self._raw_conv(name, x, conv)
        if relu:
            return self._quantized(f"relu_{name}", self._node("Relu", y))
        return self._quantized(name, y)

    def _raw_conv(self, name: str, x: str, conv: Conv) -> str:
        weight, bias = _array(conv.weight), _array(conv.bias)
        integers, scale = quantize_weight(weight, conv.shuffle**2)
        integers, scale, bias = (in_onnx_order(name, conv, v) for v in (integers, scale, bias))
        stored = self._constant(integers, f"{name}.weight")
        if self._ranges is not None:
            in_scale = self._ranges.input_scale(name)
            zero = self._constant(np.zeros(len(scale), np.int8))
            w = self._node("DequantizeLinear", stored, self._constant(scale), zero, axis=0)
            bias_scale = (in_scale * scale).astype(np.float32)
            steps = np.clip(np.rint(bias / bias_scale), -(2**31), 2**31 - 1).astype(np.int32)
            zero32 = self._constant(np.zeros(len(scale), np.int32))
            stored_bias = self._constant(steps, f"{name}.bias")
            b = self._node(
                "DequantizeLinear", stored_bias, self._constant(bias_scale), zero32, axis=0
            )
        else:
            if name == "stem":
                scale = scale * np.float32(
                    1 / 255
                )  # the frame is 0..255, the network's values are 0..1
            if name == "head":
                scale, bias = scale * np.float32(255), bias * np.float32(255)
            as_float = self._node("Cast", stored, to=TensorProto.FLOAT)
            spread = self._constant(scale[:, None, None, None], f"{name}.scale")
            w = self._node("Mul", as_float, spread)
            b = self._constant(bias, f"{name}.bias")
        kernel = int(weight.shape[-1])
        if conv.border == "edge":
            x = self._edged(x)
        return self._node(
            "Conv",
            x,
            w,
            b,
            kernel_shape=[kernel] * 2,
            strides=[conv.stride] * 2,
            pads=[1 if conv.border == "zero" else 0] * 4,
        )

    def _blocks(self, prefix: str, x: str, blocks: Any) -> str:
        for index, block in enumerate(cast(Sequence[Block], blocks)):
            name = f"{prefix}.{index}"
            y = self._raw_conv(f"{name}.first", x, cast(Conv, block.first))
            y = self._quantized(f"{name}.relu_first", self._node("Relu", y))
            y = self._conv(f"{name}.second", y, cast(Conv, block.second), relu=False)
            x = self._quantized(f"{name}.relu", self._node("Relu", self._node("Add", y, x)))
        return x

    def _up(
        self, name: str, x: str, conv: Conv, skip: str, sides: tuple[str, str], factor: int
    ) -> str:
        """Convolution, depth-to-space, and the skipped activation added."""
        y = self._raw_conv(name, x, conv)
        if self._ranges is not None:
            y = self._quantize_node(name, y)
        y = self._depth_to_space(y, sides, factor, conv.weight.shape[0] // 4)
        y = self._node("Transpose", y, perm=[0, 3, 1, 2])
        if self._ranges is not None:
            y = self._dequantized(y, *self._ranges.of(name))
        return self._quantized(f"relu_{name}", self._node("Relu", self._node("Add", y, skip)))

    def _head(self, x: str, conv: Conv, sides: tuple[str, str], output: Output) -> str:
        y = self._raw_conv("head", x, conv)
        if output == "float":
            if self._ranges is not None:
                y = self._node("Mul", y, self._constant(np.float32(255)))
        elif self._ranges is not None:
            # 8 bits of the picture are its quantization: rounding and clipping come for nothing
            scale, zero = self._constant(np.float32(FRAME_SCALE)), self._constant(np.uint8(0))
            y = self._node("QuantizeLinear", y, scale, zero)
        else:
            low, high = self._constant(np.float32(0)), self._constant(np.float32(255))
            y = self._node(
                "Cast", self._node("Round", self._node("Clip", y, low, high)), to=TensorProto.UINT8
            )
        return self._depth_to_space(y, sides, 2, 3)

    def _depth_to_space(self, x: str, sides: tuple[str, str], factor: int, channels: int) -> str:
        """(1, 4C, H/f, W/f), channels (i, j, c) -> (1, 2H/f, 2W/f, C): rows of 2C values change
        places.
        """
        y = self._node("Transpose", x, perm=[0, 2, 3, 1])
        return self._rows_to_space(y, sides, factor, channels)

    def _rows_to_space(self, y: str, sides: tuple[str, str], factor: int, channels: int) -> str:
        """The same from (1, H/f, W/f, 4C)."""
        low = [self._node("Div", side, self._int(factor)) for side in sides]
        high = [self._node("Mul", side, self._int(2)) for side in low]
        split = self._node("Concat", *low, self._int(2), self._int(2 * channels), axis=0)
        y = self._node("Transpose", self._node("Reshape", y, split), perm=[0, 2, 1, 3])
        joined = self._node("Concat", self._int(1), *high, self._int(channels), axis=0)
        return self._node("Reshape", y, joined)

    def _pad(self, frame: str, sides: tuple[str, str]) -> tuple[str, tuple[str, str]]:
        """The padded frame, and the sides of what is painted of it (see `networks.pad_picture`)."""
        none, ring = self._int(0), self._int(MARGIN + STEM_RING)
        behind, painted = [], []
        for side in sides:
            over = self._node("Mod", side, self._int(STRIDE))
            short = self._node("Mod", self._node("Sub", self._int(STRIDE), over), self._int(STRIDE))
            behind.append(self._node("Add", short, ring))
            whole = self._node("Add", side, short)
            painted.append(self._node("Add", whole, self._int(2 * MARGIN)))
        ends = self._node("Concat", none, ring, ring, none, none, *behind, none, axis=0)
        return self._node("Pad", frame, ends, mode="edge"), (painted[0], painted[1])

    def _edged(self, x: str) -> str:
        """One more row and column on every side, like the last ones; in 8 bits where there are."""
        ends = self._constant(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
        if x not in self._stored:
            return self._node("Pad", x, ends, mode="edge")
        stored, scale, zero = self._stored[x]
        return self._dequantized(self._node("Pad", stored, ends, mode="edge"), scale, zero)

    # --- quantization

    def _quantized(self, name: str, x: str) -> str:
        """The activation `name`, through 8 bits where the graph is 8-bit."""
        if self._ranges is None:
            return x
        return self._dequantized(self._quantize_node(name, x), *self._ranges.of(name))

    def _quantize_node(self, name: str, x: str) -> str:
        assert self._ranges is not None
        scale, zero = self._ranges.of(name)
        return self._node(
            "QuantizeLinear", x, self._constant(np.float32(scale)), self._constant(np.uint8(zero))
        )

    def _dequantized(self, x: str, scale: float, zero: int = 0) -> str:
        y = self._node(
            "DequantizeLinear", x, self._constant(np.float32(scale)), self._constant(np.uint8(zero))
        )
        self._stored[y] = x, scale, zero
        return y

    # --- pieces

    def _sides(self, x: str) -> tuple[str, str]:
        """Height and width of (1, H, W, C), as int64 vectors of one."""
        shape = self._node("Shape", x)
        height = self._node("Slice", shape, self._int(1), self._int(2))
        return height, self._node("Slice", shape, self._int(2), self._int(3))

    def _int(self, value: int) -> str:
        return self._constant(np.array([value], np.int64))

    def _constant(self, value: NDArray[Any] | np.generic, name: str | None = None) -> str:
        name = name or self._name("constant")
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _node(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        output = name or self._name(kind.lower())
        self._nodes.append(
            helper.make_node(kind, list(inputs), [output], name=f"{output}_node", **attributes)
        )
        return output

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"


def in_onnx_order(name: str, conv: Conv, values: NDArray[Any]) -> NDArray[Any]:
    """Kernel, scales or bias of a layer with channels in ONNX's order of sub-pixels.

    torch's pixel shuffle orders channels (colour, i, j), ONNX's space-to-depth and the
    channels-last depth-to-space here order them (i, j, colour).
    """
    if name == "stem" and values.ndim == 4:
        outputs, inputs, height, width = values.shape
        # (O, 3*2*2, k, k) -> (O, 2*2*3, k, k)
        cells = values.reshape(outputs, inputs // 4, 2, 2, height, width)
        values = cells.transpose(0, 2, 3, 1, 4, 5).reshape(values.shape)
    if conv.shuffle == 2:
        values = values[np.arange(len(values)).reshape(-1, 2, 2).transpose(1, 2, 0).reshape(-1)]
    return np.ascontiguousarray(values)


def in_torch_order(name: str, shuffle: int, values: NDArray[Any]) -> NDArray[Any]:
    """The inverse of `in_onnx_order`, for kernels and biases."""
    if name == "stem" and values.ndim == 4:
        outputs, inputs, height, width = values.shape
        # (O, 2*2*3, k, k) -> (O, 3*2*2, k, k)
        cells = values.reshape(outputs, 2, 2, inputs // 4, height, width)
        values = cells.transpose(0, 3, 1, 2, 4, 5).reshape(values.shape)
    if shuffle == 2:
        values = values[np.arange(len(values)).reshape(2, 2, -1).transpose(2, 0, 1).reshape(-1)]
    return np.ascontiguousarray(values)


def _torch_weights(name: str, constants: Mapping[str, NDArray[Any]]) -> tuple[Tensor, Tensor]:
    """Kernel and bias of a layer as torch has them: the inverse of `_weights`."""
    scale = constants[f"{name}.scale"]
    weight = constants[f"{name}.weight"].astype(np.float32) * scale
    bias = constants[f"{name}.bias"].astype(np.float32)
    if name == "stem":
        weight = weight * np.float32(255)
    if name == "head":
        weight, bias = weight / np.float32(255), bias / np.float32(255)
    shuffle = 2 if name in ("up4", "up2", "head") else 1
    weight, bias = (in_torch_order(name, shuffle, v) for v in (weight, bias))
    return torch.from_numpy(weight), torch.from_numpy(bias)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return array
