"""`stylize optimize`: one picture, or a short clip frame by frame."""

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from torch import Tensor

from .._encoders import Encoder
from .._files import versions, write_whole
from .._machine import keep_memory, pick_device
from ..data import PHOTO_SUFFIXES, large_enough, load_painting, read_picture, to_tensor
from ..errors import DataError, ExportError, TrainingError
from ..features import RANDOM_NOTICE, load_features
from ..metrics import to_picture
from ._clips import CLIP_SUFFIXES, ClipWriter, frames_of
from .base import place
from .optimize import Look, OptimizeConfig, Optimizer, past_of

_HELP: Final = {
    "steps": "steps for a picture, or for the first frame of a clip",
    "optimiser": "lbfgs or adam",
    "start": "what the picture starts from: content, noise or style",
    "scales": "how many scales, each twice the one before, are gone through",
    "style_loss": "what is compared: gram, correlation, moments, gaussian, or several joined by +",
    "style_layers": "layers whose statistics are matched, with weights",
    "content_layers": "layers whose activations are kept, with weights",
    "content": "weight of keeping what is in the picture",
    "style": "weight of looking like the painting",
    "variation": "weight of total variation: more is smoother",
    "temporal": "weight of following the frame before, in clips",
    "learning_rate": "step size of Adam",
    "seed": "seed of the noise to start from",
    "precision": "of the loss networks: auto, fp32 or bf16",
}
_LEAST: Final = {"size": 64, "painting_side": 32, "frame_steps": 1, "frames": 1, "preview_every": 1}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("input", type=Path, help="a picture, or a clip")
    parser.add_argument("painting", type=Path, help="a picture of the painting")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--features",
        action="append",
        metavar="FILE",
        help="weights of a loss network: a file, or vgg16, vgg19, resnet18, resnet50 to fetch "
        "them; repeatable (default: vgg19)",
    )
    parser.add_argument(
        "--size", type=int, default=512, metavar="PIXELS", help="long side (default: %(default)s)"
    )
    parser.add_argument(
        "--painting-side",
        type=int,
        default=448,
        metavar="PIXELS",
        help="short side of the painting: larger means larger strokes (default: %(default)s)",
    )
    parser.add_argument(
        "--frame-steps",
        type=int,
        default=60,
        metavar="N",
        help="steps for each further frame of a clip (default: %(default)s)",
    )
    parser.add_argument("--frames", type=int, metavar="N", help="at most so many frames of a clip")
    parser.add_argument(
        "--preview-every", type=int, metavar="N", help="also write FILE every N steps"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda or cuda:N")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE, and its record")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    for field in dataclasses.fields(OptimizeConfig):
        flag = f"--{field.name.replace('_', '-')}"
        text = f"{_HELP[field.name]} (default: {field.default})"
        parser.add_argument(
            flag, type=type(field.default), default=field.default, metavar="X", help=text
        )


def run(options: argparse.Namespace, console: Console) -> int:
    """Paint, and write picture or clip, with a record beside it. Raises what `ExportError`s are,
    and KeyboardInterrupt when interrupted; the message then says what was kept.
    """
    _check_paths(options)
    _check_least(options)
    names = {field.name for field in dataclasses.fields(OptimizeConfig)}
    config = OptimizeConfig(**{name: getattr(options, name) for name in names})
    config.check()
    keep_memory()
    device = pick_device(options.device)
    painting = load_painting(options.painting, options.painting_side).to(device)
    photo = _read(options.input, options.size).to(device) if _is_still(options.input) else None
    encoders = [load_features(source) for source in _features(options)]
    for encoder in encoders:
        place(encoder, device)
    if any(encoder.untrained for encoder in encoders):
        console.print(RANDOM_NOTICE)
    job = _Job(options, config, encoders, painting, device, console)
    begun = time.perf_counter()
    last = job.clip() if photo is None else job.picture(photo)
    seconds = time.perf_counter() - begun
    _write_record(_record(options, config, job, last, seconds), options.output)
    speed = _speed(job.steps, seconds)
    console.print(f"optimised: {escape(str(options.output))} ({speed})")
    return 0


class _Job:
    """One command's work."""

    def __init__(
        self,
        options: argparse.Namespace,
        config: OptimizeConfig,
        encoders: list[Encoder],
        painting: Tensor,
        device: torch.device,
        console: Console,
    ) -> None:
        self._options, self._console, self.device = options, console, device
        self._first = Optimizer(config, encoders, painting)
        later = dataclasses.replace(config, steps=options.frame_steps)
        self._later = Optimizer(later, encoders, painting)
        self.curve: list[dict[str, float]] = []
        self.steps = 0
        """Of all pictures that are done."""
        self._last: Look | None = None
        """The latest look at the picture in work."""

    def picture(self, photo: Tensor) -> Look:
        """Paint one picture, (1, 3, H, W), and write it."""
        output: Path = self._options.output
        try:
            last = self._follow(self._first.paint(photo), output)
            _write_picture(last.picture, output)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(_keep(self._last, output)) from error
        return last

    def clip(self) -> Look:
        """Paint a clip, each frame from where the one before leads. The sound is left out."""
        with ClipWriter(self._options.output) as film:
            try:
                last = self._film(film)
                film.finish()
            except KeyboardInterrupt as error:
                kept = film.keep() or "no frame was done, nothing was kept"
                raise KeyboardInterrupt(kept) from error
            except ExportError as error:
                kept = ""
                with suppress(DataError):  # what broke it off is what is said
                    kept = film.keep()
                if not kept:
                    raise
                raise type(error)(f"{error}; {kept}") from error
        return last

    def _film(self, film: ClipWriter) -> Look:
        """Paint the frames of the clip into a file; the last one's look."""
        options = self._options
        last: Look | None = None
        before: Tensor | None = None
        for number, source in enumerate(frames_of(options.input, options.frames), 1):
            pixels = _fitted(
                large_enough(source.pixels, options.input, "paint"), options.size, even=True
            )
            now = to_tensor(pixels)[None].to(self.device)
            if last is None or before is None:
                last = self._follow(self._first.paint(now), None)
            else:
                past = past_of(before, last.picture, now)
                last = self._follow(self._later.paint(now, past), None)
            before = now
            film.add(to_picture(last.picture.cpu()), source)
            if not options.quiet:
                self._console.print(f"frame {number}: {_text(last)}")
        assert last is not None  # a clip without frames is an error of its own
        return last

    def _follow(self, looks: Iterator[Look], preview: Path | None) -> Look:
        options, shown = self._options, 0
        last: Look | None = None
        for last in looks:
            self._last = last
            self.curve.append({k: round(v, 6) for k, v in last.losses.items()})
            if preview and options.preview_every and last.step - shown >= options.preview_every:
                shown = last.step
                _write_picture(last.picture, preview)
                if not options.quiet:
                    self._console.print(f"step {last.step}: {_text(last)}")
        if last is None:
            raise TrainingError("there was nothing to do: give --steps 1 or more")
        self.steps += last.step
        return last


