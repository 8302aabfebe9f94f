"""`stylize webcam`: a live source, painted, shown, recorded and pushed."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from ._arguments import add_engine, add_size, engine_request
from ._live_input import add_input, open_input
from ._options import parse_share
from ._outlets import add_outlets, open_outlets
from .catalogue import DEFAULT_STYLE, find_style
from .engines.choose import load_engine, usable_cores
from .errors import SinkOpenError
from .knobs import KEYS, Knobs, turned
from .live import Live, LiveReport
from .sinks.images import write_image
from .sinks.window import Window
from .sources._cameras import cameras
from .stylizer import Stylizer
from .tiers import stage_for

_TIERS: Final = ("off", "fast", "quality")
_STATUS_S: Final = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_input(parser)
    add_size(parser)
    add_outlets(parser)
    look = parser.add_argument_group("look")
    look.add_argument(
        "--temporal",
        choices=_TIERS,
        default="fast",
        help="how frames are kept steady in time (default: %(default)s)",
    )
    look.add_argument("--mirror", action="store_true", help="exchange left and right")
    look.add_argument(
        "--strength",
        type=parse_share,
        default=1.0,
        metavar="0..1",
        help="how much of the painting shows (default: 1)",
    )
    look.add_argument(
        "--colours",
        type=parse_share,
        default=0.0,
        metavar="0..1",
        help="how much of the source's colours the painting keeps (default: 0)",
    )
    look.add_argument(
        "--more-styles",
        default="",
        metavar="STYLE,…",
        help="styles that the keys n and p turn to, beside --style",
    )
    add_engine(parser)
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")


def run(
    options: argparse.Namespace,
    say: Callable[[str], None],
    status: Callable[[str], None] | None,
) -> int:
    """Run until the source ends, a key or Ctrl-C. Raises `StylizeError`s."""
    if options.list_cameras:
        found = cameras()
        sys.stdout.write("".join(f"{line}\n" for line in found) or "no camera was found\n")
        return 0
    names = [options.style or DEFAULT_STYLE, *filter(None, options.more_styles.split(","))]
    styles = [find_style(name) for name in names]
    source = open_input(options, say)
    engines: list[Any] = []
    window: Window | None = None
    try:
        say(source.description)
        window = _window(options, say)
        outlets = open_outlets(options, source, say)
        if not outlets and window is None:
            raise SinkOpenError(
                "there is nowhere to show it: give --record FILE, --push ADDRESS or another"
            )
        threads = options.threads or usable_cores()

        def painter(number: int) -> Stylizer:
            engine = load_engine(styles[number], engine_request(options))
            engines.append(engine)
            say(f"style {styles[number].card.id} by {engine.description}")
            return Stylizer(engine, stage_for(options.temporal, threads))

        makers = [lambda n=n: painter(n) for n in range(len(styles))]
        live = Live(source, makers, outlets, window, say=say)
        live.knobs = Knobs(
            strength=options.strength, colours=options.colours, mirror=options.mirror
        )
        live.on_key = lambda key, knobs: _turn(key, knobs, live, len(styles), say)
        with _ending(live) as told:
            report = live.run(_Status(status), seconds=options.seconds)
        say(_summary(report))
        if told:
            raise KeyboardInterrupt
    finally:
        source.close()
        if window:
            window.close()
        for engine in engines:
            engine.close()
    return 0


@contextmanager
def _ending(live: Live) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM end the run in order; the signals that came.

    As an exception out of nowhere, an interrupt could come between taking a lock and noting that it
    must be given back, and leave a thread waiting for ever.
    """
    told: list[int] = []

    def stop(number: int, _frame: Any) -> None:
        told.append(number)
        live.stop()

    before = {}
    with suppress(ValueError):  # signals belong to the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, stop)
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _window(options: argparse.Namespace, say: Callable[[str], None]) -> Window | None:
    if options.no_window:
        return None
    try:
        return Window()
    except SinkOpenError as error:
        say(str(error))
        return None


def _turn(
    key: str, knobs: Knobs, live: Live, styles: int, say: Callable[[str], None]
) -> Knobs | None:
    """The knobs after a key; None to end."""
    if key == "q":
        return None
    if key == "h":
        say("; ".join(f"{name} {what}" for name, what in KEYS.items()))
    if key == "s" and live.snapshot is not None:
        path = Path(time.strftime("stylize-%Y%m%d-%H%M%S.png"))
        write_image(path, live.snapshot, overwrite=False)
        say(f"snapshot: {path}")
    return turned(knobs, key, styles)


class _Status:
    """One line that is written again and again, on a terminal only."""

    def __init__(self, write: Callable[[str], None] | None) -> None:
        self._write, self._last = write, 0.0

    def __call__(self, report: LiveReport) -> None:
        now = time.monotonic()
        if self._write is None or now - self._last < _STATUS_S:
            return
        self._last = now
        self._write(_summary(report))


def _summary(report: LiveReport) -> str:
    median, high = report.latency_ms
    return (
        f"{report.frames} frames, {report.fps:.1f} a second, {report.dropped} dropped, latency "
        f"{median:.0f} ms (95 %: {high:.0f} ms)"
    )


def terminal_status() -> Callable[[str], None] | None:
    """Writes over the last line of a terminal; None where there is none."""
    if not sys.stderr.isatty():
        return None

    def write(text: str) -> None:
        sys.stderr.write(f"\r\x1b[2K{text}")
        sys.stderr.flush()

    return write
