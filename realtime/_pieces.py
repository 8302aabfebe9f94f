"""Pieces of films that are painted apart, by workers that know nothing of each other.

A piece has a nominal start and end. It really begins with the first shot behind the start and goes
on to the first shot behind the end, which whoever paints the next piece finds by the same test.
Both tell the frame at that border, so that whether they have read the same film is proved.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final, Protocol

from .errors import SourceOpenError, SourceReadError, StylizeError
from .frame import Frame, SidePacket
from .journal import Border
from .pipeline import Painter, Pipeline, Report
from .shots import Begins
from .sinks._containers import EncodeOptions, container_for
from .sinks.parts import Part, PartEncoder
from .sources import Source, Splittable, digest_of
from .sources.images import sequence_paths

_MOST_WAITING: Final = 16 << 20
"""Encoded bytes that may wait to be taken."""
_WORTH_TAKING: Final = 1 << 20
_SAMPLES: Final = 16
_SAMPLE_BYTES: Final = 1 << 16


@dataclass(frozen=True)
class Task:
    """A piece to paint."""

    source: str
    """The name of the input, the same for all workers."""
    print: str
    """Its `quick_print`."""
    ending: str
    """Of the output's name, which stands for its container."""
    options: EncodeOptions
    start: Fraction | None
    """The piece begins with the first shot behind a frame at or behind this; None for the film's
    first frame.
    """
    end: Fraction | None
    """It ends before the first shot behind a frame at or behind this; None for the film's end."""
    seek: bool = True
    """Go to the start directly: not for inputs in which that has failed."""


@dataclass(frozen=True)
class Painted:
    """What came of a piece; of its encoded frames, the size and sum alone."""

    frames: int
    first: Border | None
    next: Border | None
    size: int
    sha256: str
    cpu_seconds: float
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Taken:
    """What a worker has made since it was last asked."""

    frames: int
    """Of the piece, so far."""
    data: bytes
    painted: Painted | None = None
    """Set when all of it was taken."""
    error: StylizeError | None = None
    """What ended it."""
    crash: str = ""
    """What ended it and should not have been possible."""


class PiecePainter(Painter, Protocol):
    """What paints pieces: `stylizer.Stylizer`, `turning.TurnedPainter`."""

    def shots(self) -> Begins:
        """A test, of its own, for frames from which on nothing before them matters."""
        ...

    def reset(self) -> None:
        """Forget the frames before."""
        ...


class _Stopped(Exception):
    """Nobody wants the piece any more."""


