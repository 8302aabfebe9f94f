"""Real components for tests of live runs: an X server, an RTMP server, pictures that tell when they
were drawn, and what a process holds open.
"""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylize_video.realtime.frame import Frame
from stylize_video.realtime.sources.live import LiveSource

BITS = 16
TICKS = 50
"""Counts a second of the clock that is burnt in."""
FRESH_S = 3.0
"""No queue may hold pictures for so long once it runs."""
SMALL = "test:96x64@50"
_NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")


def needs(program: str) -> str:
    """The path of a program; without it the test is skipped, or fails where all must be there."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found:
        return found
    reason = f"no program {program}: .ci/run says which packages bring it"
    if os.environ.get("STYLIZE_REQUIRE_TEST_DATA") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def now() -> int:
    """The clock that is burnt in, the same in all processes of this machine."""
    return int(time.monotonic() * TICKS) % (1 << BITS)


def age_s(count: int) -> float:
    """How long ago a picture with this count was drawn, in seconds."""
    return ((now() - count) % (1 << BITS)) / TICKS


def counted(count: int, size: tuple[int, int] = (320, 240)) -> np.ndarray:
    """A picture whose upper half shows the count, a bit a bar."""
    width, height = size
    picture = np.full((height, width, 3), (90, 120, 60), np.uint8)
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        picture[: height // 2, left:right] = 235 if count >> bit & 1 else 20
    return picture


def count_of(picture: np.ndarray) -> int:
    """The count that a picture shows."""
    height, width, _ = picture.shape
    count = 0
    for bit in range(BITS):
        middle = (2 * bit + 1) * width // (2 * BITS)
        bar = picture[height // 8 : height * 3 // 8, middle - 2 : middle + 3]
        count |= int(bar.mean() > 127) << bit
    return count


def rising(counts: list[int]) -> bool:
    """Whether counts never go back, over the clock's turn as well."""
    return all((b - a) % (1 << BITS) < 1 << (BITS - 1) for a, b in pairwise(counts))


def watched(source: LiveSource, frames: int) -> list[tuple[int, float]]:
    """Counts of so many frames or more, up to a fresh one, and how old each was when it came."""
    seen: list[tuple[int, float]] = []
    guard = threading.Timer(40, source.stop)
    guard.start()
    for captured in source:
        picture = captured.frame.pixels
        if picture[-20:].mean() < 60:
            continue  # the black picture that opens a connection
        seen.append((count_of(picture), age_s(count_of(picture))))
        # what came while a connection was looked into is old, and soon gone through
        if len(seen) >= frames and seen[-1][1] < FRESH_S:
            source.stop()
    guard.cancel()
    source.close()
    return seen


def in_order_and_fresh(seen: list[tuple[int, float]]) -> bool:
    counts = [count for count, _ in seen]
    return rising(counts) and len(set(counts)) > len(counts) / 3 and seen[-1][1] < FRESH_S


class Unpainted:
    """Gives back what it gets."""

    def push(self, frame: Frame) -> list[Frame]:
        return [replace(frame)]

    def finish(self) -> list[Frame]:
        return []

    def turn(self, strength: float, paintings: Sequence[float] = ()) -> float:
        return strength

    def remember(self) -> dict[str, Any]:
        return {}

    def recall(self, state: Any) -> None:
        pass

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


@contextmanager
def publishing(sink: Any, size: tuple[int, int] = (320, 240)) -> Iterator[None]:
    """Sends pictures of the clock to a sink for as long as the block runs."""
    over = threading.Event()

    def send() -> None:
        begun = time.monotonic()
        while not over.wait(0.04):
            pts = Fraction(round((time.monotonic() - begun) * 90000), 90000)
            sink.write(Frame(counted(now(), size), pts))
        sink.finish()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port nobody listens on."""
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def await_port(port: int) -> None:
    """Wait until somebody listens there."""
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"nobody listens on port {port}")


@contextmanager
def running(*command: str, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program for as long as the block runs."""
    process = subprocess.Popen(command, **more)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()


@contextmanager
def x_server(size: str = "640x480") -> Iterator[str]:
    """The name of a display of its own."""
    reading, writing = os.pipe()
    command = (
        needs("Xvfb"),
        "-displayfd",
        str(writing),
        "-screen",
        "0",
        f"{size}x24",
        "-noreset",
        "-nolisten",
        "tcp",
    )
    with running(*command, pass_fds=(writing,), stderr=subprocess.DEVNULL):
        os.close(writing)
        with os.fdopen(reading) as told:
            number = told.readline().strip()
        if not number:
            pytest.fail("Xvfb did not start")
        yield f":{number}"


@contextmanager
def rtmp_server(folder: Path) -> Iterator[str]:
    """The address of nginx with its rtmp module, its application ``live``."""
    nginx = needs("nginx")
    if not _NGINX_MODULE.is_file():
        needs("libnginx-mod-rtmp")
    port = free_port()
    (folder / "logs").mkdir(parents=True)
    (folder / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {folder}/pid; error_log {folder}/logs/error.log;
load_module {_NGINX_MODULE};
events {{ worker_connections 64; }}
rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; }} }} }}
""")
    command = (
        nginx,
        "-p",
        str(folder),
        "-e",
        str(folder / "logs/e.log"),
        "-c",
        str(folder / "nginx.conf"),
    )
    with running(*command, stderr=subprocess.DEVNULL):
        await_port(port)
        yield f"rtmp://127.0.0.1:{port}/live"


def open_files() -> set[str]:
    """What this process holds open, but for what comes and goes by itself."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        try:
            target = str(path.readlink())
        except OSError:
            continue
        if not target.startswith(("anon_inode", "/proc", "/dev/pts")):
            found.add(f"{path.name} {target}")
    return found


@contextmanager
def nothing_left() -> Iterator[None]:
    """No thread, file or child process of the block may be left when it is over."""
    threads, files = set(threading.enumerate()), open_files()
    children = set(_children())
    yield
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:  # what was told to end may take a moment
        more = set(threading.enumerate()) - threads
        if not more and not open_files() - files and not set(_children()) - children:
            return
        time.sleep(0.05)
    more = set(threading.enumerate()) - threads
    pytest.fail(f"left: {more}, {open_files() - files}, {set(_children()) - children}")


def _children() -> list[str]:
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return listed.read_text().split() if listed.is_file() else []
