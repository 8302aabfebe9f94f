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
from .warp import Floats, grid

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
    centres = (grid(height + 2, width + 2) - np.float32(0.5)) * scale - np.float32(0.5)
    return np.asarray(centres + framed(flow) * scale, np.float32)


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
    apart = max(1, plain.shape[0] // _SAMPLE_ROWS)
    first = np.arange(_REACH, plain.shape[0] - _REACH - 1, apart)
    # (bands, 4, W): two rows each, and what their blur sees above and below
    around = plain[first[:, None] + np.arange(-_REACH, _REACH + 2), :, 1].astype(np.float32)
    inner = around[:, _REACH:-_REACH]
    gradient = _gradient(inner)
    finer = gradient - _gradient(_blurred_rows(around))
    wanted = _gradient(goal[first[:, None] + np.arange(2), :, 1].astype(np.float32))
    ours, detail = float(gradient @ gradient), float(finer @ finer)
    across, theirs = float(gradient @ finer), float(wanted @ wanted)
    missing = _GIVEN_BACK * theirs - ours
    if missing <= 0 or detail <= 0:
        return 0.0
    root = float(np.sqrt(across * across + detail * missing)) - across
    return min(root / detail, _SHARPEN_MOST)


def _gradient(rows: Floats) -> Floats:
    """The differences along and across of pairs of rows, (N, 2, W), as one row of numbers."""
    return np.concatenate([np.diff(rows[:, 0]).ravel(), (rows[:, 1] - rows[:, 0]).ravel()])


def _blurred_rows(around: Floats) -> Floats:
    """The inner two of four rows, (N, 4, W), as `_blurred` has them. (N, 4, W) -> (N, 2, W)"""
    down = around[:, :-2] + 2 * around[:, 1:-1] + around[:, 2:]
    wide = np.pad(down, ((0, 0), (0, 0), (1, 1)), mode="reflect")
    return np.asarray((wide[..., :-2] + 2 * wide[..., 1:-1] + wide[..., 2:]) / 16, np.float32)


def _blurred(picture: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(picture, (3, 3), 0), np.uint8)
