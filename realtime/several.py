"""One input painted in several styles at once: read and decoded once, each output as if alone."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from ._memory import check_fits
from .engines import Engine
from .errors import SourceReadError, StylizeError
from .fan import Branch, FanPipeline
from .frame import Frame
from .metrics import peak_memory_mb
from .pipeline import Painter, Report
from .segments import SegmentRun, skip_to
from .sources import Mark, Source, digest_of
from .temporal import Looker
from .tiers import looker_for
from .video import (
    Result,
    VideoSettings,
    Watcher,
    kept_by,
    open_job,
    open_sink,
    painter_for,
    segment_plan,
)


@dataclass(frozen=True)
class Rendition:
    """One of the outputs of an input."""

    style: str
    """By name."""
    target: str
    engine: Engine
    settings: VideoSettings
    """Beside knobs and segments, those of all renditions are the same."""


def paint_renditions(
    source_name: str, renditions: Sequence[Rendition], watcher: Watcher | None = None
) -> list[Result | StylizeError]:
    """Paint one input into several outputs; what came of each, in their order.

    An output that fails is an error in the result, which says what was kept, and the others go on.
    Raises what opening the input, or finding a place in it again, raises. An interrupt
    (KeyboardInterrupt) says what was kept of all of them.
    """
    settings = renditions[0].settings
    with ExitStack() as stack:
        source, settings, told = open_job(source_name, renditions[0].target, settings)
        stack.callback(source.close)
        renditions = [_with_hardware_of(settings, rendition) for rendition in renditions]
        if settings.max_memory_mb:
            # the settings of each hold its share
            limit = settings.max_memory_mb * len(renditions)
            check_fits(source.info, settings.temporal, limit, len(renditions))
        looker = looker_for(settings.temporal)
        outcomes: list[Result | StylizeError | None] = [None] * len(renditions)
        tracks: dict[int, _Track] = {}
        for number, rendition in enumerate(renditions):
            try:
                track = _Track(source_name, source, rendition, looker, told)
                stack.callback(track.close)
                report = track.take_up()
                if report is None:
                    tracks[number] = track
                else:
                    outcomes[number] = track.result(report)
            except StylizeError as error:
                outcomes[number] = error
        if tracks:
            _paint(source, list(tracks.values()), watcher)
        for number, track in tracks.items():
            outcomes[number] = track.outcome()
        return [outcome for outcome in outcomes if outcome is not None]


def _with_hardware_of(settings: VideoSettings, rendition: Rendition) -> Rendition:
    own = replace(rendition.settings, read=settings.read, write=settings.write)
    return replace(rendition, settings=own)


def _paint(source: Source, tracks: Sequence["_Track"], watcher: Watcher | None) -> None:
    if watcher:
        watcher.begin(source.info, ", ".join(track.target for track in tracks))
    marks = [track.mark for track in tracks if track.mark is not None]
    if len(marks) == len(tracks):
        # those that were further are fed from there on; see `_LatePainter`
        skip_to(source, min(marks, key=lambda mark: mark.count))
    pipeline = FanPipeline(source, [track.branch for track in tracks])
    try:
        pipeline.run(watcher.frame if watcher else None)
    except KeyboardInterrupt as error:
        kept = [f"{track.target}{track.kept()}" for track in tracks]
        raise KeyboardInterrupt("; ".join(kept)) from error


class _Track:
    """What one rendition needs while it is painted. `close` must be called."""

    def __init__(
        self,
        source_name: str,
        source: Source,
        rendition: Rendition,
        looker: Looker | None,
        told: Sequence[str],
    ) -> None:
        self.target, self._told = rendition.target, told
        self._source_name, self._source = source_name, source
        painter = painter_for(rendition.engine, rendition.settings, looker)
        self._reset = painter.reset
        plan = segment_plan(source_name, rendition.target, source, rendition.settings)
        self._run = SegmentRun(plan, painter) if plan else None
        self._rendition = rendition
        self._painter: Painter = self._run.painter if self._run else painter
        self._branch: Branch | None = None

    @property
    def mark(self) -> Mark | None:
        """The last frame that an earlier run has painted."""
        return self._run.mark if self._run else None

    @property
    def branch(self) -> Branch:
        """Its part of the run; there once there is something to paint."""
        assert self._branch is not None
        return self._branch

    def take_up(self) -> Report | None:
        """Make ready to paint, or the report of an earlier run that left nothing to paint."""
        if self._run is None:
            sink = open_sink(self.target, self._source, self._rendition.settings)
            self._notices = sink.notices
            self._branch = Branch(self._painter, sink)
            return None
        report = self._run.take_up()
        if report is None:
            painter = _LatePainter(self._painter, self.mark) if self.mark else self._painter
            self._branch = Branch(painter, self._run.sink, self._run.new_report())
        return report

    def outcome(self) -> Result | StylizeError:
        """What came of painting it."""
        error, report = self.branch.error, self.branch.report
        if error is None and report.whole:
            try:
                return self.result(report)
            except StylizeError as problem:
                return problem
        assert isinstance(error, StylizeError)
        return type(error)(f"{error}{self.kept()}")

    def result(self, report: Report) -> Result:
        """The result of a run that is whole. Raises `SinkWriteError`."""
        notices = self._run.end() if self._run else [*self._source.notices, *self._notices]
        style, info = self._rendition.style, self._source.info
        told = [*self._told, *notices]
        return Result(self._source_name, report, told, info, peak_memory_mb(), style)

    def kept(self) -> str:
        """What is left of it, to put behind what ended it."""
        report = self.branch.report
        return self._run.kept(report) if self._run else kept_by(report)

    def close(self) -> None:
        """Forget all frames; let others work on the output."""
        self._reset()
        if self._branch:
            self._branch.discard()
        if self._run:
            self._run.close()


class _LatePainter:
    """Leaves out what an earlier run has painted: a frame and those before it."""

    def __init__(self, painter: Painter, mark: Mark) -> None:
        self._painter, self._mark = painter, mark
        self._passed = False
        self._first = True

    def push(self, frame: Frame) -> list[Frame]:
        """The painted frames that are ready. Raises `SourceReadError` where the marked one is
        another.
        """
        if self._passed:
            return list(self._painter.push(frame))
        if self._first and frame.pts > self._mark.time:
            self._passed = True  # the source itself went on behind it
            return list(self._painter.push(frame))
        self._first = False
        if frame.pts < self._mark.time:
            return []
        if frame.pts > self._mark.time or digest_of(frame.pixels) != self._mark.digest:
            raise SourceReadError(
                f"the input no longer has the frame at {float(self._mark.time):.3f} s that was "
                "painted last: begin anew with --restart"
            )
        self._passed = True
        return []

    def finish(self) -> list[Frame]:
        """The painted frames still held back."""
        return list(self._painter.finish())
