"""What a model takes and gives: layout, range, type and size, read from its graph or probed."""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import StyleIncompatible

Layout = Literal["NCHW", "NHWC", "CHW", "HWC"]
Range = Literal["0..255", "0..1", "-1..1"]
RANGES: Final[tuple[Range, ...]] = ("0..255", "0..1", "-1..1")
_SCALE: Final[dict[Range, tuple[float, float]]] = {
    "0..255": (1.0, 0.0),
    "0..1": (1 / 255, 0.0),
    "-1..1": (1 / 127.5, -1.0),
}
_TYPES: Final = {
    "tensor(uint8)": np.uint8,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}


@dataclass(frozen=True)
class Contract:
    """How pixels enter and leave a model. Sizes are None where the model takes any."""

    input_name: str
    output_name: str
    input_layout: Layout
    output_layout: Layout
    dtype: type
    input_range: Range = "0..255"
    output_range: Range = "0..255"
    height: int | None = None
    width: int | None = None

    def feed(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """The input tensor for RGB (H, W, 3) uint8."""
        tensor: NDArray[Any] = pixels
        if self.dtype != np.uint8:
            scale, offset = _SCALE[self.input_range]
            tensor = (pixels * np.float32(scale) + np.float32(offset)).astype(
                self.dtype, copy=False
            )
        if self.input_layout in ("NCHW", "CHW"):
            tensor = tensor.transpose(2, 0, 1)  # (H, W, 3) -> (3, H, W)
        if self.input_layout.startswith("N"):
            tensor = tensor[None]  # -> (1, ...)
        return np.ascontiguousarray(tensor)

    def fetch(self, tensor: NDArray[Any]) -> NDArray[np.uint8]:
        """RGB (H, W, 3) uint8 from the output tensor. Raises ValueError when it holds no
        picture.
        """
        picture = to_hwc(tensor, self.output_layout)
        if picture.dtype == np.uint8:
            return picture
        picture = picture.astype(np.float32, copy=False)
        if not np.isfinite(picture).all():
            raise ValueError("the network put out values that are not numbers")
        scale, offset = _SCALE[self.output_range]
        return np.clip(np.rint((picture - offset) / scale), 0, 255).astype(np.uint8)

    def describe(self) -> str:
        """One line: layouts and ranges."""
        size = f", fixed at {self.width}x{self.height}" if self.width else ""
        return (
            f"{np.dtype(self.dtype).name} {self.input_layout} {self.input_range} in, "
            f"{self.output_layout} {self.output_range} out{size}"
        )


def to_hwc(tensor: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """(H, W, 3) from a tensor of one picture in any layout. Raises ValueError when it is not
    one.
    """
    if layout.startswith("N"):
        if tensor.shape[0] != 1:
            raise ValueError(f"the network put out {tensor.shape[0]} pictures for one")
        tensor = tensor[0]
    if tensor.ndim != 3:
        raise ValueError(f"the network put out a tensor of shape {tensor.shape}, not a picture")
    if layout in ("NCHW", "CHW"):
        tensor = tensor.transpose(1, 2, 0)  # (3, H, W) -> (H, W, 3)
    if tensor.shape[2] != 3:
        raise ValueError(f"the network put out {tensor.shape[2]} channels, not 3")
    return tensor


def read_contract(inputs: list[Any], outputs: list[Any], name: str) -> Contract:
    """The contract by the signature of a session: lists of (name, type, shape) with str or None for
    free sides.

    Raises `StyleIncompatible` unless one picture goes in and one comes out. Ranges are left at
    0..255.
    """
    if len(inputs) != 1:
        raise StyleIncompatible(
            f"{name} is not a network from picture to picture: it has {len(inputs)} inputs "
            f"({', '.join(i.name for i in inputs) or 'none'}), expected 1"
        )
    layout = _layout(inputs[0].shape)
    if layout is None:
        raise StyleIncompatible(
            f"{name} is not a network from picture to picture: its input {inputs[0].name!r} has "
            f"the shape {inputs[0].shape}, expected 3 channels first or last"
        )
    if inputs[0].type not in _TYPES:
        raise StyleIncompatible(
            f"{name} takes {inputs[0].type}: only uint8, float32 and float16 are run"
        )
    pictures = [o for o in outputs if o.type in _TYPES and len(o.shape) in (3, 4)]
    if not pictures:
        raise StyleIncompatible(
            f"{name} is not a network from picture to picture: it puts out none"
        )
    output_layout = _layout(pictures[0].shape) or _unknown_layout(pictures[0].shape, layout)
    if output_layout is None:
        raise StyleIncompatible(
            f"{name} is not a network from picture to picture: its output {pictures[0].name!r} has "
            f"the shape {pictures[0].shape}"
        )
    rows = {"NCHW": (2, 3), "NHWC": (1, 2), "CHW": (1, 2), "HWC": (0, 1)}[layout]
    height, width = (inputs[0].shape[axis] for axis in rows)
    return Contract(
        inputs[0].name,
        pictures[0].name,
        layout,
        output_layout,
        _TYPES[inputs[0].type],
        height=height if isinstance(height, int) and height > 0 else None,
        width=width if isinstance(width, int) and width > 0 else None,
    )


def _layout(shape: list[Any]) -> Layout | None:
    if len(shape) == 4 and shape[1] == 3 and shape[3] != 3:
        return "NCHW"
    if len(shape) == 4 and shape[3] == 3:
        return "NHWC"
    if len(shape) == 3 and shape[0] == 3 and shape[2] != 3:
        return "CHW"
    if len(shape) == 3 and shape[2] == 3:
        return "HWC"
    return None


def _unknown_layout(shape: list[Any], like: Layout) -> Layout | None:
    """Where exporters left every side of the output free, it is taken to be laid out like the
    input.
    """
    if any(isinstance(side, int) and side == 3 for side in shape):
        return None
    free = [side for side in shape[1:] if not isinstance(side, int)]
    if len(free) < len(shape) - 1:
        return None
    return like if len(shape) == len(like) else like[-3:]  # type: ignore[return-value]


def input_range_from_graph(model: Any, input_name: str) -> Range | None:
    """The range a float model wants, by the arithmetic right behind its input; None where there is
    none.

    A division by 255 or 127.5 (or the like multiplication) says that raw 0..255 comes in.
    """
    constants = _scalars(model)
    tensor = input_name
    for _ in range(4):
        users = [node for node in model.graph.node if tensor in node.input]
        if len(users) != 1:
            return None
        node = users[0]
        values = [constants[i] for i in node.input if i in constants]
        if node.op_type in ("Div", "Mul", "Sub") and values:
            value = abs(values[0])
            by_div = node.op_type == "Div" and value >= 64
            by_mul = node.op_type == "Mul" and 0 < value <= 1 / 64
            by_sub = node.op_type == "Sub" and value >= 64
            if by_div or by_mul or by_sub:
                return "0..255"
        if node.op_type not in ("Div", "Mul", "Sub", "Add", "Transpose", "Cast", "Identity"):
            return None
        tensor = node.output[0]
    return None


def output_range_from_graph(model: Any, output_name: str) -> Range | None:
    """The range a float model puts out, by its last arithmetic; None where that says nothing."""
    constants = _scalars(model)
    tensor = output_name
    for _ in range(4):
        node = next((n for n in model.graph.node if tensor in n.output), None)
        if node is None:
            return None
        if node.op_type == "Tanh":
            return "-1..1"
        if node.op_type == "Sigmoid":
            return "0..1"
        values = [constants[i] for i in node.input[1:] if i in constants]
        if node.op_type in ("Clip", "Mul", "Min") and values:
            top = max(values)
            if top >= 64:
                return "0..255"
            if node.op_type == "Clip":
                return "-1..1" if min(values) < 0 else "0..1"
        if node.op_type not in (
            "Transpose",
            "Cast",
            "Identity",
            "Squeeze",
            "Add",
            "Mul",
            "Div",
            "Clip",
        ):
            return None
        tensor = node.input[0]
    return None


def _scalars(model: Any) -> dict[str, float]:
    """First values of the small constants of a graph, by name."""
    from onnx import numpy_helper

    found: dict[str, float] = {}
    for tensor in model.graph.initializer:
        if int(np.prod(tensor.dims or [1])) <= 4:
            array = numpy_helper.to_array(tensor)
            if array.size:
                found[tensor.name] = float(array.reshape(-1)[0])
    for node in model.graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value" and int(np.prod(attribute.t.dims or [1])) <= 4:
                    array = numpy_helper.to_array(attribute.t)
                    if array.size and array.dtype.kind in "fiu":
                        found[node.output[0]] = float(array.reshape(-1)[0])
    return found


def range_of_output(picture: NDArray[np.float32]) -> Range:
    """The range that fits what a network put out for an ordinary picture."""
    low, high = np.percentile(picture, [1, 99])
    if max(abs(low), abs(high)) > 4:
        return "0..255"
    return "-1..1" if low < -0.15 else "0..1"
