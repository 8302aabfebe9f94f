"""The journal of a long job: what is finished, of what, and where to go on.

It lies in a folder beside the output, with the finished segments and the state after the last of
them. A line in it is written after what it speaks of is on the disk, and as a whole: whatever ends
a run, the journal of the moment before is there. A lock keeps a second run away.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final

from .errors import JournalError, OutputBusy
from .sources import Mark

_NAME: Final = "journal.json"
_LOCK: Final = "lock"
_OURS: Final = re.compile(r"journal\.json(\.new)?|lock|\d+\.(part|npz)|whole\..+")
_FORMAT: Final = 1
_MOST_BYTES: Final = 64 << 20
_WHOLE_HASH_BYTES: Final = 1 << 30
_SAMPLES: Final = 256
_SAMPLE_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Segment:
    """A finished segment, and where the frame after it begins."""

    file: str
    sha256: str
    size: int
    frames: int
    last_pts: int
    """Of its last frame, in ticks of the output."""
    mark: Mark
    """The last frame that had been read when it ended."""
    state: str
    """The file of what the painter remembered then."""
    state_sha256: str


@dataclass(frozen=True)
class Border:
    """Where one piece ends and the next begins."""

    time: Fraction
    """Of the first frame behind it, in seconds on the output's clock."""
    digest: str
    """Of that frame's pixels, by `sources.digest_of`."""
    before: Fraction
    """The time of the last frame before it."""


@dataclass(frozen=True)
class Piece:
    """A finished piece of a job whose pieces are painted in any order, by many."""

    number: int
    """From 0 on, in the order of the film."""
    frames: int
    """0 where no shot begins in it: what it was to hold belongs to a piece before."""
    first: Border | None
    """Before its first frame; None where that is the film's."""
    next: Border | None
    """Behind its last frame; None where that is the film's."""
    sought: bool
    """Whether its reader went there directly, which only its neighbours can prove right."""
    file: str = ""
    sha256: str = ""
    size: int = 0


@dataclass
class _Content:
    made_of: dict[str, str]
    segments: list[Segment] = field(default_factory=list)
    pieces: dict[int, Piece] = field(default_factory=dict)
    complete: bool = False
    """Whether the last segment ends the job."""
    joined: list[int] | None = None
    """Device, inode and size of the whole file, just before it gets its name."""


