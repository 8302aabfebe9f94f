"""Where painted frames go: any number of outlets, each on a thread of its own.

An outlet gets the newest painting when it has time for one; sound waits for it in a short queue
that forgets its oldest. So an outlet that is slow or fails holds nobody else back.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Final, Protocol, runtime_checkable

from .errors import SinkWriteError, StylizeError
from .frame import Frame
from .sound import Sound

_SOUND_WAITS: Final = 256
"""Packets of sound that wait for a slow outlet; about five seconds of AAC."""
_GRACE_S: Final = 15.0
"""How long an outlet may take for what it has begun, before it is told to give up."""


class Outlet(Protocol):
    """Where painted frames go, on a thread of its own."""

    name: str

    def write(self, frame: Frame) -> None:
        """Take a frame. Raises `SinkWriteError` when there is no use in going on."""
        ...

    def finish(self) -> object:
        """The end: make what there is whole."""
        ...


@runtime_checkable
class Hearing(Protocol):
    """An outlet that takes sound as well."""

    def hear(self, sound: Sound) -> None:
        """Take a packet, on the clock of the frames. Raises `SinkWriteError`."""
        ...


@runtime_checkable
class Steady(Protocol):
    """An outlet that wants to go on when no frame comes."""

    period_s: float
    """How long it waits for a frame before `repeat` is called."""

    def repeat(self) -> None:
        """No frame came for a period. Raises `SinkWriteError`."""
        ...


@runtime_checkable
class Cancelled(Protocol):
    """An outlet whose `write` may block for as long as others like."""

    def cancel(self) -> None:
        """From another thread: let a `write` that blocks come back soon, with an error."""
        ...


class _Inbox:
    """What waits for an outlet: the newest frame, and a little sound."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._sounds: deque[Sound] = deque(maxlen=_SOUND_WAITS)
        self._closed = False

    def put(self, frame: Frame) -> None:
        with self._changed:
            self._frame = frame
            self._changed.notify_all()

    def put_sound(self, sound: Sound) -> None:
        with self._changed:
            self._sounds.append(sound)
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, timeout: float | None) -> tuple[list[Sound], Frame | None] | None:
        """What has come, nothing when nothing came in time; None once it is closed and empty."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._frame is not None or self._sounds or self._closed, timeout
            )
            sounds, frame = list(self._sounds), self._frame
            self._sounds.clear()
            self._frame = None
            return None if self._closed and not sounds and frame is None else (sounds, frame)


class _Worker:
    """An outlet on its thread. Its clock begins with its first frame."""

    def __init__(self, outlet: Outlet, failed: Callable[[StylizeError], None]) -> None:
        self.inbox, self.outlet, self._failed = _Inbox(), outlet, failed
        self.alive = True
        self._origin: Fraction | None = None
        self._thread = threading.Thread(target=self._run, name=f"stylize-{outlet.name[:20]}")
        self._thread.start()

    def join(self) -> None:
        """Wait until the outlet has finished; one that is stuck is told to give up."""
        self._thread.join(_GRACE_S)
        if self._thread.is_alive() and isinstance(self.outlet, Cancelled):
            self.outlet.cancel()
        self._thread.join()

    def _run(self) -> None:
        failure: StylizeError | None = None
        try:
            for sounds, frame in self._waiting():
                self._write(sounds, frame)
        except StylizeError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - one outlet may not take the others along
            failure = SinkWriteError(f"{self.outlet.name} failed: {error}")
        self.alive = False
        self.inbox.close()
        try:
            self.outlet.finish()
        except StylizeError as error:
            failure = failure or error
        if failure:
            self._failed(failure)

    def _waiting(self) -> Iterator[tuple[list[Sound], Frame | None]]:
        period = self.outlet.period_s if isinstance(self.outlet, Steady) else None
        while (taken := self.inbox.take(period)) is not None:
            yield taken

    def _write(self, sounds: Sequence[Sound], frame: Frame | None) -> None:
        if self._origin is None:
            if frame is None:
                return  # sound alone has no place yet
            self._origin = frame.pts
        if isinstance(self.outlet, Hearing):
            for sound in sounds:
                if sound.start >= self._origin:
                    self.outlet.hear(sound.earlier(self._origin))
        if frame is not None:
            self.outlet.write(Frame(frame.pixels, frame.pts - self._origin, frame.duration))
        elif not sounds and isinstance(self.outlet, Steady):
            self.outlet.repeat()


class Outlets:
    """The outlets of a run. They may come and go while it runs, from any thread.

    `say` hears of those that fail while others go on; the failure of the last one is kept in
    `failure`.
    """

    def __init__(
        self,
        outlets: Sequence[Outlet] = (),
        say: Callable[[str], None] = lambda _: None,
        *,
        shown: bool = False,
    ) -> None:
        """`shown` says that there is a window as well, which goes on without any outlet."""
        self._say, self._shown = say, shown
        self._lock = threading.RLock()
        self._waiting: list[Outlet] = list(outlets)
        self._workers: list[_Worker] = []
        self._leaving: list[_Worker] = []
        self._running = False
        self.failure: StylizeError | None = None

    def start(self) -> None:
        """Start the threads."""
        with self._lock:
            self._running = True
            waiting, self._waiting = self._waiting, []
            for outlet in waiting:
                self.add(outlet)

    def add(self, outlet: Outlet) -> None:
        """One more outlet; its clock begins with the next frame."""
        with self._lock:
            self._leaving = [w for w in self._leaving if w.alive]
            if not self._running:
                self._waiting.append(outlet)
                return
            self._workers.append(_Worker(outlet, self._failed))

    def remove(self, outlet: Outlet) -> None:
        """Let an outlet finish, on its own thread; nothing happens where it has gone already."""
        with self._lock:
            self._waiting = [o for o in self._waiting if o is not outlet]
            for worker in [w for w in self._workers if w.outlet is outlet]:
                self._workers.remove(worker)
                self._leaving.append(worker)
                worker.inbox.close()

    def put(self, frame: Frame) -> None:
        """Hand a frame to all."""
        for worker in self._now():
            worker.inbox.put(frame)

    def put_sound(self, sound: Sound) -> None:
        """Hand a packet of sound to all that hear."""
        for worker in self._now():
            if isinstance(worker.outlet, Hearing):
                worker.inbox.put_sound(sound)

    @property
    def any_alive(self) -> bool:
        """Whether there is still an outlet that takes frames."""
        return bool(self._now())

    def end(self) -> None:
        """Let all finish what they have, and wait for them."""
        with self._lock:
            workers = [*self._workers, *self._leaving]
            unused, self._waiting = self._waiting, []
        for worker in workers:
            worker.inbox.close()
        for worker in workers:
            worker.join()
        for outlet in unused:
            outlet.finish()

    def _now(self) -> list[_Worker]:
        with self._lock:
            return [worker for worker in self._workers if worker.alive]

    def _failed(self, error: StylizeError) -> None:
        if self.any_alive or self._shown:
            self._say(f"{error}; the others go on")
        else:
            self.failure = error
