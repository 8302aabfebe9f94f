"""The README's worked examples, at small size: by their commands, with a look at what comes out."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from media import load_script

from stylize_video.export.data import load_painting
from stylize_video.export.evaluate import Judge
from stylize_video.export.features import load_features
from stylize_video.realtime import cli

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
FEATURES = "vgg/vgg19_conv1_1-conv3_4_caffe_rgb.fp16.safetensors"
Data = Callable[[str], Path]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(SAMPLES / "make_examples.py")


def small(picture: np.ndarray, path: Path, width: int = 192) -> Path:
    """The picture as a small PNG."""
    height = round(width * picture.shape[0] / picture.shape[1])
    shrunk = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(path), cv2.cvtColor(shrunk, cv2.COLOR_RGB2BGR))
    return path


def colours(path: Path) -> np.ndarray:
    """Mean RGB."""
    return np.asarray(cv2.imread(str(path)).reshape(-1, 3).mean(0)[::-1])


def optimise(content: Path, style: Path, target: Path, features: Path) -> None:
    command = ["optimize", str(content), str(style), "-o", str(target), "--features"]
    command += [str(features), "--style-layers", "relu1_1 relu2_1 relu3_1", "--content-layers"]
    command += ["relu3_1", "--size", "192", "--painting-side", "126", "--style", "12"]
    assert cli.run([*command, "--steps", "60", "--quiet"]) == 0


@pytest.mark.slow
def test_a_deserts_look_on_a_snowy_mountain(script: ModuleType, data: Data, tmp_path: Path) -> None:
    snow = small(script.mountain(), tmp_path / "mountain.png")
    sand = small(script.desert(), tmp_path / "desert.png")
    hot = tmp_path / "hot.png"
    optimise(snow, sand, hot, data(FEATURES))
    cold, warm = colours(snow), colours(sand)
    assert cold[2] > cold[0]
    assert warm[0] > warm[2] + 40
    assert np.abs(colours(hot) - warm).mean() < 0.35 * np.abs(cold - warm).mean()
    judge = Judge([load_features(str(data(FEATURES)))])
    before, after, goal = (load_painting(p, 126) for p in (snow, hot, sand))
    apart = [judge.style_distances(p, goal)["style_gram"] for p in (before, after)]
    assert apart[1] < 0.2 * apart[0]
    assert judge.content_distance(before, after) < 0.9  # a mountain still


def test_colour_to_ink_and_wash_and_back(data: Data, tmp_path: Path) -> None:
    photo = cv2.cvtColor(cv2.imread(str(SAMPLES / "hills.jpg")), cv2.COLOR_BGR2RGB)
    colour, ink, back = (tmp_path / f"{n}.png" for n in ("colour", "ink", "back"))
    small(photo, colour)
    assert cli.run(["image", str(colour), str(ink), "--style", "noir", "--quiet"]) == 0
    optimise(ink, colour, back, data(FEATURES))

    def saturation(path: Path) -> float:
        return float(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2HSV)[..., 1].mean())

    assert saturation(ink) < 0.2 * saturation(colour)
    assert saturation(back) > 0.5 * saturation(colour)
    grey = cv2.imread(str(ink), cv2.IMREAD_GRAYSCALE)
    assert grey.min() < 80 < 200 < np.median(grey)  # hard blacks, white paper
    judge = Judge([load_features(str(data(FEATURES)))])
    goal = load_painting(colour, 126)
    apart = [judge.style_distances(load_painting(p, 126), goal)["style_gram"] for p in (ink, back)]
    assert apart[1] < 0.3 * apart[0]
