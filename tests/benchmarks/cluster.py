"""Paint a film in one process and by the workers of a local Ray cluster; compare files and costs.

    python tests/benchmarks/cluster.py --seconds 60 --size 1280x720 --workers 2
    python tests/benchmarks/cluster.py --codec ''      # cost with the usual encoder, x264

Prints the processor time of all processes of either run, what of it Ray takes to come up and go
(measured on six frames), and whether frames, times and sound are equal (lossless codec). Exits 1
where they are not. Linux only: processor times are read from /proc.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kills import digest
from media import Draw, write_video

PROGRAM = [sys.executable, "-c", "from stylize_video.realtime.cli import main; main()", "video"]
MARK = "STYLIZE_BENCHMARK_MARK"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def main() -> int:
    options = _parse()
    width, height = (int(side) for side in options.size.split("x"))
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        film, short = folder / "film.mp4", folder / "short.mp4"
        draw = shots(width, height, options.shot)
        encoding = {"preset": "fast", "g": "250"}
        for path, frames in ((film, options.seconds * 25), (short, 6)):
            write_video(
                path, frames, (width, height), Fraction(25), audio=True, draw=draw, options=encoding
            )
        paint = ["--style", options.style, "--temporal", options.temporal, "--quiet"]
        paint += ["--segments", str(options.segment)]
        if options.codec:
            paint += ["--codec", options.codec]
        if options.codec == "ffv1":
            paint += ["--pix-fmt", "bgr0"]
        local = ["--cluster", "local", "--workers", str(options.workers)]
        one, many = folder / "one.mkv", folder / "many.mkv"
        runs = {
            "one_process": _measure([*PROGRAM, str(film), str(one), *paint]),
            "cluster": _measure([*PROGRAM, str(film), str(many), *paint, *local]),
            "one_process_six_frames": _measure(
                [*PROGRAM, str(short), str(folder / "a.mkv"), *paint]
            ),
            "cluster_six_frames": _measure(
                [*PROGRAM, str(short), str(folder / "b.mkv"), *paint, *local]
            ),
        }
        before, after = digest(one), digest(many)
    cpu = {run: figures["cpu_s"] for run, figures in runs.items()}
    painting = cpu["one_process"] - cpu["one_process_six_frames"]
    spread = cpu["cluster"] - cpu["cluster_six_frames"]
    figures = {
        "frames": len(before[0]),
        "load_before": _LOAD,
        **runs,
        "cpu_ratio_with_start_up": round(cpu["cluster"] / cpu["one_process"], 3),
        "cpu_ratio_without_start_up": round(spread / painting, 3),
        "times_equal": [t for t, _ in before[0]] == [t for t, _ in after[0]],
        "pixels_equal": before[0] == after[0],
        "sound_packets": len(before[1]),
        "sound_equal": before[1] == after[1],
    }
    print(json.dumps(figures, indent=2))
    lossless = options.codec == "ffv1"
    checks = ["times_equal", "sound_equal", *(["pixels_equal"] if lossless else [])]
    return 0 if all(figures[check] for check in checks) else 1


def shots(width: int, height: int, shot_s: float) -> Draw:
    """Coloured fields that move over the picture, others with every shot, of varying length."""
    random = np.random.default_rng(1)
    cuts = np.cumsum(np.maximum(10, random.exponential(shot_s * 25, 10_000))).astype(int)
    made: dict[int, np.ndarray] = {}

    def draw(index: int) -> np.ndarray:
        shot = int(np.searchsorted(cuts, index, "right"))
        if shot not in made:
            made.clear()
            coarse = np.random.default_rng(shot).integers(0, 256, (9, 16, 3)).astype(np.uint8)
            size = (width + 400, height + 200)
            made[shot] = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
        since = index - (int(cuts[shot - 1]) if shot else 0)
        x, y = abs((2 * since + 400) % 800 - 400), abs((since + 200) % 400 - 200)
        return np.ascontiguousarray(made[shot][y : y + height, x : x + width])

    return draw


_LOAD = os.getloadavg()[0]


def _measure(command: list[str]) -> dict[str, float]:
    """Wall-clock and processor seconds of a command and of all that it starts."""
    mark = uuid.uuid4().hex
    begun = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, MARK: mark})
    spent: dict[int, float] = {}
    ended = threading.Event()
    # what a process spends between the last look and its end is lost: a quarter of a second at most
    watcher = threading.Thread(target=_watch, args=(f"{MARK}={mark}".encode(), spent, ended))
    watcher.start()
    code = process.wait()
    wall = time.perf_counter() - begun
    ended.set()
    watcher.join()
    if code:
        raise SystemExit(f"{' '.join(command)} failed with {code}")
    return {"wall_s": round(wall, 1), "cpu_s": round(sum(spent.values()), 1)}


def _watch(mark: bytes, spent: dict[int, float], ended: threading.Event) -> None:
    others: set[int] = set()
    while not ended.wait(0.25):
        for entry in os.scandir("/proc"):
            if not entry.name.isdecimal() or int(entry.name) in others:
                continue
            pid = int(entry.name)
            try:
                folder = Path(entry.path)
                if pid not in spent and mark not in (folder / "environ").read_bytes():
                    others.add(pid)
                    continue
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            # utime and stime; those of children are counted with the children
            spent[pid] = (int(fields[11]) + int(fields[12])) * TICK_S


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--shot", type=float, default=4.0, help="seconds of a shot, in the mean")
    parser.add_argument("--style", default="starry")
    parser.add_argument("--temporal", default="quality")
    parser.add_argument("--segment", type=float, default=10, help="seconds of video in a piece")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--codec", default="ffv1", help="'' for the usual one, which is not exact")
    parser.add_argument("--folder", help="where to work: lossless video takes gigabytes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
