"""The knobs over a file: by flags, and by cues at their times."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from media import frame_times, model_bytes, packets, read_video
from onnx import TensorProto, helper

from stylize_video.realtime import cli
from stylize_video.realtime.catalogue import find_style
from stylize_video.realtime.engines.choose import EngineRequest, load_engine
from stylize_video.realtime.frame import Frame
from stylize_video.realtime.knobs import Knobs
from stylize_video.realtime.studio import Studio
from stylize_video.realtime.stylizer import Stylizer

LOSSLESS = ["--codec", "libx264rgb", "--crf", "0", "--pix-fmt", "rgb24", "--quiet"]


@pytest.fixture(scope="session")
def negative(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A style that paints negatives."""
    shape: list[Any] = [1, "height", "width", 3]
    white = helper.make_tensor("white", TensorProto.INT32, [], [255])
    nodes = [
        helper.make_node("Cast", ["frame"], ["wide"], to=TensorProto.INT32),
        helper.make_node("Sub", ["white", "wide"], ["turned"]),
        helper.make_node("Cast", ["turned"], ["painted"], to=TensorProto.UINT8),
    ]
    path = tmp_path_factory.mktemp("models") / "negative.onnx"
    frame, painted = ("frame", TensorProto.UINT8, shape), ("painted", TensorProto.UINT8, shape)
    path.write_bytes(model_bytes(nodes, frame, painted, [white]))
    return path


def pictures(path: Path) -> list[np.ndarray]:
    return [frame.to_ndarray(format="rgb24").astype(int) for frame in read_video(path)]


@pytest.mark.parametrize("tier", ["off", "fast", "quality", "best"])
def test_cues_turn_knobs_at_their_frames(
    tier: str, clip: Path, identity: Path, negative: Path, tmp_path: Path
) -> None:
    cues = tmp_path / "cues.json"
    cues.write_text(
        json.dumps(
            [
                {"time": 0.4, "knob": "blackout", "value": True},
                {"time": 0.8, "knob": "blackout", "value": False},
                {"time": 1.2, "knob": "style", "value": str(negative)},
                {"time": 1.6, "knob": "strength", "value": 0},
            ]
        )
    )
    output = tmp_path / "out.mkv"
    command = ["video", str(clip), str(output), "--style", str(identity), "--temporal", tier]
    assert cli.run([*command, "--timeline", str(cues), *LOSSLESS]) == 0
    source, shown = pictures(clip), pictures(output)
    assert frame_times(output) == frame_times(clip)
    assert [p[1:] for p in packets(output, "audio")] == [p[1:] for p in packets(clip, "audio")]
    wanted = source[:10] + [0 * p for p in source[10:20]] + source[20:30]
    wanted += [255 - p for p in source[30:40]] + source[40:]
    assert len(shown) == len(wanted) == 50
    off = [np.abs(a - b).mean() for a, b in zip(shown, wanted, strict=True)]
    assert max(off[10:20]) == 0
    assert max(off) < 12  # what stages carry over from frames beside
    assert max(off[40:]) < 3


