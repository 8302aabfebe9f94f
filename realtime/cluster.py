"""Films painted by many workers: each gets the next piece, whosever film it belongs to.

Only names, times and settings go out and only encoded pieces come back. A piece whose worker is
lost is painted by another; what is finished lies in the journal, where another run finds it.
"""

import argparse
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from ._arguments import video_settings
from ._crew import Crew, Lost, Ready, Skills, Told
from ._film import Film
from ._ray import RayCrew, hire_from
from ._segment_options import segment_settings
from .batch import will_skip
from .cues import read_cues
from .errors import ClusterError, SourceError, StylizeError
from .folders import Job
from .metrics import peak_memory_mb
from .video import Result, VideoSettings, Watcher

_LOOK_S: Final = 0.2
_MOST_OPEN: Final = 64
"""Jobs that may be begun before the one that is waited for is done: each has files open."""
_NO_WORKER_S: Final = 180
"""How long there may be nobody to paint."""


@dataclass
class _Duty:
    """What a worker has been given."""

    film: Film
    number: int


class Cluster:
    """Paints jobs, in order, on the workers of a crew.

    While the pieces of one job run out, workers begin with the next.
    """

    def __init__(
        self,
        crew: Crew,
        settings: VideoSettings,
        jobs: Iterable[Job] = (),
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`jobs` are those that will be asked for, in that order. Call `close` whatever happens."""
        self._crew, self._settings, self._say = crew, settings, say
        self._ahead = deque(jobs)
        self._films: dict[Job, Film] = {}
        self._failed: dict[Job, StylizeError] = {}
        self._duties: dict[int, _Duty] = {}
        self._idle: deque[int] = deque()
        self._skills: Skills | None = None
        self._first_node = ""
        self._nodes: dict[int, str] = {}
        self._error: StylizeError | None = None
        self._last_seen = time.monotonic()
        self.notices: list[str] = []
        """What workers have to say of what they paint with."""

    @property
    def description(self) -> str:
        """What paints, in one line."""
        what = f"{self._skills.description}, " if self._skills else ""
        return f"{what}{self._crew.size} worker(s)"

    def paint(self, job: Job, watcher: Watcher | None = None) -> Result:
        """Paint one input into one output.

        Raises `StylizeError`s, and KeyboardInterrupt when interrupted; the message then says what
        was kept.
        """
        begun = time.process_time()
        while self._skills is None:
            self._step()
        if job in self._ahead:
            self._ahead.remove(job)
        film = self._film(job)
        try:
            if watcher:
                watcher.begin(film.info, job.target)
            try:
                while not film.complete and film.error is None:
                    self._step()
                    if watcher:
                        watcher.frame(film.report)
                if film.error is not None:
                    raise film.error
                self._join(film)
            except StylizeError as error:
                raise type(error)(f"{error}; {film.kept()}") from error
            except KeyboardInterrupt as error:
                raise KeyboardInterrupt(film.kept()) from error
        finally:
            film.close()
            self._films.pop(job)
        report = film.report
        report.cpu_seconds += time.process_time() - begun
        return Result(job.source, report, film.notices, film.info, peak_memory_mb())

    def close(self) -> None:
        """Send the workers away; what is finished of other jobs stays for another run."""
        for film in self._films.values():
            film.close()
        self._crew.close()

    # --- steps

    def _step(self) -> None:
        """Give work to whoever has none, then wait a little for something to happen."""
        if self._error is not None:
            raise self._error
        if self._skills is not None:
            self._give_out()
        event = self._crew.next_event(_LOOK_S)
        if isinstance(event, Ready):
            self._welcome(event)
        elif isinstance(event, Told):
            self._listen(event)
        elif isinstance(event, Lost):
            self._miss(event)
        if self._idle or self._duties:
            self._last_seen = time.monotonic()
        elif time.monotonic() - self._last_seen > _NO_WORKER_S:
            raise ClusterError(
                f"no worker has come up for {_NO_WORKER_S} s: look whether the cluster is busy "
                "(ray status), or give fewer --threads for each worker"
            )

    def _join(self, film: Film) -> None:
        """Make the output, while workers go on with the next jobs."""
        with ThreadPoolExecutor(1, thread_name_prefix="stylize-join") as thread:
            joining = thread.submit(film.join)
            try:
                while not joining.done() and self._error is None:
                    self._step()
            except ClusterError as error:
                self._error = error  # said of the next job: this one has all it needs
            except BaseException:
                film.stop()
                raise
            joining.result()

    def _give_out(self) -> None:
        while self._idle:
            film = next((film for film in self._films.values() if film.waiting), None)
            if film is None:
                if not self._ahead or len(self._films) >= _MOST_OPEN:
                    return
                self._begin_next()
                continue
            worker = self._idle.popleft()
            number, task = film.next_task()
            self._duties[worker] = _Duty(film, number)
            self._crew.begin(worker, task)

    def _begin_next(self) -> None:
        """Open the next job before it is asked for. What keeps it is said when it is."""
        job = self._ahead.popleft()
        try:
            self._film(job)
        except StylizeError as error:
            self._failed[job] = error

    def _film(self, job: Job) -> Film:
        if job in self._failed:
            raise self._failed.pop(job)
        if job not in self._films:
            self._films[job] = Film(job, self._settings, dict(self._known().made_of))
        return self._films[job]

    def _known(self) -> Skills:
        if self._skills is None:
            raise ClusterError("no worker has come up yet")
        return self._skills

    def _welcome(self, event: Ready) -> None:
        """Take a worker in, if what it paints is what the others paint."""
        if self._skills is None:
            self._skills = event.skills
            self._first_node = event.node
            self.notices += event.skills.notices
        ours, its = self._skills.made_of, event.skills.made_of
        for name in sorted({*ours, *its}):
            if ours.get(name) != its.get(name):
                self._error = ClusterError(
                    f"workers would not paint alike: {name} is {ours.get(name)} on "
                    f"{self._first_node} and {its.get(name)} on {event.node}; make them the same, "
                    "by --engine and --precision or by installing the same"
                )
                raise self._error
        self._nodes[event.worker] = event.node
        self._idle.append(event.worker)

    def _listen(self, event: Told) -> None:
        duty, taken = self._duties.get(event.worker), event.taken
        if duty is None:
            return
        film = duty.film
        if taken.crash:
            film.lose(duty.number, taken.crash)
        elif taken.error is not None:
            film.fail(self._placed(taken.error, event.worker))
        else:
            film.take(duty.number, taken.data, taken.frames)
            if taken.painted is not None:
                film.finish_piece(duty.number, taken.painted)
        if taken.crash or taken.error is not None or taken.painted is not None:
            del self._duties[event.worker]
            self._idle.append(event.worker)

    def _placed(self, error: StylizeError, worker: int) -> StylizeError:
        """The error, with the machine it came up on where that is what matters."""
        if not isinstance(error, SourceError):
            return error
        return type(error)(
            f"on {self._nodes[worker]}: {error}; every machine must find the inputs under the same "
            "names"
        )

    def _miss(self, event: Lost) -> None:
        if event.worker in self._idle:
            self._idle.remove(event.worker)
        duty = self._duties.pop(event.worker, None)
        if duty is not None:
            duty.film.lose(duty.number, event.why)
        else:
            self._say(f"a worker is gone ({event.why})")


def open_cluster(
    options: argparse.Namespace, work: Sequence[Job], say: Callable[[str], None]
) -> Cluster:
    """The cluster that the options of `stylize video` ask for. Raises `StylizeError`s."""
    hire = hire_from(options)
    # each worker has so many threads for itself, and the output is opened with its encoder's
    options = argparse.Namespace(**{**vars(options), "threads": hire.threads})
    settings = video_settings(options)
    if settings.show:
        raise StylizeError("--show is not painted in pieces: leave --cluster out")
    segments = segment_settings(options, {})
    if segments is None:
        raise StylizeError("--cluster paints in pieces: leave --segments 0 out")
    cues = read_cues(options.timeline) if options.timeline else []
    crew = RayCrew(hire, options, cues)
    jobs = [job for job in work if not (options.skip_existing and will_skip(job))]
    return Cluster(crew, replace(settings, segments=segments), jobs, say)
