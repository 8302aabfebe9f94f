"""The architectures of the frozen feature extractors, as plain chains of named stages."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Stage = tuple[str, Callable[[Tensor], Tensor]]

VGG16_BLOCKS: Final = (2, 2, 3, 3, 3)
VGG19_BLOCKS: Final = (2, 2, 4, 4, 4)
CAFFE_MEAN: Final = (123.68, 116.779, 103.939)
BVLC_MEAN: Final = (123.0, 117.0, 104.0)
TORCHVISION_MEAN: Final = (0.485, 0.456, 0.406)
TORCHVISION_STD: Final = (0.229, 0.224, 0.225)


class Encoder(nn.Module, ABC):
    """A frozen extractor: RGB in 0..1, (B, 3, H, W), to the activations of its named layers.

    Weights are buffers, so that no optimiser ever sees them. `layers` lists the names in order.
    """

    untrained: bool = False
    """Whether its weights are random: what uses it says so."""

    def __init__(self, weights: Mapping[str, Tensor], name: str) -> None:
        super().__init__()
        self.name = name
        for key, value in weights.items():
            self.register_buffer(_flat(key), value.float(), persistent=False)
        self._stages = self.stages()
        self.layers = tuple(label for label, _ in self._stages if label)

    @abstractmethod
    def stages(self) -> list[Stage]:
        """The chain, in order: a layer's name and what computes it; an empty name for steps
        between.
        """

    @abstractmethod
    def normalise(self, x: Tensor) -> Tensor:
        """From RGB in 0..1 to what the weights were trained on. (B, 3, H, W) -> (B, 3, H, W)"""

    def forward(self, x: Tensor, wanted: set[str]) -> dict[str, Tensor]:
        """Activations of the wanted layers, (B, C, h, w) each; nothing deeper is computed.

        KeyError for a layer the extractor does not have.
        """
        if missing := wanted - set(self.layers):
            raise KeyError(
                f"{self.name} has no layer {min(missing)}: it has {', '.join(self.layers)}"
            )
        found: dict[str, Tensor] = {}
        x = self.normalise(x).to(next(self.buffers()).dtype)
        for label, stage in self._stages:
            if len(found) == len(wanted):
                break
            x = stage(x)
            if label in wanted:
                found[label] = x
        return found

    def conv(
        self, key: str, *, stride: int = 1, padding: int = 0, reflect: bool = False
    ) -> Callable[[Tensor], Tensor]:
        """A convolution with the weights under `key`, then ReLU in place."""

        def run(x: Tensor) -> Tensor:
            weight, bias = (
                self.get_buffer(_flat(f"{key}.weight")),
                self.get_buffer(_flat(f"{key}.bias")),
            )
            if reflect:
                x = F.pad(x, (padding,) * 4, mode="reflect")
            # in place: the convolution's own output is needed by nobody, its weights being frozen
            return F.relu_(F.conv2d(x, weight, bias, stride, 0 if reflect else padding))

        return run


def _flat(key: str) -> str:
    return key.replace(".", "__").replace("/", "_")


def _pool2(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2)


def _pool3_ceil(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 2, ceil_mode=True)


def _affine(
    x: Tensor, mean: tuple[float, ...], scale: float, std: tuple[float, ...] = (1, 1, 1)
) -> Tensor:
    """(x * scale - mean) / std a channel. (B, 3, H, W) -> (B, 3, H, W)"""
    m, s = x.new_tensor(mean)[:, None, None], x.new_tensor(std)[:, None, None]
    return (x * scale - m) / s


class Vgg(Encoder):
    """VGG-16 or VGG-19 (Simonyan 2015), layers ``relu1_1`` … as far as the weights go.

    Keys are ``conv1_1.weight`` …; `torchvision` tells whose input convention the weights follow.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        name: str,
        blocks: tuple[int, ...],
        *,
        torchvision: bool,
    ) -> None:
        self._blocks, self._torchvision = blocks, torchvision
        self._keys = set(weights)
        super().__init__(weights, name)

    def normalise(self, x: Tensor) -> Tensor:
        """Caffe: 0..255 minus the mean; torchvision: 0..1, standardised."""
        if self._torchvision:
            return _affine(x, TORCHVISION_MEAN, 1.0, TORCHVISION_STD)
        return _affine(x, CAFFE_MEAN, 255.0)

    def stages(self) -> list[Stage]:
        """Blocks of 3x3 convolutions with zero padding and a 2x2 maximum between blocks."""
        stages: list[Stage] = []
        for block, count in enumerate(self._blocks, 1):
            for index in range(1, count + 1):
                if f"conv{block}_{index}.weight" not in self._keys:
                    return stages
                stages.append(
                    (f"relu{block}_{index}", self.conv(f"conv{block}_{index}", padding=1))
                )
            stages.append(("", _pool2))
        return stages


