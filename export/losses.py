"""The losses of training, as small functions on tensors. Pictures are RGB in 0..1 unless said
otherwise.

Content and style distances are relative: divided by the energy of their target, so that one weight
serves every layer, extractor and painting. Johnson and Gatys divide by the number of values
instead.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

CELL: Final = 8
_BROAD: Final = 16
_CALM: Final = 4
_FAINT: Final = 1e-5
"""Energy of differences that nobody sees."""
_PLAIN_DEVIATION: Final = 0.04
"""Of light over 16 pixels, where a place counts half as plain."""
_LUMA: Final = (0.299, 0.587, 0.114)


def gram(features: Tensor) -> Tensor:
    """Gram matrices of feature maps, averaged over places: (B, C, H, W) -> (B, C, C).

    Gatys 2016, equation 3, divided by the number of places instead of left as a sum.
    """
    batch, channels, height, width = features.shape
    # (B, C, H, W) -> (B, H*W, C), a view for channels-last tensors
    rows = features.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
    return (rows.transpose(1, 2) @ rows).float() / (height * width)


def relative_distance(values: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference over the mean square of the target; shapes broadcast."""
    difference = (values.float() - target.float()).pow(2).mean()
    return difference / target.float().pow(2).mean().clamp_min(1e-12)


def total_variation(pictures: Tensor) -> Tensor:
    """Mean absolute difference of neighbours (anisotropic, L1), (B, C, H, W) -> scalar."""
    down = (pictures[:, :, 1:] - pictures[:, :, :-1]).abs().mean()
    across = (pictures[:, :, :, 1:] - pictures[:, :, :, :-1]).abs().mean()
    return down + across


def out_of_range(pictures: Tensor) -> Tensor:
    """Mean square of what lies outside 0..1, which the exported graph will clip."""
    return (pictures - pictures.clamp(0, 1)).pow(2).mean()


