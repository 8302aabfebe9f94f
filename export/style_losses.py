"""What makes two pictures alike in style: statistics of their features, and distances of them.

All distances are relative to the energy of the target, so that one weight serves every layer,
extractor and painting.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import TrainingError
from .losses import gram, relative_distance

_EPSILON: Final = 1e-5


class Moments(NamedTuple):
    """Means, (B, C), and covariances, (B, C, C), of the channels of features: every statistic here
    follows from them, so that several losses need one pass.
    """

    mean: Tensor
    covariance: Tensor


def moments_of(features: Tensor, weights: Tensor | None = None) -> Moments:
    """(B, C, H, W) -> both; `weights`, (B, 1, h, w) of any size, say what each place counts."""
    rows = _rows(features)
    if weights is None:
        mean = rows.mean(1, keepdim=True)
        centred = rows - mean
        return Moments(mean[:, 0], (centred.transpose(1, 2) @ centred) / rows.shape[1])
    height, width = features.shape[2:]
    shares = _rows(F.adaptive_avg_pool2d(weights, (height, width)))  # (B, H*W, 1)
    shares = shares / shares.sum(1, keepdim=True)
    mean = shares.transpose(1, 2) @ rows
    centred = (rows - mean) * shares.sqrt()
    return Moments(mean[:, 0], centred.transpose(1, 2) @ centred)


@dataclass(frozen=True)
class StyleLoss:
    """A statistic of features and the distance of two such."""

    statistic: Callable[[Tensor], Tensor]
    """(B, C, H, W) -> (B, …), a mean over places, which may be averaged over a batch."""
    of: Callable[[Moments], Tensor]
    """The same statistic from the moments of the features."""
    distance: Callable[[Tensor, Tensor], Tensor]
    """Of (B, …) statistics to a target (1 or B, …), a scalar."""

    def each(self, features: Tensor, target: Tensor) -> Tensor:
        """The distance of every picture's statistic to the target, averaged."""
        return self.distance(self.statistic(features), target)

    def blended(self, features: Tensor, target: Tensor, shared: float) -> Tensor:
        """As `each`, but a part `shared` (0..1) compares the mean over the batch instead.

        Together the pictures must look like the painting, while each keeps what makes it differ,
        bright or dark, busy or calm.
        """
        found = self.statistic(features)
        single = self.distance(found, target) if shared < 1 else found.new_zeros(())
        mean = found.mean(0, keepdim=True)
        together = self.distance(mean, target) if shared > 0 else found.new_zeros(())
        return (1 - shared) * single + shared * together


def correlation(features: Tensor) -> Tensor:
    """Correlation coefficients of all pairs of channels: (B, C, H, W) -> (B, C, C) in -1..1.

    The Gram matrix of channels that are centred and divided by their deviation, so that neither
    contrast nor brightness of a picture counts, only which features come together.
    """
    return _correlation(moments_of(features))


def _correlation(moments: Moments) -> Tensor:
    # a channel that is the same everywhere goes with nothing
    deviation = _deviation(moments)
    return moments.covariance / (deviation[:, :, None] * deviation[:, None])


def mean_and_deviation(features: Tensor) -> Tensor:
    """Mean and standard deviation of every channel: (B, C, H, W) -> (B, 2, C).

    Huang 2017, equation 13; Li 2017, section 3.2, equation 13 (batch normalisation statistics).
    """
    variance, mean = torch.var_mean(features.float(), (2, 3), correction=0)
    return torch.stack([mean, (variance + _EPSILON).sqrt()], 1)


def _mean_and_deviation(moments: Moments) -> Tensor:
    return torch.stack([moments.mean, _deviation(moments)], 1)


def _deviation(moments: Moments) -> Tensor:
    return (moments.covariance.diagonal(dim1=1, dim2=2) + _EPSILON).sqrt()


def first_and_second(features: Tensor) -> Tensor:
    """Mean and covariance together: (B, C, H, W) -> (B, C, C + 1), the mean in the last column."""
    return _first_and_second(moments_of(features))


def _first_and_second(moments: Moments) -> Tensor:
    return torch.cat([moments.covariance, moments.mean[:, :, None]], 2)


def _gram(moments: Moments) -> Tensor:
    return moments.covariance + moments.mean[:, :, None] * moments.mean[:, None]


def gaussian_distance(found: Tensor, target: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance of two Gaussians over the energy of the target's.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S2^1/2 S1 S2^1/2)^1/2) (Dowson 1982; for features, Li 2019 and
    Mroueh 2019), in double precision: square roots of small eigenvalues have steep slopes.
    """
    found, target = found.double(), target.double()
    means, goal = found[..., -1], target[..., -1]
    root = _matrix_root(target[..., :-1])
    inner = root @ found[..., :-1] @ root
    eigenvalues = torch.linalg.eigvalsh(_lifted(inner))
    energy = target[..., :-1].diagonal(dim1=-2, dim2=-1).sum(-1)
    spread = found[..., :-1].diagonal(dim1=-2, dim2=-1).sum(-1) + energy
    bures = spread - 2 * eigenvalues.clamp_min(0).add(_EPSILON**2).sqrt().sum(-1)
    total = (means - goal).square().sum(-1) + bures
    scale = goal.square().sum(-1) + energy
    distance: Tensor = (total / scale.clamp_min(_EPSILON)).clamp_min(0).mean()
    return distance.float()


def similarity(features: Tensor, target: Tensor) -> Tensor:
    """How alike two styles are: the correlation, in -1..1, of their correlation matrices.

    Of the entries beside the diagonal, which is 1 in both. (B, C, H, W) twice -> (B,)
    """
    ours, theirs = correlation(features), correlation(target)
    apart = ~torch.eye(ours.shape[-1], dtype=torch.bool, device=ours.device)
    a, b = ours[:, apart], theirs[:, apart].expand(len(ours), -1)
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    alike: Tensor = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp_min(_EPSILON)
    return alike


def _rows(features: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H*W, C), a view for channels-last tensors, in float32."""
    batch, channels, height, width = features.shape
    return features.permute(0, 2, 3, 1).reshape(batch, height * width, channels).float()


def _lifted(matrices: Tensor) -> Tensor:
    """Symmetric, with a whiff of the identity, whose size follows the matrix."""
    symmetric = (matrices + matrices.transpose(-1, -2)) / 2
    size = symmetric.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    unit = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    lifted: Tensor = symmetric + _EPSILON * size * unit
    return lifted


def _matrix_root(matrices: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(_lifted(matrices))
    root: Tensor = vectors * values.clamp_min(0).sqrt()[..., None, :] @ vectors.transpose(-1, -2)
    return root


STYLE_LOSSES: Final = {
    "gram": StyleLoss(gram, _gram, relative_distance),
    "correlation": StyleLoss(correlation, _correlation, relative_distance),
    "moments": StyleLoss(mean_and_deviation, _mean_and_deviation, relative_distance),
    "gaussian": StyleLoss(first_and_second, _first_and_second, gaussian_distance),
}
"""By the names people give them: Gatys 2016; Pearson's coefficient in place of the product; Huang
2017 and Li 2017; the Gaussian Wasserstein distance.
"""


def style_losses_of(text: str) -> list[StyleLoss]:
    """The losses named in ``gram+moments``. Raises `TrainingError` for any other name."""
    names = text.split("+")
    for name in names:
        if name not in STYLE_LOSSES:
            raise TrainingError(
                f"there is no style loss {name!r}: give {', '.join(STYLE_LOSSES)}, or several "
                "joined by +"
            )
    return [STYLE_LOSSES[name] for name in names]
