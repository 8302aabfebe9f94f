"""The page of `stylize serve` in a real browser, which sends a camera of known pictures."""

import os
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browser import (
    CHROMIUM,
    COLOURS,
    FRAMES,
    READ,
    Serving,
    launch,
    serving,
    until,
    write_camera,
    write_turned,
)

REQUIRED = os.environ.get("STYLIZE_REQUIRE_TEST_DATA") == "1"
KEPT = os.environ.get("STYLIZE_TEST_ARTEFACTS")
"""A folder where screenshots are kept."""
TOLERANCE = 40
"""Levels that two lossy encoders, from and to 4:2:0, may take away from saturated colours."""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The browser, with a film for its camera."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        reason = "there is no playwright: pip install playwright"
        pytest.fail(reason) if REQUIRED else pytest.skip(reason)
    if CHROMIUM is None:
        reason = "there is no chromium: apt-get install chromium"
        pytest.fail(reason) if REQUIRED else pytest.skip(reason)
    camera = write_camera(tmp_path_factory.mktemp("camera") / "camera.mjpeg")
    with sync_playwright() as playwright:
        # a machine without a network has loopback only, which browsers leave out by themselves
        browser = launch(playwright, camera, "--allow-loopback-in-peer-connection")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server whose styles exchange colours."""
    folder = tmp_path_factory.mktemp("looks")
    swap = write_turned(folder / "swap.onnx", (2, 1, 0))
    roll = write_turned(folder / "roll.onnx", (1, 2, 0))
    arguments = ("--style", str(swap), "--more-styles", str(roll), "--temporal", "off")
    with serving(*arguments, "--engine", "cpu") as made:
        yield made


@pytest.fixture
def page(chromium: Any, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A fresh page; whatever goes wrong in it fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 860}, accept_downloads=True)
    context.set_default_timeout(30_000)
    made = context.new_page()
    wrong: list[str] = []
    made.on("pageerror", lambda error: wrong.append(str(error)))

    def said(message: Any) -> None:
        # what the network does is the business of the tests themselves
        if message.type == "error" and not message.text.startswith(("Failed to load", "WebSocket")):
            wrong.append(message.text)

    made.on("console", said)
    yield made
    if KEPT:
        Path(KEPT).mkdir(parents=True, exist_ok=True)
        made.screenshot(path=str(Path(KEPT) / f"{request.node.name}.png"))
    context.close()
    assert not wrong


def ask(page: Any, server: Serving, query: str = "") -> None:
    """Open the page and ask for the camera, whatever comes of it."""
    page.goto(f"{server.url}/{query}")
    until(lambda: page.text_content("#status") == "Ready.")
    page.click("#start")


def begin(page: Any, server: Serving, query: str = "") -> None:
    """Open the page and start the camera."""
    ask(page, server, query)
    until(lambda: "Painting" in page.text_content("#status"))


def seen(page: Any, element: str = "painted") -> dict[str, Any]:
    """What the element shows, once it shows something."""
    found: dict[str, Any] = until(lambda: page.evaluate(READ, element))
    return found


def order(colours: list[list[float]]) -> tuple[int, int, int] | None:
    """Which channel of the camera each channel of the picture is; None where it is neither."""
    for wanted in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        expected = np.array(COLOURS)[:, wanted]
        if np.abs(np.array(colours)[:, :3] - expected).max() < TOLERANCE:
            return wanted
    return None


def numbers(page: Any, element: str, count: int) -> list[int]:
    """Numbers of the camera's frames as they are shown, each once."""
    found: list[int] = []

    def another() -> bool:
        number = seen(page, element)["number"]
        if not found or number != found[-1]:
            found.append(number)
        return len(found) >= count

    until(another)
    return found


def in_order(found: list[int]) -> bool:
    """Whether numbers climb, but for where the film begins again."""
    steps = [(b - a) % FRAMES for a, b in pairwise(found)]
    return all(0 < step < FRAMES / 2 for step in steps)


