"""Colour tags of video and the exact conversion between Y'CbCr planes and RGB.

Codes are those of ITU-T H.273, as containers and FFmpeg carry them. Kr and Kb per matrix code come
from its table 4; the equations from BT.601-7, BT.709-6 and BT.2020-2 (non-constant luminance). The
transfer function is left alone: networks see the same R'G'B' values that a screen would. Only PQ
and HLG are brought to ordinary video (`tonemap`).
"""

from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

UNSPECIFIED: Final = 2
_STRIP_ROWS: Final = 256
MATRIX_RGB: Final = 0
RANGE_LIMITED: Final = 1
RANGE_FULL: Final = 2
TRANSFER_BT709: Final = 1
TRANSFERS_HDR: Final[dict[int, Literal["PQ", "HLG"]]] = {16: "PQ", 18: "HLG"}

_KR_KB: Final = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020, non-constant luminance
}
_SWSCALE_MATRIX: Final = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}


@dataclass(frozen=True)
class Colour:
    """The colour tags of a stream, as H.273 codes; 2 means that the stream doesn't say."""

    matrix: int = UNSPECIFIED
    range: int = 0
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED

    @property
    def full_range(self) -> bool:
        """Whether luma spans 0..255 rather than 16..235 (unsaid: limited)."""
        return self.range == RANGE_FULL

    @property
    def hdr(self) -> Literal["PQ", "HLG"] | None:
        """Name of the high-dynamic-range transfer function, None for ordinary video."""
        return TRANSFERS_HDR.get(self.transfer)

    def effective_matrix(self, height: int) -> int:
        """The matrix code to compute with: the tag's, or by custom BT.601 below 720 lines, BT.709
        from there.
        """
        if self.matrix in _KR_KB:
            return self.matrix
        return 1 if height >= 720 else 6

    @property
    def understood(self) -> bool:
        """False for matrices this module cannot compute (YCgCo, ICtCp, constant luminance)."""
        return self.matrix in _KR_KB or self.matrix in (MATRIX_RGB, UNSPECIFIED, 3)

    def swscale_matrix(self, height: int) -> int:
        """libswscale's number of the effective matrix."""
        return _SWSCALE_MATRIX[self.effective_matrix(height)]

    def for_sdr(self) -> "Colour":
        """The tags of BT.709 in place of those of PQ or HLG, which pictures have lost once they are
        read.
        """
        return Colour(1, self.range, 1, TRANSFER_BT709) if self.hdr else self


def yuv_to_rgb_matrix(matrix: int, *, full_range: bool) -> NDArray[np.float32]:
    """The affine map (3, 4) from 8-bit (Y, Cb, Cr) to 8-bit (R, G, B), all in 0..255.

    `matrix` is an H.273 code this module knows; KeyError otherwise.
    """
    kr, kb = _KR_KB[matrix]
    kg = 1 - kr - kb
    luma_span, chroma_span, black = (255, 255, 0) if full_range else (219, 224, 16)
    y, c = 255 / luma_span, 255 / chroma_span
    linear = np.array(
        [
            [y, 0, 2 * (1 - kr) * c],
            [y, -2 * (1 - kb) * kb / kg * c, -2 * (1 - kr) * kr / kg * c],
            [y, 2 * (1 - kb) * c, 0],
        ]
    )
    offset = -linear @ np.array([black, 128, 128])
    return np.column_stack([linear, offset]).astype(np.float32)


def planes_to_rgb(
    y: NDArray[np.uint8],
    cb: NDArray[np.uint8],
    cr: NDArray[np.uint8],
    matrix: int,
    *,
    full_range: bool,
) -> NDArray[np.uint8]:
    """8-bit planes to RGB (H, W, 3) uint8, rounded, within half a level of the exact value.

    Chroma planes may be subsampled; each of their samples is repeated over the luma samples it
    covers, so that averaging on the way back restores it exactly (an unpainted picture survives
    unharmed).
    """
    height, width = y.shape
    affine = yuv_to_rgb_matrix(matrix, full_range=full_range)
    down_x, down_y = round(width / cb.shape[1]), round(height / cb.shape[0])
    rows = max(1, _STRIP_ROWS // down_y) * down_y
    rgb = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):  # what lies between planes and RGB is as large as both
        band = y[top : top + rows]
        chroma = (c[top // down_y : -(-(top + len(band)) // down_y)] for c in (cb, cr))
        planes = [band, *(_enlarged(c, down_x, down_y, band.shape) for c in chroma)]
        rgb[top : top + rows] = cv2.transform(cv2.merge(planes), affine)
    return rgb


def _enlarged(
    chroma: NDArray[np.uint8], down_x: int, down_y: int, shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Each sample over the luma samples it covers, (rows, columns) of `shape`."""
    if chroma.shape == shape:
        return chroma
    size = (chroma.shape[1] * down_x, chroma.shape[0] * down_y)
    large = cv2.resize(chroma, size, interpolation=cv2.INTER_NEAREST)
    # odd pictures: the last chroma sample covers one luma sample only
    return np.asarray(large[: shape[0], : shape[1]], np.uint8)
