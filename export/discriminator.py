"""Tells painted patches from those of paintings (PatchGAN: Isola 2017, section 3.2.2)."""

from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

_SLOPE: Final = 0.2


class PatchDiscriminator(nn.Module):
    """RGB in 0..1, (B, 3, H, W), to a score a patch, (B, 1, H/8, W/8): high for paintings.

    Every score sees 54 pixels each way. Spectral norms (Miyato 2018) keep it from running away,
    where CartoonGAN and AnimeGAN rely on instance norms, which hide the colours from it.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        sizes = ((3, width, 2), (width, 2 * width, 2), (2 * width, 4 * width, 2))
        layers: list[nn.Module] = []
        for inputs, outputs, stride in sizes:
            layers += [
                spectral_norm(nn.Conv2d(inputs, outputs, 4, stride, 1)),
                nn.LeakyReLU(_SLOPE),
            ]
        layers += [
            spectral_norm(nn.Conv2d(4 * width, 4 * width, 3, 1, 1)),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(4 * width, 1, 3, 1, 1),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, pictures: Tensor) -> Tensor:
        return cast(Tensor, self.layers(2 * pictures - 1))


def judge_loss(kind: str, real: Tensor, fake: list[Tensor]) -> Tensor:
    """What the discriminator minimises: scores of paintings, and of what is not.

    ``lsgan`` (Mao 2017, equation 9 with 0 and 1) or ``nonsaturating`` (Goodfellow 2014).
    """
    others = torch.stack([_apart(kind, scores, real=False) for scores in fake]).mean()
    return _apart(kind, real, real=True) + others


def fool_loss(kind: str, fake: Tensor) -> Tensor:
    """What the generator minimises: its paint taken for a painting."""
    return _apart(kind, fake, real=True)


def _apart(kind: str, scores: Tensor, *, real: bool) -> Tensor:
    scores = scores.float()
    if kind == "lsgan":
        return (scores - (1.0 if real else 0.0)).square().mean()
    return F.softplus(-scores if real else scores).mean()