def test_a_mix_lies_between_its_styles(
    clip: Path, identity: Path, negative: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    mix = f"{identity}:1,{negative}:3"
    command = ["video", str(clip), str(output), "--mix", mix, "--temporal", "off", "--end", "0.2"]
    assert cli.run([*command, *LOSSLESS]) == 0
    for source, shown in zip(pictures(clip), pictures(output), strict=False):
        wanted = 0.25 * source + 0.75 * (255 - source)
        assert np.abs(shown - wanted).max() <= 6  # the input's chroma is read twice


def test_a_mirror_turns_the_picture_before_it_is_painted(
    clip: Path, identity: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    command = ["video", str(clip), str(output), "--style", str(identity), "--mirror"]
    assert cli.run([*command, "--end", "0.2", *LOSSLESS]) == 0
    first = pictures(output)[0]
    assert np.abs(first - pictures(clip)[0][:, ::-1]).mean() < 2


def test_a_still_is_turned_by_the_same_flags(identity: Path, tmp_path: Path) -> None:
    source = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    mask = np.zeros((64, 96), np.uint8)
    mask[:, 48:] = 255
    cv2.imwrite(str(tmp_path / "in.png"), source)
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    command = ["image", str(tmp_path / "in.png"), str(tmp_path / "out.png")]
    command += ["--style", "noir", "--mask", str(tmp_path / "mask.png"), "--quiet"]
    assert cli.run(command) == 0
    shown = cv2.imread(str(tmp_path / "out.png"))
    assert shown is not None
    assert np.array_equal(shown[:, :48], source[:, :48])
    assert np.ptp(shown[:, 48:].astype(int), -1).mean() < 20  # noir is grey


def test_strength_of_real_styles_leads_from_source_to_style() -> None:
    ramp = np.linspace(30, 220, 192, dtype=np.uint8)
    picture = np.repeat(np.repeat(ramp[None, :, None], 128, 0), 3, 2).copy()
    cv2.circle(picture, (90, 60), 30, (200, 80, 40), -1)
    engine = load_engine(find_style("starry"), EngineRequest(engine="cpu"))
    studio = Studio([lambda: Stylizer(engine)])
    shown = [
        studio.paint(Frame(picture, Fraction(0)), Knobs(strength=s)).frame.pixels.astype(int)
        for s in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    studio.close()
    away = [np.abs(one - picture).mean() for one in shown]
    assert np.abs(shown[0] - picture).max() <= 2
    assert away == sorted(away)
    assert away[-1] > 20


def test_strength_of_any_painting_is_that_of_its_code(tmp_path: Path) -> None:
    painting = np.random.default_rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8)
    painting[..., 2] //= 4
    cv2.imwrite(str(tmp_path / "painting.png"), painting)
    from stylize_video.realtime._options import read_paintings

    paintings = read_paintings([(str(tmp_path / "painting.png"), 1.0)])
    engine = load_engine(find_style("any"), EngineRequest(engine="cpu", paintings=paintings))
    stylizer = Stylizer(engine)
    frame = Frame(painting, Fraction(0))
    assert stylizer.turn(1.0) == 1.0
    full = stylizer.paint(frame).pixels
    assert np.array_equal(engine.paint(painting), full)
    assert stylizer.turn(0.5) == 1.0
    half = stylizer.paint(frame).pixels
    assert np.abs(full.astype(int) - half).mean() > 2
    of_the_next_file = Stylizer(engine)
    assert np.array_equal(of_the_next_file.paint(frame).pixels, full)
    assert of_the_next_file.turn(0.5) == 1.0
    assert np.array_equal(of_the_next_file.paint(frame).pixels, half)
    assert of_the_next_file.turn(1.0) == 1.0
    assert np.array_equal(of_the_next_file.paint(frame).pixels, full)
    assert np.array_equal(stylizer.paint(frame).pixels, half)
    assert stylizer.turn(0.1) == pytest.approx(0.4)
    assert stylizer.turn(0.0) == 0.0
    stylizer.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--timeline", "nope.json"], "nope.json can't be read"),
        (["--strength", "0.5", "--show", "flow"], "--show looks into one style as it is"),
    ],
)
def test_what_cant_be_turned_is_said_before_anything_is_written(
    options: list[str], said: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["video", str(clip), str(tmp_path / "out.mp4"), *options]) == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_cues_and_segments_give_what_one_piece_gives(
    clip: Path, identity: Path, negative: Path, tmp_path: Path
) -> None:
    cues = tmp_path / "cues.json"
    cues.write_text(
        json.dumps(
            [
                {"time": 0.2, "knob": "style", "value": str(negative), "ramp": 1.2},
                {"time": 0.5, "knob": "strength", "value": 0.4, "ramp": 1},
            ]
        )
    )
    outputs = []
    for seconds in ("0", "0.5"):
        outputs.append(tmp_path / f"in{seconds}.mkv")
        command = ["video", str(clip), str(outputs[-1]), "--style", str(identity)]
        command += ["--timeline", str(cues), "--segments", seconds, *LOSSLESS]
        assert cli.run(command) == 0
    whole, joined = (pictures(path) for path in outputs)
    assert frame_times(outputs[0]) == frame_times(outputs[1])
    assert len(whole) == len(joined) == 50
    assert all(np.array_equal(a, b) for a, b in zip(whole, joined, strict=True))
