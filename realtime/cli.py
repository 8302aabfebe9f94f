"""The program: `stylize` and its sub-commands. The only module that prints or exits."""

import argparse
import contextlib
import importlib
import json
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import cv2
from rich.markup import escape

from . import _export_tensorrt as _tensorrt
from . import _video_command, bench, bench_temporal, ctl, doctor, serve, webcam
from ._arguments import (
    add_engine,
    add_image,
    add_video,
    engine_request,
)
from ._console import stderr_console
from ._gallery import write_gallery
from ._looks import first_style, load_turning
from ._talk import Speaker
from .catalogue import Style, all_styles
from .errors import MissingDependency, StylizeError
from .image import paint_image
from .turning import paint_turned

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
_EXPORT_COMMANDS: Final = {
    "train": "train a style from a painting (needs the extra 'train')",
    "export": "make the ONNX files of a trained style (needs the extra 'train')",
    "optimize": "paint one picture or a short clip slowly and well (needs the extra 'train')",
    "evaluate": "measure how well a style paints (needs the extra 'train')",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `stylize`."""
    _own_the_process()
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def main_video(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `stylize-video`, the same as `stylize video`."""
    _own_the_process()
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run_command("video", given, "stylize-video"))


def _own_the_process() -> None:
    """Settings for a whole process that a library must not touch."""
    # frames are cut into strips for our own threads: more of them below would fight for the cores
    cv2.setNumThreads(1)


def run(arguments: list[str]) -> int:
    """Run `stylize` with `arguments` and return its exit code. Every failure becomes one line on
    stderr.
    """
    if arguments and arguments[0] == "export" and "--tensorrt" in arguments:
        return _run_command("export", arguments[1:], "stylize export")
    if arguments and arguments[0] in _EXPORT_COMMANDS:
        return _reported(lambda: _run_export(arguments))
    if arguments and arguments[0] in _COMMANDS and arguments[0] not in _EXPORT_COMMANDS:
        return _run_command(arguments[0], arguments[1:], f"stylize {arguments[0]}")
    parser = argparse.ArgumentParser(prog="stylize", description="Paint moving pictures.")
    _add_version(parser)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, command in _COMMANDS.items():
        if name not in _EXPORT_COMMANDS:
            commands.add_parser(name, help=command.help, add_help=False)
    for name, text in _EXPORT_COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)
    parser.parse_args(arguments)
    return EXIT_USAGE


def _run_command(name: str, arguments: list[str], program: str) -> int:
    command = _COMMANDS[name]
    parser = argparse.ArgumentParser(prog=program, description=command.description)
    command.add_arguments(parser)
    _add_version(parser)
    options = parser.parse_intermixed_args(arguments)
    return _reported(lambda: command.handler(options))


