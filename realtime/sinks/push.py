"""Pushes frames and sound to a server or a player: rtmp, rtsp, srt, udp, tcp."""

import sys
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av

from .._child import Child, find_ffmpeg, good_srt_address
from ..errors import SinkOpenError, SinkWriteError
from ..frame import Frame, SideStream
from ..sound import Sound
from ._containers import Container
from ._side import SideTracks, packet_of

_FORMATS: Final = {
    "rtmp": "flv",
    "rtmps": "flv",
    "rtsp": "rtsp",
    "srt": "mpegts",
    "udp": "mpegts",
    "tcp": "mpegts",
}
_SOUND: Final = {
    "flv": frozenset({"aac", "mp3"}),
    "rtsp": frozenset({"aac", "mp3", "opus", "ac3", "pcm_alaw", "pcm_mulaw"}),
    "mpegts": frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "opus"}),
}
"""Codecs that go as they are; servers and players know little else."""
_OPTIONS: Final = {
    "flv": ("flvflags=no_duration_filesize",),
    "rtsp": ("rtsp_transport=tcp",),
    "mpegts": (),
}
_INTERLEAVE_US: Final = 500_000
"""How long a muxer may hold pictures back for sound that doesn't come."""
_TICK: Final = Fraction(1, 90000)
_KEYFRAMES_S: Final = 2
_BITS_PER_PIXEL: Final = 0.12
_TIMEOUT_S: Final = 10.0
_PATIENCE_S: Final = 3.0
_LOOK_S: Final = 0.2


