"""Outlets, sound and what is around them, without devices: standard output, recordings with sound,
the clock that ties sound to pictures, the names of cameras, `stylize doctor`.
"""

import json
import os
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stylize_video.realtime import cli, doctor
from stylize_video.realtime._options import parse_bitrate
from stylize_video.realtime.errors import SinkOpenError, SinkWriteError, SourceOpenError
from stylize_video.realtime.frame import Frame
from stylize_video.realtime.outlets import Outlets
from stylize_video.realtime.sinks.stdout import StdoutSink
from stylize_video.realtime.sound import Anchor, Sound
from stylize_video.realtime.sources._cameras import Camera, camera_called, cameras

PROGRAM = "from stylize_video.realtime.cli import main; main()"
posix = pytest.mark.skipif(os.name != "posix", reason="pipes are another thing elsewhere")


def plain(level: int, pts: Fraction) -> Frame:
    return Frame(np.full((48, 64, 3), level, np.uint8), pts)


# --- standard output


def read_all(descriptor: int, into: bytearray) -> None:
    while chunk := os.read(descriptor, 1 << 16):
        into.extend(chunk)


@posix
def test_pictures_come_out_at_a_constant_rate() -> None:
    reading, writing = os.pipe()
    got = bytearray()
    reader = threading.Thread(target=read_all, args=(reading, got))
    reader.start()
    sink = StdoutSink("raw", (64, 48), Fraction(10), writing)
    for tenths in (0, 1, 1.2, 4, 4.1):  # one too many, two missing, one too many
        sink.write(plain(round(tenths * 50), Fraction(tenths) / 10))
    sink.finish()
    os.close(writing)
    reader.join()
    os.close(reading)
    frames = np.frombuffer(bytes(got), np.uint8).reshape(-1, 48, 64, 3)
    assert [int(frame[0, 0, 0]) for frame in frames] == [0, 50, 50, 50, 200]


@posix
def test_a_reader_that_has_gone_is_said() -> None:
    reading, writing = os.pipe()
    sink = StdoutSink("y4m", (64, 48), Fraction(25), writing)
    os.close(reading)
    with pytest.raises(SinkWriteError, match="standard output can't be written: broken pipe"):
        sink.write(plain(9, Fraction(0)))
    sink.finish()
    os.close(writing)


@posix
def test_a_reader_that_sleeps_is_left() -> None:
    reading, writing = os.pipe()
    sink = StdoutSink("raw", (640, 480), Fraction(25), writing)
    picture = Frame(np.zeros((480, 640, 3), np.uint8), Fraction(0))
    threading.Timer(0.3, sink.cancel).start()
    with pytest.raises(SinkWriteError, match="its reader takes nothing"):
        sink.write(picture)
    sink.finish()
    os.close(reading)
    os.close(writing)


@posix
def test_a_terminal_gets_no_pictures() -> None:
    ours, theirs = os.openpty()
    with pytest.raises(SinkOpenError, match="standard output is a terminal"):
        StdoutSink("y4m", (64, 48), Fraction(25), theirs)
    os.close(ours)
    os.close(theirs)


@posix
def test_the_command_writes_y4m_and_says_everything_else_elsewhere(identity: Path) -> None:
    arguments = ["webcam", "test:96x64@25", "--no-window", "--style", str(identity)]
    more = ["--temporal", "off", "--seconds", "1", "--stdout", "y4m"]
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments, *more],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.startswith(b"YUV4MPEG2 W96 H64 F25:1")
    assert ran.stdout.count(b"FRAME\n") >= 5
    assert b"latency" in ran.stderr


# --- sound


def test_the_clock_follows_the_least_delay() -> None:
    anchor = Anchor()
    anchor.see(0.0, 100.0)
    assert anchor.offset == 100.0
    anchor.see(2.0, 100.02)  # a burst of what the server had kept
    assert anchor.offset == pytest.approx(98.02)
    for number in range(1, 50):  # held up by the network, but never for long
        anchor.see(2 + number / 25, 100.02 + number / 25 + (number % 5) / 25)
    assert anchor.offset == pytest.approx(98.02)
    for number in range(50, 400):  # a clock that jumped is followed once the old one is forgotten
        anchor.see(2 + number / 25, 100.52 + number / 25)
    assert anchor.offset == pytest.approx(98.52)


