"""Masks: where to paint."""

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from stylize_video.realtime import cli
from stylize_video.realtime.errors import InferenceError, StyleError, StylizeError
from stylize_video.realtime.masks import (
    BrightnessMask,
    Masker,
    MovementMask,
    PersonMask,
    PictureMask,
)


def person_network(path: Path, channels: int = 2, first: bool = True) -> Path:
    """A network that finds persons wherever a picture is red."""
    shape = [1, 3, 32, 40] if first else [1, 32, 40, 3]
    axis = 1 if first else 3
    nodes = [
        helper.make_node("Split", ["picture"], ["r", "g", "b"], axis=axis, num_outputs=3),
    ]
    if channels == 2:
        nodes.append(helper.make_node("Concat", ["g", "r"], ["person"], axis=axis))
    else:
        nodes.append(helper.make_node("Identity", ["r"], ["person"]))
    out = list(shape)
    out[axis] = channels
    graph = helper.make_graph(
        nodes,
        "person",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("person", TensorProto.FLOAT, out)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def red_right() -> np.ndarray:
    picture = np.zeros((60, 90, 3), np.uint8)
    picture[..., 1] = 40
    picture[:, 45:, 0] = 255
    return picture


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("first", [True, False])
def test_a_person_network_of_any_layout(channels: int, first: bool, tmp_path: Path) -> None:
    mask = PersonMask(person_network(tmp_path / "p.onnx", channels, first))(red_right())
    assert mask.shape == (60, 90)
    assert mask.dtype == np.uint8
    assert (mask[:, :40] == 0).all()
    assert (mask[:, 50:] == 255).all()


def test_edges_of_persons_do_not_jump(tmp_path: Path) -> None:
    masker = PersonMask(person_network(tmp_path / "p.onnx"))
    masker(red_right())
    after = masker(np.zeros((60, 90, 3), np.uint8))
    assert 60 < after[30, 80] < 200
    masker.reset()
    assert masker(np.zeros((60, 90, 3), np.uint8)).max() == 0


def test_networks_that_find_no_persons(tmp_path: Path) -> None:
    with pytest.raises(StyleError, match="there is no person network"):
        PersonMask(tmp_path / "none.onnx")
    (tmp_path / "junk.onnx").write_bytes(b"junk" * 99)
    with pytest.raises(StyleError, match="is not an ONNX model"):
        PersonMask(tmp_path / "junk.onnx")
    style = Path(__file__).parent.parent / "models/starry/starry.onnx"
    with pytest.raises(StyleError, match="is no person network: it takes"):
        PersonMask(style)
    three = PersonMask(person_network(tmp_path / "p.onnx"))
    three._runner.evaluate = lambda *_: np.zeros((1, 3, 4, 4))  # type: ignore[method-assign]
    with pytest.raises(InferenceError, match="not the probability of a person"):
        three(red_right())


@pytest.mark.parametrize(
    ("name", "values"),
    [("selfie_segmentation.onnx", (0.0, 1.0)), ("SINet_Softmax_simple.onnx", (-0.007, 0.0088))],
)
def test_real_networks_find_a_person(
    name: str, values: tuple[float, float], data: Callable[[str], Path]
) -> None:
    clip = data("clips/dev/talking_head_audio_512x512.mp4")
    with av.open(str(clip)) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    mask = PersonMask(data(f"masks/{name}"), values)(picture)
    assert mask[180:300, 200:300].mean() > 230  # the face
    assert mask[:60, :60].mean() < 30
    assert 0.3 < (mask > 127).mean() < 0.8


def test_a_picture_as_a_mask_is_scaled() -> None:
    half = np.zeros((10, 20, 3), np.uint8)
    half[:, 10:] = 255
    mask = PictureMask(half)(np.zeros((40, 80, 3), np.uint8))
    assert mask.shape == (40, 80)
    assert mask[:, :36].max() == 0
    assert mask[:, 44:].min() == 255


def test_a_key_for_brightness() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 4, 0).repeat(3, 2)
    mask = BrightnessMask(100, 200)(ramp)[0]
    assert mask[85] == 0
    assert (mask[100:201] == 255).all()
    assert mask[215] == 0
    assert np.all(np.diff(mask[85:101].astype(int)) >= 0)
    with pytest.raises(StylizeError, match="from 200 to 100 can't be"):
        BrightnessMask(200, 100)


def test_what_moves_is_found_before_a_still_place() -> None:
    random = np.random.default_rng(0)
    place = cv2.GaussianBlur(random.integers(0, 256, (240, 320, 3)).astype(np.uint8), (0, 0), 5)
    masker: Masker = MovementMask()
    for _ in range(40):
        noisy = np.clip(place + random.normal(0, 2, place.shape), 0, 255).astype(np.uint8)
        empty = masker(noisy)
    assert (empty > 127).mean() < 0.01
    walked = place.copy()
    walked[80:200, 120:200] = (220, 40, 200)
    mask = masker(walked)
    assert (mask[90:190, 130:190] > 200).mean() > 0.95
    mask[70:210, 110:210] = 0
    assert (mask > 127).mean() < 0.01


def test_what_moves_has_no_holes() -> None:
    random = np.random.default_rng(0)
    place = cv2.GaussianBlur(random.integers(0, 256, (240, 320, 3)).astype(np.uint8), (0, 0), 5)
    masker = MovementMask()
    for _ in range(40):
        masker(place)
    ring = place.copy()
    cv2.circle(ring, (160, 120), 60, (220, 40, 200), 12)
    assert (masker(ring)[80:160, 120:200] > 200).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--outside"], "--outside goes with a --mask"),
        (["--person-model", "x.onnx"], "--person-model goes with --mask person"),
        (["--mask", "luma:9..4"], "from 9 to 4 can't be"),
        (["--mask", "luma:a..b"], "luma:a..b is no range of brightness"),
        (["--mask", "nowhere.png"], "nowhere.png"),
        (["--mix", "starry"], "no style ''"),
        (["--mix", "starry:1,monet:1"], "no style 'monet'"),
    ],
)
def test_options_that_make_no_sense_are_said(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "in.png"
    cv2.imwrite(str(picture), red_right())
    assert cli.run(["image", str(picture), str(tmp_path / "out.png"), *options]) == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out.png").exists()
