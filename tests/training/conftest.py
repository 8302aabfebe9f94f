"""A folder of paintings, and settings of short runs on it."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from methods_tools import Material, small_run
from optimize_tools import Command, paint_at_once, small_job

from stylize_video.export.methods.adversarial import AdversarialConfig
from stylize_video.export.methods.arbitrary import ArbitraryConfig
from stylize_video.export.methods.perceptual import PerceptualConfig


@pytest.fixture(scope="session")
def paintings(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures in a style: diagonal stripes of two colours."""
    folder = tmp_path_factory.mktemp("paintings")
    y, x = np.mgrid[0:150, 0:170]
    for index in range(4):
        stripes = ((x + y * (index + 1)) // 9 % 2)[..., None]
        picture = np.where(stripes, (30, 60, 220), (240, 220, 90)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), picture)
    return folder


@pytest.fixture
def arbitrary(material: Material, paintings: Path) -> ArbitraryConfig:
    return ArbitraryConfig(
        painting=str(paintings),
        steps=6,
        painting_side=128,
        style_crop=64,
        style_pool=8,
        coarse_layers="relu1_1:0.5",
        **small_run(material),
    )


@pytest.fixture
def adversarial(material: Material, paintings: Path) -> AdversarialConfig:
    return AdversarialConfig(
        painting=str(paintings), tier="fast", steps=6, cycle=1.0, **small_run(material)
    )


@pytest.fixture
def perceptual(material: Material) -> PerceptualConfig:
    return PerceptualConfig(
        painting=str(material["painting"]),
        tier="fast",
        steps=6,
        painting_side=128,
        **small_run(material),
    )


# --- of `stylize optimize`


@pytest.fixture
def photo(material: Material) -> Path:
    return sorted(material["photos"].iterdir())[0]


@pytest.fixture
def command(material: Material) -> Command:
    return partial(small_job, material)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return paint_at_once(monkeypatch)
