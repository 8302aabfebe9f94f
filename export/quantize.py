"""8-bit quantization of a folded style network: ranges from real photos, simulated in torch.

Before anything is rounded, channels of one tensor are brought to like ranges (`equalize`).

Activations are unsigned 8-bit, one scale a tensor (Jacob 2018); weights signed 8-bit, one scale an
output channel. Ranges come from photos run through the float network: for each activation the limit
with the least mean squared error over its histogram, since a few outliers would otherwise cost
everybody bits. `Quantized` runs the network as the integer graph will, with straight-through
gradients (Bengio 2013), which serves to measure a style without a runtime and to fine-tune one that
loses too much.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .networks import Conv, StyleNet

FRAME_SCALE: Final = 1 / 255
_BINS: Final = 2048
_CANDIDATES: Final = 80
_EQUALIZED: Final = 0.5
_LEAST_RANGE: Final = 1e-3
_ASLEEP: Final = 0.2


@dataclass(frozen=True)
class Ranges:
    """Scale and zero point of every activation by name, and which activation feeds which
    convolution.
    """

    scales: Mapping[str, tuple[float, int]]

    def of(self, name: str) -> tuple[float, int]:
        """Scale and zero point of an activation."""
        return self.scales[name]

    def input_scale(self, conv: str) -> float:
        """The scale of what a convolution reads."""
        source = _INPUTS.get(conv)
        if source is None and conv.endswith(".second"):
            source = conv.replace(".second", ".relu_first")
        if source is None:
            source = _block_input(conv, self.scales)
        return FRAME_SCALE if source == "frame" else self.scales[source][0]


_INPUTS: Final = {
    "stem": "frame",
    "down4": "relu_stem",
    "down8": "relu_down4",
    "merge4": "relu_up4",
    "merge2": "relu_up2",
    "head": "relu_merge2",
}


def _block_input(conv: str, scales: Mapping[str, Any]) -> str:
    """What the first block of a chain, a later block, or the convolution behind the chain reads."""
    chain_start = {"body": "relu_down8", "quarter": "relu_merge4"}
    if conv in ("up4", "up2"):
        chain = "body" if conv == "up4" else "quarter"
        count = sum(1 for name in scales if name.startswith(f"{chain}.") and name.endswith(".relu"))
        return f"{chain}.{count - 1}.relu" if count else chain_start[chain]
    chain, index, _ = conv.split(".")
    return chain_start[chain] if index == "0" else f"{chain}.{int(index) - 1}.relu"


def quantize_weight(
    weight: NDArray[np.float32], phases: int = 1
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Signed integers and the scale of each output channel of a kernel (O, I, k, k): largest weight
    127.

    Each `phases` outputs in a row are the sub-pixels of one channel. They share a scale, and their
    taps are rounded so that they still add up to the same: where the picture is flat, sub-pixels
    stay equal, and no lattice shows.
    """
    outputs, inputs, height, width = weight.shape
    # (O, I, k, k) -> (O / phases, phases, I, k * k)
    exact = weight.reshape(outputs // phases, phases, inputs, height * width).astype(np.float64)
    scale = np.maximum(np.abs(exact).max((1, 2, 3)), 1e-12) / 127
    exact /= scale[:, None, None, None]
    integers = np.clip(np.rint(exact), -127, 127)
    if phases > 1:
        total = np.rint(exact.sum(3).mean(1, keepdims=True))
        missing = (total - integers.sum(3))[..., None]
        fixed = np.abs(integers) == 127  # the largest weight sets the scale
        up = _rank(np.where(fixed, np.inf, integers - exact)) < missing
        down = _rank(np.where(fixed, np.inf, exact - integers)) < -missing
        integers += up.astype(int) - down.astype(int)
    stored = integers.reshape(weight.shape).astype(np.int8)
    return stored, scale.repeat(phases).astype(np.float32)


def _rank(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The place of each value in the rising order of its row."""
    return values.argsort(-1, kind="stable").argsort(-1, kind="stable")


def equalize(network: StyleNet, pictures: Iterable[Tensor]) -> None:
    """Scale the channels of a folded network to like ranges, in place; it paints the same.

    An activation has one scale for all its channels, so a quiet channel would be left with few
    levels. Convolutions before a ReLU may be divided by any positive factor a channel that those
    behind it are multiplied by (cross-layer equalization, Nagel et al. 2019, section 4.1). Ranges
    are the root mean square over pictures, (1, 3, H, W) float in 0..1; half of the difference, as a
    power, is taken out, since weights must stay on a grid of their own.
    """
    _rescale(network, pictures, lambda rms: _shares(rms) ** _EQUALIZED)


def level(network: StyleNet, pictures: Iterable[Tensor]) -> None:
    """Scale the channels of a folded network to a root mean square of 1, in place.

    The same freedom as `equalize` uses, for training on: Adam steps are as large for every weight,
    and would wreck the channels that were left with small ones. What these pictures hardly get
    past a ReLU is measured before it: another picture may wake it.
    """
    _rescale(network, pictures, lambda rms: _shares(rms) * rms.amax(), asleep=_ASLEEP)


def _shares(rms: Tensor) -> Tensor:
    """Each channel's range, (C,), as a share of the largest, which is not 0."""
    return (rms / rms.amax()).clamp(min=_LEAST_RANGE)


@torch.no_grad()
def _rescale(
    network: StyleNet,
    pictures: Iterable[Tensor],
    factors: Callable[[Tensor], Tensor],
    *,
    asleep: float = 0.0,
) -> None:
    """Divide channels by `factors` of their root mean square, and multiply where they are read.

    That of a channel is at least a part `asleep` of what its convolutions put out before the ReLU.
    """
    strength: dict[str, Tensor] = {}

    def watch(name: str, value: Tensor) -> Tensor:
        own = value.square().mean((0, 2, 3)).sqrt()
        strength[name] = torch.maximum(strength.get(name, own), own)
        return value

    convolutions = _convolutions(network)
    raw = ((f"raw {name}", conv) for name, conv in convolutions.items())
    with _hooked([*_activations(network), *raw], watch):
        for picture in pictures:
            network(picture)
    for writers, activations, readers in _equal_channels(network):
        largest = torch.stack([strength[name] for name in activations]).amax(0)
        written = torch.stack([strength[f"raw {name}"] for name in writers]).amax(0)
        largest = torch.maximum(largest, asleep * written)
        if largest.amax() == 0:
            continue
        factor = factors(largest)
        for name in writers:
            conv = convolutions[name]
            parts = factor.repeat_interleave(conv.shuffle**2)
            conv.weight.div_(parts[:, None, None, None])
            conv.bias.div_(parts)
        for name in readers:
            convolutions[name].weight.mul_(factor[None, :, None, None])


def _equal_channels(network: StyleNet) -> Iterator[tuple[list[str], list[str], list[str]]]:
    """Sets of channels that must keep one factor, because sums join them: the convolutions that
    write them, the activations that hold them, the convolutions that read them.
    """
    body = [f"body.{index}" for index in range(len(network.body))]
    quarter = [f"quarter.{index}" for index in range(len(network.quarter))]
    yield ["stem", "up2"], ["relu_stem", "up2", "relu_up2"], ["down4", "merge2"]
    yield ["down4", "up4"], ["relu_down4", "up4", "relu_up4"], ["down8", "merge4"]
    for first, blocks, last in (("down8", body, "up4"), ("merge4", quarter, "up2")):
        seconds, outputs = [f"{b}.second" for b in blocks], [f"{b}.relu" for b in blocks]
        readers = [*(f"{b}.first" for b in blocks), last]
        yield [first, *seconds], [f"relu_{first}", *seconds, *outputs], readers
    yield ["merge2"], ["relu_merge2"], ["head"]
    for block in (*body, *quarter):
        yield [f"{block}.first"], [f"{block}.relu_first"], [f"{block}.second"]


@torch.no_grad()
def round_weights(network: StyleNet) -> None:
    """Put the weights of a folded network on the 8-bit grid they are stored on, in place."""
    for conv in _convolutions(network).values():
        conv.weight.copy_(on_grid(conv.weight, conv.shuffle**2))


def on_grid(weight: Tensor, phases: int = 1) -> Tensor:
    """A kernel, (O, I, k, k), as `quantize_weight` keeps it."""
    weight = weight.detach()
    integers, scale = quantize_weight(weight.float().cpu().numpy(), phases)
    return torch.from_numpy(integers * scale[:, None, None, None]).to(weight)


@torch.no_grad()
def calibrate(network: StyleNet, pictures: Iterable[Tensor]) -> Ranges:
    """Ranges of every activation of a folded network over pictures, (1, 3, H, W) float in 0..1."""
    histograms: dict[str, _Histogram] = {}

    def watch(name: str, value: Tensor) -> Tensor:
        histograms.setdefault(name, _Histogram()).add(value)
        return value

    with _hooked(_activations(network), watch):
        for picture in pictures:
            network(picture)
    scales = {}
    for name, histogram in histograms.items():
        limit = histogram.best_limit(levels=127 if _signed(name) else 255)
        scales[name] = (limit / 127, 128) if _signed(name) else (limit / 255, 0)
    return Ranges(scales)


class Quantized(nn.Module):
    """A folded network that computes as its 8-bit graph does, up to the rounding of sums.

    Gradients pass straight through the rounding; the weights of the network itself are trained.
    """

    def __init__(self, network: StyleNet, ranges: Ranges) -> None:
        super().__init__()
        self.network, self.ranges = network, ranges

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, H, W) -> (B, 3, H, W)
        def fake(name: str, value: Tensor) -> Tensor:
            scale, zero = self.ranges.of(name)
            low, high = -zero * scale, (255 - zero) * scale
            clipped = value.clamp(low, high)
            return clipped + (torch.round(clipped / scale) * scale - clipped).detach()

        with _hooked(_activations(self.network), fake), _grid_weights(self.network):
            painted: Tensor = self.network(x)
        return painted


def _signed(name: str) -> bool:
    """Sums still to be added to have both signs; everything else lies behind a ReLU."""
    return "relu" not in name


def _convolutions(network: StyleNet) -> dict[str, Conv]:
    return {name: module for name, module in network.named_modules() if isinstance(module, Conv)}


def _activations(network: StyleNet) -> Iterator[tuple[str, nn.Module]]:
    """The modules whose outputs are stored in 8 bits: ReLUs, and convolutions that end in a sum."""
    for name, module in network.named_modules():
        if isinstance(module, nn.ReLU) or name in ("up4", "up2") or name.endswith(".second"):
            yield name, module


@contextmanager
def _hooked(modules: Iterable[tuple[str, nn.Module]], function: Any) -> Iterator[None]:
    """Pass what named modules put out through `function(name, value)` while the context lasts."""
    handles = [
        module.register_forward_hook(lambda _m, _i, value, name=name: function(name, value))
        for name, module in modules
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _grid_weights(network: StyleNet) -> Iterator[None]:
    """Compute with weights on the 8-bit grid, straight through for gradients, while the context
    lasts.
    """
    handles = []
    for conv in _convolutions(network).values():
        weight = conv.weight
        handles.append((conv, weight))
        rounded = weight + (on_grid(weight, conv.shuffle**2) - weight).detach()
        del conv._parameters["weight"]
        conv.weight = rounded  # type: ignore[assignment]
    try:
        yield
    finally:
        for conv, weight in handles:
            del conv.weight
            conv._parameters["weight"] = weight


class _Histogram:
    """Magnitudes of an activation, in bins that widen when a larger value comes."""

    def __init__(self) -> None:
        self._counts = torch.zeros(_BINS, dtype=torch.float64)
        self._top = 0.0

    def add(self, value: Tensor) -> None:
        magnitude = value.detach().float().abs().flatten()
        largest = float(magnitude.max())
        if not np.isfinite(largest):
            raise ValueError("an activation is not a number: the network can't be quantized")
        while largest > self._top:
            # twice the top: two old bins become one
            if self._top:
                merged = self._counts.view(-1, 2).sum(1)
                self._counts = torch.cat([merged, torch.zeros_like(merged)])
                self._top *= 2
            else:
                self._top = max(largest, 1e-6)
        self._counts += torch.histc(magnitude, _BINS, 0, self._top).double().cpu()

    def best_limit(self, levels: int) -> float:
        """The clipping limit with the least mean squared error of rounding to `levels` steps and
        clipping.
        """
        if not self._top:
            return 1.0  # always 0 so far: any limit will do, but one of 0 is no scale
        centres = (np.arange(_BINS) + 0.5) * self._top / _BINS
        counts = self._counts.numpy()
        used = int(np.max(np.nonzero(counts)[0], initial=0)) + 1
        largest = used * self._top / _BINS
        best, least = largest, np.inf
        for limit in np.linspace(largest / _CANDIDATES, largest, _CANDIDATES):
            step = limit / levels
            rounded = np.minimum(np.rint(centres / step) * step, limit)
            # bins hide the rounding inside them: its expectation is step^2 / 12
            error = np.where(centres < limit, step**2 / 12, (centres - rounded) ** 2)
            total = float((counts * error).sum())
            if total < least:
                best, least = float(limit), total
        return best
