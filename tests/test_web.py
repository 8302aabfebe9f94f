"""The server of `stylize serve`: its API, peers that are no browsers, overlays, and its end."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
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
from browser import write_turned
from hypothesis import given, settings
from hypothesis import strategies as st
from web_tools import Camera, Running, running

from stylize_video.realtime import cli
from stylize_video.realtime.knobs import KNOBS, Knobs
from stylize_video.realtime.masks import PictureMask
from stylize_video.realtime.web.backlog import MOST, Backlog, is_key
from stylize_video.realtime.web.encoding import planar
from stylize_video.realtime.web.jitter import PromptBuffer
from stylize_video.realtime.web.limits import Limits, Refused
from stylize_video.realtime.web.openapi import describe
from stylize_video.realtime.web.peers import set_up_webrtc
from stylize_video.realtime.web.pictures import decode, fitted, jpeg, webp

SOURCE = "test:96x64@30"


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two styles that exchange colours."""
    folder = tmp_path_factory.mktemp("looks")
    return {
        "swap": write_turned(folder / "swap.onnx", (2, 1, 0)),
        "roll": write_turned(folder / "roll.onnx", (1, 2, 0)),
    }


@pytest.fixture(scope="module")
def server(looks: dict[str, Path]) -> Iterator[Running]:
    """A server that paints a test picture."""
    with running(looks, source=SOURCE) as made:
        until(lambda: made.json("/api/streams")[0]["stats"]["frames"] > 2)
        yield made


def until(what: Any, seconds: float = 30.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


def parts(server: Running, path: str, count: int) -> list[bytes]:
    """The first parts of an endless answer."""

    async def read() -> list[bytes]:
        found: list[bytes] = []
        async with (
            aiohttp.ClientSession() as session,
            session.get(server.url + path) as answer,
        ):
            assert answer.status == 200, await answer.text()
            boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
            buffer = b""
            while len(found) < count:
                buffer += await asyncio.wait_for(answer.content.readany(), 20)
                *whole, buffer = buffer.split(b"--" + boundary + b"\r\n")
                found += [p.partition(b"\r\n\r\n")[2][:-2] for p in whole if p]
        return found[:count]

    return asyncio.run(read())


# --- the API


def test_knobs_are_turned_and_the_picture_follows(server: Running) -> None:
    path = "/api/streams/stage/knobs"
    assert server.json(path, "PATCH", {"style": "swap", "strength": 1.0})["style"] == "swap"

    def shown() -> np.ndarray:
        data = server.ask("/api/streams/stage/snapshot")[1]
        return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB))

    def turned_to(style: str) -> bool:
        server.json(path, "PATCH", {"style": style})
        frames = server.json("/api/streams/stage")["stats"]["frames"]
        until(lambda: server.json("/api/streams/stage")["stats"]["frames"] > frames + 2)
        return True

    server.json(path, "PATCH", {"freeze": False, "blackout": True})
    until(lambda: shown().max() == 0)
    server.json(path, "PATCH", {"blackout": False, "strength": 0.0})
    until(lambda: shown().max() > 100)
    plain = shown()
    server.json(path, "PATCH", {"strength": 1.0})
    turned_to("swap")
    # the test picture moves, but hardly in its mean colours
    means = plain.mean((0, 1))
    until(lambda: np.abs(shown().mean((0, 1)) - means[[2, 1, 0]]).max() < 12)
    turned_to("roll")
    until(lambda: np.abs(shown().mean((0, 1)) - means[[1, 2, 0]]).max() < 12)
    assert server.json(path)["style"] == "roll"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strength": 2}, "strength can't be 2"),
        ({"style": "none"}, "there is no style 'none'"),
        ({"loudness": 1}, "there is no knob 'loudness'"),
        ({"mirror": 1}, "mirror is on or off"),
        ({}, "name the knobs"),
    ],
)
def test_knobs_that_can_not_be_turned_so_say_why(
    server: Running, changes: dict[str, Any], said: str
) -> None:
    before = server.json("/api/streams/stage/knobs")
    content = json.dumps({"colours": 0.5, **changes} if changes else {}).encode()
    status, data, _ = server.ask("/api/streams/stage/knobs", "PATCH", content)
    assert status == 400
    assert said in json.loads(data)["error"]
    assert server.json("/api/streams/stage/knobs") == before  # all or none


