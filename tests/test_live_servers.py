"""Live runs through real servers and listeners: pictures come in order and fresh, sound as well."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from live_tools import (
    FRESH_S,
    Unpainted,
    age_s,
    count_of,
    free_port,
    in_order_and_fresh,
    needs,
    nothing_left,
    publishing,
    rtmp_server,
    running,
    watched,
)

from stylize_video.realtime.errors import MissingDependency, SinkOpenError, SourceOpenError
from stylize_video.realtime.live import Live
from stylize_video.realtime.sinks.push import PushSink
from stylize_video.realtime.sources._opening import LiveOptions
from stylize_video.realtime.sources.live import LiveSource
from stylize_video.realtime.studio import Studio

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="components of Linux")


def test_through_an_rtmp_server_and_back(tmp_path: Path) -> None:
    with nothing_left(), rtmp_server(tmp_path / "nginx") as server:
        first = PushSink(f"{server}/in", (320, 240), Fraction(25))
        with publishing(first):
            source = LiveSource(f"{server}/in")
            assert source.size == (320, 240)
            out = PushSink(f"{server}/out", source.size, source.rate)
            live = Live(source, Studio([Unpainted]), [out])
            thread = threading.Thread(target=live.run)
            thread.start()
            try:
                seen = watched(LiveSource(f"{server}/out"), 40)
            finally:
                live.stop()
                thread.join()
                source.close()
    assert len(seen) >= 40
    assert in_order_and_fresh(seen)


@pytest.mark.parametrize(
    ("address", "form", "options"),
    [
        ("rtsp://127.0.0.1:{}/cam", "rtsp", {"rtsp_flags": "listen", "listen_timeout": "20"}),
        ("udp://127.0.0.1:{}?pkt_size=1316", "mpegts", {"timeout": "20000000"}),
        ("tcp://127.0.0.1:{}", "mpegts", {"listen": "1"}),
    ],
    ids=["rtsp", "udp", "tcp"],
)
def test_a_listener_gets_what_is_pushed(address: str, form: str, options: dict[str, str]) -> None:
    kind = socket.SOCK_DGRAM if address.startswith("udp") else socket.SOCK_STREAM
    address = address.format(free_port(kind))
    seen: list[tuple[int, float]] = []

    def listen() -> None:
        with av.open(address, format=form, options=options, timeout=25) as stream:
            for frame in stream.decode(video=0):
                picture = frame.to_ndarray(format="rgb24")
                if picture[-20:].mean() > 60:  # the black picture that opens a connection
                    seen.append((count_of(picture), age_s(count_of(picture))))
                if len(seen) >= 30 and seen[-1][1] < FRESH_S:
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    with nothing_left():
        sink = None
        for _ in range(100):
            try:
                sink = PushSink(address, (320, 240), Fraction(25))
                break
            except SinkOpenError:  # the listener does not listen yet
                time.sleep(0.1)
        assert sink is not None
        with publishing(sink):
            listener.join(30)
    listener.join()
    assert len(seen) >= 30
    assert in_order_and_fresh(seen)


def opened(name: str) -> LiveSource:
    """A source whose server may not have had a picture yet."""
    until = time.monotonic() + 30
    while True:
        try:
            return LiveSource(name)
        except SourceOpenError:
            assert time.monotonic() < until, f"{name} never had a picture"
            time.sleep(0.2)


@pytest.mark.parametrize("scheme", ["rtmp", "udp", "srt"])
def test_sound_is_pushed_beside_the_picture(scheme: str, clip: Path, tmp_path: Path) -> None:
    if scheme == "srt":
        needs("ffmpeg")
    with nothing_left(), contextlib.ExitStack() as stack:
        port = free_port(socket.SOCK_DGRAM)
        target = f"{scheme}://127.0.0.1:{port}"
        if scheme == "rtmp":
            target = f"{stack.enter_context(rtmp_server(tmp_path / 'nginx'))}/sound"
        heard: list[float] = []

        def listen() -> None:
            receiver = opened(f"{target}?mode=listener" if scheme == "srt" else target)
            receiver.on_sound = lambda sound: heard.append(float(sound.start))
            guard = threading.Timer(30, receiver.stop)
            guard.start()
            for _ in receiver:
                if len(heard) >= 20:
                    break
            guard.cancel()
            receiver.close()

        listener = threading.Thread(target=listen)
        if scheme != "rtmp":  # a server has to have the stream first
            listener.start()
        source = LiveSource(str(clip), LiveOptions(loop=True))
        sink = PushSink(target, source.size, source.rate, sound=source.sound)
        live, sent = Live(source, Studio([Unpainted]), [sink]), threading.Event()
        watch = lambda report: sent.set() if report.frames > 25 else None  # noqa: E731
        runner = threading.Thread(target=lambda: live.run(watch, seconds=45))
        runner.start()
        if scheme == "rtmp":
            sent.wait(30)
            listener.start()
        listener.join()
        live.stop()
        runner.join()
        source.close()
    assert len(heard) >= 20
    assert heard == sorted(heard)


def test_srt_through_a_bridge(tmp_path: Path) -> None:
    bridge, srt, udp = needs("srt-live-transmit"), free_port(), free_port(socket.SOCK_DGRAM)
    listening = (f"srt://127.0.0.1:{srt}?mode=listener", f"udp://127.0.0.1:{udp}")
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with nothing_left(), running(bridge, *listening, **quiet):
        sink = PushSink(f"srt://127.0.0.1:{srt}", (320, 240), Fraction(25))
        with publishing(sink):
            seen = watched(LiveSource(f"udp://127.0.0.1:{udp}"), 30)
    assert len(seen) >= 30
    assert in_order_and_fresh(seen)


def test_srt_is_received(tmp_path: Path) -> None:
    needs("ffmpeg")
    port = free_port(socket.SOCK_DGRAM)
    seen: list[tuple[int, float]] = []

    def receive() -> None:
        seen.extend(watched(LiveSource(f"srt://127.0.0.1:{port}?mode=listener"), 30))

    with nothing_left():
        receiver = threading.Thread(target=receive)
        receiver.start()
        sink = PushSink(f"srt://127.0.0.1:{port}", (320, 240), Fraction(25))
        with publishing(sink):
            receiver.join(40)
        receiver.join()
    assert len(seen) >= 30
    assert in_order_and_fresh(seen)


@pytest.mark.parametrize(
    "address",
    ["srt://host", "srt://host:1 -y /tmp/x", "srt://a:1\n", "srt://-i:1?x=$(id)", "srt://h:1|tee"],
)
def test_srt_addresses_are_nothing_but_addresses(address: str) -> None:
    with pytest.raises(SinkOpenError, match="can't be pushed to"):
        PushSink(address, (96, 64), Fraction(25))
    with pytest.raises(SourceOpenError, match="give srt://HOST:PORT"):
        LiveSource(address)


def test_srt_without_its_program_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    for open_it in (lambda a: PushSink(a, (96, 64), Fraction(25)), LiveSource):
        with pytest.raises(MissingDependency, match=r"stylize-video\[srt\]"):
            open_it("srt://127.0.0.1:9")
