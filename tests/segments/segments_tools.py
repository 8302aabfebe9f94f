"""A film, and how it is painted in segments: what tests of these share."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from doubles import Negative, interrupt_at
from media import LOSSLESS, rolling, write_film

from stylize_video.realtime.segments import SegmentSettings
from stylize_video.realtime.video import Result, VideoSettings, paint_video

ONE_SECOND = SegmentSettings(seconds=Fraction(1), always=True)


def film_in(folder: Path) -> Path:
    """Four seconds with sound, a cut in the middle, at a rate that wanders."""
    return write_film(folder / "film.mkv", 100, (128, 96), rolling(55))


def paint(
    source: Path, target: Path, engine: Any = None, stop: int | None = None, **changes: Any
) -> Result:
    settings = replace(VideoSettings(threads=1, write=LOSSLESS, segments=ONE_SECOND), **changes)
    watcher = interrupt_at(stop) if stop else None
    return paint_video(str(source), str(target), engine or Negative(), settings, watcher)
