"""Where shots begin, by the test of the temporal stages.

Every stage starts afresh at a cut: what it paints from there on owes nothing to the frames before.
And whether there is a cut between two frames is decided by these two alone. So a film can be taken
apart at its cuts, by readers that know nothing of each other, and painted in parts to the bit.
"""

from collections.abc import Callable

from ._motion import Gate, Seen, look, measure
from .flow import FlowEstimator
from .frame import Frame

Begins = Callable[[Frame, Frame], bool]
"""Whether nothing before the second of two neighbouring frames matters from it on."""


def flow_scale(width: int, flow_width: int) -> int:
    """How many pixels of a frame one of the flow's is wide."""
    return max(1, round(width / flow_width))


class Shots:
    """Tells whether a shot begins with a frame, as a stage of the same parameters does.

    A stage has one of its own for each thread: estimators of flow are not shared.
    """

    def __init__(self, flow: FlowEstimator, flow_width: int, gate: Gate) -> None:
        self._flow, self._flow_width, self._gate = flow, flow_width, gate
        self._last: tuple[Frame, Seen] | None = None

    def __call__(self, before: Frame, now: Frame) -> bool:
        """Whether `now`, the frame behind `before`, begins a shot: it does not look like the same
        place, or has another size.
        """
        if before.pixels.shape != now.pixels.shape:
            return True
        then = self._last[1] if self._last and self._last[0] is before else self._look(before)
        seen = self._look(now)
        self._last = now, seen
        return measure(seen, then, self._flow, self._gate).cut

    def _look(self, frame: Frame) -> Seen:
        return look(frame.pixels, flow_scale(frame.pixels.shape[1], self._flow_width))


def any_frame(_before: Frame, _now: Frame) -> bool:
    """Frames that are painted each by itself owe nothing to any other."""
    return True
