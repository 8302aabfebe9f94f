"""The options of painting on many machines."""

import argparse
import re

from ._options import parse_count


def add_cluster(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "many machines",
        "Films are cut into pieces at their shots and painted by the workers of a Ray cluster, to "
        "the pixels, times and sound of a single run. Every machine has the same version of this "
        "program, and finds inputs, styles, paintings and masks under the same names; painted "
        "pieces come back by Ray. Interrupted runs are gone on with as those in segments are.",
    )
    group.add_argument(
        "--cluster",
        type=parse_cluster,
        metavar="ADDRESS",
        help="local for workers on this machine; auto for the cluster that ray start has made this "
        "machine a part of, or HOST:PORT of its head",
    )
    group.add_argument(
        "--workers",
        type=parse_count,
        metavar="N",
        help="how many workers (default: one for each GPU, or for every --threads processors)",
    )


def parse_cluster(text: str) -> str:
    """``local``, ``auto`` or HOST:PORT."""
    address = r"([\w.\-]+|\[[\da-fA-F:]+\]):\d{1,5}"
    if text in ("local", "auto") or re.fullmatch(address, text):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is no cluster: give local, auto, or HOST:PORT as ray start --head has printed"
    )