class Journal:
    """The journal for one output. Open it by `open_journal`; `close` it whatever happens."""

    def __init__(self, folder: Path, lock: BinaryIO, made_of: Mapping[str, str]) -> None:
        self.folder, self._lock = folder, lock
        self._content = _Content(dict(made_of))
        self._fresh = True

    @property
    def segments(self) -> list[Segment]:
        """The finished segments, in order."""
        return self._content.segments

    @property
    def pieces(self) -> Mapping[int, Piece]:
        """The finished pieces, by their numbers."""
        return self._content.pieces

    @property
    def frames(self) -> int:
        """How many frames all of them hold."""
        return sum(part.frames for part in self._parts())

    @property
    def complete(self) -> bool:
        """Whether all segments are there."""
        return self._content.complete

    def parts(self) -> list[Path]:
        """The files of the finished segments or pieces, in order."""
        return [self.folder / part.file for part in self._parts() if part.file]

    def _parts(self) -> list[Segment | Piece]:
        return [*self.segments, *(self.pieces[number] for number in sorted(self.pieces))]

    def add(self, segment: Segment, *, last: bool) -> None:
        """Note a segment whose files are on the disk. Raises OSError."""
        before = self.segments[-1] if self.segments else None
        self.segments.append(segment)
        self._content.complete = last
        self._save()
        if before is not None and before.state != segment.state:
            (self.folder / before.state).unlink(missing_ok=True)

    def add_piece(self, piece: Piece) -> None:
        """Note a piece whose file is on the disk. Raises OSError."""
        self._content.pieces[piece.number] = piece
        self._save()

    def drop_piece(self, number: int) -> None:
        """Forget a piece that does not fit, and delete its file. Raises OSError."""
        piece = self._content.pieces.pop(number)
        self._save()
        if piece.file:
            (self.folder / piece.file).unlink(missing_ok=True)

    def note_joined(self, file: Path) -> None:
        """Note that `file` is whole and about to be renamed. Raises OSError."""
        stat = file.stat()
        self._content.joined = [stat.st_dev, stat.st_ino, stat.st_size]
        self._save()

    def was_joined_as(self, target: Path) -> bool:
        """Whether `target` is the whole file: the run was killed after it was renamed."""
        try:
            stat = target.stat()
        except OSError:
            return False
        return self._content.joined == [stat.st_dev, stat.st_ino, stat.st_size]

    def close(self) -> None:
        """Let others work on this output. A journal of nothing is taken away."""
        if not self.segments and not self.pieces and not self.complete:
            self.remove()
        self._lock.close()

    def remove(self) -> None:
        """Delete the folder with all that is in it."""
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                if _OURS.fullmatch(path.name):
                    path.unlink()
            self.folder.rmdir()

    def _load(self) -> bool:
        """Take over what an earlier run has left; False where there is nothing."""
        path = self.folder / _NAME
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise ValueError("it is too large")
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            raise self._damaged(str(error)) from error
        try:
            self._content = _parsed(text)
        except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
            raise self._damaged(str(error)) from error
        return True

    def _check_files(self) -> None:
        """Raise `JournalError` unless all files are there and as they were written."""
        for part in self._parts():
            if part.file:
                _check(self.folder / part.file, part.size, part.sha256)
        if self.segments and not self.complete:
            last = self.segments[-1]
            _check(self.folder / last.state, None, last.state_sha256)

    def _clear_leftovers(self) -> None:
        """Delete what a killed run was writing."""
        known = {_NAME, _LOCK, *(p.name for p in self.parts())}
        if self.segments:
            known.add(self.segments[-1].state)
        for path in self.folder.iterdir():
            if path.name not in known and _OURS.fullmatch(path.name):
                path.unlink()

    def _save(self) -> None:
        body = json.dumps(_plain(self._content), indent=1)
        document = json.dumps({"sha256": _digest(body), "body": body})
        whole, final = self.folder / f"{_NAME}.new", self.folder / _NAME
        with whole.open("w", encoding="utf-8") as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        whole.replace(final)
        sync_folder(self.folder)

    def _damaged(self, why: str) -> JournalError:
        return JournalError(
            f"the journal {self.folder / _NAME} is damaged ({why}): begin anew with --restart"
        )


def journal_folder(target: Path) -> Path:
    """Where the journal of an output lies."""
    return target.with_name(f"{target.name}.segments")


def open_journal(target: Path, made_of: Mapping[str, str], *, restart: bool = False) -> Journal:
    """The journal for `target`, of an earlier run or a new one, locked.

    `made_of` names everything that decides what comes out. Raises `OutputBusy` while another run
    works on it, and `JournalError` where it is damaged, can't be written, or is of another input or
    other settings, which are then named. With `restart`, what an earlier run left is deleted.
    """
    folder = journal_folder(target)
    try:
        folder.mkdir(exist_ok=True)
        if not (folder / _LOCK).exists() and any(folder.iterdir()):
            raise JournalError(f"{folder} holds other files: move it away, or rename the output")
        lock = _locked(folder / _LOCK, target)
    except OSError as error:
        raise JournalError(
            f"the journal {folder} can't be written: {error.strerror or error}"
        ) from error
    journal = Journal(folder, lock, made_of)
    try:
        if not restart and journal._load():
            _compare(journal._content.made_of, made_of, folder)
            journal._check_files()
        journal._clear_leftovers()
        journal._save()
    except OSError as error:
        lock.close()
        raise JournalError(
            f"the journal {folder} can't be written: {error.strerror or error}"
        ) from error
    except BaseException:
        lock.close()
        raise
    return journal


