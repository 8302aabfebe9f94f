"""Styles that blend into each other when they are switched, over a set time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from .knobs import Knobs

_NOTHING: Final = 1e-6
_LONGEST_STEP_S: Final = 0.2
"""A source that stood still does not jump through a fade when it is back."""


class Fader:
    """Moves the shares of styles towards what the knobs say, so far a second that a change from one
    style to another takes `seconds`; at 0 it takes none.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._shares: dict[int, float] = {}
        self._then = 0.0

    def step(self, knobs: Knobs, now: float, ready: Callable[[int], bool]) -> Knobs:
        """The knobs for the frame at `now`, in seconds of a clock that never goes back.

        While a style that is wanted is not `ready`, shares stay as they are.
        """
        elapsed = min(_LONGEST_STEP_S, max(0.0, now - self._then))
        self._then = now
        wanted = knobs.shares
        # every style is asked for, so that all of them are loaded
        there = all([ready(style) for style in wanted])
        if not self._shares:
            self._shares = wanted
        elif there:
            step = elapsed / self.seconds if self.seconds > 0 else 1.0
            self._shares = _towards(self._shares, wanted, step)
        return replace(knobs, mix=tuple(self._shares.items()))


def _towards(shares: dict[int, float], wanted: dict[int, float], step: float) -> dict[int, float]:
    """Shares that have come nearer to the wanted ones: none moves by more than `step`."""
    furthest = max(abs(wanted.get(s, 0.0) - shares.get(s, 0.0)) for s in {*shares, *wanted})
    if furthest <= step:
        return wanted
    part = step / furthest
    moved = {
        s: (1 - part) * shares.get(s, 0.0) + part * wanted.get(s, 0.0) for s in {**shares, **wanted}
    }
    return {s: share for s, share in moved.items() if share > _NOTHING}
