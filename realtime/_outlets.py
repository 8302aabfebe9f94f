"""The options of `stylize webcam` that say where the painting goes, and what they open."""

import argparse
from collections.abc import Callable
from pathlib import Path

from .errors import StylizeError
from .frame import Extras, Frame, VideoInfo
from .live import CLOCK
from .outlets import Outlet
from .sinks._containers import EncodeOptions
from .sinks.file import FileSink
from .sinks.push import PushSink
from .sources.live import LiveSource
from .video import default_threads


def add_outlets(parser: argparse.ArgumentParser) -> None:
    """Options for everything but the window."""
    group = parser.add_argument_group("where it goes, any number at once")
    group.add_argument("--no-window", action="store_true", help="show no window")
    group.add_argument("--record", type=Path, metavar="FILE", help="write a video file as well")
    group.add_argument(
        "--push",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="send it to rtmp, rtsp, srt, udp or tcp; repeatable",
    )
    group.add_argument("--overwrite", action="store_true", help="replace a recording that exists")
    group.add_argument("--seconds", type=float, metavar="N", help="end after so long")


class Recording:
    """A file beside everything else."""

    def __init__(self, sink: FileSink, path: Path, say: Callable[[str], None]) -> None:
        self._sink, self.name, self._say, self._frames = sink, str(path), say, 0

    def write(self, frame: Frame) -> None:
        """Take a frame."""
        self._sink.write(frame)
        self._frames += 1

    def finish(self) -> None:
        """Put the file under its name, or nothing where nothing came."""
        if self._frames:
            self._say(f"recorded {self._frames} frames: {self._sink.finish()}")
        else:
            self._sink.abandon()


def open_outlets(
    options: argparse.Namespace, source: LiveSource, say: Callable[[str], None]
) -> list[Outlet]:
    """All that are asked for. Raises `StylizeError`s, with none left open."""
    found: list[Outlet] = []
    try:
        # one after another, so that those that are open are closed when the next one fails
        found.extend(PushSink(address, source.size, source.rate) for address in options.push)
        if options.record:
            found.append(open_recording(options.record, options, source, say))
    except StylizeError:
        for outlet in found:
            outlet.finish()
        raise
    return found


def open_recording(
    path: Path, options: argparse.Namespace, source: LiveSource, say: Callable[[str], None]
) -> Recording:
    """A recording into `path`, written as `options` say. Raises `SinkOpenError`."""
    info = VideoInfo(*source.size, rate_nominal=source.rate, time_base=CLOCK)
    _, encoding = default_threads(options.threads)
    write = EncodeOptions(overwrite=options.overwrite, threads=encoding)
    return Recording(FileSink(path, info, Extras(), write), path, say)
