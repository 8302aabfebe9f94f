"""What a command line names (a file, several, a folder, a pattern, a list) and where each goes."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .catalogue import Style
from .errors import SinkOpenError, SourceOpenError
from .sinks._containers import CONTAINERS
from .sinks.images import is_sequence_pattern
from .sources.images import IMAGE_SUFFIXES

STDIO: Final = "-"
VIDEO_SUFFIXES: Final = frozenset(CONTAINERS) | {
    ".3gp",
    ".apng",
    ".asf",
    ".avi",
    ".flv",
    ".h264",
    ".hevc",
    ".m2ts",
    ".mpeg",
    ".mpg",
    ".mts",
    ".mxf",
    ".nut",
    ".ogv",
    ".ts",
    ".wmv",
    ".y4m",
}
_MOST_LIST_BYTES: Final = 64 << 20


@dataclass(frozen=True)
class Job:
    """One input and the output it is painted into."""

    source: str
    target: str
    size: int = 0
    """Bytes of the input, 0 where unknown: what progress over several jobs goes by."""


def plan_jobs(
    inputs: Sequence[str], target: str | None, style: Style, *, recursive: bool = False
) -> list[Job]:
    """The jobs for inputs as given: files, folders, patterns with ``*``, sequences or ``-``.

    With one input that is a file, `target` is a file, a folder that exists, or None for
    ``<stem>_<style>.<ending>`` beside the input, MP4 where the input's own container is not one
    that is written. Else it is a folder, made when needed, in which the trees of the folders given
    are mirrored; None paints beside each input. Raises `SourceOpenError`, or `SinkOpenError` also
    where two inputs would go to one output.
    """
    if len(inputs) == 1 and (only := _single(inputs[0], target, style)):
        return [only]
    into = None if target is None else _folder(target, inputs)
    found: dict[Path, Path] = {}
    for name in inputs:
        for path, place in _clips(name, into, recursive=recursive):
            found.setdefault(path, place)
    jobs = _named(found, into, style)
    if into is not None:
        for job in jobs:
            Path(job.target).parent.mkdir(parents=True, exist_ok=True)
    return jobs


def read_list(path: Path) -> list[str]:
    """The inputs a list file names, one a line; empty lines and those with ``#`` first don't count.

    Raises `SourceOpenError`.
    """
    try:
        if path.stat().st_size > _MOST_LIST_BYTES:
            raise SourceOpenError(f"{path} is too long for a list of inputs")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise SourceOpenError(f"the list {path} can't be read: {reason}") from error
    names = [line.strip() for line in lines]
    names = [name for name in names if name and not name.startswith("#")]
    if not names:
        raise SourceOpenError(f"the list {path} names no inputs")
    return names


def _single(source: str, target: str | None, style: Style) -> Job | None:
    """The job for one input; None where that stands for several."""
    if source == STDIO:
        return Job(source, STDIO if target is None else target)
    path = Path(source)
    if path.is_dir() and not _holds_only_pictures(path):
        return None
    if not path.exists() and _is_pattern(path):
        return None
    if target is None:
        target = str(_beside(path, style))
    elif target != STDIO and Path(target).is_dir():
        target = str(Path(target) / _beside(path, style).name)
    if target != STDIO and _same_file(path, Path(target)):
        raise SinkOpenError(f"{target} is the input itself: give the output another name")
    return Job(source, target, _size(path))


def _folder(target: str, inputs: Sequence[str]) -> Path:
    into = Path(target)
    if target == STDIO or (into.suffix and not into.is_dir()) or into.is_file():
        what = f"{inputs[0]} is a folder of clips" if len(inputs) == 1 else "there are many inputs"
        raise SinkOpenError(f"{what}, so the output {target} must be a folder too")
    return into


def _clips(name: str, into: Path | None, *, recursive: bool) -> Iterable[tuple[Path, Path]]:
    """The files a name stands for, each with its place under the output folder."""
    path = Path(name)
    if path.is_dir():
        clips = [p for p in _walk(path, into, recursive=recursive) if _is_clip(p)]
        if not clips:
            hint = "" if recursive else "; --recursive looks into those below it"
            raise SourceOpenError(f"the folder {path} holds no video files and no pictures{hint}")
        return [(clip, clip.relative_to(path)) for clip in clips]
    if not path.exists() and _is_pattern(path):
        root = _before_pattern(path)
        clips = sorted(p for p in root.glob(str(path.relative_to(root))) if p.is_file())
        clips = [p for p in clips if not p.name.startswith(".")]
        if not clips:
            raise SourceOpenError(f"nothing matches {path}")
        return [(clip, clip.relative_to(root)) for clip in clips]
    # a file that is not there is said when its turn comes
    return [(path, Path(path.name))]


def _walk(folder: Path, into: Path | None, *, recursive: bool) -> list[Path]:
    """The files of a folder, sorted; never those of the output, or behind links to folders."""
    if not recursive:
        return sorted(p for p in folder.iterdir() if p.is_file())
    output = into.resolve() if into else None
    found: list[Path] = []
    for root, folders, files in os.walk(folder):
        below = Path(root)
        folders[:] = sorted(
            f for f in folders if not f.startswith(".") and (below / f).resolve() != output
        )
        found += [below / file for file in sorted(files) if (below / file).is_file()]
    return found


def _is_clip(path: Path) -> bool:
    # hidden files are what other programs leave beside clips, or what we are just writing
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


def _is_pattern(path: Path) -> bool:
    return "*" in str(path) and path.suffix.lower() not in IMAGE_SUFFIXES


def _before_pattern(path: Path) -> Path:
    """The folder above the first part with a star."""
    plain: list[str] = []
    for part in path.parts:
        if "*" in part:
            break
        plain.append(part)
    return Path(*plain)


def _named(found: dict[Path, Path], into: Path | None, style: Style) -> list[Job]:
    """A job for each file. Clips that differ in their ending alone keep it in their name."""
    targets: dict[Path, Path] = {}
    taken: dict[Path, list[Path]] = {}
    for path, place in found.items():
        plain = _beside(path if into is None else into / place, style)
        taken.setdefault(plain, []).append(path)
        targets[path] = plain
    for plain, paths in taken.items():
        if len(paths) > 1:
            for path in paths:
                ending = path.suffix.lower().removeprefix(".")
                stem = f"{path.stem}_{ending}_{style.card.id}"
                targets[path] = plain.with_name(f"{stem}{plain.suffix}")
    first: dict[Path, Path] = {}
    for path, target in targets.items():
        if target in first:
            raise SinkOpenError(
                f"{first[target]} and {path} would both be painted into {target}: rename one, or "
                "paint them apart"
            )
        first[target] = path
    return [Job(str(path), str(target), _size(path)) for path, target in targets.items()]


def _holds_only_pictures(folder: Path) -> bool:
    suffixes = {p.suffix.lower() for p in folder.iterdir() if p.is_file()}
    return bool(suffixes & IMAGE_SUFFIXES) and not suffixes & VIDEO_SUFFIXES


def names_sequence(path: Path) -> bool:
    """Whether a path stands for pictures in a row."""
    return path.suffix.lower() in IMAGE_SUFFIXES and ("*" in path.name or is_sequence_pattern(path))


def _beside(path: Path, style: Style) -> Path:
    suffix = path.suffix.lower()
    stem = path.name if path.is_dir() else path.stem
    stem = re.sub(r"%0?\d*d|\*", "", stem).rstrip("_-. ") or "painted"
    return path.with_name(f"{stem}_{style.card.id}{suffix if suffix in CONTAINERS else '.mp4'}")


def _same_file(source: Path, target: Path) -> bool:
    if target.exists() and source.exists():
        return target.samefile(source)
    return target.resolve() == source.resolve()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
