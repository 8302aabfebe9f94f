"""What can be turned while pictures run, and how keys, flags, cues and remote control turn it.

`Knobs` is the state of all of them; `set_knob` is the one place where a value from outside becomes
part of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from .errors import StylizeError

Kind = Literal["share", "switch", "style", "mix", "weights", "choice", "size", "divider"]
MASKINGS: Final = ("off", "inside", "outside")
STROKES: Final = (0.25, 4.0)
_STEP: Final = 0.1
_STROKE_STEP: Final = 1.25
_MOST_MIXED: Final = 4


class KnobError(StylizeError, ValueError):
    """There is no such knob, or it can't be turned that far."""


@dataclass(frozen=True)
class Knobs:
    """The state of all knobs."""

    style: int = 0
    """Number of the style in the list of the run."""
    mix: tuple[tuple[int, float], ...] = ()
    """Styles and their shares, which sum to 1, in place of `style` alone."""
    paintings: tuple[float, ...] = ()
    """Shares of the paintings of the run, which sum to 1, in their order, for styles that paint
    like any painting; none for those they were given with.
    """
    strength: float = 1.0
    """How much of the painting shows, 0..1."""
    colours: float = 0.0
    """How much of the source's colours the painting keeps, 0..1."""
    stroke: float | None = None
    """Size of strokes against the height of the picture, whatever its pixels: 1 is what they are in
    720 rows, 2 twice as large. None leaves them at their size in pixels.
    """
    mirror: bool = False
    freeze: bool = False
    blackout: bool = False
    divider: float | None = None
    """Left of this part of the width the source shows, as it is; None for no divider."""
    mask: str = "off"
    """Whether the mask of the run counts: "off", paint "inside" of it only, or "outside"."""

    @property
    def shares(self) -> dict[int, float]:
        """Styles that show and their shares, which sum to 1."""
        return dict(self.mix) or {self.style: 1.0}


@dataclass(frozen=True)
class Knob:
    """What a knob takes, for whoever turns it from outside."""

    kind: Kind
    help: str
    low: float = 0.0
    high: float = 1.0
    """Ends of its range, for shares and sizes."""
    choices: tuple[str, ...] = ()

    @property
    def ramps(self) -> bool:
        """Whether it can move gradually from one value to another."""
        return self.kind in ("share", "style", "mix", "weights")


KNOBS: Final[Mapping[str, Knob]] = {
    "style": Knob("style", "a style by its name or number, or next or previous"),
    "mix": Knob("mix", "several styles at once: their names and shares"),
    "paintings": Knob("weights", "weights of the paintings to paint like, in their order"),
    "strength": Knob("share", "how much of the painting shows"),
    "colours": Knob("share", "how much of the source's colours the painting keeps"),
    "stroke": Knob("size", "size of strokes against the height of the picture", *STROKES),
    "mirror": Knob("switch", "exchange left and right"),
    "freeze": Knob("switch", "hold the picture"),
    "blackout": Knob("switch", "show black"),
    "divider": Knob("divider", "left of this part of the width the source shows"),
    "mask": Knob("choice", "paint all, or only inside or outside of the mask", choices=MASKINGS),
}

KEYS: Final = {
    "n": "next style",
    "p": "previous style",
    "1…9": "style by number",
    "w": "next painting alone, and at last all as given",
    "+": "stronger",
    "-": "weaker",
    "c": "the source's own colours",
    "]": "larger strokes",
    "[": "smaller strokes",
    "o": "strokes of their own size",
    "k": "mask: off, inside, outside",
    "m": "mirror",
    "f": "freeze",
    "b": "black",
    "d": "before and after",
    "<": "divider left",
    ">": "divider right",
    "i": "figures in the window",
    "s": "snapshot",
    "r": "record, and stop recording",
    "h": "this help",
    "q": "end",
}


def turned(knobs: Knobs, key: str, styles: int, paintings: int = 0) -> Knobs:
    """The knobs after a key, in a run of so many styles and paintings; keys that turn none leave
    them as they are.
    """
    if key in "<>" and knobs.divider is None:
        return knobs
    if key.isdecimal() and key.isascii():
        number = int(key) - 1
        return replace(knobs, style=number, mix=()) if 0 <= number < styles else knobs
    stroke = knobs.stroke or 1.0
    divider = 0.5 if knobs.divider is None else knobs.divider
    changes: dict[str, dict[str, Any]] = {
        "n": {"style": (knobs.style + 1) % styles, "mix": ()},
        "p": {"style": (knobs.style - 1) % styles, "mix": ()},
        "w": {"paintings": _next_alone(knobs.paintings, paintings)},
        "+": {"strength": min(1.0, round(knobs.strength + _STEP, 3))},
        "-": {"strength": max(0.0, round(knobs.strength - _STEP, 3))},
        "c": {"colours": 0.0 if knobs.colours else 1.0},
        "]": {"stroke": min(STROKES[1], round(stroke * _STROKE_STEP, 3))},
        "[": {"stroke": max(STROKES[0], round(stroke / _STROKE_STEP, 3))},
        "o": {"stroke": None},
        "k": {"mask": MASKINGS[(MASKINGS.index(knobs.mask) + 1) % len(MASKINGS)]},
        "m": {"mirror": not knobs.mirror},
        "f": {"freeze": not knobs.freeze},
        "b": {"blackout": not knobs.blackout},
        "d": {"divider": 0.5 if knobs.divider is None else None},
        "<": {"divider": max(0.0, round(divider - _STEP, 3))},
        ">": {"divider": min(1.0, round(divider + _STEP, 3))},
    }
    return replace(knobs, **changes.get(key, {}))


