"""Full-size arithmetic by strips of rows that fit the processor's cache, several at once.

On whole frames of float32 the same steps wait for memory and take three times as long. Strips do
not depend on the number of threads, so neither do results.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import cv2
import numpy as np

from .frame import Pixels
from .warp import Floats

Strip = tuple[int, int]
"""First row and the row behind the last."""

_ROWS: Final = 48
_REACH: Final = 1
_SHARPEN_MOST: Final = 3.0
_GIVEN_BACK: Final = 0.96
"""Share of the painting's gradient energy: what is sharpened flickers more."""
_SAMPLE_ROWS: Final = 16
"""How many rows sharpness is judged by."""


class Strips:
    """The strips of pictures of one height, and the threads that work on them.

    `scale` is how many pixels of the picture one of the small fields (flow, weights) is high.
    """

    def __init__(self, height: int, scale: int, threads: int) -> None:
        rows = max(1, _ROWS // scale) * scale
        self.rows, self.count = rows, threads
        self._strips = [(top, min(top + rows, height)) for top in range(0, height, rows)]
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="stylize-blend")

    def for_all(self, work: Callable[[Strip, int], None]) -> None:
        """Call `work` for all strips, with the number of the thread, 0 to `count` - 1."""

        def share(number: int) -> None:
            for strip in self._strips[number :: self.count]:
                work(strip, number)

        list(self._pool.map(share, range(self.count)))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)


def enlarged(framed: Floats, strip: Strip, scale: int, width: int, memory: Floats) -> Floats:
    """The rows of a strip, of a small field with a frame of one pixel, in `memory`."""
    top, bottom = strip
    band = framed[top // scale : -(-bottom // scale) + 2]
    shape = (band.shape[0] * scale, band.shape[1] * scale, *band.shape[2:])
    large = memory[: int(np.prod(shape))].reshape(shape)
    cv2.resize(band, shape[1::-1], dst=large, interpolation=cv2.INTER_LINEAR)
    return large[scale : scale + bottom - top, scale : scale + width]


def framed(field: Floats) -> Floats:
    """With one more pixel around, equal to its neighbour."""
    return np.asarray(cv2.copyMakeBorder(field, 1, 1, 1, 1, cv2.BORDER_REPLICATE), np.float32)


def framed_places(flow: Floats, scale: int) -> Floats:
    """Where the centres of the flow's pixels, and of one more around, come from: (h+2, w+2, 2), in
    pixels of the full picture.

    Enlarging these linearly gives the map for every pixel: places are linear between centres, and
    the frame keeps them so up to the edges.
    """
    height, width = flow.shape[:2]
    y, x = np.mgrid[-1 : height + 1, -1 : width + 1].astype(np.float32)
    return np.asarray((np.dstack([x, y]) + 0.5) * scale - 0.5 + framed(flow) * scale, np.float32)


def sharpen(picture: Pixels, strip: Strip, amount: float, out: Pixels) -> None:
    """An unsharp mask on the rows of a strip of RGB (H, W, 3) uint8, into `out`."""
    top, bottom = strip
    if amount <= 0:
        np.copyto(out, picture[top:bottom])
        return
    above, below = max(0, top - _REACH), min(picture.shape[0], bottom + _REACH)
    blurred = _blurred(picture[above:below])[top - above : bottom - above]
    cv2.addWeighted(picture[top:bottom], 1 + amount, blurred, -amount, 0, dst=out)


def wanted_sharpening(plain: Pixels, goal: Pixels) -> float:
    """The k for which plain + k (plain - blurred) has nearly the gradient energy of `goal`.

    Solves the quadratic equation in k, on the green of a few pairs of rows.
    """
    ours, detail, theirs, across = 0.0, 0.0, 0.0, 0.0
    apart = max(1, plain.shape[0] // _SAMPLE_ROWS)
    for row in range(_REACH, plain.shape[0] - _REACH - 1, apart):
        around = plain[row - _REACH : row + _REACH + 2]
        inner = slice(_REACH, _REACH + 2)
        gradient = _gradient(around[inner])
        finer = gradient - _gradient(_blurred(around)[inner])
        wanted = _gradient(goal[row : row + 2])
        ours += float(gradient @ gradient)
        detail += float(finer @ finer)
        across += float(gradient @ finer)
        theirs += float(wanted @ wanted)
    missing = _GIVEN_BACK * theirs - ours
    if missing <= 0 or detail <= 0:
        return 0.0
    root = float(np.sqrt(across * across + detail * missing)) - across
    return min(root / detail, _SHARPEN_MOST)


def _gradient(rows: Pixels) -> Floats:
    """The differences of the green of two rows, along and across: one row of numbers."""
    green = rows[..., 1].astype(np.float32)
    return np.concatenate([np.diff(green[0]), np.diff(green, axis=0)[0]])


def _blurred(picture: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(picture, (3, 3), 0), np.uint8)