def test_the_camera_comes_back_painted(page: Any, server: Serving) -> None:
    begin(page, server)
    assert page.text_content("#status") == "Painting."  # by WebRTC: nothing else was needed
    until(lambda: order(seen(page)["colours"]) == (2, 1, 0))
    assert order(seen(page, "camera")["colours"]) == (0, 1, 2)
    assert seen(page)["size"] == [640, 480]
    assert in_order(numbers(page, "painted", 12))
    until(lambda: "640\u00d7480 · WebRTC" in page.text_content("#figures"))

    # by its own controls: style, strength, mirror, divider
    page.check("input[name=style][value=roll]", force=True)
    until(lambda: order(seen(page)["colours"]) == (1, 2, 0))
    page.get_by_label("Strength").fill("0")
    until(lambda: order(seen(page)["colours"]) == (0, 1, 2))
    page.get_by_label("Strength").fill("1")
    page.get_by_label("Mirror").check()
    upper_left = np.array(COLOURS[1])[[1, 2, 0]]
    until(lambda: np.abs(np.array(seen(page)["colours"][0][:3]) - upper_left).max() < TOLERANCE)
    page.get_by_label("Mirror").uncheck()
    page.click("#divide")
    until(lambda: page.get_attribute("#divide", "aria-pressed") == "true")

    def halves() -> bool:
        left, right = seen(page)["colours"][:2]
        plain, painted = np.array(COLOURS[0]), np.array(COLOURS[1])[[1, 2, 0]]
        return bool(
            np.abs(left[:3] - plain).max() < TOLERANCE
            and np.abs(right[:3] - painted).max() < TOLERANCE
        )

    until(halves)
    page.get_by_label("Mix with").select_option("swap")
    until(lambda: "mix" in page.request.get(f"{server.url}/api/streams/stage").json()["knobs"])
    page.get_by_label("Black").check()
    until(lambda: np.array(seen(page)["colours"])[:, :3].max() < 25)
    page.click("#start")
    until(lambda: page.text_content("#status") == "Stopped.")
    until(lambda: page.request.get(f"{server.url}/api/streams").json() == [])


def test_where_webrtc_can_not_connect_pictures_go_by_websocket(page: Any, server: Serving) -> None:
    # a network that lets nothing through but the web
    page.add_init_script(
        "RTCPeerConnection.prototype.setRemoteDescription = "
        "() => Promise.reject(new Error('no way through the network'))"
    )
    begin(page, server)
    said = page.text_content("#status")
    assert said.startswith("Painting by WebSocket")
    assert "since WebRTC failed: no way through the network" in said
    until(lambda: order(seen(page, "canvas")["colours"]) == (2, 1, 0))
    assert in_order(numbers(page, "canvas", 12))
    page.check("input[name=style][value=roll]", force=True)
    until(lambda: order(seen(page, "canvas")["colours"]) == (1, 2, 0))
    until(lambda: "640\u00d7480 · WebSocket" in page.text_content("#figures"))


def test_snapshot_and_recording_are_whole(page: Any, server: Serving, tmp_path: Path) -> None:
    begin(page, server)
    until(lambda: order(seen(page)["colours"]) == (2, 1, 0))
    with page.expect_download() as download:
        page.click("#snapshot")
    shot = tmp_path / "shot.png"
    download.value.save_as(shot)
    assert cv2.imread(str(shot)).shape == (480, 640, 3)
    page.click("#record")
    until(lambda: page.get_attribute("#record", "aria-pressed") == "true")
    shown = numbers(page, "painted", 8)
    with page.expect_download() as download:
        page.click("#record")
    film = tmp_path / "film.webm"
    download.value.save_as(film)
    import av

    with av.open(str(film)) as recorded:
        frames = sum(1 for _ in recorded.decode(video=0))
    assert frames >= len(shown) // 2