def _next_alone(shares: tuple[float, ...], paintings: int) -> tuple[float, ...]:
    """The shares that follow: the first of so many paintings alone, the second, …, the last, and
    none, which stands for those they were given with. One painting has nothing to follow it.
    """
    if paintings < 2:
        return shares
    following = shares.index(1.0) + 1 if 1.0 in shares else 0
    if following == paintings:
        return ()
    return tuple(float(index == following) for index in range(paintings))


def set_knob(
    knobs: Knobs, name: str, value: Any, styles: Sequence[str], paintings: int = 0
) -> Knobs:
    """The knobs with one of them at a value as JSON has it.

    `styles` are the names of the run's styles, in order, `paintings` how many pictures it was given
    to paint like. Raises `KnobError`.
    """
    if name not in KNOBS:
        raise KnobError(f"there is no knob {name!r}: give one of {', '.join(KNOBS)}")
    if name == "style":
        return replace(knobs, style=_style(value, knobs, styles), mix=())
    if name == "mix":
        return replace(knobs, mix=parse_mix(value, styles))
    if name == "paintings":
        return replace(knobs, paintings=parse_weights(value, paintings))
    turned: dict[str, Any] = {name: _plain(name, KNOBS[name], value)}
    return replace(knobs, **turned)


def _plain(name: str, knob: Knob, value: Any) -> Any:
    """The value of a knob that is no style. Raises `KnobError`."""
    if knob.kind == "switch":
        if not isinstance(value, bool):
            raise KnobError(f"{name} is on or off: give true or false, not {value!r}")
        return value
    if knob.kind == "choice":
        if value not in knob.choices:
            raise KnobError(f"{name} can't be {value!r}: give one of {', '.join(knob.choices)}")
        return value
    if value is None and knob.kind in ("size", "divider"):
        return None
    number = _number(value)
    if number is None or not knob.low <= number <= knob.high:
        raise KnobError(f"{name} can't be {value!r}: give {knob.low:g} to {knob.high:g}")
    return number


def parse_mix(value: Any, styles: Sequence[str]) -> tuple[tuple[int, float], ...]:
    """Shares of styles, from their names to numbers or from text like ``starry:0.6,wave:0.4``.

    Raises `KnobError`.
    """
    if isinstance(value, str):
        parts = [part.rpartition(":") for part in value.split(",")]
        value = {name: _as_number(share) for name, _, share in parts}
    if not isinstance(value, Mapping) or not 1 <= len(value) <= _MOST_MIXED:
        raise KnobError(
            f"{value!r} is no mix: give 1 to {_MOST_MIXED} styles with shares, like starry:0.6,"
            "wave:0.4"
        )
    shares: dict[int, float] = {}
    for name, given in value.items():
        share = _number(given)
        if share is None or share < 0:
            raise KnobError(f"{given!r} is no share of {name}: give a number from 0 up")
        shares[_number_of(name, styles)] = share
    whole = sum(shares.values())
    if not 0 < whole < math.inf:
        raise KnobError("the shares of a mix are all 0: give at least one above")
    return tuple((style, share / whole) for style, share in shares.items() if share)


def parse_weights(value: Any, paintings: int) -> tuple[float, ...]:
    """Shares of so many paintings, which sum to 1, from their weights in a list or in text like
    ``0.2,0.8``; from None none, which stands for those they were given with.

    Raises `KnobError`.
    """
    if value is None:
        return ()
    if not paintings:
        raise KnobError(
            "there are no paintings in this run to weigh: give some by --painting, and a style "
            "that takes any"
        )
    parts = [_as_number(part) for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or len(parts) != paintings:
        raise KnobError(
            f"paintings can't be {value!r}: give {paintings} weights, one for each, like "
            f"{','.join(['1'] * paintings)}"
        )
    numbers = [_number(part) for part in parts]
    weights = [number for number in numbers if number is not None and number >= 0]
    whole = sum(weights)
    if len(weights) < len(numbers) or not 0 < whole < math.inf:
        raise KnobError(
            f"paintings can't be {value!r}: give numbers from 0 up, and at least one above"
        )
    return tuple(weight / whole for weight in weights)


def _style(value: Any, knobs: Knobs, styles: Sequence[str]) -> int:
    if value == "next":
        return (knobs.style + 1) % len(styles)
    if value == "previous":
        return (knobs.style - 1) % len(styles)
    return _number_of(value, styles)


def _number_of(value: Any, styles: Sequence[str]) -> int:
    if isinstance(value, str) and value in styles:
        return styles.index(value)
    number = _number(value)  # JSON knows one kind of numbers only: 1 and 1.0 are the same
    if number is not None and number.is_integer() and 0 <= number < len(styles):
        return int(number)
    raise KnobError(f"there is no style {value!r} in this run: give one of {', '.join(styles)}")


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # whole numbers may have any number of digits
        return None
    return number if math.isfinite(number) else None


def _as_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
