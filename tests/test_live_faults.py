"""What goes wrong with sources and outlets while a run goes on: it is said, and nothing hangs or is
left behind.
"""

import collections
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_tools import Unpainted, nothing_left
from media import write_video

from stylize_video.realtime import _child
from stylize_video.realtime.catalogue import find_style
from stylize_video.realtime.engines.choose import EngineRequest, load_engine
from stylize_video.realtime.errors import SinkOpenError, SinkWriteError
from stylize_video.realtime.frame import Frame
from stylize_video.realtime.live import Live
from stylize_video.realtime.sinks import push
from stylize_video.realtime.sinks.push import PushSink
from stylize_video.realtime.sources import live as live_source
from stylize_video.realtime.sources._opening import LiveOptions
from stylize_video.realtime.sources.live import LiveSource
from stylize_video.realtime.studio import Studio
from stylize_video.realtime.stylizer import Stylizer
from stylize_video.realtime.tiers import stage_for

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
PROGRAM = "from stylize_video.realtime.cli import main; main()"


class Kept:
    """An outlet that remembers."""

    name = "kept"

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def write(self, frame: Frame) -> None:
        self.frames.append(frame)

    def finish(self) -> None:
        pass


@pytest.fixture
def stream(tmp_path: Path) -> bytes:
    """A second of MPEG-TS."""
    path = tmp_path / "stream.ts"
    options = {"preset": "ultrafast", "g": "5"}
    write_video(path, 25, (96, 64), Fraction(25), options=options)
    return path.read_bytes()


@contextmanager
def serving(*answers: bytes, then_stall: bool = False) -> Iterator[str]:
    """A TCP server that gives each connection its answer, the last one again and again."""
    over = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)
    left = list(answers)
    held: list[socket.socket] = []

    def serve() -> None:
        while not over.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            connection.settimeout(5)
            with suppress(OSError):
                connection.sendall(left.pop(0) if len(left) > 1 else left[0])
            if then_stall:
                held.append(connection)
            else:
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
    finally:
        over.set()
        thread.join()
        for connection in held:
            connection.close()
        server.close()


def run(name: str, frames: int, **more: Any) -> tuple[Kept, list[str]]:
    """A run over a source, ended after so many frames or half a minute; what was said."""
    said: list[str] = []
    kept = Kept()
    source = LiveSource(name, LiveOptions(**more), said.append)
    live = Live(source, Studio([Unpainted]), [kept], say=said.append)
    live.run(frames=frames, seconds=30)
    source.close()
    assert live.report.frames == frames, said
    return kept, said


def test_a_server_that_hangs_up_is_called_again(stream: bytes) -> None:
    with nothing_left(), serving(stream) as address:
        _, said = run(address, 40)
    assert any("trying again" in line for line in said)
    assert any("is back" in line for line in said)


def test_a_server_that_stalls_is_called_again(
    stream: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_source, "_READ_TIMEOUT_S", 0.5)
    with nothing_left(), serving(stream, then_stall=True) as address:
        _, said = run(address, 40)
    assert any("stopped: " in line for line in said)


def test_a_stalled_source_can_be_stopped(stream: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_source, "_READ_TIMEOUT_S", 1.0)
    with nothing_left(), serving(stream, then_stall=True) as address:
        source = LiveSource(address)
        threading.Timer(0.8, source.stop).start()
        assert len(list(source)) <= 25
        source.close()


def test_a_picture_of_another_size_is_fitted_in(tmp_path: Path, stream: bytes) -> None:
    tall = tmp_path / "tall.ts"
    write_video(tall, 25, (48, 96), Fraction(25), options={"preset": "ultrafast", "g": "5"})
    # after a connection anew, and within one
    for answers in ((stream, tall.read_bytes()), (stream + tall.read_bytes(),)):
        with nothing_left(), serving(*answers) as address:
            kept, said = run(address, 45)
        assert {frame.pixels.shape for frame in kept.frames} == {(64, 96, 3)}
        assert any("changes size" in line for line in said)
        fitted = kept.frames[-1].pixels if len(answers) > 1 else None
        if fitted is not None:  # with its aspect kept: black beside it
            assert fitted[:, :20].mean() < 8
            assert fitted[:, 36:60].mean() > 20


