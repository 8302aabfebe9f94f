"""Several jobs in a row: what fails is noted and the rest goes on; at the end all is told."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .errors import StylizeError
from .folders import STDIO, Job
from .video import Result

Status = Literal["painted", "skipped", "failed", "not begun"]


@dataclass(frozen=True)
class BatchSettings:
    """What to do about outputs that exist and jobs that fail."""

    skip_existing: bool = False
    """Leave inputs alone whose output is there."""
    skip_errors: bool = True
    """Go on with the next job when one fails."""


@dataclass
class Outcome:
    """What came of one job."""

    job: Job
    status: Status = "not begun"
    seconds: float = 0.0
    result: Result | None = None
    error: str = ""

    def as_row(self) -> tuple[str, str, str, str, str]:
        """Input, status, frames, seconds and output or error: for a table."""
        frames = str(self.result.report.frames) if self.result else ""
        seconds = f"{self.seconds:.1f}" if self.seconds else ""
        said = self.error or (self.result and self.result.report.output) or self.job.target
        return self.job.source, self.status, frames, seconds, said


@dataclass
class BatchReport:
    """What came of all jobs, in their order."""

    outcomes: list[Outcome] = field(default_factory=list)

    def count(self, status: Status) -> int:
        """How many jobs ended in a way."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def failed(self) -> bool:
        """Whether any job failed, or was not begun because another had."""
        return any(outcome.status in ("failed", "not begun") for outcome in self.outcomes)

    def summary(self) -> str:
        """One line: how many of each, and in what time."""
        frames = sum(o.result.report.frames for o in self.outcomes if o.result)
        seconds = sum(outcome.seconds for outcome in self.outcomes)
        kinds: tuple[Status, ...] = ("painted", "skipped", "failed", "not begun")
        counts = ", ".join(f"{self.count(kind)} {kind}" for kind in kinds if self.count(kind))
        inputs = len({outcome.job.source for outcome in self.outcomes})
        count = f"{inputs} inputs"
        if inputs != len(self.outcomes):
            count = f"{len(self.outcomes)} outputs of {count}"
        return f"{count}: {counts}; {frames} frames in {seconds:.1f} s"

    def as_json(self) -> dict[str, Any]:
        """The report in plain types."""
        return {
            "jobs": [o.result.as_json() for o in self.outcomes if o.result],
            "failures": [
                {"input": o.job.source, "output": o.job.target, "error": o.error}
                for o in self.outcomes
                if o.status == "failed"
            ],
            "skipped": [o.job.source for o in self.outcomes if o.status == "skipped"],
            "not_begun": [o.job.source for o in self.outcomes if o.status == "not begun"],
        }


def run_batch(
    jobs: Sequence[Job],
    paint: Callable[[Job], Result],
    settings: BatchSettings,
    report: BatchReport,
    on_end: Callable[[Outcome], None],
) -> None:
    """Paint all jobs in order, filling `report`, which so tells of an interrupted batch too.

    `on_end` is called after each job. A single job that fails raises as itself.
    """
    report.outcomes = [Outcome(job) for job in jobs]
    for outcome in report.outcomes:
        if settings.skip_existing and will_skip(outcome.job):
            outcome.status = "skipped"
            on_end(outcome)
            continue
        begun = time.perf_counter()
        try:
            outcome.result = paint(outcome.job)
            outcome.status = "painted"
        except StylizeError as error:
            if len(jobs) == 1:
                raise
            outcome.status, outcome.error = "failed", str(error)
        finally:
            outcome.seconds = time.perf_counter() - begun
        on_end(outcome)
        if outcome.status == "failed" and not settings.skip_errors:
            return


def run_groups(
    groups: Sequence[Sequence[Job]],
    paint: Callable[[Sequence[Job]], Sequence[Result | StylizeError]],
    settings: BatchSettings,
    report: BatchReport,
    on_end: Callable[[Sequence[Outcome]], None],
) -> None:
    """Paint all jobs in order, those of a group, which have one input, at once.

    `paint` gives what came of each job of a group. `on_end` is called after each group. An input
    that can't be painted at all raises as itself if it is the only one.
    """
    grouped = [[Outcome(job) for job in group] for group in groups]
    report.outcomes = [outcome for group in grouped for outcome in group]
    for group in grouped:
        for outcome in group:
            if settings.skip_existing and will_skip(outcome.job):
                outcome.status = "skipped"
        due = [outcome for outcome in group if outcome.status == "not begun"]
        if due:
            _paint_group(due, paint, alone=len(groups) == 1)
        on_end(group)
        if not settings.skip_errors and any(outcome.status == "failed" for outcome in due):
            return


def _paint_group(
    due: Sequence[Outcome],
    paint: Callable[[Sequence[Job]], Sequence[Result | StylizeError]],
    *,
    alone: bool,
) -> None:
    begun = time.perf_counter()
    results: Sequence[Result | StylizeError] = ()
    try:
        results = paint([outcome.job for outcome in due])
    except StylizeError as error:
        if alone:
            raise
        results = [error] * len(due)
    finally:
        seconds = time.perf_counter() - begun
        for outcome in due:
            outcome.seconds = seconds / len(due)
    for outcome, result in zip(due, results, strict=True):
        if isinstance(result, StylizeError):
            outcome.status, outcome.error = "failed", str(result)
        else:
            outcome.status, outcome.result = "painted", result


def will_skip(job: Job) -> bool:
    """Whether `BatchSettings.skip_existing` leaves a job alone."""
    return job.target != STDIO and Path(job.target).exists()
