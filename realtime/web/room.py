"""Where everybody's frames are painted: one thread, one network, many streams.

Each stream has its own studio and so its own past, and only its newest frame waits. Streams take
turns, so one that sends fast takes nothing from the others. Frames are not batched: painting two at
once was measured to gain nothing on processors, and would make each wait for the other.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from ..errors import StylizeError
from ..fader import Fader
from ..frame import Frame, Pixels
from ..knobs import Knobs
from ..metrics import percentiles_ms
from ..studio import Shown, Studio

_REMEMBERED: Final = 120
_STALE_S: Final = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Arrived:
    """A frame that came in, not yet unpacked: what is dropped costs nothing."""

    unpack: Callable[[], Pixels]
    pts: Fraction
    at: float
    """When it came, by the monotonic clock."""


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """A painted frame as it leaves."""

    shown: Shown
    knobs: Knobs
    at: float


class Stream:
    """The frames of one sender and how they are painted."""

    def __init__(
        self, name: str, kind: str, studio: Studio, knobs: Knobs, fade: float, begun: float
    ) -> None:
        self.name, self.kind, self.knobs, self.begun = name, kind, knobs, begun
        self.on_painted: Callable[[Painted], None] = lambda _: None
        """Called in the painting thread."""
        self.on_failed: Callable[[str], None] = lambda _: None
        """Called in the painting thread, when it can't go on."""
        self.closed = False
        self.frames = self.dropped = 0
        self.last: Painted | None = None
        self.arrived_at = begun
        self._studio, self._fader = studio, Fader(fade)
        self._waiting: Arrived | None = None
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)
        self._times: deque[float] = deque(maxlen=_REMEMBERED)

    def forgive(self, style: int) -> None:
        """Try a style again that could not be loaded."""
        self._studio.forgive(style)

    def stats(self) -> dict[str, Any]:
        """How it goes."""
        times, now = list(self._times), time.monotonic()
        live = len(times) > 1 and now - times[-1] < _STALE_S
        fps = (len(times) - 1) / max(1e-6, times[-1] - times[0]) if live else 0.0
        found = percentiles_ms(list(self._latencies)) if self._latencies else {}
        last = self.last
        height, width = last.shown.frame.pixels.shape[:2] if last else (0, 0)
        return {
            "fps": round(fps, 2),
            "frames": self.frames,
            "dropped": self.dropped,
            "latency_ms": round(found.get("p50_ms", 0.0), 2),
            "latency_p95_ms": round(found.get("p95_ms", 0.0), 2),
            "width": width,
            "height": height,
            "seconds": round(now - self.begun, 1),
        }

    # --- for the room

    def leave(self, arrived: Arrived) -> bool:
        """Leave a frame in place of one that still waits; whether none did."""
        before, self._waiting = self._waiting, arrived
        self.arrived_at = arrived.at
        self.dropped += before is not None
        return before is None

    def take(self) -> Arrived | None:
        """The frame that waits."""
        arrived, self._waiting = self._waiting, None
        return arrived

    def paint(self, arrived: Arrived) -> None:
        """Paint a frame and hand it out. Raises `StylizeError`s."""
        frame = Frame(arrived.unpack(), arrived.pts)
        wanted = self.knobs
        knobs = self._fader.step(wanted, arrived.at, self._studio.ready)
        painted = Painted(self._studio.paint(frame, knobs), wanted, arrived.at)
        now = time.monotonic()
        self._latencies.append(now - arrived.at)
        self._times.append(now)
        self.frames += 1
        self.last = painted
        if not self.closed:
            self.on_painted(painted)

    def close(self) -> None:
        """Release the networks and the memory of past frames."""
        self.closed = True
        self._waiting = self.last = None
        self._studio.reset()
        self._studio.close()


class Room:
    """The painting thread. `stop` ends it; streams are closed in it."""

    def __init__(self, say: Callable[[str], None] = lambda _: None) -> None:
        self._say = say
        self._changed = threading.Condition()
        self._ready: deque[Stream] = deque()
        self._leaving: deque[Stream] = deque()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="stylize-paint")
        self._thread.start()

    def put(self, stream: Stream, arrived: Arrived) -> None:
        """Have a frame painted when it is the stream's turn, unless a newer one comes first."""
        with self._changed:
            if not stream.closed and not self._stopped and stream.leave(arrived):
                self._ready.append(stream)
                self._changed.notify()

    def close(self, stream: Stream) -> None:
        """Paint no more of a stream."""
        with self._changed:
            if not stream.closed:
                stream.closed = True
                self._leaving.append(stream)
                self._changed.notify()

    def stop(self) -> None:
        """End the thread, after the frame it is at."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._leaving or self._stopped)
                leaving = list(self._leaving)
                self._leaving.clear()
                stream = self._ready.popleft() if self._ready else None
                arrived = stream.take() if stream and not stream.closed else None
                stopped = self._stopped
            for gone in leaving:
                gone.close()
            if stopped:
                return
            if stream and arrived:
                self._paint(stream, arrived)

    def _paint(self, stream: Stream, arrived: Arrived) -> None:
        try:
            stream.paint(arrived)
            return
        except StylizeError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - one stream may not take the others along
            reason = f"{type(error).__name__}: {error}"
        self._say(f"{stream.name} ended: {reason}")
        with self._changed:
            stream.closed = True
        stream.on_failed(reason)
        stream.close()
