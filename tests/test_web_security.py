"""Attacks on the server of `stylize serve`: they are refused, and the others keep being painted."""

import asyncio
import contextlib
import gzip
import json
import os
import random
import socket
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pylibsrtp
import pytest
from browser import serving, write_turned
from web_tools import Camera, Running, running

from stylize_video.realtime import cli
from stylize_video.realtime.web.limits import Limits
from stylize_video.realtime.web.security import HEADERS, is_loopback

SOURCE = "test:96x64@60"
TOKEN = "let-me-in-and-nobody-else"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {"swap": write_turned(tmp_path_factory.mktemp("looks") / "swap.onnx", (2, 1, 0))}


@pytest.fixture(scope="module")
def server(looks: dict[str, Path]) -> Iterator[Running]:
    """A server with a token that paints a test picture, and is impatient."""
    limits = Limits(
        peers=4, connections=40, requests=1e6, burst=1_000_000, body=1 << 16, head_s=1.0,
        body_s=1.0, connect_s=1.0, idle_s=2.0, write_s=2.0,
    )  # fmt: skip
    with running(looks, limits, token=TOKEN, source=SOURCE) as made:
        yield made


@pytest.fixture(autouse=True)
def others_keep_being_painted(server: Running) -> Iterator[None]:
    """Whatever a test does, the server's own picture goes on."""
    end = time.monotonic() + 20
    while server.house.streams()[1:]:  # what the test before left
        assert time.monotonic() < end
        time.sleep(0.02)
    yield
    stream = server.house.find("stage")
    frames, end = stream.frames, time.monotonic() + 20
    while stream.frames < frames + 2:
        assert time.monotonic() < end, "painting has stopped"
        time.sleep(0.02)


def status(
    server: Running, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> int:
    """The status of an answer to somebody with the token."""
    given = {"Authorization": f"Bearer {TOKEN}"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return server.ask(path, method, body, given)[0]


# --- the token

GUARDED = [
    "/api/about", "/api/styles", "/api/streams", "/api/streams/stage/snapshot", "/metrics",
    "/feed.mjpg", "/overlay.webp", "/overlay.jpg", "/api/control", "/api/frames",
    "/api/openapi.json", "/nothing", "/static", "/static/../api/about", "//api/about",
]  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN} "[:-2]},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer \xe9"},
        {"Cookie": f"stylize={TOKEN}"},
        {"Cookie": "stylize="},
    ],
)
def test_without_the_token_nothing(server: Running, given: dict[str, str]) -> None:
    for path in GUARDED:
        code, data, headers = server.ask(path, headers=given)
        assert code == 401, path
        assert "token" in json.loads(data)["error"]
        assert headers["WWW-Authenticate"] == "Bearer"


def test_the_pages_themselves_hold_no_secret(server: Running) -> None:
    for path in ("/", "/overlay", "/static/page.js", "/static/page.css"):
        code, data, headers = server.ask(path)
        assert code == 200
        assert TOKEN.encode() not in data
        for name, value in HEADERS.items():
            assert headers[name] == value
    assert "'unsafe" not in HEADERS["Content-Security-Policy"]


def test_the_token_gives_a_cookie_that_is_not_the_token(server: Running) -> None:
    def enter(token: str) -> tuple[int, dict[str, str]]:
        body = json.dumps({"token": token}).encode()
        code, _, headers = server.ask("/api/session", "POST", body)
        return code, headers

    assert enter("wrong")[0] == 401
    code, headers = enter(TOKEN)
    assert code == 200
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    pair = {"Cookie": cookie.partition(";")[0]}
    assert server.ask("/api/about", headers=pair)[0] == 200
    # players that can do nothing else may send it in the address, but only to look
    assert server.ask(f"/api/about?token={TOKEN}")[0] == 200
    assert server.ask(f"/api/streams/stage/knobs?token={TOKEN}", "PATCH", b"{}")[0] == 401


# --- other pages


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[", "localhost@evil"]
)
def test_names_that_are_not_ours(server: Running, host: str) -> None:
    assert status(server, "/api/about", Host=host) == 403
    assert status(server, "/", Host=host) == 403


