"""The options of `stylize webcam` that say where the painting goes, and what they open."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from ._options import parse_bitrate
from .errors import StylizeError
from .frame import Extras, Frame, SidePacket, SideStream, VideoInfo
from .live import CLOCK
from .outlets import Outlet
from .sinks._containers import EncodeOptions
from .sinks._side import packet_of
from .sinks.file import FileSink
from .sinks.push import PushSink
from .sinks.stdout import PipeFormat, StdoutSink
from .sinks.virtual_camera import VirtualCameraSink
from .sound import Sound
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
    group.add_argument(
        "--bitrate",
        type=parse_bitrate,
        metavar="BITS",
        help="of pushed pictures, as 2500k or 4M a second (default: by size and rate)",
    )
    group.add_argument(
        "--virtual-camera",
        nargs="?",
        const="",
        metavar="DEVICE",
        help="show it to other programs as a webcam (needs the extra 'vcam')",
    )
    group.add_argument(
        "--stdout",
        choices=get_args(PipeFormat),
        help="write pictures to standard output, at a constant rate (raw is rgb24)",
    )
    group.add_argument("--overwrite", action="store_true", help="replace a recording that exists")
    group.add_argument("--seconds", type=float, metavar="N", help="end after so long")


class Recording:
    """A file beside everything else."""

    def __init__(
        self,
        sink: FileSink,
        path: Path,
        sound: SideStream | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._sink, self.name, self._say = sink, str(path), say
        self._sound_key = sound.key if sound else None
        self._frames, self._whole = 0, True

    def write(self, frame: Frame) -> None:
        """Take a frame."""
        self._put(frame)
        self._frames += 1

    def hear(self, sound: Sound) -> None:
        """Take a packet of sound."""
        if self._sound_key is not None:
            self._put(SidePacket(self._sound_key, packet_of(sound)))

    def finish(self) -> None:
        """Put the file under its name; what could not be finished keeps what it can, under another.

        Nothing is left where nothing came.
        """
        if self._frames and self._whole:
            self._say(f"recorded {self._frames} frames: {self._sink.finish()}")
        elif kept := self._sink.abandon():
            self._say(f"recorded {self._frames} frames until then: {kept}")

    def _put(self, item: Frame | SidePacket) -> None:
        try:
            self._sink.write(item)
        except StylizeError:
            self._whole = False
            raise


def open_outlets(
    options: argparse.Namespace, source: LiveSource, say: Callable[[str], None]
) -> list[Outlet]:
    """All that are asked for. Raises `StylizeError`s, with none left open."""
    size, rate = source.size, source.rate
    found: list[Outlet] = []
    try:
        # one after another, so that those that are open are closed when the next one fails
        for address in options.push:
            found.append(PushSink(address, size, rate, options.bitrate, source.sound, say))
            say(f"sending to {address}")
        if options.virtual_camera is not None:
            camera = VirtualCameraSink(options.virtual_camera or None, size, rate)
            found.append(camera)
            say(f"showing in {camera.name}")
        if options.stdout:
            found.append(StdoutSink(options.stdout, size, rate))
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
    extras = Extras(streams=(source.sound,) if source.sound else ())
    sink = FileSink(path, info, extras, write)
    for notice in sink.notices:
        say(notice)
    return Recording(sink, path, source.sound, say)
