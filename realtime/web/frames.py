"""Cameras of browsers where WebRTC can't connect: JPEGs by WebSocket, one answer for each.

The browser sends the next picture when the painted one is back, so nothing queues up on the way.
"""

import asyncio
import time
from fractions import Fraction
from typing import Any

from aiohttp import WSMsgType, web

from .house import House
from .limits import Refused
from .loops import tell
from .pictures import decode, jpeg
from .room import Arrived, Painted


class FrameSockets:
    """Serves such sockets."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._open: dict[str, web.WebSocketResponse] = {}

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One browser, until it leaves. Raises `Refused`."""
        stream = self._house.open()
        socket = web.WebSocketResponse(max_msg_size=self._house.limits.body, heartbeat=10)
        loop = asyncio.get_running_loop()
        results: asyncio.Queue[Painted | str] = asyncio.Queue(2)
        known = stream.on_painted

        def put(result: Painted | str) -> None:
            if not results.full():
                results.put_nowait(result)

        def painted(result: Painted) -> None:
            tell(loop, put, result)
            known(result)

        stream.on_painted = painted

        def failed(reason: str) -> None:
            tell(loop, put, reason)

        stream.on_failed = failed
        try:
            await socket.prepare(request)
            self._open[stream.name] = socket
            await socket.send_json({"stream": stream.name})
            async with asyncio.timeout(self._house.limits.idle_s) as waiting:
                async for message in socket:
                    if message.type is not WSMsgType.BINARY:
                        await self._refuse(socket, "send pictures")
                        break
                    data: bytes = message.data
                    try:
                        pixels = await asyncio.to_thread(decode, data, self._house.limits.pixels)
                    except Refused as error:
                        await self._refuse(socket, str(error))
                        break
                    now = time.monotonic()
                    pts = Fraction(round(now * 90000), 90000)
                    self._house.put(stream, Arrived(lambda pixels=pixels: pixels, pts, now))  # type: ignore[misc]
                    result = await results.get()
                    if isinstance(result, str):
                        await self._refuse(socket, result)
                        break
                    await socket.send_bytes(
                        await asyncio.to_thread(jpeg, result.shown.frame.pixels)
                    )
                    waiting.reschedule(loop.time() + self._house.limits.idle_s)
        except TimeoutError:
            await self._refuse(socket, "no picture came for too long")
        except ConnectionError:
            pass  # it left while something was sent
        finally:
            self._open.pop(stream.name, None)
            self._house.close(stream, "the connection was closed")
        return socket

    @staticmethod
    async def _refuse(socket: web.WebSocketResponse, reason: str) -> None:
        if not socket.closed:
            await socket.send_json({"error": reason})
            await socket.close(code=1008, message=reason.encode()[:120])

    async def end(self, name: str) -> bool:
        """Close the socket of a stream; whether there was one."""
        socket = self._open.get(name)
        if socket:
            await self._refuse(socket, "it was closed from outside")
        return socket is not None

    async def close(self) -> None:
        """Close all."""
        sockets: list[Any] = list(self._open.values())
        await asyncio.gather(*(s.close(code=1001, message=b"the server ends") for s in sockets))