def test_names_that_are_ours(server: Running) -> None:
    for host in ("localhost", "127.0.0.1:80", "[::1]:8080", "192.0.2.7", socket.gethostname()):
        assert status(server, "/api/about", Host=host) == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1", "https://127.0.0.1:{port}", ""]
)
def test_other_origins(server: Running, origin: str) -> None:
    origin = origin.format(port=server.server.port)
    body = b'{"strength": 0.1}'
    path = "/api/streams/stage/knobs"
    assert status(server, path, "PATCH", body, Origin=origin) == 403
    assert status(server, "/api/control", Origin=origin) == 403
    assert server.house.find("stage").knobs.strength == 1.0


def test_our_own_origin(server: Running) -> None:
    path = "/api/streams/stage/knobs"
    assert status(server, path, "PATCH", b'{"strength": 1.0}', Origin=server.url) == 200


def test_what_other_pages_embed(server: Running) -> None:
    for site in ("cross-site", "same-site", "anything"):
        assert status(server, "/feed.mjpg", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors") == 403
        assert status(server, "/api/about", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate") == 403
        assert status(server, "/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate") == 200
    assert status(server, "/api/about", Sec_Fetch_Site="same-origin") == 200


# --- paths


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py",
        "/static/%2e%2e%2f%2e%2e%2fpyproject.toml", "/static//etc/passwd", "/static/",
        "/static/page.js%00.html", "/static/..\\server.py", "/overlay/../api/about/..",
        "/api/styles/..%2f..%2fpyproject.toml/preview", "/api/styles/%2e%2e/preview",
        "/api/styles/%2fetc%2fpasswd/preview", "/api/styles/swap%00/preview",
        "/api/streams/..%2f..%2fabout/knobs",
    ],
)  # fmt: skip
def test_no_path_leads_out(server: Running, path: str) -> None:
    code, data, _ = server.ask(path, headers={"Authorization": f"Bearer {TOKEN}"})
    assert code == 404
    assert set(json.loads(data)) == {"error"}


# --- bodies


def test_bodies_that_are_too_long(server: Running) -> None:
    path = "/api/streams/stage/knobs"
    assert status(server, path, "PATCH", b" " * (1 << 15)) == 413
    assert status(server, "/api/offer", "POST", b" " * (1 << 18)) == 413
    jpeg = {"Content_Type": "image/jpeg"}
    assert status(server, "/api/paintings", "POST", b"\xff\xd8" + bytes(1 << 17), **jpeg) == 413
    squeezed = gzip.compress(bytes(50_000_000))  # 49 kB that unpack to 50 MB
    assert len(squeezed) < server.house.limits.body
    found = status(server, "/api/paintings", "POST", squeezed, Content_Encoding="gzip", **jpeg)
    assert found in (400, 413)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[" * 10_000, b"\xff\xfe", b"null", b"[]", b'"x"', b"NaN", b'{"strength": NaN}',
     b'{"strength": 1e999}', b'{"style": {}}', b'{"mix": {"swap": -1}}', b'{"mix": [[]]}',
     b'{"style": 99999999999999999999}', b'{"mask": []}', b'{"divider": "1"}',
     b'{"strength": 1' + b"0" * 400 + b"}", b'{"style": 1' + b"0" * 400 + b"}"],
)  # fmt: skip
def test_bodies_that_make_no_sense(server: Running, body: bytes) -> None:
    path = "/api/streams/stage/knobs"
    assert status(server, path, "PATCH", body, Content_Type="application/json") == 400


def test_bodies_of_another_kind(server: Running) -> None:
    # what a form of another page could send without asking first
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        path = "/api/streams/stage/knobs"
        assert status(server, path, "PATCH", b'{"strength": 0.1}', Content_Type=kind) == 415


def talk(server: Running, sent: bytes, seconds: float = 20.0) -> bytes:
    """What comes back for raw bytes, until the server closes."""
    with socket.create_connection(("127.0.0.1", server.server.port), timeout=seconds) as raw:
        raw.sendall(sent)
        found = b""
        with contextlib.suppress(ConnectionError):
            while chunk := raw.recv(65536):
                found += chunk
        return found


