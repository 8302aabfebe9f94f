"""A server with a token, and what those who know it ask: what tests of attacks share."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from browser import write_turned
from web_tools import Running, running

from stylize_video.realtime.web.limits import Limits

SOURCE = "test:96x64@60"
TOKEN = "let-me-in-and-nobody-else"


def one_look(folder: Path) -> dict[str, Path]:
    """A style that exchanges colours."""
    return {"swap": write_turned(folder / "swap.onnx", (2, 1, 0))}


@contextlib.contextmanager
def impatient(looks: dict[str, Path]) -> Iterator[Running]:
    """A server with a token that paints a test picture, and is impatient."""
    limits = Limits(
        peers=4, connections=40, requests=1e6, burst=1_000_000, body=1 << 16, head_s=1.0,
        body_s=1.0, connect_s=1.0, idle_s=2.0, write_s=2.0,
    )  # fmt: skip
    with running(looks, limits, token=TOKEN, source=SOURCE) as made:
        yield made


@contextlib.contextmanager
def painting_goes_on(server: Running) -> Iterator[None]:
    """Whatever is done in the block, the server's own picture must go on."""
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


def head(server: Running, line: str, *more: str) -> bytes:
    lines = [line, f"Host: 127.0.0.1:{server.server.port}", f"Authorization: Bearer {TOKEN}", *more]
    return "\r\n".join([*lines, "", ""]).encode()
