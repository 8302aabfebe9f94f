"""What tests of `stylize optimize` share."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from methods_tools import Material

from stylize_video.export.methods.optimize import Look, Optimizer

Command = Callable[..., list[str]]


def small_job(material: Material, source: Path, target: Path, *more: str) -> list[str]:
    """The command line of a small job, for an input, an output, and more."""
    return [
        "optimize", str(source), str(material["painting"]), "-o", str(target),
        "--features", str(material["features"]), "--style-layers", "relu1_1 relu2_1",
        "--content-layers", "relu2_2", "--size", "96", "--painting-side", "64",
        "--device", "cpu", *more,
    ]  # fmt: skip


def paint_at_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Paint pictures in no time, as they were; the list is of the steps each takes."""
    steps: list[int] = []

    def paint(self: Optimizer, picture: torch.Tensor, past: Any = None) -> Iterator[Look]:
        steps.append(self._config.steps)
        yield Look(self._config.steps, picture, {"style": 0.5})

    monkeypatch.setattr(Optimizer, "paint", paint)
    return steps


def times(path: Path, count: int | None = None) -> list[Fraction]:
    """When the frames of a clip are shown."""
    with av.open(str(path)) as clip:
        return [frame.pts * frame.time_base for frame in clip.decode(video=0)][:count]


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def one_line(text: str) -> str:
    """The only line there is."""
    (line,) = text.splitlines()
    return str(line)