def test_what_there_is_not_is_said(server: Running) -> None:
    assert server.ask("/api/streams/peer-9")[0] == 404
    assert server.ask("/api/streams/peer-9/knobs", "PATCH", b"{}")[0] == 404
    assert server.ask("/api/streams/server", "DELETE")[0] == 409
    assert server.ask("/api/styles/none/preview")[0] == 404
    assert server.ask("/nothing")[0] == 404
    status, _, headers = server.ask("/api/styles", "POST", b"{}")
    assert status == 405
    assert headers["Allow"] == "GET,HEAD"


def test_knobs_by_websocket_and_everybody_hears_of_it(server: Running) -> None:
    async def work() -> None:
        url = server.url + "/api/control"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url) as one,
            session.ws_connect(url) as other,
        ):

            async def heard(socket: Any, key: str) -> Any:
                while True:
                    message = await asyncio.wait_for(socket.receive_json(), 20)
                    if key in message:
                        return message

            assert (await heard(one, "stats"))["stream"] == "server"
            await one.send_json({"set": {"strength": 0.25}})
            assert (await heard(other, "knobs"))["knobs"]["strength"] == 0.25
            for junk in ('{"set": {"strength": 9}}', '{"set": []}', "[1]", "{", '{"stream": 7}'):
                await one.send_str(junk)
                assert (await heard(one, "error"))["error"]
            await one.send_json({"set": {"strength": 1.0}})
            await heard(one, "knobs")

    asyncio.run(work())


def test_figures_for_prometheus(server: Running) -> None:
    _, data, headers = server.ask("/metrics")
    assert headers["Content-Type"].startswith("text/plain")
    lines = data.decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values['stylize_frames_total{stream="server"}']) > 2
    assert float(values["stylize_peers"]) == 0


def test_the_document_names_every_knob_and_path(server: Running) -> None:
    document = server.json("/api/openapi.json")
    assert document == json.loads(json.dumps(describe(server.house.gallery.names)))
    assert set(document["components"]["schemas"]["Changes"]["properties"]) == set(KNOBS)
    app = server.server._runner.app  # type: ignore[union-attr]
    served = {r.canonical for r in app.router.resources()}
    kept_out = {"/", "/overlay", "/feed.mjpg", "/overlay.webp", "/overlay.jpg",
                "/api/session", "/api/control", "/api/frames"}  # fmt: skip
    assert set(document["paths"]) == {s for s in served if not s.startswith("/static/")} - kept_out


def test_ctl_speaks_to_it(
    server: Running, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def ctl(*words: str) -> str:
        assert cli.run(["ctl", *words, "--url", server.url]) == 0
        return capsys.readouterr().out

    assert ctl("style", "roll") == 'style  "roll"\n'
    assert ctl("style", "next") == 'style  "swap"\n'
    assert ctl("mirror", "on") == "mirror  true\n"
    assert ctl("mirror", "off") == "mirror  false\n"
    assert ctl("divider", "0.25") == "divider  0.25\n"
    assert ctl("divider", "none") == "divider  null\n"
    assert "strength  1.0\n" in ctl()
    assert ctl("styles").startswith("swap  ")
    assert ctl("streams").startswith("server  {")
    shot = tmp_path / "shot.png"
    assert ctl("snapshot", str(shot)) == f"{shot}\n"
    assert cv2.imread(str(shot)).shape == (64, 96, 3)
    for words, said in (
        (["strength", "9"], "strength can't be 9"),
        (["snapshot", str(shot)], "exists"),
        (["painting", "none.png"], "can't be read"),
    ):
        assert cli.run(["ctl", *words, "--url", server.url]) == 1
        assert said in capsys.readouterr().err
    assert cli.run(["ctl", "--url", "http://127.0.0.1:1"]) == 1
    assert "does not answer" in capsys.readouterr().err


# --- overlays


def test_an_overlay_is_transparent_where_nothing_is_painted(looks: dict[str, Path]) -> None:
    mask = np.zeros((64, 96, 3), np.uint8)
    mask[:, 48:] = 255
    with running(
        looks, source=SOURCE, masker=PictureMask(mask), knobs=Knobs(mask="inside")
    ) as server:
        until(lambda: server.json("/api/streams")[0]["stats"]["frames"] > 2)

        def alpha(path: str = "/overlay.webp") -> np.ndarray:
            data = parts(server, path, 3)[-1]
            seen = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), -1))
            # where all of it is opaque, the encoder leaves alpha out
            return seen[..., 3] if seen.shape[2] == 4 else np.full(seen.shape[:2], 255)

        seen = alpha()
        assert seen.shape == (64, 96)
        assert (seen[:, :48] == 0).all()
        assert (seen[:, 48:] == 255).all()
        server.json("/api/streams/stage/knobs", "PATCH", {"strength": 0.5})
        until(lambda: (alpha()[:, 48:] == 128).all())
        large = alpha("/overlay.webp?w=384&h=256")
        assert large.shape == (256, 384)
        assert (large[:, :188] == 0).all()
        assert (large[:, 196:] == 128).all()
        tall = alpha("/overlay.webp?w=96&h=96")
        assert (tall[:15] == 0).all()  # all of it is shown: the rest is nothing
        assert (alpha("/overlay.webp?w=96&h=96&fit=cover")[:, 60:] == 128).all()
        server.json("/api/streams/stage/knobs", "PATCH", {"blackout": True})
        until(lambda: (alpha() == 255).all())  # black hides what is below


