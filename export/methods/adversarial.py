"""Adversarial training on two folders: photos, and paintings or cartoon frames; paired or not.

The generator is our fast family, so what comes of it is exported and runs like any other style.
Losses: a patch discriminator (least squares or non-saturating), the photo's content (CartoonGAN,
Chen 2018, section 3.2), colours (AnimeGAN, Chen 2020, section 3.2), Gram matrices of the style
folder without its colours (there, grayscale style loss), paint that moves with the picture, and on
demand a way back (cycle consistency: CycleGAN, Zhu 2017, section 3.2). Where the folders hold
pairs of the same name, content and colours are those of the partner, and an L1 distance to it joins
in (pix2pix, Isola 2017, section 3.1): so a slow filter becomes a fast network. As in CartoonGAN the
discriminator also learns that paintings with their edges smoothed are none, and the generator first
learns to give the photo back.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import losses
from .._encoders import Encoder
from .._machine import Precision, keep_memory
from ..data import Augmentation, PhotoStream, list_photos, partners_of
from ..discriminator import PatchDiscriminator, fool_loss, judge_loss
from ..errors import TrainingError
from ..features import load_features
from ..layers import features_of, parse_layers, place_layers
from ..networks import TIERS, StyleNet
from ..style_losses import STYLE_LOSSES
from .base import WARM_UP_STEPS, Trainer, check_settings, place
from .perceptual import CONTEXT, check_norms, inner, moved_again, set_norms, started

_LEAK: Final = 0.05
_PREVIEW: Final = 6
_LOSSES: Final = ("lsgan", "nonsaturating")
_LUMA: Final = (0.299, 0.587, 0.114)
_REBUILD: Final = 20.0
_JUDGE_RATE: Final = 0.5
"""Step size of the discriminator, as a share of the generator's."""


@dataclass(frozen=True)
class AdversarialConfig:
    """Everything that decides what a run learns."""

    painting: str
    """A folder of pictures in the style."""
    photos: str
    features: tuple[str, ...] = ("vgg19",)
    method: str = "adversarial"
    start: str = ""
    """The float ONNX file of a finished style to start from."""
    tier: str = "balanced"
    steps: int = 3000
    batch: int = 4
    crop: int = 160
    """Side of the crops, pixels; a multiple of 32."""
    loss: str = "lsgan"
    adversary: float = 3.0
    """Weight of being taken for a painting."""
    content_layers: str = "relu2_2:0.7 relu3_3:1"
    content: float = 4.0
    style_layers: str = "relu1_1:0.3 relu2_1:1 relu3_1:1"
    style: float = 6.0
    """Weight of the style folder's textures, regardless of colour."""
    colour: float = 6.0
    """Weight of the photo's colours."""
    paired: float = 0.0
    """Weight of painting a photo like the picture of its name in the style folder; 0: unpaired."""
    cycle: float = 0.0
    """Weight of a second network finding the photo back; 0 trains none."""
    variation: float = 0.3
    equivariance: float = 40.0
    lattice: float = 4000.0
    first_steps: float = 0.1
    """Part of the run in which the generator learns to give the photo back."""
    blend_from: float = 0.45
    freeze_at: float = 0.75
    learning_rate: float = 1e-3
    seed: int = 0
    precision: Precision = "auto"
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(flat_share=0.05))


