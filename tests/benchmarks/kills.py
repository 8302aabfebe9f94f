"""Kill a long job with -9 at random moments, resume it each time, and compare with one run.

    python tests/benchmarks/kills.py --seconds 180 --size 1280x720 --kills 30 --style starry

Prints the times of both, what the interruptions cost, and whether frames, times, sound and pixels
(lossless codec) are equal. Exits 1 where they are not.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from media import write_video

PROGRAM = [sys.executable, "-c", "from stylize_video.realtime.cli import main; main()", "video"]
Digest = tuple[list[tuple[Fraction, str]], list[tuple[int, int, int, str]]]


def main() -> int:
    options = _parse()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        clip = folder / "in.mp4"
        width, height = (int(side) for side in options.size.split("x"))
        write_video(clip, options.seconds * 25, (width, height), Fraction(25), audio=True)
        command = [*PROGRAM, str(clip), "--style", options.style, "--segments", options.segment]
        command += ["--temporal", options.temporal, "--codec", "ffv1", "--pix-fmt", "bgr0"]
        one, many = folder / "one.mkv", folder / "many.mkv"
        begun = time.perf_counter()
        subprocess.run([*command, str(one), "--quiet"], check=True)
        plain = time.perf_counter() - begun
        segments = options.seconds / float(options.segment)
        journal = folder / f"{many.name}.segments"
        again = [*command, str(many), "--quiet"]
        spent, killed, last = _interrupted(
            again, journal, segments, plain / segments, options.kills
        )
        before, after = digest(one), digest(many)
        figures = {
            "frames": len(before[0]),
            "uninterrupted_s": round(plain, 1),
            "killed": killed,
            "with_kills_s": round(spent, 1),
            "last_run_s": round(last, 1),
            "ratio": round(spent / plain, 3),
            "extra_s_per_kill": round((spent - plain) / max(1, killed), 2),
            "segment_s_of_painting": round(plain * float(options.segment) / options.seconds, 2),
            "times_equal": [t for t, _ in before[0]] == [t for t, _ in after[0]],
            "pixels_equal": before[0] == after[0],
            "sound_packets": len(before[1]),
            "sound_equal": before[1] == after[1],
        }
        figures["left_behind"] = sorted(p.name for p in folder.iterdir())
    print(json.dumps(figures, indent=2))
    return 0 if all(figures[k] for k in ("times_equal", "pixels_equal", "sound_equal")) else 1


def _interrupted(
    command: list[str], folder: Path, segments: float, a_segment: float, kills: int
) -> tuple[float, int, float]:
    """Seconds in all, kills that hit a run, and the seconds of the run that ended by itself."""
    total, killed = 0.0, 0
    moments = sorted(random.uniform(0, segments) for _ in range(kills))
    while True:
        begun = time.perf_counter()
        process = subprocess.Popen(command)
        moment = moments.pop(0) if moments else None
        code = _wait(process, folder, moment, a_segment)
        run = time.perf_counter() - begun
        total += run
        if code is None:
            killed += 1
        elif code:
            raise SystemExit(f"a resumed run failed with {code}")
        else:
            return total, killed, run


def _wait(
    process: subprocess.Popen[bytes], folder: Path, moment: float | None, a_segment: float
) -> int | None:
    """The exit code; None where the run was killed, at a moment counted in segments."""
    reached = None
    while (code := process.poll()) is None:
        now = time.perf_counter()
        if moment is not None and reached is None:
            # while the first is in work there is one part
            if len(list(folder.glob("*.part"))) > int(moment):
                reached = now
        elif reached is not None and now - reached >= a_segment * ((moment or 0) % 1):
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return None
        time.sleep(0.002)
    return code


def digest(path: Path) -> Digest:
    with av.open(str(path)) as container:
        frames = [
            (f.pts * Fraction(f.time_base), _sum(bytes(f.planes[0])))
            for f in container.decode(video=0)
        ]
    with av.open(str(path)) as container:
        sound = [
            (p.pts, p.dts, p.duration, _sum(bytes(p)))
            for p in container.demux(container.streams.audio[0])
            if p.size
        ]
    return frames, sound


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=180)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--style", default="starry")
    parser.add_argument("--temporal", default="quality")
    parser.add_argument("--segment", default="5", help="seconds of video in a segment")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where to work: lossless video takes gigabytes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
