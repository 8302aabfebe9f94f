"""What the program says of a job while it runs."""

from collections.abc import Callable, Sequence
from typing import Protocol

from rich.console import Console
from rich.markup import escape

from ._console import ProgressBar
from .frame import VideoInfo
from .pipeline import Report
from .video import Result


class Noticing(Protocol):
    """What paints, and notices things on the way: an engine."""

    @property
    def notices(self) -> list[str]:
        """One line for each."""
        ...


class Speaker:
    """Says things on stderr unless told to be quiet."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console, self._quiet = console, quiet

    def line(self, text: str) -> None:
        """Say a line."""
        if not self._quiet:
            self._console.print(escape(text))

    def error(self, text: str) -> None:
        """Say what went wrong, even when quiet."""
        self._console.print(f"[red]error:[/red] {escape(text)}")

    def summary(self, result: Result) -> None:
        """Say what came of a job."""
        report = result.report
        self.line(
            f"painted {report.frames} frames of {result.info.width}x{result.info.height} in "
            f"{report.seconds:.1f} s ({report.fps:.1f} fps): {report.output}"
        )


class JobWatcher:
    """Says what paints once the first input has proved readable, then moves the bar."""

    def __init__(
        self,
        bar: ProgressBar,
        say: Speaker,
        first: Callable[[], str],
        noticing: Sequence[Noticing],
    ) -> None:
        """`first` gives what is said first, once something paints; `noticing` is told of as it
        goes.
        """
        self._bar, self._say, self._noticing = bar, say, noticing
        self._first: Callable[[], str] | None = first
        self._told = [0] * len(noticing)

    def begin(self, info: VideoInfo, output: str) -> None:
        """The first frame was read; painting begins."""
        if self._first:
            self._say.line(self._first())
            self._first = None
        self._tell()
        self._bar.begin(info, output)

    def frame(self, report: Report) -> None:
        """One more frame is painted."""
        self._bar.frame(report)

    def end(self) -> None:
        """The job is over."""
        self._bar.end()
        self._tell()

    def _tell(self) -> None:
        """Say what was noticed since the last time."""
        for number, noticing in enumerate(self._noticing):
            notices = noticing.notices
            for notice in notices[self._told[number] :]:
                self._say.line(notice)
            self._told[number] = len(notices)
