"""Johnson's image transformation network: the reference and the baseline of speed.

It maps a float RGB picture in 0..1, (B, 3, H, W), to a painted one of the same shape; H and W must
be multiples of 4.
"""

from typing import cast

import torch
from torch import Tensor, nn


class JohnsonNet(nn.Module):
    """The image transformation network of Johnson 2016, table 1 of the supplementary material.

    Reflection padding of 40, 9x9 and two stride-2 3x3 convolutions, five residual blocks without
    padding (the shortcut is cropped) and without a ReLU behind the sum (Gross & Wilber), two
    convolutions of stride 1/2, and a scaled tanh. Batch normalisation as there; the values are
    scaled to 0..1 instead of 0..255.
    """

    stride = 4

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(40),
            *_johnson_conv(3, 32, 9),
            *_johnson_conv(32, 64, 3, 2),
            *_johnson_conv(64, 128, 3, 2),
            *(JohnsonBlock(128) for _ in range(5)),
            *_johnson_up(128, 64),
            *_johnson_up(64, 32),
            nn.Conv2d(32, 3, 9, padding=4),
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, H, W) -> (B, 3, H, W)
        return 0.5 + 0.5 * torch.tanh(self.layers(x))


class JohnsonBlock(nn.Module):
    """conv, norm, ReLU, conv, norm, added to the input cropped by two pixels on each side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H - 4, W - 4)
        return cast(Tensor, x[:, :, 2:-2, 2:-2] + self.layers(x))


def _johnson_conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


def _johnson_up(inputs: int, outputs: int) -> list[nn.Module]:
    conv = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
