"""Live runs against real components: an X server, and a virtual camera's double at the device. A
clock burnt into the pictures shows that they come in order and fresh.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_tools import (
    FRESH_S,
    Unpainted,
    age_s,
    count_of,
    counted,
    in_order_and_fresh,
    rising,
    running,
    watched,
    x_server,
)
from media import write_video

from stylize_video.realtime.errors import MissingDependency, SinkOpenError
from stylize_video.realtime.live import Live
from stylize_video.realtime.sinks.virtual_camera import VirtualCameraSink
from stylize_video.realtime.sources._opening import LiveOptions
from stylize_video.realtime.sources.live import LiveSource
from stylize_video.realtime.studio import Studio

PROGRAM = "from stylize_video.realtime.cli import main; main()"
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="components of Linux")


# --- screen and window


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with x_server() as name:
        yield name


SCREENSHOT = """
import sys
import av
options = {"video_size": "640x480", "draw_mouse": "0"}
with av.open(sys.argv[1], format="x11grab", options=options) as grabbed:
    picture = next(grabbed.decode(video=0)).to_ndarray(format="rgb24")
    sys.stdout.buffer.write(picture.tobytes())
"""


def screenshot(display: str) -> np.ndarray:
    """What is on the screen, taken by a process without OpenCV, whose libxcb-shm is another."""
    taken = subprocess.run(
        [sys.executable, "-c", SCREENSHOT, display], capture_output=True, timeout=30, check=True
    )
    return np.frombuffer(taken.stdout, np.uint8).reshape(480, 640, 3)


def shown(display: str, wanted: Callable[[np.ndarray], bool]) -> bool:
    """Whether the screen shows what is wanted, within what a loaded machine may take."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        if wanted(screenshot(display)):
            return True
        time.sleep(0.2)
    return False


def test_the_screen_is_grabbed_while_it_changes(
    display: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", display)
    drawing = """
import time
from live_tools import counted, now
from stylize_video.realtime.sinks.window import Window
window = Window()
while True:
    window.show(counted(now(), (640, 480)))
    time.sleep(0.01)
"""
    with running(sys.executable, "-c", drawing, cwd=Path(__file__).parent):
        assert shown(display, lambda picture: age_s(count_of(picture)) < FRESH_S)
        asked = LiveOptions(size=(640, 480), rate=Fraction(25), resize=(320, 240))
        source = LiveSource("screen", asked)
        assert source.description.startswith("source screen 640x480 at 25 frames a second")
        seen = watched(source, 30)
    assert len(seen) >= 30
    assert in_order_and_fresh(seen)


def test_windows_get_all_their_events(display: str) -> None:
    """OpenCV's own libX11-xcb fits another libX11, and events were lost: windows stayed black."""
    program = """
import ctypes
from stylize_video.realtime.sinks.window import Window
Window()
found = ctypes.cast(ctypes.CDLL(None).XSetEventQueueOwner, ctypes.c_void_p).value
for line in open("/proc/self/maps"):
    first, last = (int(part, 16) for part in line.split()[0].split("-"))
    if first <= found < last:
        print(line.split()[-1])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "DISPLAY": display},
        capture_output=True,
        text=True,
        timeout=60,
    )
    (library,) = ran.stdout.splitlines()
    assert Path(library).name.startswith("libX11-xcb.so.1"), ran.stderr


def test_the_preview_shows_the_picture(display: str, identity: Path, tmp_path: Path) -> None:
    still = tmp_path / "still.mp4"
    write_video(still, 25, (640, 480), Fraction(25), draw=lambda _: counted(12345, (640, 480)))
    command = ["webcam", str(still), "--loop", "--style", str(identity), "--temporal", "off"]
    environment = {**os.environ, "DISPLAY": display}
    with running(
        sys.executable, "-c", PROGRAM, *command, env=environment, stderr=subprocess.PIPE
    ) as program:
        assert shown(display, lambda picture: count_of(picture) == 12345)
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=30)
    assert program.returncode == 130, said.decode()
    assert b"Traceback" not in said


def test_a_display_that_is_gone_is_said_and_the_rest_goes_on(
    identity: Path, tmp_path: Path
) -> None:
    # OpenCV would abort the program
    for display in ("", ":987"):
        target = tmp_path / f"live{display[1:]}.mkv"
        command = [
            *("webcam", "test:96x64@25", "--style", str(identity), "--temporal", "off"),
            *("--record", str(target), "--seconds", "0.5"),
        ]
        environment = {**os.environ, "DISPLAY": display}
        environment.pop("WAYLAND_DISPLAY", None)
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM, *command],
            env=environment,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr.decode()
        assert b"there is no window: " in ran.stderr
        assert target.is_file()


# --- the virtual camera


class Device:
    """The double at the boundary of the device; everything before it is pyvirtualcam's own."""

    frames: list[np.ndarray] = []  # noqa: RUF012
    there = True
    closed = 0

    def __init__(
        self, *, width: int, height: int, fps: float, device: str | None, **_: Any
    ) -> None:
        if not Device.there or device not in (None, "/dev/video9"):
            raise RuntimeError("No v4l2 loopback device found")
        self._shape = (height, width, 3)

    def send(self, frame: np.ndarray) -> None:
        if not Device.there:
            raise RuntimeError("device is gone")
        Device.frames.append(frame.reshape(self._shape).copy())

    def close(self) -> None:
        Device.closed += 1

    def device(self) -> str:
        return "/dev/video9"

    def native_fourcc(self) -> None:
        return None


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> type[Device]:
    import pyvirtualcam
    from pyvirtualcam import camera

    monkeypatch.setattr(camera, "BACKENDS", {})
    pyvirtualcam.register_backend("double", Device)
    Device.frames, Device.there, Device.closed = [], True, 0
    return Device


def test_a_virtual_camera_gets_every_painting(device: type[Device]) -> None:
    source = LiveSource("test:97x65@50")  # odd sides, which loopback devices don't take
    sink = VirtualCameraSink(None, source.size, source.rate)
    assert sink.name == "virtual camera /dev/video9"
    Live(source, Studio([Unpainted]), [sink]).run(frames=20)
    source.close()
    assert 5 <= len(device.frames) <= 20
    assert device.frames[0].shape == (64, 96, 3)
    assert device.frames[0].std() > 20
    assert device.closed == 1


def test_a_virtual_camera_that_is_unloaded_is_dropped(device: type[Device]) -> None:
    from stylize_video.realtime.errors import SinkWriteError

    source = LiveSource("test:96x64@50")
    sink = VirtualCameraSink("/dev/video9", source.size, source.rate)

    def unload(report: Any) -> None:
        device.there = report.frames < 10

    with pytest.raises(SinkWriteError, match="virtual camera /dev/video9 is gone: device is gone"):
        Live(source, Studio([Unpainted]), [sink]).run(unload, frames=1000)
    source.close()
    assert device.closed == 1


def test_a_missing_virtual_camera_says_what_to_load(
    device: type[Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SinkOpenError, match=r"camera /dev/video3 can't be opened: .*modprobe"):
        VirtualCameraSink("/dev/video3", (96, 64), Fraction(25))
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SinkOpenError, match="install OBS"):
        VirtualCameraSink("/dev/video3", (96, 64), Fraction(25))
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(MissingDependency, match=r"stylize-video\[vcam\]"):
        VirtualCameraSink(None, (96, 64), Fraction(25))


def test_the_burnt_in_clock_can_be_read() -> None:
    for count in (0, 1, 12345, 65535):
        assert count_of(counted(count)) == count
    assert rising([65534, 2, 2, 9])
    assert not rising([5, 4])
