"""Clips for `stylize optimize`: the frames of one, and a file for those that were painted."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from ..errors import DataError

CLIP_SUFFIXES: Final = frozenset({".mp4", ".mkv", ".mov"})
"""Of clips that can be written."""


class SourceFrame(NamedTuple):
    """A frame of a clip, and when it is shown."""

    pixels: NDArray[np.uint8]
    """RGB (H, W, 3)"""
    pts: int | None
    time_base: Fraction
    rate: Fraction | None
    """Of the clip, in the mean."""


def frames_of(path: Path, limit: int | None) -> Iterator[SourceFrame]:
    """The frames of a clip, at most so many, all of one size, in the order they are shown in.
    Raises `DataError`.
    """
    count, shape, pts = 0, None, None
    try:
        with av.open(f"file:{path}") as source:
            if not source.streams.video:
                raise DataError(f"{path} has no pictures: give a picture, or a clip with video")
            stream = source.streams.video[0]
            for frame in islice(source.decode(stream), limit):
                pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                if count and pixels.shape != shape:
                    raise DataError(
                        f"frame {count + 1} of {path} is {frame.width}x{frame.height}, unlike "
                        f"those before: scale it first, or stop there with --frames {count}"
                    )
                if pts is not None and frame.pts is not None and frame.pts < pts:
                    raise DataError(
                        f"frame {count + 1} of {path} is shown before the one it follows: mend its "
                        f"times first, or stop there with --frames {count}"
                    )
                count, shape, pts = count + 1, pixels.shape, frame.pts
                base = frame.time_base or stream.time_base or Fraction(1, 25)
                yield SourceFrame(pixels, frame.pts, base, stream.average_rate)
    except (FFmpegError, OSError) as error:
        where = f"beyond frame {count}" if count else "as a picture or a clip"
        raise DataError(f"{path} can't be read {where}: {error.strerror or error}") from error
    if not count:
        raise DataError(f"{path} has no frames: give a clip that plays")


class ClipWriter:
    """A clip of painted frames (H.264, no sound) that gets its name when it is whole.

    A context, at whose end whatever has no name yet is thrown away. All writing is done by a thread
    of its own, which Ctrl-C never reaches: a frame is in the clip or is not, and what was encoded
    can always be finished. Methods raise `DataError` when the file can't be written.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._temporary = target.with_name(f".{target.stem}.part{target.suffix}")
        self._frames = 0
        self._named: Path | None = None
        self._container: Any = None
        self._stream: Any = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stylize-clip")

    def __enter__(self) -> "ClipWriter":
        try:
            self._do(self._open)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._thread.submit(self._discard)
        self._thread.shutdown()

    def add(self, pixels: NDArray[np.uint8], source: SourceFrame) -> None:
        """Encode a frame, RGB (H, W, 3) with even sides, shown when the source's is."""
        self._do(lambda: self._encode(pixels, source))

    def finish(self) -> None:
        """Give the clip its name."""
        self._do(lambda: self._close(self._target))

    def keep(self) -> str:
        """Finish a clip that was broken off under a name that says so; what is where, in words,
        and no words where no frame was done.
        """
        self._do(self._keep)
        if self._named is None:
            return ""
        return f"{self._frames} frame{'s are' if self._frames > 1 else ' is'} in {self._named}"

    def _do(self, work: Callable[[], None]) -> None:
        try:
            self._thread.submit(work).result()
        except (FFmpegError, OSError) as error:
            reason = error.strerror or error
            raise DataError(f"{self._target} can't be written: {reason}") from error

    # --- what the thread does

    def _open(self) -> None:
        self._container = av.open(f"file:{self._temporary}", "w")

    def _encode(self, pixels: NDArray[np.uint8], source: SourceFrame) -> None:
        if self._stream is None:
            rate = source.rate or Fraction(25)
            self._stream = self._container.add_stream("libx264", rate, options={"crf": "16"})
            self._stream.height, self._stream.width = pixels.shape[:2]
            self._stream.pix_fmt = "yuv420p"
            # in ticks of the mean rate, two frames of a clip whose rate varies could be one
            self._stream.codec_context.time_base = source.time_base
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = source.pts, source.time_base
        self._mux(frame)
        self._frames += 1

    def _mux(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def _keep(self) -> None:
        # an interrupt may come when the clip has its name already
        if self._named is None and self._frames:
            self._close(self._target.with_name(f"{self._target.stem}.partial{self._target.suffix}"))

    def _close(self, path: Path) -> None:
        self._mux(None)
        self._container.close()
        self._temporary.replace(path)
        self._named = path

    def _discard(self) -> None:
        if self._container is not None:
            with suppress(FFmpegError, OSError):
                self._container.close()
        self._temporary.unlink(missing_ok=True)
