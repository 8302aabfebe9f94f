"""The painted past of a video, and the arithmetic that carries it on at full size."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ._state import State
from ._strips import (
    Strip,
    Strips,
    enlarged,
    framed,
    framed_places,
    sharpen,
    wanted_sharpening,
)
from .frame import Pixels
from .warp import Floats, warp

_SHARPEN_INERTIA: Final = 0.5
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
        self.carried = np.empty((rows, width, 4), np.float32)
        self.fresh = np.empty((rows, width, 4), np.float32)
        self.bytes = np.empty((rows, width, 4), np.uint8)


class History:
    """The stable painting of the latest frame, RGBA (H, W, 4) float32 in 0..255, and what was
    shown.

    A fourth channel, which means nothing, lets pixels be sampled as vectors: in half the time.
    `scale` is how many of its pixels one of the flow's is wide and high.
    """

    def __init__(self, painted: Pixels, scale: int, threads: int) -> None:
        height, width = painted.shape[:2]
        self.shape, self._scale, self._width = painted.shape, scale, width
        self._strips = Strips(height, scale, threads)
        self._scratch = [_Scratch(self._strips.rows, width, scale) for _ in range(threads)]
        self._result = _with_alpha(painted).astype(np.float32)
        self._next = np.empty_like(self._result)
        self._plain = np.empty_like(painted)
        self.shown = painted
        self._sharpen, self._settled = 0.0, False

    def remember(self) -> State:
        """What `recall` needs."""
        return {
            "result": self._result,
            "shown": self.shown,
            "sharpen": self._sharpen,
            "settled": self._settled,
        }

    @classmethod
    def recall(cls, state: State, scale: int, threads: int) -> "History":
        """The history that gave `state`."""
        history = cls(state["shown"], scale, threads)
        history._result = state["result"]
        history._sharpen, history._settled = state["sharpen"], state["settled"]
        return history

    def restart(self, painted: Pixels) -> None:
        """Begin anew with this painting."""
        np.copyto(self._result, _with_alpha(painted))
        self.shown, self._settled = painted, False
        # the next amount is worked out from this one: left over, it would differ in its last bit
        self._sharpen = 0.0

    def advance(self, painted: Pixels, step: Step) -> Pixels:
        """Carry the past on by a step and blend the painting in; what is shown of it, (H, W, 3)
        uint8.
        """
        places = framed_places(step.flow, self._scale)
        weight = framed(step.weight)
        still = None if step.still is None else step.still.astype(np.uint8) * 255
        broad = self._broad(painted, places) if step.follow else None
        shown = np.empty_like(painted)

        def blend(strip: Strip, number: int) -> None:
            scratch = self._scratch[number]
            self._blend(strip, scratch, painted, places, weight, still, broad, step)

        def show(strip: Strip, _number: int) -> None:
            out = shown[strip[0] : strip[1]]
            sharpen(self._plain, strip, self._sharpen, out)
            if still is not None and self._any(still, strip):
                cv2.copyTo(self.shown[strip[0] : strip[1]], self._mask(still, strip), out)

        self._strips.for_all(blend)
        wanted = wanted_sharpening(self._plain, painted)
        inertia = _SHARPEN_INERTIA if self._settled else 0.0
        self._sharpen += (1 - inertia) * (wanted - self._sharpen)
        self._settled = True
        self._strips.for_all(show)
        self._result, self._next = self._next, self._result
        self.shown = shown
        return shown

    def close(self) -> None:
        """End the threads."""
        self._strips.close()

    def _blend(
        self,
        strip: Strip,
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
        carried, fresh = scratch.carried[:rows], scratch.fresh[:rows]
        at = enlarged(places, strip, self._scale, self._width, scratch.places)
        warp(self._result, at, into=carried)
        if broad is not None:
            part = rows_of(broad, top / _BROAD, bottom / _BROAD, (self._width, rows))
            carried[..., :3] += np.float32(step.follow) * part
        keep = enlarged(weight, strip, self._scale, self._width, scratch.weight)
        rest = np.subtract(1, keep, out=scratch.rest[:rows])
        pixels = scratch.bytes[:rows]
        cv2.cvtColor(painted[top:bottom], cv2.COLOR_RGB2RGBA, dst=pixels)
        np.copyto(fresh, pixels)
        result = self._next[top:bottom]
        cv2.blendLinear(carried, fresh, keep, rest, dst=result)
        if still is not None and self._any(still, strip):
            cv2.copyTo(self._result[top:bottom], self._mask(still, strip), result)
        cv2.convertScaleAbs(result, dst=pixels)
        cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB, dst=self._plain[top:bottom])

    def _any(self, still: Pixels, strip: Strip) -> bool:
        return bool(still[strip[0] // self._scale : -(-strip[1] // self._scale)].any())

    def _mask(self, still: Pixels, strip: Strip) -> Pixels:
        return enlarged_mask(still, strip, self._scale, self._width)

    def _broad(self, painted: Pixels, places: Floats) -> Floats:
        return broad_difference(painted, self._result, places, self._scale)


def _with_alpha(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA), np.uint8)


def enlarged_mask(mask: Pixels, strip: Strip, scale: int, width: int) -> Pixels:
    """The rows of a strip of a small mask of 0 and 255, each of its pixels a square."""
    top, bottom = strip
    band = mask[top // scale : -(-bottom // scale)]
    size = (band.shape[1] * scale, band.shape[0] * scale)
    large = cv2.resize(band, size, interpolation=cv2.INTER_NEAREST)
    return np.ascontiguousarray(large[: bottom - top, :width], np.uint8)


def broad_difference(
    goal: Pixels, past: NDArray[np.float32] | Pixels, places: Floats, scale: int
) -> Floats:
    """How much the broad colours of a painting differ from the past's, (H / 16, W / 16, 3)."""
    height, width = goal.shape[:2]
    size = (max(1, -(-width // _BROAD)), max(1, -(-height // _BROAD)))
    inner = places[1:-1, 1:-1]
    small = cv2.resize(past, inner.shape[1::-1], interpolation=cv2.INTER_AREA)
    if small.shape[2] == 4:  # only now: at full size the copy would be as large as the history
        small = cv2.cvtColor(small, cv2.COLOR_RGBA2RGB)
    scaled = (inner + 0.5) / scale - 0.5
    carried = warp(np.asarray(small, np.float32), scaled.astype(np.float32))
    wanted = cv2.resize(goal, inner.shape[1::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(wanted - carried, size, interpolation=cv2.INTER_AREA), np.float32)


def rows_of(broad: Floats, low: float, high: float, size: tuple[int, int]) -> Floats:
    """The part of a small field between two of its rows, enlarged to `size`."""
    width, height = size
    x = (np.arange(width, dtype=np.float32) + 0.5) * (broad.shape[1] / width) - 0.5
    y = low + (np.arange(height, dtype=np.float32) + 0.5) * ((high - low) / height) - 0.5
    at_x, at_y = np.meshgrid(x, y)
    return np.asarray(
        cv2.remap(broad, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        np.float32,
    )
