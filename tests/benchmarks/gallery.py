"""The table of the gallery in the README: every style, what it costs and how near it comes.

    python tests/benchmarks/gallery.py --paintings DIR --photos DIR --features FILE

Paintings are looked up in the folder by the names in the styles' cards; those that were drawn, and
the folders of pictures that filters made of photos, come there by `samples/make_paintings.py DIR
PHOTOS`. Distances are those of `stylize evaluate`, over 8 photos: to the painting, or to what the
filter makes of the same photo. Times are medians at 1280x720 with every core; `--no-times` leaves
them out, and names of styles choose some.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from torch import Tensor

from stylize_video.export.data import (
    list_photos,
    load_painting,
    partners_of,
    read_picture,
    to_tensor,
)
from stylize_video.export.evaluate import Judge, photos_of
from stylize_video.export.features import load_features
from stylize_video.realtime import EngineRequest, Style, all_styles, load_engine
from stylize_video.realtime.bench import machine
from stylize_video.realtime.engines.any_painting import Painting

FRAMES = 20
PHOTOS = 8
UNSEEN = "vangogh_wheat_field_cypresses.jpg"
"""A painting from which no network of any painting learned."""


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


def milliseconds_of(style: Style, given: tuple[Painting, ...]) -> Iterator[str]:
    """In float and in 8 bits; nothing where there is no such file."""
    for precision in ("fp32", "int8"):
        if precision not in style.files:
            yield ""
            continue
        engine = load_engine(style, EngineRequest("openvino", precision, paintings=given))
        yield f"{milliseconds(engine):.0f}"
        engine.close()


def goals(named: Path, options: argparse.Namespace) -> Iterator[tuple[Any, Tensor]]:
    """Photos, RGB (H, W, 3) uint8, and what each should look like, (1, 3, H, W) float."""
    if named.is_dir():
        pairs = list(partners_of(list_photos(options.photos), named).items())
        for photo, partner in pairs[:: max(1, len(pairs) // PHOTOS)][:PHOTOS]:
            yield read_picture(photo), to_tensor(read_picture(partner))[None]
    else:
        painting = load_painting(named, 512)
        for photo in photos_of(options.photos, PHOTOS):
            yield photo, painting


def row(style: Style, judge: Judge, options: argparse.Namespace) -> str:
    """One style's line of the table."""
    card = style.card
    named = options.paintings / (UNSEEN if style.encoder else str(card.training["painting"]))
    given = (Painting(read_picture(named)),) if style.encoder else ()
    times = ["", ""] if options.no_times else list(milliseconds_of(style, given))
    engine = load_engine(style, EngineRequest("cpu", "fp32", paintings=given))
    rows = [
        judge.measure(photo, engine.paint(photo), goal, None)
        for photo, goal in goals(named, options)
    ]
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
        f"{mean['style_gram']:.2f}",
        f"{mean['content']:.2f}",
        f"{psnr:.1f} dB" if psnr else "",
        f"{mean['grid']:.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Measure all styles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("styles", nargs="*", metavar="STYLE", help="only these")
    parser.add_argument("--no-times", action="store_true")
    parser.add_argument("--paintings", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--features", required=True)
    options = parser.parse_args()
    judge = Judge([load_features(options.features)])
    print(f"{machine()}\n")
    print(
        "| style | method | weights | files | fp32, ms | int8, ms | style | content | int8 to fp32 "
        "| grid |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for style in all_styles():
        if not options.styles or style.card.id in options.styles:
            print(row(style, judge, options), flush=True)


if __name__ == "__main__":
    main()
