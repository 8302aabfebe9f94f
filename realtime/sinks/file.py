"""Video files through PyAV: encoded picture, everything else carried over, whole or not at all."""

import contextlib
import errno
import math
import os
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Final

import av

from ..errors import SinkOpenError, SinkWriteError, StylizeError
from ..frame import Extras, Frame, SidePacket, VideoInfo
from ._containers import Container, EncodeOptions, container_for
from ._picture import PictureTrack
from ._side import SideTracks

_WRITTEN_BY_MUXER: Final = frozenset(
    {"encoder", "major_brand", "minor_version", "compatible_brands"}
)
_MAX_TIMESCALE: Final = 50_000_000


class FileSink:
    """Writes frames and side packets to a container.

    A path is written as a temporary neighbour and renamed when whole; an open binary stream
    (standard output) gets its bytes as they come. Opening writes the header, so that whatever the
    container or the encoder refuses is refused here, as `SinkOpenError`, before anything is
    painted.
    """

    def __init__(
        self,
        target: Path | BinaryIO,
        info: VideoInfo,
        extras: Extras,
        options: EncodeOptions | None = None,
        container: Container | None = None,
        temporary: Path | None = None,
    ) -> None:
        """Open for writing; `temporary` is where a path is written until it is whole."""
        self._options = options or EncodeOptions()
        self._info, self._target = info, target
        self.notices: list[str] = []
        self._container = container or container_for(Path(str(target)))
        self._temporary: Path | None = None
        if isinstance(target, Path):
            neighbour = temporary_neighbour(target, overwrite=self._options.overwrite)
            self._temporary = temporary or neighbour
        self._frames = 0
        self._encoded_before = False
        self._output: Any = None
        try:
            self._open(extras)
        except StylizeError:
            self.discard()
            raise
        except (av.FFmpegError, ValueError, OSError) as error:
            self.discard()
            raise SinkOpenError(f"{self._name} can't be written: {reason_of(error)}") from error

    @property
    def _name(self) -> str:
        return str(self._target) if isinstance(self._target, Path) else "standard output"

    # --- opening

    def _open(self, extras: Extras) -> None:
        file: Any = f"file:{self._temporary}" if self._temporary else self._target
        muxer = dict(self._container.options)
        if self._container.format in ("mp4", "mov"):
            muxer["movie_timescale"] = str(_movie_timescale(self._info, extras))
        self._output = av.open(file, "w", format=self._container.format, container_options=muxer)
        self._picture = PictureTrack(self._output, self._container, self._info, self._options)
        self._picture.stream.metadata.update(_kept(extras.video_metadata))
        self._side = SideTracks(self._output, self._container, extras.streams)
        self.notices += [*self._picture.notices, *self._side.notices]
        self._output.metadata.update(_kept(extras.metadata))
        if extras.chapters and self._container.audio:
            self._output.set_chapters([dict(chapter) for chapter in extras.chapters])
        if self._container.format == "matroska":
            for attachment in extras.attachments:
                self._output.add_attachment(attachment.name, attachment.mimetype, attachment.data)
        elif extras.attachments and self._container.audio:
            self.notices.append(
                f"{len(extras.attachments)} attachment(s) left out: only mkv holds them"
            )
        self._output.start_encoding()

    # --- writing

    def write(self, item: Frame | SidePacket) -> None:
        """Encode a frame, or carry a packet over."""
        try:
            if isinstance(item, Frame):
                self._frames += 1
                self._mux(self._picture.encode(item))
            else:
                self._mux(self._side.packets(item.key, item.packet))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SinkWriteError(f"{self._name} can't be written: {reason_of(error)}") from error

    def write_encoded(self, packet: Any, extradata: bytes) -> None:
        """Take a packet of the picture that was encoded before, with the same options.

        Frames and such packets don't mix. Raises `SinkWriteError` where `extradata`, the header of
        the packet's encoder, is another than this one's.
        """
        if extradata != self.extradata:
            raise SinkWriteError(
                f"{self._name} can't be joined: its parts were not encoded alike; begin anew with "
                "--restart"
            )
        self._encoded_before = True
        packet.stream = self._picture.stream
        try:
            self._frames += 1
            self._mux([packet])
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SinkWriteError(f"{self._name} can't be written: {reason_of(error)}") from error

    @property
    def extradata(self) -> bytes:
        """The header of the picture's encoder."""
        return bytes(self._picture.stream.codec_context.extradata or b"")

    def _mux(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            self._output.mux(packet)

    # --- ending

    def finish(self, whole: Callable[[Path], None] | None = None) -> str:
        """Flush, close and rename to the final name, which is returned.

        `whole` is called with the whole file while it has its temporary name.
        """
        try:
            self._close()
            if self._temporary is not None and isinstance(self._target, Path):
                if whole:
                    sync_file(self._temporary)
                    whole(self._temporary)
                self._temporary.replace(self._target)
        except (av.FFmpegError, OSError, ValueError) as error:
            self.discard()
            raise SinkWriteError(f"{self._name} can't be written: {reason_of(error)}") from error
        return self._name

    def abandon(self) -> str | None:
        """Close what there is under ``<stem>.partial<ending>``, if it holds a frame and can be
        closed.
        """
        if self._temporary is None or not isinstance(self._target, Path) or not self._frames:
            self.discard()
            return None
        partial = self._target.with_name(f"{self._target.stem}.partial{self._target.suffix}")
        try:
            self._close()
            self._temporary.replace(partial)
        except (av.FFmpegError, OSError, ValueError):
            self.discard()
            return None
        return str(partial)

    def _close(self) -> None:
        if not self._encoded_before:
            self._mux(self._picture.flush())
        self._mux(self._side.flush())
        self._output.close()

    def discard(self) -> None:
        """Close and delete the temporary file, whatever state it is in."""
        if self._output is not None:
            # whatever goes wrong: the file is deleted
            with contextlib.suppress(av.FFmpegError, OSError, ValueError):
                self._output.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)


