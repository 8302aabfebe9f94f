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

from .errors import ConversionError
from .fusion import Convolution, Doubling, FusionNet
from .growth import untied
from .networks import Head, Shape
from .onnx import float_constants, in_torch_order, shape_of

_SECOND: Final = re.compile(r"(body|quarter)\.\d*[13579]")
"""The layer that ends a residual branch."""


@torch.no_grad()
def fusion_from_onnx(model: onnx.ModelProto) -> FusionNet:
    """The network of a float painter of ours, from its weights in the file.

    Raises `ConversionError` for any other model.
    """
    constants = float_constants(model)
    if "affines.weight" not in constants:
        raise ConversionError("the model is not a float style of any painting: export one")
    network = FusionNet(shape_of(constants, r"\d*[02468]"))
    for name, module in network.named_modules():
        if isinstance(module, Convolution):
            module.weight.copy_(_stored(constants, f"{name}.weight"))
            module.bias.copy_(_stored(constants, f"{name}.bias"))
        elif isinstance(module, Doubling | Head):
            kernel = _stored(constants, f"{name}.weight", shuffle=2)
            module.weight.copy_(untied(kernel, cast(Tensor, module.polyphase)))
        if isinstance(module, Head):
            module.bias.copy_(_stored(constants, f"{name}.bias", shuffle=2).view(3, 4).mean(1))
    network.affines.linear.weight.copy_(_stored(constants, "affines.weight"))
    network.affines.linear.bias.copy_(_stored(constants, "affines.bias"))
    return network


def _stored(constants: Mapping[str, NDArray[Any]], name: str, shuffle: int = 1) -> Tensor:
    values = in_torch_order(name.rpartition(".")[0], shuffle, constants[name].astype(np.float32))
    # the file's frames are 0..255, the network's pictures 0..1
    return torch.from_numpy(values * np.float32(255 if name == "stem.weight" else 1))


@torch.no_grad()
def grown_fusion(known: FusionNet, shape: Shape) -> FusionNet:
    """A network with more channels or blocks that paints the same (Net2Net, Chen 2016).

    What is new has random weights where it reads and zeros where it is read, so that training can
    take it up. Raises `ValueError` where the new shape is smaller in anything.
    """
    if any(a > b for a, b in zip(astuple(known.shape), astuple(shape), strict=True)):
        raise ValueError(f"{known.shape} does not fit into {shape}")
    network = FusionNet(shape)
    present = dict(known.named_modules())
    for name, module in network.named_modules():
        if not isinstance(module, Convolution | Doubling | Head):
            continue
        if name not in present:
            if _SECOND.fullmatch(name):
                module.weight.zero_()
            continue
        weight = cast(Tensor, present[name].weight)
        outputs, inputs = weight.shape[:2]
        module.weight[:outputs].zero_()
        module.weight[:outputs, :inputs] = weight
        if isinstance(module, Convolution | Head):
            module.bias[:outputs] = cast(Tensor, present[name].bias)
    rows, columns = _rows(known, network), _columns(known.shape, shape)
    linear, source = network.affines.linear, known.affines.linear
    linear.weight.zero_()
    linear.weight[rows[:, None], columns] = source.weight
    linear.bias[rows] = source.bias
    return network


def _rows(known: FusionNet, network: FusionNet) -> Tensor:
    """Where the known scales and shifts lie among the new."""
    found: list[int] = []
    at, old, new = 0, known.affines.sizes, network.affines.sizes
    for _ in ("scales", "shifts"):
        for name, channels in new.items():
            found += range(at, at + old.get(name, 0))
            at += channels
    return torch.tensor(found)


def _columns(old: Shape, new: Shape) -> Tensor:
    """Where the known means and deviations lie in the new code."""
    found: list[int] = []
    at = 0
    for level in ("half", "quarter", "body"):
        for _ in ("means", "deviations"):
            found += range(at, at + getattr(old, level))
            at += getattr(new, level)
    return torch.tensor(found)
