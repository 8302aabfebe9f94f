"""Clients of `stylize serve` that misbehave: the others keep being painted."""

import asyncio
import contextlib
import json
import random
import socket
import time
from pathlib import Path
from typing import Any

import aiohttp
import pylibsrtp
import pytest
from security_tools import TOKEN, head, status
from web_tools import Camera, Running, running

from stylize_video.realtime.web.limits import Limits

JSON = {"Content-Type": "application/json"}


# --- many, and slow


def test_hundreds_of_connections_that_ask_nothing(server: Running) -> None:
    raws = []
    for number in range(300):
        raw = socket.create_connection(("127.0.0.1", server.server.port), timeout=20)
        raws.append(raw)
        if number % 3 == 0:
            with contextlib.suppress(ConnectionError):
                raw.sendall(b"GET / HTTP/1.1\r\nHost: 127")
    end = time.monotonic() + 20
    try:
        while True:  # those who wait are put out, and there is room again
            with contextlib.suppress(OSError):
                if status(server, "/api/about") == 200:
                    break
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        for raw in raws:
            raw.close()


def test_hundreds_of_offers_that_never_connect(server: Running) -> None:
    async def work() -> None:
        camera = Camera(server)
        content = json.dumps({"sdp": await camera.offer()}).encode()
        await camera.close()
        codes = [status(server, "/api/offer", "POST", content, **kind) for _ in range(150)]
        assert codes[:4] == [200] * 4
        assert set(codes) == {200, 503}
        end = time.monotonic() + 20
        while server.house.streams()[1:]:  # all of them are given up
            assert time.monotonic() < end
            await asyncio.sleep(0.05)

    kind = {"Content_Type": "application/json"}
    asyncio.run(work())


@pytest.mark.parametrize(
    "sdp",
    ["", "junk", "v=0", "m=video", 7, None, "m=video " * 9000,
     "v=0\r\no=- 0 0 IN IP4 0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n",
     "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video x y z\r\na=mid:0\r\n"],
)  # fmt: skip
def test_offers_that_make_no_sense(server: Running, sdp: Any) -> None:
    body = json.dumps({"sdp": sdp}).encode()
    assert status(server, "/api/offer", "POST", body, Content_Type="application/json") == 400


def test_offers_of_more_than_one_video(server: Running) -> None:
    async def work() -> None:
        for kind in ("audio", "video"):
            camera = Camera(server)
            camera.connection.addTransceiver(kind)
            content = json.dumps({"sdp": await camera.offer()}).encode()
            await camera.close()
            code = status(server, "/api/offer", "POST", content, Content_Type="application/json")
            assert code == 400

    asyncio.run(work())


def test_offers_with_damage(server: Running) -> None:
    async def offered() -> str:
        camera = Camera(server)
        sdp = await camera.offer()
        await camera.close()
        return sdp

    lines = asyncio.run(offered()).splitlines()
    chance = random.Random(0)
    for _ in range(60):
        damaged = list(lines)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(damaged))
            line = damaged[at]
            cut = chance.randrange(len(line) + 1)
            damaged[at] = chance.choice(
                [line[:cut], line[:cut] + "\xff99999999999" + line[cut:], "", line * 3]
            )
        body = json.dumps({"sdp": "\r\n".join(damaged) + "\r\n"}).encode()
        code = status(server, "/api/offer", "POST", body, Content_Type="application/json")
        assert code in (200, 400, 503)


# --- peers that misbehave


class Tokened(Camera):
    """A peer that knows the token."""

    def __init__(self, server: Running, **more: Any) -> None:
        super().__init__(server, **more)
        ask = server.ask

        def asked(path: str, method: str = "GET", body: bytes | None = None, _: Any = None) -> Any:
            return ask(path, method, body, {"Authorization": f"Bearer {TOKEN}", **JSON})

        class WithToken:
            ask = staticmethod(asked)

        self.server = WithToken()  # type: ignore[assignment]


async def gone(server: Running) -> None:
    end = time.monotonic() + 20
    while server.house.streams()[1:]:
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


