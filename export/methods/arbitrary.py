"""Training of the network for any painting at once (Huang 2017; Ghiasi 2017).

Every step paints a batch of photos by as many styles: crops of the paintings, and of other photos,
which teach what few paintings can't. What is kept of a photo is judged by the photo in the style's
colours. A share of the batch gets its own picture as the style, and must come back as it was: what
alpha = 0 means.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from torch import Tensor, nn
from torch.nn import functional as F

from .. import losses
from .._encoders import Encoder
from .._machine import Precision, keep_memory
from ..card import style_files
from ..colours import canonical, coloured, colours_of
from ..data import MAX_SHIFT, Augmentation, Motion, PhotoStream, draw_motion, list_photos
from ..errors import ConversionError, TrainingError
from ..features import load_features
from ..fusion import LIVE, FusionNet
from ..fusion_growth import fusion_from_onnx, grown_fusion, is_fusion
from ..fusion_start import fusion_from_style
from ..layers import Layers, features_of, parse_layers, place_layers
from ..onnx import network_from_onnx
from ..style_losses import moments_of, style_losses_of
from ._paintings import Statistics, StylePool, read_paintings
from .base import Trainer, check_settings, place

_CONTEXT: Final = 32
_LEAK: Final = 0.05
_PREVIEW: Final = 6
_SETTLING: Final = 96
"""Styles that a new network learns from how codes are distributed."""
_STARTING: Final = 4
"""Batches of photos that tell what is usual in a style to start from."""
_SHARE: Final = 4
"""One picture of so many, one at least, is moved and painted again, and one has itself as style."""


@dataclass(frozen=True)
class ArbitraryConfig:
    """Everything that decides what a run learns."""

    painting: str
    """A folder of paintings."""
    photos: str
    features: tuple[str, ...] = ("vgg19",)
    method: str = "arbitrary"
    start: str = ""
    """The finished style to start from, instead of random weights: one of any painting, or one of a
    single painting, whose strokes all paintings get to begin with. Its name, folder or float ONNX
    file.
    """
    steps: int = 3000
    batch: int = 3
    crop: int = 192
    """Side of the crops of photos, pixels; a multiple of 32. The statistics of small crops scatter,
    which teaches fine texture, since that scatters least.
    """
    style_crop: int = 256
    """Side of the crops of paintings, pixels; a multiple of 32."""
    painting_side: int = 512
    """Short side the paintings are scaled to, pixels, give or take a fifth."""
    style_pool: int = 640
    """Styles, drawn once for the whole run."""
    style_loss: str = "gram+moments+correlation"
    style_layers: str = "relu1_1 relu2_1 relu3_1"
    coarse_layers: str = "relu2_1:0.5 relu3_1:0.5"
    """Layers whose statistics are matched in pictures of half the size too; none if empty."""
    content_layers: str = "relu3_1"
    content: float = 10.0
    style: float = 20.0
    broad: float = 40.0
    """Weight of keeping broad light and colours where they are: those of the photo in the style's
    colours. Without it, patches of colour come up wherever the painting has more of it.
    """
    calm: float = 4000.0
    """Weight of keeping what is plain in a photo without shapes of the network's own. Without it,
    skin and walls get worms, since somewhere the painting's contrasts must be.
    """
    plain: float = 0.1
    """What a place that is plain in a photo counts in style, 0..1, where a busy one counts 1: what
    is busy takes the painting's contrasts, and a wall need not.
    """
    identity: float = 20.0
    """Weight of giving a picture back that is its own style."""
    variation: float = 0.0
    equivariance: float = 24.0
    lattice: float = 1000.0
    phases: float = 30.0
    """Weight against edges that prefer some places of the 8-pixel lattice in what is plain."""
    photo_styles: float = 0.1
    """Share of styles that are crops of photos."""
    learning_rate: float = 7e-4
    seed: int = 0
    precision: Precision = "auto"
    augmentation: Augmentation = field(default_factory=Augmentation)


class ArbitraryTrainer(Trainer):
    """One run of it. Raises `TrainingError`, `DataError` or `FeaturesError`."""

    config: ArbitraryConfig

    def __init__(self, config: ArbitraryConfig, device: torch.device) -> None:
        _check(config)
        keep_memory()
        super().__init__(config, device)
        photos = list_photos(Path(config.photos))  # before weights are fetched
        paintings = read_paintings(  # enlarged to twice their size at most
            Path(config.painting), config.painting_side, config.style_crop // 2
        )
        self._encoders: list[Encoder] = [load_features(source) for source in config.features]
        for encoder in self._encoders:
            place(encoder, device, self.dtype)
        self._style_layers = place_layers(parse_layers(config.style_layers), self._encoders)
        self._content_layers = place_layers(parse_layers(config.content_layers), self._encoders)
        coarse = parse_layers(config.coarse_layers) if config.coarse_layers else {}
        self._coarse_layers = place_layers(coarse, self._encoders)
        self._losses = style_losses_of(config.style_loss)
        side = config.crop + 2 * _CONTEXT
        self._stream = PhotoStream(photos, config.batch, side, config.seed, config.augmentation)
        self._styles = StylePool(
            paintings,
            photos,
            self._encoders,
            (self._style_layers, self._coarse_layers),
            count=config.style_pool,
            side=config.style_crop,
            photo_share=config.photo_styles,
            seed=config.seed,
        )
        torch.manual_seed(config.seed)
        self.network = self._started() if config.start else FusionNet()
        place(self.network, device)
        if not self.network.teller.settled:
            self._settle()
        self._optimiser = torch.optim.Adam(
            self.network.parameters(), config.learning_rate, betas=(0.9, 0.99)
        )

    def _started(self) -> FusionNet:
        """The finished network of any painting, or of one, to start from. Raises
        `TrainingError`.
        """
        start = self.config.start
        try:
            model = onnx.load(style_files(start)["fp32"])
            if is_fusion(model):
                return grown_fusion(fusion_from_onnx(model), LIVE)
            photos = torch.cat([self._stream.batch(step) for step in range(_STARTING)])
            return fusion_from_style(network_from_onnx(model), photos, LIVE)
        # KeyError and RuntimeError: a file that lacks layers, or has them in other sizes
        except (OSError, DecodeError, ConversionError, ValueError, KeyError, RuntimeError) as error:
            raise TrainingError(f"can't start from {start}: {error}") from error

    @torch.no_grad()
    def _settle(self) -> None:
        random = np.random.default_rng((self.config.seed, 3))
        drawn = self._styles.batch(_SETTLING, random).pictures.to(self.device)
        self.network.teller.settle(
            torch.cat([self.network.code(part) for part in torch.split(drawn, 4)])
        )

    def parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        """The network and its optimiser."""
        return {"network": self.network, "optimiser": self._optimiser}

    @property
    def broken_photos(self) -> list[str]:
        """Photos that could not be read so far."""
        return list(self._stream.broken | self._styles.broken)

    def run(self, until: int) -> Generator[dict[str, float], None, None]:
        """Train up to step `until`."""
        for batch in self._stream.batches(self.step, until):
            photos = batch.to(self.device).contiguous(memory_format=torch.channels_last)
            terms = self._losses_of(photos)
            self.descend(self._optimiser, self.network, terms)
            self.step += 1
            yield {name: float(value.detach()) for name, value in terms.items()}

    def _losses_of(self, photos: Tensor) -> dict[str, Tensor]:
        config = self.config
        random = np.random.default_rng((config.seed, self.step, 2))
        styles, whole, half = self._styles.batch(config.batch, random)
        styles = styles.to(self.device).contiguous(memory_format=torch.channels_last)
        own = max(1, config.batch // _SHARE)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            code = self.network.code(styles)
            painted = self.network(photos, code).float()
            same = self.network(photos[:own], self.network.code(photos[:own])).float()
        seen, shown = _inner(photos), _inner(painted)
        shown = shown.clamp(0, 1) + _LEAK * (shown - shown.clamp(0, 1))
        with torch.no_grad():
            plain = coloured(canonical(seen, colours_of(seen)), colours_of(styles)).clamp(0, 1)
            goal = features_of(self._encoders, plain, self._content_layers)
            places = losses.plainness(seen)
        counting = 1 - (1 - config.plain) * places
        found = features_of(self._encoders, shown, self._content_layers, self._style_layers)
        content = sum(
            w * losses.relative_distance(found[k], goal[k]) for k, w in self._content_layers.items()
        )
        terms: dict[str, Any] = {
            "content": config.content * content,
            "style": config.style * self._style(found, whole, self._style_layers, counting),
            "broad": config.broad * losses.broad_distance(shown, plain),
            "calm": config.calm * losses.calm_distance(shown, plain, places),
            "identity": config.identity * (_inner(same) - seen[:own]).abs().mean(),
            "lattice": config.lattice * losses.lattice_energy(_inner(painted)),
            "phases": config.phases * losses.phase_preference(_inner(painted), places),
            "range": 10 * losses.out_of_range(_inner(painted)),
        }
        if self._coarse_layers:
            found = features_of(self._encoders, F.avg_pool2d(shown, 2), self._coarse_layers)
            terms["coarse"] = config.style * self._style(found, half, self._coarse_layers, counting)
        if config.variation:
            terms["variation"] = config.variation * losses.total_variation(shown)
        if config.equivariance:
            terms["equivariance"] = config.equivariance * self._equivariance(photos, painted, code)
        return {name: value for name, value in terms.items() if isinstance(value, Tensor)}

    def _style(
        self,
        found: dict[tuple[int, str], Tensor],
        wanted: Statistics,
        layers: Layers,
        counting: Tensor,
    ) -> Any:
        """The distances of all style losses on all layers; `counting`, (B, 1, h, w), says what
        places count, and so what a picture does.
        """
        total: Any = 0
        shares = counting.mean((1, 2, 3)) / len(counting)
        for key, weight in layers.items():
            ours = moments_of(found[key], counting)
            theirs = type(ours)(*(part.to(self.device) for part in wanted[key]))
            for loss in self._losses:
                apart = zip(shares, loss.of(ours), loss.of(theirs), strict=True)
                total = total + weight * sum(s * loss.distance(a, b) for s, a, b in apart)
        return total

    def _equivariance(self, photos: Tensor, painted: Tensor, code: Tensor) -> Tensor:
        """A share of the batch, moved and painted again, against its moved paint."""
        random = np.random.default_rng((self.config.seed, self.step, 1))
        some = max(1, len(photos) // _SHARE)
        motion = draw_motion(random, photos.shape[-1], _CONTEXT - MAX_SHIFT)
        motion = Motion(motion.grid.to(self.device), motion.valid.to(self.device))
        moved = motion.apply(photos[:some])
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            again = self.network(moved.contiguous(memory_format=torch.channels_last), code[:some])
        return losses.equivariance(
            _inner(motion.apply(painted[:some])), _inner(again.float()), _inner(motion.valid)
        )

    def sheet(self) -> list[Tensor]:
        """Photos, styles, each photo painted by its style, and given back at alpha = 0."""
        photos = self._stream.batch(self.config.steps)[:_PREVIEW].to(self.device)
        random = np.random.default_rng((self.config.seed, self.config.steps, 2))
        styles = self._styles.batch(len(photos), random).pictures.to(self.device)
        code = self.network.code(styles)
        pictures = _inner(photos)
        shown = F.interpolate(styles, size=pictures.shape[2:], mode="area")
        painted, same = self.network(pictures, code), self.network(pictures, code, 0.0)
        return [pictures, shown, painted.float(), same.float()]


def _check(config: ArbitraryConfig) -> None:
    check_settings(config)
    if config.style_crop < 64 or config.style_crop % 32:
        raise TrainingError(
            f"crops of styles of {config.style_crop} pixels can't be used: give a multiple of 32 "
            "from 64"
        )
    if config.style_pool < 1:
        raise TrainingError(f"a pool of {config.style_pool} styles: give 1 or more")
    style_losses_of(config.style_loss)


def _inner(pictures: Tensor) -> Tensor:
    """The crop without its context."""
    return pictures[..., _CONTEXT:-_CONTEXT, _CONTEXT:-_CONTEXT]
