"""Pictures brought to colours of one common distribution, and from there to anybody's.

What a network for any painting would otherwise have to learn for every palette anew is arithmetic:
mean and covariance of colours are taken away in front of it and given back behind it, those of the
frame and those of the painting (colour transfer after Reinhard 2001, with the whole covariance as
in Xiao 2006). The root of the covariance is its Cholesky factor on axes of light and two of colour,
so that light depends on light alone: what is brighter in the frame is brighter in the painting.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

SIZE: Final = 9
"""Numbers of a picture's colours: three means and the factor's six."""
CELL: Final = 4
"""Side of the cells that colours are averaged over first, pixels: grain is no colour."""
FLOORS: Final = 0.03, 0.05, 0.05
"""Least deviations along the axes, of 0..1: what is nearly grey, or nearly of one colour, does not
get its noise, or the blocks of a JPEG, enlarged to a palette.
"""
LEAST: Final = (FLOORS[1] / 4) ** 2
"""Least square on the factor's diagonal. Exact arithmetic never comes near it; engines that compute
in bfloat16 lose that much of differences.
"""
MIDDLE: Final = 0.5
SPREAD: Final = 0.22
"""Mean and deviation along every axis of the common distribution: about those of photos."""
_ROOTS: Final = 3**-0.5, 2**-0.5, 6**-0.5
AXES: Final = (
    (_ROOTS[0], _ROOTS[0], _ROOTS[0]),
    (_ROOTS[1], -_ROOTS[1], 0.0),
    (_ROOTS[2], _ROOTS[2], -2 * _ROOTS[2]),
)
"""Light, red against green, yellow against blue: rows of an orthonormal matrix on RGB."""


def colours_of(pictures: Tensor) -> Tensor:
    """Means and Cholesky factor of a picture's colours, (B, 3, H, W) -> (B, 9): m1 m2 m3 l11 l21
    l22 l31 l32 l33. H and W are multiples of 4.
    """
    # in float, whatever the precision of the run: differences of like numbers are all there is here
    with torch.autocast(pictures.device.type, enabled=False):
        cells = F.avg_pool2d(pictures.float(), CELL).flatten(2)  # (B, 3, H/4, W/4) -> (B, 3, N)
        along = _axes(pictures) @ cells
        mean = along.mean(2)
        off = along - mean[:, :, None]
        covariance = off @ off.transpose(1, 2) / off.shape[2]
        return torch.cat([mean, _factor(covariance)], 1)


def _axes(pictures: Tensor) -> Tensor:
    return torch.tensor(AXES, device=pictures.device)


def _factor(covariance: Tensor) -> Tensor:
    """The lower Cholesky factor of (B, 3, 3), row by row: (B, 6)."""
    c = covariance + torch.diag(covariance.new_tensor(FLOORS).square())
    l11 = c[:, 0, 0].sqrt()
    l21, l31 = c[:, 1, 0] / l11, c[:, 2, 0] / l11
    l22 = (c[:, 1, 1] - l21.square()).clamp_min(LEAST).sqrt()
    l32 = (c[:, 2, 1] - l31 * l21) / l22
    l33 = (c[:, 2, 2] - l31.square() - l32.square()).clamp_min(LEAST).sqrt()
    return torch.stack([l11, l21, l22, l31, l32, l33], 1)


def canonical(pictures: Tensor, colours: Tensor) -> Tensor:
    """Pictures whose colours are `colours`, (B, 9), with those of the common distribution instead.
    (B, 3, H, W) -> the same
    """
    axes = _axes(pictures)
    with torch.autocast(pictures.device.type, enabled=False):
        matrix = SPREAD * axes.T @ _inverse(colours[:, 3:]) @ axes
        return _mapped(pictures, matrix, MIDDLE - matrix @ axes.T @ colours[:, :3, None])


def coloured(pictures: Tensor, colours: Tensor) -> Tensor:
    """The inverse of `canonical`: pictures of the common distribution in the colours of (B, 9).
    (B, 3, H, W) -> the same
    """
    axes = _axes(pictures)
    middle = torch.full((3, 1), MIDDLE, device=pictures.device)
    with torch.autocast(pictures.device.type, enabled=False):
        matrix = axes.T @ _lower(colours[:, 3:]) @ axes / SPREAD
        return _mapped(pictures, matrix, axes.T @ colours[:, :3, None] - matrix @ middle)


def _lower(factor: Tensor) -> Tensor:
    """(B, 6) -> (B, 3, 3)"""
    l11, l21, l22, l31, l32, l33 = factor.unbind(1)
    none = torch.zeros_like(l11)
    rows = (l11, none, none, l21, l22, none, l31, l32, l33)
    return torch.stack(rows, 1).view(-1, 3, 3)  # (B, 9) -> (B, 3, 3)


def _inverse(factor: Tensor) -> Tensor:
    """The inverse of the lower triangular matrix, (B, 6) -> (B, 3, 3)."""
    l11, l21, l22, l31, l32, l33 = factor.unbind(1)
    i31 = (l21 * l32 - l31 * l22) / (l11 * l22 * l33)
    rows = (1 / l11, -l21 / (l11 * l22), 1 / l22, i31, -l32 / (l22 * l33), 1 / l33)
    return _lower(torch.stack(rows, 1))


def _mapped(pictures: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """matrix @ colour + shift everywhere, (B, 3, 3) and (B, 3, 1)."""
    return torch.einsum("bij,bjhw->bihw", matrix, pictures.float()) + shift[..., None]
