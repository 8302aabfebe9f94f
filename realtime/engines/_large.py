"""Large frames in tiles, so that a network's memory is bounded: the same picture to the bit.

Nothing in the networks of one painting depends on more of a frame than lies within `REACH_PX` of a
pixel, and on where it lies in their grid of `GRID_PX`. So a tile that begins on the grid and has
that much around what is kept of it paints what the whole frame would; in float arithmetic sums may
be taken in another order, a level at most. All tiles of a frame are of one size: networks are
compiled by size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..frame import Pixels

REACH_PX: Final = 128
"""How far a pixel may be influenced from; the widest measured is 100."""
GRID_PX: Final = 8
_MOST_TILES: Final = 64  # along a side
LEAST_PIXELS: Final = (6 * REACH_PX) ** 2
"""Smaller tiles would be mostly surroundings."""


@dataclass(frozen=True)
class Span:
    """Part of a side that is painted, and what is kept of it; both in pixels of the frame."""

    start: int
    keep_from: int
    keep_to: int


@dataclass(frozen=True)
class Grid:
    """How a frame is cut: all tiles are `width` x `height`."""

    width: int
    height: int
    columns: tuple[Span, ...]
    rows: tuple[Span, ...]

    @property
    def pixels(self) -> int:
        """Pixels painted in all, surroundings included."""
        return self.width * self.height * len(self.columns) * len(self.rows)


def plan_grid(width: int, height: int, most_pixels: int) -> Grid:
    """The cheapest cut of a frame into tiles of `most_pixels` at most."""
    most = max(most_pixels, LEAST_PIXELS)
    widths, heights = _cuts(width), _cuts(height)
    grids = [
        Grid(tile_width, tile_height, columns, rows)
        for tile_width, columns in widths
        for tile_height, rows in heights
        if tile_width * tile_height <= most
    ]
    if not grids:  # one side is thousands of times the other
        return Grid(widths[-1][0], heights[-1][0], widths[-1][1], heights[-1][1])
    return min(grids, key=lambda grid: grid.pixels)


def paint_in_tiles(run: Callable[[Pixels], Pixels], pixels: Pixels, grid: Grid) -> Pixels:
    """The painting of a frame, RGB (H, W, 3) uint8, tile by tile."""
    painted = np.empty_like(pixels)
    for row in grid.rows:
        for column in grid.columns:
            tile = pixels[
                row.start : row.start + grid.height, column.start : column.start + grid.width
            ]
            result = run(np.ascontiguousarray(tile))
            painted[row.keep_from : row.keep_to, column.keep_from : column.keep_to] = result[
                row.keep_from - row.start : row.keep_to - row.start,
                column.keep_from - column.start : column.keep_to - column.start,
            ]
    return painted


def _cuts(length: int) -> list[tuple[int, tuple[Span, ...]]]:
    """The ways to cut a side: the length of a tile and its spans, for one tile, two and so on."""
    whole: list[tuple[int, tuple[Span, ...]]] = [(length, (Span(0, 0, length),))]
    for count in range(2, _MOST_TILES + 1):
        # the last tile begins on the grid and ends with the frame
        tile = -(-(length + 2 * REACH_PX * (count - 1)) // count) + GRID_PX
        tile += (length - tile) % GRID_PX
        if tile < 4 * REACH_PX or tile >= length:
            break
        steps = (length - tile) // GRID_PX
        starts = [i * steps // (count - 1) * GRID_PX for i in range(count)]
        # between two tiles the border lies in the middle of what both have painted
        borders = [(starts[i] + tile + starts[i + 1]) // 2 for i in range(count - 1)]
        edges = [0, *borders, length]
        spans = tuple(Span(starts[i], edges[i], edges[i + 1]) for i in range(count))
        if all(_far_enough(span, tile, length) for span in spans):
            whole.append((tile, spans))
    return whole


def _far_enough(span: Span, tile: int, length: int) -> bool:
    """Whether what is kept has its surroundings, or the frame ends there."""
    before = span.start == 0 or span.keep_from - span.start >= REACH_PX
    end = span.start + tile
    return before and (end == length or end - span.keep_to >= REACH_PX)
