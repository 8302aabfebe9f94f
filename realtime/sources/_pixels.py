"""From a decoded picture of any format to upright RGB of one size."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

import av
import cv2
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from ..colour import RANGE_FULL, RANGE_LIMITED, Colour, planes_to_rgb
from ..frame import Pixels
from ..tonemap import PEAK, WHITE, to_sdr

_PLANAR_8BIT: Final = frozenset(
    f"yuv{full}{sampling}p"
    for full in ("", "j")
    for sampling in ("420", "422", "440", "444", "411")
)
_EXACT: Final = Interpolation.POINT | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


class PixelReader:
    """Converts decoded frames: colours exactly, alpha over black, upright, all of one size.

    A frame of another size than the first (a stream that changes midway) is fitted into the first's
    with its aspect kept. `notices` says what was done that the person may not expect.
    """

    def __init__(self, resize_to: tuple[int, int] | None = None) -> None:
        self.notices: dict[str, None] = {}
        self._resize_to = resize_to
        self._size: tuple[int, int] | None = None
        self._reformatter = VideoReformatter()

    def read(self, frame: av.VideoFrame) -> Pixels:
        """RGB (H, W, 3) uint8 of a decoded frame."""
        pixels = _turn(self._rgb(frame), *_orientation(frame))
        height, width, _ = pixels.shape
        if self._size is None:
            self._size = (width, height)
        elif self._size != (width, height):
            self._note(
                f"the picture changes size midway: fitted into {self._size[0]}x{self._size[1]}"
            )
            pixels = _letterbox(pixels, *self._size)
        if self._resize_to and self._resize_to != self._size:
            shrinks = self._resize_to[0] * self._resize_to[1] < self._size[0] * self._size[1]
            method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            pixels = np.asarray(cv2.resize(pixels, self._resize_to, interpolation=method), np.uint8)
        return np.ascontiguousarray(pixels)

    def _rgb(self, frame: av.VideoFrame) -> Pixels:
        colour = colour_of(frame)
        if colour.hdr and not frame.format.is_rgb:
            return self._tone_mapped(frame, colour)
        if not colour.understood:
            self._note(f"colour matrix {colour.matrix} is not supported: read as BT.709 or BT.601")
        matrix, full = colour.effective_matrix(frame.height), colour.full_range
        name = frame.format.name
        if name in _PLANAR_8BIT:
            y, cb, cr = _planes(frame)
            return planes_to_rgb(y, cb, cr, matrix, full_range=full)
        if any(component.is_alpha for component in frame.format.components):
            self._note("the input has transparency: painted over black")
            rgba = self._reformat(frame, "rgba", colour)
            opaque = cv2.merge([rgba[:, :, 3]] * 3)
            return np.asarray(cv2.multiply(rgba[:, :, :3], opaque, scale=1 / 255), np.uint8)
        if not name.startswith("yuv") and not name.startswith(("nv", "p0", "p2", "p4")):
            return np.asarray(self._reformat(frame, "rgb24", colour)[:, :, :3], np.uint8)
        # deeper or packed: to 8-bit planes first, so that the matrix stays ours
        plain = self._reformatter.reformat(
            frame,
            format="yuv444p",
            interpolation=_EXACT,
            threads=1,
            src_color_range=colour.range or RANGE_LIMITED,
            dst_color_range=colour.range or RANGE_LIMITED,
        )
        y, cb, cr = _planes(plain)
        return planes_to_rgb(y, cb, cr, matrix, full_range=full)

    def _tone_mapped(self, frame: av.VideoFrame, colour: Colour) -> Pixels:
        """Ordinary R'G'B' of a frame in high dynamic range."""
        assert colour.hdr is not None
        peak = _peak(frame) if colour.hdr == "PQ" else PEAK
        self._note(
            f"the input is HDR ({colour.hdr}, to {peak:.0f} cd/m²): brought to ordinary brightness "
            "and colours, by BT.2390"
        )
        wide = self._reformat(frame, "rgb48le", colour)
        return to_sdr(wide, colour.hdr, peak)

    def _reformat(self, frame: av.VideoFrame, fmt: str, colour: Colour) -> Any:
        matrix = colour.swscale_matrix(frame.height)
        source_range = colour.range
        if not source_range:
            source_range = RANGE_FULL if frame.format.is_rgb else RANGE_LIMITED
        out = self._reformatter.reformat(
            frame,
            format=fmt,
            interpolation=_EXACT,
            threads=1,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=source_range,
            dst_color_range=RANGE_FULL,
        )
        return out.to_ndarray()

    def _note(self, text: str) -> None:
        self.notices.setdefault(text)


