"""The engine and, behind it, what happens to painted frames, as one call."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

from ._state import State
from .engines import Engine
from .engines.any_painting import AnyPaintingEngine
from .errors import InferenceError
from .frame import Frame, Pixels
from .shots import Begins, Shots, any_frame

_BY_CODE: Final = 0.25
"""Strength down to which a network that mixes codes does it by itself."""


class Stage(Protocol):
    """What keeps frames steady in time, and decides when each is painted."""

    def push(self, frame: Frame, paint: Callable[[Pixels], Pixels]) -> Iterable[Frame]:
        """Take the next frame; those that are done, in order."""
        ...

    def finish(self) -> Iterable[Frame]:
        """The frames still held back."""
        ...

    def reset(self) -> None:
        """Forget all frames."""
        ...

    def remember(self) -> State:
        """All that the frames to come depend on."""
        ...

    def recall(self, state: State) -> None:
        """Go on as the stage did that gave `state` by `remember`."""
        ...

    def shots(self) -> Shots:
        """A test of its own for where this stage starts afresh."""
        ...


class Stylizer:
    """Paints frames one after another, in order; pts and duration pass through untouched.

    With a temporal stage the painting of other frames is carried into each; without one, each is
    painted by itself.
    """

    def __init__(
        self,
        engine: Engine,
        temporal: Stage | None = None,
        show: Callable[[Frame], Frame] | None = None,
    ) -> None:
        self._engine, self._temporal, self._show = engine, temporal, show
        self._by: Callable[[Pixels], Pixels] = engine.paint

    def push(self, frame: Frame) -> Iterable[Frame]:
        """Take a frame; the painted frames that are ready, which lag behind where the stage looks
        ahead. Go through all of them before the next call.

        Raises `InferenceError` or `TemporalError`.
        """
        paint = partial(_painted, self._by)  # a stage may paint it when knobs have turned further
        if self._temporal is None:
            return [replace(frame, pixels=paint(frame.pixels))]
        return self._viewed(self._temporal.push(frame, paint))

    def finish(self) -> Iterable[Frame]:
        """The frames that are still held back, when no more will come."""
        return self._viewed(self._temporal.finish()) if self._temporal else []

    def paint(self, frame: Frame) -> Frame:
        """The painted frame, of the same size and time.

        Raises `InferenceError` or `TemporalError`, and `ValueError` with a stage that looks ahead:
        use `push` and `finish`.
        """
        painted = list(self.push(frame))
        if len(painted) != 1:
            raise ValueError("this stage looks ahead: use push() and finish()")
        return painted[0]

    def turn(self, strength: float, paintings: Sequence[float] = ()) -> float:
        """Have the network itself paint the next frames at a strength, 0..1, where it can mix codes
        of style and photo, and by shares of its paintings, in their order, none for those it was
        given; the strength at which its painting must then still be laid over the source.
        """
        if not isinstance(self._engine, AnyPaintingEngine):
            return strength
        manner = self._engine.manner(strength, paintings)
        self._by = partial(self._engine.paint, manner=manner)
        # its photo is not quite the photo: the last of the way is laid over
        return min(1.0, strength / _BY_CODE)

    def _viewed(self, painted: Iterable[Frame]) -> Iterable[Frame]:
        return map(self._show, painted) if self._show else painted

    def shots(self) -> Begins:
        """A test, of its own, for frames from which on nothing before them matters."""
        return self._temporal.shots() if self._temporal else any_frame

    def remember(self) -> State:
        """All that the frames to come depend on, for a stylizer of the same style and settings."""
        return {"stage": self._temporal.remember() if self._temporal else None}

    def recall(self, state: State) -> None:
        """Go on as the stylizer did that gave `state` by `remember`."""
        if self._temporal and state["stage"] is not None:
            self._temporal.recall(state["stage"])

    def reset(self) -> None:
        """Forget the frames before: after a seek, or for another source."""
        if self._temporal:
            self._temporal.reset()

    def close(self) -> None:
        """Release the engine and the memory of past frames."""
        self.reset()
        self._engine.close()


def _painted(by: Callable[[Pixels], Pixels], pixels: Pixels) -> Pixels:
    painted = by(pixels)
    if painted.shape != pixels.shape:
        raise InferenceError(f"the engine put out {painted.shape} for a frame of {pixels.shape}")
    return painted