def fingerprint(path: Path) -> str:
    """The sha256 of a file; of its size and 256 samples, 1 MiB each, where it is over 1 GiB.

    Raises OSError.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _WHOLE_HASH_BYTES:
            return hashlib.file_digest(file, "sha256").hexdigest()
        total = hashlib.sha256(str(size).encode())
        for number in range(_SAMPLES):
            file.seek((size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
            total.update(file.read(_SAMPLE_BYTES))
        return f"sampled {total.hexdigest()}"


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _compare(before: Mapping[str, str], now: Mapping[str, str], folder: Path) -> None:
    changed = [
        f"{name} was {_short(before.get(name))}, is {_short(now.get(name))}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise JournalError(
            f"an unfinished run lies in {folder} with other settings: {'; '.join(changed)}; "
            "give the same again, or begin anew with --restart"
        )


def _short(value: str | None) -> str:
    text = "not set" if value is None else value
    return text if len(text) <= 40 else f"{text[:16]}…"


def _check(path: Path, size: int | None, sha256: str) -> None:
    try:
        with path.open("rb") as file:
            right = size is None or os.fstat(file.fileno()).st_size == size
            right = right and hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        right = False
    if not right:
        raise JournalError(f"the finished part {path} is damaged: begin anew with --restart")


def _plain(content: _Content) -> dict[str, Any]:
    plain = {"format": _FORMAT, **asdict(content)}
    for segment in plain["segments"]:
        segment["mark"]["time"] = str(segment["mark"]["time"])
    plain["pieces"] = list(plain["pieces"].values())
    for border in (piece[side] for piece in plain["pieces"] for side in ("first", "next")):
        if border is not None:
            border.update(time=str(border["time"]), before=str(border["before"]))
    return plain


def _parsed(text: str) -> _Content:
    document = json.loads(text)
    if _digest(document["body"]) != document["sha256"]:
        raise ValueError("its checksum is wrong")
    plain = json.loads(document["body"])
    if plain.pop("format") != _FORMAT:
        raise ValueError("another version wrote it")
    segments = []
    for entry in plain.pop("segments"):
        mark = entry.pop("mark")
        if any(Path(entry[key]).name != entry[key] for key in ("file", "state")):
            raise ValueError("it names a file outside its folder")
        place = Mark(mark["count"], Fraction(mark["time"]), mark["digest"])
        segments.append(Segment(**entry, mark=place))
    pieces = [_parsed_piece(entry) for entry in plain.pop("pieces", ())]
    return _Content(**plain, segments=segments, pieces={p.number: p for p in pieces})


def _parsed_piece(entry: dict[str, Any]) -> Piece:
    if entry["file"] and Path(entry["file"]).name != entry["file"]:
        raise ValueError("it names a file outside its folder")
    borders: dict[str, Border | None] = {}
    for side in ("first", "next"):
        border = entry.pop(side)
        borders[side] = border and Border(
            Fraction(border["time"]), border["digest"], Fraction(border["before"])
        )
    return Piece(**entry, first=borders["first"], next=borders["next"])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _locked(path: Path, target: Path) -> BinaryIO:
    """An open file that is locked until it is closed, or the process ends in any way."""
    file = path.open("ab")
    try:
        _lock(file)
        # a run that ended between our opening and locking has taken the folder away
        if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise BlockingIOError
    except OSError as error:
        file.close()
        raise OutputBusy(
            f"another run is painting {target}: wait for it, or give another output"
        ) from error
    return file


def _lock(file: BinaryIO) -> None:
    try:
        import fcntl
    except ImportError:
        import msvcrt  # Windows

        getattr(msvcrt, "locking")(file.fileno(), getattr(msvcrt, "LK_NBLCK"), 1)  # noqa: B009
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