class Deinterlacer:
    """One progressive frame for every interlaced one, by FFmpeg's bwdif; progressive frames
    pass.
    """

    def __init__(self, stream: av.VideoStream, pixel_format: av.VideoFormat) -> None:
        self._graph = graph = Graph()  # kept: filters don't keep their graph alive
        self._source = graph.add_buffer(template=stream, format=pixel_format)
        bwdif = graph.add("bwdif", "mode=send_frame:deint=interlaced")
        self._sink = graph.add("buffersink")
        graph.link_nodes(self._source, bwdif, self._sink).configure()

    def run(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Frames that are ready after `frame` went in; None ends the stream and empties the
        filter.
        """
        self._source.push(frame)
        while True:
            try:
                out = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(out, av.VideoFrame)
            yield out


def colour_of(frame: av.VideoFrame) -> Colour:
    """The colour tags of a decoded frame; the old yuvj formats say full range by their name."""
    tagged_range = frame.color_range
    if frame.format.name.startswith("yuvj"):
        tagged_range = RANGE_FULL
    return Colour(
        int(frame.colorspace), int(tagged_range), int(frame.color_primaries), int(frame.color_trc)
    )


def _side_data(frame: av.VideoFrame) -> Any:
    """What a decoded frame carries beside its picture, by name.

    `frame.side_data` would be remembered by the frame it remembers: a circle, so that pictures of
    many megabytes each would wait for the garbage collector.
    """
    container: Any = SideDataContainer
    return container(frame)


def _peak(frame: av.VideoFrame) -> float:
    """The brightest light of the master in cd/m², by the frame's side data or by custom."""
    data: Any = _side_data(frame).get("CONTENT_LIGHT_LEVEL")
    if data is not None:
        most = int(np.frombuffer(bytes(data), np.uint32)[0])  # MaxCLL
        if WHITE < most <= 10000:
            return float(most)
    data = _side_data(frame).get("MASTERING_DISPLAY_METADATA")
    if data is not None:
        # AVMasteringDisplayMetadata: 10 rationals, the last two the least and the most luminance
        numbers = np.frombuffer(bytes(data), np.int32)[:20].reshape(10, 2)
        numerator, denominator = (int(n) for n in numbers[9])
        if denominator > 0 and WHITE < numerator / denominator <= 10000:
            return numerator / denominator
    return PEAK


def upright_size(frame: av.VideoFrame) -> tuple[int, int]:
    """Width and height of the frame as it is to be shown."""
    quarter_turns, _ = _orientation(frame)
    size = (frame.width, frame.height)
    return size[::-1] if quarter_turns % 2 else size


def upright_aspect(frame: av.VideoFrame, aspect: Fraction | None) -> Fraction:
    """The pixel aspect (width over height) of the frame as it is to be shown."""
    quarter_turns, _ = _orientation(frame)
    aspect = aspect or Fraction(1)
    return 1 / aspect if quarter_turns % 2 else aspect


def _orientation(frame: av.VideoFrame) -> tuple[int, bool]:
    """Quarter turns counter-clockwise, and whether to mirror left to right first, that set it
    upright.
    """
    data: Any = _side_data(frame).get("DISPLAYMATRIX")
    if data is None:
        return 0, False
    matrix = np.frombuffer(bytes(data), np.int32).reshape(
        3, 3
    )  # 16.16 fixed point, last column 2.30
    a, b, c, d = (int(v) for v in (matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]))
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    angle = np.degrees(np.arctan2(-b, a))  # counter-clockwise, in a picture whose y points down
    return round(angle / 90) % 4, mirrored


def _turn(pixels: Pixels, quarter_turns: int, mirrored: bool) -> Pixels:
    if mirrored:
        pixels = pixels[:, ::-1]
    return np.rot90(pixels, quarter_turns) if quarter_turns else pixels


def _planes(frame: av.VideoFrame) -> tuple[NDArray[np.uint8], ...]:
    """The planes of a planar 8-bit frame as views without the padding of their lines."""
    return tuple(
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[
            :, : plane.width
        ]
        for plane in frame.planes
    )


def _letterbox(pixels: Pixels, width: int, height: int) -> Pixels:
    """Fit into width x height with the aspect kept, black around."""
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    inner = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    fitted = cv2.resize(
        pixels, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )
    out = np.zeros((height, width, 3), np.uint8)
    x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
    out[y : y + inner[1], x : x + inner[0]] = fitted
    return out
