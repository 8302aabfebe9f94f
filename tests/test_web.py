"""The server of `stylize serve`: its API, overlays, and the pictures it takes and gives."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest
from web_tools import SOURCE, Running, running, two_looks, until

from stylize_video.realtime import cli
from stylize_video.realtime.knobs import KNOBS, Knobs
from stylize_video.realtime.masks import PictureMask
from stylize_video.realtime.web.limits import Limits, Refused
from stylize_video.realtime.web.openapi import describe
from stylize_video.realtime.web.pictures import decode, fitted, jpeg, webp


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two styles that exchange colours."""
    return two_looks(tmp_path_factory.mktemp("looks"))


@pytest.fixture(scope="module")
def server(looks: dict[str, Path]) -> Iterator[Running]:
    """A server that paints a test picture."""
    with running(looks, source=SOURCE) as made:
        until(lambda: made.json("/api/streams")[0]["stats"]["frames"] > 2)
        yield made


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
        ({"paintings": [1]}, "there are no paintings in this run to weigh"),
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