def _reported(action: Callable[[], int]) -> int:
    console = stderr_console()
    previous = None
    with contextlib.suppress(ValueError):  # signals belong to the main thread
        previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return action()
    except StylizeError as error:
        console.print(f"[red]error:[/red] {escape(str(error))}")
        return EXIT_FAILED
    except KeyboardInterrupt as error:
        kept = f": {error}" if str(error) else ""
        console.print(f"[yellow]stopped[/yellow]{escape(kept)}")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return EXIT_FAILED
    except MemoryError:
        console.print("[red]error:[/red] out of memory: try a smaller --size or fewer --threads")
        return EXIT_FAILED
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def _interrupt(_signum: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _run_export(arguments: list[str]) -> int:
    """Training and export live in the other half, which needs torch; it is reached only from
    here.
    """
    try:
        module = importlib.import_module("..export.cli", __package__)
    except ImportError as error:
        raise MissingDependency(
            f"stylize {arguments[0]} needs {error.name}: pip install 'stylize-video[train]'"
        ) from error
    code: int = module.run(arguments)
    return code


# --- commands


def _video(options: argparse.Namespace) -> int:
    return 0 if _video_command.run(options, stderr_console(), print) else EXIT_FAILED


def _image(options: argparse.Namespace) -> int:
    say = Speaker(stderr_console(), quiet=options.quiet)
    style = first_style(options)
    engine, turning = load_turning(options, [], engine_request(options), say.line)
    say.line(f"style {style.card.id} by {engine.description}")
    still = partial(paint_turned, turning) if turning else engine.paint
    try:
        output, notices = paint_image(
            options.input,
            options.output,
            style,
            still,
            resize=options.size,
            overwrite=options.overwrite,
            max_pixels=options.max_pixels,
        )
    finally:
        for notice in engine.notices:
            say.line(notice)
        for loaded in turning.engines.values() if turning else [engine]:
            loaded.close()
    for notice in notices:
        say.line(notice)
    say.line(f"painted {output}")
    return 0


def _webcam(options: argparse.Namespace) -> int:
    say = Speaker(stderr_console(), quiet=options.quiet)
    return webcam.run(options, say.line, None if options.quiet else webcam.terminal_status())


def _serve(options: argparse.Namespace) -> int:
    console = stderr_console()
    say = Speaker(console, quiet=options.quiet)
    # links are printed whole, whatever the terminal's width
    return serve.run(options, say.line, lambda text: console.print(escape(text), soft_wrap=True))


def _styles(options: argparse.Namespace) -> int:
    styles = all_styles()
    if options.html:
        write_gallery(styles, options.html)
        stderr_console().print(f"written: {escape(str(options.html))}", soft_wrap=True)
        return 0
    if options.json:
        print(json.dumps([_style_json(style) for style in styles], indent=2))
        return 0
    width = max((len(style.card.id) for style in styles), default=0)
    for style in styles:
        print(f"{style.card.id:{width}}  {style.card.tier:8}  {style.card.description}")
    return 0


def _bench(options: argparse.Namespace) -> int:
    if options.temporal:
        return bench_temporal.run(options, print)
    return bench.run(options, print)


def _doctor(options: argparse.Namespace) -> int:
    return doctor.run(options, print)


def _export_tensorrt(options: argparse.Namespace) -> int:
    return _tensorrt.run(options, stderr_console())


def _style_json(style: Style) -> dict[str, Any]:
    card = style.card
    return {
        "id": card.id,
        "title": card.title,
        "description": card.description,
        "tier": card.tier,
        "artist": card.artist,
        "work": card.work,
        "year": card.year,
        "files": {precision: str(file.path) for precision, file in style.files.items()},
    }


# --- the command line


def _add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--version", action="version", version=f"stylize-video {metadata.version('stylize-video')}"
    )


def _add_styles(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page with pictures of them instead"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    bench.add_arguments(parser)
    bench_temporal.add_arguments(parser)
    add_engine(parser)


@dataclass(frozen=True)
class _Command:
    help: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    handler: Callable[[argparse.Namespace], int]


_COMMANDS: Final = {
    "video": _Command(
        "paint a video file, a folder of clips or a pipe",
        "Paint a video in a style, frame by frame, keeping everything else.",
        add_video,
        _video,
    ),
    "webcam": _Command(
        "paint a camera, a stream or the screen, live",
        "Paint a live source: show it, record it, push it on.",
        webcam.add_arguments,
        _webcam,
    ),
    "serve": _Command(
        "a webcam page and an overlay for OBS",
        "Serve a page that paints the camera of whoever opens it, an overlay for OBS, and a "
        "control API.",
        serve.add_arguments,
        _serve,
    ),
    "ctl": _Command(
        "turn the knobs of a running `stylize serve`",
        "Turn the knobs of a running `stylize serve`, or tell how they stand.",
        ctl.add_arguments,
        ctl.run,
    ),
    "image": _Command(
        "paint a still picture", "Paint a still picture in a style.", add_image, _image
    ),
    "export": _Command(
        "build the TensorRT engine of a style",
        "Build the TensorRT engine of a style, which `--engine tensorrt` then runs.",
        _tensorrt.add_arguments,
        _export_tensorrt,
    ),
    "styles": _Command(
        "list the styles there are", "List the styles there are.", _add_styles, _styles
    ),
    "doctor": _Command(
        "say what works on this machine",
        "Try engines, encoders, sources and outlets on this machine; say what to install.",
        doctor.add_arguments,
        _doctor,
    ),
    "bench": _Command(
        "measure speed on this machine",
        "Measure how fast a style paints here, the network alone and a file from decode to encode.",
        _add_bench,
        _bench,
    ),
}
