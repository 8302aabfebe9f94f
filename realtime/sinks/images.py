"""Still pictures and numbered sequences of them."""

import errno
import re
import shutil
import uuid
from pathlib import Path
from typing import Final

import cv2

from ..errors import SinkOpenError, SinkWriteError
from ..frame import Frame, Pixels, SidePacket

STILL_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
_JPEG_QUALITY: Final = 95
_NUMBER: Final = re.compile(r"%(0?\d*)d")


def encode_image(pixels: Pixels, suffix: str) -> bytes:
    """A picture file's bytes for RGB (H, W, 3) uint8; the suffix names the format.

    Raises `SinkOpenError` for formats that are not written.
    """
    check_suffix(suffix)
    suffix = suffix.lower()
    options: list[int] = []
    if suffix in (".jpg", ".jpeg"):
        options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    elif suffix == ".webp":
        options = [cv2.IMWRITE_WEBP_QUALITY, _JPEG_QUALITY]
    done, data = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise SinkWriteError(
            f"a {pixels.shape[1]}x{pixels.shape[0]} picture can't be written as {suffix}"
        )
    return data.tobytes()


def check_suffix(suffix: str) -> None:
    """Raise `SinkOpenError` unless pictures are written in the format of this file ending."""
    if suffix.lower() not in STILL_SUFFIXES:
        known = ", ".join(sorted(STILL_SUFFIXES))
        raise SinkOpenError(
            f"pictures are not written as {suffix or 'a name without ending'}: give {known}"
        )


def write_image(path: Path, pixels: Pixels, *, overwrite: bool) -> None:
    """Write one picture, whole or not at all. Raises `SinkOpenError` or `SinkWriteError`."""
    from .file import temporary_neighbour

    temporary = temporary_neighbour(path, overwrite=overwrite)
    data = encode_image(pixels, path.suffix)
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SinkWriteError(f"{path} can't be written: {_reason(error)}") from error


class ImageSequenceSink:
    """Frames as files named by a pattern such as ``out/%05d.png``, numbered from 1.

    They are written into a folder beside the target's and moved when all are there.
    """

    def __init__(self, pattern: Path, *, overwrite: bool = False) -> None:
        self.notices: list[str] = []
        if not _NUMBER.search(pattern.name):
            raise SinkOpenError(f"{pattern} names no sequence: give a pattern such as %05d.png")
        check_suffix(pattern.suffix)
        self._pattern, self._folder, self._count = pattern, pattern.parent, 0
        if self._existing() and not overwrite:
            raise SinkOpenError(f"{pattern} has pictures already: pass --overwrite to replace them")
        parent = self._folder if self._folder.is_dir() else self._folder.parent
        try:
            self._temporary = (
                parent / f".{pattern.stem.replace('%', '')}.{uuid.uuid4().hex[:8]}.part"
            )
            self._temporary.mkdir()
        except OSError as error:
            raise SinkOpenError(f"{self._folder} can't be written to: {_reason(error)}") from error

    def write(self, item: Frame | SidePacket) -> None:
        """Write a frame; packets of other streams have no place in a sequence."""
        if not isinstance(item, Frame):
            return
        self._count += 1
        data = encode_image(item.pixels, self._pattern.suffix)
        try:
            (self._temporary / self._name(self._count)).write_bytes(data)
        except OSError as error:
            raise SinkWriteError(f"{self._pattern} can't be written: {_reason(error)}") from error

    def finish(self) -> str:
        """Move the pictures to their folder, in the place of older ones of the same pattern."""
        try:
            for old in self._existing():
                old.unlink()
            self._move_to(self._folder)
        except OSError as error:
            shutil.rmtree(self._temporary, ignore_errors=True)
            raise SinkWriteError(f"{self._folder} can't be written to: {_reason(error)}") from error
        return str(self._pattern)

    def abandon(self) -> str | None:
        """Keep what was written in a folder ``<folder>.partial``."""
        if not self._count:
            shutil.rmtree(self._temporary, ignore_errors=True)
            return None
        partial = self._folder.with_name(f"{self._folder.resolve().name}.partial")
        try:
            self._move_to(partial)
        except OSError:
            shutil.rmtree(self._temporary, ignore_errors=True)
            return None
        return str(partial)

    def _move_to(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for number in range(1, self._count + 1):
            (self._temporary / self._name(number)).replace(folder / self._name(number))
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _name(self, number: int) -> str:
        return _NUMBER.sub(lambda match: f"{number:{match[1]}d}", self._pattern.name, count=1)

    def _existing(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        before, _, after = _NUMBER.split(self._pattern.name, maxsplit=1)
        form = re.compile(re.escape(before) + r"\d+" + re.escape(after))
        return [p for p in self._folder.iterdir() if form.fullmatch(p.name)]


def is_sequence_pattern(path: Path) -> bool:
    """Whether a path names a sequence of pictures rather than a file."""
    return path.suffix.lower() in STILL_SUFFIXES and bool(_NUMBER.search(path.name))


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "no space left on the disk"
    return (error.strerror or str(error)).lower()
