"""Peers of `stylize serve` that are no browsers: what they send and get, and how all of it ends."""

import asyncio
import json
import os
import threading
import time
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest
from aiortc import RTCRtpCodecParameters
from aiortc.codecs import get_encoder
from aiortc.codecs.vpx import Vp8Decoder, vp8_depayload
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import RtpPacket
from hypothesis import given, settings
from hypothesis import strategies as st
from web_tools import SOURCE, Camera, Running, running, two_looks, until

from stylize_video.realtime.knobs import Knobs
from stylize_video.realtime.web.backlog import MOST, Backlog, is_key
from stylize_video.realtime.web.encoding import planar
from stylize_video.realtime.web.jitter import PromptBuffer
from stylize_video.realtime.web.limits import Limits
from stylize_video.realtime.web.peers import set_up_webrtc
from stylize_video.realtime.web.pictures import decode, jpeg


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two styles that exchange colours."""
    return two_looks(tmp_path_factory.mktemp("looks"))


# --- peers


def test_a_peer_is_painted_and_has_a_past_of_its_own(looks: dict[str, Path]) -> None:
    async def work(server: Running) -> None:
        one, other = Camera(server), Camera(server)
        try:
            await one.connect()
            await other.connect()
            assert one.name != other.name
            server.json(f"/api/streams/{other.name}/knobs", "PATCH", {"style": "roll"})
            levels, last = [], -1
            for _ in range(12):
                frame = await one.frame()
                assert frame.pts > last
                last = frame.pts
                picture = frame.to_ndarray(format="rgb24")
                levels.append(picture.mean((0, 1)))
            # (level, 60, 200) with red and blue exchanged; the level climbs
            assert abs(levels[-1][0] - 200) < 12
            assert abs(levels[-1][1] - 60) < 12
            assert levels[-1][2] > levels[0][2]
            for _ in range(40):
                found = (await other.frame()).to_ndarray(format="rgb24").mean((0, 1))
                if abs(found[1] - 200) < 12:
                    break
            assert abs(found[0] - 60) < 12
            streams = server.json("/api/streams")
            assert [s["kind"] for s in streams] == ["peer", "peer"]
            assert [s["stage"] for s in streams] == [True, False]
        finally:
            await one.close()
            await other.close()

    with running(looks) as server:
        asyncio.run(work(server))
        until(lambda: server.json("/api/streams") == [])


def test_as_many_peers_as_may_be(looks: dict[str, Path]) -> None:
    async def work(server: Running) -> None:
        one, other = Camera(server), Camera(server)
        try:
            await one.connect()
            await one.frame()
            content = json.dumps({"sdp": await other.offer()}).encode()
            status, data, _ = server.ask("/api/offer", "POST", content)
            assert status == 503
            assert "1 cameras are painted already" in json.loads(data)["error"]
            assert server.ask(f"/api/streams/{one.name}", "DELETE")[0] == 204
            until(lambda: server.json("/api/streams") == [])
        finally:
            await one.close()
            await other.close()

    with running(looks, Limits(peers=1)) as server:
        asyncio.run(work(server))


def test_pictures_by_websocket(looks: dict[str, Path]) -> None:
    picture = np.full((64, 96, 3), (200, 90, 30), np.uint8)

    async def work(server: Running) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(server.url + "/api/frames") as socket,
        ):
            assert (await socket.receive_json())["stream"] == "peer-1"
            for _ in range(5):
                await socket.send_bytes(jpeg(picture))
                data = await asyncio.wait_for(socket.receive_bytes(), 20)
                painted = decode(data, 10_000)
                assert np.abs(painted.mean((0, 1)) - (30, 90, 200)).max() < 6
            await socket.send_bytes(b"junk")
            assert "no picture" in (await socket.receive_json())["error"]
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE

    with running(looks) as server:
        asyncio.run(work(server))
        until(lambda: server.json("/api/streams") == [])


def test_what_waits_for_a_decoder_is_bounded() -> None:
    class Codec:
        name = "VP8"

    class Encoded:
        def __init__(self, data: bytes) -> None:
            self.data = data

    asked: list[int] = []
    backlog = Backlog(lambda: asked.append(1))
    between, key = (Codec, Encoded(b"\x01")), (Codec, Encoded(b"\x00"))
    for _ in range(100):
        backlog.put(between)
        assert backlog.qsize() <= MOST
    assert backlog.qsize() == 0  # nothing that follows a gap
    assert asked
    backlog.put(key)
    backlog.put(between)
    assert [backlog.get_nowait(), backlog.get_nowait()] == [key, between]
    assert backlog.shed == 100
    backlog.put(between)
    backlog.put(None)
    assert backlog.get_nowait() is None  # the end waits for nobody
    assert backlog.empty()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.randoms(), st.booleans())
def test_frames_are_whole_with_their_marked_packet(
    sizes: list[int], random: Random, marked: bool
) -> None:
    """However packets are shuffled within a few places, across the turn of their numbers."""
    packets = []
    for number, size in enumerate(sizes):
        for part in range(size):
            packet = RtpPacket(
                marker=int(marked and part == size - 1),
                sequence_number=(65530 + len(packets)) % 65536,
                timestamp=3000 * number,
            )
            packet._data = bytes([number])  # type: ignore[attr-defined]
            packets.append(packet)
    wanted = [bytes([n]) * size for n, size in enumerate(sizes)]
    buffer = PromptBuffer()
    given = [buffer.add(packet)[1] for packet in packets]
    frames = [frame.data for frame in given if frame]
    assert frames == (wanted if marked else wanted[:-1])
    if marked:  # each with its last packet
        ends = [sum(sizes[: n + 1]) - 1 for n in range(len(sizes))]
        assert [n for n, frame in enumerate(given) if frame] == ends
    swapped = packets[:1] + _swapped(packets[1:], random)
    late = PromptBuffer()
    frames = [frame.data for packet in swapped if (frame := late.add(packet)[1])]
    assert frames == wanted[: len(frames)]


@pytest.mark.parametrize(("size", "new"), [((640, 480), True), ((63, 45), False)])
def test_what_goes_back_is_encoded_without_smearing(size: tuple[int, int], new: bool) -> None:
    set_up_webrtc(loopback_only=False)
    encoder = get_encoder(RTCRtpCodecParameters("video/VP8", clockRate=90000))
    decoder = Vp8Decoder()
    noise = np.random.default_rng(0).integers(0, 256, (size[1] // 16 + 2, size[0] // 16 + 2, 3))
    strokes = cv2.resize(noise.astype(np.uint8), size, interpolation=cv2.INTER_CUBIC)
    height, width = (side & ~1 for side in strokes.shape[:2])
    for number in range(12):
        if number == 8:
            encoder.target_bitrate = 6_000_000  # type: ignore[attr-defined]
        frame = planar(np.roll(strokes, number, 1))
        frame.pts, frame.time_base = 3000 * number, Fraction(1, 90000)
        payloads, at = encoder.encode(frame, force_keyframe=number == 4)
        assert abs(at - 3000 * number) <= 1  # aiortc cuts fractions off
        data = b"".join(vp8_depayload(payload) for payload in payloads)
        # a new rate needs a new encoder, but for pictures so small that they have enough
        assert is_key("VP8", data) == (number in (0, 4) or (new and number == 8))
        (shown,) = decoder.decode(JitterFrame(data, at))
        rgb = shown.to_ndarray(format="rgb24", interpolation="POINT")
        wanted = np.roll(strokes, number, 1)[:height, :width].astype(float)
        assert ((rgb - wanted) ** 2).mean() ** 0.5 < 16, number


def _swapped(packets: list[RtpPacket], random: Random) -> list[RtpPacket]:
    """Some packets have changed places with their neighbours."""
    swapped = list(packets)
    for n in range(len(swapped) - 1):
        if random.random() < 0.3:
            swapped[n], swapped[n + 1] = swapped[n + 1], swapped[n]
    return swapped


@pytest.mark.parametrize(
    ("codec", "data", "key"),
    [
        ("VP8", b"\x10", True), ("VP8", b"\x11", False), ("VP8", b"", False),
        ("H264", b"\x00\x00\x00\x01\x65abc", True), ("H264", b"\x00\x00\x01\x41abc", False),
        ("H264", b"\x00\x00\x01\x41abc\x00\x00\x01\x67", True), ("H264", b"\x00\x00\x01", False),
    ],
)  # fmt: skip
def test_frames_that_need_no_past(codec: str, data: bytes, key: bool) -> None:
    assert is_key(codec, data) is key


def test_a_decoder_that_can_not_follow_gets_a_fresh_picture(
    looks: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiortc.codecs.vpx import Vp8Decoder

    decode, slow = Vp8Decoder.decode, threading.Event()

    def slowly(self: Any, frame: Any) -> Any:
        if slow.is_set():
            time.sleep(0.2)
        return decode(self, frame)

    monkeypatch.setattr(Vp8Decoder, "decode", slowly)

    async def work(server: Running) -> None:
        camera = Camera(server)
        try:
            await camera.connect()
            await camera.frame()
            (peer,) = server.server._peers._peers.values()
            receiver = peer.connection.getReceivers()[0]
            backlog = receiver._RTCRtpReceiver__decoder_queue
            slow.set()
            end = time.monotonic() + 20
            while not backlog.shed:
                assert time.monotonic() < end
                await asyncio.sleep(0.02)
            slow.clear()
            # it goes on, with whole pictures
            for _ in range(60):
                picture = (await camera.frame()).to_ndarray(format="rgb24")
            assert np.abs(picture.mean((0, 1))[:2] - (200, 60)).max() < 12
        finally:
            slow.clear()
            await camera.close()

    with running(looks) as server:
        asyncio.run(work(server))


# --- the end


class SlowMask:
    """A mask that takes its time: until it is told to go on."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        self.begun.set()
        assert self.go_on.wait(30)
        return np.zeros(pixels.shape[:2], np.uint8)

    def reset(self) -> None:
        """Nothing is remembered."""


