"""Perceptual training of a style network from one painting and a folder of photos.

Johnson 2016, with norms of the single picture (Ulyanov 2016) that become constants during the run.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from torch import Tensor, nn

from .. import losses
from .._encoders import Encoder
from .._machine import Precision, keep_memory
from ..card import style_files
from ..data import (
    MAX_SHIFT,
    Augmentation,
    Motion,
    PhotoStream,
    draw_motion,
    list_photos,
    read_painting,
    scaled,
    to_tensor,
)
from ..errors import ConversionError, TrainingError
from ..features import load_features
from ..growth import grown, unfolded
from ..layers import features_of, parse_layers, place_layers
from ..networks import STRIDE, TIERS, StyleNet, crop_painting, pad_picture
from ..onnx import network_from_onnx
from ..quantize import level
from ..style_losses import style_losses_of
from .base import Trainer, check_settings, place

CONTEXT: Final = 64
"""Pixels of real picture around the crop that losses see, which keep borders out of reach."""
_LEAK: Final = 0.05
_PREVIEW_PHOTOS: Final = 6
_MAX_NOISE: Final = 0.02


@dataclass(frozen=True)
class PerceptualConfig:
    """Everything that decides what a run learns. Frozen into its checkpoint and its card."""

    painting: str
    photos: str
    features: tuple[str, ...] = ("vgg19",)
    """Weights of the loss networks: files, or names of published ones; layers are looked up in
    order.
    """
    method: str = "perceptual"
    start: str = ""
    """The finished style to start from, instead of random weights: its name, folder or float ONNX
    file.
    """
    tier: str = "balanced"
    steps: int = 2600
    batch: int = 6
    crop: int = 192
    """Side of the crops the losses see, pixels; a multiple of 32."""
    painting_side: int = 640
    """Short side the painting is scaled to, pixels: larger means larger strokes."""
    style_loss: str = "gram"
    """What is compared at the style layers: one of `style_losses.STYLE_LOSSES`, or several joined
    by +.
    """
    style_layers: str = "relu1_1:0.3 relu2_1:1 relu3_1:1"
    content_layers: str = "relu2_2:0.7 relu3_3:1"
    content: float = 3.0
    style: float = 40.0
    style_shared: float = 0.5
    """Part of the style loss taken over the batch as a whole, 0 to 1."""
    palette: float = 8.0
    """Weight of the painting's colours."""
    light: float = 2.0
    """Weight of keeping light and shade where they are."""
    variation: float = 0.1
    """Weight of total variation."""
    equivariance: float = 60.0
    """Weight of the paint moving with the picture."""
    lattice: float = 4000.0
    """Weight of the energy that repeats every 8 pixels."""
    blend_from: float = 0.35
    """Part of the run after which norms begin to forget the single picture."""
    freeze_at: float = 0.65
    """Part of the run after which norms are constants."""
    learning_rate: float = 1.5e-3
    seed: int = 0
    precision: Precision = "auto"
    augmentation: Augmentation = field(default_factory=Augmentation)


def check(config: PerceptualConfig) -> None:
    """Raise `TrainingError` for settings that can't work."""
    if config.tier not in TIERS:
        raise TrainingError(f"there is no tier {config.tier!r}: give one of {', '.join(TIERS)}")
    check_settings(config)
    if config.painting_side < config.crop:
        raise TrainingError(
            f"a painting of {config.painting_side} pixels is smaller than the crop of "
            f"{config.crop}: give a larger --painting-side or a smaller --crop"
        )
    check_norms(config.blend_from, config.freeze_at)
    style_losses_of(config.style_loss)
    parse_layers(config.style_layers)
    parse_layers(config.content_layers)


def check_norms(blend_from: float, freeze_at: float) -> None:
    """Raise `TrainingError` for parts of the run at which norms can't change."""
    if not 0 <= blend_from < freeze_at < 1:
        raise TrainingError(
            f"norms can't be blended from {blend_from} to {freeze_at} of the run: "
            "give rising parts from 0 to 1"
        )


class Objective:
    """The losses of a painted batch against its photos and the painting."""

    def __init__(self, config: PerceptualConfig, encoders: list[Encoder], painting: Tensor) -> None:
        self.config, self._encoders = config, encoders
        self._style = place_layers(parse_layers(config.style_layers), encoders)
        self._content = place_layers(parse_layers(config.content_layers), encoders)
        self._losses = style_losses_of(config.style_loss)
        self._palette = losses.Palette(painting)
        with torch.no_grad():
            self._targets = {
                key: [loss.statistic(value) for loss in self._losses]
                for key, value in features_of(encoders, painting, self._style).items()
            }

    def __call__(self, photos: Tensor, painted: Tensor) -> dict[str, Tensor]:
        """Weighted losses by name for (B, 3, S, S) photos and what was painted of them,
        unclipped.
        """
        config = self.config
        with torch.no_grad():
            goal = features_of(self._encoders, photos, self._content)
        # a trickle of gradient through the clipping, so that no pixel is ever stuck outside
        shown = painted.clamp(0, 1) + _LEAK * (painted - painted.clamp(0, 1))
        found = features_of(self._encoders, shown, self._content, self._style)
        content = sum(
            w * losses.relative_distance(found[k], goal[k]) for k, w in self._content.items()
        )
        style = sum(
            w * loss.blended(found[k], target, config.style_shared)
            for k, w in self._style.items()
            for loss, target in zip(self._losses, self._targets[k], strict=True)
        )
        terms = {
            "content": config.content * content,
            "style": config.style * style,
            "palette": config.palette * self._palette(shown),
            "light": config.light * losses.light_distance(shown, photos),
            "variation": config.variation * losses.total_variation(painted),
            "lattice": config.lattice * losses.lattice_energy(painted),
            "range": 10 * losses.out_of_range(painted),
        }
        return {
            name: torch.as_tensor(value)
            for name, value in terms.items()
            if isinstance(value, Tensor)
        }


