"""The server itself: pages, API, cameras, overlays, and an end within two seconds."""

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from ssl import SSLContext
from typing import Any, Final

import aioice.ice
from aiohttp import web

from ..errors import StylizeError
from ..sources.live import LiveSource
from .control import Control
from .figures import prometheus
from .frames import FrameSockets
from .house import SERVER, House
from .limits import Limits
from .overlay import Broadcasts
from .peers import Peers, set_up_webrtc
from .room import Arrived
from .security import Door, Guard, Handler, is_loopback

_STATIC: Final = Path(__file__).with_name("static")
_FILES: Final = {
    "index.html": "text/html",
    "overlay.html": "text/html",
    "page.css": "text/css",
    "overlay.css": "text/css",
    "page.js": "text/javascript",
    "knobs.js": "text/javascript",
    "link.js": "text/javascript",
    "session.js": "text/javascript",
    "overlay.js": "text/javascript",
}
"""What pages are made of: nothing else of the folder is ever sent."""
_CLOSE_S: Final = 1.0


@dataclass(frozen=True)
class Address:
    """Where to listen, and who may come in."""

    host: str
    port: int
    token: str | None = None
    tls: SSLContext | None = None
    names: frozenset[str] = frozenset()
    """Names by which the server is asked for, beside this machine's."""


class WebServer:
    """Serves a house until `stop`. Runs in one event loop; the painting has its own thread."""

    def __init__(
        self,
        house: House,
        address: Address,
        say: Callable[[str], None] = lambda _: None,
        *,
        masks: bool = False,
    ) -> None:
        self._house, self._address, self._say = house, address, say
        limits = house.limits
        self._guard = Guard(address.token, address.names, limits, secure=address.tls is not None)
        self._peers = Peers(house, say)
        self._sockets = FrameSockets(house)
        self._broadcasts = Broadcasts(house)
        self._control = Control(house, self._guard, self._end_peer, masks=masks)
        self._door: Door | None = None
        self._stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self.port = address.port

    async def start(self) -> None:
        """Listen. Raises `StylizeError`."""
        address, limits = self._address, self._house.limits
        set_up_webrtc(loopback_only=is_loopback(address.host))
        runner = web.AppRunner(
            self._app(limits),
            access_log=None,
            keepalive_timeout=limits.head_s,
            lingering_time=_CLOSE_S,
            shutdown_timeout=_CLOSE_S / 2,
            handler_cancellation=True,
        )
        await runner.setup()
        self._runner = runner
        server: Any = runner.server
        self._door = Door(server, limits)
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(
                self._door, address.host, address.port, ssl=address.tls, backlog=128
            )
        except (OSError, OverflowError) as error:
            await runner.cleanup()
            reason = getattr(error, "strerror", None) or str(error)
            raise StylizeError(
                f"{address.host}:{address.port} can't be listened on: {reason}; give another "
                "--port or --host"
            ) from error
        self.port = self._listener.sockets[0].getsockname()[1]

    async def run(self) -> None:
        """Serve until `stop`."""
        await self._stopping.wait()

    def stop(self) -> None:
        """End soon; in the loop's thread."""
        self._stopping.set()

    async def close(self) -> None:
        """Let everybody go, and listen no more."""
        if self._listener:
            self._listener.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await asyncio.gather(
                    self._peers.close(), self._sockets.close(), self._control.close()
                )
        self._broadcasts.close()
        if self._runner:
            await self._runner.cleanup()

    # --- what is served

    def _app(self, limits: Limits) -> web.Application:
        app = web.Application(middlewares=[self._guard.middleware()], client_max_size=limits.body)
        app.on_response_prepare.append(self._guard.add_headers)
        app.add_routes(
            [
                web.get("/", _file("index.html")),
                web.get("/overlay", _file("overlay.html")),
                *(web.get(f"/static/{name}", _file(name)) for name in _FILES),
                _endless("/overlay.webp", partial(self._broadcasts.serve, form="webp")),
                _endless("/overlay.jpg", partial(self._broadcasts.serve, form="jpeg")),
                _endless("/feed.mjpg", partial(self._broadcasts.serve, form="jpeg")),
                web.get("/metrics", self._metrics),
                web.post("/api/offer", self._offer),
                web.get("/api/frames", self._sockets.serve),
                *self._control.routes(),
            ]
        )
        return app

    async def _offer(self, request: web.Request) -> web.Response:
        content = await self._control.read_json(request, 2 * self._house.limits.description)
        stream, sdp = await self._peers.answer(str(content.get("sdp", "")))
        return web.json_response({"stream": stream, "sdp": sdp, "type": "answer"})

    async def _metrics(self, _: web.Request) -> web.Response:
        counts = {
            "peers": self._peers.count(),
            "viewers": self._broadcasts.count(),
            "connections": self._door.open if self._door else 0,
            "requests_refused": self._guard.refused,
        }
        return web.Response(text=prometheus(self._house, counts), content_type="text/plain")

    async def _end_peer(self, name: str) -> bool:
        return self._peers.end(name) or await self._sockets.end(name)


def _endless(path: str, handler: Any) -> web.RouteDef:
    """A path whose answer never ends, so that nobody can ask for its head alone."""
    return web.get(path, handler, allow_head=False)


def _file(name: str) -> Handler:
    """Sends one file of the pages."""

    async def send(_: web.Request) -> web.Response:
        body = (_STATIC / name).read_bytes()
        return web.Response(body=body, content_type=_FILES[name], charset="utf-8")

    return send


class Feeder:
    """Brings the server's own source on stage, from a thread of its own."""

    def __init__(self, source: LiveSource, house: House, say: Callable[[str], None]) -> None:
        """Raises what masks raise."""
        self._source, self._house, self._say = source, house, say
        self._stream = house.open(SERVER)
        self._thread = threading.Thread(target=self._run, name="stylize-capture", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; a source that hangs is left behind."""
        self._source.stop()
        self._thread.join(_CLOSE_S)
        if not self._thread.is_alive():
            self._source.close()

    def _run(self) -> None:
        try:
            for captured in self._source:
                pixels = captured.frame.pixels
                arrived = Arrived(
                    lambda pixels=pixels: pixels,  # type: ignore[misc]
                    captured.frame.pts,
                    time.monotonic(),
                )
                self._house.put(self._stream, arrived)
            self._say(f"{self._source.name} ended")
        except StylizeError as error:
            self._say(str(error))
        self._house.close(self._stream, "the source has ended")


async def serve(server: WebServer, started: Callable[[], None] = lambda: None) -> list[int]:
    """Serve until a signal, or `WebServer.stop`; the signals that came. Raises `StylizeError`."""
    told: list[int] = []
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        told.append(number)
        server.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        # only the main thread of a Unix has them; elsewhere Ctrl-C comes as an exception
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop, number)
    try:
        await server.start()
        started()
        await server.run()
    finally:
        await server.close()
    return told


def own_addresses(host: str) -> list[str]:
    """The addresses at which a server on `host` can be reached, to be printed."""
    if host not in ("0.0.0.0", "::"):
        return [host]
    found = aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=False)
    return sorted(found) or [host]