@pytest.mark.parametrize("by", ["socket", "peer"])
def test_it_ends_while_a_frame_is_painted(looks: dict[str, Path], by: str) -> None:
    mask = SlowMask()

    async def socket(server: Running) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(server.url + "/api/frames") as link,
        ):
            await link.receive_json()
            await link.send_bytes(jpeg(np.zeros((64, 96, 3), np.uint8)))
            await end(server)

    async def peer(server: Running) -> None:
        camera = Camera(server)
        await camera.connect()
        await end(server)
        await camera.close()

    async def end(server: Running) -> None:
        assert await asyncio.to_thread(mask.begun.wait, 20)
        server.loop.call_soon_threadsafe(server.server.stop)
        while not server.loop.is_closed():
            await asyncio.sleep(0.01)
        mask.go_on.set()

    # an exception in the painting thread fails the test
    with running(looks, masker=mask, knobs=Knobs(mask="inside")) as server:
        asyncio.run(asyncio.wait_for((socket if by == "socket" else peer)(server), 30))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted by /proc")
def test_nothing_is_left_when_it_ends(looks: dict[str, Path]) -> None:
    async def peer(server: Running, done: asyncio.Event) -> None:
        camera = Camera(server)
        await camera.connect()
        await camera.frame()
        done.set()
        while camera.connection.connectionState == "connected":
            await asyncio.sleep(0.02)
        await camera.close()

    async def others(server: Running) -> None:
        done = asyncio.Event()
        task = asyncio.create_task(peer(server, done))
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(server.url + "/api/control") as socket,
            session.get(server.url + "/overlay.webp") as overlay,
        ):
            await asyncio.wait_for(done.wait(), 30)
            await overlay.content.readany()
            server.loop.call_soon_threadsafe(server.server.stop)
            while not socket.closed:
                await asyncio.wait_for(socket.receive(), 20)
            await asyncio.wait_for(task, 20)

    def files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    def once() -> tuple[int, set[str]]:
        with running(looks, source=SOURCE) as server:
            asyncio.run(others(server))
        return files(), {thread.name for thread in threading.enumerate()}

    once()  # what libraries open for good
    before = once()
    assert once() == before