def temporary_neighbour(path: Path, *, overwrite: bool) -> Path:
    """A name beside `path` to write under. Raises `SinkOpenError` where `path` may not be
    written.
    """
    folder = path.parent
    if path.is_dir():
        raise SinkOpenError(f"{path} is a folder: give the name of a file")
    if path.exists() and not overwrite:
        raise SinkOpenError(f"{path} exists: pass --overwrite to replace it")
    if not folder.is_dir():
        raise SinkOpenError(f"the folder {folder} does not exist: create it first")
    if not os.access(folder, os.W_OK):
        raise SinkOpenError(f"the folder {folder} can't be written to: permission denied")
    return folder / f".{path.stem}.{uuid.uuid4().hex[:8]}.part{path.suffix}"


def sync_file(path: Path) -> None:
    """Have a file's content on the disk. Raises OSError."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _movie_timescale(info: VideoInfo, extras: Extras) -> int:
    """A clock on which the first picture and the first sound of MP4 can start exactly.

    Late starts are written on the movie's clock, which is a coarse millisecond by default.
    """
    bases = [info.time_base, *(side.template.time_base for side in extras.streams)]
    ticks = [base.denominator for base in bases if base and base.numerator == 1]
    common = math.lcm(*ticks) if ticks else 1000
    return common if common <= _MAX_TIMESCALE else max(1000, info.time_base.denominator)


def _kept(metadata: Any) -> dict[str, str]:
    return {k: v for k, v in metadata.items() if k.lower() not in _WRITTEN_BY_MUXER}


def reason_of(error: BaseException) -> str:
    """What went wrong with a file, in a few words."""
    code = getattr(error, "errno", None)
    if code == errno.ENOSPC:
        return "no space left on the disk"
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]
