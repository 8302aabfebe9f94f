"""Live sources: what their names open, at what pace they play, and that they come back."""

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from live_tools import SMALL

from stylize_video.realtime import cli
from stylize_video.realtime.errors import SourceOpenError, SourceReadError
from stylize_video.realtime.sources._cameras import cameras
from stylize_video.realtime.sources._opening import LiveOptions, Opening, opening_for
from stylize_video.realtime.sources.live import LiveSource


@pytest.mark.parametrize(
    ("name", "platform", "opening"),
    [
        (
            "0",
            "linux",
            Opening("/dev/video0", "v4l2", {"input_format": "mjpeg"}, otherwise={}),
        ),
        (
            "/dev/video3",
            "linux",
            Opening("/dev/video3", "v4l2", {"input_format": "mjpeg"}, otherwise={}),
        ),
        ("1", "darwin", Opening("1", "avfoundation", {"framerate": "30"})),
        ("test:64x48@10", "linux", Opening("testsrc2=size=64x48:rate=10", "lavfi", {}, True)),
    ],
)
def test_names_say_what_is_opened(name: str, platform: str, opening: Opening) -> None:
    assert opening_for(name, LiveOptions(), platform) == opening


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("rtsp://camera/1", {"rtsp_transport": "tcp"}),
        ("rtmp://server/a/b", {"rtmp_live": "live", "analyzeduration": "1000000"}),
        ("http://server/a.m3u8", {"analyzeduration": "3000000"}),
    ],
)
def test_an_address_can_not_lead_to_files(name: str, asked: dict[str, str]) -> None:
    opening = opening_for(name, LiveOptions())
    assert opening.target == name
    assert asked.items() <= opening.options.items()
    assert "file" not in opening.options["protocol_whitelist"].split(",")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.mp4", "give a camera's number"),
        ("ftp://host/x", "give an address of rtsp"),
        ("file:///etc/passwd", "give an address of rtsp"),
        ("test:huge", "give test:640x360@30"),
        ("99", "camera 99 can't be opened: .*; --list-cameras tells"),
    ],
)
def test_names_that_mean_nothing(name: str, said: str) -> None:
    with pytest.raises(SourceOpenError, match=said):
        LiveSource(name)


def test_a_camera_is_asked_for_its_size() -> None:
    options = LiveOptions(size=(1280, 720), rate=Fraction(60))
    asked = opening_for("0", options, "linux").options
    assert asked == {"input_format": "mjpeg", "video_size": "1280x720", "framerate": "60"}


def test_the_test_picture_runs_in_real_time() -> None:
    source = LiveSource(SMALL)
    captured = []
    for item in source:
        captured.append(item)
        if len(captured) == 15:
            source.stop()
    source.close()
    assert source.size == (96, 64)
    assert source.rate == 50
    assert len(captured) == 15
    assert captured[0].frame.pixels.std() > 20
    took = captured[-1].at - captured[0].at
    assert took > 0.2  # 14 frames at 50 a second, not as fast as they are drawn


def test_a_file_plays_in_real_time_and_again(clip: Path) -> None:
    source = LiveSource(str(clip), LiveOptions(resize=(80, 48)))
    frames = [item.frame for item in source]
    source.close()
    assert len(frames) == 50
    assert frames[0].pixels.shape == (48, 80, 3)
    source = LiveSource(str(clip), LiveOptions(resize=(80, 48), loop=True))
    count = 0
    for _ in source:
        count += 1
        if count == 55:
            source.stop()
    source.close()
    assert count == 55


class Flaky:
    """A container that breaks after a few frames, as often as it is told to."""

    breaks = 0
    refuses = 0

    def __init__(self, container: Any) -> None:
        self._container = container

    def demux(self, *streams: Any) -> Iterator[Any]:
        for number, packet in enumerate(self._container.demux(*streams)):
            if number == 5 and Flaky.breaks:
                Flaky.breaks -= 1
                raise av.error.ConnectionResetError(104, "Connection reset by peer", "x")
            yield packet

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> type[Flaky]:
    real = av.open

    def opened(*arguments: Any, **more: Any) -> Any:
        if Flaky.refuses and Flaky.breaks == 0:
            Flaky.refuses -= 1
            raise av.error.ConnectionRefusedError(111, "Connection refused", "x")
        return Flaky(real(*arguments, **more))

    monkeypatch.setattr(av, "open", opened)
    Flaky.breaks = Flaky.refuses = 0
    return Flaky


def test_a_source_that_breaks_is_opened_again(flaky: type[Flaky]) -> None:
    flaky.breaks = 1
    said: list[str] = []
    source = LiveSource(SMALL, say=said.append)
    flaky.refuses = 1
    count = 0
    for _ in source:
        count += 1
        if count == 12:
            source.stop()
    source.close()
    assert count == 12
    assert "stopped: Connection reset by peer; trying again" in said[0]
    assert "Connection refused; next try in 0.5 s" in said[1]
    assert said[2].endswith("is back")


def test_without_reconnecting_it_is_said_and_over(flaky: type[Flaky]) -> None:
    flaky.breaks = 1
    source = LiveSource(SMALL, LiveOptions(reconnect=False))
    with pytest.raises(SourceReadError, match="stopped: Connection reset by peer"):
        list(source)
    source.close()


def test_stopping_ends_the_pause_between_tries(flaky: type[Flaky]) -> None:
    flaky.breaks = 1
    source = LiveSource(SMALL)
    flaky.refuses = 1000
    threading.Timer(0.4, source.stop).start()
    assert len(list(source)) == 5
    source.close()


def test_cameras_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["webcam", "--list-cameras"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines() == ([str(c) for c in cameras()] or ["no camera was found"])


def test_a_file_on_its_side_is_set_upright(data: Callable[[str], Path]) -> None:
    source = LiveSource(str(data("torture/dev/display_matrix_rotate90.mp4")))
    (first, *_) = (item.frame.pixels for item in source)
    source.close()
    assert source.size[0] < source.size[1]
    assert first.shape[:2] == source.size[::-1]
    # nothing of it is a border: it was turned, not fitted in
    assert first[:, 2].max() > 20
    assert first[:, -3].max() > 20
