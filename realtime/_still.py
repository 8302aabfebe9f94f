"""Finds the tiles of a picture in which nothing moves, under whatever noise the camera has."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ._state import State
from .warp import Floats

_TILE: Final = 8
"""Pixels of the small picture across a tile."""
_DIFFERENCE: Final = (1.0, 2.5)
"""Least and most, of 255 and after smoothing, that counts as motion; in between, by the noise."""
_NOISES: Final = 6.0
"""Median differences from frame to frame that noise stays below: four deviations."""
_MEDIAN_STEP: Final = 4
_FLOW_CELL: Final = (21, 21)
_SPEED: Final = 0.3
"""Pixels of the small picture a frame, on average over a cell, that count as motion."""
_SHARE: Final = 0.05
_AGE: Final = 12


class Still:
    """A tile rests while hardly a pixel of it leaves its anchor, which is the picture when it came
    to rest; it must have been averaged for a while first.
    """

    def __init__(self, smooth: Floats) -> None:
        self._anchor, self._last = smooth.copy(), smooth

    def remember(self) -> State:
        """What `recall` needs."""
        return {"anchor": self._anchor, "last": self._last}

    @classmethod
    def recall(cls, state: State) -> "Still":
        """As it was when it gave `state`."""
        still = cls(state["anchor"])
        still._last = state["last"]
        return still

    def update(self, smooth: Floats, age: Floats, flow: Floats) -> NDArray[np.bool_] | None:
        """Where nothing has moved, (h, w); None where no tile rests.

        `smooth` (h, w) is the picture, `age` for how many frames its places have been followed,
        `flow` (h, w, 2) how they moved: on a cheek that turns, nothing but that tells of it.
        """
        height, width = smooth.shape
        noise = cv2.absdiff(smooth, self._last)[::_MEDIAN_STEP, ::_MEDIAN_STEP]
        limit = float(np.clip(_NOISES * np.median(noise), *_DIFFERENCE))
        self._last = smooth
        off = cv2.absdiff(smooth, self._anchor) > limit
        off |= age < _AGE
        broad = cv2.blur(flow, _FLOW_CELL)
        off |= broad[..., 0] ** 2 + broad[..., 1] ** 2 > _SPEED**2
        down, right = -height % _TILE, -width % _TILE
        padded = cv2.copyMakeBorder(
            off.astype(np.uint8) * 255, 0, down, 0, right, cv2.BORDER_REPLICATE
        )
        size = (padded.shape[1] // _TILE, padded.shape[0] // _TILE)
        share = cv2.resize(padded, size, interpolation=cv2.INTER_AREA)
        moving = cv2.resize(
            (share > 255 * _SHARE).astype(np.uint8),
            padded.shape[1::-1],
            interpolation=cv2.INTER_NEAREST,
        )[:height, :width].astype(bool)
        np.copyto(self._anchor, smooth, where=moving)
        return None if moving.all() else ~moving
