"""Channels of like ranges in the network of any painting, so that 8 bits hold all of them.

An 8-bit activation has one scale for all its channels. What a modulated layer reads and writes is
scaled anyway, by numbers that the code tells; so channels can be brought to like ranges in between,
at no cost: weights take over what the scales lose (cross-layer equalization, Nagel 2019, where the
scales are variable). The network paints as before.
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
    """Bring what layers read and write to a root mean square of 1 in every channel, in place, as
    measured on pictures, (1, 3, H, W) float in 0..1, and codes, (1, K).
    """
    layers = {n: m for n, m in network.named_modules() if isinstance(m, Modulated)}
    reads: dict[str, list[Tensor]] = {name: [] for name in layers}
    writes: dict[str, list[Tensor]] = {name: [] for name in layers}

    def watch(name: str) -> Callable[[Modulated, tuple[Tensor, Modulation], Tensor], None]:
        def look(module: Modulated, inputs: tuple[Tensor, Modulation], _output: Tensor) -> None:
            x, told = inputs
            reads[name].append(x.square().mean((0, 2, 3)) * told.taps[0].square())
            writes[name].append(told.taps[0].square() @ module.energies().T)

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
        ours = _range(reads[name])
        module.weight.mul_(ours[None, :, None, None])
        out.weight[at : at + inputs].div_(ours[:, None])
        out.bias[at : at + inputs].div_(ours)
        module.weight.div_(_range(writes[name])[:, None, None, None])
        at += inputs + 2 * outputs


def _range(squares: list[Tensor]) -> Tensor:
    """The root of the mean of mean squares, (C,), of which none is next to nothing."""
    found = torch.stack(squares).mean(0).sqrt()
    return found.clamp_min(_LEAST * float(found.max()))
