"""From a frame and its painting to what is shown: pure functions of pictures."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from .frame import Pixels
from .knobs import Knobs

Alpha = NDArray[np.uint8]
_LINE: Final = 2
_BROAD: Final = 4
"""Broad light and colour are looked at in pictures of a quarter of the size."""


def mirrored(pixels: Pixels) -> Pixels:
    """Left and right exchanged."""
    return np.ascontiguousarray(pixels[:, ::-1])


def finished(source: Pixels, painted: Pixels, knobs: Knobs, mask: Alpha | None = None) -> Pixels:
    """What is shown of a frame and its painting, RGB (H, W, 3) uint8 all three.

    `mask`, (H, W) uint8, is 255 where the painting shows and 0 where the source does. Strength
    below 1 lays the painting over the source like paint that is thinned: light and shade first,
    since the source's edges under strokes of another place would be a double exposure.
    """
    if knobs.blackout:
        return np.zeros_like(painted)
    shown = painted
    if knobs.colours > 0:
        shown = with_colours(shown, source, knobs.colours)
    if knobs.strength < 1:
        shown = thinned(source, shown, knobs.strength)
    if mask is not None:
        shown = laid_over(source, shown, mask)
    if knobs.divider is not None:
        shown = _divided(source, shown, knobs.divider)
    return shown


def with_colours(painted: Pixels, source: Pixels, amount: float) -> Pixels:
    """The luminance of the painting with the chroma of the source (Gatys 2016b, section 3).

    Where the two don't go together (there is no light blue as dark as black) the chroma is kept and
    the luminance gives way.
    """
    ours, theirs = (cv2.cvtColor(p, cv2.COLOR_RGB2YCrCb) for p in (painted, source))
    chroma: Any = cv2.addWeighted(ours, 1 - amount, theirs, amount, 0)
    ours[..., 1:] = chroma[..., 1:]
    low, high = _luminance_of(ours[..., 1], ours[..., 2])
    ours[..., 0] = np.clip(ours[..., 0], low, high)
    return np.asarray(cv2.cvtColor(ours, cv2.COLOR_YCrCb2RGB), np.uint8)


def _luminance_of(red: Any, blue: Any) -> tuple[Any, Any]:
    """The least and the greatest luminance that a colour of this chroma can have (BT.601)."""
    red, blue = red.astype(np.int16) - 128, blue.astype(np.int16) - 128
    offsets = (red * 179 >> 7, -(red * 91 + blue * 44 >> 7), blue * 227 >> 7)
    low = -np.minimum(np.minimum(offsets[0], offsets[1]), offsets[2])
    high = 255 - np.maximum(np.maximum(offsets[0], offsets[1]), offsets[2])
    low = np.clip(low, 0, 255)
    return low, np.maximum(low, np.clip(high, 0, 255))


def thinned(source: Pixels, painted: Pixels, strength: float) -> Pixels:
    """Between source and painting: their fine parts are never both there in full.

    Broad light and colour are mixed by strength; of the fine parts the source's fade out before the
    painting's have come in.
    """
    if strength <= 0:
        return source.copy()
    own, paint = max(0.0, 1 - 1.6 * strength), max(0.0, 1.6 * strength - 0.6)
    # own (S - broad S) + paint (P - broad P) + (1 - s) broad S + s broad P, with one broad picture
    broad: Any = cv2.addWeighted(
        _broad(source), 1 - strength - own, _broad(painted), strength - paint, 0, dtype=cv2.CV_32F
    )
    fine: Any = cv2.addWeighted(source, own, painted, paint, 0, dtype=cv2.CV_32F)
    height, width = source.shape[:2]
    fine += cv2.resize(broad, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.convertScaleAbs(np.maximum(fine, 0, out=fine)), np.uint8)


def _broad(pixels: Pixels) -> Any:
    """Light and colour without strokes, at a quarter of the size."""
    height, width = pixels.shape[:2]
    size = max(1, width // _BROAD), max(1, height // _BROAD)
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (0, 0), max(1.0, width / 160) / _BROAD + 0.5)


def mixed(layers: list[tuple[Pixels, float]]) -> Pixels:
    """Paintings of one frame by their shares, which sum to 1."""
    if len(layers) == 1:
        return layers[0][0]
    total: Any = np.zeros(layers[0][0].shape, np.float32)
    for pixels, share in layers:
        total += np.float32(share) * pixels
    return np.asarray(cv2.convertScaleAbs(total), np.uint8)


def laid_over(source: Pixels, painted: Pixels, mask: Alpha) -> Pixels:
    """The painting over the source, by a mask (H, W) of 0 to 255."""
    share = (mask * np.float32(1 / 255))[..., None]
    shown: Any = source + share * (painted.astype(np.float32) - source)
    return np.asarray(cv2.convertScaleAbs(shown), np.uint8)


def _divided(source: Pixels, shown: Pixels, divider: float) -> Pixels:
    split = shown.copy()
    at = round(divider * shown.shape[1])
    split[:, :at] = source[:, :at]
    split[:, max(0, at - _LINE // 2) : at + _LINE // 2] = 255
    return split


def labelled(pixels: Pixels, text: str) -> Pixels:
    """The picture with a line of text at its lower border."""
    height, width = pixels.shape[:2]
    drawn: Any = pixels.copy()
    scale = max(0.35, width / 1600)
    line = max(1, round(2 * scale))
    at = round(12 * scale), height - round(14 * scale)
    for colour, thickness in (((0, 0, 0), line + 2), ((255, 255, 255), line)):
        cv2.putText(
            drawn, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA
        )
    return np.asarray(drawn, np.uint8)
