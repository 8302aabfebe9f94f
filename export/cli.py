"""`stylize train`, `export`, `optimize` and `evaluate`: reached lazily from the one program."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

from ._flags import TrainingBar, add_settings, refuse_changes, settings_of
from .card import check_id
from .data import list_photos
from .errors import ExportError, TrainingError
from .evaluate import add_arguments as add_evaluate_arguments
from .evaluate import run as run_evaluate
from .features import RANDOM, RANDOM_NOTICE
from .methods.optimize_cli import add_arguments as add_optimize_arguments
from .methods.optimize_cli import run as run_optimize
from .style import export_style
from .train import CHECKPOINT_EVERY, CONFIGS, read_config, train

_NAMED: Final = 5
"""Files that a line names at most."""


def run(arguments: list[str]) -> int:
    """Run `train` or `export` and return the exit code. Every failure becomes one line on
    stderr.
    """
    console = Console(file=sys.stderr, soft_wrap=True, highlight=False)
    command, rest = arguments[0], arguments[1:]
    handlers: dict[str, Callable[[list[str], Console], int]] = {
        "train": _train,
        "export": _export,
        "optimize": _optimize,
        "evaluate": _evaluate,
    }
    try:
        return handlers[command](rest, console)
    except ExportError as error:
        console.print(f"[red]error:[/red] {escape(str(error))}")
        return 1


def _train(arguments: list[str], console: Console) -> int:
    method = _method(arguments)
    options = _train_parser(method).parse_args(arguments)
    folder = Path(options.output)
    if options.evaluate and options.no_export:
        raise TrainingError("--evaluate measures what is exported: leave --no-export out")
    if not options.no_export:
        check_id(options.id or folder.resolve().name)
    if options.resume:
        config = read_config(folder)
        refuse_changes(options, config)
    else:
        config = settings_of(options, method)
    if RANDOM in config.features:
        console.print(RANDOM_NOTICE)
    with TrainingBar(console, config.steps, quiet=options.quiet) as bar:
        trainer = train(
            config,
            folder,
            device=options.device,
            resume=options.resume,
            checkpoint_every=options.checkpoint_every,
            on_step=bar.step,
        )
    if broken := trainer.broken_photos:
        console.print(
            f"[yellow]passed over {len(broken)} of the photos, which can't be read:[/yellow] "
            f"{escape(', '.join(broken[:_NAMED]))}{', …' if len(broken) > _NAMED else ''}"
        )
    if options.no_export:
        console.print(f"trained: {folder}")
        return 0
    code = _export_run(folder, folder, options.id, None, console, strict=False)
    return code or (_evaluate_run(folder, config, console) if options.evaluate else 0)


def _evaluate_run(folder: Path, config: Any, console: Console) -> int:
    """`stylize evaluate` on what a run ended in, with its own photos, painting and features."""
    arguments = [str(folder), "--photos", config.photos, "--curves", str(folder / "curves.png")]
    for source in config.features:
        arguments += ["--features", source]
    arguments += ["--style-layers", config.style_layers, "--content-layers", config.content_layers]
    painting = Path(config.painting)
    if painting.is_dir():
        painting = list_photos(painting)[0]
    if painting.is_file():
        side = str(getattr(config, "painting_side", 512))
        arguments += ["--painting", str(painting), "--painting-side", side]
    return _evaluate(arguments, console)


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


def _method(arguments: list[str]) -> str:
    """The method asked for, or that of the run to resume: it decides which flags there are."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--method", choices=tuple(CONFIGS), default=None)
    first.add_argument("--resume", action="store_true")
    first.add_argument("-o", "--output", default=".")
    known, _ = first.parse_known_args(arguments)
    if known.resume and known.method is None:
        return str(read_config(Path(known.output)).method)
    return known.method or "perceptual"


def _train_parser(method: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stylize train",
        description="Train a style from a painting and a folder of photos.",
        epilog="each --method has settings of its own: see them with `--method NAME --help`",
    )
    parser.add_argument(
        "painting",
        nargs="?",
        help="a picture of the painting"
        if method == "perceptual"
        else "a folder of paintings, or frames in the style",
    )
    parser.add_argument(
        "--method",
        choices=tuple(CONFIGS),
        default=method,
        help="perceptual: one painting. adversarial: a look from a folder of pictures. arbitrary: "
        "one network for any painting (default: perceptual)",
    )
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
        default=CHECKPOINT_EVERY,
        metavar="STEPS",
        help="steps between checkpoints and previews (default: %(default)s)",
    )
    parser.add_argument(
        "--no-export", action="store_true", help="leave the ONNX files to `stylize export`"
    )
    parser.add_argument("--id", help="the style's name (default: that of DIR)")
    parser.add_argument(
        "--evaluate", action="store_true", help="measure the style and plot its curves at the end"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_settings(parser, method)
    return parser


def _export_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stylize export",
        description="Make the ONNX files of a trained style, check and describe them.",
        epilog="of a finished style, `stylize export STYLE --tensorrt` builds the TensorRT engine "
        "instead: see `stylize export --tensorrt --help`",
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


def _optimize(arguments: list[str], console: Console) -> int:
    parser = argparse.ArgumentParser(
        prog="stylize optimize",
        description="Paint one picture, or a short clip, by optimising its pixels (Gatys 2016).",
    )
    add_optimize_arguments(parser)
    return run_optimize(parser.parse_args(arguments), console)


def _evaluate(arguments: list[str], console: Console) -> int:
    parser = argparse.ArgumentParser(
        prog="stylize evaluate", description="Measure how well a style paints."
    )
    add_evaluate_arguments(parser)
    return run_evaluate(parser.parse_args(arguments), console)
