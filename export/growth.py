"""Finished networks as the start of others: norms to train on, more channels and blocks."""

from dataclasses import astuple
from typing import Final, cast

import torch
from torch import Tensor

from .networks import EPSILON, Conv, ConvNorm, Head, Shape, StyleNet, UpConvNorm

_QUIETEST: Final = 0.1
"""Least deviation that is told of a channel, where `quantize.level` has made 1 of what counts.

Adam's steps are as long for small scales as for large, so a channel that these photos hardly woke
would soon be turned up a hundred times, and some other photo would wake it.
"""


@torch.no_grad()
def unfolded(folded: StyleNet, photos: Tensor) -> StyleNet:
    """A network to train on, whose norms do on average over `photos` what the layers' biases do.

    The way back from `StyleNet.folded`, so that a finished style can be the start of another. The
    photos, (B, 3, H, W), give the statistics that folding lost.
    """
    network = StyleNet(folded.shape)
    seen: list[Tensor] = []
    for name, module in network.named_modules():
        if isinstance(module, ConvNorm | UpConvNorm | Head):
            layer = cast(Conv, folded.get_submodule(name))
            bias = layer.bias if isinstance(module, ConvNorm) else layer.bias.view(-1, 4).mean(1)
            if isinstance(module, ConvNorm):
                module.weight.copy_(layer.weight)
            else:
                module.weight.copy_(untied(layer.weight, cast(Tensor, module.polyphase)))
            if isinstance(module, Head):
                module.bias.copy_(bias)
            else:
                module.norm.bias.copy_(bias)
                module.norm.frozen = torch.ones_like(module.norm.frozen)
                module.norm.register_forward_hook(lambda _m, x, _y: seen.append(x[0]))
    network(photos)
    for norm, x in zip(network.norms(), seen, strict=True):
        norm.variance, norm.mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
        norm.variance.clamp_min_(_QUIETEST**2)
        norm.weight.copy_((norm.variance + EPSILON).sqrt())
        norm.bias.add_(norm.mean)
        norm.frozen = torch.zeros_like(norm.frozen)
        norm._forward_hooks.clear()
    return network


@torch.no_grad()
def grown(folded: StyleNet, shape: Shape) -> StyleNet:
    """A folded network with more channels or blocks that paints the same (Net2Net, Chen 2016).

    What is new has random weights where it reads and zeros where it is read, so that training can
    take it up. Raises `ValueError` where the new shape is smaller in anything.
    """
    old, new = (astuple(s) for s in (folded.shape, shape))
    if any(a > b for a, b in zip(old, new, strict=True)):
        raise ValueError(f"{folded.shape} does not fit into {shape}")
    network = StyleNet(shape)
    for norm in network.norms():
        norm.frozen = torch.ones_like(norm.frozen)
    network = network.folded()
    present = {name: m for name, m in folded.named_modules() if isinstance(m, Conv)}
    for name, conv in network.named_modules():
        if not isinstance(conv, Conv):
            continue
        if name not in present:
            if name.endswith(".second"):
                conv.weight.zero_()
            continue
        known = present[name]
        outputs, inputs = known.weight.shape[:2]
        conv.weight[:outputs].zero_()
        conv.weight[:outputs, :inputs] = known.weight
        conv.bias[:outputs] = known.bias
    return network


def untied(kernel: Tensor, polyphase: Tensor) -> Tensor:
    """The high-resolution kernel, (O, I, 3, 3), of a low-resolution one, (O*4, I, 3, 3): the
    least-squares inverse of `phase_kernel`.
    """
    outputs, inputs = kernel.shape[0] // 4, kernel.shape[1]
    across = torch.einsum("pay,qbx->pqabyx", polyphase, polyphase).reshape(36, 9)
    # (O*4, I, 3, 3) -> (O, 2, 2, I, 3, 3) -> (O, I, 2, 2, 3, 3) -> (O*I, 36)
    phases = kernel.view(outputs, 2, 2, inputs, 3, 3).permute(0, 3, 1, 2, 4, 5).reshape(-1, 36)
    # (O*I, 9) -> (O, I, 3, 3)
    weights: Tensor = phases @ torch.linalg.pinv(across).T
    return weights.reshape(outputs, inputs, 3, 3)