class PieceSource:
    """Those frames of a source that belong to a piece."""

    def __init__(
        self, source: Source, task: Task, begins: Begins, stopped: threading.Event
    ) -> None:
        """Raises `SourceReadError` for sources that can't be read in part."""
        if not isinstance(source, Splittable):
            raise SourceReadError(f"{task.source} can't be read in pieces: leave --cluster out")
        if task.start is not None or task.end is not None:
            source.read_from(task.start, seek=task.seek)
        self._source, self._task, self._begins, self._stopped = source, task, begins, stopped
        self.info, self.extras = source.info, source.extras
        self.first: Border | None = None
        self.next: Border | None = None

    def __iter__(self) -> Iterator[Frame | SidePacket]:
        start, end = self._task.start, self._task.end
        inside, before = start is None, None
        for frame in self._source:
            if self._stopped.is_set():
                raise _Stopped
            if not isinstance(frame, Frame):
                continue
            if before is not None:
                if not inside and end is not None and before.pts >= end:
                    return  # no shot begins in this piece
                limit = end if inside else start
                if limit is not None and before.pts >= limit and self._begins(before, frame):
                    border = Border(frame.pts, digest_of(frame.pixels), before.pts)
                    if inside:
                        self.next = border
                        return
                    self.first, inside = border, True
            if inside:
                yield frame
            before = frame

    @property
    def notices(self) -> list[str]:
        """One line for each thing that was not plain sailing."""
        return self._source.notices

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class Outflow:
    """Encoded bytes on their way out: whoever makes them waits while too many lie there."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._changed = threading.Condition()
        self._ended = self._aborted = False

    def put(self, data: bytes) -> None:
        """Hand on. Raises `_Stopped` after `abort`."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._data) < _MOST_WAITING or self._aborted)
            if self._aborted:
                raise _Stopped
            self._data += data
            if len(self._data) >= _WORTH_TAKING:
                self._changed.notify_all()

    def end(self) -> None:
        """No more will come."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Let nobody wait."""
        with self._changed:
            self._aborted = True
            self._changed.notify_all()

    def take(self, wait_s: float) -> tuple[bytes, bool]:
        """All there is, once that is worth it or the time is over, and whether it is the last."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._data) >= _WORTH_TAKING or self._ended, wait_s)
            data = bytes(self._data)
            self._data.clear()
            self._changed.notify_all()
            return data, self._ended


class _PieceSink:
    """Encodes the frames of a piece; a piece without any has no encoder."""

    def __init__(self, task: Task, source: Source, outflow: Outflow) -> None:
        self._task, self._source, self._outflow = task, source, outflow
        self._encoder: PartEncoder | None = None
        self.part = Part(0, -1, 0, "")
        self.notices: list[str] = []

    def write(self, item: Frame | SidePacket) -> None:
        """Encode a frame."""
        assert isinstance(item, Frame)
        if self._encoder is None:
            container = container_for(Path(f"piece{self._task.ending}"))
            self._encoder = PartEncoder(
                self._outflow.put, "the piece", container, self._source.info, self._task.options
            )
        self._encoder.write(item)

    def finish(self) -> str:
        """Encode the rest."""
        if self._encoder is not None:
            self.part = self._encoder.finish()
        return ""

    def abandon(self) -> str | None:
        """Nothing is kept of a piece that is not whole."""
        if self._encoder is not None:
            self._encoder.close()
        return None


class PieceWorker:
    """Paints pieces with one painter, one after another, each in a thread of its own."""

    def __init__(self, painter: PiecePainter, open_source: Callable[[str], Source]) -> None:
        self._painter, self._open_source = painter, open_source
        self._prints: dict[str, str] = {}
        self._thread: threading.Thread | None = None
        self._outflow = Outflow()
        self._stopped = threading.Event()
        self._frames = 0
        self._end = Taken(0, b"")

    def begin(self, task: Task) -> None:
        """Paint a piece; the one before must have been taken whole."""
        if self._thread is not None:
            self._thread.join()
        self._outflow, self._frames = Outflow(), 0
        self._end = Taken(0, b"", crash="it ended without a word")
        self._thread = threading.Thread(target=self._run, args=(task,), name="stylize-piece")
        self._thread.start()

    def take(self, wait_s: float) -> Taken:
        """What was made since the last time; waits so long for more than a little."""
        data, last = self._outflow.take(wait_s)
        return replace(self._end, data=data) if last else Taken(self._frames, data)

    def close(self) -> None:
        """Stop."""
        self._stopped.set()
        self._outflow.abort()
        if self._thread is not None:
            self._thread.join()
        self._painter.reset()

    def _run(self, task: Task) -> None:
        try:
            painted = self._paint(task)
            self._end = Taken(painted.frames, b"", painted)
        except StylizeError as error:
            self._end = Taken(self._frames, b"", error=error)
        except Exception as error:  # noqa: BLE001 - told to whoever asks for the piece
            self._end = Taken(self._frames, b"", crash=f"{type(error).__name__}: {error}")
        finally:
            self._outflow.end()

    def _paint(self, task: Task) -> Painted:
        begun = time.process_time()
        inner = self._open_source(task.source)
        try:
            self._check_input(task)
            source = PieceSource(inner, task, self._painter.shots(), self._stopped)
            sink = _PieceSink(task, inner, self._outflow)
            self._painter.reset()
            Pipeline(source, self._painter, sink).run(self._count)
            notices = (*source.notices, *sink.notices)
        finally:
            inner.close()
        spent = time.process_time() - begun
        part = sink.part
        return Painted(
            part.frames, source.first, source.next, part.size, part.sha256, spent, notices
        )

    def _count(self, report: Report) -> None:
        self._frames = report.frames

    def _check_input(self, task: Task) -> None:
        if task.source not in self._prints:
            self._prints[task.source] = quick_print(Path(task.source))
        if self._prints[task.source] != task.print:
            raise SourceOpenError(f"{task.source} is another file there")


def quick_print(path: Path) -> str:
    """What tells whether a path is the same input everywhere, without reading all of it: size and
    samples of a file, names and sizes of a sequence's pictures. Raises `SourceOpenError`.
    """
    total = hashlib.sha256()
    try:
        if path.is_dir() or not path.exists():
            for picture in sequence_paths(path):
                total.update(f"{picture.name} {picture.stat().st_size}\n".encode())
            return total.hexdigest()
        size = path.stat().st_size
        total.update(str(size).encode())
        with path.open("rb") as file:
            for number in range(_SAMPLES):
                file.seek(max(0, size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
                total.update(file.read(_SAMPLE_BYTES))
    except OSError as error:
        raise SourceOpenError(f"{path} can't be read: {error.strerror}") from error
    return total.hexdigest()
