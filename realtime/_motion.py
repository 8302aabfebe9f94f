"""How a picture has moved since another one, and how far to believe it, at the size of the flow."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from ._state import State
from .flow import Flow, FlowEstimator, Grey
from .frame import Pixels
from .warp import Floats, area_ratio, forward_backward_agree, grid, inside, warp

CUT_TRUST: Final = 0.5
"""Mean trust below which it is another shot: cuts have less than 0.4, fast motion more than 0.8."""
_GAIN_RANGE: Final = (0.5, 2.0)
_FB_TOLERANCE: Final = 2.0
_STRETCHED: Final = (0.8, 0.98)
"""Ratios of area below which a place is taken for uncovered, and above which it is not."""


@dataclass(frozen=True)
class Gate:
    """When two pixels count as the same thing."""

    dead_zone: float = 2.0
    """Difference of grey, of 255, that is taken for noise."""
    softness: float = 4.0
    """Difference beyond that, of 255, at which trust has fallen to 0.6."""
    check_back: bool = False
    """Also demand that forward and backward flow agree."""


@dataclass(frozen=True)
class Seen:
    """A picture as flow and gate look at it: (h, w), `scale` pixels of the full one each way."""

    grey: Grey
    smooth: Floats
    scale: int

    def remember(self) -> State:
        """What `recall` needs."""
        return {"grey": self.grey, "smooth": self.smooth, "scale": self.scale}

    @classmethod
    def recall(cls, state: State) -> "Seen":
        """The one that gave `state`."""
        return cls(state["grey"], state["smooth"], state["scale"])


@dataclass(frozen=True)
class Motion:
    """From a picture back to an earlier one (or on to a later one)."""

    flow: Flow
    """(h, w, 2): now(x) looks like then(x + flow(x))."""
    trust: Floats
    """(h, w) in 0..1: how far what is there may be taken for what is here."""
    gain: float
    """How many times brighter it is now than then."""

    def remember(self) -> State:
        """What `recall` needs."""
        return {"flow": self.flow, "trust": self.trust, "gain": self.gain}

    @classmethod
    def recall(cls, state: State) -> "Motion":
        """The one that gave `state`."""
        return cls(state["flow"], state["trust"], state["gain"])

    @property
    def cut(self) -> bool:
        """Whether the two show different things altogether."""
        return bool(self.trust.mean() < CUT_TRUST)


class Looker:
    """Looks at the frames of a video and measures their motion."""

    def __init__(self, flow: FlowEstimator, gate: Gate) -> None:
        self._flow, self._gate = flow, gate

    def look(self, picture: Pixels, scale: int) -> Seen:
        """The small picture of a frame."""
        return look(picture, scale)

    def measure(self, now: Seen, then: Seen) -> Motion:
        """The motion from `now` to `then`."""
        return measure(now, then, self._flow, self._gate)


class SharedLooker(Looker):
    """For stages that are shown the same frames in turn: what one has seen, the next need not look
    at again. They are told apart by identity, so that the result is always the same.
    """

    def __init__(self, flow: FlowEstimator, gate: Gate) -> None:
        super().__init__(flow, gate)
        self._seen: tuple[Pixels, int, Seen] | None = None
        self._measured: tuple[Seen, Seen, Motion] | None = None

    def look(self, picture: Pixels, scale: int) -> Seen:
        """The small picture of a frame."""
        if self._seen is None or self._seen[0] is not picture or self._seen[1] != scale:
            self._seen = (picture, scale, super().look(picture, scale))
        return self._seen[2]

    def measure(self, now: Seen, then: Seen) -> Motion:
        """The motion from `now` to `then`."""
        known = self._measured
        if known is None or known[0] is not now or known[1] is not then:
            self._measured = known = (now, then, super().measure(now, then))
        return known[2]


def look(picture: Pixels, scale: int) -> Seen:
    """The small picture of a frame, RGB (H, W, 3) uint8.

    At the right and lower edge the last pixels are repeated to fill whole steps of `scale`.
    """
    height, width = picture.shape[:2]
    down, right = -height % scale, -width % scale
    whole = picture
    if down or right:
        padded = cv2.copyMakeBorder(picture, 0, down, 0, right, cv2.BORDER_REPLICATE)
        whole = np.asarray(padded, np.uint8)
    size = (whole.shape[1] // scale, whole.shape[0] // scale)
    if scale % 2 == 0:  # halves have a fast path: twice that is quicker than a quarter at once
        half = (whole.shape[1] // 2, whole.shape[0] // 2)
        whole = np.asarray(cv2.resize(whole, half, interpolation=cv2.INTER_AREA), np.uint8)
    colours = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    small = np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), np.uint8)
    # in float: rounded, noise would be steps of a whole level
    smooth = cv2.GaussianBlur(small.astype(np.float32), (5, 5), 0)
    return Seen(small, np.asarray(smooth, np.float32), scale)


def measure(now: Seen, then: Seen, estimator: FlowEstimator, gate: Gate) -> Motion:
    """The motion from `now` to `then`, both of one size."""
    flow = estimator.estimate(now.grey, then.grey)
    back = estimator.estimate(then.grey, now.grey) if gate.check_back else None
    return _judged(now, then, flow, back, gate)


def measure_both(
    now: Seen, then: Seen, estimator: FlowEstimator, gate: Gate
) -> tuple[Motion, Motion]:
    """The motion from `now` to `then` and the one from `then` to `now`."""
    flow, back = estimator.estimate(now.grey, then.grey), estimator.estimate(then.grey, now.grey)
    return _judged(now, then, flow, back, gate), _judged(then, now, back, flow, gate)


def _judged(now: Seen, then: Seen, flow: Flow, back: Flow | None, gate: Gate) -> Motion:
    trust, gain = agreement(now, then, flow, gate)
    if gate.check_back and back is not None:
        agreed = np.asarray(trust * forward_backward_agree(flow, back, _FB_TOLERANCE), np.float32)
        # the edge of what moves belongs to it: flow is blurred there
        trust = np.asarray(cv2.erode(agreed, np.ones((3, 3), np.uint8)), np.float32)
    return Motion(flow, trust, gain)


def agreement(now: Seen, then: Seen, flow: Flow, gate: Gate) -> tuple[Floats, float]:
    """How far `then` fits `now` after the flow, (h, w) in 0..1, and how much brighter it has
    become.
    """
    places = grid(*now.grey.shape) + flow
    before = warp(then.smooth, places)
    # light that changes as a whole is no motion: pictures are compared at equal brightness
    gain = _gain(now.smooth, before)
    residual = cv2.absdiff(now.smooth, gain * before)
    over = np.maximum(residual - gate.dead_zone, 0) / gate.softness
    trust = cv2.exp(-0.5 * over * over) * inside(places) * _kept_share(flow)
    return np.asarray(trust, np.float32), gain


def _kept_share(flow: Flow) -> Floats:
    """1 where the picture moves as it is, 0 where it is stretched over what was hidden before."""
    low, high = _STRETCHED
    return np.asarray(np.clip((area_ratio(flow) - low) / (high - low), 0, 1), np.float32)


def _gain(now: Floats, before: Floats) -> float:
    """How many times brighter it has become, twice over: the second time without what moved."""
    gain = 1.0
    for reach in (255.0, 24.0):
        same = (cv2.absdiff(now, gain * before) <= reach).astype(np.uint8)
        ours, theirs = cv2.mean(now, same)[0] + 1, cv2.mean(before, same)[0] + 1
        gain = float(np.clip(ours / theirs, *_GAIN_RANGE))
    return gain
