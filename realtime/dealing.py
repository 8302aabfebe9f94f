"""Deals jobs to several devices: each has a thread and networks of its own, and takes the next job
when it has done one.

Threads, not processes: nearly all of the time is spent in libraries that let others run meanwhile,
and what is painted is told of in one place.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from ._threads import Worker
from .batch import BatchReport, BatchSettings, Outcome, will_skip
from .errors import EngineError, StylizeError
from .folders import Job
from .video import Result

_MOST_FAILURES: Final = 2
"""Jobs in a row on which the network may fail before a device is taken for broken."""
_LOOK_S: Final = 0.5


class DevicePainter(Protocol):
    """Paints one job on its device."""

    def __call__(self, job: Job, stop: threading.Event) -> Result:
        """Paint; raise KeyboardInterrupt, with what was kept, soon after `stop` is set."""
        ...


@dataclass
class _Table:
    """What all devices share, under one lock."""

    waiting: deque[Outcome]
    changed: threading.Condition = field(default_factory=threading.Condition)
    in_work: int = 0
    tried: dict[int, int] = field(default_factory=dict)
    """The device on whose network a job has failed, by the job's identity."""
    kept: list[str] = field(default_factory=list)
    """What interrupted jobs have left."""
    broken: BaseException | None = None
    """What ended a device that is nobody's fault but ours."""


def run_dealt(
    jobs: Sequence[Job],
    painters: Mapping[int, DevicePainter],
    settings: BatchSettings,
    report: BatchReport,
    on_end: Callable[[Outcome], None],
    say: Callable[[str], None],
) -> None:
    """Paint all jobs, each on whichever device, by its number, is free first.

    A job on which a network fails is tried on one other device; a device on which that happens
    twice in a row is left out from then on, which is said. `on_end` is called after each job, by
    one thread at a time. An interrupt (KeyboardInterrupt) ends all jobs and says what was kept.
    """
    report.outcomes = [Outcome(job) for job in jobs]
    for outcome in report.outcomes:
        if settings.skip_existing and will_skip(outcome.job):
            outcome.status = "skipped"
            on_end(outcome)
    table = _Table(deque(o for o in report.outcomes if o.status == "not begun"))
    stop, no_more = threading.Event(), threading.Event()
    devices = [
        _Device(number, paint, table, stop, no_more, settings, on_end, say)
        for number, paint in painters.items()
    ]
    try:
        for device in devices:
            device.start()
        for device in devices:
            while not device.over.wait(_LOOK_S):
                pass  # a signal may have come to another thread than this one
    except KeyboardInterrupt:
        stop.set()
        for device in devices:
            device.join()
        raise KeyboardInterrupt("; ".join(table.kept)) from None
    if table.broken is not None:
        raise table.broken
    for outcome in table.waiting:
        if outcome.error:  # it failed on one device, and there is no other left
            outcome.status = "failed"
            on_end(outcome)


class _Device(Worker):
    """One device at its work."""

    def __init__(
        self,
        number: int,
        paint: DevicePainter,
        table: _Table,
        stop: threading.Event,
        no_more: threading.Event,
        settings: BatchSettings,
        on_end: Callable[[Outcome], None],
        say: Callable[[str], None],
    ) -> None:
        super().__init__(name=f"stylize-device-{number}")
        self._number, self._paint, self._table = number, paint, table
        self._stop_all, self._no_more, self._settings = stop, no_more, settings
        self._on_end, self._say = on_end, say
        self._failures = 0

    def work(self) -> None:
        """Take jobs until there are none, or the device is broken."""
        going = True
        while going and (outcome := self._next()):
            try:
                going = self._do(outcome)
            finally:
                with self._table.changed:
                    self._table.in_work -= 1
                    self._table.changed.notify_all()

    def _next(self) -> Outcome | None:
        """The first waiting job that has not failed here; one that another device is at may yet
        become such.
        """
        table = self._table
        with table.changed:
            while not self._stop_all.is_set() and not self._no_more.is_set():
                for outcome in table.waiting:
                    if table.tried.get(id(outcome)) != self._number:
                        table.waiting.remove(outcome)
                        table.in_work += 1
                        return outcome
                if not table.in_work:
                    break
                table.changed.wait(_LOOK_S)
        return None

    def _do(self, outcome: Outcome) -> bool:
        """Paint a job; whether to take another."""
        begun = time.perf_counter()
        try:
            result = self._paint(outcome.job, self._stop_all)
        except EngineError as error:
            return self._failed_here(outcome, error, time.perf_counter() - begun)
        except StylizeError as error:
            outcome.status, outcome.error = "failed", str(error)
        except KeyboardInterrupt as error:
            with self._table.changed:
                if str(error):
                    self._table.kept.append(f"{outcome.job.source}: {error}")
            return False
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            with self._table.changed:
                self._table.broken = error
            self._no_more.set()
            return False
        else:
            outcome.status, outcome.result, outcome.error = "painted", result, ""
            result.notices.insert(0, f"{outcome.job.source} was painted on device {self._number}")
        self._failures = 0
        self._end(outcome, time.perf_counter() - begun)
        return True

    def _failed_here(self, outcome: Outcome, error: EngineError, seconds: float) -> bool:
        self._failures += 1
        outcome.error = str(error)
        if id(outcome) in self._table.tried:
            outcome.status = "failed"
            self._end(outcome, seconds)
        else:
            with self._table.changed:
                self._table.tried[id(outcome)] = self._number
                self._table.waiting.appendleft(outcome)
                self._say(f"device {self._number}: {error}; another device tries it")
        if self._failures < _MOST_FAILURES:
            return True
        with self._table.changed:
            self._say(f"device {self._number} failed {self._failures} times in a row: left out")
        return False

    def _end(self, outcome: Outcome, seconds: float) -> None:
        outcome.seconds = seconds
        with self._table.changed:
            self._on_end(outcome)
        if outcome.status == "failed" and not self._settings.skip_errors:
            self._no_more.set()