def lattice_energy(pictures: Tensor) -> Tensor:
    """Energy of what repeats every 8 pixels all over a picture: the pattern of an 8-pixel lattice.

    Strokes that follow the picture average out over its hundreds of cells; a pattern doesn't. H and
    W are multiples of 8. (B, 3, H, W) -> scalar
    """
    smooth = F.interpolate(F.avg_pool2d(pictures, CELL), scale_factor=CELL, mode="bilinear")
    batch, channels, height, width = pictures.shape
    # (B, 3, H, W) -> (B, 3, cells, phase, cells, phase) -> mean over the cells
    cells = (pictures - smooth).reshape(batch, channels, height // CELL, CELL, width // CELL, CELL)
    pattern = cells.mean((2, 4))
    return (pattern - pattern.mean((2, 3), keepdim=True)).pow(2).mean()


def light_distance(painted: Tensor, photos: Tensor) -> Tensor:
    """How far light and shade at the scale of 8 pixels differ, each standardised over its picture.

    Keeps forms readable where a Gram matrix would rather trade a face for a swirl. (B, 3, H, W)
    twice.
    """

    def standardised(pictures: Tensor) -> Tensor:
        luma = F.avg_pool2d(_luma(pictures), CELL)
        centred = luma - luma.mean((2, 3), keepdim=True)
        # inside the root: of nothing, it would have an infinite slope
        return centred / (centred.pow(2).mean((2, 3), keepdim=True) + 0.05**2).sqrt()

    return (standardised(painted) - standardised(photos)).pow(2).mean()


def broad_distance(painted: Tensor, plain: Tensor) -> Tensor:
    """How far light and colours differ at the scale of 16 pixels, larger than a stroke: mean
    absolute difference, (B, 3, H, W) twice.
    """
    difference: Tensor = F.avg_pool2d(painted, _BROAD) - F.avg_pool2d(plain, _BROAD)
    return difference.abs().mean()


def calm_distance(painted: Tensor, plain: Tensor, places: Tensor) -> Tensor:
    """How far light and colours differ at the scale of 4 pixels, where photos have next to nothing:
    mean squared difference, (B, 3, H, W) twice, by the `plainness` of the photos.

    What is squared makes a few strong shapes dear and many faint strokes cheap, which statistics of
    a whole picture can't tell apart; strokes narrower than 4 pixels are free.
    """
    difference = F.avg_pool2d(painted, _CALM) - F.avg_pool2d(plain, _CALM)
    return (places * difference.pow(2)).mean()


def phase_preference(painted: Tensor, places: Tensor) -> Tensor:
    """How much edges prefer some rows and columns of the 8-pixel lattice, where photos have next to
    nothing: variance over the phases of the energy of differences to the next row or column, over
    the square of its mean. (B, 3, H, W), by the `plainness` of the photos; H and W are multiples
    of 8.

    `lattice_energy` sees patterns that are the same in every cell; this, shapes that differ and end
    at the same places of a cell, as stairs do.
    """
    weights = F.interpolate(places, scale_factor=float(_CALM))  # (B, 1, H, W)
    spread = painted.new_zeros(())
    for axis in (2, 3):
        step = painted - painted.roll(-1, axis)
        energy = weights * step.pow(2).mean(1, keepdim=True)
        # the last row meets the first, as if the picture went on there: left out with its cell
        cells = energy.transpose(axis, 3)[..., :-CELL].reshape(-1, CELL)  # (cells, phase)
        shares = cells.mean(0)
        mean = shares.mean()
        spread = spread + ((shares - mean) / (mean + _FAINT)).pow(2).mean()
    return spread / 2


def plainness(photos: Tensor) -> Tensor:
    """1 where photos are of one colour, towards 0 where they are busy: (B, 3, H, W) ->
    (B, 1, H / 4, W / 4).
    """
    luma = _luma(photos)

    def around(values: Tensor) -> Tensor:
        """Means over 16 pixels about every cell of 4."""
        margin = (_BROAD - _CALM) // 2
        return F.avg_pool2d(values, _BROAD, _CALM, margin, count_include_pad=False)

    variance = (around(luma.pow(2)) - around(luma).pow(2)).clamp_min(0)
    return 1 / (1 + variance / _PLAIN_DEVIATION**2)


def _luma(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W)"""
    return (pictures * pictures.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)


class Palette:
    """Distance of a batch's colours, seen together, from those of a painting.

    Sliced Wasserstein distance (Rabin 2011; Heitz 2021) along fixed directions, squared, in RGB
    whitened by the painting's covariance, so that hues count as much as light and shade. Gram
    matrices see little of colour, and let a network paint everything in the most frequent hue.
    Colours are compared at the scale of 4 pixels: larger than grain, smaller than a stroke.
    """

    _DIRECTIONS: Final = 16
    _CELL: Final = 4
    _FLOOR: Final = 0.02
    """Least part of the largest variance an axis counts with, lest grey paintings amplify noise."""

    def __init__(self, painting: Tensor) -> None:  # (1, 3, H, W)
        turn = torch.arange(self._DIRECTIONS, device=painting.device) + 0.5
        # a Fibonacci lattice over half a sphere: a direction and its opposite say the same
        height, angle = turn / self._DIRECTIONS, turn * (5**0.5 - 1) * torch.pi
        flat = (1 - height.pow(2)).sqrt()
        directions = torch.stack([flat * angle.cos(), flat * angle.sin(), height])  # (3, D)
        spread, axes = torch.linalg.eigh(torch.cov(self._colours(painting).T))
        spread = spread.clamp_min(self._FLOOR * float(spread.max())).clamp_min(1e-6)
        self._directions = axes @ (directions / spread.sqrt()[:, None])
        self._quantiles = self._sorted(painting)  # (N, D)

    def __call__(self, pictures: Tensor) -> Tensor:  # (B, 3, H, W) -> scalar
        found = self._sorted(pictures)
        goal = F.interpolate(
            self._quantiles.T[None], found.shape[0], mode="linear", align_corners=True
        )[0].T
        return (found - goal).pow(2).mean()

    def _colours(self, pictures: Tensor) -> Tensor:
        # (B, 3, H, W) -> (B, 3, h, w) -> (B, h, w, 3) -> (B*h*w, 3)
        return F.avg_pool2d(pictures, self._CELL).permute(0, 2, 3, 1).reshape(-1, 3)

    def _sorted(self, pictures: Tensor) -> Tensor:  # (B, 3, H, W) -> (B*h*w, D)
        along: Tensor = self._colours(pictures) @ self._directions
        return along.sort(0).values


def equivariance(moved_paint: Tensor, paint_of_moved: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute difference where `valid` (B or 1, 1, H, W) is 1: the paint must move with the
    picture.

    ReReVST (Wang 2020), compound regularisation, equation 8: L1 between the warped result and the
    result of the warped picture.
    """
    difference = (moved_paint - paint_of_moved).abs().mean(1, keepdim=True) * valid
    places = valid.expand_as(difference).sum()
    return difference.sum() / places.clamp_min(1)


def finite(losses: dict[str, Tensor]) -> bool:
    """Whether every loss is a number."""
    return all(bool(torch.isfinite(value).all()) for value in losses.values())