class PerceptualTrainer(Trainer):
    """One run: the network, its optimiser, and how far they have come."""

    config: PerceptualConfig

    def __init__(self, config: PerceptualConfig, device: torch.device) -> None:
        check(config)
        keep_memory()
        super().__init__(config, device)
        photo_paths = list_photos(Path(config.photos))  # before weights are fetched
        picture = read_painting(Path(config.painting), config.crop)
        painting = to_tensor(scaled(picture, config.painting_side))[None].to(device)
        encoders = [load_features(source) for source in config.features]
        for encoder in encoders:
            place(encoder, device, self.dtype)
        self._objective = Objective(config, encoders, painting)
        self._stream = PhotoStream(
            photo_paths,
            config.batch,
            config.crop + 2 * CONTEXT,
            config.seed,
            config.augmentation,
        )
        torch.manual_seed(config.seed)
        photos = self._stream.batch(config.steps + 2)
        self.network = started(config.start, config.tier, photos)
        place(self.network, device)
        self._optimiser = torch.optim.Adam(self.network.parameters(), config.learning_rate)

    def parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        """The network and its optimiser."""
        return {"network": self.network, "optimiser": self._optimiser}

    @property
    def broken_photos(self) -> list[str]:
        """Photos that could not be read so far."""
        return list(self._stream.broken)

    def run(self, until: int) -> Generator[dict[str, float], None, None]:
        """Train up to step `until`, yielding the losses of each step. Raises `TrainingError` on
        NaN.
        """
        for batch in self._stream.batches(self.step, until):
            set_norms(self.network, self.config, self.step)
            yield self._train_on(
                batch.to(self.device).contiguous(memory_format=torch.channels_last)
            )

    def _train_on(self, photos: Tensor) -> dict[str, float]:
        config = self.config
        painted = self._paint(photos)
        terms = self._objective(inner(photos), inner(painted))
        if config.equivariance:
            terms["equivariance"] = config.equivariance * moved_again(
                self._paint, photos, painted, np.random.default_rng((config.seed, self.step, 1))
            )
        self.descend(self._optimiser, self.network, terms)
        self.step += 1
        return {name: float(value.detach()) for name, value in terms.items()}

    def _paint(self, photos: Tensor) -> Tensor:
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            painted: Tensor = self.network(photos)
        return painted.float()

    def sheet(self) -> list[Tensor]:
        """A few photos, above, and how they are painted by now, below."""
        photos = self._stream.batch(self.config.steps)
        more = self._stream.batch(self.config.steps + 1)
        photos = torch.cat([photos, more])[:_PREVIEW_PHOTOS].to(self.device)
        painted = self._paint(photos.contiguous(memory_format=torch.channels_last)).clamp(0, 1)
        return [inner(photos), inner(painted)]


def inner(pictures: Tensor) -> Tensor:
    """The crop without its context."""
    return pictures[..., CONTEXT:-CONTEXT, CONTEXT:-CONTEXT]


def started(start: str, tier: str, photos: Tensor) -> StyleNet:
    """A new network, or that of the finished style to start from. Raises `TrainingError`.

    The photos, (B, 3, H, W), give the statistics that a finished network no longer has.
    """
    shape = TIERS[tier]
    if not start:
        return StyleNet(shape)
    try:
        finished = network_from_onnx(onnx.load(style_files(start)["fp32"]))
    except (OSError, DecodeError, ConversionError) as error:
        raise TrainingError(f"can't start from {start}: {error}") from error
    try:
        finished = grown(finished, shape)
    except ValueError as error:
        raise TrainingError(
            f"{start} has more layers than the tier {tier}: start from a style of the same tier or "
            "a smaller one"
        ) from error
    level(finished, [photos])
    return unfolded(finished, photos)


def set_norms(network: StyleNet, config: Any, step: int) -> None:
    """Blend norms over from the picture's statistics to constants, as far as the run has come."""
    done = step / config.steps
    if done >= config.freeze_at and not network.frozen:
        for norm in network.norms():
            norm.freeze()
    part = (done - config.blend_from) / (config.freeze_at - config.blend_from)
    for norm in network.norms():
        norm.blend = min(1.0, max(0.0, part))


def moved_again(
    paint: Callable[[Tensor], Tensor], photos: Tensor, painted: Tensor, random: np.random.Generator
) -> Tensor:
    """The moved crop, painted by itself, against the moved paint of the crop in its context.

    By itself it gets the border that pictures get when they are painted for good, so that this
    teaches both at once: to follow motion, and to make nothing of borders.
    """
    motion = draw_motion(random, photos.shape[-1], CONTEXT - MAX_SHIFT - STRIDE)
    motion = Motion(motion.grid.to(photos.device), motion.valid.to(photos.device))
    moved = inner(motion.apply(photos))
    noise = random.normal(0, random.uniform(0, _MAX_NOISE), moved.shape).astype(np.float32)
    alone = pad_picture(moved + torch.from_numpy(noise).to(photos.device))
    again = paint(alone.contiguous(memory_format=torch.channels_last))
    return losses.equivariance(
        inner(motion.apply(painted)),
        crop_painting(again, *moved.shape[2:]),
        inner(motion.valid),
    )
