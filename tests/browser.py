"""A browser, a camera file for it, and a server to open: for tests and benchmarks of the web page.

The camera shows four colours and, in blocks of black and white, the number of its frame.
"""

import contextlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from media import model_bytes
from numpy.typing import NDArray
from onnx import TensorProto, helper

BITS = 10
BLOCKS = BITS + 2
"""The bits of the number between a block that is always black and one that is always white."""
FRAMES = 300
COLOURS = ((200, 40, 40), (40, 180, 60), (50, 60, 200), (200, 180, 40))
"""Of the quarters: upper left, upper right, lower left, lower right."""
PROGRAM = "from stylize_video.realtime.cli import main; main()"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# where the picture holds what, as parts of width and height
PLACES = ((0.25, 0.2), (0.75, 0.2), (0.25, 0.6), (0.75, 0.6))
BITS_AT = 0.9
# reads the colours of the quarters and the number from whatever element is given
READ = """(id) => {
  const source = document.getElementById(id), canvas = document.createElement("canvas");
  const width = source.videoWidth || source.naturalWidth || source.width;
  const height = source.videoHeight || source.naturalHeight || source.height;
  if (width < 64) return null; // nothing yet
  canvas.width = width; canvas.height = height;
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  pen.drawImage(source, 0, 0, width, height);
  const mean = (x, y) => {
    const side = Math.round(width / 40);
    const data = pen.getImageData(Math.round(x * width - side / 2), Math.round(y * height - side / 2), side, side).data;
    const sum = [0, 0, 0, 0];
    for (let i = 0; i < data.length; i++) sum[i & 3] += data[i];
    return sum.map((s) => s / (data.length / 4));
  };
  const blocks = [...Array(%d).keys()].map((i) => mean((i + 0.5) / %d, %s)[1]);
  const bits = blocks.slice(1, -1).map((level) => level > (blocks[0] + blocks.at(-1)) / 2);
  return {
    size: [width, height],
    colours: %s.map(([x, y]) => mean(x, y)),
    number: bits.reduce((all, bit, i) => all + (bit ? 1 << i : 0), 0),
  };
}""" % (BLOCKS, BLOCKS, BITS_AT, [list(place) for place in PLACES])  # noqa: E501, UP031


def camera_picture(number: int, size: tuple[int, int] = (640, 480)) -> NDArray[np.uint8]:
    """The camera's picture of a number, RGB (H, W, 3) uint8."""
    width, height = size
    picture = np.empty((height, width, 3), np.uint8)
    top = round(height * 0.4)
    picture[:top, : width // 2], picture[:top, width // 2 :] = COLOURS[0], COLOURS[1]
    picture[top:, : width // 2], picture[top:, width // 2 :] = COLOURS[2], COLOURS[3]
    blocks = [False, *(bool(number >> bit & 1) for bit in range(BITS)), True]
    for place, white in enumerate(blocks):
        left, right = round(place * width / BLOCKS), round((place + 1) * width / BLOCKS)
        picture[round(height * 0.8) :, left:right] = 235 if white else 20
    return picture


def write_camera(path: Path, size: tuple[int, int] = (640, 480), frames: int = FRAMES) -> Path:
    """A film for Chromium to take for a camera: it plays it again and again, at 30 a second."""
    with av.open(str(path), "w", format="mjpeg") as output:
        stream: Any = output.add_stream("mjpeg", rate=30, options={"qscale": "3"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(camera_picture(number, size), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            output.mux(stream.encode(frame.reformat(format="yuvj420p")))
        output.mux(stream.encode(None))
    return path


def write_turned(path: Path, order: tuple[int, int, int]) -> Path:
    """A style that exchanges colours: its channels are those of its input in this order."""
    shape: list[Any] = [1, "height", "width", 3]
    indices = helper.make_tensor("order", TensorProto.INT64, [3], list(order))
    node = helper.make_node("Gather", ["frame", "order"], ["painted"], axis=3)
    content = model_bytes(
        [node], ("frame", TensorProto.UINT8, shape), ("painted", TensorProto.UINT8, shape),
        [indices],
    )  # fmt: skip
    path.write_bytes(content)
    return path


@dataclass
class Serving:
    """A server in a process of its own."""

    process: "subprocess.Popen[str]"
    url: str
    said: list[str]
    reader: threading.Thread
    token: str = ""

    def end(self, seconds: float = 30.0) -> int:
        """Interrupt it and wait; its exit code."""
        import signal

        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()
            self.reader.join(5)


@contextlib.contextmanager
def serving(
    *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Serving]:
    """`stylize serve` with these arguments, on any port, until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "serve", "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        cwd=cwd,
    )
    said: list[str] = []
    there = threading.Event()
    assert process.stderr is not None
    lines = process.stderr

    def read() -> None:
        for line in lines:
            said.append(line.rstrip())
            if line.startswith("overlay:"):
                there.set()
        there.set()
        lines.close()

    reader = threading.Thread(target=read, name="said")
    reader.start()
    server = Serving(process, "", said, reader)
    try:
        assert there.wait(60), said
        pages = [line for line in said if line.startswith("page:")]
        assert pages, said
        address, _, token = pages[0].split()[1].partition("#token=")
        server.url, server.token = address.rstrip("/"), token
        yield server
    finally:
        server.end()


def until(what: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What `what` gives, as soon as that is true; its last answer fails the test."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


def launch(playwright: Any, camera: Path, *more: str) -> Any:
    """Debian's Chromium, without a window, with a film for its camera."""
    return playwright.chromium.launch(
        executable_path=CHROMIUM,
        args=[
            "--no-sandbox",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={camera}",
            "--autoplay-policy=no-user-gesture-required",
            *more,
        ],
    )
