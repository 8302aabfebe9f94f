"""The options of `stylize webcam` that say where pictures come from, and what they open."""

import argparse
from collections.abc import Callable

from ._options import parse_rate, parse_size
from .errors import StylizeError
from .sources._cameras import camera_called, cameras
from .sources._opening import SCREEN, LiveOptions
from .sources.live import LiveSource


def add_input(parser: argparse.ArgumentParser) -> None:
    """Options of the source."""
    parser.add_argument(
        "input",
        nargs="?",
        default="0",
        help="a camera by its number, screen, test: or test:640x360@30, an address (rtsp, rtmp, "
        "http, udp, srt), or a file, played in real time (default: 0)",
    )
    parser.add_argument(
        "--camera", metavar="NAME", help="a camera by its number or a part of its name instead"
    )
    parser.add_argument("--screen", action="store_true", help="the screen instead")
    parser.add_argument("--list-cameras", action="store_true", help="say which there are, and end")
    parser.add_argument(
        "--capture-size",
        type=parse_size,
        default=None,
        metavar="WxH",
        help="size to ask the camera or the screen for",
    )
    parser.add_argument(
        "--capture-rate", type=parse_rate, metavar="RATE", help="frames a second to ask it for"
    )
    parser.add_argument("--no-reconnect", action="store_true", help="end when the source stops")
    parser.add_argument("--no-sound", action="store_true", help="leave the source's sound out")
    parser.add_argument("--loop", action="store_true", help="play a file again and again")


def open_input(options: argparse.Namespace, say: Callable[[str], None]) -> LiveSource:
    """The source that is asked for. Raises `SourceOpenError`."""
    capture = options.capture_size
    if capture and None in capture:
        raise StylizeError("a camera is asked for both sides: give --capture-size as 1280x720")
    if options.camera and options.screen:
        raise StylizeError("--camera and --screen exclude each other: one source at a time")
    name = SCREEN if options.screen else options.input
    if options.camera:
        name = camera_called(options.camera, cameras())
    return LiveSource(
        name,
        LiveOptions(
            size=capture,
            rate=options.capture_rate,
            resize=options.size,
            max_pixels=options.max_pixels,
            reconnect=not options.no_reconnect,
            loop=options.loop,
            sound=not options.no_sound,
        ),
        say,
    )