class AdversarialTrainer(Trainer):
    """One run of it. Raises `TrainingError`, `DataError` or `FeaturesError`."""

    config: AdversarialConfig

    def __init__(self, config: AdversarialConfig, device: torch.device) -> None:
        _check(config)
        keep_memory()
        super().__init__(config, device)
        photos = list_photos(Path(config.photos))  # before weights are fetched
        paintings = list_photos(Path(config.painting))
        self._encoders: list[Encoder] = [load_features(source) for source in config.features]
        for encoder in self._encoders:
            place(encoder, device, self.dtype)
        self._style = place_layers(parse_layers(config.style_layers), self._encoders)
        self._content = place_layers(parse_layers(config.content_layers), self._encoders)
        side = config.crop + 2 * CONTEXT
        partners = partners_of(photos, Path(config.painting)) if config.paired else {}
        self._stream = PhotoStream(
            list(partners) or photos,
            config.batch,
            side,
            config.seed,
            config.augmentation,
            partners,
        )
        plain = Augmentation(brightness=(0.95, 1.05), contrast=(0.95, 1.05), flat_share=0.0)
        self._paintings = PhotoStream(paintings, config.batch, config.crop, config.seed + 1, plain)
        torch.manual_seed(config.seed)
        calibration = self._stream.batch(config.steps + 2)[:, :3]
        self.network = started(config.start, config.tier, calibration)
        self.judge = PatchDiscriminator()
        self.back = StyleNet(TIERS["fast"]) if config.cycle else None
        generators = nn.ModuleList([self.network, *([self.back] if self.back else [])])
        self._generators = generators
        place(generators, device)
        place(self.judge, device)
        self._optimiser = torch.optim.Adam(
            generators.parameters(), config.learning_rate, betas=(0.5, 0.99)
        )
        self._judging = torch.optim.Adam(
            self.judge.parameters(), config.learning_rate, betas=(0.5, 0.99)
        )

    def parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        """Generator, way back, discriminator and their optimisers."""
        found: dict[str, nn.Module | torch.optim.Optimizer] = {
            "network": self.network,
            "optimiser": self._optimiser,
            "judge": self.judge,
            "judging": self._judging,
        }
        return found | ({"back": self.back} if self.back else {})

    @property
    def broken_photos(self) -> list[str]:
        """Photos and paintings that could not be read so far."""
        return [*self._stream.broken, *self._paintings.broken]

    def learning_rate(self) -> float:
        """As for every run, with a second warm-up where the discriminator comes in.

        What Adam knows of the slopes by then is too small by far: its first steps would be leaps.
        """
        since = self.step - self.config.first_steps * self.config.steps
        rise = min(1.0, (since + 1) / WARM_UP_STEPS) if since >= 0 else 1.0
        return rise * super().learning_rate()

    def run(self, until: int) -> Generator[dict[str, float], None, None]:
        """Train up to step `until`."""
        paintings = self._paintings.batches(self.step, until)
        for photos, real in zip(self._stream.batches(self.step, until), paintings, strict=True):
            set_norms(self.network, self.config, self.step)
            pairs = photos[:, :3], photos[:, -3:]  # (B, 3 or 6, S, S) -> (B, 3, S, S) twice
            yield self._train_on(*(self._to_device(pictures) for pictures in (*pairs, real)))

    def _to_device(self, pictures: Tensor) -> Tensor:
        return pictures.to(self.device).contiguous(memory_format=torch.channels_last)

    def _train_on(self, photos: Tensor, partners: Tensor, real: Tensor) -> dict[str, float]:
        """One step. Unpaired, the partners are the photos themselves."""
        config = self.config
        painted = self._paint(self.network, photos)
        seen, goal, raw = inner(photos), inner(partners), inner(painted)
        shown = raw.clamp(0, 1) + _LEAK * (raw - raw.clamp(0, 1))
        with torch.no_grad():
            wanted = features_of(self._encoders, goal, self._content)
        found = features_of(self._encoders, shown, self._content)
        terms: dict[str, Any] = {
            "content": config.content
            * sum(
                w * losses.relative_distance(found[k], wanted[k]) for k, w in self._content.items()
            )
        }
        warming = self.step < config.first_steps * config.steps
        if warming:
            terms["rebuild"] = _REBUILD * (raw - goal).abs().mean()
        else:
            terms |= self._style_terms(goal, shown, raw, real)
        if self.back is not None:
            returned = inner(self._paint(self.back, painted))
            terms["cycle"] = config.cycle * (returned - seen).abs().mean()
        if config.equivariance:
            random = np.random.default_rng((config.seed, self.step, 1))
            terms["equivariance"] = config.equivariance * moved_again(
                lambda x: self._paint(self.network, x), photos, painted, random
            )
        self.descend(self._optimiser, self._generators, terms)
        judged = self._judge_step(real, shown.detach()) if not warming else {}
        self.step += 1
        return {name: float(value.detach()) for name, value in (terms | judged).items()}

    def _style_terms(
        self, goal: Tensor, shown: Tensor, raw: Tensor, real: Tensor
    ) -> dict[str, Tensor]:
        config = self.config
        gram = STYLE_LOSSES["gram"]
        ours = features_of(self._encoders, _grey(shown), self._style)
        with torch.no_grad():
            theirs = features_of(self._encoders, _grey(real), self._style)
        style = [
            w * gram.blended(ours[k], gram.statistic(theirs[k]).mean(0, keepdim=True), 0.5)
            for k, w in self._style.items()
        ]
        soft, wanted = (F.avg_pool2d(x, 8) for x in (shown, goal))
        paired = {"paired": config.paired * (raw - goal).abs().mean()} if config.paired else {}
        return paired | {
            "adversary": config.adversary * fool_loss(config.loss, self.judge(shown)),
            "style": config.style * torch.stack(style).sum(),
            "colour": config.colour * (soft - wanted).abs().mean(),
            "variation": config.variation * losses.total_variation(shown),
            "lattice": config.lattice * losses.lattice_energy(raw),
            "range": 10 * losses.out_of_range(raw),
        }

    def _judge_step(self, real: Tensor, painted: Tensor) -> dict[str, Tensor]:
        """One step of the discriminator. Its scores tell how far it separates the two."""
        smooth = F.interpolate(F.avg_pool2d(real, 4), size=real.shape[2:], mode="bilinear")
        scores = self.judge(real)
        fakes = [self.judge(painted.clamp(0, 1)), self.judge(smooth)]
        loss = judge_loss(self.config.loss, scores, fakes)
        self.descend(self._judging, self.judge, {"judge": loss}, share=_JUDGE_RATE)
        return {"judge": loss, "separation": scores.mean() - fakes[0].mean()}

    def _paint(self, network: nn.Module, photos: Tensor) -> Tensor:
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            painted: Tensor = network(photos)
        return painted.float()

    def sheet(self) -> list[Tensor]:
        """Pictures of the style folder, photos, and how they are painted by now."""
        photos = self._to_device(self._stream.batch(self.config.steps)[:_PREVIEW, :3])
        real = self._paintings.batch(self.config.steps)[:_PREVIEW]
        painted = inner(self._paint(self.network, photos))
        return [real.to(self.device), inner(photos), painted]


def _grey(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) with its luminance in all three channels."""
    weights = pictures.new_tensor(_LUMA)[:, None, None]
    return (pictures * weights).sum(1, keepdim=True).expand_as(pictures)


def _check(config: AdversarialConfig) -> None:
    if config.tier not in TIERS:
        raise TrainingError(f"there is no tier {config.tier!r}: give one of {', '.join(TIERS)}")
    if config.loss not in _LOSSES:
        raise TrainingError(
            f"there is no adversarial loss {config.loss!r}: give {' or '.join(_LOSSES)}"
        )
    check_settings(config)
    check_norms(config.blend_from, config.freeze_at)
