"""Stand-ins for networks, and for who watches a run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from stylize_video.realtime.frame import Pixels, VideoInfo
from stylize_video.realtime.journal import Journal
from stylize_video.realtime.pipeline import Report


class Negative:
    """An engine that paints the negative of each frame, counts, and may act on a certain one."""

    description = "double"

    def __init__(self, act: Callable[[int], None] | None = None) -> None:
        self.notices: list[str] = []
        self.painted = 0
        self._act = act

    def paint(self, pixels: Pixels) -> Pixels:
        self.painted += 1
        if self._act:
            self._act(self.painted)
        return self.look(pixels)

    def look(self, pixels: Pixels) -> Pixels:
        """What becomes of a frame."""
        return 255 - pixels

    def close(self) -> None:
        """Nothing is held."""


def raising(frame: int, error: Exception) -> Callable[[int], None]:
    """What a `Negative` may do: raise an error at the frame of that number."""

    def act(number: int) -> None:
        if number == frame:
            raise error

    return act


class Watcher:
    """Acts after a frame."""

    def __init__(self, act: Callable[[Report], None]) -> None:
        self._act = act

    def begin(self, info: VideoInfo, output: str) -> None:
        """Nothing to say."""

    def frame(self, report: Report) -> None:
        """Act."""
        self._act(report)


def interrupt_at(frames: int) -> Watcher:
    """One that interrupts, as by Ctrl-C, once a run has painted so many frames."""

    def act(report: Report) -> None:
        if report.frames - report.resumed >= frames:
            raise KeyboardInterrupt

    return Watcher(act)


@contextmanager
def killed_at(moment: str) -> Iterator[None]:
    """What is run in it dies, as a killed process does, where the journal's method is called."""

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, moment, killed)
        with pytest.raises(Killed):
            yield
