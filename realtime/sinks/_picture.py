"""The picture of an output file: frames in, encoded packets out."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Final

import av
import cv2
from av.codec.hwaccel import HWAccel
from av.filter import Graph
from av.video.reformatter import Interpolation, VideoReformatter

from ..colour import MATRIX_RGB, RANGE_FULL, RANGE_LIMITED
from ..frame import Frame, Pixels, VideoInfo
from ._containers import (
    Container,
    EncodeOptions,
    encoder_options,
    needs_even,
    pixel_format,
    plain_rate,
)
from ._hardware import planar_of

# Averages the chroma of the pixels under one sample: the exact inverse of how it was repeated on
# reading.
_EXACT: Final = Interpolation.AREA | Interpolation.FULL_CHR_H_INP
_LONGEST_FILL_S: Final = 60  # a hostile clock may not fill the disk
_GIF_TICK: Final = Fraction(1, 100)


class PictureTrack:
    """The video stream of an open output container, and the encoder of its frames.

    Raises `SinkOpenError`, ValueError or what PyAV raises for encoders that can't do what is asked.
    """

    def __init__(
        self, output: Any, container: Container, info: VideoInfo, options: EncodeOptions
    ) -> None:
        self._output, self._container, self._info, self._options = output, container, info, options
        self.notices: list[str] = []
        self.last_pts = -1
        """The time of the latest frame, in ticks; those after it come later."""
        self._frames = 0
        self._durations: dict[int, int] = {}
        self._reformatter = VideoReformatter()
        self._shown = av.VideoFrame()
        codec = options.codec or container.video
        private = encoder_options(codec, options, info.width * info.height)
        self._pix_fmt = pixel_format(codec, options.pix_fmt)
        self._size = self._even_size(codec)
        self.stream = self._add_video(codec, private)
        self._palette = _Palette(*self._size, self.tick) if codec == "gif" else None

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
        device = self._options.upload_to
        stream = self._output.add_stream(
            codec,
            rate=plain_rate(self._info.rate_nominal),
            options=private,
            hwaccel=HWAccel(device, allow_software_fallback=False) if device else None,
        )
        context = stream.codec_context
        context.width, context.height = self._size
        context.pix_fmt = self._pix_fmt
        context.thread_count = self._options.threads
        tick = _GIF_TICK if codec == "gif" else self._info.time_base
        if self._container.constant_rate:
            tick = 1 / self._info.rate_nominal
        self.tick = tick
        """Seconds that packets' times are counted in."""
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

    # --- encoding

    def encode(self, frame: Frame) -> Iterator[Any]:
        """The packets that are ready once `frame` is encoded."""
        pts = max(round(frame.pts / self.tick), self.last_pts + 1)
        if self._container.constant_rate and self._frames:
            yield from self._fill_gap(pts)
        picture = self._picture(frame.pixels)
        if frame.duration:
            self._durations[pts] = round(frame.duration / self.tick)
        self._frames += 1
        yield from self._encode(picture, pts)

    def flush(self) -> Iterator[Any]:
        """The packets the encoder still holds, when no more frames will come."""
        for ready in self._palette.run(None) if self._palette else ():
            yield from self._timed(self.stream.encode(ready))
        yield from self._timed(self.stream.encode(None))

    def _fill_gap(self, pts: int) -> Iterator[Any]:
        """Repeat the last picture up to `pts`: so a constant rate keeps varying times."""
        first = max(self.last_pts + 1, pts - math.ceil(_LONGEST_FILL_S / self.tick))
        for missing in range(first, pts):
            yield from self._encode(self._shown, missing)

    def _encode(self, picture: av.VideoFrame, pts: int) -> Iterator[Any]:
        self.last_pts = pts
        if self._container.constant_rate:
            self._shown = picture
        picture.pts, picture.time_base = pts, self.tick
        for ready in self._palette.run(picture) if self._palette else (picture,):
            yield from self._timed(self.stream.encode(ready))

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
        planar = planar_of(self._pix_fmt)
        out = self._reformatter.reformat(
            rgb,
            format=planar,
            interpolation=_EXACT,
            threads=1,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=RANGE_FULL,
            dst_color_range=RANGE_FULL if self._full else RANGE_LIMITED,
        )
        if planar != self._pix_fmt:  # only moved: the samples are those of the planar format
            out = self._reformatter.reformat(out, format=self._pix_fmt, threads=1)
        context = self.stream.codec_context
        out.colorspace, out.color_range = context.colorspace, context.color_range
        out.color_primaries, out.color_trc = context.color_primaries, context.color_trc
        return out

    def _timed(self, packets: Iterable[Any]) -> Iterator[Any]:
        for packet in packets:
            duration = self._durations.pop(packet.pts, None)
            if duration and not packet.duration:
                packet.duration = duration
            yield packet


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
