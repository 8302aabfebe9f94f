"""How near `any` comes to paintings it never saw, beside `stylize optimize` at 300 steps.

    python tests/benchmarks/any_painting.py --photos DIR --features FILE --judge FILE PAINTING...

Distances are those of `stylize evaluate`, for the network that `optimize` minimises them in
(`--features`, VGG-19) and for one that neither of the two has learned from (`--judge`, GoogLeNet).
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from stylize_video.export import cli
from stylize_video.export.data import load_painting, read_picture
from stylize_video.export.evaluate import Judge, Pixels, painter, photos_of
from stylize_video.export.features import load_features

STEPS = 300
SIDE = 384
LAYERS = ["--style-layers", "relu1_1 relu2_1 relu3_1", "--content-layers", "relu3_1"]
JUDGED = "conv1 conv2 inception_3a"


def optimised(photo: Path, painting: Path, target: Path, features: str) -> Pixels:
    """What `stylize optimize` makes of a photo; what lies there already is not made again."""
    command = ["optimize", photo, painting, "-o", target, "--features", features, "--quiet"]
    more = ["--steps", STEPS, "--size", SIDE, "--painting-side", 512, *LAYERS]
    if not target.exists() and cli.run([str(v) for v in (*command, *more)]):
        raise SystemExit(f"{painting} could not be optimised")
    return read_picture(target)


def write(path: Path, picture: Pixels) -> None:
    """As a picture file."""
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def measured(
    options: argparse.Namespace, judges: dict[str, Judge], name: Path, kept: Path
) -> Iterator[dict[tuple[str, str], dict[str, float]]]:
    """What judges say of both, for every photo: by judge and by who painted."""
    painting = load_painting(name, 512)
    paint = painter(options.style, painting)
    for index, original in enumerate(photos_of(options.photos, options.count)):
        source = kept / f"photo_{index}.png"
        write(source, original)
        best = optimised(
            source, name, kept / f"{name.stem}_{index}_optimised.png", options.features
        )
        size = best.shape[1::-1]
        photo = np.asarray(cv2.resize(original, size, interpolation=cv2.INTER_AREA), np.uint8)
        ours = paint(photo)
        write(kept / f"{name.stem}_{index}_style.png", ours)
        yield {
            (kind, who): judge.measure(photo, picture, painting, None)
            for kind, judge in judges.items()
            for who, picture in (("style", ours), ("optimize", best))
        }


def main() -> None:
    """Print the means over all paintings and photos."""
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
    with tempfile.TemporaryDirectory() as folder:
        kept = options.keep or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)
        rows = [row for name in options.paintings for row in measured(options, judges, name, kept)]
    for key in ("style_gram", "style_correlation", "content"):
        for kind in judges:
            ours, best = (
                float(np.mean([row[kind, who][key] for row in rows]))
                for who in ("style", "optimize")
            )
            print(f"{kind:8} {key:18} {ours:.4f} optimize {best:.4f} ratio {ours / best:.2f}")


if __name__ == "__main__":
    main()
