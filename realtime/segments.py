"""Long jobs in segments: what is finished survives whatever ends the run, and is not done twice.

Every few seconds of video the encoder is ended, what the painter remembers is put on the disk, and
the journal gets a line. A later run of the same command takes the painter's memory up where the
last finished segment ended, so that the frames to come are, to the bit, those of a run that was
never interrupted: no cut is needed for a border, and nothing is painted twice. At the end the
packets of all segments and of what travels beside the picture are joined without encoding again.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final, Protocol

from ._join import Joiner
from ._state import State, load_state, save_state
from .errors import JournalError, SinkWriteError, StylizeError
from .frame import Frame, SidePacket
from .journal import Journal, Segment, open_journal
from .pipeline import Pipeline, Report
from .sinks._containers import EncodeOptions, container_for
from .sinks.file import reason_of
from .sinks.parts import Part, PartSink, sha256_of
from .sources import Mark, Resumable, Source, digest_of

DEFAULT_SECONDS: Final = Fraction(20)
LONG_S: Final = 300
"""Seconds of video from which on a job is done in segments without being asked."""


class RememberingPainter(Protocol):
    """A `pipeline.Painter` that can be taken up again: `stylizer.Stylizer`."""

    def push(self, frame: Frame) -> Iterable[Frame]:
        """Take the next frame; the painted ones that are ready, in order."""
        ...

    def finish(self) -> Iterable[Frame]:
        """The painted frames still held back."""
        ...

    def remember(self) -> State:
        """All that the frames to come depend on."""
        ...

    def recall(self, state: State) -> None:
        """Go on as the painter did that gave `state`."""
        ...


@dataclass(frozen=True)
class SegmentSettings:
    """How a job is cut into segments, and what an earlier run has to do with it."""

    seconds: Fraction = DEFAULT_SECONDS
    """Of video, in each segment."""
    always: bool = False
    """Whatever the length of the input: else only jobs of `LONG_S` and more."""
    restart: bool = False
    """Throw away what an interrupted run has left."""
    must_resume: bool = False
    """Refuse to begin: an interrupted run must have left something."""
    keep: bool = False
    """Keep the segments as files of their own."""
    made_of: Mapping[str, str] = field(default_factory=dict)
    """Everything that decides what comes out: another run goes on only with the same."""


@dataclass(frozen=True)
class _Border:
    """Where a segment ends, once the sink gets there."""

    frames: int
    """Painted frames before it, of this run."""
    mark: Mark
    state: Path


class SegmentPainter:
    """Passes frames through a painter and puts down its memory at the end of each segment."""

    def __init__(self, painter: RememberingPainter, journal: Journal, seconds: Fraction) -> None:
        self._painter, self._journal, self._seconds = painter, journal, seconds
        self._read = journal.segments[-1].mark.count if journal.segments else 0
        self._painted, self._number = 0, len(journal.segments) + 1
        self._since: Fraction | None = None
        self._last_border = 0
        self.borders: deque[_Border] = deque()
        """Those the sink has not come to."""

    def recall(self) -> None:
        """Take up the memory of the last finished segment. Raises `JournalError`."""
        path = self._journal.folder / self._journal.segments[-1].state
        try:
            self._painter.recall(load_state(path))
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise JournalError(
                f"{path} does not fit this painter ({error}): begin anew with --restart"
            ) from error

    def push(self, frame: Frame) -> Iterator[Frame]:
        """The painted frames that are ready. Raises `SinkWriteError` where memory can't be put
        down.
        """
        if self._since is None:
            self._since = frame.pts
        for painted in self._painter.push(frame):
            self._painted += 1
            yield painted
        self._read += 1
        if frame.pts - self._since >= self._seconds and self._painted > self._last_border:
            self._put_down(frame)

    def finish(self) -> Iterator[Frame]:
        """The painted frames still held back."""
        yield from self._painter.finish()

    def _put_down(self, frame: Frame) -> None:
        path = self._journal.folder / f"{self._number:05d}.npz"
        try:
            save_state(path, self._painter.remember())
        except OSError as error:
            raise SinkWriteError(f"{path} can't be written: {reason_of(error)}") from error
        mark = Mark(self._read, frame.pts, digest_of(frame.pixels))
        self.borders.append(_Border(self._painted, mark, path))
        self._since, self._last_border = None, self._painted
        self._number += 1


class SegmentSink:
    """Encodes painted frames segment by segment, and joins all at the end."""

    def __init__(
        self,
        target: Path,
        source: Source,
        options: EncodeOptions,
        journal: Journal,
        painter: SegmentPainter,
        reopen: Callable[[], Source],
    ) -> None:
        self._target, self._source, self._options = target, source, options
        self._journal, self._painter = journal, painter
        self._container = container_for(target)
        self._joiner = Joiner(target, options, journal.folder, reopen)
        self._written = 0
        self._part: PartSink | None = None
        self.kept_frames = 0
        """How many frames `abandon` has kept."""
        self.notices = self._joiner.try_to_open(source)

    def write(self, item: Frame | SidePacket) -> None:
        """Encode a frame; other packets are taken from the input when all is joined."""
        if not isinstance(item, Frame):
            return
        borders = self._painter.borders
        if borders and borders[0].frames == self._written:
            self._end_segment(borders.popleft())
        if self._part is None:
            last = self._journal.segments[-1].last_pts if self._journal.segments else -1
            self._part = PartSink(
                self._part_path(), self._container, self._source.info, self._options, last
            )
        self._part.write(item)
        self._written += 1

    def finish(self) -> str:
        """End the last segment and join all into the output, whose name is returned."""
        if not self._journal.complete:
            self._end_segment(None)
        return self.join()

    def join(self) -> str:
        """Make the output of the finished segments."""
        self._joiner.join(self._journal.parts(), self._journal.note_joined)
        return str(self._target)

    def keep(self) -> str:
        """Write each segment as a file of its own; what to tell of it."""
        return self._joiner.keep(self._journal.parts(), self._source.info)

    def abandon(self) -> str | None:
        """Join what there is as ``<stem>.partial<ending>``, if it holds a frame and can be joined.

        The finished segments stay for the next run.
        """
        parts, tail = self._journal.parts(), self._part_path()
        frames = self._journal.frames
        try:
            if self._part is not None and self._part.frames:
                frames += self._part.frames
                self._part.finish()
                parts.append(tail)
            if not parts:
                return None
            partial = self._target.with_name(f"{self._target.stem}.partial{self._target.suffix}")
            self._joiner.join_some(parts, partial)
        except (StylizeError, OSError):
            return None
        finally:
            if self._part is not None:
                self._part.discard()
        self.kept_frames = frames
        return str(partial)

    def _part_path(self) -> Path:
        return self._journal.folder / f"{len(self._journal.segments) + 1:05d}.part"

    def _end_segment(self, border: _Border | None) -> None:
        """Finish the part in work; without a border it is the last one."""
        if self._part is None:
            raise SinkWriteError(f"{self._target} got no frame")
        path = self._part_path()
        part = self._part.finish()
        self._part = None
        try:
            self._journal.add(self._segment(path, part, border), last=border is None)
        except OSError as error:
            raise SinkWriteError(
                f"the journal of {self._target} can't be written: {reason_of(error)}"
            ) from error

    def _segment(self, path: Path, part: Part, border: _Border | None) -> Segment:
        mark, state, digest = Mark(0, Fraction(0), ""), "", ""
        if border is not None:
            with border.state.open("rb") as file:
                os.fsync(file.fileno())
            mark, state, digest = border.mark, border.state.name, sha256_of(border.state)
        return Segment(
            path.name, part.sha256, part.size, part.frames, part.last_pts, mark, state, digest
        )


@dataclass(frozen=True)
class SegmentJob:
    """What is painted in segments: where from, where to and how to open the input again."""

    source: Source
    target: Path
    options: EncodeOptions
    settings: SegmentSettings
    reopen: Callable[[], Source]


def paint_in_segments(
    job: SegmentJob,
    painter: RememberingPainter,
    on_frame: Callable[[Report], None] | None = None,
) -> tuple[Report, list[str]]:
    """Paint in segments, going on where an earlier run has stopped; the report and what to tell.

    Raises `JournalError` or `OutputBusy` where that run's work can't be used, and what source,
    painter or sink raise, which then says what was kept.
    """
    settings, target = job.settings, job.target
    journal = open_journal(target, settings.made_of, restart=settings.restart)
    try:
        if journal.was_joined_as(target):
            journal.remove()
            report = Report(journal.frames, resumed=journal.frames, output=str(target), whole=True)
            return report, ["an earlier run had finished this and not cleaned up: done now"]
        if settings.must_resume and not journal.segments:
            raise JournalError(
                f"there is no interrupted run of {target} to go on with: leave --resume out"
            )
        segments = SegmentPainter(painter, journal, settings.seconds)
        sink = SegmentSink(target, job.source, job.options, journal, segments, job.reopen)
        notices: list[str] = []
        if journal.segments:
            notices.append(f"went on behind frame {journal.frames}, where a run was interrupted")
        report = _run(job, segments, sink, journal, on_frame)
        if settings.keep:
            notices.append(sink.keep())
        journal.remove()
        return report, [*notices, *job.source.notices, *sink.notices]
    finally:
        journal.close()


def _run(
    job: SegmentJob,
    painter: SegmentPainter,
    sink: SegmentSink,
    journal: Journal,
    on_frame: Callable[[Report], None] | None,
) -> Report:
    done = journal.frames
    if journal.complete:  # killed while it was joined
        return Report(done, resumed=done, output=sink.join(), whole=True)
    if journal.segments:
        if not isinstance(job.source, Resumable):
            raise JournalError(f"an input of this kind can't be taken up again: {job.source}")
        job.source.skip_through(journal.segments[-1].mark)
        painter.recall()
    pipeline = Pipeline(job.source, painter, sink)
    pipeline.report.frames = pipeline.report.resumed = done
    try:
        return pipeline.run(on_frame)
    except StylizeError as error:
        raise type(error)(f"{error}{_kept(sink, pipeline.report, journal)}") from error
    except KeyboardInterrupt as error:
        kept = _kept(sink, pipeline.report, journal).removeprefix("; ")
        raise KeyboardInterrupt(kept) from error


def _kept(sink: SegmentSink, report: Report, journal: Journal) -> str:
    kept = "; nothing was kept"
    if report.output is not None:
        kept = f"; the {sink.kept_frames} frames painted before are in {report.output}"
    if journal.segments:
        kept += f"; the same command goes on behind frame {journal.frames}"
    return kept
