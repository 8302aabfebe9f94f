"""How near `any` comes to paintings it never saw, beside `stylize optimize` at 300 steps.

    python tests/benchmarks/any_painting.py --photos DIR --features FILE --judge FILE PAINTING...

Distances are those of `stylize evaluate`, for the network that `optimize` minimises them in
(`--features`, VGG-19) and for one that neither of the two has learned from (`--judge`, GoogLeNet).
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np

from stylize_video.export import cli
from stylize_video.export.data import load_painting, read_picture
from stylize_video.export.evaluate import Judge, painter, photos_of
from stylize_video.export.features import load_features

STEPS = 300
SIDE = 384
LAYERS = ["--style-layers", "relu1_1 relu2_1 relu3_1", "--content-layers", "relu3_1"]
JUDGED = "conv1 conv2 inception_3a"


def main() -> None:
    """Print a row a painting, and what their means come to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paintings", type=Path, nargs="+", metavar="PAINTING")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1, help="photos for each painting")
    parser.add_argument("--features", required=True)
    parser.add_argument("--judge", required=True)
    parser.add_argument("--style", type=Path, default=Path("any"))
    parser.add_argument("--keep", type=Path, help="a folder for what was painted")
    options = parser.parse_args()
    judges = {
        "learned": Judge([load_features(options.features)]),
        "other": Judge([load_features(options.judge)], JUDGED, "inception_3a"),
    }
    photos = photos_of(options.photos, options.count)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        kept = options.keep or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)
        for name in options.paintings:
            painting = load_painting(name, 512)
            paint = painter(options.style, painting)
            for index, original in enumerate(photos):
                source = kept / f"photo_{index}.png"
                target = kept / f"{name.stem}_{index}_optimised.png"
                cv2.imwrite(str(source), cv2.cvtColor(original, cv2.COLOR_RGB2BGR))
                command = ["optimize", source, name, "-o", target, "--features", options.features]
                more = ["--steps", STEPS, "--size", SIDE, "--painting-side", 512, *LAYERS]
                if not target.exists() and cli.run([str(v) for v in (*command, *more, "--quiet")]):
                    raise SystemExit(f"{name} could not be optimised")
                best = read_picture(target)
                size = best.shape[1::-1]
                photo = np.asarray(
                    cv2.resize(original, size, interpolation=cv2.INTER_AREA), np.uint8
                )
                painted = paint(photo)
                shown = kept / f"{name.stem}_{index}_any.png"
                cv2.imwrite(str(shown), cv2.cvtColor(painted, cv2.COLOR_RGB2BGR))
                row = {}
                for kind, judge in judges.items():
                    for who, picture in (("any", painted), ("optimize", best)):
                        for key, value in judge.measure(photo, picture, painting, None).items():
                            row[f"{kind} {who} {key}"] = value
                rows.append(row)
    for key in ("style_gram", "style_correlation", "content"):
        for kind in judges:
            ours, best = (
                float(np.mean([r[f"{kind} {who} {key}"] for r in rows]))
                for who in ("any", "optimize")
            )
            print(f"{kind:8} {key:18} any {ours:.4f} optimize {best:.4f} ratio {ours / best:.2f}")


if __name__ == "__main__":
    main()
