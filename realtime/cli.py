"""The program: `stylize` and its sub-commands. The only module that prints or exits."""

import argparse
import contextlib
import importlib
import json
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import metadata
from typing import Any, Final

import cv2
from rich.markup import escape

from . import _export_tensorrt as _tensorrt
from . import bench, bench_temporal
from ._console import ProgressBar, stderr_console
from ._options import (
    parse_count,
    parse_every,
    parse_painting,
    parse_ranges,
    parse_rate,
    parse_raw_video,
    parse_seconds,
    parse_share,
    parse_size,
    parse_threads,
    read_paintings,
)
from .catalogue import DEFAULT_STYLE, Style, all_styles, find_style
from .engines import ENGINE_NAMES, Engine
from .engines.choose import EngineRequest, load_engine
from .errors import MissingDependency, StylizeError
from .frame import VideoInfo
from .image import paint_image
from .peephole import VIEWS
from .pipeline import Report
from .sinks._containers import DEFAULT_CRF, DEFAULT_PRESET, EncodeOptions
from .sources.file import DEFAULT_MAX_PIXELS, FileOptions
from .tiers import TIERS
from .video import (
    PIPES,
    STDIO,
    Result,
    VideoSettings,
    default_threads,
    jobs,
    paint_video,
)

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
    console = stderr_console()
    say = _Speaker(console, quiet=options.quiet)
    style = find_style(options.style)
    settings = _video_settings(options)
    work = jobs(options.input, options.output, style)
    engine = load_engine(style, _engine_request(options))
    results: list[Result] = []
    failures: list[dict[str, str]] = []
    watcher = _JobWatcher(ProgressBar(console, quiet=options.quiet), say, style, engine)
    try:
        for source, target in work:
            try:
                result = paint_video(source, target, engine, settings, watcher)
            except StylizeError as error:
                if len(work) == 1:
                    raise
                console.print(f"[red]error:[/red] {escape(str(error))}")
                failures.append({"input": source, "error": str(error)})
                continue
            finally:
                watcher.end()
            results.append(result)
            for notice in result.notices:
                say.line(notice)
            say.summary(result)
    finally:
        engine.close()
    if options.json:
        document = {
            "style": style.card.id,
            "engine": engine.description,
            "jobs": [r.as_json() for r in results],
            "failures": failures,
        }
        print(json.dumps(document, indent=2))
    return EXIT_FAILED if failures else 0


def _image(options: argparse.Namespace) -> int:
    say = _Speaker(stderr_console(), quiet=options.quiet)
    style = find_style(options.style)
    engine = load_engine(style, _engine_request(options))
    say.line(f"style {style.card.id} by {engine.description}")
    try:
        output, notices = paint_image(
            options.input,
            options.output,
            style,
            engine,
            resize=options.size,
            overwrite=options.overwrite,
            max_pixels=options.max_pixels,
        )
    finally:
        for notice in engine.notices:
            say.line(notice)
        engine.close()
    for notice in notices:
        say.line(notice)
    say.line(f"painted {output}")
    return 0


def _styles(options: argparse.Namespace) -> int:
    styles = all_styles()
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


def _export_tensorrt(options: argparse.Namespace) -> int:
    return _tensorrt.run(options, _Speaker(stderr_console(), quiet=False).line)


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


class _Speaker:
    """Says things on stderr unless told to be quiet."""

    def __init__(self, console: Any, *, quiet: bool) -> None:
        self._console, self._quiet = console, quiet

    def line(self, text: str) -> None:
        if not self._quiet:
            self._console.print(escape(text))

    def summary(self, result: Result) -> None:
        report = result.report
        self.line(
            f"painted {report.frames} frames of {result.info.width}x{result.info.height} in "
            f"{report.seconds:.1f} s ({report.fps:.1f} fps): {report.output}"
        )


