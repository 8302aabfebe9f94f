"""Pictures of what was measured: a plot of the table, and a video of the tiers side by side."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from .errors import SinkOpenError
from .frame import Extras, Frame, Pixels, VideoInfo
from .sinks._containers import EncodeOptions
from .sinks.file import FileSink

_MEASURES: Final = ("e1", "e9", "infidelity", "sharpness", "ghost")
_BAR, _ROW, _LABEL, _GAP = 220, 22, 90, 14
_INK: Final = (40, 40, 40)
_GOOD: Final = (170, 140, 60)
_BAD: Final = (90, 90, 200)


def write_plot(path: Path, table: Mapping[str, Mapping[str, Any]]) -> None:
    """Bars of every measure for every row of the table, cheats and all, as a PNG or JPEG.

    Raises `SinkOpenError`.
    """
    width = _LABEL + len(_MEASURES) * (_BAR + _GAP)
    height = (len(table) + 2) * _ROW
    picture = np.full((height, width, 3), 255, np.uint8)
    for column, measure in enumerate(_MEASURES):
        left = _LABEL + column * (_BAR + _GAP)
        _write(picture, measure, left, _ROW - 6)
        for row, (name, result) in enumerate(table.items()):
            top = (row + 1) * _ROW
            if column == 0:
                _write(picture, name, 4, top + _ROW - 6)
            value = float(result["median"].get(measure, 0.0))
            length = int(min(value, 1.0) * (_BAR - 60))
            colour = _BAD if measure in result["failed"] else _GOOD
            cv2.rectangle(picture, (left, top + 4), (left + length, top + _ROW - 4), colour, -1)
            _write(picture, f"{value:.3f}", left + length + 4, top + _ROW - 6)
    _write(picture, "red: fails its gate", 4, height - 6)
    if not cv2.imwrite(str(path), picture):
        raise SinkOpenError(
            f"the plot can't be written to {path}: name a .png in a folder there is"
        )


def write_comparison(path: Path, shown: Mapping[str, Sequence[Pixels]], rate: Fraction) -> None:
    """The tiers side by side, with their names, as a video. Raises `SinkOpenError`."""
    names = list(shown)
    columns = 2 if len(names) > 1 else 1
    rows = -(-len(names) // columns)
    height, width = shown[names[0]][0].shape[:2]
    info = VideoInfo(width * columns, height * rows, rate, 1 / rate)
    sink = FileSink(path, info, Extras(), EncodeOptions(overwrite=True))
    try:
        for t in range(len(shown[names[0]])):
            canvas = np.zeros((height * rows, width * columns, 3), np.uint8)
            for place, name in enumerate(names):
                y, x = divmod(place, columns)
                cell = canvas[y * height : (y + 1) * height, x * width : (x + 1) * width]
                cell[:] = shown[name][t]
                _label(cell, name)
            sink.write(Frame(canvas, Fraction(t) / rate, 1 / rate))
        sink.finish()
    except BaseException:
        sink.abandon()
        raise


def _label(cell: Pixels, text: str) -> None:
    for colour, thick in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(cell, text, (10, 26), cv2.FONT_HERSHEY_SIMPLEX, 0.7, colour, thick, cv2.LINE_AA)


def _write(picture: Pixels, text: str, x: int, y: int) -> None:
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
