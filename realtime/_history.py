"""The painted past of a video, and the arithmetic that carries it on at full size.

Everything runs on strips of rows that fit the processor's cache, several at once: on whole frames
of float32 the same steps wait for memory, and take three times as long. Strips do not depend on the
number of threads, so neither do results.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from .flow import Grey
from .frame import Pixels
from .warp import Floats, warp

_STRIP_ROWS: Final = 48
_SHARPEN_MOST: Final = 1.5
_SHARPEN_SIGMA: Final = 1.2
_SHARPEN_REACH: Final = 2
_SHARPEN_INERTIA: Final = 0.5
_SAMPLE_ROWS: Final = 24
"""How many rows sharpness is judged by."""
_BROAD: Final = 16
"""Pixels across the cells in which colours follow the light."""


@dataclass(frozen=True)
class Step:
    """What a frame does to the history; fields are (h, w) or (h, w, 2) at the size of the flow."""

    flow: Floats
    weight: Floats
    """How much of the past stays, 0..1."""
    still: NDArray[np.bool_] | None = None
    """What stays exactly as it was."""
    cubic: bool = False
    follow: float = 0.0
    """Share of the difference in broad colour to the painting that is taken over first."""


class _Scratch:
    """The memory one thread computes a strip in: fresh memory costs more than the arithmetic."""

    def __init__(self, rows: int, width: int, scale: int) -> None:
        # the flow's pixels may reach beyond the picture's last one
        around = (rows + 2 * scale) * (width + 3 * scale)
        self.places = np.empty(around * 2, np.float32)
        self.weight = np.empty(around, np.float32)
        self.rest = np.empty((rows, width), np.float32)
        self.carried = np.empty((rows, width, 3), np.float32)
        self.fresh = np.empty((rows, width, 3), np.float32)
        self.blurred = np.empty((rows + 2 * _SHARPEN_REACH, width, 3), np.uint8)


class History:
    """The stable painting of the latest frame, (H, W, 3) float32 in 0..255, and what was shown.

    `scale` is how many of its pixels one of the flow's is wide and high.
    """

    def __init__(self, painted: Pixels, scale: int, threads: int) -> None:
        height, width = painted.shape[:2]
        self.shape, self._scale, self._width = painted.shape, scale, width
        rows = max(1, _STRIP_ROWS // scale) * scale
        self._strips = [(top, min(top + rows, height)) for top in range(0, height, rows)]
        self._scratch = [_Scratch(rows, width, scale) for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="stylize-blend")
        self._result = painted.astype(np.float32)
        self._next = np.empty_like(self._result)
        self._plain = np.empty_like(painted)
        self.shown = painted
        self._sharpen = 0.0

    def restart(self, painted: Pixels) -> None:
        """Begin anew with this painting."""
        np.copyto(self._result, painted)
        self.shown, self._sharpen = painted, 0.0

    def advance(self, painted: Pixels, step: Step) -> Pixels:
        """Carry the past on by a step and blend the painting in; what is shown of it, (H, W, 3)
        uint8.
        """
        places = _framed_places(step.flow, self._scale)
        weight = _framed(step.weight)
        still = None if step.still is None else step.still.astype(np.uint8) * 255
        broad = self._broad(painted, places) if step.follow else None
        shown = np.empty_like(painted)

        def blend(strip: tuple[int, int], scratch: _Scratch) -> None:
            self._blend(strip, scratch, painted, places, weight, still, broad, step)

        self._for_all(blend)
        self._for_all(lambda strip, scratch: self._show(strip, scratch, shown, still))
        self._result, self._next = self._next, self._result
        self._sharpen += (1 - _SHARPEN_INERTIA) * (self._wanted_sharpening(painted) - self._sharpen)
        self.shown = shown
        return shown

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _for_all(self, work: Callable[[tuple[int, int], _Scratch], None]) -> None:
        """Do it for all strips, in as many threads as there is scratch memory for."""
        count = len(self._scratch)

        def share(number: int) -> None:
            for strip in self._strips[number::count]:
                work(strip, self._scratch[number])

        list(self._pool.map(share, range(count)))

    def _blend(
        self,
        strip: tuple[int, int],
        scratch: _Scratch,
        painted: Pixels,
        places: Floats,
        weight: Floats,
        still: Pixels | None,
        broad: Floats | None,
        step: Step,
    ) -> None:
        top, bottom = strip
        rows = bottom - top
        method = cv2.INTER_CUBIC if step.cubic else cv2.INTER_LINEAR
        carried, fresh = scratch.carried[:rows], scratch.fresh[:rows]
        at = self._enlarged(places, strip, scratch.places)
        warp(self._result, at, method, into=carried)
        if broad is not None:
            part = _rows_of(broad, top / _BROAD, bottom / _BROAD, (self._width, rows))
            cv2.scaleAdd(part, step.follow, carried, dst=carried)
        keep = self._enlarged(weight, strip, scratch.weight)
        rest = np.subtract(1, keep, out=scratch.rest[:rows])
        np.copyto(fresh, painted[top:bottom])
        result = self._next[top:bottom]
        cv2.blendLinear(carried, fresh, keep, rest, dst=result)
        if still is not None:
            cv2.copyTo(self._result[top:bottom], self._mask(still, strip), result)
        cv2.convertScaleAbs(result, dst=self._plain[top:bottom])

    def _show(
        self, strip: tuple[int, int], scratch: _Scratch, shown: Pixels, still: Pixels | None
    ) -> None:
        top, bottom = strip
        above = max(0, top - _SHARPEN_REACH)
        below = min(self.shape[0], bottom + _SHARPEN_REACH)
        plain, out = self._plain[top:bottom], shown[top:bottom]
        if self._sharpen > 0:
            blurred = scratch.blurred[: below - above]
            cv2.GaussianBlur(self._plain[above:below], (5, 5), _SHARPEN_SIGMA, dst=blurred)
            inner, amount = blurred[top - above : bottom - above], self._sharpen
            cv2.addWeighted(plain, 1 + amount, inner, -amount, 0, dst=out)
        else:
            np.copyto(out, plain)
        if still is not None:
            cv2.copyTo(self.shown[top:bottom], self._mask(still, strip), out)

    def _enlarged(self, framed: Floats, strip: tuple[int, int], memory: Floats) -> Floats:
        """The rows of a strip, of a small field with a frame of one pixel, in `memory`."""
        scale, (top, bottom) = self._scale, strip
        band = framed[top // scale : -(-bottom // scale) + 2]
        shape = (band.shape[0] * scale, band.shape[1] * scale, *band.shape[2:])
        large = memory[: int(np.prod(shape))].reshape(shape)
        cv2.resize(band, shape[1::-1], dst=large, interpolation=cv2.INTER_LINEAR)
        return large[scale : scale + bottom - top, scale : scale + self._width]

    def _mask(self, still: Pixels, strip: tuple[int, int]) -> Pixels:
        scale, (top, bottom) = self._scale, strip
        band = still[top // scale : -(-bottom // scale)]
        size = (band.shape[1] * scale, band.shape[0] * scale)
        large = cv2.resize(band, size, interpolation=cv2.INTER_NEAREST)
        return np.ascontiguousarray(large[: bottom - top, : self._width], np.uint8)

    def _broad(self, painted: Pixels, places: Floats) -> Floats:
        """How much the broad colours of the painting differ from the past's."""
        height, width = self.shape[:2]
        size = (max(1, -(-width // _BROAD)), max(1, -(-height // _BROAD)))
        inner = places[1:-1, 1:-1]
        small = cv2.resize(self._result, inner.shape[1::-1], interpolation=cv2.INTER_AREA)
        scaled = (inner + 0.5) / self._scale - 0.5
        carried = warp(np.asarray(small, np.float32), scaled.astype(np.float32))
        goal = cv2.resize(painted, inner.shape[1::-1], interpolation=cv2.INTER_AREA)
        return np.asarray(
            cv2.resize(goal - carried, size, interpolation=cv2.INTER_AREA), np.float32
        )

    def _wanted_sharpening(self, goal: Pixels) -> float:
        """The k for which plain + k (plain - blurred) has the gradient energy of `goal`.

        Solves the quadratic equation in k, on the green of a few pairs of rows.
        """
        ours, detail, theirs, across = 0.0, 0.0, 0.0, 0.0
        reach = _SHARPEN_REACH
        apart = max(1, self.shape[0] // _SAMPLE_ROWS)
        for row in range(reach, self.shape[0] - reach - 1, apart):
            plain = self._plain[row - reach : row + reach + 2]
            inner = slice(reach, reach + 2)
            gradient = _gradient(plain[inner])
            finer = gradient - _gradient(_blurred(plain)[inner])
            wanted = _gradient(goal[row : row + 2])
            ours += float(gradient @ gradient)
            detail += float(finer @ finer)
            across += float(gradient @ finer)
            theirs += float(wanted @ wanted)
        missing = theirs - ours
        if missing <= 0 or detail <= 0:
            return 0.0
        root = float(np.sqrt(across * across + detail * missing)) - across
        return min(root / detail, _SHARPEN_MOST)


def small_grey(seen: Pixels, scale: int) -> Grey:
    """The picture flow is computed on: (h, w) uint8, a pixel for every `scale` by `scale`.

    At the right and lower edge the last ones are repeated to fill it.
    """
    grey = cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    down, right = -height % scale, -width % scale
    if down or right:
        grey = cv2.copyMakeBorder(grey, 0, down, 0, right, cv2.BORDER_REPLICATE)
    size = (grey.shape[1] // scale, grey.shape[0] // scale)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _framed(field: Floats) -> Floats:
    """With one more pixel around, equal to its neighbour."""
    return np.asarray(cv2.copyMakeBorder(field, 1, 1, 1, 1, cv2.BORDER_REPLICATE), np.float32)


def _framed_places(flow: Floats, scale: int) -> Floats:
    """Where the centres of the flow's pixels, and of one more around, come from: (h+2, w+2, 2), in
    pixels of the full picture.

    Enlarging these linearly gives the map for every pixel: places are linear between centres, and
    the frame keeps them so up to the edges.
    """
    height, width = flow.shape[:2]
    y, x = np.mgrid[-1 : height + 1, -1 : width + 1].astype(np.float32)
    return np.asarray((np.dstack([x, y]) + 0.5) * scale - 0.5 + _framed(flow) * scale, np.float32)


def _rows_of(broad: Floats, low: float, high: float, size: tuple[int, int]) -> Floats:
    """The part of a small field between two of its rows, enlarged to `size`."""
    width, height = size
    x = (np.arange(width, dtype=np.float32) + 0.5) * (broad.shape[1] / width) - 0.5
    y = low + (np.arange(height, dtype=np.float32) + 0.5) * ((high - low) / height) - 0.5
    at_x, at_y = np.meshgrid(x, y)
    return np.asarray(
        cv2.remap(broad, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        np.float32,
    )


def _gradient(rows: Pixels) -> Floats:
    """The differences of the green of two rows, along and across: one row of numbers."""
    green = rows[..., 1].astype(np.float32)
    return np.concatenate([np.diff(green[0]), np.diff(green, axis=0)[0]])


def _blurred(picture: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(picture, (5, 5), _SHARPEN_SIGMA), np.uint8)
