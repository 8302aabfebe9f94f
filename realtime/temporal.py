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

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import cv2
import numpy as np

from ._history import History, Step
from ._motion import Gate, Motion, Seen
from ._motion import Looker as Looker
from ._motion import SharedLooker as SharedLooker
from ._state import State
from ._still import Still
from .errors import TemporalError
from .flow import DisFlow, FlowEstimator, Preset
from .frame import Frame, Pixels
from .shots import Shots, flow_scale
from .warp import Floats, grid, warp

Paint = Callable[[Pixels], Pixels]
"""Paints RGB (H, W, 3) uint8."""


@dataclass(frozen=True)
class TemporalSettings:
    """The parameters of a tier."""

    weight: float
    """How much of an old enough pixel stays, at most: 0 is the painting by itself."""
    preset: Preset = "ultrafast"
    flow_width: int = 320
    """Pixels across the pictures flow is computed on, about."""
    gate: Gate = field(default_factory=Gate)


FAST: Final = TemporalSettings(weight=0.7)
QUALITY: Final = TemporalSettings(
    weight=0.85,
    preset="fast",
    gate=Gate(),
)

_GAIN_NOTICED: Final = 0.005
_FOLLOW: Final = 0.7
_TRUSTED: Final = 0.5


@dataclass(frozen=True)
class Inside:
    """What the stage thinks of the latest frame, for looking at; (h, w) at the size of the flow."""

    flow: Floats
    """(h, w, 2) in pixels of the small picture."""
    confidence: Floats
    """How much of the past was kept, 0..1."""
    age: Floats
    """For how many frames a place has been followed."""


class TemporalBlender:
    """Carries the painting from frame to frame: frames of one video, one after another.

    `strength`, 0..1, may change from frame to frame: how much of the tier's weight the past gets.
    """

    def __init__(
        self,
        settings: TemporalSettings,
        flow: FlowEstimator | None = None,
        threads: int = 1,
        strength: float = 1.0,
        looker: Looker | None = None,
    ) -> None:
        """`looker` is shared by the blenders of several styles over the same frames."""
        self.settings, self.strength, self._threads = settings, strength, threads
        self._looker = looker or Looker(flow or DisFlow(settings.preset), settings.gate)
        self._past: _Past | None = None
        self._looking: ThreadPoolExecutor | None = None
        self.inside: Inside | None = None

    def reset(self) -> None:
        """Forget the past: after a seek, another style or another source."""
        if self._looking:
            self._looking.shutdown()
        self._forget()
        self._looking = None

    def remember(self) -> State:
        """All that the frames to come depend on, for `recall` by a stage of the same settings."""
        past = self._past
        return {"past": past.remember() if past else None}

    def recall(self, state: State) -> None:
        """Go on as the stage did that gave `state` by `remember`. Raises KeyError for another's."""
        self._forget()
        if state["past"] is not None:
            self._past = _Past.recall(state["past"], self._threads)

    def push(self, frame: Frame, paint: Paint) -> list[Frame]:
        """Paint a frame and blend the past in: that frame, with no delay. Raises
        `TemporalError`.

        Motion is measured while the network paints.
        """
        if self._looking is None:
            self._looking = ThreadPoolExecutor(1, thread_name_prefix="stylize-look")
        looking = self._looking.submit(self._look, frame.pixels)
        try:
            painted = paint(frame.pixels)
        finally:
            wait([looking])
        with self._saying_what_failed():
            return [replace(frame, pixels=self._blend(*looking.result(), painted))]

    def finish(self) -> list[Frame]:
        """Nothing is ever held back."""
        return []

    def shots(self) -> Shots:
        """A test of its own for where this stage starts afresh."""
        return Shots(DisFlow(self.settings.preset), self.settings.flow_width, self.settings.gate)

    def blend(self, seen: Pixels, painted: Pixels) -> Pixels:
        """The stable painting of a frame, from the frame and its own painting.

        All are RGB (H, W, 3) uint8. The first frame, and the first after a cut, comes back as it
        was painted. Raises `TemporalError`.
        """
        with self._saying_what_failed():
            return self._blend(*self._look(seen), painted)

    @contextmanager
    def _saying_what_failed(self) -> Iterator[None]:
        try:
            yield
        except (cv2.error, ValueError, MemoryError) as error:
            self.reset()
            reason = str(error).strip().splitlines()[-1][:200]
            raise TemporalError(
                f"the past can't be carried into this frame: {reason}; --temporal off does without"
            ) from error

    def _forget(self) -> None:
        if self._past:
            self._past.history.close()
        self._past = self.inside = None

    def _look(self, picture: Pixels) -> tuple[Seen, Motion | None]:
        """The small picture of a frame and its motion; None where there is no past of its size."""
        seen = self._looker.look(picture, flow_scale(picture.shape[1], self.settings.flow_width))
        past = self._past
        if past is None or past.history.shape != picture.shape:
            return seen, None
        return seen, self._looker.measure(seen, past.seen)

    def _blend(self, seen: Seen, motion: Motion | None, painted: Pixels) -> Pixels:
        past = self._past
        if past is None or motion is None or past.history.shape != painted.shape:
            self._forget()
            self._past = _Past(History(painted, seen.scale, self._threads), seen)
            return painted
        if motion.cut:
            past.history.restart(painted)
            past.restart(seen)
            return painted
        weight = past.age_by(motion, self.settings.weight * self.strength)
        past.seen = seen
        rest = past.still.update(seen.smooth, motion.flow) if self.strength > 0 else None
        resting = None
        if rest is not None:
            resting = rest >= 1
            weight = np.asarray(weight + np.maximum(motion.trust - weight, 0) * rest, np.float32)
        self.inside = Inside(motion.flow, weight, past.age)
        follow = _FOLLOW if abs(motion.gain - 1) > _GAIN_NOTICED else 0.0
        step = Step(motion.flow, weight, resting, follow)
        return past.history.advance(painted, step)


class _Past:
    """What is remembered of the frames before, at the size of the flow, beside their painting."""

    def __init__(self, history: History, seen: Seen) -> None:
        self.history = history
        self._grid = grid(*seen.grey.shape)
        self.restart(seen)

    def restart(self, seen: Seen) -> None:
        """Begin with this frame."""
        self.seen = seen
        self.age = np.zeros(seen.grey.shape, np.float32)
        self.still = Still(seen.smooth)

    def remember(self) -> State:
        return {
            "history": self.history.remember(),
            "seen": self.seen.remember(),
            "age": self.age,
            "still": self.still.remember(),
        }

    @classmethod
    def recall(cls, state: State, threads: int) -> "_Past":
        seen = Seen.recall(state["seen"])
        past = cls(History.recall(state["history"], seen.scale, threads), seen)
        past.age = state["age"]
        past.still = Still.recall(state["still"])
        return past

    def age_by(self, motion: Motion, most: float) -> Floats:
        """The weights of the past, `most` at most, one frame on.

        A pixel that was just uncovered takes the fresh painting, then averages over its life.
        """
        older = warp(self.age, self._grid + motion.flow) + 1
        self.age = np.where(motion.trust > _TRUSTED, older, 0).astype(np.float32)
        return np.asarray(np.minimum(most, self.age / (self.age + 1)) * motion.trust, np.float32)
