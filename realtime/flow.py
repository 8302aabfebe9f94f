"""Optical flow between two small grey pictures."""

from typing import Any, Final, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Flow = NDArray[np.float32]
Preset = Literal["ultrafast", "fast", "medium"]

_SOFT: Final = (5, 5)
_MIN_SIDE: Final = 24
"""DIS needs a few of its 8-pixel patches each way on its coarsest level."""


class FlowEstimator(Protocol):
    """Estimates where every pixel came from."""

    def estimate(self, now: Grey, before: Grey) -> Flow:
        """The backward flow (H, W, 2) float32 in pixels: now(x) looks like before(x + flow(x)).

        Both pictures (H, W) uint8, of one size.
        """
        ...


class DisFlow:
    """Dense inverse search (Kroeger et al. 2016), as OpenCV has it, down to half resolution.

    OpenCV's presets stop at a quarter, which costs long-term stability. Pictures too small for its
    patches are taken as still.
    """

    def __init__(self, preset: Preset = "ultrafast") -> None:
        presets = {
            "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
            "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
            "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
        }
        self._dis: Any = cv2.DISOpticalFlow.create(presets[preset])
        self._dis.setFinestScale(1)

    def estimate(self, now: Grey, before: Grey) -> Flow:
        """The backward flow from `now` to `before`."""
        if min(now.shape) < _MIN_SIDE:
            return np.zeros((*now.shape, 2), np.float32)
        flow = self._dis.calc(now, before, None)
        # patches that disagree by a fraction of a pixel would tear strokes along their edges
        return np.asarray(cv2.blur(flow, _SOFT), np.float32)


class StillFlow:
    """Nothing ever moves: for fixed cameras, and for tests."""

    def estimate(self, now: Grey, before: Grey) -> Flow:
        """Zeros."""
        return np.zeros((*now.shape, 2), np.float32)
