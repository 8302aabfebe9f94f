"""What the program says of a job while it runs."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from ._console import ProgressBar
from .engines import Engine
from .frame import VideoInfo
from .pipeline import Report
from .video import Result


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
        self, bar: ProgressBar, say: Speaker, first: str, engines: Sequence[Engine]
    ) -> None:
        self._bar, self._say = bar, say
        self._first: str | None = first
        self._told = {engine: 0 for engine in engines}

    def begin(self, info: VideoInfo, output: str) -> None:
        """The first frame was read; painting begins."""
        if self._first:
            self._say.line(self._first)
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
        """Say what the engines have noticed since the last time."""
        for engine, told in self._told.items():
            notices = engine.notices
            for notice in notices[told:]:
                self._say.line(notice)
            self._told[engine] = len(notices)
