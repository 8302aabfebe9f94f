"""Runs a live source through a style to any number of outlets, and stays live.

Only the newest frame is ever painted; each outlet has a thread of its own and gets the newest
painting. So nothing queues up, and an outlet that is slow or fails holds nobody else back.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Protocol

import numpy as np

from .frame import Frame, Pixels
from .knobs import Knobs, finished, mirrored
from .metrics import percentiles_ms
from .newest import Newest
from .outlets import Outlet, Outlets
from .sound import Sound
from .sources.live import Captured, LiveSource

CLOCK: Final = Fraction(1, 90000)
_REMEMBERED: Final = 120
_LOOK_S: Final = 0.2
"""How long nothing may come until it is looked whether to stop."""


class Painter(Protocol):
    """What paints frames: `stylizer.Stylizer`."""

    def paint(self, frame: Frame) -> Frame:
        """The painted frame."""
        ...

    def reset(self) -> None:
        """Forget the frames before."""
        ...


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
    latency_ms: tuple[float, float] = (0.0, 0.0)
    """From capture to the hand-over to the outlets: median and 95th percentile of the last
    frames.
    """


class Live:
    """One live run. `run` is called once, in the main thread where there is a screen."""

    def __init__(
        self,
        source: LiveSource,
        painters: Sequence[Callable[[], Painter]],
        outlets: Sequence[Outlet],
        screen: Screen | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`painters` make the painters of the styles, when they are first turned to."""
        self.knobs = Knobs()
        self.on_key: Callable[[str, Knobs], Knobs | None] = lambda _, knobs: knobs
        """Gives the knobs after a key, None to end."""
        self._source, self._make, self._screen = source, painters, screen
        self._say = say
        self._painters: dict[int, Painter] = {}
        self._newest: Newest[Captured] = Newest()
        self._error: BaseException | None = None
        self._outlets = Outlets(outlets, say, shown=screen is not None)
        self._begun = 0.0
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)
        self._times: deque[float] = deque(maxlen=_REMEMBERED)
        self._frozen: Pixels | None = None
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
        reader = threading.Thread(target=self._read, name="stylize-capture")
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
                    if self._newest.closed:
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
            if reader.ident:
                reader.join()
            self._outlets.end()
            for painter in self._painters.values():
                painter.reset()
        if self._error:
            raise self._error
        if self._outlets.failure:
            raise self._outlets.failure
        return self.report

    def stop(self) -> None:
        """End soon; takes no lock, so that a signal's handler may call it."""
        self._stopping = True

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
        painter = self._painter(self.knobs.style)
        painter.paint(Frame(np.zeros((height, width, 3), np.uint8), Fraction(0)))
        painter.reset()

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
        knobs = self.knobs
        source = captured.frame.pixels
        if knobs.mirror:
            source = mirrored(source)
        if not (knobs.freeze and self._frozen is not None):
            frame = replace(captured.frame, pixels=source)
            painted = self._painter(knobs.style).paint(frame).pixels
            self._frozen = finished(source, painted, knobs)
        shown = self._frozen
        assert shown is not None
        self.snapshot = shown
        # the source's clock may begin anew; that of the outlets may not
        tick = Fraction(round((captured.at - begun) / float(CLOCK))) * CLOCK
        self._outlets.put(Frame(shown, max(Fraction(0), tick)))
        self._count(captured.at, begun)
        key = self._screen.show(shown) if self._screen else None
        if key:
            turned = self.on_key(key, knobs)
            if turned is None:
                return False
            self.knobs = turned
        return bool(self._screen) or self._outlets.any_alive

    def _painter(self, style: int) -> Painter:
        if style not in self._painters:
            self._painters[style] = self._make[style]()
        return self._painters[style]

    def _count(self, at: float, begun: float) -> None:
        now = time.monotonic()
        self._latencies.append(now - at)
        self._times.append(now)
        report = self.report
        report.frames += 1
        report.dropped = self._newest.dropped
        report.seconds = now - begun
        span = self._times[-1] - self._times[0]
        report.fps = (len(self._times) - 1) / span if span > 0 else 0.0
        found = percentiles_ms(list(self._latencies))
        report.latency_ms = found["p50_ms"], found["p95_ms"]
