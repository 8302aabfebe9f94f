"""Live runs, outlets and knobs: nothing queues up, and what fails takes nothing else along."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_tools import SMALL, Unpainted, free_port

from stylize_video.realtime import cli
from stylize_video.realtime.errors import SinkOpenError, SinkWriteError
from stylize_video.realtime.frame import Frame
from stylize_video.realtime.knobs import turned
from stylize_video.realtime.live import Live
from stylize_video.realtime.newest import Newest
from stylize_video.realtime.sinks.push import PushSink
from stylize_video.realtime.sinks.window import Window
from stylize_video.realtime.sources.live import LiveSource
from stylize_video.realtime.studio import Studio

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


def test_a_push_arrives_at_a_listener() -> None:
    port = free_port(socket.SOCK_DGRAM)
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
