"""Pushes frames to a server or a player: rtmp, rtsp, srt, udp, tcp."""

from fractions import Fraction
from typing import Any, Final

import av

from ..errors import SinkOpenError, SinkWriteError
from ..frame import Frame

_FORMATS: Final = {
    "rtmp": "flv",
    "rtmps": "flv",
    "rtsp": "rtsp",
    "srt": "mpegts",
    "udp": "mpegts",
    "tcp": "mpegts",
}
_TICK: Final = Fraction(1, 90000)
_KEYFRAMES_S: Final = 2
_BITS_PER_PIXEL: Final = 0.12
_TIMEOUT_S: Final = 10.0


class PushSink:
    """Encodes with x264 for live: no look-ahead, a key frame every two seconds, a steady bitrate.

    Opening connects, and raises `SinkOpenError`. `write` raises `SinkWriteError` once the other
    side is gone.
    """

    def __init__(
        self, address: str, size: tuple[int, int], rate: Fraction, bitrate: int | None = None
    ) -> None:
        self.name = address
        scheme = address.partition("://")[0].lower()
        if scheme not in _FORMATS:
            raise SinkOpenError(
                f"{address} can't be pushed to: give an address of {', '.join(_FORMATS)}"
            )
        width, height = (side // 2 * 2 for side in size)
        bits = bitrate or round(_BITS_PER_PIXEL * width * height * float(rate))
        options = {"rtsp_transport": "tcp"} if scheme == "rtsp" else {}
        self._last = -1
        try:
            self._container = av.open(
                address, "w", format=_FORMATS[scheme], options=options, timeout=_TIMEOUT_S
            )
            self._stream: Any = self._container.add_stream(
                "libx264",
                rate,
                options={
                    "preset": "superfast",
                    "tune": "zerolatency",
                    "g": str(max(1, round(_KEYFRAMES_S * rate))),
                    "maxrate": str(bits),
                    "bufsize": str(bits),
                },
            )
            self._stream.width, self._stream.height = width, height
            self._stream.pix_fmt = "yuv420p"
            self._stream.bit_rate = bits
            self._stream.time_base = _TICK
            self._stream.codec_context.time_base = _TICK
            self._container.start_encoding()
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SinkOpenError(f"{address} can't be opened: {reason}") from error

    def write(self, frame: Frame) -> None:
        """Send a frame. Raises `SinkWriteError`."""
        pixels = frame.pixels[: self._stream.height, : self._stream.width]
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        self._last = max(self._last + 1, round(frame.pts / _TICK))
        picture.pts, picture.time_base = self._last, _TICK
        try:
            self._container.mux(self._stream.encode(picture))
        except (av.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SinkWriteError(f"{self.name} is gone: {reason}") from error

    def finish(self) -> None:
        """Send what is left and hang up. Never raises."""
        try:
            self._container.mux(self._stream.encode())
            self._container.close()
        except (av.FFmpegError, OSError):
            pass  # nobody is there to hear the end
