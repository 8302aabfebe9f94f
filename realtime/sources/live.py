"""Sources that run by themselves: cameras, network streams, the screen, files in real time, a test
picture.

Names: ``0``, ``1`` … or a device's path for cameras, ``screen``, ``test:`` or ``test:640x360@30``,
an address (rtsp, rtmp, http, udp, srt), or a file. What comes is live: a source that stalls or is
unplugged is opened again, with growing pauses, until somebody stops.
"""

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av

from ..errors import SourceOpenError, SourceReadError
from ..frame import Frame, scaled_size
from ..sound import Sound
from ._pixels import PixelReader

TEST: Final = "test:"
SCREEN: Final = "screen"
_TEST_SIZE: Final = "640x360@30"
_ADDRESSES: Final = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "srt", "rtp")
_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
_OPEN_TIMEOUT_S: Final = 10.0
_READ_TIMEOUT_S: Final = 5.0
_LATE_S: Final = 0.25
"""A paced source that is later than this does not hurry after its clock."""


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


@dataclass(frozen=True)
class Opening:
    """What PyAV is asked to open."""

    target: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    paced: bool = False
    """Whether frames come as fast as they are asked for, and must be held back to real time."""


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """A frame and when it came in, by the monotonic clock."""

    frame: Frame
    at: float


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
        extra = {"rtsp_transport": "tcp"} if scheme.startswith("rtsp") else {}
        return Opening(name, None, {"fflags": "nobuffer", "flags": "low_delay", **extra})
    if name.isdecimal() or name.startswith("/dev/"):
        return _camera(name, options, platform)
    if not Path(name).is_file():
        raise SourceOpenError(
            f"{name} is no live source: give a camera's number, {SCREEN}, {TEST}, an address or a "
            "file"
        )
    return Opening(name, paced=True)


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
        return Opening(device, "v4l2", {"input_format": "mjpeg", **wanted})
    if platform == "darwin":
        return Opening(name, "avfoundation", {"framerate": "30", **wanted})
    if platform == "win32":
        return Opening(f"video={name}", "dshow", wanted)
    raise SourceOpenError(f"cameras are not known on {platform}")


def _screen(options: LiveOptions, platform: str) -> Opening:
    wanted = {"framerate": "30", **_wanted(options)}
    if platform.startswith("linux"):
        display = os.environ.get("DISPLAY")
        if not display:
            raise SourceOpenError("the screen can't be grabbed: there is no DISPLAY")
        return Opening(display, "x11grab", {"draw_mouse": "0", **wanted})
    if platform == "darwin":
        return Opening("Capture screen 0:none", "avfoundation", wanted)
    if platform == "win32":
        return Opening("desktop", "gdigrab", wanted)
    raise SourceOpenError(f"the screen can't be grabbed on {platform}")


