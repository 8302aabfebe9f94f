"""Draws the losses of a run as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import DataError

_SIZE: Final = 960, 480
_MARGIN: Final = 60, 20, 170, 40
"""Left, above, right, below, pixels."""
_COLOURS: Final = (
    (180, 119, 31),
    (14, 127, 255),
    (44, 160, 44),
    (40, 39, 214),
    (189, 103, 148),
    (75, 86, 140),
    (194, 119, 227),
    (127, 127, 127),
    (34, 189, 188),
    (207, 190, 23),
)
_SMOOTH: Final = 50
_LEAST: Final = 1e-5


def write_curves(path: Path, curve: Sequence[dict[str, float]]) -> None:
    """Losses over steps, smoothed, on a logarithmic scale. Raises `DataError`."""
    if not curve:
        raise DataError("the record holds no steps to plot")
    width, height = _SIZE
    left, above, right, below = _MARGIN
    picture = np.full((height, width, 3), 255, np.uint8)
    names = sorted({name for step in curve for name in step})
    lines = {name: _smooth([step.get(name, np.nan) for step in curve]) for name in names}
    values = np.concatenate([line[np.isfinite(line)] for line in lines.values()])
    low = np.log10(max(_LEAST, float(np.percentile(values[values > 0], 1)) if len(values) else 1))
    high = np.log10(max(float(values.max()), 10 * 10**low)) if len(values) else low + 1

    def place(step: int, value: float) -> tuple[int, int]:
        x = left + (width - left - right) * step / max(1, len(curve) - 1)
        share = (np.log10(max(value, 10**low)) - low) / (high - low)
        return round(x), round(height - below - (height - above - below) * min(1.0, share))

    for decade in range(int(np.ceil(low)), int(np.floor(high)) + 1):
        _, y = place(0, 10.0**decade)
        cv2.line(picture, (left, y), (width - right, y), (225, 225, 225), 1)
        _write(picture, f"{10.0**decade:g}", (4, y + 4))
    _write(picture, f"{len(curve)} steps", (left, height - 14))
    for number, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [place(i, float(v)) for i, v in enumerate(line) if np.isfinite(v)]
        cv2.polylines(picture, [np.array(points, np.int32)], False, colour, 1, cv2.LINE_AA)
        y = above + 14 + 20 * number
        cv2.line(picture, (width - right + 12, y - 4), (width - right + 32, y - 4), colour, 2)
        _write(picture, name, (width - right + 38, y))
    if not cv2.imwrite(str(path), picture):
        raise DataError(f"{path} can't be written")


def _smooth(values: Sequence[float]) -> NDArray[np.float64]:
    """A running mean that leaves out what is missing."""
    line = np.asarray(values, np.float64)
    known = np.isfinite(line)
    window = np.ones(max(1, min(_SMOOTH, len(line) // 10)))
    total = np.convolve(np.where(known, line, 0), window, "same")
    count = np.convolve(known.astype(float), window, "same")
    return np.where(known & (count > 0), total / np.maximum(count, 1), np.nan)


def _write(picture: NDArray[np.uint8], text: str, at: tuple[int, int]) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (60, 60, 60), 1, cv2.LINE_AA)
