"""The temporal stage: the painted past, carried along by optical flow, blended into the present.

Painting every frame by itself flickers. Here the last result is warped to where its parts have
moved, wherever the pictures say that it fits, and the fresh painting only refines it:
O = P + a (W(O_before) - P). The weight `a` follows from how well the source pictures agree after
the same warp (a photometric gate, cheaper and tighter than a second flow alone), and from how long
a pixel has been seen. The history is kept in float32: in 8 bits, rounding would hold it a few
levels off for good. Cuts, jumps of size and resets start afresh.

What blending costs in sharpness, by resampling and by averaging strokes that differ from frame to
frame, is given back on what is shown, never in the history: an unsharp mask whose strength makes
the gradients as strong as those of the fresh painting.
"""

from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ._history import History, Step, small_grey
from .errors import TemporalError
from .flow import DisFlow, Flow, FlowEstimator, Grey, Preset
from .frame import Pixels
from .warp import Floats, forward_backward_agree, grid, inside, warp

Tier = Literal["off", "fast", "quality"]
TIERS: Final[tuple[Tier, ...]] = ("off", "fast", "quality")


@dataclass(frozen=True)
class TemporalSettings:
    """The parameters of a tier."""

    weight: float
    """How much of an old enough pixel stays, at most: 0 is the painting by itself."""
    preset: Preset = "ultrafast"
    flow_width: int = 320
    """Pixels across the pictures flow is computed on, about."""
    check_back: bool = False
    """Also demand that forward and backward flow agree."""
    cubic: bool = False
    """Sample the past with a cubic kernel in place of a bilinear one."""
    dead_zone: float = 2.0
    """Difference of grey, of 255, that is taken for noise."""
    softness: float = 4.0
    """Difference beyond that, of 255, at which trust has fallen to 0.6."""


SETTINGS: Final[dict[Tier, TemporalSettings]] = {
    "fast": TemporalSettings(weight=0.7),
    "quality": TemporalSettings(
        weight=0.85, preset="fast", check_back=True, cubic=True, dead_zone=1.5, softness=3.0
    ),
}

_CUT_TRUST: Final = 0.5
"""Mean trust below which it is another shot: cuts have less than 0.4, fast motion more than 0.8."""
_GAIN_RANGE: Final = (0.5, 2.0)
_GAIN_NOTICED: Final = 0.005
_FOLLOW: Final = 0.7
_TRUSTED: Final = 0.5
_FB_TOLERANCE: Final = 2.0
_TILE: Final = 8
"""Pixels of the small picture across a tile that can rest."""
_STILL_DIFFERENCE: Final = 2.5
"""Of 255, after smoothing: noise stays below it."""
_STILL_SHARE: Final = 0.05
_STILL_AGE: Final = 12


class TemporalBlender:
    """Carries the painting from frame to frame: frames of one video, one after another."""

    def __init__(
        self,
        settings: TemporalSettings,
        flow: FlowEstimator | None = None,
        threads: int = 1,
    ) -> None:
        self.settings, self._threads = settings, threads
        self._flow = flow or DisFlow(settings.preset)
        self._past: _Past | None = None

    def reset(self) -> None:
        """Forget the past: after a seek, another style or another source."""
        if self._past:
            self._past.history.close()
        self._past = None

    def blend(self, seen: Pixels, painted: Pixels) -> Pixels:
        """The stable painting of a frame, from the frame and its own painting.

        All are RGB (H, W, 3) uint8. The first frame, and the first after a cut, comes back as it
        was painted. Raises `TemporalError`.
        """
        try:
            return self._blend(seen, painted)
        except (cv2.error, ValueError, MemoryError) as error:
            self.reset()
            reason = str(error).strip().splitlines()[-1][:200]
            raise TemporalError(
                f"the past can't be carried into this frame: {reason}; --temporal off does without"
            ) from error

    def _blend(self, seen: Pixels, painted: Pixels) -> Pixels:
        scale = max(1, round(seen.shape[1] / self.settings.flow_width))
        grey = small_grey(seen, scale)
        past = self._past
        if past is None or past.history.shape != painted.shape:
            self.reset()
            self._past = _Past(History(painted, scale, self._threads), grey)
            return painted
        flow = self._flow.estimate(grey, past.grey)
        places = past.grid + flow
        smooth = _smooth(grey)
        trust, gain = self._trust(grey, smooth, past, flow, places)
        if trust is None:
            past.history.restart(painted)
            past.restart(grey)
            return painted
        weight = past.age_by(trust, places, self.settings.weight)
        past.note(grey, smooth)
        follow = _FOLLOW if abs(gain - 1) > _GAIN_NOTICED else 0.0
        step = Step(flow, weight, past.still(), self.settings.cubic, follow)
        return past.history.advance(painted, step)

    def _trust(
        self, grey: Grey, smooth: Floats, past: "_Past", flow: Flow, places: Floats
    ) -> tuple[Floats | None, float]:
        """How far the past fits here, (h, w) in 0..1, None where the picture is another one; and
        how much brighter it has become.
        """
        settings = self.settings
        before = warp(past.smooth, places)
        # light that changes as a whole is no motion: pictures are compared at equal brightness
        gain = _gain(smooth, before)
        residual = cv2.absdiff(smooth, gain * before)
        over = np.maximum(residual - settings.dead_zone, 0) / settings.softness
        trust = cv2.exp(-0.5 * over * over) * inside(places)
        if settings.check_back:
            back = self._flow.estimate(past.grey, grey)
            trust *= forward_backward_agree(flow, back, _FB_TOLERANCE)
            # the edge of what moves belongs to it: flow is blurred there
            trust = cv2.erode(np.asarray(trust, np.float32), np.ones((3, 3), np.uint8))
        if trust.mean() < _CUT_TRUST:
            return None, gain
        return np.asarray(trust, np.float32), gain


