"""The hardware that decodes and encodes video, by the names FFmpeg has for its parts.

What is here is only what may be tried: whether anything works is found out by `hwaccel`, with real
frames.
"""

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
from av.codec.hwaccel import hwdevices_available

_SHORT_NAMES: Final = {"mpeg1video": "mpeg1", "mpeg2video": "mpeg2"}
"""Codecs that decoders of their own shorten."""


@dataclass(frozen=True)
class HardwareDecoder:
    """How the picture of a file is decoded by hardware."""

    accelerator: str
    device: str | None = None
    """FFmpeg's type of device, which helps FFmpeg's own decoders; None where decoders of other
    names do all of it.
    """
    suffix: str = ""
    """What those names end in, behind the codec's."""

    def named(self, codec: str) -> str:
        """The decoder of a codec."""
        return f"{_SHORT_NAMES.get(codec, codec)}{self.suffix}"


@dataclass(frozen=True)
class Accelerator:
    """A kind of hardware, as it is given to ``--hwaccel``."""

    name: str
    needs: str
    """What it takes, for those who want it."""
    why_absent: Callable[[], str | None]
    """Why there can be none here, without asking its driver; None where there may be."""
    device: str | None = None
    """FFmpeg's type of device for decoding; None where decoders have names of their own."""
    decoder_suffix: str = ""
    encoder_suffix: str | None = None
    """What names of encoders end in; None where there are none."""
    uploads: bool = False
    """Whether encoders take only frames that lie in the memory of the device."""

    @property
    def decoder(self) -> HardwareDecoder:
        """Its way of decoding."""
        return HardwareDecoder(self.name, self.device, self.decoder_suffix)

    def why_no_decoder(self) -> str | None:
        """Why this build of PyAV can't decode by it at all."""
        if self.device is not None:
            missing = self.device not in hwdevices_available()
        else:
            missing = not any(name.endswith(self.decoder_suffix) for name in av.codecs_available)
        return f"this build of PyAV has no {self.name}" if missing else self.why_absent()

    def why_no_encoder(self, name: str) -> str | None:
        """Why this build of PyAV can't encode by it under a name at all."""
        missing = name not in av.codecs_available
        return f"this build of PyAV has no {name}" if missing else self.why_absent()

    def encoder(self, codec: str) -> str | None:
        """The name of its encoder for a codec, h264 for instance; None where it never encodes."""
        return None if self.encoder_suffix is None else f"{codec}{self.encoder_suffix}"


def _needs_library(linux: str, windows: str, what: str) -> Callable[[], str | None]:
    def why() -> str | None:
        try:
            ctypes.CDLL(windows if sys.platform == "win32" else linux)
        except OSError:
            return f"no {what} was found"
        return None

    return why


def _needs_render_node() -> str | None:
    if sys.platform.startswith("linux") and not list(Path("/dev/dri").glob("renderD*")):
        return "no graphics unit was found (there is no /dev/dri/renderD*)"
    return None


def _needs_platform(prefix: str, system: str) -> Callable[[], str | None]:
    return lambda: None if sys.platform.startswith(prefix) else f"it is there on {system} only"


ACCELERATORS: Final = (
    Accelerator(
        "cuda",
        "an NVIDIA card and its driver",
        _needs_library("libcuda.so.1", "nvcuda.dll", "NVIDIA driver"),
        device="cuda",
        encoder_suffix="_nvenc",
    ),
    Accelerator(
        "videotoolbox",
        "macOS",
        _needs_platform("darwin", "macOS"),
        device="videotoolbox",
        encoder_suffix="_videotoolbox",
    ),
    Accelerator(
        "qsv",
        "an Intel graphics unit and its media driver",
        _needs_render_node,
        decoder_suffix="_qsv",
        encoder_suffix="_qsv",
    ),
    Accelerator(
        "amf",
        "an AMD card and its driver",
        _needs_library("libamfrt64.so.1", "amfrt64.dll", "AMD media driver"),
        decoder_suffix="_amf",
        encoder_suffix="_amf",
    ),
    Accelerator(
        "vaapi",
        "Linux, a graphics unit, its VA-API driver, and PyAV built with it",
        _needs_render_node,
        device="vaapi",
        encoder_suffix="_vaapi",
        uploads=True,
    ),
    Accelerator(
        "d3d11va",
        "Windows and a graphics unit; for decoding",
        _needs_platform("win32", "Windows"),
        device="d3d11va",
    ),
)
"""In the order in which ``auto`` tries them."""
