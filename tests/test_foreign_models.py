"""The models of other people's exporters: run in whatever form they are, or refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from engine_tools import ENGINES, paint, picture
from media import model_bytes
from onnx import TensorProto, helper, numpy_helper

from stylize_video.realtime import EngineRequest, find_style, load_engine
from stylize_video.realtime.errors import (
    InferenceError,
    StyleCorrupt,
    StyleIncompatible,
    StylizeError,
)

Save = Callable[[bytes], Path]
RANGES = ["0..255", "0..1", "-1..1"]


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(content: bytes) -> Path:
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        return path

    return write


def inverting(
    layout: str,
    value_range: str,
    *,
    end_layout: str | None = None,
    size: tuple[int | str, int | str] = ("h", "w"),
    batch: bool = True,
    telling: bool = True,
    old_style: bool = False,
) -> bytes:
    """A network that inverts, in any layout and range, as exporters write them.

    With `telling`, its last step is a clip to its range, as real networks have; without, nothing
    in the graph says what the range is. `old_style` lists the weights among the inputs (IR 3).
    """
    high, wide = size
    shapes = {"NCHW": [1, 3, high, wide], "NHWC": [1, high, wide, 3]}
    top = {"0..255": 255.0, "0..1": 1.0, "-1..1": 0.0}[value_range]
    constants = [
        numpy_helper.from_array(np.float32([-1.0]), "factor"),
        numpy_helper.from_array(np.float32([top]), "top"),
    ]
    nodes = [
        helper.make_node("Mul", ["image", "factor"], ["scaled"]),
        helper.make_node("Add", ["scaled", "top"], ["inverted"]),
    ]
    last = "inverted"
    if telling:
        limits = {"0..255": (0, 255), "0..1": (0, 1), "-1..1": (-1, 1)}[value_range]
        for name, value in zip(("low", "high"), limits, strict=True):
            constants.append(numpy_helper.from_array(np.float32(value), name))
        nodes.append(helper.make_node("Clip", [last, "low", "high"], ["clipped"]))
        last = "clipped"
    end = end_layout or layout
    if end != layout:
        order = [0, 2, 3, 1] if end == "NHWC" else [0, 3, 1, 2]
        nodes.append(helper.make_node("Transpose", [last], ["turned"], perm=order))
        last = "turned"
    shape: list[Any] = shapes[end]
    if not batch:
        constants.append(numpy_helper.from_array(np.array([0], np.int64), "axes"))
        nodes.append(helper.make_node("Squeeze", [last, "axes"], ["squeezed"]))
        last, shape = "squeezed", shape[1:]
    nodes[-1].output[0] = "painted"
    more = []
    if old_style:
        more = [helper.make_tensor_value_info(c.name, c.data_type, list(c.dims)) for c in constants]
    return model_bytes(
        nodes,
        ("image", TensorProto.FLOAT, shapes[layout]),
        ("painted", TensorProto.FLOAT, shape),
        constants,
        more,
    )


# --- forms


@pytest.mark.parametrize("telling", [True, False], ids=["telling", "silent"])
@pytest.mark.parametrize("value_range", RANGES)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_layouts_and_ranges_are_found(
    layout: str, value_range: str, telling: bool, engine_name: str, save: Save
) -> None:
    path = save(inverting(layout, value_range, telling=telling))
    painted = paint(path, picture(), engine_name)
    assert np.abs(painted.astype(int) - (255 - picture())).max() <= 1


@pytest.mark.parametrize("value_range", RANGES)
def test_ranges_can_be_given(value_range: Any, engine_name: str, save: Save) -> None:
    path = save(inverting("NCHW", value_range, telling=False))
    painted = paint(path, picture(), engine_name, ranges=(value_range, value_range))
    assert np.abs(painted.astype(int) - (255 - picture())).max() <= 1


@pytest.mark.parametrize(("layout", "end"), [("NCHW", "NHWC"), ("NHWC", "NCHW")])
@pytest.mark.parametrize("batch", [True, False], ids=["batch", "no-batch"])
def test_output_layouts_may_differ(
    layout: str, end: str, batch: bool, engine_name: str, save: Save
) -> None:
    path = save(inverting(layout, "0..1", end_layout=end, batch=batch))
    painted = paint(path, picture(), engine_name)
    assert np.abs(painted.astype(int) - (255 - picture())).max() <= 1


def test_weights_may_be_listed_among_the_inputs(engine_name: str, save: Save) -> None:
    path = save(inverting("NCHW", "0..255", old_style=True))
    painted = paint(path, picture(), engine_name)
    assert np.abs(painted.astype(int) - (255 - picture())).max() <= 1


def test_how_a_model_is_run_is_said(save: Save) -> None:
    path = save(inverting("NCHW", "0..255"))
    engine = load_engine(find_style(str(path)), EngineRequest("cpu", threads=1))
    (notice,) = engine.notices
    assert "float32 NCHW 0..255 in, NCHW 0..255 out" in notice
    assert "--model-range" in notice
    engine.close()


@pytest.mark.parametrize("fit", ["resize", "tile"])
def test_models_of_a_fixed_size(fit: Any, engine_name: str, save: Save) -> None:
    path = save(inverting("NCHW", "0..255", size=(32, 48)))
    smooth = np.zeros((90, 130, 3), np.uint8)
    smooth[:] = np.linspace(20, 230, 130).astype(np.uint8)[None, :, None]
    style = find_style(str(path))
    engine = load_engine(style, EngineRequest(engine_name, threads=1, fit=fit))
    painted = engine.paint(smooth)
    said = " ".join(engine.notices)
    engine.close()
    assert painted.shape == smooth.shape
    assert np.abs(painted.astype(int) - (255 - smooth)).max() <= (6 if fit == "resize" else 1)
    assert "48x32 only" in said
    assert {"resize": "scaled to it", "tile": "overlapping tiles"}[fit] in said


def test_models_that_need_multiples_are_padded(engine_name: str, save: Save) -> None:
    """Stride 4 down and up, as Johnson's: off the stride it puts out another size."""
    ones = np.zeros((3, 3, 4, 4), np.float32)
    for channel in range(3):
        ones[channel, channel] = 1 / 16
    back = ones * 16
    nodes = [
        helper.make_node("Conv", ["image", "down"], ["low"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node(
            "ConvTranspose", ["low", "up"], ["painted"], kernel_shape=[4, 4], strides=[4, 4]
        ),
    ]
    content = model_bytes(
        nodes,
        ("image", TensorProto.FLOAT, [1, 3, "h", "w"]),
        ("painted", TensorProto.FLOAT, [1, 3, "h2", "w2"]),
        [numpy_helper.from_array(ones, "down"), numpy_helper.from_array(back, "up")],
    )
    path = save(content)
    grey = np.full((34, 50, 3), 77, np.uint8)
    style = find_style(str(path))
    engine = load_engine(style, EngineRequest(engine_name, threads=1, ranges=("0..255",) * 2))  # type: ignore[arg-type]
    assert np.abs(engine.paint(grey).astype(int) - 77).max() <= 1
    assert any("padded to multiples of 4" in n for n in engine.notices)
    engine.close()


def test_half_precision_models_run(engine_name: str, save: Save) -> None:
    content = model_bytes(
        [helper.make_node("Identity", ["image"], ["painted"])],
        ("image", TensorProto.FLOAT16, [1, 3, "h", "w"]),
        ("painted", TensorProto.FLOAT16, [1, 3, "h", "w"]),
    )
    painted = paint(save(content), picture(), engine_name)
    assert np.abs(painted.astype(int) - picture()).max() <= 1


# --- refusals


def refused(content: bytes, error: type[StylizeError], said: str, save: Save) -> None:
    with pytest.raises(error, match=said) as caught:
        load_engine(find_style(str(save(content))), EngineRequest("cpu", threads=1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello there", b"\x08\x07" + b"\x00" * 100])
def test_what_is_no_model(content: bytes, save: Save) -> None:
    refused(content, StyleCorrupt, "is not an ONNX model", save)


def test_a_truncated_model(save: Save, styles: list[str]) -> None:
    whole = find_style(styles[0]).file("fp32").path.read_bytes()
    refused(whole[: len(whole) // 2], StyleCorrupt, "is not an ONNX model", save)


def float_model(
    entry: list[Any], end: list[Any], kind: str = "Identity", **attributes: Any
) -> bytes:
    return model_bytes(
        [helper.make_node(kind, ["a"], ["b"], **attributes)],
        ("a", TensorProto.FLOAT, entry),
        ("b", TensorProto.FLOAT, end),
    )


def one_channel() -> bytes:
    weight = numpy_helper.from_array(np.ones((1, 3, 1, 1), np.float32), "weight")
    return model_bytes(
        [helper.make_node("Conv", ["a", "weight"], ["b"])],
        ("a", TensorProto.FLOAT, [1, 3, "h", "w"]),
        ("b", TensorProto.FLOAT, [1, 1, "h", "w"]),
        [weight],
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (float_model([1, 1, "h", "w"], [1, 1, "h", "w"]), "expected 3 channels"),
        (float_model([1, 10], [1, 10]), "expected 3 channels"),
        (
            float_model([1, 3, 8, 8], [1, 192], "Flatten"),
            "it puts out none",
        ),
        (one_channel(), "its output 'b' has the shape"),
    ],
)
def test_networks_that_are_not_from_picture_to_picture(
    content: bytes, said: str, save: Save
) -> None:
    with pytest.raises(StyleIncompatible, match=said):
        load_engine(find_style(str(save(content))), EngineRequest("cpu", threads=1))


def test_networks_with_several_inputs(save: Save) -> None:
    content = model_bytes(
        [helper.make_node("Add", ["a", "b"], ["c"])],
        ("a", TensorProto.FLOAT, [1, 3, "h", "w"]),
        ("c", TensorProto.FLOAT, [1, 3, "h", "w"]),
        more_inputs=[helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 3, "h", "w"])],
    )
    refused(content, StyleIncompatible, "it has 2 inputs", save)


def test_weights_in_other_files_are_not_read(save: Save, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(b"\x00" * 12)
    model = onnx.load_model_from_string(inverting("NCHW", "0..1"))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "secret.bin"
    refused(model.SerializeToString(), StyleIncompatible, "weights in another file", save)


def test_decompression_bombs_are_refused(save: Save) -> None:
    size = numpy_helper.from_array(np.array([1, 3, 1 << 20, 1 << 20], np.int64), "size")
    content = model_bytes(
        [
            helper.make_node("ConstantOfShape", ["size"], ["huge"]),
            helper.make_node("ReduceMax", ["huge"], ["top"], keepdims=0),
            helper.make_node("Add", ["image", "top"], ["painted"]),
        ],
        ("image", TensorProto.FLOAT, [1, 3, "h", "w"]),
        ("painted", TensorProto.FLOAT, [1, 3, "h", "w"]),
        [size],
    )
    refused(content, StyleIncompatible, "refused for its size", save)


def test_operators_nobody_knows(save: Save) -> None:
    content = float_model([1, 3, "h", "w"], [1, 3, "h", "w"], "Frobnicate")
    refused(content, StyleIncompatible, "is not a sound ONNX graph|can't be run", save)


def test_networks_that_put_out_nonsense(engine_name: str, save: Save) -> None:
    content = float_model([1, 3, "h", "w"], [1, 3, "h", "w"], "Log")
    style = find_style(str(save(content)))
    request = EngineRequest(engine_name, threads=1, ranges=("-1..1", "0..1"))
    engine = load_engine(style, request)
    with pytest.raises(InferenceError, match="values that are not numbers"):
        engine.paint(picture())
    engine.close()


def test_networks_that_change_the_size(engine_name: str, save: Save) -> None:
    scales = numpy_helper.from_array(np.float32([1, 1, 2, 2]), "scales")
    content = model_bytes(
        [helper.make_node("Resize", ["image", "", "scales"], ["painted"], mode="nearest")],
        ("image", TensorProto.FLOAT, [1, 3, "h", "w"]),
        ("painted", TensorProto.FLOAT, [1, 3, "h2", "w2"]),
        [scales],
    )
    style = find_style(str(save(content)))
    engine = load_engine(style, EngineRequest(engine_name, threads=1, ranges=("0..1", "0..1")))
    with pytest.raises(InferenceError, match="only networks that keep the size"):
        engine.paint(picture())
    engine.close()
