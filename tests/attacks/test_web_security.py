"""Attacks on the server of `stylize serve` by what is asked and sent: they are refused."""

import asyncio
import contextlib
import gzip
import json
import os
import socket
import struct
import sys
import zlib
from pathlib import Path

import aiohttp
import pytest
from browser import serving
from security_tools import TOKEN, head, status
from web_tools import Running

from stylize_video.realtime import cli
from stylize_video.realtime.web.security import HEADERS, is_loopback

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
        (["--style", "any"], "paints like any painting: say which by --painting FILE, or leave"),
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
