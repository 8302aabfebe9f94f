"""Channels of like ranges in the network of any painting, so that 8 bits hold all of them.

An 8-bit activation has one scale for all its channels, 8-bit weights one for every output. What a
modulated layer reads and writes is scaled anyway, by numbers that the code tells; so channels can
be brought to like ranges in between, at no cost: weights take over what the scales lose. What a
layer reads and the weights that read it share the difference (cross-layer equalization, Nagel 2019,
equation 11, where the scales are variable); to leave all of it to the weights costs the float
variant, whose weights are stored in 8 bits, 13 dB. The network paints as before.
"""

from collections.abc import Callable, Iterable
from typing import Final

import torch
from torch import Tensor

from .fusion import FusionNet, Modulated, Modulation

_LEAST: Final = 0.02
"""Least range of a channel, over the largest of its layer: what sleeps is not blown up."""


@torch.no_grad()
def equalize_fusion(network: FusionNet, feeds: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Bring what layers read and write to like ranges in every channel, in place, as measured on
    pictures, (1, 3, H, W) float in 0..1, and codes, (1, K).
    """
    layers = {n: m for n, m in network.named_modules() if isinstance(m, Modulated)}
    reads: dict[str, list[Tensor]] = {name: [] for name in layers}
    writes: dict[str, list[Tensor]] = {name: [] for name in layers}

    def watch(name: str) -> Callable[[Modulated, tuple[Tensor, Modulation], Tensor], None]:
        def look(module: Modulated, inputs: tuple[Tensor, Modulation], _output: Tensor) -> None:
            x, told = inputs
            reads[name].append(_peaks(x) * told.taps[0].abs())
            writes[name].append(_peaks(module.convolved(x, told.taps)))

        return look

    hooks = [module.register_forward_hook(watch(name)) for name, module in layers.items()]
    for picture, code in feeds:
        network(picture, code)
    for hook in hooks:
        hook.remove()
    at = 0
    out = network.teller.out
    for name, (inputs, outputs, _) in network.teller.sizes.items():
        module = layers[name]
        written = _awake(torch.stack(writes[name]).mean(0))
        module.weight.mul_((written.mean() / written)[:, None, None, None])
        read = _awake(torch.stack(reads[name]).mean(0))
        ours = (read / _awake(_peaks(module.weight))).sqrt()
        ours /= ours.mean()  # energies of weights stay what 16 bits hold
        module.weight.mul_(ours[None, :, None, None])
        out.weight[at : at + inputs].div_(ours[:, None])
        out.bias[at : at + inputs].div_(ours)
        at += inputs + 2 * outputs


def _peaks(x: Tensor) -> Tensor:
    """The largest size of every channel, (B, C, H, W) -> (C,)."""
    return x.abs().amax((0, 2, 3))


def _awake(ranges: Tensor) -> Tensor:
    """Ranges of channels, (C,), of which none is next to nothing."""
    return ranges.clamp_min(_LEAST * float(ranges.max()))