def beeping(path: Path) -> Path:
    """Three seconds with a flash and a beep at each full one."""
    with av.open(str(path), "w") as output:
        video: Any = output.add_stream("libx264", 25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio: Any = output.add_stream("aac", 44100)
        for index in range(75):
            lit = index >= 25 and index % 25 < 3
            pixels = np.full((64, 96, 3), 230 if lit else 20, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        time = np.arange(3 * 44100) / 44100
        wave = 0.5 * np.sin(6283 * time) * ((time % 1 < 0.12) & (time >= 1))
        block = av.AudioFrame.from_ndarray(
            np.stack([wave] * 2).astype(np.float32), "fltp", "stereo"
        )
        block.rate, block.pts = 44100, 0
        output.mux(audio.encode(block))
        output.mux(audio.encode(None))
    return path


def onsets(path: Path) -> tuple[list[float], list[float]]:
    """When flashes and beeps begin, in seconds."""
    flashes: list[float] = []
    beeps: list[float] = []
    lit = loud = False
    with av.open(str(path)) as media:
        for frame in media.decode(video=0):
            now = frame.to_ndarray(format="gray").mean() > 120
            if now and not lit:
                flashes.append(float(frame.time))
            lit = now
    with av.open(str(path)) as media:
        for frame in media.decode(audio=0):
            blocks = np.abs(frame.to_ndarray()).max(0)[: frame.samples // 64 * 64].reshape(-1, 64)
            for number, level in enumerate(blocks.max(1)):
                if level > 0.2 and not loud:
                    beeps.append(frame.time + 64 * number / frame.sample_rate)
                loud = level > 0.2
    return flashes, beeps


@pytest.mark.parametrize("ending", ["mp4", "webm"])  # copied, and converted to Opus
def test_sound_is_recorded_in_sync(
    tmp_path: Path, identity: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / f"live.{ending}"
    source = beeping(tmp_path / "beep.mp4")
    command = ["webcam", str(source), "--no-window", "--style", str(identity)]
    assert cli.run([*command, "--temporal", "off", "--record", str(target)]) == 0
    assert ("converted to libopus" in capsys.readouterr().err) == (ending == "webm")
    flashes, beeps = onsets(target)
    assert len(flashes) == len(beeps) == 2
    # a machine that is busy takes pictures late; half a second would be another fault
    assert min(abs(f - b) for f, b in zip(flashes, beeps, strict=True)) < 0.15
    assert beeps[1] - beeps[0] == pytest.approx(1, abs=0.03)


def test_sound_can_be_left_out(tmp_path: Path, identity: Path) -> None:
    target = tmp_path / "live.mkv"
    source = beeping(tmp_path / "beep.mp4")
    command = ["webcam", str(source), "--no-window", "--style", str(identity), "--no-sound"]
    assert cli.run([*command, "--temporal", "off", "--record", str(target), "--seconds", "1"]) == 0
    with av.open(str(target)) as recorded:
        assert not recorded.streams.audio


def test_sound_that_nobody_takes_does_not_pile_up() -> None:
    class Stuck:
        """An outlet that takes one frame and then its time."""

        name = "stuck"

        def __init__(self) -> None:
            self.go, self.begun, self.heard = threading.Event(), threading.Event(), 0

        def write(self, frame: Frame) -> None:
            self.begun.set()
            self.go.wait(20)

        def hear(self, sound: Sound) -> None:
            self.heard += 1

        def finish(self) -> None:
            pass

    stuck = Stuck()
    outlets = Outlets([stuck])
    outlets.start()
    outlets.put(plain(0, Fraction(0)))
    assert stuck.begun.wait(20)
    for number in range(1000):
        outlets.put_sound(Sound(b"x", number, 1, Fraction(1, 50)))
    stuck.go.set()
    outlets.end()
    assert stuck.heard == 256


# --- the rest


@pytest.mark.parametrize(
    ("text", "bits"), [("2500k", 2_500_000), ("4M", 4_000_000), ("64000", 64000)]
)
def test_bitrates(text: str, bits: int) -> None:
    assert parse_bitrate(text) == bits


@pytest.mark.parametrize("text", ["", "k", "-4M", "1", "4G", "nan", "inf"])
def test_what_is_no_bitrate(text: str) -> None:
    import argparse

    with pytest.raises(argparse.ArgumentTypeError, match="is not a bitrate"):
        parse_bitrate(text)


def test_cameras_are_found_and_named(tmp_path: Path) -> None:
    for number, title, index in ((10, "Back", "0"), (2, "HD Cam", "0"), (3, "HD Cam", "1")):
        node = tmp_path / f"video{number}"
        node.mkdir()
        (node / "name").write_text(f"{title}\n")
        (node / "index").write_text(f"{index}\n")
    known = cameras("linux", tmp_path)
    assert known == [Camera("2", "HD Cam"), Camera("10", "Back")]
    assert camera_called("hd", known) == "2"
    assert camera_called("7", known) == "7"
    with pytest.raises(SourceOpenError, match="no camera is called 'x': 2  HD Cam, 10  Back"):
        camera_called("x", known)
    with pytest.raises(SourceOpenError, match="several cameras are called 'a'"):
        camera_called("a", known)


def test_the_doctor_tries_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["paints"]
    found = {(f["group"], f["name"]): f for f in document["findings"]}
    assert found["engines", "cpu"]["works"]
    assert " ms" in found["engines", "cpu"]["detail"]
    assert found["encoders", "libx264"]["works"]
    assert "starry" in found["styles", "catalogue"]["detail"]
    for finding in document["findings"]:
        if finding["group"] == "outlets" and not finding["works"]:
            assert finding["remedy"]
    assert cli.run(["doctor"]) == 0
    assert "\n  yes  libx264 " in capsys.readouterr().out


def test_the_doctor_fails_where_nothing_can_be_painted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "all_styles", list)
    assert cli.run(["doctor"]) == 1
    assert "nothing can be painted here" in capsys.readouterr().out
