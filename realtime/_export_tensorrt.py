"""`stylize export --tensorrt`: builds the TensorRT engine of a style. Needs no torch."""

import argparse
from collections.abc import Callable

from ._options import parse_size
from .catalogue import find_style
from .engines.tensorrt import PRECISIONS, Profile, build_engine, this_machine
from .errors import StylizeError


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


def run(options: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Build the engine, or find it. Raises `StylizeError`s."""
    sizes = options.smallest, options.usual, options.largest
    if any(None in size for size in sizes):
        raise StylizeError("sizes of an engine need both sides: give them as 1280x720")
    profile = Profile(*sizes)
    profile.check()
    style = find_style(options.style)
    content = style.read("int8" if options.precision == "int8" else "fp32")
    folder = build_engine(content, profile, options.precision, this_machine(), say=say)
    say(f"kept in {folder}; `--engine tensorrt` finds it there")
    return 0
