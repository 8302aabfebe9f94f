"""The best tier: every frame is averaged with the frames around it, those before and those after.

A recursive history knows the past alone, samples it again and again, and forgets slowly what it
once got wrong. Where a file can be read ahead, none of that is needed: flow between neighbours is
composed to reach further ones, each of them is checked against the frame itself and sampled once
(Ruder et al. 2018, section 5, has long-term flow in the loss; Shekhar et al. 2019 one frame ahead).
A result depends on the frames within reach alone, so a film may be painted in parts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import cv2
import numpy as np

from ._history import broad_difference, enlarged_mask, rows_of
from ._motion import Gate, Motion, Seen, agreement, look, measure_both
from ._state import State
from ._still import Still
from ._strips import Strip, Strips, enlarged, framed, framed_places, sharpen, wanted_sharpening
from .errors import TemporalError
from .flow import DisFlow, FlowEstimator, Preset
from .frame import Frame, Pixels
from .shots import Shots, flow_scale
from .temporal import Inside, Paint
from .warp import Floats, grid, inside, sample_cubic, warp

_GAIN_NOTICED: Final = 0.005
_FOLLOW: Final = 0.7
_BROAD: Final = 16
_SHARPEN_INERTIA: Final = 0.5


@dataclass(frozen=True)
class LookAheadSettings:
    """The parameters of the tier."""

    reach: int = 18
    """How far away, in frames and both ways, frames may be that each is averaged with."""
    spacing: int = 3
    """Every which frame is an anchor: one that the frames around it are averaged with. Frames next
    to each other share their anchors, so that they differ little.
    """
    preset: Preset = "fast"
    flow_width: int = 640
    gate: Gate = field(default_factory=lambda: Gate(softness=6.0, check_back=True))
    memory_mb: int = 600
    """What the paintings that are held may take, in MB: large frames look less far."""


@dataclass
class _Held:
    """A frame whose painting others may need."""

    frame: Frame
    """With its painting for pixels."""
    seen: Seen
    back: Motion | None = None
    """To the frame before; None for the first of a shot."""
    ahead: Motion | None = None
    number: int = 0
    """Since the shot began."""

    def remember(self) -> State:
        return {
            "pixels": self.frame.pixels,
            "pts": self.frame.pts,
            "duration": self.frame.duration,
            "seen": self.seen.remember(),
            "back": self.back and self.back.remember(),
            "ahead": self.ahead and self.ahead.remember(),
            "number": self.number,
        }

    @classmethod
    def recall(cls, state: State) -> "_Held":
        back, ahead = (state[way] and Motion.recall(state[way]) for way in ("back", "ahead"))
        frame = Frame(state["pixels"], state["pts"], state["duration"])
        return cls(frame, Seen.recall(state["seen"]), back, ahead, state["number"])


@dataclass
class _Sample:
    painted: Pixels
    places: Floats
    share: Floats
    broad: Floats | None = None


@dataclass
class _Scratch:
    places: Floats
    share: Floats
    rest: Floats
    colour: Floats = field(repr=False)


class LookAhead:
    """Averages each frame with those around it; frames of one video, one after another."""

    def __init__(
        self,
        settings: LookAheadSettings,
        flow: FlowEstimator | None = None,
        threads: int = 1,
        strength: float = 1.0,
    ) -> None:
        self.settings, self.strength, self._threads = settings, strength, threads
        self._flow = flow or DisFlow(settings.preset)
        self._held: list[_Held] = []
        self._next = 0
        self._shot: _Shot | None = None
        self.inside: Inside | None = None

    def push(self, frame: Frame, paint: Paint) -> Iterator[Frame]:
        """Paint a frame and hold it back until those after it are known; those that are due.

        Raises `TemporalError`.
        """
        try:
            if self._held and self._held[-1].frame.pixels.shape != frame.pixels.shape:
                yield from self.finish()
            self._take(frame, paint)
            while len(self._held) - self._next > self._reach():
                yield self._emit()
        except (cv2.error, ValueError, MemoryError) as error:
            raise self._failed(error) from error

    def finish(self) -> Iterator[Frame]:
        """The frames held back, when no more will come. Raises `TemporalError`."""
        try:
            while self._next < len(self._held):
                yield self._emit()
        except (cv2.error, ValueError, MemoryError) as error:
            raise self._failed(error) from error
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        if self._shot:
            self._shot.strips.close()
        self._held, self._next, self._shot, self.inside = [], 0, None, None

    def remember(self) -> State:
        """All that the frames to come depend on, for `recall` by a stage of the same settings."""
        return {
            "held": [held.remember() for held in self._held],
            "next": self._next,
            "shot": self._shot.remember() if self._shot else None,
        }

    def recall(self, state: State) -> None:
        """Go on as the stage did that gave `state` by `remember`. Raises KeyError for another's."""
        self.reset()
        self._held = [_Held.recall(held) for held in state["held"]]
        self._next = state["next"]
        if state["shot"] is not None:
            self._shot = _Shot(self._held[-1], self._threads)
            self._shot.recall(state["shot"])

    def shots(self) -> Shots:
        """A test of its own for where this stage starts afresh."""
        return Shots(DisFlow(self.settings.preset), self.settings.flow_width, self.settings.gate)

    def _take(self, frame: Frame, paint: Paint) -> None:
        scale = flow_scale(frame.pixels.shape[1], self.settings.flow_width)
        held = _Held(frame, look(frame.pixels, scale))
        if self._held:
            last = self._held[-1]
            back, ahead = measure_both(held.seen, last.seen, self._flow, self.settings.gate)
            if not back.cut:
                held.back, last.ahead, held.number = back, ahead, last.number + 1
        held.frame = replace(frame, pixels=paint(frame.pixels))
        self._held.append(held)

    def _failed(self, error: BaseException) -> TemporalError:
        self.reset()
        reason = str(error).strip().splitlines()[-1][:200]
        return TemporalError(
            f"frames can't be averaged over time: {reason}; --temporal off does without"
        )

    def _reach(self) -> int:
        """How many frames each way, as memory allows."""
        affordable = self.settings.memory_mb * 10**6 // max(1, self._held[0].frame.pixels.nbytes)
        return max(1, min(self.settings.reach, int(affordable) // 2))

    def _emit(self) -> Frame:
        """The next frame that is due, averaged; what nobody needs any more is let go."""
        held = self._held[self._next]
        if self._shot is None or self._shot.shape != held.frame.pixels.shape:
            if self._shot:
                self._shot.strips.close()
            self._shot = _Shot(held, self._threads)
        samples = self._samples(self._next)
        shown = self._shot.average(held, samples)
        self._next += 1
        surplus = self._next - self._reach()
        if surplus > 0:
            del self._held[:surplus]
            self._next -= surplus
        return replace(held.frame, pixels=shown)

    def _samples(self, index: int) -> list[_Sample]:
        """The frames that count for one, nearest first, with what share of the sum so far each
        takes.
        """
        held, reach = self._held[index], self._reach()
        found: list[tuple[int, _Held, Floats, Floats, float]] = []
        for way in (-1, 1):
            start = grid(*held.seen.grey.shape)
            places, sure = start.copy(), np.ones(start.shape[:2], np.float32)
            for distance in range(1, reach + 1):
                here = index + way * (distance - 1)
                if not 0 <= here + way < len(self._held):
                    break
                motion = self._held[here].back if way < 0 else self._held[here].ahead
                if motion is None:
                    break
                sure = np.minimum(sure, warp(motion.trust, places)) * inside(places)
                places = places + warp(motion.flow, places)
                there = self._held[here + way]
                if there.number % self.settings.spacing == 0:
                    trust, gain = agreement(
                        held.seen, there.seen, places - start, self.settings.gate
                    )
                    most = np.float32(self.settings.spacing * (1 - distance / (reach + 1)))
                    weight = np.asarray(sure * trust * most, np.float32)
                    found.append((distance, there, places - start, weight, gain))
        found.sort(key=lambda f: f[0])
        return self._shared(held, found)

    def _shared(
        self, held: _Held, found: list[tuple[int, _Held, Floats, Floats, float]]
    ) -> list[_Sample]:
        """Weights as shares of the running sum, so that samples can be blended in one by one."""
        scale = held.seen.scale
        # an anchor counts for itself as it does for its neighbours
        own = self.settings.spacing if held.number % self.settings.spacing == 0 else 1
        total = np.full(held.seen.grey.shape, own, np.float32)
        samples = []
        for _, there, flow, weight, gain in found:
            weight = weight * np.float32(self.strength)
            if weight.max() < 0.01:
                continue
            total = total + weight
            places = framed_places(flow, scale)
            sample = _Sample(there.frame.pixels, places, framed(weight / total))
            if abs(gain - 1) > _GAIN_NOTICED:
                ours = held.frame.pixels
                sample.broad = broad_difference(ours, there.frame.pixels, places, scale)
            samples.append(sample)
        if held.back is not None:
            age = np.full(total.shape, held.number, np.float32)
            self.inside = Inside(held.back.flow, 1 - np.float32(own) / total, age)
        return samples


class _Shot:
    """What is remembered from one shown frame to the next, and the memory to average in."""

    def __init__(self, first: _Held, threads: int) -> None:
        self.shape = first.frame.pixels.shape
        height, self._width, _ = self.shape
        self._scale = first.seen.scale
        self.strips = Strips(height, self._scale, threads)
        self._still = Still(first.seen.smooth)
        self._plain = np.empty(self.shape, np.uint8)
        self._shown: Pixels | None = None
        self._sharpen = 0.0
        rows, width = self.strips.rows, self._width
        around = (rows + 2 * self._scale) * (width + 3 * self._scale)
        self._scratch = [
            _Scratch(
                np.empty(around * 2, np.float32),
                np.empty(around, np.float32),
                np.empty((rows, width), np.float32),
                np.empty((rows, width, 3), np.float32),
            )
            for _ in range(threads)
        ]

    def remember(self) -> State:
        return {"still": self._still.remember(), "shown": self._shown, "sharpen": self._sharpen}

    def recall(self, state: State) -> None:
        self._still = Still.recall(state["still"])
        self._shown, self._sharpen = state["shown"], state["sharpen"]

    def average(self, held: _Held, samples: list[_Sample]) -> Pixels:
        """The frame with its samples blended in; what is shown of it, (H, W, 3) uint8."""
        painted = held.frame.pixels
        if held.number == 0:
            self._still, self._shown, self._sharpen = Still(held.seen.smooth), None, 0.0
        nowhere = np.zeros((*held.seen.grey.shape, 2), np.float32)
        flow = held.back.flow if held.back else nowhere
        rest = self._still.update(held.seen.smooth, flow)
        still = None if rest is None else (rest >= 1).astype(np.uint8) * 255
        shown = np.empty_like(painted)

        def blend(strip: Strip, number: int) -> None:
            self._blend(strip, self._scratch[number], painted, samples)

        def show(strip: Strip, _number: int) -> None:
            top, bottom = strip
            sharpen(self._plain, strip, self._sharpen, shown[top:bottom])
            if still is not None and self._shown is not None:
                mask = enlarged_mask(still, strip, self._scale, self._width)
                cv2.copyTo(self._shown[top:bottom], mask, shown[top:bottom])

        self.strips.for_all(blend)
        wanted = wanted_sharpening(self._plain, painted)
        inertia = _SHARPEN_INERTIA if held.number else 0.0
        self._sharpen += (1 - inertia) * (wanted - self._sharpen)
        self.strips.for_all(show)
        self._shown = shown
        return shown

    def _blend(
        self, strip: Strip, scratch: _Scratch, painted: Pixels, samples: list[_Sample]
    ) -> None:
        top, bottom = strip
        rows = bottom - top
        total = painted[top:bottom].astype(np.float32)
        for sample in samples:
            at = enlarged(sample.places, strip, self._scale, self._width, scratch.places)
            share = enlarged(sample.share, strip, self._scale, self._width, scratch.share)
            rest = np.subtract(1, share, out=scratch.rest[:rows])
            carried = scratch.colour[:rows]
            np.copyto(carried, sample_cubic(sample.painted, at))
            if sample.broad is not None:
                size = (self._width, rows)
                part = rows_of(sample.broad, top / _BROAD, bottom / _BROAD, size)
                cv2.scaleAdd(part, _FOLLOW, carried, dst=carried)
            cv2.blendLinear(carried, total, share, rest, dst=total)
        cv2.convertScaleAbs(total, dst=self._plain[top:bottom])
