"""`stylize train` and `stylize export`: reached lazily from the one program."""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from .errors import ExportError, TrainingError
from .style import export_style
from .train import Progress as Step
from .train import TrainConfig, read_config, train

_HELP = {
    "features": "weights of a loss network: a file, or vgg16 or vgg19 to fetch them; repeatable",
    "start": "the ONNX file of a finished style to start from: learns faster than from nothing",
    "tier": "size of the network: fast, balanced or fine",
    "steps": "steps in all",
    "batch": "pictures a step",
    "crop": "side of the crops that are looked at, pixels",
    "painting_side": "short side of the painting, pixels: larger means larger strokes",
    "style_layers": "layers whose Gram matrices are matched, with weights",
    "content_layers": "layers whose activations are kept, with weights",
    "content": "weight of keeping what is in the picture",
    "style": "weight of looking like the painting",
    "style_shared": "part of the style taken over the batch as a whole, 0 to 1",
    "palette": "weight of painting in the painting's colours",
    "light": "weight of keeping light and shade where they are",
    "variation": "weight of total variation: more is smoother",
    "equivariance": "weight of the paint moving with the picture",
    "lattice": "weight against patterns that repeat every 8 pixels",
    "blend_from": "part of the run after which norms forget the single picture, 0 to 1",
    "freeze_at": "part of the run after which norms are constants, 0 to 1",
    "learning_rate": "step size of Adam",
    "seed": "seed of everything random",
    "precision": "auto, fp32 or bf16",
}


def run(arguments: list[str]) -> int:
    """Run `train` or `export` and return the exit code. Every failure becomes one line on
    stderr.
    """
    console = Console(file=sys.stderr, soft_wrap=True, highlight=False)
    command, rest = arguments[0], arguments[1:]
    handlers: dict[str, Callable[[list[str], Console], int]] = {"train": _train, "export": _export}
    try:
        return handlers[command](rest, console)
    except ExportError as error:
        console.print(f"[red]error:[/red] {escape(str(error))}")
        return 1


def _train(arguments: list[str], console: Console) -> int:
    options = _train_parser().parse_args(arguments)
    folder = Path(options.output)
    if options.resume:
        config = read_config(folder)
        _refuse_changes(options, config)
    else:
        config = _config(options)
    with _TrainingBar(console, config.steps, quiet=options.quiet) as bar:
        train(
            config,
            folder,
            device=options.device,
            resume=options.resume,
            checkpoint_every=options.checkpoint_every,
            on_step=bar.step,
        )
    if options.no_export:
        console.print(f"trained: {folder}")
        return 0
    return _export_run(folder, folder, options.id, None, console, strict=False)


def _export(arguments: list[str], console: Console) -> int:
    options = _export_parser().parse_args(arguments)
    folder = Path(options.run)
    credits_file = Path(options.credits) if options.credits else None
    return _export_run(
        folder,
        Path(options.output or folder),
        options.id,
        credits_file,
        console,
        photos=Path(options.photos) if options.photos else None,
        strict=options.strict,
    )


def _export_run(
    folder: Path,
    output: Path,
    style_id: str | None,
    credits_file: Path | None,
    console: Console,
    *,
    photos: Path | None = None,
    strict: bool,
) -> int:
    measured = export_style(
        folder, output, style_id or output.resolve().name, credits_file=credits_file, photos=photos
    )
    for name, value in measured.as_json().items():
        console.print(f"{name:20} {value}")
    faults = measured.faults()
    for fault in faults:
        console.print(f"[yellow]below the bar:[/yellow] {escape(fault)}")
    console.print(f"exported: {output}")
    return 1 if faults and strict else 0


def _refuse_changes(options: argparse.Namespace, config: TrainConfig) -> None:
    """A resumed run goes on as it began: a setting given anew must be the same."""
    for field in dataclasses.fields(TrainConfig):
        given = getattr(options, field.name, None)
        if given is None or field.name == "augmentation":
            continue
        if field.name == "features":
            given = tuple(given)
        if given != getattr(config, field.name):
            raise TrainingError(
                f"--{field.name.replace('_', '-')} {given} differs from the run's "
                f"{getattr(config, field.name)}: resume without it, or begin a new run"
            )


def _config(options: argparse.Namespace) -> TrainConfig:
    given = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(TrainConfig)
        if getattr(options, field.name, None) is not None
    }
    for needed in ("painting", "photos"):
        if needed not in given:
            raise TrainingError(
                f"a new run needs {'a painting' if needed == 'painting' else '--photos DIR'}"
            )
    if "features" in given:
        given["features"] = tuple(given["features"])
    return TrainConfig(**given)


def _train_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stylize train", description="Train a style from a painting and a folder of photos."
    )
    parser.add_argument("painting", nargs="?", help="a picture of the painting")
    parser.add_argument(
        "--photos", metavar="DIR", help="a folder of photos of anything, hundreds of them"
    )
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="where the style goes")
    parser.add_argument("--resume", action="store_true", help="go on where the run in DIR stopped")
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda or cuda:N (default: cuda where it works)"
    )
    parser.add_argument(
        "--checkpoint-every",
        type=int,
        default=500,
        metavar="STEPS",
        help="steps between checkpoints and previews (default: %(default)s)",
    )
    parser.add_argument(
        "--no-export", action="store_true", help="leave the ONNX files to `stylize export`"
    )
    parser.add_argument("--id", help="the style's name (default: that of DIR)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    group = parser.add_argument_group("what is learned")
    for field in dataclasses.fields(TrainConfig):
        if field.name not in _HELP:
            continue
        flag = f"--{field.name.replace('_', '-')}"
        text = f"{_HELP[field.name]} (default: {_shown(field.default)})"
        if field.name == "features":
            group.add_argument(flag, action="append", help=text)
        else:
            # defaults stay those of TrainConfig, so that --resume can tell what was given
            group.add_argument(flag, type=type(field.default), default=None, metavar="X", help=text)
    return parser


def _export_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stylize export",
        description="Make the ONNX files of a trained style, check and describe them.",
    )
    parser.add_argument("run", help="the folder of `stylize train`")
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="where the files go (default: the run's folder)"
    )
    parser.add_argument(
        "--photos", metavar="DIR", help="photos for calibration and checks (default: the run's)"
    )
    parser.add_argument(
        "--credits", metavar="FILE", help="JSON with title, description, work, artist, year, …"
    )
    parser.add_argument("--id", help="the style's name (default: that of the folder)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed")
    return parser


def _shown(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)


class _TrainingBar:
    """Progress of a run with its losses, speed and time left; lines instead where there is no
    terminal.
    """

    def __init__(self, console: Console, steps: int, *, quiet: bool) -> None:
        self._console, self._steps, self._quiet = console, steps, quiet
        self._lines = not console.is_terminal
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[losses]}"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or self._lines,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "_TrainingBar":
        self._progress.start()
        self._task = self._progress.add_task("", total=self._steps, losses="", speed="")
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def step(self, step: Step) -> None:
        losses = " ".join(f"{name} {value:.3f}" for name, value in step.losses.items() if value)
        speed = f"{step.images_per_second:.1f} images/s"
        assert self._task is not None
        self._progress.update(self._task, completed=step.step, losses=losses, speed=speed)
        if step.preview:
            self._console.print(f"step {step.step}: {step.preview}")
        elif self._lines and not self._quiet and step.step % 50 == 0:
            minutes = step.seconds_left / 60
            self._console.print(
                f"step {step.step}/{step.steps} {losses} {speed}, {minutes:.0f} min left"
            )
