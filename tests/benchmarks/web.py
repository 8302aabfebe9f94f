"""Measures `stylize serve` as a person meets it: a browser sends a camera by WebRTC and shows it
painted.

    python tests/benchmarks/web.py --seconds 300 --peers 1 3

The camera is a film of numbered frames. For every number the page notes when the camera took it and
when it was on the screen, painted: that is the latency. Needs Chromium and Playwright. Browser and
server share the machine, so nothing else should run on it.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from browser import BITS_AT, BLOCKS, FRAMES, launch, serving, until, write_camera

# Notes of an element how many frames it shows and, of every `nth`, its number, when it was taken
# and when it shows, in milliseconds. Reading pixels takes time that the browser needs itself.
WATCH = """([id, blocks, at, nth]) => {
  const video = document.getElementById(id), canvas = document.createElement("canvas");
  canvas.width = blocks; canvas.height = 1;
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  const seen = (window.seen ||= {})[id] = [];
  const shown = (window.shown ||= {}); shown[id] = 0;
  const look = (now, about) => {
    video.requestVideoFrameCallback(look);
    if (shown[id]++ % nth) return;
    pen.drawImage(video, 0, (at - 0.02) * video.videoHeight, video.videoWidth,
      0.04 * video.videoHeight, 0, 0, blocks, 1);
    const data = pen.getImageData(0, 0, blocks, 1).data;
    const levels = [...Array(blocks).keys()].map((i) => data[4 * i + 1]);
    const middle = (levels[0] + levels.at(-1)) / 2;
    const number = levels.slice(1, -1).reduce((all, v, i) => all + (v > middle ? 1 << i : 0), 0);
    seen.push([number, about.captureTime ?? now, about.expectedDisplayTime]);
  };
  video.requestVideoFrameCallback(look);
}"""
TAKE = "() => ({camera: window.seen.camera, painted: window.seen.painted, shown: window.shown})"
EVERY = {"camera": 1, "painted": 4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--peers", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--style", default="starry-fast")
    parser.add_argument("--temporal", default="fast")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    print(
        "| peers | frames a second | latency, ms: median, 95 % | server: cores | MB: first, last |"
    )
    print("|---|---|---|---|---|")
    for peers in options.peers:
        measure(options, peers)


def measure(options: argparse.Namespace, peers: int) -> None:
    """Print one row."""
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as folder,
        serving("--style", options.style, "--temporal", options.temporal) as server,
        sync_playwright() as playwright,
    ):
        camera = write_camera(Path(folder) / "camera.mjpeg")
        browser = launch(playwright, camera, "--allow-loopback-in-peer-connection")
        pages = []
        for _ in range(peers):
            page = browser.new_context(viewport={"width": 1000, "height": 700}).new_page()
            page.goto(server.url)
            until(lambda page=page: page.text_content("#status") == "Ready.")
            page.click("#start")
            until(lambda page=page: "Painting" in page.text_content("#status"))
            assert page.text_content("#status") == "Painting."
            pages.append(page)
        time.sleep(5)
        for page in pages:
            for element, nth in EVERY.items():
                page.evaluate(WATCH, [element, BLOCKS, BITS_AT, nth])
        process = server.process.pid
        memories: list[float] = []
        spent = processor(process)
        begun = time.monotonic()
        while (left := options.seconds - (time.monotonic() - begun)) > 0:
            pages[0].wait_for_timeout(min(1000.0, 1000 * left))
            memories.append(memory(process))
        seconds = time.monotonic() - begun
        spent = processor(process) - spent
        rates, waits = [], []
        for page in pages:
            found = page.evaluate(TAKE)
            rates.append(found["shown"]["painted"] / seconds)
            waits += latencies(found)
        waits.sort()
        ending = time.monotonic()
        server.end()
        ending = time.monotonic() - ending
        browser.close()
    rate = ", ".join(f"{rate:.1f}" for rate in rates)
    tenth = max(1, len(memories) // 10)  # the first tenth is warming up
    first, last = (statistics.median(m) for m in (memories[tenth : 2 * tenth], memories[-tenth:]))
    tail = waits[int(0.95 * len(waits))]
    print(
        f"| {peers} | {rate} | {statistics.median(waits):.0f}, {tail:.0f} "
        f"| {spent / seconds:.2f} | {first:.0f}, {last:.0f} |"
    )
    print(
        f"  {len(waits)} frames of {options.style} in {seconds:.0f} s, stopped in {ending:.2f} s; "
        f"load {os.getloadavg()[0]:.1f}",
        file=sys.stderr,
    )


def latencies(found: Any) -> list[float]:
    """Milliseconds from when the camera took a number to when it was shown painted."""
    taken: dict[int, list[float]] = {}
    for number, captured, _ in found["camera"]:
        taken.setdefault(number, []).append(captured)
    waits = []
    shown_before = -1
    for number, _, shown in found["painted"]:
        if number == shown_before:
            continue
        shown_before = number
        # the film begins again every ten seconds: the latest time before is the one
        before = [at for at in taken.get(number, []) if at <= shown]
        if before and shown - before[-1] < 1000 * FRAMES / 30 / 2:
            waits.append(shown - before[-1])
    return waits


def memory(process: int) -> float:
    """Resident megabytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024


def processor(process: int) -> float:
    """Processor seconds so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
