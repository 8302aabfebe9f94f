"""Pictures as bytes: encoded for viewers, decoded from strangers within limits."""

import struct
from fractions import Fraction
from typing import Any, Final, Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from ..frame import Pixels
from ..knobs import Knobs
from ..studio import Shown
from .limits import Refused

Fit = Literal["contain", "cover", "fill"]
FITS: Final[tuple[Fit, ...]] = ("contain", "cover", "fill")
_JPEG_QUALITY: Final = 85
_SMALLEST: Final = 8


def layer(shown: Shown, knobs: Knobs) -> NDArray[np.uint8]:
    """The painting as a layer over something else, RGBA (H, W, 4) uint8: transparent where it is
    not painted.

    Black covers: who turns to black wants to hide what is below.
    """
    painted, alpha = shown.painted, shown.alpha
    if knobs.blackout:
        painted, alpha = np.zeros_like(painted), np.full_like(alpha, 255)
    elif knobs.divider is not None:
        alpha = alpha.copy()
        alpha[:, : round(knobs.divider * alpha.shape[1])] = 0
    return np.dstack([painted, alpha])


def fitted(pixels: NDArray[np.uint8], size: tuple[int, int] | None, fit: Fit) -> NDArray[np.uint8]:
    """The picture (H, W, channels) at a width and height: all of it with borders (of zeros), cut to
    fill, or stretched.
    """
    height, width, channels = pixels.shape
    if size is None or size == (width, height):
        return pixels
    if fit == "fill":
        return _scaled(pixels, size)
    scale = (min if fit == "contain" else max)(size[0] / width, size[1] / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    scaled = _scaled(pixels, inner)
    if fit == "cover":
        x, y = (inner[0] - size[0]) // 2, (inner[1] - size[1]) // 2
        return np.ascontiguousarray(scaled[y : y + size[1], x : x + size[0]])
    out = np.zeros((size[1], size[0], channels), np.uint8)
    x, y = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    out[y : y + inner[1], x : x + inner[0]] = scaled
    return out


def _scaled(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    method = cv2.INTER_AREA if size[0] < pixels.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=method), np.uint8)


def webp(rgba: NDArray[np.uint8]) -> bytes:
    """A WebP of RGBA (H, W, 4): colours lossy, alpha exact.

    By libwebp's quickest method: 31 ms at 1280x720 where its default takes 125.
    """
    height, width, _ = rgba.shape
    encoder: Any = av.CodecContext.create("libwebp", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "bgra"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"compression_level": "0", "quality": "80"}
    # not yuva420p: the way there rounds alpha
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgba), format="rgba")
    packets = [*encoder.encode(frame.reformat(format="bgra")), *encoder.encode(None)]
    return b"".join(bytes(packet) for packet in packets)


def jpeg(pixels: Pixels, quality: int = _JPEG_QUALITY) -> bytes:
    """A JPEG of RGB (H, W, 3)."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def decode(data: bytes, max_pixels: int) -> Pixels:
    """RGB (H, W, 3) uint8 of a PNG, JPEG or WebP from a stranger. Raises `Refused`.

    Its size is read from its first bytes, so that nothing large is ever unpacked.
    """
    size = _stated_size(data)
    if size is None:
        raise Refused("this is no picture: send a PNG, JPEG or WebP", 415)
    width, height = size
    if min(size) < _SMALLEST or width * height > max_pixels:
        raise Refused(
            f"the picture is {width}x{height}: send {_SMALLEST} pixels a side at least and "
            f"{max_pixels} in all at most",
            413,
        )
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        found = None
    if found is None or found.size > 3 * max_pixels:
        raise Refused("the picture can't be read: it is damaged", 415)
    return np.asarray(found, np.uint8)


def _stated_size(data: bytes) -> tuple[int, int] | None:
    """Width and height by the header of a PNG, JPEG or WebP; None for anything else."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
            return struct.unpack(">II", data[16:24])
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
    except (struct.error, IndexError):
        pass
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return (
            int.from_bytes(data[24:27], "little") + 1,
            int.from_bytes(data[27:30], "little") + 1,
        )
    if kind == b"VP8L":
        bits = struct.unpack("<I", data[21:25])[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None
