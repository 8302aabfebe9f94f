"""Sources that run by themselves: cameras, network streams, the screen, files in real time, a test
picture.

Names: ``0``, ``1`` … or a device's path for cameras, ``screen``, ``test:`` or ``test:640x360@30``,
an address (rtsp, rtmp, http, udp, srt), or a file. What comes is live: a source that stalls or is
unplugged is opened again, with growing pauses, until somebody stops.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import av

from .._child import Child
from ..errors import SourceOpenError, SourceReadError
from ..frame import Frame, SideStream, scaled_size
from ..sound import Anchor, Sound
from ._opening import TEST, LiveOptions, opening_for
from ._pixels import PixelReader, upright_size
from ._sound import SoundReader

_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
_OPEN_TIMEOUT_S: Final = 10.0
_READ_TIMEOUT_S: Final = 5.0
_LATE_S: Final = 0.25
"""A paced source that is later than this does not hurry after its clock."""
_FASTEST: Final = 1000
_GAP_S: Final = 5.0
_DAMAGED: Final = 200
"""So many packets on end that can't be decoded are taken for the end of the picture."""
_FIRST_TICK: Final = Fraction(1, 100000)


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """A frame and when it came in, by the monotonic clock."""

    frame: Frame
    at: float


class LiveSource:
    """A live source as frames with the time they came in.

    Opens in the constructor, which raises `SourceOpenError`. Iterating ends when the source does,
    or when `stop` is called from any thread; what is said of stalls goes to `say`. All frames have
    one size: those of another, after the source came back, are fitted into it.
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
        self._child: Child | None = None
        self._container = self._open()
        try:
            self._describe()
        except BaseException:
            self._shut()
            raise

    def _describe(self) -> None:
        stream = self._container.streams.video[0]
        context = stream.codec_context
        self.size = scaled_size(*self._upright(), self._options.resize)
        rate = Fraction(stream.average_rate or stream.guessed_rate or 0)
        # some clocks tick without saying at what rate pictures come
        self.rate = rate if 0 < rate <= _FASTEST else self._options.rate or Fraction(30)
        self._reader = PixelReader(self.size)
        self._told = 0
        audio = self._container.streams.audio
        self._sound = SoundReader(audio[0], self._say) if audio and self._options.sound else None
        heard = f", sound {self._sound.codec}" if self._sound else ""
        self.description = (
            f"source {self.name} {context.width}x{context.height} "
            f"at {float(self.rate):.3g} frames a second, {context.name}{heard}"
        )

    def _upright(self) -> tuple[int, int]:
        """Width and height as pictures are shown: files may say that theirs lie on their side."""
        context = self._container.streams.video[0].codec_context
        if self._opening.paced and self._opening.format is None:
            with contextlib.suppress(av.FFmpegError), av.open(self._opening.target) as file:
                for frame in file.decode(video=0):
                    return upright_size(frame)
        return context.width, context.height

    @property
    def sound(self) -> SideStream | None:
        """The sound beside the picture, for what is to hold it; None where there is none."""
        return self._sound.stream if self._sound else None

    def stop(self) -> None:
        """End the iteration soon, from any thread: within the timeout of what is waited for."""
        self._stopped.set()
        if self._child:
            self._child.stop()

    def close(self) -> None:
        """Release the device or the connection; after the iteration has ended."""
        self._shut()
        if self._sound:
            self._sound.close()

    def __iter__(self) -> Iterator[Captured]:
        tries = 0
        while not self._stopped.is_set():
            anchor, begun = Anchor(), None
            try:
                for frame in self._frames(anchor):
                    tries = 0
                    if self._opening.paced:
                        begun = self._wait_for(frame.pts, begun)
                    if self._stopped.is_set():
                        return
                    # where nothing is live, frames count from when their turn came
                    at = time.monotonic()
                    anchor.see(float(frame.pts), at)
                    yield Captured(frame, at)
                if self._opening.paced and not self._options.loop:
                    return
                problem = (self._child and self._child.said) or "it ended"
            except (av.FFmpegError, OSError, SourceReadError) as error:
                problem = getattr(error, "strerror", None) or str(error)
            if self._stopped.is_set():
                return
            again = self._opening.paced and self._options.loop
            if not again and not self._options.reconnect:
                raise SourceReadError(f"{self.name} stopped: {problem}")
            tries = self._reopen(problem, tries)

    def _open(self) -> Any:
        container = self._connect()
        try:
            self._check(container)
        except SourceOpenError:
            container.close()
            self._end_child()
            raise
        return container

    def _connect(self) -> Any:
        opening = self._opening
        try:
            try:
                return self._av_open(opening.options)
            except (av.FFmpegError, OSError):
                if opening.otherwise is None:
                    raise
                return self._av_open(opening.otherwise)
        except (av.FFmpegError, OSError, ValueError) as error:
            said = self._child.said if self._child else ""
            self._end_child()
            reason = said or getattr(error, "strerror", None) or str(error)
            if self.name.isdecimal():
                raise SourceOpenError(
                    f"camera {self.name} can't be opened: {reason}; --list-cameras tells which "
                    f"there are, and {TEST} is a picture to try with"
                ) from error
            raise SourceOpenError(f"{self.name} can't be opened: {reason}") from error

    def _av_open(self, options: dict[str, str]) -> Any:
        opening = self._opening
        if not opening.program:
            return av.open(
                opening.target,
                format=opening.format,
                options=dict(options),
                timeout=(_OPEN_TIMEOUT_S, _READ_TIMEOUT_S),
            )
        self._child = child = Child(opening.program, feeds=False, timeout_s=_OPEN_TIMEOUT_S)
        if self._stopped.is_set():
            child.stop()
        container: Any = av.open(child, format=opening.format, options=dict(options))
        child.timeout_s = _READ_TIMEOUT_S
        return container

    def _check(self, container: Any) -> None:
        video = container.streams.video
        context = video[0].codec_context if video else None
        if context is None:
            raise SourceOpenError(f"{self.name} has no picture that can be decoded")
        if not context.width * context.height:
            raise SourceOpenError(f"{self.name} does not say how large its picture is")
        if context.width * context.height > self._options.max_pixels:
            raise SourceOpenError(
                f"{self.name} is {context.width}x{context.height}, over the limit of "
                f"{self._options.max_pixels} pixels: pass --max-pixels to allow it"
            )
        context.options = {"max_pixels": str(self._options.max_pixels)}
        context.thread_count = 1  # frames in flight in other threads are latency

    def _frames(self, anchor: Anchor) -> Iterator[Frame]:
        """Frames of this connection; sound between them goes where it is heard."""
        streams = [self._container.streams.video[0]]
        if self._sound and self._sound.fits(self._container.streams.audio):
            streams.append(self._container.streams.audio[0])
        last = Fraction(-1)
        for packet in self._decodable(streams, anchor):
            for frame in packet:
                tick = frame.time_base or Fraction(1, 1000)
                pts = frame.pts * tick if frame.pts is not None else last + 1 / self.rate
                last = max(pts, last + _FIRST_TICK) if last >= 0 else pts
                yield Frame(self._read(frame), last)

    def _decodable(self, streams: list[Any], anchor: Anchor) -> Iterator[list[Any]]:
        damaged = 0
        for packet in self._container.demux(*streams):
            if packet.stream.type == "audio":
                if self._sound and (sound := self._sound.place(packet, anchor)):
                    self.on_sound(sound)
                continue
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                damaged += 1
                if damaged == 1:
                    self._say(f"{self.name} delivers damaged data: skipped")
                if damaged >= _DAMAGED:
                    raise SourceReadError("nothing of it can be decoded") from None
                continue
            damaged = 0 if frames else damaged
            yield frames

    def _read(self, frame: Any) -> Any:
        pixels = self._reader.read(frame)
        notices = list(self._reader.notices)
        for notice in notices[self._told :]:
            self._say(f"{self.name}: {notice}")
        self._told = len(notices)
        return pixels

    def _wait_for(self, pts: Fraction, begun: float | None) -> float:
        """Hold a frame back until its turn, and give when zero was; where that is long past or far
        ahead, the clock begins anew.
        """
        now = time.monotonic()
        late = 0.0 if begun is None else now - begun - float(pts)
        if begun is None or not -_GAP_S <= late <= _LATE_S:
            return now - float(pts)
        self._stopped.wait(max(0.0, -late))
        return begun

    def _reopen(self, problem: str, tries: int) -> int:
        self._shut()
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

    def _shut(self) -> None:
        self._container.close()
        self._end_child()

    def _end_child(self) -> None:
        if self._child:
            self._child.stop()
            self._child.end()
            self._child = None