def test_overlays_share_a_painting_and_may_have_a_style_of_their_own(server: Running) -> None:
    server.json("/api/streams/stage/knobs", "PATCH", {"style": "swap", "strength": 1.0})
    watched = server.server._broadcasts

    async def look() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.get(server.url + "/feed.mjpg") as one,
            session.get(server.url + "/feed.mjpg") as other,
        ):
            await asyncio.wait_for(one.content.readany(), 20)
            await asyncio.wait_for(other.content.readany(), 20)
            assert watched.count() == 2
            assert len(watched._broadcasts) == 1

    asyncio.run(look())
    until(lambda: not watched._broadcasts)
    means = []
    for path in ("/feed.mjpg", "/overlay.jpg?style=roll"):
        data = parts(server, path, 4)[-1]
        means.append(cv2.imdecode(np.frombuffer(data, np.uint8), 1).mean((0, 1))[::-1])
    # both exchange channels of one picture, whose colours differ by as much as they happen to now:
    # what counts is that each has its own order of them
    source = means[0][[2, 1, 0]]
    own = np.abs(means[1] - source[[1, 2, 0]]).max()
    assert own < np.abs(means[1] - means[0]).max() / 2
    assert own < np.abs(means[1] - source).max() / 2
    until(lambda: not server.house._extras)  # nobody looks on any more


@pytest.mark.parametrize(
    "query", ["w=99999&h=9", "w=640", "fit=twisted", "style=none", "w=-1&h=5", "w=%00&h=5"]
)
def test_overlays_that_can_not_be(server: Running, query: str) -> None:
    status, data, _ = server.ask(f"/overlay.webp?{query}")
    assert status in (400, 404)
    assert json.loads(data)["error"]


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


# --- paintings


def test_a_picture_becomes_a_style(looks: dict[str, Path]) -> None:
    limits = Limits(paintings=1)
    picture = np.zeros((80, 120, 3), np.uint8)
    picture[:, :60] = (250, 120, 10)
    body = jpeg(picture)
    with running(looks, limits, source=SOURCE) as server:
        until(lambda: server.json("/api/streams")[0]["stats"]["frames"] > 2)
        kind = {"Content-Type": "image/jpeg"}
        status, data, _ = server.ask("/api/paintings", "POST", body, kind)
        assert (status, json.loads(data)) == (201, {"style": "painting-1"})
        assert server.ask("/api/styles/painting-1/preview")[0] == 200
        server.json("/api/streams/stage/knobs", "PATCH", {"style": "painting-1"})
        stream = server.house.find("stage")
        until(lambda: 2 in stream._studio._shares)
        assert server.json("/api/styles")[-1]["name"] == "painting-1"
        assert server.ask("/api/paintings", "POST", body, kind)[0] == 409


# --- pure functions


def test_pictures_are_fitted() -> None:
    picture = np.full((10, 20, 3), 255, np.uint8)
    assert fitted(picture, (20, 20), "contain").sum(2)[[0, 10], 0].tolist() == [0, 765]
    assert fitted(picture, (20, 20), "cover").min() == 255
    assert fitted(picture, (5, 7), "fill").shape == (7, 5, 3)


def test_webp_keeps_every_alpha() -> None:
    alpha = np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(4, 0).repeat(4, 1)
    rgba = np.dstack([np.full((64, 64, 3), 90, np.uint8), alpha])
    back = cv2.imdecode(np.frombuffer(webp(rgba), np.uint8), -1)
    assert (back[..., 3] == alpha).all()


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_WEBP_QUALITY, 101]])
def test_pictures_of_strangers(ending: str, options: list[int]) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (30, 50, 3)).astype(np.uint8)
    data = cv2.imencode(ending, picture, options)[1].tobytes()
    assert decode(data, 1500).shape == (30, 50, 3)
    with pytest.raises(Refused, match="50x30"):
        decode(data, 1499)
    for cut in (0, 3, 11, 14, 20, 24, 27):
        with pytest.raises(Refused):
            decode(data[:cut], 1500)


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
