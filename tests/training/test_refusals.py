"""What a run can't use is one line, before it starts; what it can pass over, it does."""

import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from methods_tools import CPU, Material, flags

from stylize_video.export import cli
from stylize_video.export.errors import DataError
from stylize_video.export.methods.arbitrary import ArbitraryConfig
from stylize_video.export.methods.perceptual import PerceptualConfig
from stylize_video.export.train import trainer_for


def small_picture(path: Path, width: int, height: int) -> str:
    cv2.imwrite(str(path), np.full((height, width, 3), 90, np.uint8))
    return str(path)


def training(config: PerceptualConfig, folder: Path, *more: str) -> list[str]:
    """The command line of a run of a few small steps, with the machine's own precision."""
    given = [part for part in flags(config, folder) if part not in ("--precision", "fp32")]
    small = ["--crop", "64", "--painting-side", "128", "--tier", "fast"]
    return ["train", *given, *small, *more]


def test_a_painting_smaller_than_the_crop_is_said(
    perceptual: PerceptualConfig, arbitrary: ArbitraryConfig, tmp_path: Path
) -> None:
    painting = small_picture(tmp_path / "small.png", 200, 50)
    with pytest.raises(DataError, match=r"small.png has 200x50 pixels, .* with 64 a side or more"):
        trainer_for(dataclasses.replace(perceptual, painting=painting), CPU)
    small_picture(tmp_path / "small.png", 200, 20)
    with pytest.raises(DataError, match=r"has 200x20 pixels, .* with 32 a side or more"):
        trainer_for(dataclasses.replace(arbitrary, painting=str(tmp_path)), CPU)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--zoom", "0.5..0.9"], "--zoom 0.5..0.9 can't be used: give 1 or more"),
        (["--noise", "-1"], "--noise -1 can't be used: give 0 to 255"),
        (["--jpeg", "200"], "--jpeg 200 can't be used: give 0 to 100"),
        (["--flip", "nan"], "--flip nan can't be used: give 0 to 1"),
        (["--seed", "-1"], "--seed -1 can't be used: give 0 or more"),
        (["--learning-rate", "nan"], "--learning-rate nan can't be used: give 0 or more"),
        (["--style-shared", "7"], "--style-shared 7.0 is not a share: give 0 to 1"),
        (["--precision", "fp16"], "there is no precision 'fp16': give one of auto, fp32, bf16"),
        (["--checkpoint-every", "0"], "a checkpoint every 0 steps: give 1 or more"),
        (["--id", "../evil"], "'../evil' can't be the name of a style: give one of letters"),
    ],
)
def test_settings_that_can_not_work_are_one_line(
    given: list[str],
    said: str,
    perceptual: PerceptualConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "run"
    assert cli.run(training(perceptual, folder, *given)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert not folder.exists()


def test_photos_that_are_broken_or_small_are_passed_over_and_said(
    perceptual: PerceptualConfig,
    material: Material,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(material["photos"], photos)
    for index in range(3):
        (photos / f"0{index}.jpg").write_bytes(b"no picture")
    for path in sorted(photos.glob("[1-5].jpg")):
        small_picture(path, 40, 50)
    folder = tmp_path / "run"
    config = dataclasses.replace(perceptual, photos=str(photos))
    assert cli.run(training(config, folder)) == 0
    said = capsys.readouterr().err
    assert "of the photos, which can't be read:" in said
    assert any(f"0{index}.jpg" in said for index in range(3))
    assert (folder / "run.int8.onnx").is_file()


def test_a_folder_that_can_not_be_made_is_said(
    perceptual: PerceptualConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, file = tmp_path / "run", tmp_path / "file"
    file.write_text("")
    assert cli.run(training(perceptual, folder, "--no-export", "--features", "random")) == 0
    assert "random" in capsys.readouterr().err
    assert cli.run(["export", str(folder), "-o", str(file)]) == 1
    assert "file can't be made" in capsys.readouterr().err
    credits_file = tmp_path / "credits.json"
    credits_file.write_text('{"id": "../up"}')
    assert cli.run(["export", str(folder), "--credits", str(credits_file)]) == 1
    assert "'../up' can't be the name of a style" in capsys.readouterr().err
