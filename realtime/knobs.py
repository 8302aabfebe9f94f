"""What can be turned while pictures run: pure functions from a frame and its painting to what is
shown.
"""

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from .frame import Pixels

_LINE: Final = 2
_STEP: Final = 0.1


@dataclass(frozen=True)
class Knobs:
    """The state of all knobs."""

    style: int = 0
    """Number of the style in the list of the run."""
    strength: float = 1.0
    """How much of the painting shows, 0..1."""
    colours: float = 0.0
    """How much of the source's colours the painting keeps, 0..1."""
    mirror: bool = False
    freeze: bool = False
    blackout: bool = False
    divider: float | None = None
    """Left of this part of the width the source shows, as it is; None for no divider."""


KEYS: Final = {
    "n": "next style",
    "p": "previous style",
    "+": "stronger",
    "-": "weaker",
    "c": "the source's own colours",
    "m": "mirror",
    "f": "freeze",
    "b": "black",
    "d": "before and after",
    "<": "divider left",
    ">": "divider right",
    "s": "snapshot",
    "h": "this help",
    "q": "end",
}


def turned(knobs: Knobs, key: str, styles: int) -> Knobs:
    """The knobs after a key; keys that turn none leave them as they are."""
    changes = {
        "n": {"style": (knobs.style + 1) % styles},
        "p": {"style": (knobs.style - 1) % styles},
        "+": {"strength": min(1.0, round(knobs.strength + _STEP, 3))},
        "-": {"strength": max(0.0, round(knobs.strength - _STEP, 3))},
        "c": {"colours": 0.0 if knobs.colours else 1.0},
        "m": {"mirror": not knobs.mirror},
        "f": {"freeze": not knobs.freeze},
        "b": {"blackout": not knobs.blackout},
        "d": {"divider": 0.5 if knobs.divider is None else None},
        "<": {"divider": max(0.0, round((knobs.divider or 0.5) - _STEP, 3))},
        ">": {"divider": min(1.0, round((knobs.divider or 0.5) + _STEP, 3))},
    }
    if key in "<>" and knobs.divider is None:
        return knobs
    return replace(knobs, **changes.get(key, {}))  # type: ignore[arg-type]


def mirrored(pixels: Pixels) -> Pixels:
    """Left and right exchanged."""
    return np.ascontiguousarray(pixels[:, ::-1])


def finished(source: Pixels, painted: Pixels, knobs: Knobs) -> Pixels:
    """What is shown of a frame and its painting, RGB (H, W, 3) uint8 all three.

    Strength below 1 lays the painting over the source like paint that is thinned: light and shade
    first, since the source's edges under strokes of another place would be a double exposure.
    """
    if knobs.blackout:
        return np.zeros_like(painted)
    shown = painted
    if knobs.colours > 0:
        shown = with_colours(shown, source, knobs.colours)
    if knobs.strength < 1:
        shown = _thinned(source, shown, knobs.strength)
    if knobs.divider is not None:
        shown = _divided(source, shown, knobs.divider)
    return shown


def with_colours(painted: Pixels, source: Pixels, amount: float) -> Pixels:
    """The luminance of the painting with the chroma of the source (Gatys 2016b, section 3)."""
    ours, theirs = (cv2.cvtColor(p, cv2.COLOR_RGB2YCrCb) for p in (painted, source))
    chroma = cv2.addWeighted(ours, 1 - amount, theirs, amount, 0)
    ours[..., 1:] = chroma[..., 1:]
    return np.asarray(cv2.cvtColor(ours, cv2.COLOR_YCrCb2RGB), np.uint8)


def _thinned(source: Pixels, painted: Pixels, strength: float) -> Pixels:
    """Between source and painting: their fine parts are never both there in full.

    Broad light and colour are mixed by strength; of the fine parts the source's fade out before the
    painting's have come in.
    """
    sigma = max(1.0, source.shape[1] / 160)
    broad = [np.asarray(cv2.GaussianBlur(p, (0, 0), sigma), np.float32) for p in (source, painted)]
    own, paint = max(0.0, 1 - 1.6 * strength), max(0.0, 1.6 * strength - 0.6)
    mixed = (1 - strength) * broad[0] + strength * broad[1]
    mixed += own * (source - broad[0]) + paint * (painted - broad[1])
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)


def _divided(source: Pixels, shown: Pixels, divider: float) -> Pixels:
    split = shown.copy()
    at = round(divider * shown.shape[1])
    split[:, :at] = source[:, :at]
    split[:, max(0, at - _LINE // 2) : at + _LINE // 2] = 255
    return split