class LiveSource:
    """A live source as frames with the time they came in.

    Opens in the constructor, which raises `SourceOpenError`. Iterating ends when the source does,
    or when `stop` is called from any thread; what is said of stalls goes to `say`.
    """

    def __init__(
        self,
        name: str,
        options: LiveOptions | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.name, self._options, self._say = name, options or LiveOptions(), say
        self.on_sound: Callable[[Sound], None] = lambda _: None
        """Hears packets of sound on the machine's monotonic clock, in the thread that iterates."""
        self._opening = opening_for(name, self._options)
        self._stopped = threading.Event()
        self._container = self._open()
        stream = self._container.streams.video[0]
        context = stream.codec_context
        self.size = scaled_size(context.width, context.height, self._options.resize)
        self.rate = Fraction(stream.average_rate or stream.guessed_rate or 30)
        self.description = (
            f"source {name} {context.width}x{context.height} "
            f"at {float(self.rate):.3g} frames a second, {context.name}"
        )

    def stop(self) -> None:
        """End the iteration soon."""
        self._stopped.set()

    def close(self) -> None:
        """Release the device or the connection; after the iteration has ended."""
        self._container.close()

    def __iter__(self) -> Iterator[Captured]:
        begun, tries = time.monotonic(), 0
        while not self._stopped.is_set():
            try:
                for frame in self._frames():
                    tries = 0
                    if self._opening.paced:
                        begun = self._wait_for(frame.pts, begun)
                    if self._stopped.is_set():
                        return
                    # where nothing is live, frames count from when their turn came
                    yield Captured(frame, time.monotonic())
                if self._opening.paced and not self._options.loop:
                    return
                problem = "it ended"
            except (av.FFmpegError, SourceReadError) as error:
                problem = getattr(error, "strerror", None) or str(error)
            if self._opening.paced and self._options.loop:
                begun = time.monotonic()
            elif not self._options.reconnect:
                raise SourceReadError(f"{self.name} stopped: {problem}")
            tries = self._reopen(problem, tries)

    def _open(self) -> Any:
        opening = self._opening
        try:
            container = av.open(
                opening.target,
                format=opening.format,
                options=dict(opening.options),
                timeout=(_OPEN_TIMEOUT_S, _READ_TIMEOUT_S),
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if self.name.isdecimal():
                raise SourceOpenError(
                    f"camera {self.name} can't be opened: {reason}; --list-cameras tells which "
                    f"there are, and {TEST} is a picture to try with"
                ) from error
            raise SourceOpenError(f"{self.name} can't be opened: {reason}") from error
        video = container.streams.video
        context = video[0].codec_context if video else None
        if context is None:
            container.close()
            raise SourceOpenError(f"{self.name} has no picture that can be decoded")
        if not 0 < context.width * context.height <= self._options.max_pixels:
            container.close()
            raise SourceOpenError(
                f"{self.name} is {context.width}x{context.height}, over the limit of "
                f"{self._options.max_pixels} pixels: pass --max-pixels to allow it"
            )
        context.options = {"max_pixels": str(self._options.max_pixels)}
        context.thread_count = 1  # frames in flight in other threads are latency
        return container

    def _frames(self) -> Iterator[Frame]:
        reader = PixelReader(self.size)
        last = Fraction(-1)
        for frame in self._container.decode(video=0):
            tick = frame.time_base or Fraction(1, 1000)
            pts = frame.pts * tick if frame.pts is not None else last + 1 / self.rate
            pts = max(pts, last + Fraction(1, 100000)) if last >= 0 else pts
            last = pts
            yield Frame(reader.read(frame), pts)

    def _wait_for(self, pts: Fraction, begun: float) -> float:
        """Hold a frame back until its turn; where that is long past, the clock begins anew."""
        late = time.monotonic() - begun - float(pts)
        if late > _LATE_S:
            return begun + late
        self._stopped.wait(max(0.0, -late))
        return begun

    def _reopen(self, problem: str, tries: int) -> int:
        self._container.close()
        if not (self._opening.paced and self._options.loop):
            self._say(f"{self.name} stopped: {problem}; trying again")
        while not self._stopped.is_set():
            try:
                self._container = self._open()
            except SourceOpenError as error:
                pause = _PAUSES_S[min(tries, len(_PAUSES_S) - 1)]
                tries += 1
                self._say(f"{error}; next try in {pause:g} s")
                self._stopped.wait(pause)
                continue
            if not (self._opening.paced and self._options.loop):
                self._say(f"{self.name} is back")
            return tries
        return tries


def list_cameras(platform: str = sys.platform) -> list[str]:
    """The cameras of this machine, one line each, by the names that `LiveSource` takes."""
    if platform.startswith("linux"):
        found = []
        for path in sorted(Path("/sys/class/video4linux").glob("video*")):
            label = path / "name"
            title = label.read_text(errors="replace").strip() if label.is_file() else ""
            found.append(f"{path.name.removeprefix('video')}  {title}")
        return found
    from av.device import enumerate_input_devices

    kind = "avfoundation" if platform == "darwin" else "dshow"
    return [
        f"{number}  {device.description}"
        for number, device in enumerate(enumerate_input_devices(kind))
    ]
