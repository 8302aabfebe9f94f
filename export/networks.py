"""Our family of feed-forward style networks.

Each network maps a float RGB picture in 0..1, (B, 3, H, W), to a painted one of the same shape.
Values may leave 0..1 a little; the exported graph clips them. H and W must be multiples of the
network's `stride` (the exported graph of the family pads and crops by itself).

The family (`StyleNet`) has its thin layers at half resolution, so that strokes are not tied to a
coarse lattice, and nearly all of its arithmetic as dense 3x3 convolutions at 1/8, where processors
are fastest::

    frame ─s2d─ 12@1/2 ─conv─ half@1/2 ─conv/2─ quarter@1/4 ─conv/2─ body@1/8 ─blocks─┐
    painting ─d2s─ 12@1/2 ─conv─ half@1/2 ─d2s(+half)─ blocks@1/4 ─d2s(+quarter)──────┘

Every kept activation follows a ReLU, so that 8-bit tensors need no zero point. Borders repeat the
last row and column, all the way down: zeros would tell the network where the frame ends, and it
paints that. Only the last two layers, at half resolution, see zeros: they reach 4 pixels, and
`MARGIN` pixels are cut off.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE: Final = 8
_MOMENTUM: Final = 0.03
EPSILON: Final = 1e-5
MARGIN: Final = 8
"""Pixels of repeated border a picture gets before it is painted, cut off again afterwards."""
STEM_RING: Final = 2
"""Further pixels of repeated border, which the first convolution takes off."""
Border = Literal["none", "edge", "zero"]
"""What a convolution sees beyond its input: nothing (the output shrinks), the last row and column
again, or zeros."""


@dataclass(frozen=True)
class Shape:
    """Channels at 1/2, 1/4 and 1/8, and residual blocks at 1/4 and 1/8, of a `StyleNet`."""

    half: int
    quarter: int
    body: int
    quarter_blocks: int
    body_blocks: int


TIERS: Final[dict[str, Shape]] = {
    "fast": Shape(half=16, quarter=32, body=32, quarter_blocks=0, body_blocks=3),
    "balanced": Shape(half=16, quarter=32, body=96, quarter_blocks=1, body_blocks=4),
    "fine": Shape(half=16, quarter=32, body=128, quarter_blocks=1, body_blocks=5),
}


class Norm(nn.Module):
    """Instance normalisation to begin with, one constant affine a channel in the end.

    Statistics of the single frame (Ulyanov 2016) make a style easy to learn, but at inference they
    pump the whole picture whenever something enters it, and cost more than the convolutions. So
    training blends them over (`blend` from 0 to 1) into their running mean over photos; `freeze`
    then makes that constant, and the affine that remains folds into the convolution before it.
    Taken away at once instead, they leave a network whose layers no longer fit each other.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.mean: Tensor
        self.variance: Tensor
        self.frozen: Tensor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.register_buffer("frozen", torch.zeros((), dtype=torch.bool))
        self.blend = 0.0

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        if self.frozen:
            return _affine(x, self.weight, self.bias)
        if self.training:
            self._track(x.detach())
        own = F.instance_norm(x, weight=self.weight, bias=self.bias, eps=EPSILON)
        if self.blend == 0:
            return own
        scale = self.weight / (self.variance + EPSILON).sqrt()
        constant = _affine(x, scale, self.bias - scale * self.mean)
        return torch.lerp(own, constant.to(own.dtype), self.blend)

    @torch.no_grad()
    def _track(self, x: Tensor) -> None:
        """Follow the mean of the pictures' statistics, on every fourth row and column at most."""
        step = max(1, min(4, x.shape[-1] // 32))
        variance, mean = torch.var_mean(x[:, :, ::step, ::step].float(), (2, 3), correction=0)
        # not in place: a step paints twice, and its backward pass needs both states
        self.mean = self.mean.lerp(mean.mean(0), _MOMENTUM)
        self.variance = self.variance.lerp(variance.mean(0), _MOMENTUM)

    @torch.no_grad()
    def freeze(self) -> None:
        """Make the running statistics a constant affine, which training may go on to change."""
        scale = self.weight / (self.variance + EPSILON).sqrt()
        self.bias.sub_(scale * self.mean)
        self.weight.copy_(scale)
        self.frozen = torch.ones_like(self.frozen)


def _affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """x * scale + shift a channel, in the type of x. (B, C, H, W) -> (B, C, H, W)"""
    return x * scale.to(x.dtype)[:, None, None] + shift.to(x.dtype)[:, None, None]


class Conv(nn.Module):
    """A convolution and a bias: what a `ConvNorm` folds into. ``shuffle`` 2 ends in
    depth-to-space.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, stride: int, shuffle: int, border: Border
    ) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.stride, self.shuffle, self.border = stride, shuffle, border

    def forward(self, x: Tensor) -> Tensor:  # (B, I, H, W) -> (B, O, H * shuffle / stride, …)
        x = convolve(x, self.weight, self.bias, self.stride, self.border)
        return F.pixel_shuffle(x, self.shuffle) if self.shuffle > 1 else x


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, border: Border) -> Tensor:
    """A convolution that sees what `border` says beyond its input.
    (B, I, H, W) -> (B, O, H / stride, W / stride)
    """
    if border == "edge":
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return F.conv2d(x, weight, bias, stride, 1 if border == "zero" else 0)


class ConvNorm(nn.Module):
    """A convolution without bias, then `Norm`.

    Stride 2 takes 4x4 kernels, which are centred on the pixels they merge, as depth-to-space is.
    """

    def __init__(
        self, inputs: int, outputs: int, *, stride: int = 1, border: Border = "edge"
    ) -> None:
        super().__init__()
        kernel = 3 if stride == 1 else 4
        self.stride, self.border = stride, border
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        self.norm = Norm(outputs)

    def forward(self, x: Tensor) -> Tensor:  # (B, I, H, W) -> (B, O, H / stride, W / stride)
        x = convolve(x, self.weight, None, self.stride, self.border)
        return cast(Tensor, self.norm(x))

    def fold(self) -> Conv:
        """The same map as one convolution; the norm must be frozen."""
        scale, bias = _frozen_affine(self.norm)
        weight = self.weight.detach() * scale[:, None, None, None]
        return Conv(weight, bias, self.stride, 1, self.border)


class UpConvNorm(nn.Module):
    """Bilinear doubling and a 3x3 convolution in one, then `Norm`.

    The two linear steps together are one 3x3 convolution at the low resolution into four sub-pixel
    channels each, and depth-to-space (their polyphase form), which is what runs. Tied like this,
    the four sub-pixels of a cell differ only by where they lie between its neighbours, so that no
    pattern can repeat with the lattice. A free sub-pixel convolution (Shi 2016) costs the same and
    paints one.
    """

    stride: Final = 1
    border: Border = "edge"

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        self.norm = Norm(outputs)
        self.register_buffer("polyphase", polyphase(), persistent=False)

    def kernel(self) -> Tensor:
        """The low-resolution kernel, (O*4, I, 3, 3), of the high-resolution one, (O, I, 3, 3)."""
        return phase_kernel(self.weight, cast(Tensor, self.polyphase))

    def forward(self, x: Tensor) -> Tensor:  # (B, I, H, W) -> (B, O, 2H, 2W)
        x = convolve(x, self.kernel(), None, 1, self.border)
        return cast(Tensor, self.norm(F.pixel_shuffle(x, 2)))  # (B, O*4, H, W) -> (B, O, 2H, 2W)

    def fold(self) -> Conv:
        """The same map as one convolution with depth-to-space; the norm must be frozen."""
        scale, bias = (v.repeat_interleave(4) for v in _frozen_affine(self.norm))
        weight = self.kernel().detach() * scale[:, None, None, None]
        return Conv(weight, bias, 1, 2, self.border)


class Head(nn.Module):
    """The last layer, to the painting's own resolution: doubling and convolution in one, as in
    `UpConvNorm`, without norm. Left free, its sub-pixels would dither with a period of 2 pixels.
    """

    stride: Final = 1
    border: Border = "zero"

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3, inputs, 3, 3))
        self.bias = nn.Parameter(torch.full((3,), 0.5))
        nn.init.normal_(self.weight, std=(0.3 / (9 * inputs)) ** 0.5)
        self.register_buffer("polyphase", polyphase(), persistent=False)

    def kernel(self) -> Tensor:
        """The low-resolution kernel, (12, I, 3, 3)."""
        return phase_kernel(self.weight, cast(Tensor, self.polyphase))

    def forward(self, x: Tensor) -> Tensor:  # (B, I, H, W) -> (B, 3, 2H, 2W)
        # (B, 12, H, W) -> (B, 3, 2H, 2W)
        x = F.pixel_shuffle(convolve(x, self.kernel(), None, 1, self.border), 2)
        return x + self.bias[:, None, None]

    def fold(self) -> Conv:
        """The same map with a bias for every sub-pixel."""
        bias = self.bias.detach().repeat_interleave(4)
        return Conv(self.kernel().detach(), bias, 1, 2, self.border)


class Block(nn.Module):
    """Residual block relu(x + conv(relu(conv(x)))); the last ReLU is what 8-bit tensors like."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first: nn.Module = ConvNorm(channels, channels)
        self.second: nn.Module = ConvNorm(channels, channels)
        self.relu_first, self.relu = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        return cast(Tensor, self.relu(x + self.second(self.relu_first(self.first(x)))))


class Entry(nn.Module):
    """Space-to-depth, with a ring of cells more for the stem to take off again.

    (B, 3, H, W) -> (B, 12, H/2 + 2, W/2 + 2)
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_unshuffle(F.pad(x, (STEM_RING,) * 4, mode="replicate"), 2)


class StyleNet(nn.Module):
    """Our family. `fold` gives the network that is exported; both compute the same pictures."""

    stride = STRIDE

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.entry = Entry()
        self.stem: nn.Module = ConvNorm(12, shape.half, border="none")
        self.down4: nn.Module = ConvNorm(shape.half, shape.quarter, stride=2)
        self.down8: nn.Module = ConvNorm(shape.quarter, shape.body, stride=2)
        self.body = nn.Sequential(*(Block(shape.body) for _ in range(shape.body_blocks)))
        self.up4: nn.Module = UpConvNorm(shape.body, shape.quarter)
        self.merge4: nn.Module = ConvNorm(shape.quarter, shape.quarter)
        self.quarter = nn.Sequential(*(Block(shape.quarter) for _ in range(shape.quarter_blocks)))
        self.up2: nn.Module = UpConvNorm(shape.quarter, shape.half)
        self.merge2: nn.Module = ConvNorm(shape.half, shape.half, border="zero")
        self.head: nn.Module = Head(shape.half)
        self.relu_stem, self.relu_down4, self.relu_down8 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.relu_up4, self.relu_merge4 = nn.ReLU(), nn.ReLU()
        self.relu_up2, self.relu_merge2 = nn.ReLU(), nn.ReLU()
        for block in (*self.body, *self.quarter):
            # a residual branch starts small, so that the chain starts near the identity
            cast(Norm, cast(Block, block).second.norm).weight.data.fill_(0.5)

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, H, W) -> (B, 3, H, W)
        half = self.relu_stem(self.stem(self.entry(x)))  # (B, half, H/2, W/2)
        quarter = self.relu_down4(self.down4(half))  # (B, quarter, H/4, W/4)
        body = self.body(self.relu_down8(self.down8(quarter)))  # (B, body, H/8, W/8)
        x = self.relu_up4(self.up4(body) + quarter)  # (B, quarter, H/4, W/4)
        x = self.quarter(self.relu_merge4(self.merge4(x)))
        x = self.relu_up2(self.up2(x) + half)  # (B, half, H/2, W/2)
        return cast(Tensor, self.head(self.relu_merge2(self.merge2(x))))

    def norms(self) -> Iterator[Norm]:
        """Every norm, in order."""
        return (module for module in self.modules() if isinstance(module, Norm))

    @property
    def frozen(self) -> bool:
        """Whether nothing depends on the frame any more."""
        return all(bool(norm.frozen) for norm in self.norms())

    @torch.no_grad()
    def folded(self) -> "StyleNet":
        """A copy whose layers are single convolutions; norms must be frozen."""
        copy = StyleNet(self.shape)
        _fold_children(self, copy)
        return copy.to(next(self.parameters()).device).eval()


def phase_kernel(weight: Tensor, polyphase: Tensor) -> Tensor:
    """(O, I, 3, 3) behind bilinear doubling as (O*4, I, 3, 3) before depth-to-space."""
    outputs, inputs, _, _ = weight.shape
    phases = torch.einsum("oiyx,pay,qbx->opqiab", weight, polyphase, polyphase)
    return phases.reshape(outputs * 4, inputs, 3, 3)  # (O, 2, 2, I, 3, 3) -> (O*4, I, 3, 3)


def pad_picture(pictures: Tensor) -> Tensor:
    """What the exported graph does first: the last rows and columns repeated, `MARGIN` pixels on
    every side, and further below and on the right up to a multiple of the stride.

    (B, 3, H, W) -> (B, 3, H' + 2 * MARGIN, W' + 2 * MARGIN)
    """
    height, width = pictures.shape[2:]
    sides = (MARGIN, MARGIN + -width % STRIDE, MARGIN, MARGIN + -height % STRIDE)
    return F.pad(pictures, sides, mode="replicate")


def crop_painting(painted: Tensor, height: int, width: int) -> Tensor:
    """The part of a painted `pad_picture` that shows the picture."""
    return painted[..., MARGIN : MARGIN + height, MARGIN : MARGIN + width]


def _fold_children(source: nn.Module, target: nn.Module) -> None:
    for name, child in source.named_children():
        if isinstance(child, ConvNorm | UpConvNorm | Head):
            setattr(target, name, child.fold())
        elif isinstance(child, Conv):
            copy = Conv(
                child.weight.clone(), child.bias.clone(), child.stride, child.shuffle, child.border
            )
            setattr(target, name, copy)
        else:
            _fold_children(child, getattr(target, name))


def _frozen_affine(norm: Norm) -> tuple[Tensor, Tensor]:
    if not norm.frozen:
        raise RuntimeError("a norm that depends on the frame cannot be folded: freeze it first")
    return norm.weight.detach(), norm.bias.detach().clone()


def polyphase() -> Tensor:
    """(2, 3, 3): phase, low-resolution tap, high-resolution tap, of bilinear doubling before a
    kernel of 3.

    Bilinear doubling puts the even sample at a quarter of the way to the neighbour before, the odd
    one at a quarter of the way to the one behind: up[2n] = z[n-1]/4 + 3z[n]/4, up[2n+1] = 3z[n]/4 +
    z[n+1]/4.
    """
    taps = torch.zeros(2, 3, 3)
    for phase in range(2):
        for tap in range(3):
            cell, odd = divmod(phase + tap - 1, 2)
            for offset, weight in ((0, 0.75), (1, 0.25) if odd else (-1, 0.25)):
                taps[phase, cell + offset + 1, tap] += weight
    return taps
