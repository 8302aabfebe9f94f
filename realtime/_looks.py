"""The options that set knobs, the same for files and for live pictures, and what they ask for."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from ._options import parse_share
from .catalogue import Style, all_styles, find_style
from .cues import Cue, Timeline, named_styles
from .engines import Engine
from .engines.choose import EngineRequest, load_engine
from .errors import StylizeError
from .knobs import STROKES, KnobError, Knobs, parse_mix, parse_weights
from .masks import BrightnessMask, Masker, MovementMask, PersonMask, PictureMask
from .sources.images import read_image
from .turning import Turning


@dataclass(frozen=True)
class Looks:
    """The styles of a run, and how its knobs stand at first."""

    styles: dict[str, Style]
    """By the names they were asked for, in order: their numbers are those of the knobs."""
    knobs: Knobs
    paintings: tuple[float, ...] = ()
    """Shares of the paintings that were given, which sum to 1, in order."""

    @property
    def names(self) -> list[str]:
        """The names of the styles, in order."""
        return list(self.styles)


def add_look(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("look")
    group.add_argument(
        "--strength",
        type=parse_share,
        default=1.0,
        metavar="0..1",
        help="how much of the painting shows (default: 1)",
    )
    group.add_argument(
        "--colours",
        type=parse_share,
        default=0.0,
        metavar="0..1",
        help="how much of the source's colours the painting keeps (default: 0)",
    )
    group.add_argument(
        "--stroke",
        type=parse_stroke,
        metavar="SIZE",
        help=f"size of strokes against the picture's height, {STROKES[0]:g} to {STROKES[1]:g}: 1 "
        "is what they are in 720 rows (default: their own size in pixels)",
    )
    group.add_argument("--mirror", action="store_true", help="exchange left and right")
    group.add_argument(
        "--mix",
        metavar="STYLE:SHARE,…",
        help="several styles at once, like starry:0.6,wave:0.4; each costs its own time",
    )
    group.add_argument(
        "--mask",
        metavar="WHAT",
        help="paint only a part: person (by --person-model, or whatever moves before a still "
        "camera), luma:LOW..HIGH (brightness, 0 to 255), or a picture, white where to paint",
    )
    group.add_argument(
        "--person-model",
        type=Path,
        metavar="FILE",
        help="an ONNX file that finds people: float RGB, NHWC or NCHW, to the probability of a "
        "person, in one channel or the last of two",
    )
    group.add_argument(
        "--person-values",
        type=parse_values,
        default=(0.0, 1.0),
        metavar="LOW..HIGH",
        help="what it takes for black and white (default: 0..1)",
    )
    group.add_argument(
        "--outside", action="store_true", help="paint all but the mask: the background"
    )


def add_more_styles(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--more-styles",
        default="",
        metavar="STYLE,…",
        help="styles to turn to later, beside --style (default: all of the catalogue)",
    )


def more_styles(options: argparse.Namespace) -> list[str]:
    """The styles to turn to beside the first: by default those that need nothing else to paint."""
    if options.more_styles:
        return str(options.more_styles).split(",")
    return [style.card.id for style in all_styles() if style.encoder is None]


def add_timeline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeline",
        type=Path,
        metavar="FILE",
        help='turn knobs at times, by JSON: [{"time": 2.5, "knob": "style", "value": "wave", '
        '"ramp": 1}, …], in seconds',
    )


def parse_stroke(text: str) -> float:
    """A size of strokes."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not STROKES[0] <= value <= STROKES[1]:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size of strokes: give {STROKES[0]:g} to {STROKES[1]:g}"
        )
    return value


def parse_values(text: str) -> tuple[float, float]:
    """Two numbers, what black and white become."""
    low, dots, high = text.partition("..")
    try:
        values = float(low), float(high if dots else "")
    except ValueError:
        values = 0.0, 0.0
    if not -1e4 <= values[0] < values[1] <= 1e4:
        raise argparse.ArgumentTypeError(f"{text!r} are no two values: give LOW..HIGH, like 0..1")
    return values


