"""Sound beside live pictures: packets on the clock of the run, and how a source's clock is tied to
it.
"""

from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

_WINDOW_S: Final = 10.0
_TOLERANCE_S: Final = 0.06
"""Sound that is off by less than this is heard as in sync; following every jitter is not."""


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """A packet of encoded sound."""

    data: bytes
    pts: int
    """When it is heard, in ticks of `time_base`, on the clock of the run."""
    duration: int
    time_base: Fraction

    @property
    def start(self) -> Fraction:
        """When it is heard, in seconds."""
        return self.pts * self.time_base

    def earlier(self, seconds: Fraction) -> "Sound":
        """The same packet on a clock that began so much later, to the nearest tick."""
        return replace(self, pts=self.pts - round(seconds / self.time_base))


class Anchor:
    """Ties the clock of a connection to ours: the offset between pts and the time of arrival.

    What arrives early was delayed least (servers send what they have kept in a burst, networks
    hold packets up), so the least offset seen within ten seconds counts. It is followed in steps
    that can be heard only, since sound should run on evenly.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()
        self.offset: float | None = None
        """Seconds to add to a pts; None before the first picture."""

    def see(self, pts: float, at: float) -> None:
        """A picture with this pts came in at this time, both in seconds."""
        offset = at - pts
        # kept rising, so that the first is always the least of the window
        while self._seen and self._seen[-1][1] >= offset:
            self._seen.pop()
        self._seen.append((at, offset))
        while self._seen[0][0] < at - _WINDOW_S:
            self._seen.popleft()
        least = self._seen[0][1]
        if self.offset is None or abs(least - self.offset) > _TOLERANCE_S:
            self.offset = least