def test_garbage_is_skipped_and_said(stream: bytes) -> None:
    random = np.random.default_rng(0)
    damaged = bytearray(stream)
    for at in random.integers(len(stream) // 4, len(stream), 300):
        damaged[at] = random.integers(256)
    with nothing_left(), serving(bytes(damaged), stream) as address:
        kept, _ = run(address, 30)
    assert all(frame.pixels.shape == (64, 96, 3) for frame in kept.frames)


def test_nothing_but_garbage_is_no_source() -> None:
    noise = np.random.default_rng(0).integers(0, 256, 200_000).astype(np.uint8).tobytes()
    refused = pytest.raises(live_source.SourceOpenError, match=r"can't be opened|no picture")
    with nothing_left(), serving(noise) as address, refused:
        LiveSource(address)


# --- outlets


@contextmanager
def deaf_server() -> Iterator[int]:
    """The port of a server that takes connections and never reads."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def noise(number: int) -> Frame:
    pixels = np.random.default_rng(number).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    return Frame(pixels, Fraction(number, 25))


def test_a_server_that_does_not_answer_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "_TIMEOUT_S", 1.0)
    refused = pytest.raises(SinkOpenError, match="no answer within 1 s")
    with nothing_left(), deaf_server() as port, refused:
        PushSink(f"rtmp://127.0.0.1:{port}/live/a", (96, 64), Fraction(25))


def test_a_server_that_takes_no_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "_TIMEOUT_S", 1.0)
    monkeypatch.setattr(push, "_PATIENCE_S", 0.2)
    with nothing_left(), deaf_server() as port:
        sink = PushSink(f"tcp://127.0.0.1:{port}", (320, 240), Fraction(25), bitrate=50_000_000)
        live_frames = map(noise, range(2000))
        with pytest.raises(SinkWriteError, match="is gone: it took nothing for 1 s"):
            collections.deque(map(sink.write, live_frames), maxlen=0)
        sink.finish()


def test_a_sender_that_is_killed_is_dropped_and_the_rest_goes_on() -> None:
    said: list[str] = []
    with nothing_left(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"udp://127.0.0.1:{listener.getsockname()[1]}"
        source = LiveSource("test:96x64@50")
        sink, kept = PushSink(address, source.size, source.rate), Kept()

        def kill(report: Any) -> None:
            if report.frames == 10:
                os.kill(sink._child._process.pid, signal.SIGKILL)

        live = Live(source, Studio([Unpainted]), [sink, kept], say=said.append)
        live.run(kill, frames=40)
        source.close()
    assert len(said) == 1
    assert "is gone: " in said[0]
    assert said[0].endswith("the others go on")
    assert len(kept.frames) > 15


def test_a_full_disk_ends_the_recording_alone(tmp_path: Path, identity: Path) -> None:
    target = tmp_path / "full.mp4"
    arguments = [
        *("webcam", "test:320x240@50", "--no-window", "--style", str(identity)),
        *("--temporal", "off", "--seconds", "4", "--record", str(target), "--stdout", "raw"),
    ]
    limited = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        timeout=90,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)),
    )
    said = limited.stderr.decode()
    assert limited.returncode == 0, said
    assert "full.mp4 can't be written: " in said
    assert "the others go on" in said
    assert "Traceback" not in said
    assert len(limited.stdout) > 20 * 320 * 240 * 3
    assert not target.exists()
    assert not list(tmp_path.glob(".*.part*"))


@pytest.mark.slow
def test_a_thousand_switches_while_live_though_a_model_is_removed(
    tmp_path: Path, identity: Path
) -> None:
    models = [tmp_path / f"{letter}.onnx" for letter in "abcd"]
    for model in models:
        model.write_bytes(identity.read_bytes())
    kept, said = Kept(), []

    def maker(model: Path) -> Callable[[], Stylizer]:
        request = EngineRequest("cpu", threads=1)
        return lambda: Stylizer(load_engine(find_style(str(model)), request), stage_for("fast", 1))

    with nothing_left():
        source = LiveSource("test:96x64@100", LiveOptions(), said.append)
        makers = [maker(model) for model in models]
        studio = Studio(makers, patient=False, most_loaded=2, say=said.append)
        live = Live(source, studio, [kept], say=said.append)
        random = np.random.default_rng(0)

        def switch(report: Any) -> None:
            if report.frames == 300:
                models[3].unlink()
                studio.forgive(3)
            live.knobs = replace(live.knobs, style=int(random.integers(4)), mix=())

        live.run(switch, frames=1000, seconds=60)
        source.close()
    assert live.report.frames == 1000, said
    assert len(said) == 1
    assert "d.onnx" in said[0]
    assert said[0].endswith("; the style before stays")
    assert all(frame.pixels.std() > 20 for frame in kept.frames)  # never black
    times = [frame.pts for frame in kept.frames]
    assert times == sorted(set(times))


def test_outlets_come_and_go_without_leaving_anything(tmp_path: Path) -> None:
    with nothing_left():
        source = LiveSource("test:96x64@50")
        first, second = Kept(), Kept()
        live = Live(source, Studio([Unpainted]), [first])

        def change(report: Any) -> None:
            if report.frames == 10:
                live.add(second)
            if report.frames == 30:
                live.remove(second)
                live.remove(second)

        live.run(change, frames=60)
        source.close()
    assert 5 <= len(second.frames) < len(first.frames)
    assert second.frames[0].pts == 0  # its clock begins when it comes


def test_a_child_is_reaped_however_it_ends() -> None:
    with nothing_left():
        for program in ("import time; time.sleep(60)", "import sys; sys.exit('it broke')"):
            child = _child.Child([sys.executable, "-c", program], feeds=False, timeout_s=3.0)
            with (
                pytest.raises(TimeoutError, match=r"gave nothing for 3 s")
                if ("sleep" in program)
                else _nothing_raised()
            ):
                time.sleep(0.1)
                while child.read(100):
                    pass
            child.end()
            assert child.said == ("it broke" if "broke" in program else "")


@contextmanager
def _nothing_raised() -> Iterator[None]:
    yield
