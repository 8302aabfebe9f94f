"""How good a style network is beside its losses: stability under shifts, lattices, and agreement of
variants.
"""

from collections.abc import Callable, Sequence
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Painter = Callable[[Tensor], Tensor]
"""(1, 3, H, W) float in 0..1 to the same, clipped."""

_BLUR_SIGMA: Final = 6.0
_PERIODS: Final = (4, 8)
_BORDER: Final = 16
CAMERA_NOISE: Final = 2 / 255
_SSIM_C1: Final = (0.01 * 255) ** 2
_SSIM_C2: Final = (0.03 * 255) ** 2
FLAT_COLOURS: Final = (
    (0.5, 0.5, 0.5),
    (0.8, 0.75, 0.7),
    (0.2, 0.3, 0.6),
    (0.9, 0.9, 0.9),
    (0.1, 0.1, 0.1),
)


@torch.no_grad()
def equivariance_error(paint: Painter, pictures: Sequence[Tensor]) -> float:
    """EQ: mean over shifts of 1 to 7 pixels of MSE(f(shift x), shift f(x)) / var f.

    0 for paint that moves with the picture, 2 for paint that is drawn afresh. Pictures are
    (1, 3, H, W + 8); the border of 16 pixels is left out.
    """
    ratios = []
    for picture in pictures:
        width = picture.shape[-1] - 8
        still = paint(picture[..., :width])
        for shift in range(1, 8):
            moved = paint(picture[..., shift : shift + width])
            a = still[..., _BORDER:-_BORDER, _BORDER + shift : -_BORDER]
            b = moved[..., _BORDER:-_BORDER, _BORDER : -_BORDER - shift]
            ratios.append(float((a - b).pow(2).mean() / still.var()))
    return float(np.mean(ratios))


def grid_score(picture: NDArray[np.uint8]) -> float:
    """Energy at periods of 4 and 8 pixels against neighbouring frequencies; 1 where there is no
    lattice.

    Luminance minus its Gaussian blur of sigma 6, power spectrum along an axis averaged over the
    other, the bin of the period over the mean of its neighbours at distance 3 to 6; the largest of
    both axes and both periods. `picture` is RGB (H, W, 3) uint8.
    """
    luminance = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = luminance - cv2.GaussianBlur(luminance, (0, 0), _BLUR_SIGMA)
    worst = 0.0
    for axis in (0, 1):
        power = (np.abs(np.fft.rfft(fine, axis=axis)) ** 2).mean(1 - axis)
        for period in _PERIODS:
            centre = fine.shape[axis] // period
            around = [centre + sign * distance for distance in (3, 4, 5, 6) for sign in (-1, 1)]
            neighbours = np.mean([power[i] for i in around if 0 <= i < len(power)])
            # rounding to 8 bits alone has this much: less can't be told from it
            rounding = fine.shape[axis] / 12
            worst = max(worst, float(power[centre] / (neighbours + rounding)))
    return worst


def flat_pictures(side: int = 256, *, noise: float = 0.0) -> list[Tensor]:
    """Pictures of one colour each, (1, 3, side, side) float in 0..1, under a camera's noise of this
    deviation.
    """
    random = torch.Generator().manual_seed(0)
    grain = torch.randn(1, 3, side, side, generator=random) * noise
    return [(torch.tensor(c).view(1, 3, 1, 1) + grain).clamp(0, 1) for c in FLAT_COLOURS]


def to_picture(painted: Tensor) -> NDArray[np.uint8]:
    """(1, 3, H, W) float in 0..1 -> RGB (H, W, 3) uint8."""
    picture: NDArray[np.uint8] = (
        (painted[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    )
    return np.ascontiguousarray(picture)


def psnr_db(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two 8-bit pictures, in decibels; infinite for equal ones."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def rmse(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Root of the mean squared difference of two 8-bit pictures, of 255."""
    return float(np.sqrt(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)))


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Structural similarity of two RGB pictures' luminance, 1 for equal ones.

    Wang 2004, section III.B: a Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03.
    """
    x, y = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float64) for p in (a, b))

    def local(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5), np.float64)

    mean_x, mean_y = local(x), local(y)
    var_x, var_y = local(x * x) - mean_x**2, local(y * y) - mean_y**2
    shared = local(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + _SSIM_C1) / (mean_x**2 + mean_y**2 + _SSIM_C1)
    return float((light * (2 * shared + _SSIM_C2) / (var_x + var_y + _SSIM_C2)).mean())


def gradient_energy(picture: NDArray[np.uint8]) -> float:
    """Mean squared difference of neighbours in luminance, of 255 squared."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float((np.diff(grey, axis=0) ** 2).mean() + (np.diff(grey, axis=1) ** 2).mean())
