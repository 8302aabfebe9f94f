"""The options of long jobs: segments, and going on with what an interrupted run has left."""

import argparse
import hashlib
import re
from collections.abc import Mapping
from fractions import Fraction
from importlib import metadata

from ._options import parse_seconds
from .catalogue import Style
from .engines import Engine
from .errors import StylizeError
from .segments import DEFAULT_SECONDS, LONG_S, SegmentSettings


def add_segments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "long jobs",
        f"Inputs of {LONG_S // 60} minutes and more are painted in segments of "
        f"{DEFAULT_SECONDS} s. Finished ones lie in OUTPUT.segments, with a journal, until the "
        "output is whole: after an interruption of any kind the same command goes on behind the "
        "last of them. Pixels, times and sound are those of a run that was never interrupted.",
    )
    group.add_argument(
        "--segments",
        type=parse_seconds,
        metavar="SECONDS",
        help="seconds of video in a segment, whatever the length of the input; 0 paints in one "
        "piece",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on with an interrupted run, and refuse where there is none",
    )
    group.add_argument(
        "--restart", action="store_true", help="throw away what an interrupted run has left"
    )
    group.add_argument(
        "--keep-segments",
        action="store_true",
        help="also keep the picture of each segment as a file, in a folder STEM.kept",
    )


def segment_settings(
    options: argparse.Namespace, made_of: Mapping[str, str]
) -> SegmentSettings | None:
    """What the options ask for, of a job made of that; None paints in one piece. Raises
    `StylizeError`.
    """
    if options.resume and options.restart:
        raise StylizeError("--resume goes on and --restart begins anew: give one of them")
    seconds: Fraction | None = options.segments
    if seconds == 0:
        if options.resume or options.keep_segments:
            raise StylizeError("--segments 0 leaves nothing to keep or to go on with")
        return None
    return SegmentSettings(
        seconds=seconds or DEFAULT_SECONDS,
        always=seconds is not None or options.keep_segments,
        restart=options.restart,
        must_resume=options.resume,
        keep=options.keep_segments,
        made_of=made_of,
    )


def painted_by(options: argparse.Namespace, style: Style, engine: Engine) -> dict[str, str]:
    """Style, engine and their options, by the names people know them by."""
    files = [*style.files.values(), *([style.encoder] if style.encoder else [])]
    sums = [file.sha256 or hashlib.sha256(file.path.read_bytes()).hexdigest() for file in files]
    facts = {
        "--style": style.card.id,
        "the style's files": hashlib.sha256(" ".join(sums).encode()).hexdigest(),
        # how many threads a network runs on does not change what it paints
        "the engine": re.sub(r", \d+ threads", "", engine.description),
        "the program": f"stylize-video {metadata.version('stylize-video')}",
    }
    if options.painting:
        shares = []
        for file, weight in options.painting:
            with open(file, "rb") as picture:  # noqa: PTH123 - the name as it was given
                shares.append(f"{hashlib.file_digest(picture, 'sha256').hexdigest()}:{weight}")
        facts["--painting"] = hashlib.sha256(" ".join(shares).encode()).hexdigest()
        facts["--alpha"] = str(options.alpha)
    for name in ("fit", "model_range"):
        value = getattr(options, name)
        if value is not None:
            facts[f"--{name.replace('_', '-')}"] = str(value)
    return facts
