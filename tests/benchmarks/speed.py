"""The speed of `stylize video` against the loop that style-transfer projects run, interleaved.

    python tests/benchmarks/speed.py [--style starry] [--rounds 3] [--seconds 6] [--size 1280x720]

The peer: OpenCV's VideoCapture, the network of pytorch/examples `fast_neural_style` (Johnson's
with instance normalisation and upsampling convolutions) in eager torch, float32, and OpenCV's
VideoWriter, with glibc's allocator tuned, which alone halves its time. Ours: a process of
`stylize video`, from decode to x264. Both get the same clip and every processor; model loading is
left out of both. The process of the peer paints a few frames a round, since one takes a second.

The bars (2 cores with 8-bit vector instructions, no GPU): 30 times the peer and 28 fps for a
`balanced` style, 50 fps for a `fast` one, with OpenVINO; 18 times with onnxruntime alone;
processors busy to 0.95; under 600 MB.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

TUNED_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(128 << 20),
}

PEER = """
import sys, time, cv2, torch
from torch import nn

class Conv(nn.Module):
    def __init__(self, i, o, k, s=1, up=None):
        super().__init__()
        self.up, self.pad, self.conv = up, nn.ReflectionPad2d(k // 2), nn.Conv2d(i, o, k, s)
    def forward(self, x):
        if self.up: x = nn.functional.interpolate(x, mode="nearest", scale_factor=self.up)
        return self.conv(self.pad(x))

class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a, self.m, self.b, self.n = Conv(c, c, 3), norm(c), Conv(c, c, 3), norm(c)
    def forward(self, x):
        return self.n(self.b(torch.relu(self.m(self.a(x))))) + x

norm = lambda c: nn.InstanceNorm2d(c, affine=True)
net = nn.Sequential(
    Conv(3, 32, 9), norm(32), nn.ReLU(), Conv(32, 64, 3, 2), norm(64), nn.ReLU(),
    Conv(64, 128, 3, 2), norm(128), nn.ReLU(), *(Residual(128) for _ in range(5)),
    Conv(128, 64, 3, up=2), norm(64), nn.ReLU(), Conv(64, 32, 3, up=2), norm(32), nn.ReLU(),
    Conv(32, 3, 9)).eval()
clip, out, frames = sys.argv[1], sys.argv[2], int(sys.argv[3])
reader = cv2.VideoCapture(clip)
size = int(reader.get(3)), int(reader.get(4))
writer = cv2.VideoWriter(out, cv2.VideoWriter_fourcc(*"mp4v"), reader.get(5), size)
done = -1  # the first frame warms up
with torch.no_grad():
    while done < frames:
        ok, bgr = reader.read()
        if not ok: break
        if done < 0: pass
        elif done == 0: begun = time.perf_counter()
        x = torch.from_numpy(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)[None].float()
        y = net(x)[0].clamp(0, 255).permute(1, 2, 0).numpy().astype("uint8")
        writer.write(cv2.cvtColor(y, cv2.COLOR_RGB2BGR))
        done += 1
        if done == 0: begun = time.perf_counter()
writer.release()
print(done / (time.perf_counter() - begun))
"""


def main() -> None:
    """Run all sides in turns and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--styles", default="starry,starry-fast")
    parser.add_argument("--engines", default="openvino,cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--peer-frames", type=int, default=5)
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))
    runs: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "clip.mp4"
        _write_clip(clip, width, height, round(30 * options.seconds))
        for _ in range(options.rounds):
            runs.setdefault("peer", []).append(_peer(clip, folder, options.peer_frames))
            for style in options.styles.split(","):
                for engine in options.engines.split(","):
                    result = _ours(clip, folder, style, engine)
                    runs.setdefault(f"{style} {engine}", []).append(result)
    peer = median(run["fps"] for run in runs["peer"])
    print(
        f"{options.size}, {len(os.sched_getaffinity(0))} cores, median of {options.rounds} rounds"
    )
    print(f"{'':24} {'fps':>8} {'x peer':>8} {'busy':>6} {'MB':>6}")
    for label, results in runs.items():
        fps = median(run["fps"] for run in results)
        busy = median(run.get("busy", float("nan")) for run in results)
        memory = max(run.get("memory", float("nan")) for run in results)
        print(f"{label:24} {fps:8.2f} {fps / peer:8.1f} {busy:6.2f} {memory:6.0f}")


def _write_clip(path: Path, width: int, height: int, frames: int) -> None:
    from stylize_video.realtime import SyntheticSource
    from stylize_video.realtime.bench import write_clip

    write_clip(path, SyntheticSource(width, height, frames))


def _peer(clip: Path, folder: Path, frames: int) -> dict[str, float]:
    command = [sys.executable, "-c", PEER, str(clip), str(folder / "peer.mp4"), str(frames)]
    done = subprocess.run(
        command, env={**os.environ, **TUNED_MALLOC}, capture_output=True, text=True, check=True
    )
    return {"fps": float(done.stdout)}


def _ours(clip: Path, folder: Path, style: str, engine: str) -> dict[str, float]:
    target = folder / "ours.mp4"
    program = "from stylize_video.realtime.cli import main_video; main_video()"
    options = ["--style", style, "--engine", engine, "--overwrite", "--json"]
    options += ["--temporal", "off"]  # the peer has nothing like it
    command = [sys.executable, "-c", program, str(clip), str(target), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    job = json.loads(done.stdout)["jobs"][0]
    cores = len(os.sched_getaffinity(0))
    return {
        "fps": job["fps"],
        "busy": job["cpu_seconds"] / job["seconds"] / cores,
        "memory": job["peak_memory_mb"],
    }


if __name__ == "__main__":
    main()
