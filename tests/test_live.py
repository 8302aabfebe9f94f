"""Live sources, outlets and knobs: nothing queues up, and what fails takes nothing else along."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_tools import Unpainted

from stylize_video.realtime import cli
from stylize_video.realtime.errors import (
    SinkOpenError,
    SinkWriteError,
    SourceOpenError,
    SourceReadError,
)
from stylize_video.realtime.frame import Frame
from stylize_video.realtime.knobs import turned
from stylize_video.realtime.live import Live
from stylize_video.realtime.newest import Newest
from stylize_video.realtime.sinks.push import PushSink
from stylize_video.realtime.sinks.window import Window
from stylize_video.realtime.sources._cameras import cameras
from stylize_video.realtime.sources._opening import (
    LiveOptions,
    Opening,
    opening_for,
)
from stylize_video.realtime.sources.live import LiveSource
from stylize_video.realtime.studio import Studio

SMALL = "test:96x64@50"


# --- the hand-off


@given(st.lists(st.integers(), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_only_the_newest_waits(items: list[int]) -> None:
    place: Newest[int] = Newest()
    for item in items:
        assert place.put(item)
    assert place.dropped == len(items) - 1
    place.close()
    assert not place.put(99)
    assert list(place) == [items[-1]]


def test_a_consumer_waits_and_is_woken() -> None:
    place: Newest[str] = Newest()
    assert place.take(timeout=0.01) is None
    taken: list[str] = []
    thread = threading.Thread(target=lambda: taken.extend(place))
    thread.start()
    place.put("one")
    while not taken:
        time.sleep(0.001)
    place.close()
    thread.join()
    assert taken == ["one"]


# --- sources


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


# --- the run


class Inverting(Unpainted):
    """Paints negatives."""

    def push(self, frame: Frame) -> list[Frame]:
        return [replace(frame, pixels=255 - frame.pixels)]


class Kept:
    """An outlet that remembers, or fails."""

    def __init__(self, fails_at: int | None = None, slow: float = 0.0) -> None:
        self.name, self.frames, self.done = "kept", [], False
        self._fails_at, self._slow = fails_at, slow

    def write(self, frame: Frame) -> None:
        if self._fails_at is not None and len(self.frames) == self._fails_at:
            raise SinkWriteError("the player has gone")
        time.sleep(self._slow)
        self.frames.append(frame)

    def finish(self) -> None:
        self.done = True


class Keyboard:
    """A screen on which keys are pressed at certain frames."""

    def __init__(self, keys: dict[int, str]) -> None:
        self.shown: list[np.ndarray] = []
        self._keys = keys

    def show(self, pixels: np.ndarray) -> str | None:
        self.shown.append(pixels)
        return self._keys.get(len(self.shown))


def run(outlets: list[Any], screen: Any = None, frames: int = 20, **more: Any) -> Live:
    source = LiveSource(SMALL)
    studio = Studio([Inverting, Inverting], patient=False)
    live = Live(source, studio, outlets, screen, **more)
    live.on_key = lambda key, knobs: None if key == "q" else turned(knobs, key, 2)
    live.run(frames=frames)
    source.close()
    return live


def test_every_outlet_gets_the_newest_painting_with_a_rising_clock() -> None:
    fast, slow = Kept(), Kept(slow=0.05)
    live = run([fast, slow], frames=30)
    assert live.report.frames == 30
    assert fast.done
    assert slow.done
    assert 2 <= len(slow.frames) < len(fast.frames)
    for outlet in (fast, slow):
        times = [frame.pts for frame in outlet.frames]
        assert times == sorted(set(times))
    median, high = live.report.latency_ms
    assert 0 < median <= high < 1000


def test_an_outlet_that_fails_is_dropped_and_the_others_go_on() -> None:
    said: list[str] = []
    good, bad = Kept(), Kept(fails_at=3)
    run([bad, good], frames=20, say=said.append)
    assert said == ["the player has gone; the others go on"]
    assert len(bad.frames) == 3
    assert len(good.frames) > 10
    assert bad.done


def test_when_the_last_outlet_has_failed_it_is_over() -> None:
    bad = Kept(fails_at=2)
    with pytest.raises(SinkWriteError, match="the player has gone"):
        run([bad], frames=1000)
    assert len(bad.frames) == 2
    assert bad.done


def test_a_network_that_fails_ends_everything_and_keeps_the_rest() -> None:
    class Broken(Inverting):
        def push(self, frame: Frame) -> list[Frame]:
            raise RuntimeError("out of memory")

    source, outlet = LiveSource(SMALL), Kept()
    with pytest.raises(RuntimeError, match="out of memory"):
        Live(source, Studio([Broken]), [outlet]).run()
    source.close()
    assert outlet.done


def test_keys_turn_knobs_while_it_runs() -> None:
    screen = Keyboard({3: "m", 6: "b", 9: "b", 11: "n", 14: "f", 18: "q"})
    live = run([], screen, frames=1000)
    assert len(screen.shown) == 18
    assert live.knobs.mirror
    assert live.knobs.style == 1
    assert not screen.shown[7].any()
    assert screen.shown[10].any()
    assert np.array_equal(screen.shown[15], screen.shown[17])


def test_keys_are_read_while_no_frame_comes() -> None:
    pressed = iter(["m", None, "q"])
    source = LiveSource("test:96x64@1")  # a frame a second
    live = Live(source, Studio([Inverting]), [Kept()])
    live.read_key = lambda: next(pressed)
    live.on_key = lambda key, knobs: None if key == "q" else turned(knobs, key, 1)
    begun = time.monotonic()
    live.run()
    source.close()
    assert live.knobs.mirror
    assert live.report.frames < 3
    assert time.monotonic() - begun < 10


def test_without_a_display_a_window_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only here does OpenCV end the program without a display")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SinkOpenError, match="there is no display"):
        Window()


# --- pushing, recording, ending


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_push_arrives_at_a_listener() -> None:
    port = free_port()
    received: list[Any] = []

    def listen() -> None:
        address = f"udp://127.0.0.1:{port}?listen=1&timeout=8000000"
        with av.open(address, format="mpegts", timeout=10) as stream:
            for frame in stream.decode(video=0):
                received.append(frame.to_ndarray(format="rgb24"))
                if len(received) == 5:
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    time.sleep(0.3)
    outlet = PushSink(f"udp://127.0.0.1:{port}?pkt_size=1316", (96, 64), Fraction(25))
    for number in range(150):
        pixels = np.full((64, 96, 3), (200, 40, 40), np.uint8)
        outlet.write(Frame(pixels, Fraction(number, 25)))
        time.sleep(0.02)
        if len(received) >= 5:
            break
    outlet.finish()
    listener.join()
    assert len(received) == 5
    assert np.abs(received[-1].mean((0, 1)) - (200, 40, 40)).max() < 12


@pytest.mark.parametrize(
    ("address", "said"),
    [("ftp://x/y", "give an address of rtmp"), ("rtmp://127.0.0.1:9/x/y", "can't be opened")],
)
def test_addresses_that_can_not_be_pushed_to(address: str, said: str) -> None:
    with pytest.raises(SinkOpenError, match=said):
        PushSink(address, (96, 64), Fraction(25))


def test_the_command_records_what_it_paints(
    tmp_path: Path, identity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "live.mp4"
    command = ["webcam", SMALL, "--no-window", "--record", str(target), "--style", str(identity)]
    assert cli.run([*command, "--seconds", "1", "--mirror", "--temporal", "off"]) == 0
    said = capsys.readouterr().err
    assert "96x64 at 50 frames a second" in said
    assert "recorded" in said
    with av.open(str(target)) as recorded:
        frames = [f.to_ndarray(format="rgb24") for f in recorded.decode(video=0)]
    assert len(frames) >= 5
    assert frames[0].shape == (64, 96, 3)
    assert cli.run(command) == 1
    assert "pass --overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([SMALL, "--no-window"], "give --record FILE"),
        (["nowhere", "--no-window"], "is no live source"),
        ([SMALL, "--capture-size", "640x"], "give --capture-size as 1280x720"),
        ([SMALL, "--style", "none"], "no style 'none'"),
    ],
)
def test_the_command_says_what_can_not_work(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["webcam", *arguments]) == 1
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.skipif(os.name != "posix", reason="signals are sent differently elsewhere")
def test_ctrl_c_leaves_a_playable_recording(tmp_path: Path, identity: Path) -> None:
    target = tmp_path / "live.mp4"
    program = "from stylize_video.realtime.cli import main; main()"
    command = ["webcam", SMALL, "--no-window", "--record", str(target), "--style", str(identity)]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *command, "--temporal", "off"], stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    for line in process.stderr:
        if b"style " in line:
            break
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    try:
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, rest.decode()
    with av.open(str(target)) as recorded:
        assert sum(1 for _ in recorded.decode(video=0)) >= 5
    assert [p.name for p in tmp_path.iterdir()] == ["live.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are not known here")
def test_keys_in_the_terminal_turn_knobs_and_end_it(tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from stylize_video.realtime.cli import main; main()"]
    command += ["webcam", SMALL, "--no-window", "--style", "starry-fast", "--fade", "0"]
    command += ["--record", str(tmp_path / "live.mkv"), "--engine", "cpu", "--seconds", "60"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, close_fds=True
    ) as process:
        os.close(theirs)
        said = ""

        def read_until(words: str) -> None:
            nonlocal said
            until = time.monotonic() + 60
            while words not in said:
                assert time.monotonic() < until, said
                if select.select([ours], [], [], 0.5)[0]:
                    said += os.read(ours, 4096).decode(errors="replace")

        read_until(" dropped")
        for key, answer in (("h", "next style"), ("2", "style cartoon"), ("s", "snapshot: ")):
            os.write(ours, key.encode())
            read_until(answer)
        os.write(ours, b"q")
        read_until("recorded ")
        assert process.wait(30) == 0
        os.close(ours)
    assert len(list(tmp_path.glob("stylize-*.png"))) == 1
    with av.open(str(tmp_path / "live.mkv")) as recording:
        assert sum(1 for _ in recording.decode(video=0)) >= 2


def test_a_file_on_its_side_is_set_upright(data: Callable[[str], Path]) -> None:
    source = LiveSource(str(data("torture/dev/display_matrix_rotate90.mp4")))
    (first, *_) = (item.frame.pixels for item in source)
    source.close()
    assert source.size[0] < source.size[1]
    assert first.shape[:2] == source.size[::-1]
    # nothing of it is a border: it was turned, not fitted in
    assert first[:, 2].max() > 20
    assert first[:, -3].max() > 20
