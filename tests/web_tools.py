"""A server in this process, and clients for it: what tests of the web share."""

import asyncio
import contextlib
import http.client
import json
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from av import VideoFrame
from browser import write_turned

from stylize_video.realtime import EngineRequest, find_style, load_engine
from stylize_video.realtime.catalogue import Style, all_styles
from stylize_video.realtime.engines.any_painting import Painting
from stylize_video.realtime.knobs import Knobs, parse_weights
from stylize_video.realtime.masks import Masker
from stylize_video.realtime.sources.live import LiveSource
from stylize_video.realtime.web.gallery import Gallery
from stylize_video.realtime.web.house import House
from stylize_video.realtime.web.limits import Limits
from stylize_video.realtime.web.networks import Networks
from stylize_video.realtime.web.room import Room
from stylize_video.realtime.web.server import Address, Feeder, WebServer, serve

SOURCE = "test:96x64@30"
THREADS = EngineRequest(engine="cpu", threads=1)


def two_looks(folder: Path) -> dict[str, Path]:
    """Two styles that exchange colours."""
    return {
        "swap": write_turned(folder / "swap.onnx", (2, 1, 0)),
        "roll": write_turned(folder / "roll.onnx", (1, 2, 0)),
    }


def until(what: Any, seconds: float = 30.0) -> Any:
    """What comes of it once it is true."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


@dataclass
class Running:
    """A server and the loop it runs in."""

    house: House
    server: WebServer
    loop: asyncio.AbstractEventLoop
    said: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def wait(self, work: Coroutine[Any, Any, Any], seconds: float = 30.0) -> Any:
        """Do something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an answer; the path is sent as it stands."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            given = {} if headers is None else dict(headers)
            if body is not None and "Content-Type" not in given:
                given["Content-Type"] = "application/json"
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def json(self, path: str, method: str = "GET", content: Any = None) -> Any:
        """The content of an answer that must be good."""
        body = None if content is None else json.dumps(content).encode()
        status, data, _ = self.ask(path, method, body)
        assert status in (200, 201), (status, data)
        return json.loads(data)


@contextlib.contextmanager
def running(
    styles: dict[str, Path],
    limits: Limits | None = None,
    *,
    token: str | None = None,
    source: str | None = None,
    masker: Masker | None = None,
    knobs: Knobs | None = None,
    paintings: Sequence[Painting] = (),
) -> Iterator[Running]:
    """A server with these ONNX files as styles, until the end of the block; `paintings` are for
    styles among them that take any.
    """
    limits = limits or Limits(requests=1e6, burst=1_000_000)
    found = {name: find_style(str(path)) for name, path in styles.items()}
    networks = Networks(_load, lambda: None, _load_any, paintings)
    any_style = next((style for style in all_styles() if style.encoder), None)
    shares = parse_weights([painting.weight for painting in paintings] or None, len(paintings))
    gallery = Gallery(found, networks, any_style, limits.paintings, shares)
    said: list[str] = []
    room = Room(said.append)
    house = House(
        room,
        gallery,
        limits,
        masker=lambda: masker,
        knobs=knobs or Knobs(),
        fade=0,
        say=said.append,
    )
    feeder = Feeder(LiveSource(source), house, said.append) if source else None
    started = threading.Event()
    made: list[Running] = []
    errors: list[BaseException] = []

    async def work() -> None:
        server = WebServer(house, Address("127.0.0.1", 0, token), said.append)
        made.append(Running(house, server, asyncio.get_running_loop(), said))
        await serve(server, started.set)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:  # noqa: BLE001 - raised in the test
            errors.append(error)
        started.set()

    thread = threading.Thread(target=run, name="web-server")
    thread.start()
    try:
        assert started.wait(30)
        assert not errors, errors
        yield made[0]
    finally:
        if thread.is_alive():
            made[0].loop.call_soon_threadsafe(made[0].server.stop)
        thread.join(30)
        if feeder:
            feeder.stop()
        house.stop()
        networks.close()
    assert not thread.is_alive()
    assert not errors, errors


def _load(style: Style) -> Any:
    return load_engine(style, THREADS)


def _load_any(style: Style, paintings: Sequence[Painting]) -> Any:
    return load_engine(style, replace(THREADS, paintings=tuple(paintings)))


class Moving(VideoStreamTrack):
    """A camera whose picture is grey, lighter from frame to frame; of the size it is told."""

    def __init__(self, size: tuple[int, int] = (96, 64)) -> None:
        super().__init__()
        self.size, self.number, self.stalled = size, 0, False

    async def recv(self) -> VideoFrame:
        while self.stalled:
            await asyncio.sleep(0.05)
        pts, time_base = await self.next_timestamp()
        width, height = self.size
        level = self.number % 200 + 20
        self.number += 1
        picture = np.full((height, width, 3), (level, 60, 200), np.uint8)
        frame = VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = pts, Fraction(time_base)
        return frame


class Camera:
    """A peer, as a browser is one: sends a video and gets it back."""

    def __init__(self, server: Running, track: Moving | None = None) -> None:
        self.server, self.track = server, track or Moving()
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connection.addTrack(self.track)
        self.back: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.connection.on("track", self.back.set_result)
        self.name = ""

    async def offer(self) -> str:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return str(self.connection.localDescription.sdp)

    async def connect(self) -> None:
        content = json.dumps({"sdp": await self.offer()}).encode()
        status, data, _ = await asyncio.to_thread(self.server.ask, "/api/offer", "POST", content)
        assert status == 200, data
        answer = json.loads(data)
        self.name = answer["stream"]
        await self.connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))

    async def frame(self) -> VideoFrame:
        """The next frame that comes back."""
        track = await asyncio.wait_for(self.back, 20)
        return await asyncio.wait_for(track.recv(), 20)

    async def close(self) -> None:
        await asyncio.wait_for(self.connection.close(), 20)