@pytest.mark.slow
def test_a_picture_that_is_given_becomes_a_style(
    page: Any, server: Serving, tmp_path: Path
) -> None:
    painting = tmp_path / "painting.png"
    stripes = np.zeros((120, 160, 3), np.uint8)
    stripes[::8] = (30, 140, 250)
    cv2.imwrite(str(painting), stripes)
    begin(page, server)
    page.set_input_files("#picture", str(painting))
    until(lambda: page.text_content("#status") == "Painting like your picture.")
    until(lambda: page.locator("input[name=style][value=painting-1]").is_checked())
    until(lambda: order(seen(page)["colours"]) is None)
    page.set_input_files("#picture", {"name": "a.png", "mimeType": "image/png", "buffer": b"no"})
    until(lambda: "this is no picture" in page.text_content("#status"))


def test_the_paintings_of_a_run_are_weighed(page: Any, tmp_path: Path) -> None:
    given: list[str] = []
    for number, colour in enumerate([(30, 140, 250), (250, 60, 20)]):
        file = tmp_path / f"{number}.png"
        cv2.imwrite(str(file), np.full((64, 64, 3), colour, np.uint8))
        given += ["--painting", str(file)]
    with serving("--style", "any", *given, "--engine", "cpu") as server:
        page.goto(server.url)
        until(lambda: page.text_content("#status") == "Ready.")
        until(lambda: page.get_by_label("Painting 2").input_value() == "0.5")
        page.get_by_label("Painting 1").fill("0")
        path = f"{server.url}/api/streams/stage/knobs"
        until(lambda: page.request.get(path).json()["paintings"] == [0, 1])
        page.get_by_label("Painting 2").fill("0")  # which would be none at all
        page.get_by_label("Painting 1").fill("0.6")
        until(lambda: page.request.get(path).json()["paintings"] == [1, 0])


