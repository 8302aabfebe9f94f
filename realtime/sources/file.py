"""Video files and streams of bytes, through PyAV: every frame at its time, and all that travels
beside it.
"""

import itertools
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final

import av

from ..errors import SourceOpenError, SourceReadError
from ..frame import Extras, Frame, SidePacket, VideoInfo, scaled_size
from . import Mark, digest_of
from ._hardware import PictureDecoder
from ._open import DEFAULT_MAX_PIXELS as DEFAULT_MAX_PIXELS
from ._open import FileOptions as FileOptions
from ._open import open_container
from ._pixels import Deinterlacer, PixelReader, colour_of, upright_aspect, upright_size
from ._streams import attachments, chapters, choose_stream, side_streams
from ._timeline import Timeline

# Sound that comes before the first picture waits in memory; more than this is no video.
_MAX_WAITING_BYTES: Final = 64 << 20
_LATE_START_S: Final = 10
# Decoding that begins this far before a place has forgotten how it began when it gets there.
_RUN_UP_S: Final = Fraction(1)
_READ_BEYOND_S: Final = 10
_CLOCK_WANDERS: Final = 0x0200  # AVFMT_TS_DISCONT


class FileSource:
    """A video file, or an open binary stream, as frames and the packets beside them.

    Raises `SourceOpenError` in the constructor when there is nothing to paint, `SourceReadError`
    while iterating when the container breaks down. Damaged packets are skipped, counted and told.
    """

    def __init__(self, file: Path | BinaryIO, options: FileOptions | None = None) -> None:
        self.options = options or FileOptions()
        self.name = str(file) if isinstance(file, Path) else "standard input"
        self._file = file
        self._container = open_container(file, self.name, self.options)
        self._in_part = False
        try:
            self._prepare()
        except BaseException:
            self._container.close()
            raise

    def _prepare(self) -> None:
        self._stream, self._dropped_tracks = choose_stream(self._container, self.name)
        self._decoder = PictureDecoder(self._stream, self.options.hardware, self.name)
        self._limit_decoder()
        self._side = side_streams(self._container, audio=self.options.audio)
        formats = self._container.format
        self._timeline = Timeline(self._shift(), wandering=bool(formats.flags & _CLOCK_WANDERS))
        if self.options.start:
            self._container.seek(
                int((self.options.start + self._origin) * av.time_base), backward=True
            )
        self._reader: PixelReader | None = None
        self._deinterlacer: Deinterlacer | None = None
        self._damaged = 0
        self._concealed = 0
        self._last: Fraction | None = None
        self._read = 0
        self._skip_until: Fraction | None = None
        self._waiting: deque[Frame | SidePacket] = deque()
        self._items = self._demux()
        self._await_first_frame()

    # --- opening

    def _limit_decoder(self) -> None:
        context = self._decoder.context
        self._check_pixels(context.width, context.height)
        context.options = {"max_pixels": str(self.options.max_pixels)}
        context.thread_type = "AUTO"
        context.thread_count = self.options.threads

    def _check_pixels(self, width: int, height: int) -> None:
        if width * height > self.options.max_pixels:
            raise SourceOpenError(
                f"{self.name} has frames of {width}x{height}, {width * height} pixels, over the "
                f"limit of {self.options.max_pixels}: pass --max-pixels {width * height} to "
                "allow them"
            )

    def _shift(self) -> Fraction:
        """Seconds to take off every timestamp.

        A clock that starts anywhere (MPEG-TS) or hours in (a cut from a broadcast) starts at zero
        in the output; every other input keeps its times to the tick. With a start time, that
        becomes zero.
        """
        starts = [
            s.start_time * s.time_base
            for s in (self._stream, *(side.template for side in self._side.values()))
            if s.start_time is not None and s.time_base
        ]
        first = min(starts, default=Fraction(0))
        wanders = bool(self._container.format.flags & _CLOCK_WANDERS)
        self._origin = first if wanders or first >= _LATE_START_S else Fraction(0)
        return self._origin + (self.options.start or 0)

    def _await_first_frame(self) -> None:
        """Decode up to the first picture: headers lie about size and colour, pictures don't."""
        waiting_bytes = 0
        for item in self._items:
            self._waiting.append(item)
            if isinstance(item, Frame):
                break
            waiting_bytes += item.packet.size
            if waiting_bytes > _MAX_WAITING_BYTES:
                raise SourceOpenError(
                    f"{self.name} has no picture in its first {waiting_bytes} bytes"
                )
        else:
            cause = f" ({self._damaged} damaged packets)" if self._damaged else ""
            if self.options.start or self.options.end:
                raise SourceOpenError(
                    f"{self.name} has no frames between the start and end asked for{cause}"
                )
            raise SourceOpenError(
                f"{self.name} has a video stream without a single readable frame{cause}"
            )

    def _describe(self, frame: av.VideoFrame) -> None:
        """Set `info` and `extras` from the first decoded frame."""
        self._check_pixels(frame.width, frame.height)
        stream = self._stream
        upright = upright_size(frame)
        width, height = scaled_size(*upright, self.options.resize)
        aspect = upright_aspect(frame, stream.sample_aspect_ratio)
        aspect *= Fraction(upright[0], upright[1]) / Fraction(
            width, height
        )  # shown at the same shape
        rate = stream.guessed_rate or stream.average_rate or Fraction(25)
        if not 0 < rate <= 1000:
            rate = stream.average_rate or Fraction(25)
        has_clock = frame.pts is not None
        duration = (
            Fraction(self._container.duration, av.time_base) if self._container.duration else None
        )
        whole = self.options.start is None and self.options.end is None
        self.info = VideoInfo(
            width=width,
            height=height,
            rate_nominal=Fraction(rate),
            time_base=Fraction(stream.time_base or 1) if has_clock else 1 / Fraction(rate),
            colour=colour_of(frame).for_sdr(),
            pixel_aspect=aspect,
            frames_from_header=(stream.frames or None) if whole else None,
            duration_from_header=self._trimmed(duration),
        )
        self.extras = Extras(
            streams=tuple(self._side.values()),
            attachments=attachments(self._container),
            chapters=tuple(chapters(self._container, self._origin, self.options)),
            metadata=dict(self._container.metadata),
            video_metadata=dict(stream.metadata),
        )
        self._reader = PixelReader((width, height) if (width, height) != upright else None)

    def _trimmed(self, duration: Fraction | None) -> Fraction | None:
        end = self.options.end
        if duration is None:
            return (end - (self.options.start or 0)) if end is not None else None
        return max(Fraction(0), min(duration, end or duration) - (self.options.start or 0))

    # --- reading

    def __iter__(self) -> Iterator[Frame | SidePacket]:
        while self._waiting:
            yield self._waiting.popleft()
        yield from self._items

    def skip_through(self, mark: Mark) -> None:
        """Go on behind the marked frame; see `sources.Resumable`.

        Seeks close to it, where the container has one clock, and proves the place by the frame's
        time and pixels; where that fails, decodes all that lies before.
        """
        if not isinstance(self._file, Path):
            raise SourceReadError(f"{self.name} can't be read again: give a file")
        if not self._container.format.flags & _CLOCK_WANDERS and mark.time > _RUN_UP_S:
            if self._seek(mark.time - _RUN_UP_S) and self._find(mark):
                return
            self._reopen()
        if not self._find(mark):
            raise SourceReadError(
                f"{self.name} no longer has the frame at {float(mark.time):.3f} s that was painted "
                "last: begin anew with --restart"
            )

    def read_from(self, time: Fraction | None, *, seek: bool) -> None:
        """Give frames at or behind `time` only; see `sources.Splittable`.

        Containers whose clock wanders are never sought in.
        """
        self._in_part = True
        if time is None:
            return
        wanders = self._container.format.flags & _CLOCK_WANDERS
        if seek and not wanders and time > _RUN_UP_S and not self._seek(time - _RUN_UP_S):
            self._reopen()
        waiting = [item for item in self._waiting if not isinstance(item, Frame)]
        late = [f for f in self._waiting if isinstance(f, Frame) and f.pts >= time]
        self._waiting = deque([*waiting, *late])
        self._skip_until = time

    def _reopen(self) -> None:
        self._items.close()
        self._container.close()
        self._container = open_container(self._file, self.name, self.options)
        self._prepare()

    def _seek(self, time: Fraction) -> bool:
        self._items.close()
        try:
            self._container.seek(int((time + self._shift()) * av.time_base), backward=True)
        except av.FFmpegError:
            return False
        self._decoder.forget()
        self._waiting.clear()
        self._timeline = Timeline(self._shift(), wandering=False)
        self._deinterlacer, self._last, self._read = None, None, 0
        self._damaged = self._concealed = 0
        self._items = self._demux()
        return True

    def _find(self, mark: Mark) -> bool:
        """Read up to the marked frame, without converting those before."""
        waiting = list(self._waiting)
        self._waiting.clear()
        self._skip_until = mark.time
        try:
            for item in itertools.chain(waiting, self._items):
                if isinstance(item, Frame) and item.pts >= mark.time:
                    self._read = mark.count
                    return item.pts == mark.time and digest_of(item.pixels) == mark.digest
        except SourceReadError:
            return False
        finally:
            self._skip_until = None
        return False

    def side_packets(self) -> Iterator[SidePacket]:
        """What travels beside the picture, without decoding that: in place of iterating."""
        yield from (item for item in self._waiting if isinstance(item, SidePacket))
        streams = [self._stream, *(side.template for side in self._side.values())]
        try:
            for packet in self._container.demux(*streams):
                if packet.stream_index != self._stream.index:
                    if packet.size and (side := self._place(packet)):
                        yield side
                elif packet.size:
                    self._timeline.place(packet)
                    if packet.dts is not None:
                        reached = packet.dts * packet.time_base
                        if self._past_end(reached - _READ_BEYOND_S):
                            return
        except av.FFmpegError as error:
            raise SourceReadError(
                f"{self.name} can't be read to its end: {error.strerror}"
            ) from error

    def _demux(self) -> Generator[Frame | SidePacket]:
        streams = [self._stream, *(side.template for side in self._side.values())]
        try:
            for packet in self._container.demux(*streams):
                # not by its stream_index: packets that end a stream have none
                if packet.stream.index == self._stream.index:
                    for frame in self._decode(packet):
                        if self._past_end(frame.pts):
                            return
                        yield frame
                elif packet.size and (side := self._place(packet)):
                    yield side
        except av.FFmpegError as error:
            raise SourceReadError(
                f"{self.name} can't be read beyond frame {self._read}: {error.strerror}"
            ) from error
        if self._deinterlacer:
            for progressive in self._deinterlacer.run(None):
                yield from self._keep(progressive)

    def _place(self, packet: Any) -> SidePacket | None:
        """A side packet on the output's clock, None where it lies outside the part asked for."""
        self._timeline.place(packet)
        stamp = packet.pts if packet.pts is not None else packet.dts
        attached = self._side[packet.stream_index].kind == "picture"
        if stamp is not None and not attached:
            time = stamp * packet.time_base
            if (self.options.start and time < 0) or self._past_end(time):
                return None
        return SidePacket(packet.stream_index, packet)

    def _past_end(self, time: Fraction) -> bool:
        return self.options.end is not None and time >= self.options.end - (self.options.start or 0)

    def _decode(self, packet: Any) -> Iterator[Frame]:
        if packet.size:
            self._timeline.place(packet)
        try:
            decoded = self._decoder.decode(packet)
        except (av.InvalidDataError, av.ArgumentError, av.PatchWelcomeError, av.BugError) as error:
            if hardware := self.options.hardware:
                # what hardware refuses, software may well decode: it is not skipped unasked
                raise SourceReadError(
                    f"{self.name} can't be decoded by {hardware.accelerator} beyond frame "
                    f"{self._read}: {error.strerror}; --hwaccel none decodes it in software"
                ) from error
            self._damaged += 1
            return
        yield from self._frames(decoded)

    def _frames(self, decoded: Iterable[av.VideoFrame]) -> Iterator[Frame]:
        for raw in decoded:
            if self._reader is None:
                self._describe(raw)
            self._concealed += bool(raw.is_corrupt)
            if raw.interlaced_frame and self._deinterlacer is None:
                self._deinterlacer = Deinterlacer(self._stream, raw.format)
            if self._deinterlacer is None:
                yield from self._keep(raw)
            else:
                for progressive in self._deinterlacer.run(raw):
                    yield from self._keep(progressive)

    def _keep(self, raw: av.VideoFrame) -> Iterator[Frame]:
        """The frame at its time on the output's clock, unless that lies before the part asked
        for.
        """
        assert self._reader is not None
        if raw.pts is not None and raw.time_base:
            time = raw.pts * Fraction(raw.time_base)
        else:
            time = Fraction(0) if self._last is None else self._last + 1 / self.info.rate_nominal
        if self.options.start and time < 0:
            return
        if self._last is not None and time <= self._last:
            time = self._last + self.info.time_base  # two pictures can't be shown at once
            self._reader.notices.setdefault("some frames shared a time: moved apart by one tick")
        self._last = time
        self._read += 1
        if self._skip_until is not None and time < self._skip_until:
            return
        duration = (
            raw.duration * Fraction(raw.time_base) if raw.duration and raw.time_base else None
        )
        yield Frame(self._reader.read(raw), time, duration)

    # --- the rest of the contract

    @property
    def notices(self) -> list[str]:
        """One line for each thing that was not plain sailing."""
        lines = list(self._reader.notices) if self._reader else []
        if self._deinterlacer:
            lines.append("the input is interlaced: deinterlaced, one frame for each")
        if self._dropped_tracks:
            lines.append(f"{self._dropped_tracks} further video track(s) left out: one is painted")
        if self._timeline.splices:
            lines.append(f"the clock jumps {self._timeline.splices} time(s): made to run on")
        if self._damaged or self._concealed:
            lines.append(
                f"the input is damaged: {self._damaged} packet(s) skipped, "
                f"{self._concealed} frame(s) patched by the decoder"
            )
        promised = None if self._in_part else self.info.duration_from_header
        shown = (self._last or Fraction(0)) + 1 / self.info.rate_nominal
        if promised and self.info.frames_from_header and self._read < self.info.frames_from_header:
            missing = self.info.frames_from_header - self._read - self._damaged
            if missing > 1:
                lines.append(
                    f"the input ends at {float(shown):.2f} s, {missing} frames before its header "
                    "says"
                )
        return lines

    def close(self) -> None:
        """Close the container."""
        self._items.close()  # a generator: ends its loop over the container
        self._container.close()
