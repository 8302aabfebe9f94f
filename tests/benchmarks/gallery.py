"""The table of the gallery in the README: every style, what it costs and how near it comes.

    python tests/benchmarks/gallery.py --paintings DIR --photos DIR --features FILE

Paintings are looked up in the folder by the names in the styles' cards. Distances are those of
`stylize evaluate`, over 8 photos; times are medians at 1280x720 with every core.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from stylize_video.export.data import load_painting, read_picture
from stylize_video.export.evaluate import Judge, photos_of
from stylize_video.export.features import load_features
from stylize_video.realtime import EngineRequest, Style, all_styles, load_engine
from stylize_video.realtime.bench import machine
from stylize_video.realtime.engines.any_painting import Painting

FRAMES = 20


def parameters(style: Style) -> int:
    """How many weights the float network has."""
    model = onnx.load_model_from_string(style.read("fp32"))
    return sum(numpy_helper.to_array(t).size for t in model.graph.initializer if "weight" in t.name)


def milliseconds(engine: Any) -> float:
    """The median of a frame of 1280x720."""
    frame = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    took = []
    for _ in range(FRAMES):
        begun = time.perf_counter()
        engine.paint(frame)
        took.append(1000 * (time.perf_counter() - begun))
    return float(np.median(took[3:]))


def row(style: Style, judge: Judge, photos: list[Any], folder: Path) -> str:
    """One style's line of the table."""
    card = style.card
    named = folder / str(card.training.get("painting", ""))
    painting = named if named.is_file() else None
    shown = painting
    if style.encoder:  # a painting it never saw
        shown = painting = folder / "vangogh_wheat_field_cypresses.jpg"
    given = (Painting(read_picture(painting)),) if style.encoder and painting else ()
    times = []
    for precision in ("fp32", "int8"):
        if precision not in style.files:
            times.append("")
            continue
        engine = load_engine(style, EngineRequest("openvino", precision, paintings=given))
        times.append(f"{milliseconds(engine):.0f}")
        engine.close()
    engine = load_engine(style, EngineRequest("cpu", "fp32", paintings=given))
    goal = load_painting(shown, 512) if shown else None
    rows = [judge.measure(photo, engine.paint(photo), goal, None) for photo in photos]
    engine.close()
    mean = {name: np.mean([r[name] for r in rows]) for name in rows[0]}
    files = [*style.files.values(), *([style.encoder] if style.encoder else [])]
    size = sum(file.path.stat().st_size for file in files) / 1e6
    psnr = card.measured.get("int8_psnr_db")
    cells = [
        f"`{card.id}`",
        str(card.training.get("method", "perceptual")),
        f"{parameters(style) / 1e6:.2f} M",
        f"{size:.1f} MB",
        *times,
        f"{mean['style_gram']:.2f}" if goal is not None else "",
        f"{mean['content']:.2f}",
        f"{psnr:.1f} dB" if psnr else "",
        f"{mean['grid']:.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Measure all styles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paintings", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--features", required=True)
    options = parser.parse_args()
    judge = Judge([load_features(options.features)])
    photos = photos_of(options.photos, 8)
    print(f"{machine()}\n")
    print(
        "| style | method | weights | files | fp32, ms | int8, ms | style | content | int8 to fp32 "
        "| grid |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for style in all_styles():
        print(row(style, judge, photos, options.paintings), flush=True)


if __name__ == "__main__":
    main()
