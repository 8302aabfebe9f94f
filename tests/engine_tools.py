"""Engines there are everywhere, and a picture painted by one: what tests of engines share."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylize_video.realtime import EngineRequest, find_style, load_engine

ENGINES = ["cpu", "openvino"]


def picture(width: int = 50, height: int = 34) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3)).astype(np.uint8)


def paint(path: Path, pixels: NDArray[np.uint8], engine: str, **request: Any) -> NDArray[np.uint8]:
    loaded = load_engine(find_style(str(path)), EngineRequest(engine, threads=1, **request))
    try:
        return loaded.paint(pixels)
    finally:
        loaded.close()
