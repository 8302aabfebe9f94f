"""The network of any painting at once: content and style statistics fused by a weight alpha.

Its parts and their shapes are those of `networks.StyleNet`; what differs is the norms. Statistics
of a painting's features, mean and deviation of every channel on three levels, are its `code`. A
frame is painted by giving its own features the statistics of the code (AdaIN, Huang 2017, section
4) on all three levels, and by scales and shifts in the decoder that depend linearly on the code
(Ghiasi 2017, section 2.1). alpha mixes the frame's own statistics with the code's: at 0 the network
gives the photo back.

Deviations: the encoder is our light one, trained with the rest, instead of Huang's VGG, and
statistics are fused on three levels instead of one. The decoder has no instance norms: where there
are some, networks smuggle scales past them in bright blobs (Karras 2020, section 2).
"""

from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .networks import Border, Entry, Head, Shape, convolve, phase_kernel, polyphase

LIVE: Final = Shape(half=16, quarter=32, body=80, quarter_blocks=1, body_blocks=4)
"""What runs live on two processor cores at 640x360."""
EPSILON: Final = 1e-4

Affines = dict[str, tuple[Tensor, Tensor]]
"""Scale and shift, (B, C) each, by the name of the layer."""


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every channel: (B, C, H, W) -> (B, C) twice."""
    variance, mean = torch.var_mean(x.float(), (2, 3), correction=0)
    return mean, (variance + EPSILON).sqrt()


def standardised(x: Tensor) -> Tensor:
    """Every channel at mean 0 and deviation 1 over its picture. (B, C, H, W) -> the same"""
    return F.instance_norm(x, eps=EPSILON)


def _affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """x * scale + shift with (B, C) each. (B, C, H, W) -> the same"""
    return x * scale.to(x.dtype)[:, :, None, None] + shift.to(x.dtype)[:, :, None, None]


class Convolution(nn.Module):
    """A 3x3 convolution without norm; stride 2 takes 4x4 kernels (see `networks.ConvNorm`)."""

    def __init__(
        self, inputs: int, outputs: int, *, stride: int = 1, border: Border = "edge"
    ) -> None:
        super().__init__()
        kernel = 3 if stride == 1 else 4
        self.stride, self.border = stride, border
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:  # (B, I, H, W) -> (B, O, H / stride, W / stride)
        return convolve(x, self.weight, self.bias, self.stride, self.border)


class Doubling(nn.Module):
    """Bilinear doubling and a convolution in one, as in `networks.UpConvNorm`, without norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        self.register_buffer("polyphase", polyphase(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (B, I, H, W) -> (B, O, 2H, 2W)
        kernel = phase_kernel(self.weight, cast(Tensor, self.polyphase))
        return F.pixel_shuffle(convolve(x, kernel, None, 1, "edge"), 2)


class _Affines(nn.Module):
    """The scales and shifts of the decoder's layers, as linear functions of the code."""

    def __init__(self, code: int, layers: dict[str, tuple[int, float]]) -> None:
        super().__init__()
        self.sizes = {name: channels for name, (channels, _) in layers.items()}
        total = sum(self.sizes.values())
        self.linear = nn.Linear(code, 2 * total)
        nn.init.normal_(self.linear.weight, std=0.2 * code**-0.5)
        scales = torch.cat([torch.full((c,), s) for c, s in layers.values()])
        self.linear.bias.data.copy_(torch.cat([scales, torch.zeros(total)]))

    def forward(self, code: Tensor) -> Affines:
        """(B, K) -> scale and shift, (B, C) each, by the name of the layer."""
        scales, shifts = self.linear(code).chunk(2, 1)
        parts = tuple(self.sizes.values())
        pairs = zip(scales.split(parts, 1), shifts.split(parts, 1), strict=True)
        return dict(zip(self.sizes, pairs, strict=True))


class FusionNet(nn.Module):
    """Paints frames, (B, 3, H, W) float RGB in 0..1, by the code of a painting.

    H and W are multiples of 8. Values may leave 0..1 a little.
    """

    def __init__(self, shape: Shape = LIVE) -> None:
        super().__init__()
        self.shape = shape
        half, quarter, body = shape.half, shape.quarter, shape.body
        self.entry = Entry()
        self.stem = Convolution(12, half, border="none")
        self.down4 = Convolution(half, quarter, stride=2)
        self.down8 = Convolution(quarter, body, stride=2)
        self.body = nn.ModuleList(Convolution(body, body) for _ in range(2 * shape.body_blocks))
        self.up4 = Doubling(body, quarter)
        self.merge4 = Convolution(quarter, quarter)
        self.quarter = nn.ModuleList(
            Convolution(quarter, quarter) for _ in range(2 * shape.quarter_blocks)
        )
        self.up2 = Doubling(quarter, half)
        self.merge2 = Convolution(half, half, border="zero")
        self.head = Head(half)
        layers = {"up4": (quarter, 1.0), "merge4": (quarter, 1.0)}
        layers |= {"up2": (half, 1.0), "merge2": (half, 1.0)}
        for chain, channels, count in (
            ("body", body, shape.body_blocks),
            ("quarter", quarter, shape.quarter_blocks),
        ):
            for index in range(2 * count):
                # a residual branch starts small, so that the chain starts near the identity
                layers[f"{chain}.{index}"] = channels, 1.0 if index % 2 == 0 else 0.5
        self.affines = _Affines(self.code_size, layers)

    @property
    def code_size(self) -> int:
        """How many numbers a painting's code has."""
        return 2 * (self.shape.half + self.shape.quarter + self.shape.body)

    def encode(self, pictures: Tensor) -> list[Tensor]:
        """The features of three levels, at 1/2, 1/4 and 1/8 of the picture's resolution."""
        half = F.relu(self.stem(self.entry(pictures)))  # (B, half, H/2, W/2)
        quarter = F.relu(self.down4(half))  # (B, quarter, H/4, W/4)
        return [half, quarter, F.relu(self.down8(quarter))]  # … (B, body, H/8, W/8)

    def code_of(self, levels: list[Tensor]) -> Tensor:
        """Means and deviations of the three levels, (B, K)."""
        return torch.cat([part for level in levels for part in moments(level)], 1)

    def code(self, paintings: Tensor) -> Tensor:
        """The code of paintings, (B, 3, H, W) -> (B, K)."""
        return self.code_of(self.encode(paintings))

    def forward(self, pictures: Tensor, code: Tensor, alpha: Tensor | float = 1.0) -> Tensor:
        """Paint pictures, (B, 3, H, W), by codes, (B or 1, K), to the part `alpha`, (B, 1)."""
        levels = self.encode(pictures)
        own = self.code_of(levels)
        return self.decode(levels, own + alpha * (code - own))

    def decode(self, levels: list[Tensor], code: Tensor) -> Tensor:
        """The painting of features of three levels by a code, (B, 3, H, W)."""
        half, quarter, body = self.fuse(levels, code)
        affines = self.affines(code)
        x = self._chain("body", self.body, body, affines)
        x = F.relu(self._styled("up4", self.up4(x), affines) + quarter)  # (B, quarter, H/4, W/4)
        x = F.relu(self._styled("merge4", self.merge4(x), affines))
        x = self._chain("quarter", self.quarter, x, affines)
        x = F.relu(self._styled("up2", self.up2(x), affines) + half)  # (B, half, H/2, W/2)
        return cast(Tensor, self.head(F.relu(self._styled("merge2", self.merge2(x), affines))))

    def fuse(self, levels: list[Tensor], code: Tensor) -> list[Tensor]:
        """The levels with the statistics of the code in place of their own (AdaIN)."""
        sizes = [level.shape[1] for level in levels for _ in range(2)]
        parts = torch.split(code, sizes, 1)
        return [
            _affine(standardised(level), deviation, mean)
            for level, mean, deviation in zip(levels, parts[::2], parts[1::2], strict=True)
        ]

    def _chain(
        self,
        name: str,
        convolutions: nn.ModuleList,
        x: Tensor,
        affines: Affines,
    ) -> Tensor:
        """Residual blocks of two convolutions each. (B, C, H, W) -> the same"""
        for index in range(0, len(convolutions), 2):
            y = F.relu(self._styled(f"{name}.{index}", convolutions[index](x), affines))
            y = self._styled(f"{name}.{index + 1}", convolutions[index + 1](y), affines)
            x = F.relu(x + y)
        return x

    def _styled(self, name: str, x: Tensor, affines: Affines) -> Tensor:
        return _affine(x, *affines[name])
