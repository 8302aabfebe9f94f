"""The finished network of any painting as the start of another: read back, and grown."""

import re
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any, Final, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import colours
from .errors import ConversionError
from .fusion import Convolution, FusionNet, Modulated
from .growth import untied
from .networks import Head, Shape
from .onnx import float_constants, in_torch_order, shape_of

_SECOND: Final = re.compile(r"(body|quarter)\.\d*[13579]")
"""The layer that ends a residual branch."""
_GAINS: Final = 1
"""Which part of what a layer is told its gains are."""


def is_fusion(model: onnx.ModelProto) -> bool:
    """Whether it is a float painter of ours for any painting."""
    return "teller.out.weight" in float_constants(model)


@torch.no_grad()
def fusion_from_onnx(model: onnx.ModelProto) -> FusionNet:
    """The network of a float painter of ours, from its weights in the file.

    Raises `ConversionError` for any other model.
    """
    if not is_fusion(model):
        raise ConversionError("the model is not a float style of any painting: export one")
    constants = float_constants(model)
    network = FusionNet(shape_of(constants, r"\d*[02468]"))
    for name, module in network.named_modules():
        if isinstance(module, Convolution):
            module.weight.copy_(_stored(constants, f"{name}.weight"))
            module.bias.copy_(_stored(constants, f"{name}.bias"))
        elif isinstance(module, Head) or (isinstance(module, Modulated) and module.doubling):
            kernel = _stored(constants, f"{name}.weight", shuffle=2)
            module.weight.copy_(untied(kernel, cast(Tensor, module.polyphase)))
        elif isinstance(module, Modulated):
            module.weight.copy_(_stored(constants, f"{name}.weight"))
        if isinstance(module, Head):
            module.bias.copy_(_stored(constants, f"{name}.bias", shuffle=2).view(3, 4).mean(1))
    teller = network.teller
    for layer, kept in (("hidden", teller.hidden), ("out", teller.out)):
        kept.weight.copy_(_stored(constants, f"teller.{layer}.weight"))
        kept.bias.copy_(_stored(constants, f"teller.{layer}.bias"))
    teller.mean.copy_(_stored(constants, "teller.mean")[0])
    teller.deviation.copy_(_stored(constants, "teller.deviation")[0])
    return network


def _stored(constants: Mapping[str, NDArray[Any]], name: str, shuffle: int = 1) -> Tensor:
    values = constants[name].astype(np.float32)
    if f"{name}.scale" in constants:
        values = values * constants[f"{name}.scale"]
    values = in_torch_order(name.rpartition(".")[0], shuffle, values)
    return torch.from_numpy(values)


@torch.no_grad()
def grown_fusion(known: FusionNet, shape: Shape) -> FusionNet:
    """A network with more channels or blocks that paints the same (Net2Net, Chen 2016).

    What is new has random weights where it reads, zeros where it is read, and gains of zero where
    it ends a branch, so that training can take it up. Raises `ValueError` where the new shape is
    smaller in anything.
    """
    if any(a > b for a, b in zip(astuple(known.shape), astuple(shape), strict=True)):
        raise ValueError(f"{known.shape} does not fit into {shape}")
    network = FusionNet(shape)
    present = dict(known.named_modules())
    for name, module in network.named_modules():
        if isinstance(module, Convolution | Modulated | Head) and name in present:
            weight = cast(Tensor, present[name].weight)
            outputs, inputs = weight.shape[:2]
            module.weight[:outputs].zero_()
            module.weight[:outputs, :inputs] = weight
            if isinstance(module, Convolution | Head):
                module.bias[:outputs] = cast(Tensor, present[name].bias)
    _tell(known, network)
    return network


def _tell(known: FusionNet, network: FusionNet) -> None:
    """Let the new layers be told what the known ones are."""
    old, new = known.teller, network.teller
    columns = _columns(known.shape, network.shape)
    new.hidden.weight.zero_()
    new.hidden.weight[:, columns] = old.hidden.weight
    new.hidden.bias.copy_(old.hidden.bias)
    for ours, theirs in ((new.mean, old.mean), (new.deviation, old.deviation)):
        ours[columns] = theirs
    new.out.weight.zero_()
    at, source = 0, 0
    for name, sizes in new.sizes.items():
        for part, count in enumerate(sizes):
            had = old.sizes.get(name, (0, 0, 0))[part]
            new.out.weight[at : at + had] = old.out.weight[source : source + had]
            new.out.bias[at : at + had] = old.out.bias[source : source + had]
            if not had and part == _GAINS and _SECOND.fullmatch(name):
                new.out.bias[at : at + count] = 0
            at, source = at + count, source + had


def _columns(old: Shape, new: Shape) -> Tensor:
    """Where the known colours, means and deviations lie in the new code."""
    found = list(range(colours.SIZE))
    at = colours.SIZE
    for level in ("half", "quarter", "body"):
        for _ in ("means", "deviations"):
            found += range(at, at + getattr(old, level))
            at += getattr(new, level)
    return torch.tensor(found)
