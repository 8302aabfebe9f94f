"""How steady a stage is on real clips, judged by a flow of another family than its own.

Farnebäck's polynomial expansion judges what dense inverse search has steadied: an estimator that
judges itself flatters itself. The error is that of Lai et al. 2018, section 4.3, and counts only as
a ratio to the painting of each frame by itself, on the same frames.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from ._steadiness import SETTLED
from .errors import SourceOpenError
from .frame import Frame, Pixels
from .metrics import gradient_energy, reliable, warping_error
from .sources.file import FileOptions, FileSource
from .warp import Floats, Mask, grid

LEAST_FRAMES: Final = 8
_JUDGE_WIDTH: Final = 640


def read_clip(path: Path, frames: int) -> list[Pixels]:
    """The first frames of a clip. Raises `SourceOpenError`."""
    source = FileSource(path, FileOptions(audio=False))
    found: list[Pixels] = []
    try:
        for item in source:
            if isinstance(item, Frame):
                found.append(item.pixels)
                if len(found) == frames:
                    break
    finally:
        source.close()
    return found


def check_clip(path: Path) -> None:
    """Raises `SourceOpenError` unless the clip can be read and has frames enough to judge by."""
    count = len(read_clip(path, LEAST_FRAMES))
    if count < LEAST_FRAMES:
        raise SourceOpenError(f"{path} has {count} frames: at least {LEAST_FRAMES} are needed")


class ClipJudge:
    """The flow of a clip and where it can be relied on, once for all stages."""

    def __init__(self, seen: Sequence[Pixels]) -> None:
        self._steps: list[tuple[Floats, Mask]] = [_step(b, a) for a, b in pairwise(seen)]

    def measure(
        self, frames: Sequence[Pixels], painted: Sequence[Pixels], frame_seconds: float
    ) -> dict[str, float]:
        """Warping error and sharpness as ratios to `painted`, and milliseconds a frame."""
        ours, alone = self._error(frames), self._error(painted)
        sharp, goal = (
            float(np.mean([gradient_energy(p) for p in pictures[SETTLED:]]))
            for pictures in (frames, painted)
        )
        return {
            "warping": ours / max(alone, 1e-12),
            "sharpness": sharp / max(goal, 1e-9),
            "ms": 1000 * frame_seconds,
        }

    def _error(self, frames: Sequence[Pixels]) -> float:
        total = 0.0
        for t in range(SETTLED, len(frames)):
            places, sure = self._steps[t - 1]
            if sure.any():
                total += warping_error(frames[t], frames[t - 1], places, sure)
        return total


def _step(now: Pixels, before: Pixels) -> tuple[Floats, Mask]:
    """Where the pixels of `now` were, (H, W, 2), and which are known to have been there."""
    height, width = now.shape[:2]
    scale = max(1.0, width / _JUDGE_WIDTH)
    size = (round(width / scale), round(height / scale))
    small = [
        cv2.cvtColor(cv2.resize(p, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        for p in (now, before)
    ]
    flow, back = (_farneback(*pair) for pair in (small, small[::-1]))
    sure = reliable(flow, back)
    large = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(scale)
    known = cv2.resize(
        sure.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
    ).astype(bool)
    return np.asarray(grid(height, width) + large, np.float32), known


def _farneback(now: Any, before: Any) -> Floats:
    return np.asarray(
        cv2.calcOpticalFlowFarneback(now, before, None, 0.5, 3, 15, 3, 5, 1.2, 0),  # type: ignore[call-overload]
        np.float32,
    )
