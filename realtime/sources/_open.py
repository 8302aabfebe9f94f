"""Opening containers of any origin, with every limit in place."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final

import av
from av.codec.hwaccel import HWAccel

from ..accelerators import HardwareDecoder
from ..errors import SourceOpenError

# Playlists name other files and hosts; a video file from elsewhere has no business opening them.
PLAYLIST_FORMATS: Final = frozenset(
    {"applehttp", "concat", "concatf", "dash", "hls", "imf", "rtsp", "sdp", "webm_dash_manifest"}
)
DEFAULT_MAX_PIXELS: Final = 4096 * 4096


@dataclass(frozen=True)
class FileOptions:
    """How to read a file. Times in seconds from the start of the file; sizes in pixels."""

    start: Fraction | None = None
    end: Fraction | None = None
    resize: tuple[int | None, int | None] = (None, None)
    max_pixels: int = DEFAULT_MAX_PIXELS
    audio: bool = True
    threads: int = 1
    format: str | None = None
    """Container format by FFmpeg's name; None looks at the content."""
    format_options: Mapping[str, str] | None = None
    """For formats without a header, raw video for instance: its size, pixel format and rate."""
    hardware: HardwareDecoder | None = None
    """What decodes the picture; None for the processor."""


def open_container(
    file: Path | BinaryIO, name: str, options: FileOptions, *, what: str = "video"
) -> Any:
    """Open for reading with every limit in place. Raises `SourceOpenError`."""
    if isinstance(file, Path):
        _check_file(file)
    safe = ",".join(sorted(av.formats_available - PLAYLIST_FORMATS))
    av_options = {
        "max_pixels": str(options.max_pixels),
        "format_whitelist": safe,
        # a container may not make us open anything but itself
        "protocol_whitelist": "file",
        **(options.format_options or {}),
    }
    # the prefix keeps names with colons or percent signs from being read as protocols or patterns
    target = f"file:{file}" if isinstance(file, Path) else file
    device = options.hardware.device if options.hardware else None
    try:
        return av.open(
            target,
            "r",
            format=options.format,
            options=av_options,
            metadata_errors="replace",
            hwaccel=HWAccel(device, allow_software_fallback=False) if device else None,
        )
    except (av.FFmpegError, ValueError, EOFError, RuntimeError) as error:
        raise SourceOpenError(f"{name} is not a readable {what}: {_reason(error)}") from error


def _check_file(path: Path) -> None:
    if not path.exists():
        raise SourceOpenError(f"{path} does not exist")
    if path.is_dir():
        raise SourceOpenError(f"{path} is a folder, not a file")
    if not os.access(path, os.R_OK):
        raise SourceOpenError(f"{path} can't be read: permission denied")
    if path.is_file() and path.stat().st_size == 0:
        raise SourceOpenError(f"{path} is empty (0 bytes)")


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]
