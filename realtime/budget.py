"""Holds a live picture's rate by painting at a smaller size when time runs short."""

from collections.abc import Callable
from typing import Final

SCALES: Final = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4)
"""Sizes of painting against the picture's."""
_WINDOW: Final = 30
"""Frames that are looked at before anything changes."""
_FULL: Final = 0.95
"""Share of the time between frames above which painting is too slow."""
_SPARE: Final = 0.85
"""Share below which the next larger size would have to stay before it is tried."""
_PATIENCE: Final = 5
"""Windows that must have had time to spare in a row, before it gets larger."""


class Budget:
    """Chooses the size of painting from the time frames take.

    It gets smaller as soon as one window of frames took too long, and larger only when several in a
    row would have had time to spare at the larger size: so it does not swing.
    """

    def __init__(self, interval: float, say: Callable[[str], None] = lambda _: None) -> None:
        """`interval` is the time from one frame of the source to the next, in seconds."""
        self._interval, self._say = interval, say
        self._step = 0
        self._spent: list[float] = []
        self._spare = 0
        self._lowest = len(SCALES) - 1

    @property
    def scale(self) -> float:
        """The size frames are painted at, against their own."""
        return SCALES[self._step]

    def took(self, seconds: float) -> None:
        """Note the time one frame took."""
        self._spent.append(seconds)
        if len(self._spent) < _WINDOW:
            return
        # the middle of the window: a hiccup is no reason
        load = sorted(self._spent)[_WINDOW // 2] / self._interval
        self._spent.clear()
        if load > _FULL:
            self._spare = 0
            if self._step < self._lowest:
                self._turn(self._fitting(load), load)
        elif self._step and load * (SCALES[self._step - 1] / self.scale) ** 2 < _SPARE:
            self._spare += 1
            if self._spare >= _PATIENCE:
                self._spare = 0
                self._turn(self._step - 1, load)
        else:
            self._spare = 0

    def _fitting(self, load: float) -> int:
        """The first smaller size at which this load fits, by the number of pixels."""
        for step in range(self._step + 1, len(SCALES)):
            if load * (SCALES[step] / self.scale) ** 2 < _SPARE:
                return step
        return self._lowest

    def _turn(self, step: int, load: float) -> None:
        self._step = step
        self._say(
            f"painting takes {load:.0%} of the time there is: frames are now painted at "
            f"{self.scale:.0%} of their size"
        )
