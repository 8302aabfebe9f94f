"""Warping by optical flow, and how far to trust it. Pure functions of arrays.

Flow is backward: what is at x now was at x + flow(x) before. Maps hold those absolute places.
"""

from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Flow = NDArray[np.float32]
Mask = NDArray[np.bool_]

_FB_RELATIVE: Final = 0.01
"""Share of the squared flow that forward and backward may differ by (Ruder et al. 2016, eq. 5)."""


@lru_cache(maxsize=8)
def grid(height: int, width: int) -> Floats:
    """The places of all pixels, (H, W, 2) as x and y; not to be written to."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    places = np.dstack([x, y])
    places.setflags(write=False)
    return places


def warp(
    picture: Floats,
    places: Floats,
    method: int = cv2.INTER_LINEAR,
    *,
    into: Floats | None = None,
    border: int = cv2.BORDER_REPLICATE,
) -> Floats:
    """`picture` (H, W) or (H, W, C) sampled at `places`; edges are repeated outside.

    `into` is memory for the result, which may be a part of what `places` could ask for.
    """
    remap: Any = cv2.remap  # its annotations do not know that there may be one map alone
    return np.asarray(remap(picture, places, None, method, dst=into, borderMode=border), np.float32)


def sample_cubic(picture: NDArray[np.uint8], places: Floats) -> NDArray[np.uint8]:
    """(H, W, C) uint8 sampled at `places` by a cubic kernel; edges are repeated outside.

    For pictures that are sampled once: done again and again, it rings.
    """
    return _sampled(picture, places, cv2.INTER_CUBIC)


def sample_linear(picture: NDArray[np.uint8], places: Floats) -> NDArray[np.uint8]:
    """(H, W, C) uint8 sampled at `places` between the four nearest pixels."""
    return _sampled(picture, places, cv2.INTER_LINEAR)


def _sampled(picture: NDArray[np.uint8], places: Floats, method: int) -> NDArray[np.uint8]:
    remap: Any = cv2.remap
    return np.asarray(
        remap(picture, places, None, method, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def inside(places: Floats) -> Mask:
    """Which places lie in the picture (half a pixel beyond its outermost centres still does)."""
    height, width = places.shape[:2]
    low = cv2.inRange(places, (-0.5, -0.5), (width - 0.5, height - 0.5))
    return np.asarray(low, np.uint8).astype(bool)


def forward_backward_agree(flow: Floats, back: Floats, tolerance: float) -> Mask:
    """Where following `flow` and then `back` returns to the start.

    |w + w~|^2 < 0.01 (|w|^2 + |w~|^2) + tolerance, w~ sampled where w leads (Ruder et al. 2016);
    `tolerance` in squared pixels: 0.5 fits exact flow, 2.0 the noise of DIS.
    """
    height, width = flow.shape[:2]
    returned = warp(back, grid(height, width) + flow)
    reach = _squared(flow) + _squared(returned)
    return np.asarray(_squared(flow + returned) < _FB_RELATIVE * reach + tolerance)


def _squared(flow: Flow) -> Floats:
    """|w|^2 of (H, W, 2), (H, W)."""
    return np.asarray(flow[..., 0] ** 2 + flow[..., 1] ** 2, np.float32)


def area_ratio(flow: Flow) -> Floats:
    """How much area before a pixel's area came from, (H, W): the Jacobian determinant of the map.

    Where something is uncovered, flow is smoothed across the gap: pixels that came from nowhere
    share what lies beside them, and the ratio falls well below 1. No second flow is needed to see
    that.
    """
    soft = cv2.blur(flow, (5, 5))
    dx = cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    dy = cv2.Sobel(soft, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    across = (1 + dx[..., 0]) * (1 + dy[..., 1]) - dx[..., 1] * dy[..., 0]
    return np.asarray(across, np.float32)