def _keep(last: Look | None, output: Path) -> str:
    """Save how far an interrupted picture has come, under a name that says so; where it lies."""
    if last is None:
        return "nothing was kept"
    path = output.with_name(f"{output.stem}.partial{output.suffix}")
    _write_picture(last.picture, path)
    return f"the picture of step {last.step} is in {path}"


def _text(look: Look) -> str:
    return " ".join(f"{name} {value:.4f}" for name, value in look.losses.items())


def _speed(steps: int, seconds: float) -> str:
    rate = steps / seconds
    return f"{steps} steps in {seconds:.1f} s, {rate:{'.1f' if rate >= 1 else '.2g'}} a second"


def _features(options: argparse.Namespace) -> list[str]:
    return options.features or ["vgg19"]


def _is_still(path: Path) -> bool:
    return path.suffix.lower() in PHOTO_SUFFIXES


def _record_of(output: Path) -> Path:
    return output.with_suffix(".json")


def _check_paths(options: argparse.Namespace) -> None:
    output: Path = options.output
    for path in (options.input, options.painting):
        if not path.is_file():
            raise DataError(f"{path} does not exist")
    kind, suffixes = "clip", CLIP_SUFFIXES
    if _is_still(options.input):
        kind, suffixes = "picture", PHOTO_SUFFIXES
    if output.suffix.lower() not in suffixes:
        raise DataError(
            f"{output} is not the name of a {kind}, which {options.input.name} is: end it in one "
            f"of {' '.join(sorted(suffixes))}"
        )
    if not output.parent.is_dir():
        raise DataError(f"the folder {output.parent} does not exist")
    for path in (output, _record_of(output)):
        if path.is_dir():
            raise DataError(f"{path} is a folder: give another --output")
        if path.exists() and not options.overwrite:
            raise DataError(f"{path} exists: pass --overwrite to replace it")


def _check_least(options: argparse.Namespace) -> None:
    for name, least in _LEAST.items():
        value = getattr(options, name)
        if value is not None and value < least:
            flag = f"--{name.replace('_', '-')}"
            raise TrainingError(f"{flag} {value} is too little: give {flag} {least} or more")


def _read(path: Path, long_side: int) -> Tensor:
    """A photo, (1, 3, H, W) float in 0..1. Raises `DataError`."""
    return to_tensor(_fitted(large_enough(read_picture(path), path, "paint"), long_side))[None]


def _fitted(picture: NDArray[np.uint8], long_side: int, *, even: bool = False) -> NDArray[np.uint8]:
    """Scaled to the long side, never up; sides even where an encoder wants them so."""
    height, width = picture.shape[:2]
    scale = min(1.0, long_side / max(height, width))
    size = [max(32, round(side * scale)) for side in (width, height)]
    if even:
        size = [side // 2 * 2 for side in size]
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _write_picture(picture: Tensor, path: Path) -> None:
    pixels = cv2.cvtColor(to_picture(picture.cpu()), cv2.COLOR_RGB2BGR)
    try:
        done, data = cv2.imencode(path.suffix.lower(), pixels)
    except cv2.error:  # WebP has a largest size
        done = False
    if not done:
        raise DataError(f"{path} can't hold this picture: give a smaller --size, or end it in .png")
    try:
        write_whole(data.tobytes(), path)
    except OSError as error:
        raise DataError(f"{path} can't be written: {error.strerror}") from error


def _record(
    options: argparse.Namespace, config: OptimizeConfig, job: _Job, last: Look, seconds: float
) -> dict[str, Any]:
    """What was done, how, and how it ended."""
    return {
        "config": dataclasses.asdict(config),
        "input": options.input.name,
        "painting": options.painting.name,
        "features": [Path(name).name for name in _features(options)],
        "precision": str(config.dtype(job.device)).removeprefix("torch."),
        "versions": versions(),
        "seconds": round(seconds, 1),
        "losses": last.losses,
        "curve": job.curve,
    }


def _write_record(record: dict[str, Any], output: Path) -> None:
    path = _record_of(output)
    try:
        write_whole(json.dumps(record, indent=1).encode(), path)
    except OSError as error:
        raise DataError(
            f"the record {path} can't be written: {error.strerror}; {output} is kept without it"
        ) from error
