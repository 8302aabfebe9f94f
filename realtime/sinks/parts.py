"""Encoded pictures in files of their own: the segments of a long job, until they are joined.

A part holds what an encoder gave for a run of frames, each packet with its exact times. Containers
round times or work decoding times out anew; a joined file must have those of one encoded at once.
"""

import contextlib
import hashlib
import io
import json
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final

import av

from ..errors import SinkOpenError, SinkWriteError, StylizeError
from ..frame import Frame, VideoInfo
from ._containers import Container, EncodeOptions
from ._picture import PictureTrack
from .file import reason_of

_MAGIC: Final = b"stylize-part-1\n"
_RECORD: Final = struct.Struct("<qqqIB")  # pts, dts, duration, bytes, flags
_KEYFRAME: Final = 1
_NO_TIME: Final = -(1 << 63)
_MOST_BYTES: Final = 1 << 30
_MOST_HEADER: Final = 1 << 20


@dataclass(frozen=True)
class Part:
    """What was written to a part."""

    frames: int
    last_pts: int
    """The time of the latest frame, in ticks."""
    size: int
    sha256: str


@dataclass(frozen=True)
class Times:
    """When a packet is shown and decoded, in ticks."""

    pts: int
    dts: int


class PartEncoder:
    """Encodes frames into a part, which is handed on as it grows. The first of them is a key frame.

    Raises `SinkOpenError` where the encoder can't do what is asked.
    """

    def __init__(
        self,
        put: Callable[[bytes], object],
        name: str,
        container: Container,
        info: VideoInfo,
        options: EncodeOptions,
        last_pts: int = -1,
    ) -> None:
        """`put` takes the bytes of the part, in order; `name` is what errors call it."""
        self._hand_on, self._name = put, name
        self.frames, self._size = 0, 0
        self._sum = hashlib.sha256()
        # the encoder wants a container to be set up for; what that one writes is thrown away
        self._output: Any = av.open(io.BytesIO(), "w", format=container.format)
        try:
            self._track = PictureTrack(self._output, container, info, options)
            self._track.last_pts = last_pts
            self._output.start_encoding()
            self._put(_MAGIC + self._header())
        except StylizeError:
            self.close()
            raise
        except (av.FFmpegError, ValueError, OSError) as error:
            self.close()
            raise SinkOpenError(f"{name} can't be written: {reason_of(error)}") from error

    def write(self, frame: Frame) -> None:
        """Encode a frame. Raises `SinkWriteError`."""
        self._write(self._track.encode(frame))
        self.frames += 1

    def finish(self) -> Part:
        """Encode the rest. Raises `SinkWriteError`."""
        self._write(self._track.flush())
        self.close()
        return Part(self.frames, self._track.last_pts, self._size, self._sum.hexdigest())

    def close(self) -> None:
        """Release the encoder."""
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):
            self._output.close()

    def _header(self) -> bytes:
        extradata = self._track.stream.codec_context.extradata or b""
        tick = self._track.tick
        header = {"tick": [tick.numerator, tick.denominator], "extradata": extradata.hex()}
        return json.dumps(header).encode() + b"\n"

    def _write(self, packets: Iterable[Any]) -> None:
        try:
            for packet in packets:
                pts = packet.pts
                dts = packet.dts if packet.dts is not None else pts
                times = (_NO_TIME if t is None else t for t in (pts, dts))
                flags = _KEYFRAME if packet.is_keyframe else 0
                self._put(_RECORD.pack(*times, packet.duration or 0, packet.size, flags))
                self._put(bytes(packet))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failed(error) from error

    def _put(self, data: bytes) -> None:
        self._hand_on(data)
        self._sum.update(data)
        self._size += len(data)

    def _failed(self, error: BaseException) -> SinkWriteError:
        return SinkWriteError(f"{self._name} can't be written: {reason_of(error)}")


class PartSink:
    """Encodes frames into a part on the disk. Raises `SinkOpenError` where that can't be."""

    def __init__(
        self,
        path: Path,
        container: Container,
        info: VideoInfo,
        options: EncodeOptions,
        last_pts: int = -1,
    ) -> None:
        self._path = path
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise SinkOpenError(f"{path} can't be written: {reason_of(error)}") from error
        try:
            self._encoder = PartEncoder(self._put, str(path), container, info, options, last_pts)
        except BaseException:
            self._file.close()
            path.unlink(missing_ok=True)
            raise

    @property
    def frames(self) -> int:
        """How many were taken."""
        return self._encoder.frames

    def write(self, frame: Frame) -> None:
        """Encode a frame. Raises `SinkWriteError`."""
        self._encoder.write(frame)

    def finish(self) -> Part:
        """Encode the rest and have all of it on the disk. Raises `SinkWriteError`."""
        part = self._encoder.finish()
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise SinkWriteError(f"{self._path} can't be written: {reason_of(error)}") from error
        self._file.close()
        return part

    def discard(self) -> None:
        """Delete what there is."""
        self._encoder.close()
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _put(self, data: bytes) -> None:
        self._file.write(data)


class PartReader:
    """Reads a part. Raises `SinkWriteError` where it is none, or damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as file:
            try:
                header = json.loads(file.readline(_MOST_HEADER))
                self.tick = Fraction(*header["tick"])
                self.extradata = bytes.fromhex(header["extradata"])
            except (ValueError, TypeError, KeyError, ZeroDivisionError) as error:
                raise self._damaged() from error
            self._start = file.tell()

    def times(self) -> list[Times]:
        """The times of all packets, in the order of decoding."""
        return [Times(pts, dts) for (pts, dts, _, _, _), _ in self._records(whole=False)]

    def packets(self) -> Iterator[Any]:
        """All packets, in the order of decoding, as `av.Packet`."""
        for (pts, dts, duration, _, flags), data in self._records(whole=True):
            packet = av.Packet(data)
            packet.pts, packet.dts, packet.duration = pts, dts, duration
            packet.time_base = self.tick
            packet.is_keyframe = bool(flags & _KEYFRAME)
            yield packet

    def _records(self, *, whole: bool) -> Iterator[tuple[tuple[int, ...], bytes]]:
        with self._open() as file:
            file.seek(self._start)
            length = os.fstat(file.fileno()).st_size
            while head := file.read(_RECORD.size):
                if len(head) != _RECORD.size:
                    raise self._damaged()
                fields = _RECORD.unpack(head)
                if fields[3] > min(_MOST_BYTES, length - file.tell()):
                    raise self._damaged()
                if whole:
                    yield fields, file.read(fields[3])
                else:
                    file.seek(fields[3], os.SEEK_CUR)
                    yield fields, b""

    def _open(self) -> BinaryIO:
        try:
            file = self._path.open("rb")
        except OSError as error:
            raise SinkWriteError(f"{self._path} can't be read: {reason_of(error)}") from error
        if file.read(len(_MAGIC)) != _MAGIC:
            file.close()
            raise self._damaged()
        return file

    def _damaged(self) -> SinkWriteError:
        return SinkWriteError(f"{self._path} is damaged: begin anew with --restart")


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
