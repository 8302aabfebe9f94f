"""From a frame and its painting to what is shown: pure functions of pictures."""

from collections.abc import Callable
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from .frame import Pixels
from .knobs import Knobs

Alpha = NDArray[np.uint8]
_LINE: Final = 2
_PLAIN: Final = 40.0
"""Energy of fine parts, in squared levels, under which a place is plain."""
_BROAD: Final = 4
"""Broad light and colour are looked at in pictures of a quarter of the size."""


def mirrored(pixels: Pixels) -> Pixels:
    """Left and right exchanged."""
    return np.ascontiguousarray(pixels[:, ::-1])


def finished(source: Pixels, painted: Pixels, knobs: Knobs, mask: Alpha | None = None) -> Pixels:
    """What is shown of a frame and its painting, RGB (H, W, 3) uint8 all three.

    `mask`, (H, W) uint8, is 255 where the painting shows and 0 where the source does.
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
    ours = cv2.split(cv2.cvtColor(painted, cv2.COLOR_RGB2YCrCb))
    theirs = cv2.split(cv2.cvtColor(source, cv2.COLOR_RGB2YCrCb))
    red, blue = (
        cv2.addWeighted(own, 1 - amount, other, amount, 0)
        for own, other in zip(ours[1:], theirs[1:], strict=True)
    )
    light: Any = cv2.max(ours[0].astype(np.int16), -_offset(cv2.min, red, blue))
    light = cv2.min(light, 255 - _offset(cv2.max, red, blue))
    kept = cv2.merge([np.maximum(light, 0, out=light).astype(np.uint8), red, blue])
    return np.asarray(cv2.cvtColor(kept, cv2.COLOR_YCrCb2RGB), np.uint8)


def _offset(pick: Callable[[Any, Any], Any], red: Any, blue: Any) -> Any:
    """The least or the greatest of red, green and blue less the luminance, by chroma (BT.601)."""
    levels = np.arange(-128, 128, dtype=np.float32)
    tables = [np.rint(levels * part).astype(np.int16) for part in (1.403, -0.714, -0.344, 1.773)]
    of_red, green, green_too, of_blue = (
        cv2.LUT(plane, table) for plane, table in zip((red, red, blue, blue), tables, strict=True)
    )
    return pick(pick(of_red, of_blue), cv2.add(green, green_too))


def thinned(source: Pixels, painted: Pixels, strength: float) -> Pixels:
    """Between source and painting, without laying the fine parts of one over those of the other.

    Broad light and colour are mixed by strength. Of the fine parts, in each place those that are
    stronger there win: in plain places strokes are soon there in full, on eyes and edges the source
    stays clear for longer. A plain mix would show both everywhere, at half their contrast.
    """
    if strength <= 0:
        return source.copy()
    height, width = source.shape[:2]
    own, paint = _fine_energy(source), _fine_energy(painted)
    paint *= strength**2
    own += _PLAIN
    own *= (1 - strength) ** 2
    share = paint / (own + paint)
    # (1-s) broad S + s broad P + (1-w) fine S + w fine P, with all that is broad at a small size
    broad = _broad(source), _broad(painted)
    rows, columns = broad[0].shape[:2]
    left = cv2.resize(share, (columns, rows), interpolation=cv2.INTER_AREA) - np.float32(strength)
    moved: Any = cv2.resize(left[..., None] * (broad[0] - broad[1]), (width, height))
    return np.asarray(cv2.add(_blended(source, painted, share), moved, dtype=cv2.CV_8U), np.uint8)


def _blended(source: Pixels, painted: Pixels, share: Any) -> Any:
    """The two by the share of the painting, (h, w) float32 of any size."""
    height, width = source.shape[:2]
    share = cv2.resize(share, (width, height))
    return cv2.blendLinear(source, painted, 1 - share, share)


def _fine_energy(pixels: Pixels) -> Any:
    """How much there is of fine parts around each place, in squared levels, at half the size."""
    height, width = pixels.shape[:2]
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    size = max(1, width // 2), max(1, height // 2)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    sigma = max(1.0, width / 320)
    small -= cv2.GaussianBlur(small, (0, 0), sigma)
    return cv2.GaussianBlur(small * small, (0, 0), sigma)


def _broad(pixels: Pixels) -> Any:
    """Light and colour without strokes, at a quarter of the size."""
    height, width = pixels.shape[:2]
    size = max(1, width // _BROAD), max(1, height // _BROAD)
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return cv2.GaussianBlur(small, (0, 0), max(1.0, width / 160) / _BROAD + 0.5)


def mixed(layers: list[tuple[Pixels, float]]) -> Pixels:
    """Paintings of one frame by their shares, which sum to 1."""
    if len(layers) == 1:
        return layers[0][0]
    total: Any = np.zeros(layers[0][0].shape, np.float32)
    for pixels, share in layers:
        total = cv2.scaleAdd(pixels.astype(np.float32), share, total)
    return np.asarray(cv2.convertScaleAbs(total), np.uint8)


def laid_over(source: Pixels, painted: Pixels, mask: Alpha) -> Pixels:
    """The painting over the source, by a mask (H, W) of 0 to 255."""
    return np.asarray(_blended(source, painted, mask * np.float32(1 / 255)), np.uint8)


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
    x, y = round(12 * scale), height - round(14 * scale)
    around = [((0, 0, 0), dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    for colour, dx, dy in (*around, ((255, 255, 255), 0, 0)):
        at = x + dx, y + dy
        cv2.putText(drawn, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
    return np.asarray(drawn, np.uint8)
