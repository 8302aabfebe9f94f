"""Measures of speed and memory, and of how steady and faithful a painted video is."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from .warp import Floats, Mask, forward_backward_agree, warp

_FB_TOLERANCE: Final = 0.5
_BOUNDARY_RELATIVE: Final = 0.01
_BOUNDARY: Final = 0.002


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and best of durations, in milliseconds."""
    values = np.asarray(seconds, float) * 1000
    return {
        "p50_ms": float(np.percentile(values, 50)),
        "p95_ms": float(np.percentile(values, 95)),
        "best_ms": float(values.min()),
    }


def peak_memory_mb() -> float | None:
    """The most memory this process has held, in MB (10^6 bytes); None where the system doesn't
    say.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    status = Path("/proc/self/status")
    if status.is_file():
        # there, getrusage also counts what the program that started this one held
        lines = status.read_text().splitlines()
        high = next((line.split()[1] for line in lines if line.startswith("VmHWM")), None)
        if high is not None:
            return int(high) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def warping_error(
    now: NDArray[np.uint8], before: NDArray[np.uint8], places: Floats, visible: Mask
) -> float:
    """Mean squared difference, over 0..1, between a picture and an earlier one warped onto it.

    E1 of consecutive frames (Lai et al. 2018, section 4.3): `places` says where its pixels were.
    Only comparable as a ratio, on the same frames, with the same flow.
    """
    carried = warp(before.astype(np.float32), places)
    return float(((now - carried)[visible] ** 2).mean() / 255**2)


def infidelity(result: NDArray[np.uint8], painted: NDArray[np.uint8]) -> float:
    """Mean squared difference to the painting of the frame by itself, over its variance."""
    goal = painted.astype(np.float32)
    return float(((result - goal) ** 2).mean() / max(float(goal.var()), 1.0))


def gradient_energy(picture: NDArray[np.uint8]) -> float:
    """Mean squared difference of neighbouring pixels, both ways: how sharp a picture is."""
    values = picture.astype(np.float32)
    return float((np.diff(values, axis=0) ** 2).mean() + (np.diff(values, axis=1) ** 2).mean())


def texture_correlation(
    now: NDArray[np.uint8], before: NDArray[np.uint8], places: Floats, visible: Mask
) -> float:
    """Correlation of fine structure with that of an earlier picture warped onto it, -1..1: rho.

    Both are less their mean over 9x9 pixels, so that strokes count and shapes don't.
    """
    carried = warp(before.astype(np.float32), places)
    ours, theirs = (_fine(p)[visible].ravel() for p in (now.astype(np.float32), carried))
    scale = float(np.sqrt((ours @ ours) * (theirs @ theirs)))
    return float(ours @ theirs) / scale if scale > 0 else 1.0


def reliable(flow: Floats, back: Floats) -> Mask:
    """Where flow (H, W, 2) may judge: seen in both pictures, and no motion boundary.

    The consistency check and its constants are those of Ruder et al. 2016, equations 5 and 6.
    """
    gradient = np.zeros(flow.shape[:2], np.float32)
    for channel in range(2):
        dy, dx = np.gradient(flow[..., channel])
        gradient += (dx**2 + dy**2).astype(np.float32)
    squared = (flow[..., 0] ** 2 + flow[..., 1] ** 2).astype(np.float32)
    edge = gradient > _BOUNDARY_RELATIVE * squared + _BOUNDARY
    return np.asarray(forward_backward_agree(flow, back, _FB_TOLERANCE) & ~edge)


def _fine(picture: Floats) -> Floats:
    return np.asarray(picture - cv2.blur(picture, (9, 9)), np.float32)
