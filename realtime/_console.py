"""What the program shows on the terminal: progress, notices, tables. Everything but results goes to
stderr.
"""

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from .frame import VideoInfo
from .pipeline import Report

_REFRESH_S = 0.1


class ProgressBar:
    """A `video.Watcher` with a bar: frame, frames a second, time left. Silent when quiet or
    redirected.
    """

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[fps]:5.1f} fps"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._last = 0.0

    def begin(self, info: VideoInfo, output: str) -> None:
        """Show the bar for a job that starts."""
        total: float | None = info.frames_from_header
        if total is None and info.duration_from_header:
            total = round(info.duration_from_header * info.rate_nominal)
        self._total = total
        self._progress.start()
        self._task = self._progress.add_task(output, total=total, fps=0.0)

    def frame(self, report: Report) -> None:
        """Move the bar."""
        now = time.monotonic()
        if self._task is None or now - self._last < _REFRESH_S:
            return
        self._last = now
        if self._total is not None and report.frames > self._total:
            self._total = None  # the header lied: an unknown end is better than more than all
        self._progress.update(
            self._task, completed=report.frames, total=self._total, fps=report.fps
        )

    def end(self) -> None:
        """Take the bar away."""
        self._progress.stop()
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None


def stderr_console() -> Console:
    """A console on stderr that never wraps what it says into pieces."""
    return Console(file=sys.stderr, soft_wrap=True, highlight=False)


def json_ready(value: Any) -> Any:
    """`value` with fractions and paths made plain."""
    if isinstance(value, dict):
        return {str(k): json_ready(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(v) for v in value]
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return str(value)
