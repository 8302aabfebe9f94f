"""Output containers by file ending, their default codecs, and the options each encoder takes."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av

from ..errors import SinkOpenError
from . import LARGE_PIXELS
from ._hardware import hardware_format, is_hardware, quality_options, speed_options

DEFAULT_CRF: Final = 18
DEFAULT_PRESET: Final = "superfast"


@dataclass(frozen=True)
class Container:
    """What FFmpeg calls a container, and what is put in it unless told otherwise.

    `audio` and `subtitle` are the codecs that tracks are converted to where theirs can't be held,
    None where the container holds pictures alone.
    """

    format: str
    video: str
    audio: str | None = None
    subtitle: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    constant_rate: bool = False
    """Frames carry no times: one that lasts longer is repeated."""


CONTAINERS: Final = {
    ".mp4": Container("mp4", "libx264", "aac", "mov_text", (("movflags", "+faststart"),)),
    ".m4v": Container("mp4", "libx264", "aac", "mov_text", (("movflags", "+faststart"),)),
    ".mov": Container("mov", "libx264", "aac", "mov_text", (("movflags", "+faststart"),)),
    ".mkv": Container("matroska", "libx264", "aac", "subrip", (("avoid_negative_ts", "disabled"),)),
    ".webm": Container("webm", "libvpx-vp9", "libopus", "webvtt"),
    ".gif": Container("gif", "gif"),
}


@dataclass(frozen=True)
class EncodeOptions:
    """How to write a file. None means the sane default of the container or encoder."""

    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    overwrite: bool = False
    threads: int = 0
    upload_to: str | None = None
    """FFmpeg's type of device, for encoders that take only frames in its memory."""


def container_for(path: Path) -> Container:
    """The container for a file's ending. Raises `SinkOpenError`."""
    try:
        return CONTAINERS[path.suffix.lower()]
    except KeyError:
        known = ", ".join(CONTAINERS)
        raise SinkOpenError(
            f"{path} ends in {path.suffix or 'nothing'}: give {known}, or a sequence like %05d.png"
        ) from None


def encoder_options(codec: str, options: EncodeOptions, pixels: int = 0) -> dict[str, str]:
    """Private options of an encoder for the quality and speed asked for, and frames of `pixels`.

    Raises `SinkOpenError` where the encoder has no such knob.
    """
    try:
        context = av.CodecContext.create(codec, "w")
    except (av.FFmpegError, ValueError) as error:
        raise SinkOpenError(f"there is no video encoder {codec!r} in this build of PyAV") from error
    if context.type != "video":
        raise SinkOpenError(f"{codec!r} is not a video encoder")
    knobs = {option.name for option in context.supported_options.private}
    chosen: dict[str, str] = {}
    if is_hardware(codec):
        return _hardware_options(codec, options, knobs)
    if codec in ("libx264", "libx264rgb", "libx265"):
        chosen = {"crf": str(DEFAULT_CRF), "preset": DEFAULT_PRESET}
        if codec == "libx265":
            chosen["x265-params"] = "log-level=error"
        elif pixels >= LARGE_PIXELS and options.preset is None:
            # frames that wait to be coded between others: half of the encoder's memory
            chosen["bf"] = "0"
            if pixels >= 2 * LARGE_PIXELS:
                # and without a copy of each frame for every half and quarter of a pixel
                chosen["x264-params"] = "subme=0"
    elif codec in ("libvpx-vp9", "libvpx"):
        chosen = {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"}
        chosen = {k: v for k, v in chosen.items() if k in knobs or k == "b"}
    elif codec == "libsvtav1":
        chosen = {"crf": "24", "preset": "8"}
    for knob, value in (("crf", options.crf), ("preset", options.preset)):
        if value is not None:
            if knob not in knobs:
                raise SinkOpenError(f"the encoder {codec} has no --{knob}")
            chosen[knob] = str(value)
    return chosen


def _hardware_options(codec: str, options: EncodeOptions, knobs: set[str]) -> dict[str, str]:
    crf = DEFAULT_CRF if options.crf is None else options.crf
    chosen = quality_options(codec, crf, knobs)
    if options.preset is not None:
        speed = speed_options(codec, options.preset)
        if speed is None:
            raise SinkOpenError(f"the encoder {codec} has no --preset")
        chosen |= speed
    return chosen


def pixel_format(codec: str, asked: str | None) -> str:
    """The pixel format for an encoder: as asked, else yuv420p, else the first it takes."""
    formats: Any = av.Codec(codec, "w").video_formats or []
    names = [f.name for f in formats]
    if is_hardware(codec) and (found := hardware_format(codec, asked)):
        return found
    if codec == "gif" and asked is None:
        return "pal8"  # the palette of each frame is ours
    if asked is not None:
        if names and asked not in names:
            raise SinkOpenError(
                f"the encoder {codec} does not take --pix-fmt {asked}, only {', '.join(names[:12])}"
            )
        return asked
    return "yuv420p" if not names or "yuv420p" in names else names[0]


def needs_even(codec: str, pix_fmt: str) -> tuple[bool, bool]:
    """Whether width and height must be even: x264 and its kind refuse odd sizes of subsampled
    chroma.
    """
    layout = av.VideoFormat(pix_fmt, 2, 2)
    if codec in (
        "libvpx-vp9",
        "libvpx",
        "ffv1",
        "gif",
        "png",
        "rawvideo",
        "wrapped_avframe",
        "mjpeg",
    ):
        return False, False
    chroma_x = layout.chroma_width(16) < 16
    chroma_y = layout.chroma_height(16) < 16
    return chroma_x, chroma_y


def plain_rate(rate: Fraction) -> Fraction:
    """A frame rate every encoder can write down (MPEG-4 and others have 16-bit fields)."""
    return (
        rate
        if rate.denominator < 65536 and rate.numerator < 1 << 30
        else rate.limit_denominator(1001)
    )
