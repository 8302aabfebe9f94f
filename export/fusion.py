"""The network of any painting at once: content and style statistics fused by a weight alpha.

Its parts and their shapes are those of `networks.StyleNet`; what differs is what they are told. A
painting's `code` holds its colours (see `colours`) and mean and deviation of every channel of its
features, on three levels. A frame is painted by giving its own features the statistics of the code
(AdaIN, Huang 2017, section 4) on all three levels, by layers in the decoder that the code modulates
(Ghiasi 2017, section 2.1; Karras 2020, section 2.2), and in colours that go from the frame's to the
painting's. alpha mixes the frame's own statistics with the code's: at 0 the network gives the photo
back.

Deviations: the encoder is our light one, trained with the rest, instead of Huang's VGG, and
statistics are fused on three levels instead of one. The decoder has no instance norms, past which
networks smuggle scales in bright blobs: like StyleGAN 2's, its layers are scaled by what their
weights and modulation make their outputs' deviation, which frames have no part in.
"""

from typing import Final, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import colours
from .networks import Border, Entry, Head, Shape, convolve, phase_kernel, polyphase

LIVE: Final = Shape(half=16, quarter=32, body=80, quarter_blocks=1, body_blocks=4)
"""What runs live on two processor cores at 640x360."""
EPSILON: Final = 4e-3
"""Added to variances of features, whose deviations are about 0.3: what is nearly flat in a frame is
not stretched to the painting's contrasts.
"""
WEIGHT_EPSILON: Final = 1e-6
FADE: Final = 0.25
"""Below this alpha the photo is mixed in, so that at 0 it comes back to the bit: painted by its own
code it nearly does.
"""
_HIDDEN: Final = 128
_BRANCH_GAIN: Final = 0.3
"""Of what ends a residual branch to begin with, so that the chain starts near the identity."""
_GAIN: Final = 0.7
_LEAST_DEVIATION: Final = 0.02
"""Of an entry of the code over paintings: what sleeps in all of these may wake in another."""
USUAL: Final = 4.0
"""Entries of a code count as at most so many deviations from their mean, lest a painting unlike all
others sends layers beyond all bounds.
"""


