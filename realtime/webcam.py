"""`stylize webcam`: a live source, painted, shown, recorded and pushed."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from ._arguments import add_engine, add_size, engine_request
from ._keyboard import terminal_keys
from ._live_input import add_input, open_input
from ._looks import (
    Looks,
    add_look,
    add_more_styles,
    load_one,
    more_styles,
    parse_fade,
    read_looks,
    read_masker,
)
from ._outlets import Recording, add_outlets, open_outlets, open_recording
from .budget import Budget
from .catalogue import Style
from .engines.choose import usable_cores
from .errors import SinkOpenError, StylizeError
from .knobs import KEYS, Knobs, turned
from .live import Live, LiveReport
from .outlets import Outlet
from .sinks.images import write_image
from .sinks.window import Window
from .sources._cameras import cameras
from .studio import Studio
from .stylizer import Stylizer
from .tiers import stage_for

_TIERS: Final = ("off", "fast", "quality")
_STATUS_S: Final = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_input(parser)
    add_size(parser)
    add_outlets(parser)
    add_look(parser)
    add_more_styles(parser)
    live = parser.add_argument_group("staying live")
    live.add_argument(
        "--temporal",
        choices=_TIERS,
        default="fast",
        help="how frames are kept steady in time (default: %(default)s)",
    )
    live.add_argument(
        "--fade",
        type=parse_fade,
        default=0.4,
        metavar="SECONDS",
        help="how long one style takes to blend into the next (default: %(default)s)",
    )
    live.add_argument(
        "--budget",
        choices=["auto", "off"],
        default="auto",
        help="auto paints at a smaller size when the source's rate can't be held otherwise "
        "(default: %(default)s)",
    )
    add_engine(parser)
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")


def run(
    options: argparse.Namespace,
    say: Callable[[str], None],
    status: Callable[[str], None] | None,
) -> int:
    """Run until the source ends, a key or Ctrl-C. Raises `StylizeError`s.

    `status` writes the line that is written again and again, an empty one to make room.
    """
    if status:
        say = _over(status, say)
    if options.list_cameras:
        found = cameras()
        sys.stdout.write("".join(f"{line}\n" for line in found) or "no camera was found\n")
        return 0
    looks = read_looks(options, more_styles(options))
    source = open_input(options, say)
    studio: Studio | None = None
    window: Window | None = None
    try:
        say(source.description)
        window = _window(options, say)
        outlets = open_outlets(options, source, say)
        if not outlets and window is None:
            raise SinkOpenError(
                "there is nowhere to show it: give --record FILE, --push ADDRESS or another"
            )
        studio = _studio(looks, options, say)
        budget = Budget(float(1 / source.rate), say) if options.budget == "auto" else None
        live = Live(source, studio, outlets, window, say, fade=options.fade, budget=budget)
        live.knobs = looks.knobs
        recorder = _Recorder(live, outlets, lambda path: open_recording(path, options, source, say))
        live.on_key = lambda key, knobs: _turn(key, knobs, live, looks, recorder, say)
        with _ending(live) as told, terminal_keys() as live.read_key:
            report = live.run(_Status(status), seconds=options.seconds)
        say(str(report))
        if told:
            raise KeyboardInterrupt
    finally:
        source.close()
        if window:
            window.close()
        if studio:
            studio.close()
    return 0


def _studio(looks: Looks, options: argparse.Namespace, say: Callable[[str], None]) -> Studio:
    threads = options.threads or usable_cores()
    request = engine_request(options)

    def painter(style: Style) -> Stylizer:
        engine = load_one(style, request)
        say(f"style {style.card.id} by {engine.description}")
        return Stylizer(engine, stage_for(options.temporal, threads))

    makers = [partial(painter, style) for style in looks.styles.values()]
    return Studio(makers, read_masker(options, say), patient=False, say=say)


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


class _Recorder:
    """Starts and stops recording while the run goes on."""

    def __init__(
        self, live: Live, outlets: Sequence[Outlet], record: Callable[[Path], Recording]
    ) -> None:
        self._live, self._record = live, record
        self._current = next((o for o in outlets if isinstance(o, Recording)), None)

    def turn(self, say: Callable[[str], None]) -> None:
        """Stop the recording that runs, or start one under the time of day."""
        if self._current:
            self._live.remove(self._current)
            self._current = None
            return
        path = Path(time.strftime("stylize-%Y%m%d-%H%M%S.mp4"))
        self._current = self._record(path)
        self._live.add(self._current)
        say(f"recording into {path}")


def _turn(
    key: str,
    knobs: Knobs,
    live: Live,
    looks: Looks,
    recorder: _Recorder,
    say: Callable[[str], None],
) -> Knobs | None:
    """The knobs after a key; None to end."""
    if key == "q":
        return None
    try:
        if key == "h":
            say("; ".join(f"{name} {what}" for name, what in KEYS.items()))
        elif key == "i":
            live.figures = not live.figures
        elif key == "r":
            recorder.turn(say)
        elif key == "s" and live.snapshot is not None:
            path = Path(time.strftime("stylize-%Y%m%d-%H%M%S.png"))
            write_image(path, live.snapshot, overwrite=False)
            say(f"snapshot: {path}")
    except StylizeError as error:
        say(str(error))
    after = turned(knobs, key, len(looks.names), len(looks.paintings))
    if after.style != knobs.style:
        live.forgive(after.style)
        say(f"style {looks.names[after.style]}")
    if after.paintings != knobs.paintings:
        say(_shares(after.paintings))
    return after


def _shares(paintings: tuple[float, ...]) -> str:
    if not paintings:
        return "all paintings, as given"
    return f"painting {paintings.index(1.0) + 1} of {len(paintings)}"


def _over(status: Callable[[str], None], say: Callable[[str], None]) -> Callable[[str], None]:
    """Says things where the status line stands, which then goes on below."""

    def over(text: str) -> None:
        status("")
        say(text)

    return over


class _Status:
    """One line that is written again and again, on a terminal only."""

    def __init__(self, write: Callable[[str], None] | None) -> None:
        self._write, self._last = write, 0.0

    def __call__(self, report: LiveReport) -> None:
        now = time.monotonic()
        if self._write is None or now - self._last < _STATUS_S:
            return
        self._last = now
        self._write(str(report))


def terminal_status() -> Callable[[str], None] | None:
    """Writes over the last line of a terminal; None where there is none."""
    if not sys.stderr.isatty():
        return None

    def write(text: str) -> None:
        sys.stderr.write(f"\r\x1b[2K{text}")
        sys.stderr.flush()

    return write
