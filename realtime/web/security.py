"""Who may ask what: addresses, tokens, origins and rates, looked at before anything is done.

- A name in the Host header that is not this machine's is refused: so no page can have its own name
  lead here (DNS rebinding). Numbers can't be rebound and always pass.
- A request that a page of another origin sent is refused, by Origin and Sec-Fetch-Site: so no page
  controls the server through its visitor's browser.
- Beyond this machine's own address, everything but the pages themselves needs the token.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from ..errors import StylizeError
from ..knobs import KnobError
from .limits import Limits, Refused

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
COOKIE: Final = "stylize"
WRONG_TOKEN: Final = "the token is missing or wrong: it was printed when the server began"
_CONTENT_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS: Final = {
    "Content-Security-Policy": _CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
_REMEMBERED: Final = 1024
"""Addresses whose rates are remembered."""


class Guard:
    """Looks at every request first."""

    def __init__(
        self, token: str | None, names: frozenset[str], limits: Limits, *, secure: bool
    ) -> None:
        """Without a `token`, none is asked for. `names` are hosts that requests may be for, beside
        numbers and this machine's own names.
        """
        self._token, self._limits = token, limits
        self._names = names | {"localhost", socket.gethostname().lower()}
        self._names |= {f"{socket.gethostname().lower()}.local"}
        self._scheme = "https" if secure else "http"
        self._rates: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self.refused = 0

    # --- the middleware

    def middleware(self) -> Any:
        """For aiohttp."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                self._check(request)
                response = await handler(request)
            except (Refused, KnobError) as error:
                status = error.status if isinstance(error, Refused) else 400
                response = failure(str(error), status)
                self.refused += 1
            except web.HTTPException as error:
                response = failure(error.reason, error.status)
                if "Allow" in error.headers:
                    response.headers["Allow"] = error.headers["Allow"]
            except StylizeError as error:
                response = failure(str(error), 500)
            return response

        return guarded

    @staticmethod
    async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
        """Give every answer its protective headers, streams too."""
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.pop("Server", None)

    def _check(self, request: web.Request) -> None:
        self._check_rate(request.remote or "")
        host = _host(request.headers.get("Host", ""))
        if host not in self._names and not _is_number(host):
            raise Refused(
                f"this server is not {host[:80] or 'without a name'}: open it by its address, or "
                "start it with --allow-host",
                403,
            )
        self._check_origin(request)
        if self._token is not None and not is_public(request.path) and not self._knows(request):
            raise Refused(WRONG_TOKEN, 401)

    def _check_rate(self, address: str) -> None:
        """A bucket of requests for each address, which refills."""
        now, most = time.monotonic(), float(self._limits.burst)
        left, then = self._rates.pop(address, (most, now))
        left = min(most, left + (now - then) * self._limits.requests)
        self._rates[address] = (max(0.0, left - 1), now)
        if len(self._rates) > _REMEMBERED:
            self._rates.popitem(last=False)
        if left < 1:
            raise Refused("too many requests: wait a moment", 429)

    def _check_origin(self, request: web.Request) -> None:
        origin = request.headers.get("Origin")
        ours = f"{self._scheme}://{request.headers.get('Host', '')}".lower()
        if origin is not None and origin.lower() != ours:
            raise Refused(f"requests from {origin[:80]} are not taken", 403)
        site = request.headers.get("Sec-Fetch-Site", "none")
        if site not in ("same-origin", "none"):
            opened = request.headers.get("Sec-Fetch-Mode") == "navigate"
            if not (opened and request.method == "GET" and is_public(request.path)):
                raise Refused("requests from other pages are not taken", 403)

    # --- the token

    def _knows(self, request: web.Request) -> bool:
        header = request.headers.get("Authorization", "")
        if header.startswith("Bearer "):
            return self.right(header.removeprefix("Bearer "))
        cookie = request.cookies.get(COOKIE)
        if cookie is not None:
            return _same(cookie, self.cookie)
        # for players that can do nothing else; the page takes it from behind the #, which is
        # never sent
        return request.method == "GET" and self.right(request.query.get("token", ""))

    def right(self, token: str) -> bool:
        """Whether this is the token; takes as long either way."""
        return self._token is None or _same(token, self._token)

    @property
    def cookie(self) -> str:
        """What the browser keeps in place of the token."""
        return hmac.new((self._token or "").encode(), b"stylize", hashlib.sha256).hexdigest()

    def set_cookie(self, response: web.Response) -> None:
        """Let the browser in from now on."""
        response.set_cookie(
            COOKIE, self.cookie, httponly=True, samesite="Strict", secure=self._scheme == "https"
        )


def is_public(path: str) -> bool:
    """Whether a path holds nothing but the pages themselves."""
    folder, _, name = path.rpartition("/")
    return path in ("/", "/overlay", "/api/session") or (folder == "/static" and name != "")


def failure(message: str, status: int) -> web.Response:
    """An answer that says what is wrong."""
    response = web.json_response({"error": message}, status=status)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status in (408, 413):
        response.force_close()
    return response


async def read_body(request: web.Request, most: int, seconds: float) -> bytes:
    """The whole body of a request. Raises `Refused` when it is too long or too slow."""
    if (request.content_length or 0) > most:
        raise Refused(f"the body has {request.content_length} bytes: {most} are taken", 413)
    data = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.content.iter_chunked(1 << 16):
                data += chunk
                if len(data) > most:
                    raise Refused(f"the body is too long: {most} bytes are taken", 413)
    except TimeoutError:
        raise Refused(f"the body did not arrive within {seconds:g} s", 408) from None
    return bytes(data)


def _same(given: str, known: str) -> bool:
    # headers may hold bytes that are no text
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), known.encode())


def _host(header: str) -> str:
    """The name of a Host header, without its port."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is this machine's own only."""
    if host == "localhost":
        return True
    return _is_number(host) and ipaddress.ip_address(host).is_loopback


class Door:
    """Counts connections and shuts out those too many.

    Those that never ask for anything whole are ended by aiohttp, after its keep-alive time.
    """

    def __init__(self, server: web.Server, limits: Limits) -> None:
        self._server, self._limits = server, limits
        self.open = 0

    def __call__(self) -> asyncio.BaseProtocol:
        """The protocol of a new connection."""
        door, handler = self, self._server()

        class Watched(asyncio.Protocol):
            """Passes everything on to aiohttp's handler once the connection is let in."""

            _in = False

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                assert isinstance(transport, asyncio.Transport)
                if door.open >= door._limits.connections:
                    transport.abort()
                    return
                door.open += 1
                self._in = True
                handler.connection_made(transport)

            def connection_lost(self, error: BaseException | None) -> None:
                if self._in:
                    door.open -= 1
                    handler.connection_lost(error)

            def data_received(self, data: bytes) -> None:
                if self._in:
                    handler.data_received(data)

            def eof_received(self) -> bool | None:
                return handler.eof_received() if self._in else None  # type: ignore[func-returns-value]

            def pause_writing(self) -> None:
                handler.pause_writing()

            def resume_writing(self) -> None:
                handler.resume_writing()

        return Watched()
