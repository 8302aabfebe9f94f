"""The control API: knobs, styles, streams and snapshots, by HTTP and WebSocket."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from importlib import metadata
from typing import Any, Final

from aiohttp import WSMsgType, web

from ..errors import StylizeError
from ..knobs import KNOBS
from ..sinks.images import encode_image
from .house import PEER, House
from .limits import Refused
from .loops import tell
from .openapi import describe
from .pictures import decode
from .room import Stream
from .security import WRONG_TOKEN, Guard, read_body

_JSON: Final = "application/json"
_PICTURES: Final = ("image/png", "image/jpeg", "image/webp")
_STATS_S: Final = 1.0
_PAUSE_S: Final = 0.005
"""After each message of a socket."""
End = Callable[[str], Awaitable[bool]]


class Control:
    """The handlers of the API."""

    def __init__(self, house: House, guard: Guard, end: End, *, masks: bool) -> None:
        """`end` closes the sender of a stream by its name and says whether there was one; `masks`
        says whether the run has any.
        """
        self._house, self._guard, self._end, self._masks = house, guard, end, masks
        self._sockets: set[web.WebSocketResponse] = set()

    def routes(self) -> list[web.RouteDef]:
        """All paths."""
        return [
            web.get("/api/about", self._about),
            web.get("/api/openapi.json", self._document),
            web.post("/api/session", self._session),
            web.get("/api/styles", self._styles),
            web.get("/api/styles/{style}/preview", self._preview),
            web.get("/api/streams", self._streams),
            web.get("/api/streams/{stream}", self._stream),
            web.delete("/api/streams/{stream}", self._close_stream),
            web.get("/api/streams/{stream}/knobs", self._knobs),
            web.patch("/api/streams/{stream}/knobs", self._turn),
            web.get("/api/streams/{stream}/snapshot", self._snapshot),
            web.post("/api/paintings", self._painting),
            web.get("/api/control", self._socket),
        ]

    async def read_json(self, request: web.Request, most: int) -> dict[str, Any]:
        """The JSON object of a body. Raises `Refused`."""
        if request.content_type != _JSON:
            raise Refused(f"send {_JSON}", 415)
        return parsed(await read_body(request, most, self._house.limits.body_s))

    async def _about(self, _: web.Request) -> web.Response:
        knobs = {
            name: {
                "kind": knob.kind,
                "help": knob.help,
                "low": knob.low,
                "high": knob.high,
                "choices": list(knob.choices),
            }
            for name, knob in KNOBS.items()
        }
        return web.json_response(
            {
                "version": metadata.version("stylize-video"),
                "paintings": self._house.gallery.takes_paintings,
                "masks": self._masks,
                "max_pixels": self._house.limits.pixels,
                "knobs": knobs,
            }
        )

    async def _document(self, _: web.Request) -> web.Response:
        gallery = self._house.gallery
        return web.json_response(describe(gallery.names, len(gallery.shares)))

    async def _session(self, request: web.Request) -> web.Response:
        """A token for a cookie, so that pages need not send it again."""
        content = await self.read_json(request, 1024)
        if not self._guard.right(str(content.get("token", ""))):
            raise Refused(WRONG_TOKEN, 401)
        response = web.json_response({})
        self._guard.set_cookie(response)
        return response

    async def _styles(self, _: web.Request) -> web.Response:
        return web.json_response([entry.as_json() for entry in self._house.gallery.entries()])

    async def _preview(self, request: web.Request) -> web.Response:
        preview = self._house.gallery.preview(request.match_info["style"])
        if preview is None:
            raise Refused("there is no such preview", 404)
        return web.Response(
            body=preview,
            content_type="image/jpeg",
            headers={"Cache-Control": "private, max-age=3600"},
        )

    async def _streams(self, _: web.Request) -> web.Response:
        return web.json_response([self._described(stream) for stream in self._house.streams()])

    async def _stream(self, request: web.Request) -> web.Response:
        return web.json_response(self._described(self._house.find(request.match_info["stream"])))

    async def _close_stream(self, request: web.Request) -> web.Response:
        stream = self._house.find(request.match_info["stream"])
        if stream.kind != PEER:
            raise Refused("the server's own source runs as long as the server", 409)
        await self._end(stream.name)
        return web.Response(status=204)

    async def _knobs(self, request: web.Request) -> web.Response:
        knobs = self._house.knobs_of(request.match_info["stream"])
        return web.json_response(self._house.described(knobs))

    async def _turn(self, request: web.Request) -> web.Response:
        name = request.match_info["stream"]
        self._house.knobs_of(name)
        changes = await self.read_json(request, self._house.limits.message)
        return web.json_response(self._turned(name, changes))

    def _turned(self, name: str, changes: Any) -> dict[str, Any]:
        if not isinstance(changes, dict) or not changes:
            raise Refused("name the knobs to turn and their values", 400)
        return self._house.described(self._house.turn(name, changes))

    async def _snapshot(self, request: web.Request) -> web.Response:
        last = self._house.find(request.match_info["stream"]).last
        if last is None:
            raise Refused("nothing has been painted yet", 409)
        data = await asyncio.to_thread(encode_image, last.shown.frame.pixels, ".png")
        return web.Response(body=data, content_type="image/png")

    async def _painting(self, request: web.Request) -> web.Response:
        if request.content_type not in _PICTURES:
            raise Refused(f"send one of {', '.join(_PICTURES)}", 415)
        limits = self._house.limits
        data = await read_body(request, limits.body, limits.body_s)
        painting = await asyncio.to_thread(decode, data, limits.picture_pixels)
        name = await asyncio.to_thread(self._house.gallery.add, painting)
        return web.json_response({"style": name}, status=201)

    # --- the same by WebSocket

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        if len(self._sockets) >= self._house.limits.sockets:
            raise Refused("too many sockets are open already", 503)
        socket = web.WebSocketResponse(max_msg_size=self._house.limits.message, heartbeat=10)
        self._sockets.add(socket)
        loop = asyncio.get_running_loop()
        news: asyncio.Queue[dict[str, Any]] = asyncio.Queue(64)

        def note(message: dict[str, Any]) -> None:
            if not news.full():  # who does not listen misses what is past
                news.put_nowait(message)

        unlisten = self._house.listen(lambda news: tell(loop, note, news))
        tasks = [loop.create_task(t) for t in (self._send(socket, news), self._count(note))]
        try:
            await socket.prepare(request)
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    note(self._answer(message.data))
                    await asyncio.sleep(_PAUSE_S)  # who sends more waits in the network
        except ConnectionError:
            pass
        finally:
            unlisten()
            self._sockets.discard(socket)
            for task in tasks:
                task.cancel()
        return socket

    def _answer(self, text: str) -> dict[str, Any]:
        try:
            content = parsed(text.encode())
            name = str(content.get("stream", "stage"))
            answer = {"stream": name, "knobs": self._turned(name, content.get("set"))}
        except StylizeError as error:
            answer = {"error": str(error)}
        return answer

    @staticmethod
    async def _send(socket: web.WebSocketResponse, news: asyncio.Queue[dict[str, Any]]) -> None:
        while True:
            message = await news.get()
            try:
                await socket.send_json(message)
            except (ConnectionError, RuntimeError):
                return  # it has left

    async def _count(self, note: Callable[[dict[str, Any]], None]) -> None:
        while True:
            stage = self._house.on_stage()
            for stream in self._house.streams():
                shown = {"stream": stream.name, "stage": stream is stage}
                note({**shown, "stats": stream.stats()})
            await asyncio.sleep(_STATS_S)

    async def close(self) -> None:
        """Let everybody go."""
        await asyncio.gather(
            *(s.close(code=1001, message=b"the server ends") for s in list(self._sockets))
        )

    def _described(self, stream: Stream) -> dict[str, Any]:
        return {
            "name": stream.name,
            "kind": stream.kind,
            "stage": stream is self._house.on_stage(),
            "knobs": self._house.described(stream.knobs),
            "stats": stream.stats(),
        }


def parsed(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises `Refused`."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Refused(f"this is no JSON: {str(error)[:100]}", 400) from None
    if not isinstance(content, dict):
        raise Refused("send a JSON object", 400)
    return content
