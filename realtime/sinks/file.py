"""Video files through PyAV: encoded picture, everything else carried over, whole or not at all."""

import contextlib
import errno
import math
import os
import uuid
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final

import av
import cv2
from av.filter import Graph
from av.video.reformatter import Interpolation, VideoReformatter

from ..colour import MATRIX_RGB, RANGE_FULL, RANGE_LIMITED
from ..errors import SinkOpenError, SinkWriteError, StylizeError
from ..frame import Extras, Frame, Pixels, SidePacket, VideoInfo
from ._containers import (
    Container,
    EncodeOptions,
    container_for,
    encoder_options,
    needs_even,
    pixel_format,
    plain_rate,
)
from ._side import SideTracks

# Averages the chroma of the pixels under one sample: the exact inverse of how it was repeated on
# reading.
_EXACT: Final = Interpolation.AREA | Interpolation.FULL_CHR_H_INP
_WRITTEN_BY_MUXER: Final = frozenset(
    {"encoder", "major_brand", "minor_version", "compatible_brands"}
)
_LONGEST_FILL_S: Final = 60  # a hostile clock may not fill the disk
_MAX_TIMESCALE: Final = 50_000_000
_GIF_TICK: Final = Fraction(1, 100)


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
    ) -> None:
        self._options = options or EncodeOptions()
        self._info, self._target = info, target
        self.notices: list[str] = []
        self._container = container or container_for(Path(str(target)))
        self._temporary: Path | None = None
        if isinstance(target, Path):
            self._temporary = temporary_neighbour(target, overwrite=self._options.overwrite)
        self._frames = 0
        self._last_pts = -1
        self._durations: dict[int, int] = {}
        self._reformatter = VideoReformatter()
        self._output: Any = None
        self._shown = av.VideoFrame()
        try:
            self._open(extras)
        except StylizeError:
            self._discard()
            raise
        except (av.FFmpegError, ValueError, OSError) as error:
            self._discard()
            raise SinkOpenError(f"{self._name} can't be written: {_reason(error)}") from error

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
        codec = self._options.codec or self._container.video
        private = encoder_options(codec, self._options)
        self._pix_fmt = pixel_format(codec, self._options.pix_fmt)
        self._size = self._even_size(codec)
        self._stream = self._add_video(codec, private)
        self._stream.metadata.update(_kept(extras.video_metadata))
        self._side = SideTracks(self._output, self._container, extras.streams)
        self.notices += self._side.notices
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
        self._palette = _Palette(*self._size, self._tick) if codec == "gif" else None

    def _even_size(self, codec: str) -> tuple[int, int]:
        even_x, even_y = needs_even(codec, self._pix_fmt)
        width = self._info.width + (self._info.width % 2 if even_x else 0)
        height = self._info.height + (self._info.height % 2 if even_y else 0)
        if (width, height) != (self._info.width, self._info.height):
            self.notices.append(
                f"{self._info.width}x{self._info.height} is odd and {codec} {self._pix_fmt} wants "
                f"even sides: the last row or column is repeated ({width}x{height})"
            )
        return width, height

    def _add_video(self, codec: str, private: dict[str, str]) -> Any:
        stream = self._output.add_stream(
            codec, rate=plain_rate(self._info.rate_nominal), options=private
        )
        context = stream.codec_context
        context.width, context.height = self._size
        context.pix_fmt = self._pix_fmt
        context.thread_count = self._options.threads
        tick = _GIF_TICK if codec == "gif" else self._info.time_base
        if self._container.constant_rate:
            tick = 1 / self._info.rate_nominal
        self._tick = tick
        context.time_base = tick
        stream.time_base = tick
        if self._info.pixel_aspect != 1:
            context.sample_aspect_ratio = self._info.pixel_aspect.limit_denominator(65535)
        self._tag_colours(context)
        return stream

    def _tag_colours(self, context: Any) -> None:
        """Write back the tags of the frames."""
        colour = self._info.colour
        self._rgb_out = av.VideoFormat(self._pix_fmt, 2, 2).is_rgb or self._pix_fmt == "pal8"
        came_as_rgb = colour.matrix == MATRIX_RGB
        self._matrix = colour.effective_matrix(self._info.height)
        self._full = (colour.full_range and not came_as_rgb) or self._rgb_out
        context.color_primaries, context.color_trc = colour.primaries, colour.transfer
        if self._rgb_out:
            context.colorspace, context.color_range = MATRIX_RGB, RANGE_FULL
            return
        # an RGB input has no matrix to write back: say the one used
        context.colorspace = self._matrix if came_as_rgb else colour.matrix
        if self._full:
            context.color_range = RANGE_FULL
        else:
            context.color_range = RANGE_LIMITED if came_as_rgb or colour.range else 0

    # --- writing

    def write(self, item: Frame | SidePacket) -> None:
        """Encode a frame, or carry a packet over."""
        try:
            if isinstance(item, Frame):
                self._write_frame(item)
            else:
                self._output.mux(list(self._side.packets(item.key, item.packet)))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SinkWriteError(f"{self._name} can't be written: {_reason(error)}") from error

    def _write_frame(self, frame: Frame) -> None:
        pts = max(round(frame.pts / self._tick), self._last_pts + 1)
        if self._container.constant_rate and self._frames:
            self._fill_gap(pts)
        picture = self._picture(frame.pixels)
        if frame.duration:
            self._durations[pts] = round(frame.duration / self._tick)
        self._frames += 1
        self._encode(picture, pts)

    def _fill_gap(self, pts: int) -> None:
        """Repeat the last picture up to `pts`: so a constant rate keeps varying times."""
        first = max(self._last_pts + 1, pts - math.ceil(_LONGEST_FILL_S / self._tick))
        for missing in range(first, pts):
            self._encode(self._shown, missing)

    def _encode(self, picture: av.VideoFrame, pts: int) -> None:
        self._shown, self._last_pts = picture, pts
        picture.pts, picture.time_base = pts, self._tick
        for ready in self._palette.run(picture) if self._palette else (picture,):
            self._mux(self._stream.encode(ready))

    def _picture(self, pixels: Pixels) -> av.VideoFrame:
        width, height = self._size
        if pixels.shape[:2] != (height, width):
            pixels = cv2.copyMakeBorder(  # type: ignore[assignment]
                pixels,
                0,
                height - pixels.shape[0],
                0,
                width - pixels.shape[1],
                cv2.BORDER_REPLICATE,
            )
        rgb = av.VideoFrame.from_numpy_buffer(pixels, format="rgb24")
        rgb.color_range = RANGE_FULL
        if self._palette or self._pix_fmt == "rgb24":
            return rgb
        matrix = self._info.colour.swscale_matrix(self._info.height)
        out = self._reformatter.reformat(
            rgb,
            format=self._pix_fmt,
            interpolation=_EXACT,
            threads=1,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=RANGE_FULL,
            dst_color_range=RANGE_FULL if self._full else RANGE_LIMITED,
        )
        context = self._stream.codec_context
        out.colorspace, out.color_range = context.colorspace, context.color_range
        out.color_primaries, out.color_trc = context.color_primaries, context.color_trc
        return out

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            duration = self._durations.pop(packet.pts, None)
            if duration and not packet.duration:
                packet.duration = duration
            self._output.mux(packet)

    # --- ending

    def finish(self) -> str:
        """Flush, close and rename to the final name, which is returned."""
        try:
            self._close()
            if self._temporary is not None and isinstance(self._target, Path):
                self._temporary.replace(self._target)
        except (av.FFmpegError, OSError, ValueError) as error:
            self._discard()
            raise SinkWriteError(f"{self._name} can't be written: {_reason(error)}") from error
        return self._name

    def abandon(self) -> str | None:
        """Close what there is under ``<stem>.partial<ending>``, if it holds a frame and can be
        closed.
        """
        if self._temporary is None or not isinstance(self._target, Path) or not self._frames:
            self._discard()
            return None
        partial = self._target.with_name(f"{self._target.stem}.partial{self._target.suffix}")
        try:
            self._close()
            self._temporary.replace(partial)
        except (av.FFmpegError, OSError, ValueError):
            self._discard()
            return None
        return str(partial)

    def _close(self) -> None:
        for ready in self._palette.run(None) if self._palette else ():
            self._mux(self._stream.encode(ready))
        self._mux(self._stream.encode(None))
        self._output.mux(list(self._side.flush()))
        self._output.close()

    def _discard(self) -> None:
        """Close and delete the temporary file, whatever state it is in."""
        if self._output is not None:
            # whatever goes wrong: the file is deleted
            with contextlib.suppress(av.FFmpegError, OSError, ValueError):
                self._output.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)


class _Palette:
    """Picks the best 256 colours of each frame: FFmpeg's palettegen and paletteuse."""

    def __init__(self, width: int, height: int, tick: Any) -> None:
        self._graph = graph = Graph()
        self._source = graph.add_buffer(
            width=width, height=height, format=av.VideoFormat("rgb24"), time_base=tick
        )
        split = graph.add("split")
        generate = graph.add("palettegen", "stats_mode=single")
        use = graph.add("paletteuse", "new=1:dither=sierra2_4a")
        self._sink = graph.add("buffersink")
        self._source.link_to(split)
        split.link_to(generate, output_idx=0)
        split.link_to(use, output_idx=1, input_idx=0)
        generate.link_to(use, input_idx=1)
        use.link_to(self._sink)
        graph.configure()

    def run(self, frame: av.VideoFrame | None) -> Any:
        self._source.push(frame)
        while True:
            try:
                yield self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return


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


def _reason(error: BaseException) -> str:
    code = getattr(error, "errno", None)
    if code == errno.ENOSPC:
        return "no space left on the disk"
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]
