"""Runs a live source through a style to any number of outlets, and stays live.

Only the newest frame is ever painted; each outlet has a thread of its own and gets the newest
painting. So nothing queues up, and an outlet that is slow or fails holds nobody else back.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol

import numpy as np

from ._threads import Worker
from .budget import Budget
from .fader import Fader
from .finish import labelled
from .frame import Frame, Pixels
from .knobs import Knobs
from .metrics import percentiles_ms
from .newest import Newest
from .outlets import Outlet, Outlets
from .sound import Sound
from .sources.live import Captured, LiveSource
from .studio import Shown, Studio

CLOCK: Final = Fraction(1, 90000)
_REMEMBERED: Final = 120
_LOOK_S: Final = 0.2
"""How long nothing may come until it is looked whether to stop."""


class Screen(Protocol):
    """Shows frames in the main thread: `sinks.window.Window`."""

    def show(self, pixels: Pixels) -> str | None:
        """Show a picture; the key that was pressed."""
        ...


@dataclass
class LiveReport:
    """How a run goes: handed out after every frame, and at the end."""

    frames: int = 0
    dropped: int = 0
    """Frames that were never painted, since a newer one had come."""
    seconds: float = 0.0
    fps: float = 0.0
    """Over the last frames."""
    last_ms: float = 0.0
    """From the capture of the last frame to its hand-over to the outlets."""
    latency_ms: tuple[float, float] = (0.0, 0.0)
    """From capture to the hand-over to the outlets: median and 95th percentile of the last
    frames.
    """

    def __str__(self) -> str:
        median, high = self.latency_ms
        return (
            f"{self.frames} frames, {self.fps:.1f} a second, {self.dropped} dropped, latency "
            f"{median:.0f} ms (95 %: {high:.0f} ms)"
        )


class Live:
    """One live run. `run` is called once, in the main thread where there is a screen."""

    def __init__(
        self,
        source: LiveSource,
        studio: Studio,
        outlets: Sequence[Outlet],
        screen: Screen | None = None,
        say: Callable[[str], None] = lambda _: None,
        *,
        fade: float = 0.0,
        budget: Budget | None = None,
    ) -> None:
        """`fade` is how many seconds one style takes to blend into the next; without a `budget`
        frames are painted at their own size, however long that takes.
        """
        self.knobs = Knobs()
        self.on_key: Callable[[str, Knobs], Knobs | None] = lambda _, knobs: knobs
        """Gives the knobs after a key, None to end."""
        self.read_key: Callable[[], str | None] = lambda: None
        """Gives a key that was pressed elsewhere than in the window."""
        self.figures = False
        """Whether the window shows frames a second and latency."""
        self._source, self._studio, self._screen = source, studio, screen
        self._say = say
        self._fader, self._budget = Fader(fade), budget
        self._newest: Newest[Captured] = Newest()
        self._error: BaseException | None = None
        self._outlets = Outlets(outlets, say, shown=screen is not None)
        self._begun = 0.0
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)
        self._times: deque[float] = deque(maxlen=_REMEMBERED)
        self._stopping = False
        self.report = LiveReport()
        self.snapshot: Pixels | None = None
        """What was shown last."""

    def run(
        self,
        on_frame: Callable[[LiveReport], None] = lambda _: None,
        frames: int | None = None,
        seconds: float | None = None,
    ) -> LiveReport:
        """Paint until the source ends, somebody stops, or the last outlet is gone.

        Raises what the source or the network raise, and what the last outlet failed of where
        there is no screen; outlets are made whole first.
        """
        reader = Worker(target=self._read, name="stylize-capture")
        begun = time.monotonic()
        try:
            self._outlets.start()
            self._warm_up()
            begun = self._begun = time.monotonic()
            self._source.on_sound = self._hear
            reader.start()
            while not self._stopping:
                captured = self._newest.take(_LOOK_S)
                if captured is None:
                    if self._newest.closed or not self._keys():
                        break
                    continue
                if not self._show(captured, begun):
                    break
                on_frame(self.report)
                if frames and self.report.frames >= frames:
                    break
                if seconds and time.monotonic() - begun >= seconds:
                    break
        finally:
            self._source.stop()
            self._newest.close()
            reader.join()
            self._outlets.end()
            self._studio.reset()
        if self._error:
            raise self._error
        if self._outlets.failure:
            raise self._outlets.failure
        return self.report

    def stop(self) -> None:
        """End soon; takes no lock, so that a signal's handler may call it."""
        self._stopping = True

    def forgive(self, style: int) -> None:
        """Try a style again that could not be loaded."""
        self._studio.forgive(style)

    def add(self, outlet: Outlet) -> None:
        """One more outlet, before or while it runs, from any thread."""
        self._outlets.add(outlet)

    def remove(self, outlet: Outlet) -> None:
        """Let an outlet finish, on its own thread, while the others go on."""
        self._outlets.remove(outlet)

    def _hear(self, sound: Sound) -> None:
        """Hand out sound of the source, from the clock of the machine to that of the run."""
        ours = sound.earlier(Fraction(self._begun))
        if ours.pts >= 0:
            self._outlets.put_sound(ours)

    def _warm_up(self) -> None:
        """Let the network set itself up for this size before there is anything to be late for."""
        width, height = self._source.size
        blank = np.zeros((height, width, 3), np.uint8)
        self._studio.paint(Frame(blank, Fraction(0)), self.knobs)
        self._studio.reset()

    def _read(self) -> None:
        try:
            for captured in self._source:
                if not self._newest.put(captured):
                    return
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._error = error
        self._newest.close()

    def _show(self, captured: Captured, begun: float) -> bool:
        """Paint a frame and hand it out; False to end."""
        shown = self._paint(captured).frame.pixels
        self.snapshot = shown
        # the source's clock may begin anew; that of the outlets may not
        tick = Fraction(round((captured.at - begun) / float(CLOCK))) * CLOCK
        self._outlets.put(Frame(shown, max(Fraction(0), tick)))
        self._count(captured.at, begun)
        return self._keys() and (bool(self._screen) or self._outlets.any_alive)

    def _keys(self) -> bool:
        """Show the window what there is, and follow the keys; False to end."""
        in_window = self._shown_key(self.snapshot) if self.snapshot is not None else None
        return all(self._turn(key) for key in (in_window, self.read_key()) if key)

    def _paint(self, captured: Captured) -> Shown:
        begun = time.monotonic()
        knobs = self._fader.step(self.knobs, captured.at, self._studio.ready)
        if self._budget:
            self._studio.scale = self._budget.scale
        shown = self._studio.paint(captured.frame, knobs)
        if self._budget and not knobs.freeze:
            self._budget.took(time.monotonic() - begun)
        return shown

    def _shown_key(self, shown: Pixels) -> str | None:
        if self._screen is None:
            return None
        return self._screen.show(labelled(shown, str(self.report)) if self.figures else shown)

    def _turn(self, key: str) -> bool:
        turned = self.on_key(key, self.knobs)
        if turned is None:
            return False
        self.knobs = turned
        return True

    def _count(self, at: float, begun: float) -> None:
        now = time.monotonic()
        self._latencies.append(now - at)
        self._times.append(now)
        report = self.report
        report.frames += 1
        report.dropped = self._newest.dropped
        report.seconds = now - begun
        report.last_ms = 1000 * (now - at)
        span = self._times[-1] - self._times[0]
        report.fps = (len(self._times) - 1) / span if span > 0 else 0.0
        found = percentiles_ms(list(self._latencies))
        report.latency_ms = found["p50_ms"], found["p95_ms"]
