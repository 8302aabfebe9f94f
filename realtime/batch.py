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
        return f"{len(self.outcomes)} inputs: {counts}; {frames} frames in {seconds:.1f} s"

    def as_json(self) -> dict[str, Any]:
        """The report in plain types."""
        return {
            "jobs": [o.result.as_json() for o in self.outcomes if o.result],
            "failures": [
                {"input": o.job.source, "error": o.error}
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


def will_skip(job: Job) -> bool:
    """Whether `BatchSettings.skip_existing` leaves a job alone."""
    return job.target != STDIO and Path(job.target).exists()