def test_a_peer_that_stalls_gives_its_place_up(server: Running) -> None:
    async def work() -> None:
        camera = Tokened(server)
        try:
            await camera.connect()
            await camera.frame()
            camera.track.stalled = True
            await gone(server)
            assert any("no frame came for 2 s" in line for line in server.said)
        finally:
            await camera.close()

    asyncio.run(work())


def test_a_peer_that_vanishes(server: Running) -> None:
    async def work() -> None:
        camera = Tokened(server)
        await camera.connect()
        await camera.frame()
        # no good-bye: its sockets are dead from one moment to the next
        transport = camera.connection.getSenders()[0].transport.transport
        for protocol in transport._connection._protocols:
            protocol.transport.abort()
        await gone(server)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(camera.close(), 10)

    asyncio.run(work())


def test_a_peer_that_changes_size(server: Running) -> None:
    async def work() -> None:
        camera = Tokened(server)
        try:
            await camera.connect()
            for size in ((96, 64), (160, 120), (64, 96), (322, 182)):
                camera.track.size = size
                for _ in range(60):
                    frame = await camera.frame()
                    if (frame.width, frame.height) == size:
                        break
                assert (frame.width, frame.height) == size
            camera.track.size = (1920, 1080)
            await gone(server)
            assert any("frames of 1920x1080: 921600 pixels" in line for line in server.said)
        finally:
            await camera.close()

    asyncio.run(work())


def test_a_peer_that_sends_garbage(server: Running) -> None:
    async def work() -> None:
        camera, honest = Tokened(server), Tokened(server)
        try:
            await honest.connect()
            await camera.connect()
            await camera.frame()
            sender: Any = camera.connection.getSenders()[0]
            transport, chance = sender.transport, random.Random(1)
            encrypted, plain = transport._send_rtp, transport.transport._send

            async def garbled(packet: bytes) -> None:
                # a whole header, then payloads of any bytes, well encrypted
                await encrypted(packet[:12] + chance.randbytes(len(packet) - 12))
                with contextlib.suppress(pylibsrtp.Error):  # ours does not send what is so short
                    await encrypted(packet[: chance.randint(0, 20)] or b"\x80")
                await plain(b"\x80" + chance.randbytes(chance.randint(0, 200)))  # not encrypted
                await plain(chance.randbytes(chance.randint(1, 200)))

            transport._send_rtp = garbled
            for _ in range(30):
                await honest.frame()
            transport._send_rtp = encrypted
            for _ in range(5):
                await honest.frame()
        finally:
            await camera.close()
            await honest.close()

    asyncio.run(work())


@pytest.mark.slow
def test_a_viewer_that_takes_nothing(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.server.port), timeout=20) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        raw.sendall(head(server, "GET /overlay.jpg?w=1280&h=720 HTTP/1.1"))
        end = time.monotonic() + 30
        while not server.server._broadcasts.count():
            assert time.monotonic() < end
            time.sleep(0.02)
        while server.server._broadcasts.count():  # it is given up
            assert time.monotonic() < end
            time.sleep(0.05)


def test_who_asks_for_the_head_of_what_never_ends(server: Running) -> None:
    for path in ("/feed.mjpg", "/overlay.webp", "/overlay.jpg"):
        assert status(server, path, "HEAD") == 405


def test_sockets_of_junk(server: Running) -> None:
    async def work() -> None:
        given = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(headers=given) as session:
            for path in ("/api/control", "/api/frames"):
                async with session.ws_connect(server.url + path) as link:
                    await link.send_str("x" * 100_000)
                    while True:
                        message = await asyncio.wait_for(link.receive(), 20)
                        if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                            break

    asyncio.run(work())


def test_too_many_requests(looks: dict[str, Path]) -> None:
    with running(looks, Limits(requests=0.5, burst=20)) as made:
        codes = [made.ask("/api/about")[0] for _ in range(40)]
        assert codes[:19] == [200] * 19
        assert codes[-1] == 429
