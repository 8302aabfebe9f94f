"""Finds the tiles of a picture in which nothing moves, under whatever noise the camera has."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from .warp import Floats

_TILE: Final = 8
"""Pixels of the small picture across a tile."""
_DIFFERENCE: Final = 2.5
"""Of 255, after smoothing: noise stays below it."""
_SHARE: Final = 0.05
_AGE: Final = 12


class Still:
    """A tile rests while hardly a pixel of it leaves its anchor, which is the picture when it came
    to rest; it must have been averaged for a while first.
    """

    def __init__(self, smooth: Floats) -> None:
        self._anchor = smooth.copy()

    def update(self, smooth: Floats, age: Floats) -> NDArray[np.bool_] | None:
        """Where nothing has moved, (h, w); None where no tile rests.

        `smooth` (h, w) is the picture, `age` for how many frames its places have been followed.
        """
        height, width = smooth.shape
        off = cv2.absdiff(smooth, self._anchor) > _DIFFERENCE
        off |= age < _AGE
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
