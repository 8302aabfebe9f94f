"""What flows through the program: frames, what is known of a video, and what travels beside the
picture.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .colour import Colour

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture and when it is shown. Refuses anything but RGB (H, W, 3) uint8."""

    pixels: Pixels
    """RGB, (H, W, 3), uint8, 0..255, upright."""
    pts: Fraction
    """When it is shown, in seconds on the output's clock."""
    duration: Fraction | None = None
    """How long it is shown, in seconds, where the source says so."""

    def __post_init__(self) -> None:
        check_pixels(self.pixels)

    def __repr__(self) -> str:
        height, width, _ = self.pixels.shape
        return f"Frame({width}x{height}, pts={float(self.pts):.4f} s)"


def check_pixels(pixels: Pixels) -> None:
    """Raise ValueError unless `pixels` is RGB (H, W, 3) uint8 with at least one pixel."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"a frame is RGB (H, W, 3) uint8, not {pixels.dtype} {pixels.shape}")


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before its frames are read. Width and height are those of the
    frames.
    """

    width: int
    height: int
    rate_nominal: Fraction
    """Frames a second by header or guess: for encoders and progress only, never for timing."""
    time_base: Fraction
    """The tick of the source's clock in seconds; every pts is a multiple of it."""
    colour: Colour = field(default_factory=Colour)
    pixel_aspect: Fraction = Fraction(1)
    """Width of a pixel over its height."""
    frames_from_header: int | None = None
    duration_from_header: Fraction | None = None
    """In seconds; headers lie, so it serves progress only."""


@dataclass(frozen=True, slots=True, eq=False)
class SidePacket:
    """A packet of another stream than the picture's, passed from source to sink untouched."""

    key: int
    packet: Any


@dataclass(frozen=True)
class SideStream:
    """A stream that travels beside the picture: its packets carry `key`."""

    key: int
    kind: Literal["audio", "subtitle", "picture"]
    template: Any


@dataclass(frozen=True)
class Attachment:
    """A file inside a container, a font for its subtitles for instance."""

    name: str
    mimetype: str
    data: bytes


@dataclass(frozen=True)
class Extras:
    """Everything of a container but its picture."""

    streams: tuple[SideStream, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    chapters: tuple[Mapping[str, Any], ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    video_metadata: Mapping[str, str] = field(default_factory=dict)


def scaled_size(width: int, height: int, asked: tuple[int | None, int | None]) -> tuple[int, int]:
    """The size for a request in which one side may be None: that one follows the aspect, to an even
    number.
    """
    ask_width, ask_height = asked
    if ask_width and ask_height:
        return ask_width, ask_height
    if ask_width:
        return ask_width, max(2, 2 * round(height * ask_width / width / 2))
    if ask_height:
        return max(2, 2 * round(width * ask_height / height / 2)), ask_height
    return width, height
