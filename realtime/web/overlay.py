"""The painted picture for OBS and other players: parts of one endless answer (multipart).

A WebP in each part keeps transparency exactly; a JPEG is cheaper. What is sent is encoded once for
all who look at the same, and each gets the newest when it has taken the last.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from aiohttp import web

from .house import House
from .limits import Refused
from .loops import tell
from .pictures import FITS, Fit, fitted, jpeg, layer, webp
from .room import Painted

_BOUNDARY: Final = "stylize-frame"
_LONGEST_SIDE: Final = 2560
_EMPTY_SIZE: Final = (16, 9)
Format = Literal["webp", "jpeg"]
_TYPES: Final[dict[Format, str]] = {"webp": "image/webp", "jpeg": "image/jpeg"}


@dataclass(frozen=True)
class View:
    """What a viewer looks at; those who look at the same share it."""

    format: Format
    style: str | None
    size: tuple[int, int] | None
    fit: Fit


class Broadcast:
    """One view, encoded once for everybody."""

    def __init__(self, house: House, view: View) -> None:
        """Raises `Refused`."""
        self.view = view
        self.viewers = 0
        self.data = self._encode(None)
        self.number = 0
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Condition()
        self._lock = threading.Lock()
        self._waiting: list[Painted | None] = []
        self._wake = asyncio.Event()
        self._end_watch = house.watch(view.style, self._watched)
        self._task = self._loop.create_task(self._run())

    def _watched(self, painted: Painted | None) -> None:
        """In the painting thread."""
        with self._lock:
            self._waiting = [painted]
        tell(self._loop, self._wake.set)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            with self._lock:
                waiting, self._waiting = self._waiting, []
            if waiting:
                data = await asyncio.to_thread(self._encode, waiting[0])
                async with self._changed:
                    self.data, self.number = data, self.number + 1
                    self._changed.notify_all()

    def _encode(self, painted: Painted | None) -> bytes:
        """The bytes of a picture; of nothing where there is none."""
        view = self.view
        channels = 4 if view.format == "webp" else 3
        if painted is None:
            width, height = view.size or _EMPTY_SIZE
            pixels = np.zeros((height, width, channels), np.uint8)
        elif channels == 4:
            pixels = layer(painted.shown, painted.knobs)
        else:
            pixels = painted.shown.frame.pixels
        pixels = fitted(pixels, view.size, view.fit)
        return webp(pixels) if channels == 4 else jpeg(pixels)

    async def pictures(self) -> AsyncIterator[bytes]:
        """What there is, then each newer one; those that came meanwhile are left out."""
        seen = self.number
        yield self.data
        while True:
            async with self._changed:
                while self.number == seen:
                    await self._changed.wait()
                seen, data = self.number, self.data
            yield data

    def close(self) -> None:
        """Encode no more."""
        self._end_watch()
        self._task.cancel()


class Broadcasts:
    """All views that somebody looks at."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._broadcasts: dict[View, Broadcast] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def count(self) -> int:
        """How many look on."""
        return sum(broadcast.viewers for broadcast in self._broadcasts.values())

    async def serve(self, request: web.Request, form: Format) -> web.StreamResponse:
        """Send a view to one viewer until it leaves. Raises `Refused`."""
        view = view_of(request.query, form)
        if self.count() >= self._house.limits.viewers:
            raise Refused(f"{self.count()} look on already, which is all this server takes", 503)
        broadcast = self._broadcasts.get(view)
        if broadcast is None:
            broadcast = self._broadcasts[view] = Broadcast(self._house, view)
        broadcast.viewers += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            response = web.StreamResponse(
                headers={"Content-Type": f"multipart/x-mixed-replace; boundary={_BOUNDARY}"}
            )
            await response.prepare(request)
            await response.write(f"--{_BOUNDARY}\r\n".encode())
            kind = _TYPES[form]
            async for data in broadcast.pictures():
                head = f"Content-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
                # a browser shows a part when it has seen the boundary behind it
                end = f"\r\n--{_BOUNDARY}\r\n".encode()
                async with asyncio.timeout(self._house.limits.write_s):
                    await response.write(head + data + end)
        except (TimeoutError, ConnectionError):
            pass  # the viewer is gone
        finally:
            self._tasks.discard(task)
            broadcast.viewers -= 1
            if not broadcast.viewers:
                self._broadcasts.pop(view, None)
                broadcast.close()
        return response

    def close(self) -> None:
        """Let everybody go."""
        for task in self._tasks:
            task.cancel()


def view_of(query: Mapping[str, str], form: Format) -> View:
    """What a query asks for: ``w``, ``h``, ``style``, ``fit``. Raises `Refused`."""
    given = query.get("fit", "contain")
    fit = next((known for known in FITS if known == given), None)
    if fit is None:
        raise Refused(f"fit={given[:20]} is not known: give {', '.join(FITS)}", 400)
    sides = [_side(name, query[name]) for name in ("w", "h") if query.get(name)]
    if len(sides) == 1:
        raise Refused("a size has both sides: give w= and h=", 400)
    return View(form, query.get("style") or None, (sides[0], sides[1]) if sides else None, fit)


def _side(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 2 <= len(text) <= 4):
        raise Refused(f"{name}={text[:20]} is no side: give 16 to {_LONGEST_SIDE} pixels", 400)
    side = int(text)
    if not 16 <= side <= _LONGEST_SIDE:
        raise Refused(f"{name}={text} is no side: give 16 to {_LONGEST_SIDE} pixels", 400)
    return side
