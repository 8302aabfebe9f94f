"""The finished network of one painting as the start of one for any: its strokes are there from the
first step, and what is left to learn is how paintings differ.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, cast

import torch
from torch import Tensor, nn

from . import colours
from .fusion import WEIGHT_EPSILON, Convolution, FusionNet, Modulated
from .growth import untied
from .networks import Conv, Head, Shape, StyleNet
from .quantize import level

_TOLD: Final = 0.02
"""Deviation of what the code changes to begin with, over that of the teller's hidden units."""
_ASLEEP: Final = 1e-4
"""Variance, of what is levelled to a mean square of 1, under which a channel says nothing."""
_QUIET: Final = 0.1
"""How loud a channel is that was woken, over one with random weights."""


@torch.no_grad()
def fusion_from_style(style: StyleNet, photos: Tensor, shape: Shape) -> FusionNet:
    """A network that paints nearly as the folded `style` does, whatever the code, in the colours of
    the code.

    The photos, (B, 3, H, W) float in 0..1, show what is usual. Raises `ValueError` where `shape` is
    not the style's but for a narrower body.
    """
    if replace(style.shape, body=shape.body) != shape or style.shape.body < shape.body:
        raise ValueError(f"{shape} can't be cut out of {style.shape}")
    level(style, [photos])
    usual, out = (_mean_colours(pictures) for pictures in (photos, style(photos).clamp(0, 1)))
    _Narrowing(style, photos).run(shape.body)
    network = FusionNet(shape)
    nn.init.normal_(network.teller.out.weight, std=_TOLD * network.teller.out.in_features**-0.5)
    told = network.teller.out.bias
    at = 0
    for name, (inputs, outputs, _) in network.teller.sizes.items():
        layer = cast(Conv, style.get_submodule(_known(name)))
        module = cast(Modulated, network.get_submodule(name))
        _take(module.weight, layer, module.polyphase if module.doubling else None)
        told[at : at + inputs] = 1
        at += inputs
        # the gain that demodulation takes away again
        told[at : at + outputs] = (module.energies().sum(1) + WEIGHT_EPSILON).sqrt()
        at += outputs
        told[at : at + outputs] = _bias(layer)
        at += outputs
    for name in ("stem", "down4", "down8", "head"):
        layer = cast(Conv, style.get_submodule(name))
        plain = cast(Convolution | Head, network.get_submodule(name))
        _take(plain.weight, layer, plain.polyphase if isinstance(plain, Head) else None)
        plain.bias.copy_(_bias(layer))
    _from_common(network.stem, usual)
    _to_common(network.head, out)
    return network


def _known(name: str) -> str:
    """A layer's name in a `StyleNet`: ``body.3`` is ``body.1.second``."""
    chain, dot, index = name.partition(".")
    if not dot:
        return name
    return f"{chain}.{int(index) // 2}.{('first', 'second')[int(index) % 2]}"


def _take(weight: Tensor, layer: Conv, phases: Tensor | nn.Module | None) -> None:
    kernel = layer.weight if phases is None else untied(layer.weight, cast(Tensor, phases))
    weight.copy_(kernel)


def _bias(layer: Conv) -> Tensor:
    """Of a doubling, the mean over its four sub-pixels."""
    return layer.bias.view(-1, layer.shuffle**2).mean(1)


def _mean_colours(pictures: Tensor) -> Tensor:
    """The colours of several pictures, averaged, (1, 9)."""
    return colours.colours_of(pictures).mean(0, keepdim=True)


def _affine(function: Callable[[Tensor, Tensor], Tensor], of: Tensor) -> tuple[Tensor, Tensor]:
    """The matrix (3, 3) and the shift (3) of a map of colours."""
    basis = torch.cat([torch.zeros(1, 3), torch.eye(3)])  # (4, 3)
    # (4, 3) -> (4, 3, 1, 1) -> (4, 3)
    mapped = function(basis[:, :, None, None], of.expand(4, -1)).reshape(4, 3)
    return (mapped[1:] - mapped[0]).T, mapped[0]


def _from_common(stem: Convolution, usual: Tensor) -> None:
    """Let a stem that knows pictures of usual colours read those of the common distribution."""
    matrix, shift = _affine(colours.coloured, usual)
    outputs, _, high, wide = stem.weight.shape
    cells = stem.weight.view(outputs, 3, 4, high, wide)  # (O, 3*2*2, k, k) -> (O, 3, 4, k, k)
    stem.bias.add_(torch.einsum("ocpij,c->o", cells, shift))
    turned = torch.einsum("ocpij,cd->odpij", cells, matrix)
    stem.weight.copy_(turned.reshape(stem.weight.shape))  # … -> (O, 12, k, k)


