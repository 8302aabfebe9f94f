"""`stylize evaluate`: how well a style paints, in figures that compare."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from torch import Tensor

from . import losses
from ._encoders import Encoder
from ._plot import write_curves
from .card import style_files
from .data import list_photos, load_painting, read_painting, read_picture, to_tensor
from .errors import DataError
from .features import RANDOM_NOTICE, load_features
from .layers import features_of, parse_layers, place_layers
from .metrics import gradient_energy, grid_score, psnr_db, rmse, ssim, to_picture
from .style_losses import correlation, similarity
from .verify import open_session, run_model

Pixels = NDArray[np.uint8]
Paint = Callable[[Pixels], Pixels]

_STYLE_LAYERS: Final = "relu1_1 relu2_1 relu3_1"
_CONTENT_LAYERS: Final = "relu3_1"
_PHOTOS: Final = 8
_SIDE: Final = 384


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "style", type=Path, help="a style's name, its folder, or an ONNX file of ours"
    )
    parser.add_argument(
        "--photos", type=Path, required=True, metavar="DIR", help="photos to paint, or one photo"
    )
    parser.add_argument(
        "--painting", type=Path, metavar="FILE", help="the painting it should look like"
    )
    parser.add_argument(
        "--painting-side", type=int, default=512, metavar="PIXELS", help="its short side"
    )
    parser.add_argument(
        "--features",
        action="append",
        metavar="FILE",
        help="the network that compares: a file or a published name; repeatable (default: vgg19)",
    )
    parser.add_argument("--style-layers", default=_STYLE_LAYERS, metavar="LAYERS")
    parser.add_argument("--content-layers", default=_CONTENT_LAYERS, metavar="LAYERS")
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="FILE",
        help="a picture, or another style, to measure RMSE, PSNR and SSIM against",
    )
    parser.add_argument("--count", type=int, default=_PHOTOS, metavar="N", help="photos at most")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--curves", type=Path, metavar="PNG", help="plot the training of a run beside the style"
    )


def run(options: argparse.Namespace, console: Console) -> int:
    """Measure and show a table. Raises what `ExportError`s are."""
    photos = photos_of(options.photos, options.count)
    painting = load_painting(options.painting, options.painting_side) if options.painting else None
    paint = painter(options.style, painting)
    encoders = [load_features(source) for source in options.features or ["vgg19"]]
    if any(encoder.untrained for encoder in encoders):
        console.print(RANDOM_NOTICE)
    judge = Judge(encoders, options.style_layers, options.content_layers)
    compare = _reference(options.reference) if options.reference else None
    rows = [judge.measure(photo, paint(photo), painting, compare) for photo in photos]
    names = list(rows[0])
    means = {name: float(np.mean([row[name] for row in rows])) for name in names}
    if options.curves:
        _plot(options.style, options.curves)
    if options.json:
        document = {"style": options.style.name, "mean": means, "photos": rows}
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return 0
    console.print(f"{escape(options.style.name)} on {len(photos)} photos")
    for name, value in means.items():
        spread = [row[name] for row in rows]
        console.print(f"{name:20} {value:9.4f}  ({min(spread):.4f} to {max(spread):.4f})")
    return 0


class Judge:
    """Distances of painted photos, by the features of frozen networks."""

    def __init__(
        self,
        encoders: Sequence[Encoder],
        style_layers: str = _STYLE_LAYERS,
        content_layers: str = _CONTENT_LAYERS,
    ) -> None:
        self._encoders = encoders
        self._style = place_layers(parse_layers(style_layers), encoders)
        self._content = place_layers(parse_layers(content_layers), encoders)

    @torch.no_grad()
    def measure(
        self, photo: Pixels, painted: Pixels, painting: Tensor | None, compare: Paint | None
    ) -> dict[str, float]:
        """What can be said of one painted photo, RGB (H, W, 3) uint8 both."""
        seen, shown = (to_tensor(p)[None] for p in (photo, painted))
        found: dict[str, Any] = {"content": self.content_distance(seen, shown)}
        if painting is not None:
            found |= self.style_distances(shown, painting)
        found["sharpness"] = gradient_energy(painted) / max(gradient_energy(photo), 1e-9)
        found["grid"] = grid_score(painted)
        if compare is not None:
            other = compare(photo)
            found |= {
                "rmse": rmse(painted, other),
                "psnr_db": psnr_db(painted, other),
                "ssim": ssim(painted, other),
            }
        return {name: float(value) for name, value in found.items()}

    @torch.no_grad()
    def content_distance(self, photo: Tensor, painted: Tensor) -> float:
        """Relative squared difference of features, a mean over layers; (1, 3, H, W) each."""
        goal = features_of(self._encoders, photo, self._content)
        found = features_of(self._encoders, painted, self._content)
        return _mean(self._content, lambda k: float(losses.relative_distance(found[k], goal[k])))

    @torch.no_grad()
    def style_distances(self, painted: Tensor, painting: Tensor) -> dict[str, float]:
        """Relative distances of Gram and of correlation matrices, and how alike the latter are."""
        ours = features_of(self._encoders, painted, self._style)
        theirs = features_of(self._encoders, painting, self._style)

        def apart(statistic: Callable[[Tensor], Tensor]) -> float:
            return _mean(
                self._style,
                lambda k: float(losses.relative_distance(statistic(ours[k]), statistic(theirs[k]))),
            )

        return {
            "style_gram": apart(losses.gram),
            "style_correlation": apart(correlation),
            "similarity": _mean(self._style, lambda k: float(similarity(ours[k], theirs[k]))),
        }


def _mean(layers: Mapping[Any, float], value: Callable[[Any], float]) -> float:
    """A mean over layers by their weights."""
    return sum(w * value(k) for k, w in layers.items()) / sum(layers.values())


def painter(style: Path, painting: Tensor | None = None) -> Paint:
    """Paints RGB (H, W, 3) uint8 by an ONNX file of ours or a style's folder.

    A style of any painting takes the `painting`, (1, 3, H, W) float in 0..1. Raises `DataError`.
    """
    files = style_files(str(style))
    session = _opened(files["fp32"])
    names = {i.name for i in session.get_inputs()}
    if names == {"frame"}:
        return lambda photo: np.asarray(run_model(session, photo[None])[0], np.uint8)
    if names != {"frame", "code", "alpha"} or "code" not in files:
        raise DataError(
            f"{style} is not a style of ours: its inputs are {', '.join(sorted(names))}"
        )
    if painting is None:
        raise DataError(f"{style} paints like any painting: say which by --painting FILE")
    (code,) = _opened(files["code"]).run(None, {"painting": to_picture(painting)[None]})
    whole = np.ones((1, 1), np.float32)

    def paint(photo: Pixels) -> Pixels:
        tensors = {"frame": photo[None], "code": code, "alpha": whole}
        return np.asarray(session.run(None, tensors)[0][0], np.uint8)

    return paint


def _opened(file: Path) -> Any:
    try:
        return open_session(onnx.load(file))
    except (OSError, DecodeError) as error:
        raise DataError(f"{file} is neither a style's folder nor an ONNX file: {error}") from error


def _reference(path: Path) -> Paint:
    """What a painted photo is compared with: another style's painting, or one picture."""
    if path.is_dir() or path.suffix.lower() == ".onnx" or style_files(str(path))["fp32"] != path:
        return painter(path)
    picture = read_picture(path)

    def same(photo: Pixels) -> Pixels:
        height, width = photo.shape[:2]
        return np.asarray(
            cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8
        )

    return same


def photos_of(path: Path, count: int) -> list[Pixels]:
    """Up to `count` photos spread over a folder, or one photo; short sides of 384 at most."""
    paths = list_photos(path) if path.is_dir() else [path]
    chosen = paths[:: max(1, len(paths) // max(1, count))][: max(1, count)]
    return [_fitted(read_painting(p)) for p in chosen]


def _fitted(photo: Pixels) -> Pixels:
    """The short side at most 384 pixels."""
    scale = min(1.0, _SIDE / min(photo.shape[:2]))
    if scale == 1.0:
        return photo
    return np.asarray(
        cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
    )


def _plot(style: Path, target: Path) -> None:
    record = (style if style.is_dir() else style.parent) / "training.json"
    try:
        curve = json.loads(record.read_text(encoding="utf-8"))["curve"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"there is no record of training to plot: {error}") from error
    write_curves(target, curve)