def test_keyboard_and_labels(page: Any, server: Serving) -> None:
    page.goto(server.url)
    until(lambda: page.text_content("#status") == "Ready.")
    # everything that can be turned has a name, for who can't see it
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, video, canvas, img")]
        .filter((e) => !(e.labels?.length || e.ariaLabel || e.title || e.textContent.trim()
          || e.hasAttribute("alt"))).map((e) => e.outerHTML)"""
    )
    assert nameless == []
    reached: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("() => document.activeElement.id || document.activeElement.name")
        )
    for control in ("start", "divide", "full", "style", "knob-strength", "knob-mirror"):
        assert control in reached
    page.locator("input[name=style]").first.focus()
    page.keyboard.press("ArrowRight")
    until(lambda: page.locator("input[name=style][value=roll]").is_checked())
    path = f"{server.url}/api/streams/stage/knobs"
    until(lambda: page.request.get(path).json()["style"] == "roll")
    page.keyboard.press("ArrowLeft")
    until(lambda: page.request.get(path).json()["style"] == "swap")
    page.set_viewport_size({"width": 360, "height": 740})
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= 360  # nothing is cut off on a phone


@pytest.mark.slow
def test_nothing_is_asked_of_anybody_else(page: Any, server: Serving) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    begin(page, server)
    with page.expect_request("**/overlay.webp*"):
        page.goto(f"{server.url}/overlay", wait_until="commit")
    assert [a for a in asked if not a.startswith((server.url, "blob:", "data:"))] == []


@pytest.mark.slow
def test_the_token_opens_the_page_by_tls_too(chromium: Any, identity: Path) -> None:
    given = {**os.environ, "STYLIZE_TOKEN": "swordfish"}
    shared = ("--style", str(identity), "--more-styles", str(identity), "--temporal", "off")
    with serving(*shared, "--tls", env=given) as server:
        one = chromium.new_context(ignore_https_errors=True)
        assert any("SHA-256" in line for line in server.said)
        page = one.new_page()
        page.goto(f"{server.url}/#token=swordfish")
        until(lambda: page.text_content("#status") == "Ready.")
        assert page.url == f"{server.url}/"  # the token has left the address
        page.click("#start")
        until(lambda: page.text_content("#status") == "Painting.")
        until(lambda: page.evaluate(READ, "painted"))
        one.close()
        other = chromium.new_context(ignore_https_errors=True)
        page = other.new_page()
        page.goto(server.url)
        page.get_by_role("textbox", name="Token").fill("wrong")
        page.keyboard.press("Enter")
        until(lambda: page.text_content("#wrong") == "This is not the token.")
        page.get_by_role("textbox", name="Token").fill("swordfish")
        page.keyboard.press("Enter")
        until(lambda: page.text_content("#status") == "Ready.")
        other.close()


def test_the_overlay_shows_through_exactly(page: Any, tmp_path: Path) -> None:
    mask = np.zeros((360, 640, 3), np.uint8)
    mask[:, 320:] = 255
    mask_file = tmp_path / "mask.png"
    cv2.imwrite(str(mask_file), mask)
    arguments = ("--style", "starry", "--source", "test:640x360@15", "--mask", str(mask_file))
    alpha = """() => {
      const picture = document.getElementById("picture"), canvas = document.createElement("canvas");
      if (!picture.naturalWidth) return null;
      canvas.width = picture.naturalWidth; canvas.height = picture.naturalHeight;
      const pen = canvas.getContext("2d");
      pen.drawImage(picture, 0, 0);
      const column = (x) => [...pen.getImageData(x, 0, 1, canvas.height).data];
      const at = (x) => column(x).filter((_, i) => i % 4 == 3);
      return [20, 300, 340, 620].map((x) => [Math.min(...at(x)), Math.max(...at(x))]);
    }"""
    with serving(*arguments) as server:
        page.set_viewport_size({"width": 640, "height": 360})
        page.goto(f"{server.url}/overlay?w=640&h=360")
        nothing, all_of_it = [0, 0], [255, 255]
        until(lambda: page.evaluate(alpha) == [nothing, nothing, all_of_it, all_of_it])
        path = f"{server.url}/api/streams/stage/knobs"
        assert page.request.patch(path, data={"strength": 0.5}).ok
        until(lambda: page.evaluate(alpha) == [nothing, nothing, [128, 128], [128, 128]])
        page.request.patch(path, data={"strength": 1.0})
        until(lambda: page.evaluate(alpha) == [nothing, nothing, all_of_it, all_of_it])
        # as OBS sees it: nothing but the painting, over whatever lies below
        shot = page.screenshot(omit_background=True, path=str(tmp_path / "overlay.png"))
        seen_alpha = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_UNCHANGED)[..., 3]
        assert (seen_alpha[:, :310] == 0).all()
        assert (seen_alpha[:, 330:] == 255).all()
        # the page shows what is on stage as long as it sends no camera itself
        page.goto(server.url)
        until(lambda: page.is_visible("#feed") and page.evaluate(READ, "feed"))
        page.check("input[name=style][value=wave]", force=True)
        until(lambda: page.request.get(path).json()["style"] == "wave")
        if KEPT:
            shutil.copy(tmp_path / "overlay.png", Path(KEPT) / "overlay.png")


@pytest.mark.slow
def test_it_ends_with_browsers_connected(page: Any, identity: Path) -> None:
    shared = ("--style", str(identity), "--more-styles", str(identity), "--temporal", "off")
    with serving(*shared) as server:
        begin(page, server)
        until(lambda: page.evaluate(READ, "painted"))
        assert server.end() == 130
        assert server.said[-1] == "stopped"
        assert not any("Traceback" in line for line in server.said)
        until(lambda: page.text_content("#status") == "Stopped: the server has ended.")
        page.goto("about:blank")


@pytest.mark.slow
def test_the_page_says_why_a_camera_is_refused(page: Any, identity: Path) -> None:
    shared = ("--style", str(identity), "--more-styles", str(identity), "--temporal", "off")
    with serving(*shared, "--max-pixels", "1000", "--peers", "1") as server:
        ask(page, server)
        said = "Stopped: frames of 640x480: 1000 pixels are taken at most."
        until(lambda: page.text_content("#status") == said)
