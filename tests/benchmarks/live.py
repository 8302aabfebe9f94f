"""Whether live pictures stay live: rate, latency and memory over minutes.

    python tests/benchmarks/live.py [--minutes 10] [--only NAME]

Each run paints a test picture in real time and records it, as `stylize webcam` does. Latency is
from capture to the hand-over to the outlets, over all frames after the first ten seconds; growth is
of the memory held, from the end of the first minute to the end of the run.

The bars (2 cores, no GPU): 640x360 at 30 frames a second by a `balanced` style in 8 bits: 30 out,
95 % within 80 ms, less than 5 MB of growth. 1280x720 by a `fast` style: 30 out. Overload, 4K by a
`fine` style without a budget: 95 % within three times the time a painted frame takes.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from stylize_video.realtime import cli
from stylize_video.realtime.live import Live, LiveReport

RUNS = {
    "balanced": ("test:640x360@30", "starry", "off"),
    "fast-720p": ("test:1280x720@30", "starry-fast", "off"),
    "overload": ("test:3840x2160@30", "starry-fine", "off"),
    "overload-budget": ("test:3840x2160@30", "starry-fine", "auto"),
}
SETTLE_S, MINUTE_S = 10.0, 60.0


def held_mb() -> float:
    """The memory this process holds, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Watch:
    """Notes what a run does, frame by frame."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.times: list[float] = []
        self.memory: list[tuple[float, float]] = []

    def __call__(self, report: LiveReport) -> None:
        if report.seconds < SETTLE_S:
            return
        self.latencies.append(report.last_ms)
        self.times.append(report.seconds)
        if not self.memory or report.seconds - self.memory[-1][0] > 5:
            self.memory.append((report.seconds, held_mb()))

    def figures(self, report: LiveReport) -> dict[str, float]:
        """What came of it."""
        span = self.times[-1] - self.times[0]
        p50, p95, p99 = np.percentile(self.latencies, [50, 95, 99])
        settled = [mb for at, mb in self.memory if at >= MINUTE_S] or [self.memory[-1][1]]
        fps = (len(self.times) - 1) / span
        return {
            "seconds": round(report.seconds, 1),
            "fps": round(fps, 2),
            "dropped": report.dropped,
            "p50_ms": round(float(p50), 1),
            "p95_ms": round(float(p95), 1),
            "p99_ms": round(float(p99), 1),
            "p95_frames": round(float(p95) * fps / 1000, 2),
            "memory_mb": round(settled[-1]),
            "growth_mb": round(settled[-1] - settled[0], 1),
        }


def measure(name: str, minutes: float, more: list[str]) -> dict[str, float]:
    """One run through the command itself."""
    source, style, budget = RUNS[name]
    watch, reports = Watch(), []
    run = Live.run

    def watched(self: Live, on_frame: object, **limits: float) -> LiveReport:
        reports.append(run(self, watch, **limits))  # type: ignore[arg-type]
        return reports[-1]

    Live.run = watched  # type: ignore[assignment, method-assign]
    with tempfile.TemporaryDirectory() as folder:
        command = ["webcam", source, "--no-window", "--record", f"{folder}/live.mkv", "--quiet"]
        command += ["--style", style, "--budget", budget, "--seconds", str(60 * minutes)]
        code = cli.run([*command, "--max-pixels", "10000000", *more])
    Live.run = run  # type: ignore[method-assign]
    if code:
        sys.exit(code)
    gc.collect()
    return watch.figures(reports[0])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure whether live pictures stay live.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", choices=RUNS)
    options, more = parser.parse_known_args()
    for name in [options.only] if options.only else RUNS:
        minutes = options.minutes if name == "balanced" else min(options.minutes, 1.0)
        print(json.dumps({"run": name, **measure(name, minutes, more)}), flush=True)


if __name__ == "__main__":
    main()
