"""Uncompressed pictures on standard output, for ffmpeg, OBS and players: y4m, or bare RGB."""

import os
import select
import stat
import sys
import time
from fractions import Fraction
from typing import Final, Literal

from ..errors import SinkOpenError, SinkWriteError
from ..frame import Extras, Frame, Pixels, VideoInfo
from ._containers import Container, EncodeOptions
from .file import FileSink

PipeFormat = Literal["y4m", "raw"]
_CONTAINERS: Final = {
    "y4m": Container("yuv4mpegpipe", "wrapped_avframe", constant_rate=True),
    "raw": Container("rawvideo", "rawvideo", constant_rate=True),
}
_LOOK_MS: Final = 200
_QUIET_S: Final = 0.25


class StdoutSink:
    """Writes pictures at a constant rate: one is repeated where none came, and left out where two
    fall on one place.

    Raises `SinkOpenError` where standard output is a terminal. `write` raises `SinkWriteError` once
    the reader has gone.
    """

    def __init__(
        self,
        form: PipeFormat,
        size: tuple[int, int],
        rate: Fraction,
        descriptor: int | None = None,
    ) -> None:
        """`form` is ``y4m`` (4:2:0) or ``raw`` (rgb24); `descriptor` is that of another pipe."""
        self.name, self.period_s = "standard output", _QUIET_S
        self._pipe = _Pipe(sys.stdout.fileno() if descriptor is None else descriptor)
        if os.isatty(self._pipe.descriptor):
            raise SinkOpenError(
                "standard output is a terminal: add a pipe, as in | ffplay -i -, or > FILE"
            )
        self._rate, self._place, self._gone = rate, -1, False
        self._last: Pixels | None = None
        self._ahead = 0.0
        info = VideoInfo(*size, rate_nominal=rate, time_base=1 / rate)
        options = EncodeOptions(pix_fmt="rgb24" if form == "raw" else None)
        self._sink = FileSink(self._pipe, info, Extras(), options, _CONTAINERS[form])  # type: ignore[arg-type]

    def write(self, frame: Frame) -> None:
        """Take a frame. Raises `SinkWriteError`."""
        self._ahead = time.monotonic() - float(frame.pts)
        self._write(frame.pixels, round(frame.pts * self._rate))

    def repeat(self) -> None:
        """Nothing came for a while: readers that mix or send on want pictures all the same."""
        if self._last is not None:
            now = time.monotonic() - self._ahead
            self._write(self._last, int(now * self._rate) - 1)

    def cancel(self) -> None:
        """From another thread: a `write` that waits for the reader fails."""
        self._pipe.cancelled = True

    def finish(self) -> None:
        """Write out what is left; the pipe stays open."""
        if self._gone:
            self._sink.abandon()
        else:
            self._sink.finish()

    def _write(self, pixels: Pixels, place: int) -> None:
        if place <= self._place:
            return
        self._place, self._last = place, pixels
        try:
            self._sink.write(Frame(pixels, place / self._rate))
        except SinkWriteError:
            self._gone = True
            raise


class _Pipe:
    """A descriptor that is written to in pieces which never block for long."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.cancelled = descriptor, False
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._waits = hasattr(select, "poll") and not regular

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        while left:
            if self._waits:
                self._wait()
                # so much always goes into a pipe that takes anything
                left = left[os.write(self.descriptor, left[: select.PIPE_BUF]) :]
            else:
                left = left[os.write(self.descriptor, left) :]
        return len(data)

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self.descriptor, select.POLLOUT)
        while not poll.poll(_LOOK_MS):
            if self.cancelled:
                raise TimeoutError("its reader takes nothing")
