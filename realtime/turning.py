"""Paints a file's frames as its knobs stand at their time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

from ._state import State
from .cues import Timeline
from .engines import Engine
from .frame import Frame, Pixels
from .masks import Masker
from .shots import Begins
from .studio import Studio
from .stylizer import Stylizer


@dataclass(frozen=True)
class Turning:
    """Everything that is turned while a file is painted."""

    timeline: Timeline
    engines: Mapping[int, Engine]
    """The engines of all styles that are ever shown, by their numbers."""
    masker: Masker | None = None
    made_of: Mapping[str, str] = field(default_factory=dict)
    """What decides the looks, by the names people know it by: to tell one run from another."""

    @property
    def lasting(self) -> bool:
        """Whether all that is learned on the way can be put down and taken up again."""
        return self.masker is None or self.masker.remember() is not None

    @property
    def why_not_in_parts(self) -> str | None:
        """Why shots can't be painted apart, None where they can: then a frame depends on its time
        and its shot alone.
        """
        if self.timeline.freezes:
            return "a picture that is held (freeze) may come from another part"
        if self.masker is not None and self.masker.remember() != {}:
            return "this mask learns from all the frames before"
        return None


class TurnedPainter:
    """Paints frames of one file, one after another; engines stay open."""

    def __init__(self, turning: Turning, stylizer: Callable[[Engine], Stylizer]) -> None:
        """`stylizer` puts a temporal stage of its own behind an engine."""
        self._timeline = turning.timeline
        styles = range(max(turning.engines) + 1)
        makers = [partial(lambda n: stylizer(turning.engines[n]), n) for n in styles]
        # all styles have stages of one kind, whose test is the same
        self._any_stylizer = makers[min(turning.engines)]
        self._studio = Studio(makers, turning.masker, most_loaded=len(makers))

    def push(self, frame: Frame) -> Iterator[Frame]:
        """Take a frame; those that are ready, in order."""
        for shown in self._studio.push(frame, self._timeline.at(frame.pts)):
            yield shown.frame

    def finish(self) -> Iterator[Frame]:
        """The frames still held back."""
        for shown in self._studio.finish():
            yield shown.frame

    def shots(self) -> Begins:
        """A test, of its own, for frames from which on nothing before them matters, for lack of
        what `Turning.why_not_in_parts` speaks of.
        """
        begins = self._any_stylizer().shots()
        last: tuple[Frame, Frame] | None = None

        def begins_as_painted(before: Frame, now: Frame) -> bool:
            nonlocal last
            then = last[1] if last and last[0] is before else self._as_painted(before)
            last = now, self._as_painted(now)
            return begins(then, last[1])

        return begins_as_painted

    def _as_painted(self, frame: Frame) -> Frame:
        return self._studio.as_painted(frame, self._timeline.at(frame.pts))

    def remember(self) -> State:
        """All that the frames to come depend on."""
        return self._studio.remember()

    def recall(self, state: State) -> None:
        """Go on as the painter did that gave `state` by `remember`."""
        self._studio.recall(state)

    def reset(self) -> None:
        """Forget the frames before."""
        self._studio.reset()


def paint_turned(turning: Turning, pixels: Pixels) -> Pixels:
    """A still picture, RGB (H, W, 3) uint8, painted as the knobs stand at the start."""
    painter = TurnedPainter(turning, Stylizer)
    (shown,) = painter.push(Frame(pixels, Fraction(0)))
    return shown.pixels