class Modulation(NamedTuple):
    """What the code tells a layer, (B, C) each."""

    taps: Tensor
    """Scales of the channels it reads."""
    gains: Tensor
    """Scales of those it writes, which would have a deviation of 1 without."""
    shifts: Tensor


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every channel: (B, C, H, W) -> (B, C) twice."""
    x = x.float()
    mean = x.mean((2, 3))
    # not var_mean, which takes channels-last pictures channel by channel: several times slower
    variance = x.square().mean((2, 3)) - mean.square()
    return mean, (variance.clamp_min(0) + EPSILON).sqrt()


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


class Modulated(nn.Module):
    """A 3x3 convolution that a code modulates; ``doubling`` is bilinear doubling before it, both in
    one as in `networks.UpConvNorm`.

    Modulated and demodulated convolution of StyleGAN 2 (Karras 2020, equations 1 and 3), with the
    scales at inputs and outputs instead of in the weights, so that these stay constant.
    """

    stride: Final = 1

    def __init__(
        self, inputs: int, outputs: int, *, doubling: bool = False, border: Border = "edge"
    ) -> None:
        super().__init__()
        self.doubling, self.border = doubling, border
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        if doubling:
            self.register_buffer("polyphase", polyphase(), persistent=False)

    def energies(self) -> Tensor:
        """Energy of the weights from every input to every output, (O, I); half, since that is what
        a ReLU leaves of the square of what is normally distributed.
        """
        return self.weight.float().square().sum((2, 3)) / 2

    def kernel(self) -> Tensor:
        """What is convolved with: the weight, or its phases, (O*4, I, 3, 3)."""
        if self.doubling:
            return phase_kernel(self.weight, cast(Tensor, self.polyphase))
        return self.weight

    def convolved(self, x: Tensor, taps: Tensor) -> Tensor:
        """What is scaled and shifted then: (B, I, H, W), (B, I) -> (B, O, H, W), or twice that."""
        x = x * taps.to(x.dtype)[:, :, None, None]
        y = convolve(x, self.kernel(), None, 1, self.border)
        return F.pixel_shuffle(y, 2) if self.doubling else y

    def forward(self, x: Tensor, modulation: Modulation) -> Tensor:
        """(B, I, H, W) -> (B, O, H, W), or twice that where it doubles."""
        taps, gains, shifts = modulation
        scale = gains * (taps.square() @ self.energies().T + WEIGHT_EPSILON).rsqrt()
        return _affine(self.convolved(x, taps), scale, shifts)


class Teller(nn.Module):
    """What the code tells every layer of the decoder: a small perceptron."""

    def __init__(self, code: int, layers: dict[str, tuple[int, int, float]]) -> None:
        """Layers are inputs, outputs and the gain to begin with, by name."""
        super().__init__()
        self.sizes = {name: (i, o, o) for name, (i, o, _) in layers.items()}
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(code))
        self.register_buffer("deviation", torch.ones(code))
        self.hidden = nn.Linear(code, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, sum(map(sum, self.sizes.values())))
        nn.init.normal_(self.out.weight, std=0.1 * _HIDDEN**-0.5)
        parts = [
            part
            for i, o, gain in layers.values()
            for part in (torch.ones(i), torch.full((o,), gain), torch.zeros(o))
        ]
        self.out.bias.data.copy_(torch.cat(parts))

    @property
    def settled(self) -> bool:
        """Whether it knows how codes are distributed."""
        return bool((self.deviation != 1).any())

    @torch.no_grad()
    def settle(self, codes: Tensor) -> None:
        """Learn how codes are distributed, from (N, K) of them."""
        deviation, mean = torch.std_mean(codes, 0, correction=0)
        self.mean.copy_(mean)
        self.deviation.copy_(deviation.clamp_min(_LEAST_DEVIATION))

    def forward(self, code: Tensor) -> dict[str, Modulation]:
        """(B, K) -> modulations by the name of the layer."""
        usual = ((code - self.mean) / self.deviation).clamp(-USUAL, USUAL)
        told = self.out(F.relu(self.hidden(usual)))
        parts = iter(told.split([n for sizes in self.sizes.values() for n in sizes], 1))
        return {name: Modulation(next(parts), next(parts), next(parts)) for name in self.sizes}


def _first_gain(name: str) -> float:
    """The gain that a layer begins with; ``body.3`` ends a residual branch."""
    _, in_chain, index = name.partition(".")
    if not in_chain:
        return _GAIN
    return _BRANCH_GAIN if int(index) % 2 else 1.0


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
        self.body = nn.ModuleList(Modulated(body, body) for _ in range(2 * shape.body_blocks))
        self.up4 = Modulated(body, quarter, doubling=True)
        self.merge4 = Modulated(quarter, quarter)
        self.quarter = nn.ModuleList(
            Modulated(quarter, quarter) for _ in range(2 * shape.quarter_blocks)
        )
        self.up2 = Modulated(quarter, half, doubling=True)
        self.merge2 = Modulated(half, half, border="zero")
        self.head = Head(half)
        layers = {
            name: (module.weight.shape[1], module.weight.shape[0], _first_gain(name))
            for name, module in self.named_modules()
            if isinstance(module, Modulated)
        }
        self.teller = Teller(self.code_size, layers)

    @property
    def code_size(self) -> int:
        """How many numbers a painting's code has."""
        return colours.SIZE + 2 * (self.shape.half + self.shape.quarter + self.shape.body)

    def analyse(self, pictures: Tensor) -> tuple[list[Tensor], Tensor]:
        """The features of three levels, at 1/2, 1/4 and 1/8 of the picture's resolution, and its
        code, (B, K): its colours, then mean and deviation of each level.
        """
        own = colours.colours_of(pictures)
        half = F.relu(self.stem(self.entry(colours.canonical(pictures, own))))
        quarter = F.relu(self.down4(half))  # (B, quarter, H/4, W/4)
        levels = [half, quarter, F.relu(self.down8(quarter))]  # … (B, body, H/8, W/8)
        return levels, torch.cat([own, *(part for x in levels for part in moments(x))], 1)

    def code(self, paintings: Tensor) -> Tensor:
        """The code of paintings, (B, 3, H, W) -> (B, K)."""
        return self.analyse(paintings)[1]

    def forward(self, pictures: Tensor, code: Tensor, alpha: Tensor | float = 1.0) -> Tensor:
        """Paint pictures, (B, 3, H, W), by codes, (B or 1, K), to the part `alpha`, (B, 1)."""
        levels, own = self.analyse(pictures)
        mixed = own + alpha * (code - own)
        painted = self.decode(self.fuse(levels, own, mixed), self.teller(mixed))
        painted = colours.coloured(painted, mixed[:, : colours.SIZE])
        share = (torch.as_tensor(alpha, device=painted.device) / FADE).clamp_max(1)
        return torch.lerp(pictures, painted, share.to(painted).view(-1, 1, 1, 1))

    def fuse(self, levels: list[Tensor], own: Tensor, code: Tensor) -> list[Tensor]:
        """The levels with the statistics of the code in place of their `own` (AdaIN)."""
        sizes = [colours.SIZE, *(level.shape[1] for level in levels for _ in range(2))]
        _, *had = torch.split(own, sizes, 1)
        _, *given = torch.split(code, sizes, 1)
        fused = []
        for x, mean, deviation, wanted, spread in zip(
            levels, had[::2], had[1::2], given[::2], given[1::2], strict=True
        ):
            scale = spread / deviation
            fused.append(_affine(x, scale, wanted - mean * scale))
        return fused

    def decode(self, levels: list[Tensor], told: dict[str, Modulation]) -> Tensor:
        """The painting of fused levels, (B, 3, H, W), in the colours of the common distribution."""
        half, quarter, body = levels
        x = self._chain("body", self.body, body, told)
        x = F.relu(self.up4(x, told["up4"]) + quarter)  # (B, quarter, H/4, W/4)
        x = F.relu(self.merge4(x, told["merge4"]))
        x = self._chain("quarter", self.quarter, x, told)
        x = F.relu(self.up2(x, told["up2"]) + half)  # (B, half, H/2, W/2)
        return cast(Tensor, self.head(F.relu(self.merge2(x, told["merge2"]))))

    def _chain(
        self, name: str, layers: nn.ModuleList, x: Tensor, told: dict[str, Modulation]
    ) -> Tensor:
        """Residual blocks of two convolutions each. (B, C, H, W) -> the same"""
        for index in range(0, len(layers), 2):
            y = F.relu(layers[index](x, told[f"{name}.{index}"]))
            x = F.relu(x + layers[index + 1](y, told[f"{name}.{index + 1}"]))
        return x
