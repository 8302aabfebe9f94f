"""`stylize optimize`: one picture, or a short clip frame by frame."""

import argparse
import dataclasses
import json
import platform
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
import torch
from av.error import FFmpegError
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from torch import Tensor

from .._encoders import Encoder
from .._machine import keep_memory, pick_device
from ..data import PHOTO_SUFFIXES, load_painting, read_picture, to_tensor
from ..errors import DataError, TrainingError
from ..features import load_features
from ..metrics import to_picture
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
}


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
    parser.add_argument("--overwrite", action="store_true", help="replace FILE")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    for field in dataclasses.fields(OptimizeConfig):
        flag = f"--{field.name.replace('_', '-')}"
        text = f"{_HELP[field.name]} (default: {field.default})"
        parser.add_argument(
            flag, type=type(field.default), default=field.default, metavar="X", help=text
        )


def run(options: argparse.Namespace, console: Console) -> int:
    """Paint, and write picture or clip, with a record beside it. Raises what `ExportError`s are."""
    output: Path = options.output
    _check_paths(options)
    names = {field.name for field in dataclasses.fields(OptimizeConfig)}
    config = OptimizeConfig(**{name: getattr(options, name) for name in names})
    config.check()
    keep_memory()
    device = pick_device(options.device)
    painting = load_painting(options.painting, options.painting_side).to(device)
    encoders = [load_features(source) for source in options.features or ["vgg19"]]
    for encoder in encoders:
        place(encoder, device)
    job = _Job(options, config, encoders, painting, device, console)
    begun = time.perf_counter()
    if options.input.suffix.lower() in PHOTO_SUFFIXES:
        photo = _fitted(read_picture(options.input), options.size)
        try:
            last = job.picture(to_tensor(photo)[None].to(device))
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(_keep(job.last, output)) from error
        _write_picture(last.picture, output)
    else:
        last = job.clip()
    record = {
        "config": dataclasses.asdict(config),
        "input": options.input.name,
        "painting": options.painting.name,
        "features": [Path(name).name for name in options.features or ["vgg19"]],
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "seconds": round(time.perf_counter() - begun, 1),
        "losses": last.losses,
        "curve": job.curve,
    }
    output.with_suffix(".json").write_text(json.dumps(record, indent=1))
    console.print(f"optimised: {escape(str(output))}")
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
        self._options, self._console, self._device = options, console, device
        self._first = Optimizer(config, encoders, painting)
        later = dataclasses.replace(config, steps=options.frame_steps)
        self._later = Optimizer(later, encoders, painting)
        self.curve: list[dict[str, float]] = []
        self.last: Look | None = None
        """The latest look at the picture in work."""

    def picture(self, photo: Tensor) -> Look:
        """Paint one picture."""
        return self._follow(self._first.paint(photo), self._options.output)

    def clip(self) -> Look:
        """Paint a clip, each frame from where the one before leads. The sound is left out."""
        options = self._options
        partial = options.output.with_name(f".{options.output.stem}.part{options.output.suffix}")
        last: Look | None = None
        before: Tensor | None = None
        try:
            with av.open(str(options.input)) as source, av.open(str(partial), "w") as target:
                stream = source.streams.video[0]
                writer: Any = None
                for number, frame in enumerate(source.decode(stream)):
                    if options.frames is not None and number >= options.frames:
                        break
                    pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                    now = to_tensor(_fitted(pixels, options.size, even=True))[None].to(self._device)
                    if last is None or before is None:
                        last = self._follow(self._first.paint(now), None)
                        writer = _video_stream(target, now, stream.average_rate)
                    else:
                        past = past_of(before, last.picture, now)
                        last = self._follow(self._later.paint(now, past), None)
                    before = now
                    _encode(target, writer, last.picture, frame)
                    if not options.quiet:
                        self._console.print(f"frame {number + 1}: {_text(last)}")
                if last is None:
                    raise DataError(f"{options.input} has no frames")
                for packet in writer.encode():
                    target.mux(packet)
            partial.replace(options.output)
        except (FFmpegError, IndexError, OSError) as error:
            raise DataError(f"{options.input} can't be painted: {error}") from error
        finally:
            partial.unlink(missing_ok=True)
        return last

    def _follow(self, looks: Iterator[Look], preview: Path | None) -> Look:
        options, shown = self._options, 0
        last: Look | None = None
        for last in looks:
            self.last = last
            self.curve.append({k: round(v, 6) for k, v in last.losses.items()})
            if preview and options.preview_every and last.step - shown >= options.preview_every:
                shown = last.step
                _write_picture(last.picture, preview)
                if not options.quiet:
                    self._console.print(f"step {last.step}: {_text(last)}")
        if last is None:
            raise TrainingError("there was nothing to do: give --steps 1 or more")
        return last


def _keep(last: Look | None, output: Path) -> str:
    """Save how far an interrupted picture has come, under a name that says so; where it lies."""
    if last is None:
        return "nothing was kept"
    path = output.with_name(f"{output.stem}.partial{output.suffix or '.png'}")
    _write_picture(last.picture, path)
    return f"the picture of step {last.step} is in {path}"


def _text(look: Look) -> str:
    return " ".join(f"{name} {value:.4f}" for name, value in look.losses.items())


def _check_paths(options: argparse.Namespace) -> None:
    output: Path = options.output
    for path in (options.input, options.painting):
        if not path.is_file():
            raise DataError(f"{path} does not exist")
    if output.exists() and not options.overwrite:
        raise DataError(f"{output} exists: pass --overwrite to replace it")
    if not output.parent.is_dir():
        raise DataError(f"the folder {output.parent} does not exist")
    if options.size < 64:
        raise DataError(f"a picture of {options.size} pixels is too small: give --size 64 or more")


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
        done, data = cv2.imencode(path.suffix or ".png", pixels)
    except cv2.error:
        done = False
    if not done:
        raise DataError(f"{path} is not the name of a picture: end it in .png or .jpg")
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(data.tobytes())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(f"{path} can't be written: {error.strerror}") from error


def _video_stream(target: Any, picture: Tensor, rate: Fraction | None) -> Any:
    stream = target.add_stream("libx264", rate or Fraction(25), options={"crf": "16"})
    stream.height, stream.width = picture.shape[2:]
    stream.pix_fmt = "yuv420p"
    return stream


def _encode(target: Any, stream: Any, picture: Tensor, source: Any) -> None:
    frame = av.VideoFrame.from_ndarray(to_picture(picture.cpu()), format="rgb24")
    frame.pts, frame.time_base = source.pts, source.time_base
    for packet in stream.encode(frame):
        target.mux(packet)
