"""Finds the tiles of a picture in which nothing moves, under whatever noise the camera has."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ._state import State
from .warp import Floats

_TILE: Final = 8
"""Pixels of the small picture across a tile."""
_DIFFERENCE: Final = (1.0, 3.0)
"""Least and most, of 255 and after smoothing, that counts as motion; in between, by the noise."""
_NOISES: Final = 6.0
"""Median differences from frame to frame that noise stays below: four deviations."""
_MEDIAN_STEP: Final = 4
_FLOW_CELL: Final = (21, 21)
_SPEED: Final = 0.3
"""Pixels of the small picture a frame, on average over a cell, that count as motion."""
_NEWEST: Final = 0.15
"""Share of the latest frame in that average over time: what noise makes of flow differs from frame
to frame, motion goes on.
"""
_SHARE: Final = 0.05
_FEATHER: Final = 13
"""Pixels of the small picture over which a tile that rests goes over into one that does not."""
_ALL: Final = 1 - 0.5 / _FEATHER**2
_REST: Final = 12
"""Frames for which nothing must have moved: by then what is shown there has been averaged."""


class Still:
    """A tile rests once hardly a pixel of it has left its anchor for a while, which is the picture
    when it last moved.
    """

    def __init__(self, smooth: Floats) -> None:
        self._anchor, self._last = smooth.copy(), smooth
        self._flow = np.zeros((*smooth.shape, 2), np.float32)
        height, width = smooth.shape
        self._rests = np.zeros((-(-height // _TILE), -(-width // _TILE)), np.int32)

    def remember(self) -> State:
        """What `recall` needs."""
        return {
            "anchor": self._anchor,
            "last": self._last,
            "flow": self._flow,
            "rests": self._rests,
        }

    @classmethod
    def recall(cls, state: State) -> "Still":
        """As it was when it gave `state`."""
        still = cls(state["anchor"])
        still._last, still._flow, still._rests = state["last"], state["flow"], state["rests"]
        return still

    def update(self, smooth: Floats, flow: Floats) -> Floats | None:
        """How far each place rests, (h, w) in 0..1; None where no tile rests.

        It is 1 where nothing has moved all around, and falls towards tiles that do not rest:
        tiles come to rest at different moments, and with hard borders strokes would end at them.

        `smooth` (h, w) is the picture, `flow` (h, w, 2) how it moved: on a cheek that turns,
        nothing but that tells of it.
        """
        height, width = smooth.shape
        noise = cv2.absdiff(smooth, self._last)[::_MEDIAN_STEP, ::_MEDIAN_STEP]
        limit = float(np.clip(_NOISES * np.median(noise), *_DIFFERENCE))
        self._last = smooth
        off = cv2.absdiff(smooth, self._anchor) > limit
        cv2.accumulateWeighted(flow, self._flow, _NEWEST)
        broad = cv2.blur(self._flow, _FLOW_CELL)
        off |= broad[..., 0] ** 2 + broad[..., 1] ** 2 > _SPEED**2
        down, right = -height % _TILE, -width % _TILE
        padded = cv2.copyMakeBorder(
            off.astype(np.uint8) * 255, 0, down, 0, right, cv2.BORDER_REPLICATE
        )
        share = cv2.resize(padded, self._rests.shape[::-1], interpolation=cv2.INTER_AREA)
        moved = share > 255 * _SHARE
        self._rests = np.where(moved, 0, self._rests + 1).astype(np.int32)
        np.copyto(self._anchor, smooth, where=_by_pixel(moved, smooth.shape).astype(bool))
        resting = self._rests >= _REST
        if not resting.any():
            return None
        soft = cv2.blur(_by_pixel(resting, smooth.shape), (_FEATHER, _FEATHER))
        # sums of whole numbers, which rounding must not keep from being all of them
        return np.asarray(np.where(soft > _ALL, 1, soft), np.float32)


def _by_pixel(tiles: NDArray[np.bool_], shape: tuple[int, ...]) -> Floats:
    """0 or 1 for each tile as a value for each pixel, (h, w)."""
    size = (tiles.shape[1] * _TILE, tiles.shape[0] * _TILE)
    large = cv2.resize(tiles.astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(large[: shape[0], : shape[1]], np.float32)