class _JobWatcher:
    """Says what paints once the first input has proved readable, then moves the bar."""

    def __init__(self, bar: ProgressBar, say: _Speaker, style: Style, engine: Engine) -> None:
        self._bar, self._say, self._engine = bar, say, engine
        self._first: str | None = f"style {style.card.id} by {engine.description}"
        self._told = 0

    def begin(self, info: VideoInfo, output: str) -> None:
        if self._first:
            self._say.line(self._first)
            self._first = None
        self._tell()
        self._bar.begin(info, output)

    def frame(self, report: Report) -> None:
        self._bar.frame(report)

    def end(self) -> None:
        self._bar.end()
        self._tell()

    def _tell(self) -> None:
        """Say what the engine has noticed since the last time."""
        notices = self._engine.notices
        for notice in notices[self._told :]:
            self._say.line(notice)
        self._told = len(notices)


# --- the command line


def _add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--version", action="version", version=f"stylize-video {metadata.version('stylize-video')}"
    )


def _add_temporal(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("steadiness")
    group.add_argument(
        "--temporal",
        choices=TIERS,
        default="quality",
        help="how frames are kept steady in time: off paints each by itself, fast and quality "
        "carry the last painting along by optical flow, best averages each with those before and "
        "after it (default: %(default)s)",
    )
    group.add_argument(
        "--consistency",
        type=parse_share,
        default=1.0,
        metavar="0..1",
        help="how much of other frames is taken over, from none to all that fits (default: 1)",
    )
    group.add_argument(
        "--paint-every",
        type=parse_every,
        default=1,
        metavar="N",
        help="run the network on every Nth frame, or auto, and carry its strokes through the "
        "frames between: for slow networks, with --temporal fast or quality (default: 1)",
    )
    group.add_argument(
        "--show",
        choices=VIEWS,
        help="look into it: write this in place of the painting",
    )


def _add_video(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input",
        help="a video file, a folder of clips or pictures, a sequence like %%05d.png, "
        "or - for stdin",
    )
    parser.add_argument(
        "output",
        nargs="?",
        help="a file (.mp4 .mkv .mov .webm .gif), a sequence like %%05d.png, a folder for a "
        "folder, or - for stdout; by default <stem>_<style>.<ending> beside the input",
    )
    _add_temporal(parser)
    picture = parser.add_argument_group("picture")
    picture.add_argument(
        "--start", type=parse_seconds, metavar="TIME", help="begin here: seconds or H:MM:SS.s"
    )
    picture.add_argument(
        "--end", type=parse_seconds, metavar="TIME", help="stop here: seconds or H:MM:SS.s"
    )
    _add_size(picture)
    picture.add_argument(
        "--fps",
        type=parse_rate,
        default=Fraction(25),
        metavar="RATE",
        help="frames a second of a sequence of pictures (default: 25)",
    )
    picture.add_argument(
        "--raw",
        type=parse_raw_video,
        metavar="WxH@RATE[:FORMAT]",
        help="stdin is raw video of this size, rate and pixel format (default rgb24)",
    )
    encoding = parser.add_argument_group("output")
    encoding.add_argument("--codec", help="video encoder (default: libx264, libvpx-vp9 for .webm)")
    encoding.add_argument(
        "--crf",
        type=int,
        metavar="N",
        help=f"quality, lower is better (default: {DEFAULT_CRF} for x264 and x265)",
    )
    encoding.add_argument(
        "--preset", help=f"encoder speed (default: {DEFAULT_PRESET} for x264 and x265)"
    )
    encoding.add_argument("--pix-fmt", help="pixel format (default: yuv420p)")
    encoding.add_argument("--no-audio", action="store_true", help="leave the audio tracks out")
    encoding.add_argument(
        "--format",
        choices=sorted(PIPES),
        default="y4m",
        help="what is written to stdout (default: %(default)s; raw is rgb24)",
    )
    encoding.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    _add_engine(parser)
    _add_talk(parser)


def _add_image(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", help="a picture")
    parser.add_argument(
        "output", nargs="?", help="the painted picture; by default beside the input"
    )
    _add_size(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    _add_engine(parser)
    _add_talk(parser)


def _add_styles(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    bench.add_arguments(parser)
    bench_temporal.add_arguments(parser)
    _add_engine(parser)


def _add_size(parser: Any) -> None:
    parser.add_argument(
        "--size",
        type=parse_size,
        default=(None, None),
        metavar="WxH",
        help="scale to this size; 1280x or x720 keeps the aspect",
    )
    parser.add_argument(
        "--max-pixels",
        type=parse_count,
        default=DEFAULT_MAX_PIXELS,
        metavar="N",
        help="refuse larger frames (default: %(default)s)",
    )


def _add_engine(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("style and engine")
    group.add_argument(
        "--style",
        default=DEFAULT_STYLE,
        help="a style's name (see `stylize styles`), its folder, or an ONNX file "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--painting",
        action="append",
        default=[],
        type=parse_painting,
        metavar="FILE[:WEIGHT]",
        help="a picture to paint like, for a style that takes any; several are mixed by weight",
    )
    group.add_argument(
        "--alpha",
        type=parse_share,
        default=1.0,
        metavar="0..1",
        help="how much of such a style, from the photo to all of it (default: 1)",
    )
    group.add_argument(
        "--engine",
        choices=ENGINE_NAMES,
        default="auto",
        help="what runs the network (default: the fastest that works here)",
    )
    group.add_argument(
        "--precision",
        choices=["fp32", "int8"],
        help="which of the style's networks (default: int8 on the CPU, else fp32)",
    )
    group.add_argument(
        "--threads",
        type=parse_threads,
        default=0,
        metavar="N",
        help="processor threads (default: all)",
    )
    group.add_argument(
        "--model-range",
        type=parse_ranges,
        metavar="IN[,OUT]",
        help="values a foreign float model takes and gives: 0..255, 0..1 or -1..1",
    )
    group.add_argument(
        "--fit",
        choices=["resize", "tile"],
        default="resize",
        help="how frames reach a foreign model of fixed size (default: %(default)s)",
    )


def _add_talk(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON on stdout")


def _engine_request(options: argparse.Namespace) -> EngineRequest:
    return EngineRequest(
        options.engine,
        options.precision,
        options.threads,
        options.fit,
        options.model_range,
        read_paintings(options.painting),
        options.alpha,
    )


def _video_settings(options: argparse.Namespace) -> VideoSettings:
    if options.raw and options.input != STDIO:
        raise StylizeError("--raw describes raw video on standard input: give - as the input")
    if options.show and options.temporal == "off":
        raise StylizeError("--show looks into the temporal stage, which --temporal off leaves out")
    if options.json and options.output == STDIO:
        raise StylizeError("--json and a video can't both go to standard output")
    if options.start is not None and options.end is not None and options.end <= options.start:
        raise StylizeError(
            f"--end {float(options.end)} must come after --start {float(options.start)}"
        )
    codec, pix_fmt = options.codec, options.pix_fmt
    to_pipe = options.output == STDIO or (options.output is None and options.input == STDIO)
    if to_pipe and options.format == "raw" and pix_fmt is None:
        pix_fmt = "rgb24"
    decoding, encoding = default_threads(options.threads)
    return VideoSettings(
        threads=options.threads,
        temporal=options.temporal,
        consistency=options.consistency,
        paint_every=options.paint_every,
        show=options.show,
        read=FileOptions(
            start=options.start,
            end=options.end,
            resize=options.size,
            max_pixels=options.max_pixels,
            audio=not options.no_audio,
            threads=decoding,
            format="rawvideo" if options.raw else None,
            format_options=options.raw,
        ),
        write=EncodeOptions(
            codec=codec,
            crf=options.crf,
            preset=options.preset,
            pix_fmt=pix_fmt,
            overwrite=options.overwrite,
            threads=encoding,
        ),
        sequence_rate=options.fps,
        pipe_format=options.format,
    )


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
        _add_video,
        _video,
    ),
    "image": _Command(
        "paint a still picture", "Paint a still picture in a style.", _add_image, _image
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
    "bench": _Command(
        "measure speed on this machine",
        "Measure how fast a style paints here, the network alone and a file from decode to encode.",
        _add_bench,
        _bench,
    ),
}