class PushSink:
    """Encodes with x264 for live: no look-ahead, a key frame every two seconds, a steady bitrate.

    What is encoded goes to a process of its own, which sends it (srt: the program ffmpeg): a server
    that stalls can hold up nothing else. Opening connects with one black picture, and raises
    `SinkOpenError`. `write` raises `SinkWriteError` once the other side is gone or takes nothing
    for ten seconds.
    """

    def __init__(
        self,
        address: str,
        size: tuple[int, int],
        rate: Fraction,
        bitrate: int | None = None,
        sound: SideStream | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`bitrate` is that of the picture in bits a second; by default it follows size and rate.

        `sound` is copied where servers take its codec, else converted to AAC, which `say` hears.
        """
        self.name = address
        scheme = address.partition("://")[0].lower()
        if scheme not in _FORMATS or "://" not in address or not address.isprintable():
            raise SinkOpenError(
                f"{address} can't be pushed to: give an address of {', '.join(_FORMATS)}"
            )
        if scheme == "srt" and not good_srt_address(address):
            raise SinkOpenError(f"{address} can't be pushed to: give srt://HOST:PORT")
        self._last = -1
        self._sound_key = sound.key if sound else None
        form = _FORMATS[scheme]
        command = _command(address, form) if scheme != "srt" else _srt_command(address)
        try:
            self._child = Child(command, feeds=True, timeout_s=_TIMEOUT_S)
        except OSError as error:
            raise SinkOpenError(f"{address} can't be opened: {error}") from error
        try:
            self._open(form, size, rate, bitrate, sound, say)
        except (av.FFmpegError, OSError, ValueError) as error:
            self._child.end(_LOOK_S)
            reason = self._child.said or getattr(error, "strerror", None) or str(error)
            raise SinkOpenError(f"{address} can't be opened: {reason}") from error
        except BaseException:
            self._child.end()
            raise

    def _open(
        self,
        form: str,
        size: tuple[int, int],
        rate: Fraction,
        bitrate: int | None,
        sound: SideStream | None,
        say: Callable[[str], None],
    ) -> None:
        width, height = (max(2, side // 2 * 2) for side in size)
        bits = bitrate or round(_BITS_PER_PIXEL * width * height * float(rate))
        # pictures may not wait here for sound, nor sound for pictures: the sender sorts them
        at_once = {"max_interleave_delta": "1", "flush_packets": "1"}
        self._container = av.open(self._child, "w", format="nut", container_options=at_once)
        self._stream: Any = self._container.add_stream(
            "libx264", rate, options=_encoder(rate, bits)
        )
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuv420p"
        self._stream.bit_rate = bits
        self._stream.time_base = self._stream.codec_context.time_base = _TICK
        self._side = SideTracks(
            self._container,
            Container(form, "libx264", "aac"),
            (sound,) if sound else (),
            held=_SOUND[form],
        )
        for notice in self._side.notices:
            say(notice)
        self._container.start_encoding()
        black = av.VideoFrame(width, height, "yuv420p")
        for plane, level in zip(black.planes, (16, 128, 128), strict=True):
            plane.update(bytes([level]) * plane.buffer_size)
        self._encode(black, 0)
        self._encode(black, 1)  # beside sound, a packet goes when the next one has come
        self._await_ready()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _TIMEOUT_S
        while not self._child.ready.wait(_LOOK_S):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer within {_TIMEOUT_S:g} s")
        if not self._child.opened:
            raise BrokenPipeError("the sender ended")

    def write(self, frame: Frame) -> None:
        """Send a frame. Raises `SinkWriteError`."""
        pixels = frame.pixels[: self._stream.height, : self._stream.width]
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        self._guarded(lambda: self._encode(picture, round(frame.pts / _TICK)))

    def hear(self, sound: Sound) -> None:
        """Send a packet of sound. Raises `SinkWriteError`."""
        if self._sound_key is not None:
            packets = self._side.packets(self._sound_key, packet_of(sound))
            self._guarded(lambda: self._container.mux(list(packets)))

    def finish(self) -> None:
        """Send what is left and hang up. Never raises."""
        try:
            if self._child.running:
                self._container.mux(_all(self._stream.encode(), self._side.flush()))
            self._container.close()
        except (av.FFmpegError, OSError, ValueError):
            pass  # nobody is there to hear the end
        finally:
            self._child.end(_PATIENCE_S)

    def _encode(self, picture: av.VideoFrame, pts: int) -> None:
        self._last = max(self._last + 1, pts)
        picture.pts, picture.time_base = self._last, _TICK
        self._container.mux(self._stream.encode(picture))

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            if not self._child.running:
                raise BrokenPipeError("it hung up")
            action()
        except (av.FFmpegError, OSError, ValueError) as error:
            said = "" if isinstance(error, TimeoutError) else self._child.said
            reason = said or getattr(error, "strerror", None) or str(error)
            raise SinkWriteError(f"{self.name} is gone: {reason}") from error


def _all(*parts: Iterable[Any]) -> list[Any]:
    return [packet for part in parts for packet in part]


def _encoder(rate: Fraction, bits: int) -> dict[str, str]:
    return {
        "preset": "superfast",
        "tune": "zerolatency",
        "g": str(max(1, round(_KEYFRAMES_S * rate))),
        "maxrate": str(bits),
        "bufsize": str(bits),
    }


def _command(address: str, form: str) -> list[str]:
    # not as a module: importing the whole package would take the sender a second. -P: nor may
    # modules beside the script be taken for those of the same name
    script = str(Path(__file__).with_name("_sender.py"))
    options = (f"max_interleave_delta={_INTERLEAVE_US}", *_OPTIONS[form])
    return [sys.executable, "-P", script, address, form, *options]


def _srt_command(address: str) -> list[str]:
    return [
        *(find_ffmpeg(), "-hide_banner", "-loglevel", "level+info", "-nostats"),
        *("-probesize", "32", "-analyzeduration", "0", "-fpsprobesize", "0"),
        *("-f", "nut", "-i", "pipe:0", "-map", "0", "-c", "copy"),
        *("-max_interleave_delta", str(_INTERLEAVE_US), "-flush_packets", "1"),
        *("-muxdelay", "0", "-muxpreload", "0", "-f", "mpegts", address),
    ]
