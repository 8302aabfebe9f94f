"""How live sources are named, and what PyAV is asked to open for a name."""

import os
import re
import sys
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final

import av

from .._child import find_ffmpeg, good_srt_address
from ..errors import SourceOpenError
from ._cameras import cameras
from ._open import PLAYLIST_FORMATS

TEST: Final = "test:"
SCREEN: Final = "screen"
_TEST_SIZE: Final = "640x360@30"
_ADDRESSES: Final = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "srt", "rtp")
# what comes over a network may send us to other places of a network, never to our files
_PROTOCOLS: Final = "crypto,data,http,https,httpproxy,rtmp,rtmps,rtmpt,rtp,srtp,tcp,tls,udp"
_PROBE_US: Final = {"rtmp": 1_000_000, "rtmps": 1_000_000}
_LONGEST_PROBE_US: Final = 3_000_000


@dataclass(frozen=True)
class LiveOptions:
    """How to open a live source."""

    size: tuple[int, int] | None = None
    """Width and height to ask a camera or the screen for."""
    rate: Fraction | None = None
    resize: tuple[int | None, int | None] = (None, None)
    """What frames are scaled to."""
    max_pixels: int = 4096 * 4096
    reconnect: bool = True
    loop: bool = False
    """Play a file again and again."""
    sound: bool = True
    """Whether to listen to the sound beside the picture."""


@dataclass(frozen=True)
class Opening:
    """What PyAV is asked to open."""

    target: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    paced: bool = False
    """Whether frames come as fast as they are asked for, and must be held back to real time."""
    otherwise: dict[str, str] | None = None
    """Options to try where the device takes none of `options`."""
    program: tuple[str, ...] = ()
    """A command that writes what is to be read to its standard output."""


def opening_for(name: str, options: LiveOptions, platform: str = sys.platform) -> Opening:
    """How to open a source by its name. Raises `SourceOpenError` for names that mean nothing."""
    if name.startswith(TEST):
        return _test_picture(name)
    if name == SCREEN:
        return _screen(options, platform)
    scheme = name.partition("://")[0].lower()
    if "://" in name:
        if scheme not in _ADDRESSES:
            raise SourceOpenError(
                f"{name} is no live source: give an address of {', '.join(_ADDRESSES)}"
            )
        return _srt(name) if scheme == "srt" else _address(name, scheme)
    if name.isdecimal() or name.startswith("/dev/"):
        return _camera(name, options, platform)
    if not Path(name).is_file():
        raise SourceOpenError(
            f"{name} is no live source: give a camera's number, {SCREEN}, {TEST}, an address or a "
            "file"
        )
    safe = ",".join(sorted(av.formats_available - PLAYLIST_FORMATS))
    limits = {"protocol_whitelist": "file", "format_whitelist": safe}
    return Opening(f"file:{name}", None, limits, paced=True)


def _address(name: str, scheme: str) -> Opening:
    # without a limit, FFmpeg looks for five seconds whether more streams will come
    options = {
        "protocol_whitelist": _PROTOCOLS,
        "analyzeduration": str(_PROBE_US.get(scheme, _LONGEST_PROBE_US)),
        "flags": "low_delay",
    }
    if scheme.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"
    if scheme.startswith("rtmp"):
        options["rtmp_live"] = "live"
    return Opening(name, None, options)


def _srt(name: str) -> Opening:
    """PyAV is built without srt: the program ffmpeg receives, and hands packets on as they are."""
    if not good_srt_address(name):
        raise SourceOpenError(f"{name} is no live source: give srt://HOST:PORT")
    receive = (
        *(find_ffmpeg(), "-hide_banner", "-loglevel", "level+error", "-nostdin"),
        *("-probesize", "1000000", "-analyzeduration", str(_LONGEST_PROBE_US)),
        *("-i", name, "-map", "0:v:0", "-map", "0:a:0?", "-c", "copy", "-copyts"),
        *("-flush_packets", "1", "-f", "nut", "pipe:1"),
    )
    return Opening(name, "nut", {"fpsprobesize": "0"}, program=receive)


def _test_picture(name: str) -> Opening:
    text = name.removeprefix(TEST) or _TEST_SIZE
    match = re.fullmatch(r"(\d{1,5}x\d{1,5})@(\d+(?:/\d+)?)", text)
    if not match:
        raise SourceOpenError(f"{name} is no test picture: give {TEST}{_TEST_SIZE}")
    return Opening(f"testsrc2=size={match[1]}:rate={match[2]}", "lavfi", paced=True)


def _wanted(options: LiveOptions) -> dict[str, str]:
    wanted = {}
    if options.size:
        wanted["video_size"] = f"{options.size[0]}x{options.size[1]}"
    if options.rate:
        wanted["framerate"] = str(options.rate)
    return wanted


def _camera(name: str, options: LiveOptions, platform: str) -> Opening:
    wanted = _wanted(options)
    if platform.startswith("linux"):
        device = f"/dev/video{name}" if name.isdecimal() else name
        # raw frames of large sizes don't fit through USB: cameras send those as MJPEG
        return Opening(device, "v4l2", {"input_format": "mjpeg", **wanted}, otherwise=wanted)
    if platform == "darwin":
        return Opening(name, "avfoundation", {"framerate": "30", **wanted})
    if platform == "win32":
        # there, devices go by their titles
        titles = {camera.number: camera.title for camera in cameras(platform)}
        device = f"video={titles.get(name, name)}"
        return Opening(device, "dshow", {"vcodec": "mjpeg", **wanted}, otherwise=wanted)
    raise SourceOpenError(f"cameras are not known on {platform}")


def _screen(options: LiveOptions, platform: str) -> Opening:
    wanted = {"framerate": "30", **_wanted(options)}
    if platform.startswith("linux"):
        display = os.environ.get("DISPLAY")
        if not display:
            raise SourceOpenError("the screen can't be grabbed: there is no DISPLAY")
        settings = [f"{name}={value}" for name, value in {"draw_mouse": "0", **wanted}.items()]
        script = str(Path(__file__).with_name("_grabber.py"))
        grab = (sys.executable, "-P", script, display, *settings)
        return Opening(display, "nut", {"fpsprobesize": "0"}, program=grab)
    if platform == "darwin":
        return Opening("Capture screen 0:none", "avfoundation", wanted)
    if platform == "win32":
        return Opening("desktop", "gdigrab", wanted)
    raise SourceOpenError(f"the screen can't be grabbed on {platform}")