def parse_fade(text: str) -> float:
    """A time in seconds for styles to blend."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 60:
        raise argparse.ArgumentTypeError(f"{text!r} is no time for a fade: give 0 to 60 seconds")
    return value


def read_looks(options: argparse.Namespace, more: Sequence[str] = ()) -> Looks:
    """The styles and knobs that were asked for. Raises `StyleError`s and `KnobError`.

    `more` names styles beside those of the options.
    """
    mixed = [part.rpartition(":")[0] for part in options.mix.split(",")] if options.mix else []
    named = [*(mixed or [options.style]), *more]
    styles: dict[str, Style] = {}
    for name in filter(None, named):
        styles.setdefault(name, find_style(name))
    if options.painting and not any(style.encoder for style in styles.values()):
        first = next(iter(styles.values())).card.id
        raise StylizeError(
            f"style {first} paints like one painting only: leave --painting out, or give a "
            "--style that takes any"
        )
    if options.person_model and options.mask != "person":
        raise KnobError("--person-model goes with --mask person")
    if options.outside and not options.mask:
        raise KnobError("--outside goes with a --mask")
    knobs = Knobs(
        strength=options.strength,
        colours=options.colours,
        stroke=options.stroke,
        mirror=options.mirror,
        mask="off" if not options.mask else "outside" if options.outside else "inside",
    )
    if options.mix:
        knobs = replace(knobs, mix=parse_mix(options.mix, list(styles)))
    weights = [weight for _, weight in options.painting]
    return Looks(styles, knobs, parse_weights(weights, len(weights)) if weights else ())


def first_style(options: argparse.Namespace) -> Style:
    """The style that outputs are named after."""
    first = options.mix.split(",")[0].rpartition(":")[0] if options.mix else options.style
    return find_style(first)


def read_masker(options: argparse.Namespace, say: Callable[[str], None]) -> Masker | None:
    """The mask that was asked for. Raises `StylizeError`s."""
    what: Any = options.mask
    if not what:
        return None
    if what == "person":
        if options.person_model:
            return PersonMask(options.person_model, options.person_values)
        say("no --person-model: the mask is what moves before a still camera")
        return MovementMask()
    if what.startswith("luma:"):
        low, dots, high = what.removeprefix("luma:").partition("..")
        try:
            return BrightnessMask(float(low), float(high if dots else "255"))
        except ValueError:
            raise KnobError(f"{what} is no range of brightness: give luma:LOW..HIGH") from None
    return PictureMask(read_image(Path(what)))


def load_turning(
    options: argparse.Namespace,
    cues: Sequence[Cue],
    request: EngineRequest,
    say: Callable[[str], None],
) -> tuple[Engine, Turning | None]:
    """The engine of the first style, and what is turned beside it, None for nothing.

    Raises `StylizeError`s. The caller closes the engines.
    """
    looks = read_looks(options, named_styles(cues))
    timeline = Timeline(looks.knobs, cues, looks.names, looks.paintings)
    masker = read_masker(options, say)
    engines: dict[int, Engine] = {}
    try:
        for number in sorted(timeline.styles):
            engines[number] = load_one(list(looks.styles.values())[number], request)
    except StylizeError:
        for engine in engines.values():
            engine.close()
        raise
    first = engines[min(engines)]
    if timeline.at_rest:
        return first, None
    return first, Turning(timeline, engines, masker, _made_of(options, looks, cues))


def _made_of(options: argparse.Namespace, looks: Looks, cues: Sequence[Cue]) -> dict[str, str]:
    files = [file for style in looks.styles.values() for file in style.files.values()]
    sums = [file.sha256 or sha256(file.path.read_bytes()).hexdigest() for file in files]
    masks = [Path(options.mask)] if options.mask and Path(options.mask).is_file() else []
    masks += [options.person_model] if options.person_model else []
    return {
        "the knobs": repr(looks.knobs),
        "--timeline": sha256(repr(cues).encode()).hexdigest() if cues else "none",
        "the styles": sha256(" ".join(sums).encode()).hexdigest(),
        "--mask": " ".join(
            [str(options.mask), *(sha256(path.read_bytes()).hexdigest() for path in masks)]
        ),
        "--person-values": str(options.person_values),
    }


def load_one(style: Style, request: EngineRequest) -> Engine:
    """The engine of one of several styles: paintings are for those that take any."""
    return load_engine(style, request if style.encoder else replace(request, paintings=()))