class DistilledVgg19(Encoder):
    """VGG-19 distilled to a quarter of its width (Collaborative Distillation, Wang 2020)."""

    def __init__(self, weights: Mapping[str, Tensor], name: str) -> None:
        self._keys = set(weights)
        super().__init__(weights, name)

    def normalise(self, x: Tensor) -> Tensor:
        """The first 1x1 convolution does it: RGB in 0..1 to what Caffe's VGG takes."""
        weight, bias = self.get_buffer("conv0__weight"), self.get_buffer("conv0__bias")
        return F.conv2d(x.to(weight.dtype), weight, bias)

    def stages(self) -> list[Stage]:
        """As VGG-19, with reflection padding."""
        stages: list[Stage] = []
        for block, count in enumerate(VGG19_BLOCKS, 1):
            for index in range(1, count + 1):
                key = f"conv{block}_{index}"
                if f"{key}.weight" not in self._keys:
                    return stages
                stages.append((f"relu{block}_{index}", self.conv(key, padding=1, reflect=True)))
            stages.append(("", _pool2))
        return stages


class SqueezeNet(Encoder):
    """SqueezeNet 1.1 (Iandola 2016), layers ``conv1`` and ``fire2`` … ``fire9``."""

    def normalise(self, x: Tensor) -> Tensor:
        """0..255 minus the mean."""
        return _affine(x, BVLC_MEAN, 255.0)

    def stages(self) -> list[Stage]:
        """Squeeze to few channels, expand by 1x1 and 3x3 side by side."""
        stages: list[Stage] = [("conv1", self.conv("conv1", stride=2)), ("", _pool3_ceil)]
        for number in range(2, 10):
            stages.append((f"fire{number}", self._fire(f"fire{number}")))
            if number in (3, 5):
                stages.append(("", _pool3_ceil))
        return stages

    def _fire(self, key: str) -> Callable[[Tensor], Tensor]:
        squeeze = self.conv(f"{key}.squeeze1x1")
        one, three = self.conv(f"{key}.expand1x1"), self.conv(f"{key}.expand3x3", padding=1)

        def run(x: Tensor) -> Tensor:
            x = squeeze(x)
            return torch.cat([one(x), three(x)], 1)  # (B, S, H, W) -> (B, 2E, H, W)

        return run


class GoogLeNet(Encoder):
    """GoogLeNet, Inception v1 (Szegedy 2015), layers ``conv1``, ``conv2`` and ``inception_3a`` …
    ``5b``.
    """

    def normalise(self, x: Tensor) -> Tensor:
        """0..255 minus the mean."""
        return _affine(x, BVLC_MEAN, 255.0)

    def stages(self) -> list[Stage]:
        """Stem with local response norms, then nine inception modules."""
        stages: list[Stage] = [
            ("conv1", self.conv("conv1.7x7_s2", stride=2, padding=3)),
            ("", _pool3_ceil),
            ("", _response_norm),
            ("", self.conv("conv2.3x3_reduce")),
            ("conv2", self.conv("conv2.3x3", padding=1)),
            ("", _response_norm),
            ("", _pool3_ceil),
        ]
        for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
            stages.append((f"inception_{module}", self._inception(f"inception_{module}")))
            if module in ("3b", "4e"):
                stages.append(("", _pool3_ceil))
        return stages

    def _inception(self, key: str) -> Callable[[Tensor], Tensor]:
        one = self.conv(f"{key}.1x1")
        three = (self.conv(f"{key}.3x3_reduce"), self.conv(f"{key}.3x3", padding=1))
        five = (self.conv(f"{key}.5x5_reduce"), self.conv(f"{key}.5x5", padding=2))
        pooled = self.conv(f"{key}.pool_proj")

        def run(x: Tensor) -> Tensor:
            branches = [one(x), three[1](three[0](x)), five[1](five[0](x))]
            branches.append(pooled(F.max_pool2d(x, 3, 1, 1)))
            return torch.cat(branches, 1)  # four branches side by side in C

        return run


