"""`stylize optimize`: what it writes, under which names, and what it says."""

import json
import re
from fractions import Fraction
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from media import write_video
from methods_tools import Material
from optimize_tools import Command, names, one_line, times

from stylize_video.export import cli

# --- what it paints


def test_a_picture_is_optimised_and_the_record_says_how(
    command: Command, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "painted.png"
    arguments = command(photo, target, "--steps", "20", "--scales", "1", "--preview-every", "10")
    assert cli.run(arguments) == 0
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(
        rf"optimised: {re.escape(str(target))} \(20 steps in \d+\.\d s, [\d.]+ a second\)", said
    )
    assert cv2.imread(str(target)).shape[1] == 96
    record = json.loads(target.with_suffix(".json").read_text())
    assert sum(record["curve"][-1].values()) < sum(record["curve"][0].values())
    assert record["config"]["steps"] == 20
    assert record["config"]["precision"] == "auto"
    assert record["precision"] == "float32"
    assert record["versions"]["stylize-video"] == metadata.version("stylize-video")
    assert record["versions"]["torch"] == torch.__version__
    assert names(tmp_path) == ["painted.json", "painted.png"]


def test_a_clip_is_optimised_at_the_times_it_had(
    command: Command, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = tmp_path / "painted.mp4"
    more = ("--steps", "10", "--frame-steps", "5", "--frames", "4", "--quiet")
    assert cli.run(command(clip, film, *more)) == 0
    assert "(25 steps in " in one_line(capsys.readouterr().err)
    assert times(film) == times(clip, 4)
    assert names(tmp_path) == ["painted.json", "painted.mp4"]


def test_half_precision_is_in_the_record(
    command: Command, photo: Path, tmp_path: Path, quick: list[int]
) -> None:
    assert cli.run(command(photo, tmp_path / "x.png", "--precision", "bf16")) == 0
    record = json.loads((tmp_path / "x.json").read_text())
    assert (record["precision"], record["config"]["precision"]) == ("bfloat16", "bf16")


def test_times_between_those_of_a_steady_rate_are_kept(
    command: Command, tmp_path: Path, quick: list[int]
) -> None:
    source = write_video(
        tmp_path / "in.mp4", 6, (96, 64), Fraction(25),
        times=[0, 3, 4, 40, 41, 90], time_base=Fraction(1, 1000),
    )  # fmt: skip
    assert cli.run(command(source, tmp_path / "out.mp4")) == 0
    assert times(tmp_path / "out.mp4") == times(source)


# --- names


PICTURE = "picture", "end it in one of .bmp .jpeg .jpg .png .webp"
CLIP = "clip", "end it in one of .mkv .mov .mp4"


@pytest.mark.parametrize(
    ("given", "name", "said"),
    [
        *(("photo", name, PICTURE) for name in ("x.mp4", "x.gif", "x.tiff", "x.json", "x")),
        *(("clip", name, CLIP) for name in ("z.png", "z.gif", "z.avi", "z")),
    ],
)
def test_nothing_is_written_under_a_name_of_another_kind(
    given: str,
    name: str,
    said: tuple[str, str],
    command: Command,
    tmp_path: Path,
    quick: list[int],
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, (kind, endings) = request.getfixturevalue(given), said
    assert cli.run(command(source, tmp_path / name, "--features", "nowhere")) == 1
    line = one_line(capsys.readouterr().err)
    assert f"{name} is not the name of a {kind}" in line
    assert endings in line
    assert not quick
    assert not names(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".JPG", ".jpeg", ".webp", ".bmp"])
def test_pictures_are_written_under_all_names_allowed(
    suffix: str, command: Command, photo: Path, tmp_path: Path, quick: list[int]
) -> None:
    assert cli.run(command(photo, tmp_path / f"x{suffix}")) == 0
    written, given = cv2.imread(str(tmp_path / f"x{suffix}")), cv2.imread(str(photo))
    given = cv2.resize(given, written.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(written.astype(float) - given).mean() < 8
    assert set(names(tmp_path)) == {"x.json", f"x{suffix}"}


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".MP4"])
def test_clips_are_written_under_all_names_allowed(
    suffix: str, command: Command, clip: Path, tmp_path: Path, quick: list[int]
) -> None:
    film = tmp_path / f"x{suffix}"
    assert cli.run(command(clip, film, "--frames", "3", "--frame-steps", "7")) == 0
    assert quick == [300, 7, 7]
    found = times(film)
    assert found == pytest.approx(times(clip, 3), abs=1e-3)  # Matroska counts milliseconds


# --- what can't be used


@pytest.mark.parametrize("place", [0, 1])
def test_missing_pictures_are_said_before_weights_are_fetched(
    place: int, material: Material, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(photo), str(material["painting"])]
    given[place] = str(tmp_path / "nope.png")
    command = ["optimize", *given, "-o", str(tmp_path / "x.png"), "--features", "nowhere"]
    assert cli.run(command) == 1
    assert "nope.png does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "place", "fits"),
    [((15, 90), 0, False), ((90, 15), 1, False), ((16, 90), 0, True), ((90, 16), 1, True)],
)
def test_pictures_of_less_than_16_pixels_are_refused(
    size: tuple[int, int],
    place: int,
    fits: bool,
    material: Material,
    photo: Path,
    tmp_path: Path,
    quick: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    width, height = size
    small = tmp_path / "small.png"
    cv2.imwrite(str(small), np.full((height, width, 3), 90, np.uint8))
    given = [str(photo), str(material["painting"])]
    given[place] = str(small)
    features = str(material["features"]) if fits else "nowhere"
    command = ["optimize", *given, "-o", str(tmp_path / "x.png"), "--features", features]
    command += ["--style-layers", "relu1_1", "--content-layers", "relu2_2", "--painting-side", "32"]
    assert cli.run(command) == (0 if fits else 1)
    if not fits:
        assert f"small.png has {width}x{height} pixels, too few" in one_line(
            capsys.readouterr().err
        )


def test_frames_of_less_than_16_pixels_are_refused(
    command: Command, tmp_path: Path, quick: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    small = write_video(tmp_path / "in.mp4", 2, (64, 14), Fraction(25))
    assert cli.run(command(small, tmp_path / "x.mp4")) == 1
    assert "in.mp4 has 64x14 pixels, too few to paint" in one_line(capsys.readouterr().err)
    assert names(tmp_path) == ["in.mp4"]


def test_what_is_no_clip_is_one_line(
    command: Command, tmp_path: Path, quick: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.mp4").write_bytes(b"no clip at all")
    assert cli.run(command(tmp_path / "in.mp4", tmp_path / "x.mp4")) == 1
    assert "in.mp4 can't be read as a picture or a clip" in one_line(capsys.readouterr().err)
    assert names(tmp_path) == ["in.mp4"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--steps", "0"], "0 steps on 2 scales"),
        (["--optimiser", "sgd"], "give lbfgs or adam"),
        (["--start", "black"], "give content, noise or style"),
        (["--precision", "fp16"], "there is no precision 'fp16': give one of auto, fp32, bf16"),
        (["--learning-rate", "nan"], "--learning-rate nan can't be used"),
        (["--style", "inf"], "the weight inf of --style can't be used"),
        (["--seed", "-1"], "--seed -1 can't be used"),
        (["--size", "10"], "give --size 64 or more"),
        (["--painting-side", "31"], "give --painting-side 32 or more"),
        (["--frame-steps", "0"], "give --frame-steps 1 or more"),
        (["--frames", "0"], "give --frames 1 or more"),
        (["--preview-every", "0"], "give --preview-every 1 or more"),
        (["--features", "nowhere"], "there is no weights file nowhere"),
    ],
)
def test_the_command_says_what_can_not_work(
    more: list[str],
    said: str,
    material: Material,
    photo: Path,
    tmp_path: Path,
    quick: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["optimize", str(photo), str(material["painting"]), "-o", str(tmp_path / "x.png")]
    assert cli.run([*command, *more]) == 1
    assert said in one_line(capsys.readouterr().err)
    assert not quick


def test_losses_beyond_all_numbers_are_one_line(
    command: Command, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(command(photo, tmp_path / "x.png", "--style", "1e30", "--quiet")) == 1
    line = one_line(capsys.readouterr().err)
    assert line.startswith("error: step 0: the losses are not numbers any more (")
    assert not names(tmp_path)
