"""The paintings as files, and a network that was given both."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cv2
import pytest
from paintings_tools import PAINTINGS
from web_tools import THREADS

from stylize_video.realtime.catalogue import find_style
from stylize_video.realtime.engines.any_painting import (
    AnyPaintingEngine,
    Painting,
    PaintingEncoder,
)
from stylize_video.realtime.engines.choose import load_engine
from stylize_video.realtime.frame import Pixels


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The paintings as files."""
    folder = tmp_path_factory.mktemp("paintings")
    found = [str(folder / f"{number}.png") for number in range(2)]
    for file, painting in zip(found, PAINTINGS, strict=True):
        cv2.imwrite(file, painting[..., ::-1])
    return found


@pytest.fixture(scope="module")
def engine() -> Iterator[AnyPaintingEngine]:
    """A network for any painting that was given two, half and half."""
    given = tuple(Painting(painting) for painting in PAINTINGS)
    made = load_engine(find_style("any"), replace(THREADS, paintings=given))
    assert isinstance(made, AnyPaintingEngine)
    yield made
    made.close()


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each run of an encoder."""
    runs: list[int] = []
    encode = PaintingEncoder.__call__

    def counted(self: PaintingEncoder, painting: Pixels) -> Any:
        runs.append(1)
        return encode(self, painting)

    monkeypatch.setattr(PaintingEncoder, "__call__", counted)
    return runs