def _response_norm(x: Tensor) -> Tensor:
    return F.local_response_norm(x, 5, 1e-4, 0.75)


class ResNet(Encoder):
    """ResNet (He 2016) in torchvision's format, 18 or 50 layers and their like.

    Layers ``conv1`` and ``layer1_1`` …, the activations after each residual block. Its weights are
    those of `folded_norms`. Shortcuts make its Gram matrices peaky (Wang 2021): styles need lower
    weights, or the ``correlation`` loss, which is made for that.
    """

    def __init__(self, weights: Mapping[str, Tensor], name: str) -> None:
        self._keys = set(weights)
        super().__init__(weights, name)

    def normalise(self, x: Tensor) -> Tensor:
        """Torchvision's: standardised."""
        return _affine(x, TORCHVISION_MEAN, 1.0, TORCHVISION_STD)

    def stages(self) -> list[Stage]:
        """Stem, then blocks of two convolutions, or of three where there is a ``conv3``."""
        stages: list[Stage] = [("conv1", self.conv("conv1", stride=2, padding=3)), ("", _pool3)]
        for group in range(1, 5):
            index = 0
            while f"layer{group}.{index}.conv1.weight" in self._keys:
                stride = 2 if group > 1 and index == 0 else 1
                block = self._block(f"layer{group}.{index}", stride)
                stages.append((f"layer{group}_{index + 1}", block))
                index += 1
        return stages

    def _block(self, key: str, stride: int) -> Callable[[Tensor], Tensor]:
        if f"{key}.conv3.weight" in self._keys:
            first = self.conv(f"{key}.conv1")
            second = self.conv(f"{key}.conv2", stride=stride, padding=1)
            last = self._linear(f"{key}.conv3")
        else:
            first, second = self.conv(f"{key}.conv1", stride=stride, padding=1), nn.Identity()
            last = self._linear(f"{key}.conv2", padding=1)
        down = f"{key}.downsample.0"
        shortcut = self._linear(down, stride) if f"{down}.weight" in self._keys else nn.Identity()

        def run(x: Tensor) -> Tensor:
            return F.relu_(last(second(first(x))) + shortcut(x))

        return run

    def _linear(self, key: str, stride: int = 1, padding: int = 0) -> Callable[[Tensor], Tensor]:
        """A convolution without ReLU."""

        def run(x: Tensor) -> Tensor:
            weight = self.get_buffer(_flat(f"{key}.weight"))
            return F.conv2d(x, weight, self.get_buffer(_flat(f"{key}.bias")), stride, padding)

        return run


def _pool3(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 2, 1)


def folded_norms(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A ResNet's convolutions with their batch norms folded in: ``….weight`` and ``….bias``.

    KeyError when a norm is missing.
    """
    folded: dict[str, Tensor] = {}
    for key, weight in weights.items():
        if not key.endswith(".weight") or weight.dim() != 4:
            continue
        stem, _, last = key.removesuffix(".weight").rpartition(".")
        norm = "1" if last == "0" else last.replace("conv", "bn")
        name = f"{stem}.{norm}" if stem else norm
        mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        scale = weights[f"{name}.weight"] / (variance + 1e-5).sqrt()
        folded[key] = weight * scale[:, None, None, None]
        folded[key.removesuffix("weight") + "bias"] = weights[f"{name}.bias"] - mean * scale
    return folded
