"""`stylize export --tensorrt`: builds the TensorRT engines of a style. Needs no torch.

A style that takes any painting has two graphs, and `--engine tensorrt` runs both there: what
paints, and what finds the code of a painting. Engines are built for both.
"""

import argparse
import time
from dataclasses import dataclass
from typing import Final, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from ._options import parse_size
from .catalogue import Style, find_style
from .engines.any_painting import PAINTING_SIDE
from .engines.tensorrt import PRECISIONS, Profile, TrtPrecision, build_engine, this_machine
from .errors import StylizeError

_SHORT: Final = PAINTING_SIDE
_LONG: Final = 4 * PAINTING_SIDE
CODE_PROFILES: Final = (
    Profile((_SHORT, _SHORT), (640, _SHORT), (_LONG, _SHORT)),
    Profile((_SHORT, _SHORT), (_SHORT, 640), (_SHORT, _LONG)),
)
"""The sizes paintings are scaled to before their code is taken: wide ones, high ones. One profile
for both would keep memory for pictures that are long both ways, which there are none of.
"""


@dataclass(frozen=True)
class _Graph:
    """A graph of a style and the engine it needs."""

    name: str
    content: bytes
    profile: Profile
    precision: TrtPrecision


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    default = Profile()
    parser.add_argument("style", help="a style's name, its folder, or an ONNX file")
    parser.add_argument("--tensorrt", action="store_true", required=True, help="build its engine")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="fp16", help="arithmetic (default: %(default)s)"
    )
    for flag, size, text in (
        ("--smallest", default.smallest, "smallest frame it takes"),
        ("--usual", default.usual, "frame it is tuned for"),
        ("--largest", default.largest, "largest frame it takes"),
    ):
        parser.add_argument(
            flag,
            type=parse_size,
            default=size,
            metavar="WxH",
            help=f"{text} (default: {size[0]}x{size[1]})",
        )


def run(options: argparse.Namespace, console: Console) -> int:
    """Build the engines, or find them. Raises `StylizeError`s."""
    sizes = options.smallest, options.usual, options.largest
    if any(None in size for size in sizes):
        raise StylizeError("sizes of an engine need both sides: give them as 1280x720")
    profile = Profile(*sizes)
    profile.check()
    graphs = _graphs(find_style(options.style), profile, options.precision)
    machine = this_machine()

    def say(text: str) -> None:
        console.print(escape(text))

    for graph in graphs:
        say(f"{graph.name}, {_range(graph.profile)}, {graph.precision}")
        with BuildBar(console, graph.name) as bar:
            folder = build_engine(
                graph.content, graph.profile, graph.precision, machine, say=say, on_step=bar.step
            )
        say(f"kept in {folder}; `--engine tensorrt` finds it there")
    return 0


def _graphs(style: Style, profile: Profile, precision: TrtPrecision) -> list[_Graph]:
    """What `--engine tensorrt` runs for a style."""
    file: Final = "int8" if precision == "int8" else "fp32"
    graphs = [_Graph(style.file(file).path.name, style.read(file), profile, precision)]
    if style.encoder:
        name, content = style.encoder.path.name, style.read_encoder()
        # it has no 8-bit form: beside an 8-bit network it runs as it does without a kept engine
        own: TrtPrecision = "fp32" if precision == "fp32" else "fp16"
        graphs += [_Graph(name, content, sizes, own) for sizes in CODE_PROFILES]
    return graphs


def _range(profile: Profile) -> str:
    smallest, largest = (f"{w}x{h}" for w, h in (profile.smallest, profile.largest))
    return f"{smallest} to {largest}"


class BuildBar:
    """Progress of the build of an engine: sizes that run, of how many, and the time it takes. Lines
    instead where there is no terminal.

    Nothing is shown before the first step: an engine that is there already needs none.
    """

    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name, self._begun = console, name, time.monotonic()
        self._lines = not console.is_terminal
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("sizes"),
            MofNCompleteColumn(separator=" of "),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=self._lines,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def step(self, done: int, sizes: int, doing: str) -> None:
        """So many sizes of all run; `doing` is what is being done, or was done last."""
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task("", total=sizes)
        text = escape(f"{self._name}: {doing}")
        self._progress.update(self._task, completed=done, description=text)
        if self._lines and done:
            seconds = time.monotonic() - self._begun
            self._console.print(escape(f"size {done} of {sizes}: {doing} after {seconds:.0f} s"))
