"""The tiles of a frame that a key's painting can't show, painted afresh and set in."""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from .frame import Pixels
from .warp import Floats, warp

TRUSTED: Final = 0.5
BROAD: Final = 16
"""Pixels across the cells in which colours follow the light."""
_TILE: Final = 128
_HALO: Final = 64
_LITTLE: Final = 0.05
_DIRTY: Final = 0.15
"""Share of a tile that the key can't show at which it is painted afresh."""


def dirty_tiles(weight: Floats, scale: int, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """The corners, y and x, of the tiles that the key can't show enough of."""
    side = max(1, _TILE // scale)
    holes = (weight < TRUSTED).astype(np.float32)
    found = []
    for y in range(0, shape[0], _TILE):
        for x in range(0, shape[1], _TILE):
            part = holes[y // scale : y // scale + side, x // scale : x // scale + side]
            if part.size and part.mean() > _DIRTY:
                found.append((y, x))
    return found


def paint_tile(paint: Callable[[Pixels], Pixels], picture: Pixels, y: int, x: int) -> Pixels:
    """The painting of a tile, from a crop with a halo: all crops are of one size."""
    height, width = picture.shape[:2]
    top, left = max(0, y - _HALO), max(0, x - _HALO)
    bottom, right = min(height, y + _TILE + _HALO), min(width, x + _TILE + _HALO)
    side = _TILE + 2 * _HALO
    crop = cv2.copyMakeBorder(
        picture[top:bottom, left:right],
        top - (y - _HALO),
        side - (bottom - (y - _HALO)),
        left - (x - _HALO),
        side - (right - (x - _HALO)),
        cv2.BORDER_REPLICATE,
    )
    painted = paint(np.asarray(crop, np.uint8))
    rows, columns = min(_TILE, height - y), min(_TILE, width - x)
    return painted[_HALO : _HALO + rows, _HALO : _HALO + columns]


def cost(tiles: list[tuple[int, int]]) -> int:
    """Pixels that are painted for these tiles."""
    return len(tiles) * (_TILE + 2 * _HALO) ** 2


def enlarged_weight(weight: Floats, scale: int, height: int, width: int) -> Floats:
    """(h, w) -> (H, W)"""
    size = (weight.shape[1] * scale, weight.shape[0] * scale)
    large = cv2.resize(weight, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(large[:height, :width], np.float32)


def weight_of_tile(weight: Floats, scale: int, y: int, x: int, shape: tuple[int, ...]) -> Floats:
    """The weights of a tile's own pixels, (rows, columns)."""
    rows, columns = shape[:2]
    at_y = ((np.arange(y, y + rows) + 0.5) / scale - 0.5).astype(np.float32)
    at_x = ((np.arange(x, x + columns) + 0.5) / scale - 0.5).astype(np.float32)
    places = np.dstack(np.meshgrid(at_x, at_y))
    return warp(weight, np.asarray(places, np.float32))


def tinted(own: Pixels, around: Pixels, keep: Floats) -> Pixels:
    """A tile in the broad colours of what is kept around it.

    A network that sees a crop alone may choose other colours for it than for the whole frame. The
    difference is averaged over what is kept, broadly, and taken from all of the tile.
    """
    height, width = own.shape[:2]
    size = (max(1, width // BROAD), max(1, height // BROAD))
    difference = (around.astype(np.float32) - own) * keep[..., None]
    total = cv2.blur(cv2.resize(difference, size, interpolation=cv2.INTER_AREA), (5, 5))
    share = cv2.blur(cv2.resize(keep, size, interpolation=cv2.INTER_AREA), (5, 5))
    # (h, w) -> (h, w, 1); where hardly anything is kept, the tile keeps its own colours
    shift = total / (np.maximum(share, 0).reshape(total.shape[:2])[..., None] + _LITTLE)
    large = cv2.resize(shift, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(own + large, 0, 255), np.uint8)


def mixed(kept: Pixels, fresh: Pixels, keep: Floats) -> Pixels:
    rest = np.asarray(1 - keep, np.float32)
    share = np.ascontiguousarray(keep)
    return np.asarray(
        cv2.blendLinear(np.ascontiguousarray(kept), np.ascontiguousarray(fresh), share, rest),
        np.uint8,
    )