def _to_common(head: Head, out: Tensor) -> None:
    """Let a head whose pictures have colours `out` give those of the common distribution."""
    matrix, shift = _affine(colours.canonical, out)
    head.weight.copy_(torch.einsum("dc,cikl->dikl", matrix, head.weight))
    head.bias.copy_(matrix @ head.bias + shift)


class _Narrowing:
    """Fewer channels at 1/8 in a folded, levelled style: those that say least are taken out, and
    what they gave on average goes into biases. What sleeps in the rest is woken: it gets new random
    weights where it reads, and small ones where it is read.
    """

    def __init__(self, style: StyleNet, photos: Tensor) -> None:
        self._style, self._photos = style, photos
        blocks = range(len(style.body))
        self._firsts = [f"body.{i}.first" for i in blocks]
        self._seconds = [f"body.{i}.second" for i in blocks]
        self._streams = ["relu_down8", *(f"body.{i}" for i in blocks)]
        self._inners = [f"body.{i}.relu_first" for i in blocks]
        self._seen: dict[str, tuple[Tensor, Tensor]] = {}

    def run(self, body: int) -> None:
        """Leave `body` channels, in place."""
        self._look()
        readers = list(zip([*self._firsts, "up4"], self._streams, strict=True))
        stream = self._loudest(readers, body)
        for name, before in readers:
            self._read(name, stream, before)
        for first, second, inner in zip(self._firsts, self._seconds, self._inners, strict=True):
            kept = self._loudest([(second, inner)], body)
            self._write(first, kept)
            self._read(second, kept, inner)
            self._write(second, stream)
        self._write("down8", stream)
        self._wake()

    def _look(self) -> None:
        """Mean and variance of every channel, (C,) each, by the module that puts it out."""

        def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
            def look(_module: nn.Module, _inputs: tuple[Tensor, ...], y: Tensor) -> None:
                variance, mean = torch.var_mean(y, (0, 2, 3), correction=0)
                self._seen[name] = mean, variance

            return look

        names = [*self._streams, *self._inners]
        hooks = [self._style.get_submodule(n).register_forward_hook(hook(n)) for n in names]
        self._style(self._photos)
        for handle in hooks:
            handle.remove()

    def _conv(self, name: str) -> Conv:
        return cast(Conv, self._style.get_submodule(name))

    def _loudest(self, readers: list[tuple[str, str]], count: int) -> Tensor:
        """The channels that give most to what reads them, in order."""
        energies = [
            self._conv(name).weight.square().sum((0, 2, 3)) * self._seen[before][1]
            for name, before in readers
        ]
        return torch.stack(energies).sum(0).topk(count).indices.sort().values

    def _read(self, name: str, kept: Tensor, before: str) -> None:
        conv, gone = self._conv(name), torch.ones_like(self._seen[before][0], dtype=torch.bool)
        gone[kept] = False
        self._forget(name, gone, before)
        conv.weight = nn.Parameter(conv.weight[:, kept])

    def _forget(self, name: str, channels: Tensor, before: str) -> None:
        """Let a layer take the mean of some channels for them: it goes into its bias."""
        conv, mean = self._conv(name), self._seen[before][0]
        conv.bias.add_(conv.weight[:, channels].sum((2, 3)) @ mean[channels])

    def _write(self, name: str, kept: Tensor) -> None:
        conv = self._conv(name)
        conv.weight, conv.bias = nn.Parameter(conv.weight[kept]), nn.Parameter(conv.bias[kept])

    def _wake(self) -> None:
        self._look()
        readers = list(zip([*self._firsts, "up4"], self._streams, strict=True))
        asleep = torch.stack([self._seen[n][1] for n in self._streams]).amax(0) < _ASLEEP
        self._renew("down8", asleep, readers)
        for second in self._seconds:
            conv = self._conv(second)
            conv.weight[asleep] = 0
            conv.bias[asleep] = 0
        for first, second, inner in zip(self._firsts, self._seconds, self._inners, strict=True):
            self._renew(first, self._seen[inner][1] < _ASLEEP, [(second, inner)])

    def _renew(self, writer: str, channels: Tensor, readers: list[tuple[str, str]]) -> None:
        """New weights for some channels of a layer, and quiet ones for them in those behind it."""
        conv, new = self._conv(writer), int(channels.sum())
        if not new:
            return
        weight = torch.empty(new, *conv.weight.shape[1:])
        conv.weight[channels] = nn.init.kaiming_normal_(weight, nonlinearity="relu")
        conv.bias[channels] = 0
        for name, before in readers:
            self._forget(name, channels, before)
            reader = self._conv(name).weight
            quiet = torch.randn(len(reader), new, *reader.shape[2:])
            reader[:, channels] = _QUIET * (9 * reader.shape[1]) ** -0.5 * quiet
