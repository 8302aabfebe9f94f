"""What the program shows on the terminal: progress, notices, tables. Everything but results goes to
stderr.
"""

import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from .frame import VideoInfo
from .pipeline import Report

_REFRESH_S = 0.1


class ProgressBar:
    """A `video.Watcher` with a bar: frame, frames a second, time left. Silent when quiet or
    redirected.

    `sizes` are the bytes of several inputs: above the bar of each stands one for all, which goes by
    them, since their lengths are known only once they are open.
    """

    def __init__(self, console: Console, *, quiet: bool, sizes: Sequence[int] = ()) -> None:
        self._sizes, self._job = list(sizes), 0
        self._all: TaskID | None = None
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
        if len(self._sizes) > 1 and self._all is None:
            self._all = self._progress.add_task("", total=100, fps=0.0)
        self._show_all(0.0, 0.0)
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
        self._show_all(report.frames / self._total if self._total else 0.0, report.fps)

    def next_job(self) -> None:
        """One of several inputs is done with."""
        self._job += 1
        self._show_all(0.0, 0.0)

    def _show_all(self, share: float, fps: float) -> None:
        """Move the bar over all inputs, in percent; `share` of the present one is done."""
        if self._all is None:
            return
        present = self._sizes[self._job] if self._job < len(self._sizes) else 0
        done = (sum(self._sizes[: self._job]) + share * present) / max(1, sum(self._sizes))
        number = min(self._job + 1, len(self._sizes))
        self._progress.update(
            self._all,
            completed=round(100 * done),
            description=f"input {number} of {len(self._sizes)}, percent",
            fps=fps,
        )

    def end(self) -> None:
        """Take the bar away."""
        self._progress.stop()
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None


def batch_table(rows: Sequence[Sequence[str]]) -> Table:
    """A table of what came of several jobs: input, status, frames, seconds, output or error."""
    table = Table("input", "status", "frames", "seconds", "output", box=None)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


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
