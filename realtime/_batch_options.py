"""The options of several inputs: which there are, and what to do about those that fail."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from .batch import BatchSettings
from .errors import StylizeError
from .folders import read_list


def add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input",
        help="a video file, a folder of clips or pictures, a sequence like %%05d.png, a pattern "
        "like 'clips/*.mp4', or - for stdin",
    )
    parser.add_argument(
        "output",
        nargs="?",
        help="a file (.mp4 .mkv .mov .webm .gif), a sequence like %%05d.png, a folder for a "
        "folder, or - for stdout; by default <stem>_<style>.<ending> beside the input",
    )
    parser.add_argument(
        "more",
        nargs="*",
        metavar="...",
        help="of more than two names, the last is the folder for the outputs of the others",
    )


def add_batch(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("several inputs")
    group.add_argument(
        "--list",
        action="store_true",
        help="the input is a text file that names inputs, one a line",
    )
    group.add_argument(
        "--recursive",
        action="store_true",
        help="look into the folders below a folder; the outputs lie in a tree of the same shape",
    )
    group.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave inputs alone whose output is there already",
    )
    group.add_argument(
        "--skip-errors",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on with the next input when one fails, or stop; the exit code is 1 either way "
        "(default: go on)",
    )


def named_inputs(options: argparse.Namespace) -> tuple[list[str], str | None]:
    """The inputs and the output that are named. Raises `SourceOpenError` for a list that is
    none.
    """
    names: Sequence[str] = [options.input, *([options.output] if options.output else [])]
    names = [*names, *options.more]
    output = names[-1] if len(names) > 1 else None
    inputs = list(names[:-1] if output else names)
    if options.list:
        inputs = [name for file in inputs for name in read_list(Path(file))]
    if options.json and output == "-":
        raise StylizeError("--json and a video can't both go to standard output")
    return inputs, output


def batch_settings(options: argparse.Namespace) -> BatchSettings:
    return BatchSettings(options.skip_existing, options.skip_errors)