def head(server: Running, line: str, *more: str) -> bytes:
    lines = [line, f"Host: 127.0.0.1:{server.server.port}", f"Authorization: Bearer {TOKEN}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def test_bodies_that_never_arrive(server: Running) -> None:
    begun = head(
        server, "POST /api/paintings HTTP/1.1", "Content-Type: image/png", "Content-Length: 5000"
    )
    assert talk(server, begun + b"\x89PNG").startswith(b"HTTP/1.1 408")


def test_requests_that_are_none(server: Running) -> None:
    assert b" 400 " in talk(server, b"\x16\x03\x01 not http at all\r\n\r\n")[:20]
    assert b" 400 " in talk(server, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")[:20]
    long = head(server, f"GET /{'a' * 20_000} HTTP/1.1")
    assert b" 400 " in talk(server, long)[:20]


# --- pictures


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that says it is so large, with data that does not care."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        (png(60_000, 60_000, zlib.compress(bytes(1_000_000))), 413),
        (png(2**31 - 1, 2**31 - 1), 413),
        (png(0, 0), 413),
        (png(50, 50), 415),
        (png(50, 50, b"junk"), 415),
        (b"", 415),
        (b"GIF89a" + bytes(100), 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
        (b"\xff\xd8\xff\xff\xff\xff\xff", 415),
        (b"\xff\xd8\xff\xe0\x00\x00" * 50, 415),
        (b"\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00", 413),
        (b"RIFF\x00\x00\x00\x00WEBPVP8X" + bytes(8) + b"\xff" * 10, 413),
        (b"RIFF\x00\x00\x00\x00WEBPVP8L" + bytes(20), 413),
    ],
)
def test_pictures_that_are_none_or_bombs(server: Running, picture: bytes, code: int) -> None:
    for kind in ("image/png", "image/jpeg", "image/webp"):
        assert status(server, "/api/paintings", "POST", picture, Content_Type=kind) == code
    assert status(server, "/api/paintings", "POST", picture, Content_Type="image/gif") == 415

    async def by_socket() -> str:
        given = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(headers=given) as session,
            session.ws_connect(server.url + "/api/frames") as link,
        ):
            await link.receive_json()
            await link.send_bytes(picture)
            return str((await asyncio.wait_for(link.receive_json(), 20))["error"])

    assert "picture" in asyncio.run(by_socket())


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


# --- the command


@pytest.mark.slow
def test_another_address_demands_a_token(identity: Path, tmp_path: Path) -> None:
    shared = ("--style", str(identity), "--more-styles", str(identity), "--temporal", "off")
    given = {**os.environ, "STYLIZE_TOKEN": TOKEN}
    with serving("--host", "0.0.0.0", *shared) as made:
        assert len(made.token) >= 32
        assert sum(made.token in line for line in made.said) == 2  # the page and the overlay
    with serving(*shared, env=given) as made:
        assert made.token == TOKEN
        assert made.end() == 130
        assert made.said[-1] == "stopped"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cert", "a.pem"], "give both --cert and --key"),
        (["--cert", "a.pem", "--key", "b.pem"], "is no certificate"),
        (["--host", "192.0.2.77"], "can't be listened on"),
        (["--source", "nowhere"], "is no live source"),
        (["--style", "any"], "paints like any painting"),
    ],
)
def test_the_command_says_what_can_not_work(
    arguments: list[str], said: str, identity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--style" not in arguments:
        arguments = [*arguments, "--style", str(identity), "--more-styles", str(identity)]
    assert cli.run(["serve", "--port", "0", *arguments]) == 1
    assert said in capsys.readouterr().err.replace("\n", " ")


def test_without_the_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "aiortc", None)
    assert cli.run(["serve"]) == 1
    assert "pip install 'stylize-video[web]'" in capsys.readouterr().err.replace("\n", " ")


def test_loopback() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.0.2.1", "evil.example"))
