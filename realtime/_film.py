"""One input that is painted in pieces: what there is to do, what is done, and whether it fits."""

import contextlib
import hashlib
import math
import os
import re
import threading
import time
from collections import Counter, deque
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Final

from ._join import Joiner
from ._memory import check_fits
from ._pieces import Painted, Task, quick_print
from .channel import Aborted
from .errors import ClusterError, JournalError, SinkOpenError, SinkWriteError, StylizeError
from .folders import Job
from .journal import Border, Piece, journal_folder, open_journal
from .pipeline import Report
from .sinks.file import reason_of
from .video import VideoSettings, made_of, open_source, why_in_one_piece

_MOST_PIECES: Final = 100_000
"""A header may claim any length."""
_MOST_TRIES: Final = 3
"""How often a piece is begun before whatever kills its workers is believed to be the piece."""


class _Incoming:
    """The encoded frames of a piece that is being painted."""

    def __init__(self, path: Path) -> None:
        self.path, self.frames, self.size = path, 0, 0
        self._sum = hashlib.sha256()
        self._file: BinaryIO = path.open("wb")

    def add(self, data: bytes, frames: int) -> None:
        self._file.write(data)
        self._sum.update(data)
        self.size += len(data)
        self.frames = frames

    def finish(self) -> str:
        """Have all of it on the disk; its sha256."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._sum.hexdigest()

    def discard(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


class Film:
    """A job in pieces. `close` it whatever happens: what is finished stays for another run."""

    def __init__(self, job: Job, settings: VideoSettings, painted_by: dict[str, str]) -> None:
        """Plan the pieces, or go on with those an interrupted run has left; `painted_by` is what
        the workers are made of.

        Raises `SourceOpenError`, `SinkOpenError`, and `JournalError` where that run's work can't be
        used.
        """
        assert settings.segments is not None
        hindrance = why_in_one_piece(job.source, job.target, settings)
        if hindrance:
            raise SinkOpenError(f"{hindrance}: leave --cluster out")
        self._settings, self._wanted = settings, settings.segments
        self._stopped = threading.Event()
        self._name, self.target = str(Path(job.source).absolute()), Path(job.target)
        source = open_source(self._name, settings)
        try:
            self.info, self._print = source.info, quick_print(Path(self._name))
            if settings.max_memory_mb:
                check_fits(source.info, settings.temporal, settings.max_memory_mb)
            facts = {**painted_by, **made_of(self._name, settings), "--cluster": "in pieces"}
            self._journal = open_journal(self.target, facts, restart=self._wanted.restart)
            try:
                self._joiner = Joiner(
                    self.target,
                    settings.write,
                    self._journal.folder,
                    lambda: open_source(self._name, settings),
                    self._check_wanted,
                )
                self.joined_before = self._journal.was_joined_as(self.target)
                if self._wanted.must_resume and not self._journal.pieces:
                    raise JournalError(
                        f"there is no interrupted run of {job.target} to go on with: leave "
                        "--resume out"
                    )
                self.notices = [] if self.joined_before else self._joiner.try_to_open(source)
            except BaseException:
                self._journal.close()
                raise
        finally:
            source.close()
        self._starts = nominal_starts(self.info.duration_from_header, self._wanted.seconds)
        self._pending = deque(n for n in range(len(self._starts)) if n not in self._journal.pieces)
        self._coming: dict[int, _Incoming] = {}
        self._tries: Counter[int] = Counter()
        self._decode_all: set[int] = set()
        self._settled = 0
        self._expected: Border | None = _ANY
        self.error: StylizeError | None = None
        """What has ended it."""
        frames = self._journal.frames
        self.report = Report(frames, resumed=frames)
        if frames:
            self.notices.append(
                f"went on with {len(self._journal.pieces)} of {len(self._starts)} pieces, which a "
                "run that was interrupted has left"
            )
        self._begun = time.perf_counter()
        self._settle()

    # --- painting

    @property
    def waiting(self) -> bool:
        """Whether there are pieces that nobody paints."""
        return bool(self._pending) and self.error is None

    @property
    def complete(self) -> bool:
        """Whether all pieces are there and fit together."""
        return self.joined_before or self._settled == len(self._starts)

    def next_task(self) -> tuple[int, Task]:
        """The number of a piece that nobody paints, and what to do for it."""
        number = self._pending.popleft()
        end = self._starts[number + 1] if number + 1 < len(self._starts) else None
        return number, Task(
            self._name,
            self._print,
            self.target.suffix,
            replace(self._settings.write, overwrite=True),
            self._starts[number],
            end,
            seek=number not in self._decode_all,
        )

    def take(self, number: int, data: bytes, frames: int) -> None:
        """Put down what a worker has made of a piece since the last time."""
        if self.error is not None or self.complete:
            return
        try:
            if number not in self._coming:
                self._coming[number] = _Incoming(self._journal.folder / f"{number + 1:05d}.part")
            self._coming[number].add(data, frames)
        except OSError as error:
            self.fail(self._unwritten(error))
        self._count()

    def finish_piece(self, number: int, painted: Painted) -> None:
        """Note a piece of which all was taken."""
        if self.error is not None or self.complete:
            return
        coming = self._coming.pop(number)
        try:
            sha256 = coming.finish()
            if (coming.size, sha256 if coming.size else "") != (painted.size, painted.sha256):
                coming.discard()
                self.lose(number, "it did not arrive as it was sent")
                return
            if not painted.frames:
                coming.discard()
            name = coming.path.name if painted.frames else ""
            sought = self._starts[number] is not None and number not in self._decode_all
            piece = Piece(
                number, painted.frames, painted.first, painted.next, sought, name, sha256,
                painted.size,
            )  # fmt: skip
            self._journal.add_piece(piece)
            self.report.cpu_seconds += painted.cpu_seconds
            self._note(number, painted.notices)
            self._settle()
        except OSError as error:
            coming.discard()
            self.fail(self._unwritten(error))
        self._count()

    def lose(self, number: int, why: str) -> None:
        """The worker that painted a piece is gone: another paints it again."""
        if number in self._coming:
            self._coming.pop(number).discard()
        if self.error is not None or self.complete:
            return
        self._tries[number] += 1
        if self._tries[number] >= _MOST_TRIES:
            self.fail(
                ClusterError(
                    f"piece {number + 1} of {self._name} was begun {_MOST_TRIES} times and lost "
                    f"each time: {why}"
                )
            )
            return
        self.notices.append(f"piece {number + 1} was lost ({why}) and painted again")
        self._pending.appendleft(number)
        self._count()

    def fail(self, error: StylizeError) -> None:
        """Something ended this film; the first such error counts."""
        self.error = self.error or error
        self._pending.clear()
        for coming in self._coming.values():
            coming.discard()
        self._coming.clear()

    # --- ending

    def stop(self) -> None:
        """From another thread: have `join` end soon, with nothing done."""
        self._stopped.set()

    def join(self) -> None:
        """Make the output of all pieces. Raises `SinkWriteError`, and `Aborted` after `stop`."""
        if not self.joined_before:
            parts = self._journal.parts()
            self._joiner.join(parts, self._journal.note_joined)
            if self._wanted.keep:
                self.notices.append(self._joiner.keep(parts, self.info))
        else:
            self.notices.append("an earlier run had finished this and not cleaned up: done now")
        self._count()
        self.report.output, self.report.whole = str(self.target), True
        promised = self.info.frames_from_header
        if promised and promised - self.report.frames > 1 and len(self._starts) > 1:
            self.notices.append(
                f"the input holds {promised - self.report.frames} frames less than its header says"
            )
        self._journal.remove()

    def close(self) -> None:
        """Put away what is not finished."""
        for coming in self._coming.values():
            coming.discard()
        self._coming.clear()
        self._journal.close()

    def kept(self) -> str:
        """What is left of a film that ends early, for a message."""
        if not self._journal.pieces:
            return "nothing was kept"
        return (
            f"{len(self._journal.pieces)} of {len(self._starts)} pieces are kept in "
            f"{journal_folder(self.target)}; the same command goes on with them"
        )

    # --- steps

    def _settle(self) -> None:
        """Prove, from the first piece on, that each begins with the frame before which the last
        one ended. Where a reader was mistaken about the place it went to, the piece is painted
        again by one that decodes all before it. Raises OSError.
        """
        if self.joined_before:
            return
        pieces = self._journal.pieces
        while self._settled < len(self._starts) and self._settled in pieces:
            piece = pieces[self._settled]
            if not self._fits(piece):
                blamed = piece if piece.sought else self._last_sought(piece.number)
                if blamed is None:
                    self.fail(
                        ClusterError(
                            f"piece {piece.number + 1} of {self._name} does not begin where the "
                            "one before ends, however it is read: leave --cluster out"
                        )
                    )
                    return
                self._paint_again(blamed.number)
                return
            if piece.frames:
                self._expected = piece.next
            self._settled += 1
            if self._expected is None and not any(
                pieces[n].frames for n in pieces if n >= self._settled
            ):
                # the film has ended here, whatever its header says of its length
                self._settled = len(self._starts)
                self._pending.clear()

    def _fits(self, piece: Piece) -> bool:
        if self._expected is _ANY:
            return piece.frames > 0 and piece.first is None
        start = self._starts[piece.number]
        last = piece.number + 1 == len(self._starts)
        end = None if last else self._starts[piece.number + 1]
        border = self._expected
        begins = (
            border is not None
            and start is not None
            and start <= border.before
            and (end is None or border.before < end)
        )
        if not begins:
            return piece.frames == 0
        same = piece.first is not None and border is not None
        return same and piece.frames > 0 and piece.first == border

    def _check_wanted(self) -> None:
        if self._stopped.is_set():
            raise Aborted

    def _last_sought(self, number: int) -> Piece | None:
        """The nearest piece before one that was read by going there directly."""
        before = (self._journal.pieces[n] for n in range(number - 1, -1, -1))
        return next((piece for piece in before if piece.sought and piece.frames), None)

    def _paint_again(self, number: int) -> None:
        self._decode_all.add(number)
        self._journal.drop_piece(number)
        self._pending.appendleft(number)
        self._note_once("the input can't be sought in reliably: some pieces are decoded from its "
                        "beginning")  # fmt: skip
        self._settled, self._expected = 0, _ANY
        self._settle()

    def _note(self, number: int, notices: tuple[str, ...]) -> None:
        """Take over what a worker tells of its piece; counts are of that piece alone."""
        for notice in notices:
            if notice in self.notices:
                continue
            counted = re.search(r"\d+ (packet|time)", notice) and len(self._starts) > 1
            self._note_once(f"piece {number + 1}: {notice}" if counted else notice)

    def _note_once(self, notice: str) -> None:
        if notice not in self.notices:
            self.notices.append(notice)

    def _count(self) -> None:
        coming = sum(part.frames for part in self._coming.values())
        self.report.frames = self._journal.frames + coming
        self.report.seconds = time.perf_counter() - self._begun

    def _unwritten(self, error: OSError) -> SinkWriteError:
        return SinkWriteError(f"{self._journal.folder} can't be written: {reason_of(error)}")


_ANY: Final = Border(Fraction(0), "the first frame", Fraction(0))
"""What the first piece begins with."""


def nominal_starts(duration: Fraction | None, seconds: Fraction) -> list[Fraction | None]:
    """Where pieces of so many seconds start, None for the film's first frame: by a duration that
    need not be true. One piece where it is not known.
    """
    count = math.ceil(duration / seconds) if duration else 1
    return [None, *(seconds * n for n in range(1, min(count, _MOST_PIECES)))]