class _Past:
    """What is remembered of the frames before, at the size of the flow, beside their painting."""

    def __init__(self, history: History, grey: Grey) -> None:
        self.history = history
        self.grid = grid(*grey.shape)
        self.restart(grey)

    def restart(self, grey: Grey) -> None:
        """Begin with this frame."""
        self.note(grey, _smooth(grey))
        self._age = np.zeros(grey.shape, np.float32)
        self._anchor = self.smooth.copy()

    def note(self, grey: Grey, smooth: Floats) -> None:
        """Keep a frame for the next one."""
        self.grey, self.smooth = grey, smooth

    def age_by(self, trust: Floats, places: Floats, most: float) -> Floats:
        """The weights of the past, `most` at most, one frame on.

        A pixel that was just uncovered takes the fresh painting, then averages over its life.
        """
        self._age = np.where(trust > _TRUSTED, warp(self._age, places) + 1, 0).astype(np.float32)
        return np.asarray(np.minimum(most, self._age / (self._age + 1)) * trust, np.float32)

    def still(self) -> NDArray[np.bool_] | None:
        """Where nothing has moved since a tile came to rest; None where no tile rests.

        A tile rests while hardly a pixel of it leaves its anchor, which is the picture when it came
        to rest; it must have been averaged for a while first.
        """
        height, width = self.smooth.shape
        off = cv2.absdiff(self.smooth, self._anchor) > _STILL_DIFFERENCE
        off |= self._age < _STILL_AGE
        down, right = -height % _TILE, -width % _TILE
        padded = cv2.copyMakeBorder(
            off.astype(np.uint8) * 255, 0, down, 0, right, cv2.BORDER_REPLICATE
        )
        size = (padded.shape[1] // _TILE, padded.shape[0] // _TILE)
        share = cv2.resize(padded, size, interpolation=cv2.INTER_AREA)
        moving = cv2.resize(
            (share > 255 * _STILL_SHARE).astype(np.uint8),
            padded.shape[1::-1],
            interpolation=cv2.INTER_NEAREST,
        )[:height, :width].astype(bool)
        np.copyto(self._anchor, self.smooth, where=moving)
        return None if moving.all() else ~moving


def _gain(now: Floats, before: Floats) -> float:
    """How many times brighter it has become, twice over: the second time without what moved."""
    gain = 1.0
    for reach in (255.0, 24.0):
        same = (cv2.absdiff(now, gain * before) <= reach).astype(np.uint8)
        ours, theirs = cv2.mean(now, same)[0] + 1, cv2.mean(before, same)[0] + 1
        gain = float(np.clip(ours / theirs, *_GAIN_RANGE))
    return gain


def _smooth(grey: Grey) -> Floats:
    return np.asarray(cv2.GaussianBlur(grey, (5, 5), 0), np.float32)
