"""Training of the network for any painting at once (Huang 2017; Ghiasi 2017).

Every step paints a batch of photos by as many styles: crops of the paintings, and of other photos,
which teach what few paintings can't. A share of the batch gets its own picture as the style, and
must come back as it was: what alpha = 0 means.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from torch import Tensor, nn

from .. import losses
from .._encoders import Encoder
from .._machine import Precision, keep_memory, pick_dtype
from ..card import style_files
from ..data import (
    MAX_SHIFT,
    Augmentation,
    Motion,
    PhotoStream,
    draw_motion,
    list_photos,
    read_picture,
    to_tensor,
    turned_hue,
)
from ..errors import ConversionError, TrainingError
from ..features import load_features
from ..fusion import LIVE, FusionNet
from ..fusion_growth import fusion_from_onnx, grown_fusion
from ..layers import features_of, parse_layers, place_layers
from ..style_losses import style_losses_of
from .base import Trainer, check_size, place, write_sheet

_CONTEXT: Final = 32
_LEAK: Final = 0.05
_PREVIEW: Final = 6


@dataclass(frozen=True)
class ArbitraryConfig:
    """Everything that decides what a run learns."""

    painting: str
    """A folder of paintings."""
    photos: str
    features: tuple[str, ...] = ("vgg19",)
    method: str = "arbitrary"
    start: str = ""
    """The float ONNX file of a finished network for any painting to start from."""
    steps: int = 6000
    batch: int = 6
    crop: int = 160
    """Side of the crops, pixels; a multiple of 32."""
    painting_side: int = 512
    """Short side the paintings are scaled to, pixels, give or take a fifth."""
    style_loss: str = "gram+moments"
    style_layers: str = "relu1_1:0.5 relu2_1:1 relu3_1:1"
    content_layers: str = "relu2_2:0.5 relu3_3:1"
    content: float = 1.5
    style: float = 30.0
    light: float = 0.5
    """Weight of keeping light and shade where they are."""
    identity: float = 8.0
    """Weight of giving a picture back that is its own style."""
    variation: float = 0.1
    equivariance: float = 8.0
    lattice: float = 1000.0
    photo_styles: float = 0.1
    """Share of styles that are crops of photos."""
    learning_rate: float = 1.5e-3
    seed: int = 0
    precision: Precision = "auto"
    augmentation: Augmentation = field(default_factory=Augmentation)


class StyleStream:
    """Crops of paintings and photos as styles, (3, S, S) float in 0..1, drawn by a generator."""

    def __init__(self, config: ArbitraryConfig, photos: list[Path], side: int) -> None:
        folder = Path(config.painting)
        paths = list_photos(folder) if folder.is_dir() else [folder]
        self._paintings = [_scaled(read_picture(path), config.painting_side) for path in paths]
        self._photos, self._share, self._side = photos, config.photo_styles, side

    def draw(self, random: np.random.Generator) -> Tensor:
        """One style."""
        if random.random() < self._share:
            source = read_picture(self._photos[int(random.integers(len(self._photos)))])
        else:
            source = self._paintings[int(random.integers(len(self._paintings)))]
        zoom = random.uniform(0.8, 1.25)
        seen = min(*source.shape[:2], max(16, round(self._side / zoom)))
        y, x = (int(random.integers(0, n - seen + 1)) for n in source.shape[:2])
        crop = source[y : y + seen, x : x + seen]
        crop = np.asarray(cv2.resize(crop, (self._side,) * 2, interpolation=cv2.INTER_AREA))
        if random.random() < 0.5:
            crop = crop[:, ::-1]
        if random.random() < 0.5:
            crop = turned_hue(np.asarray(crop, np.uint8), random.uniform(-180, 180))
        return to_tensor(np.ascontiguousarray(crop, np.uint8))


def _scaled(picture: NDArray[np.uint8], short_side: int) -> NDArray[np.uint8]:
    scale = short_side / min(picture.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method), np.uint8)


class ArbitraryTrainer(Trainer):
    """One run of it. Raises `TrainingError`, `DataError` or `FeaturesError`."""

    config: ArbitraryConfig

    def __init__(self, config: ArbitraryConfig, device: torch.device) -> None:
        _check(config)
        keep_memory()
        super().__init__(config, device)
        self._dtype = pick_dtype(config.precision, device)
        self._encoders: list[Encoder] = [load_features(source) for source in config.features]
        for encoder in self._encoders:
            place(encoder, device, self._dtype)
        self._style_layers = place_layers(parse_layers(config.style_layers), self._encoders)
        self._content_layers = place_layers(parse_layers(config.content_layers), self._encoders)
        self._losses = style_losses_of(config.style_loss)
        photos = list_photos(Path(config.photos))
        side = config.crop + 2 * _CONTEXT
        self._stream = PhotoStream(photos, config.batch, side, config.seed, config.augmentation)
        self._styles = StyleStream(config, photos, config.crop)
        torch.manual_seed(config.seed)
        self.network = _started(config.start)
        place(self.network, device)
        self._optimiser = torch.optim.Adam(self.network.parameters(), config.learning_rate)

    def parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        """The network and its optimiser."""
        return {"network": self.network, "optimiser": self._optimiser}

    @property
    def broken_photos(self) -> list[str]:
        """Photos that could not be read so far."""
        return list(self._stream.broken)

    def run(self, until: int) -> Iterator[dict[str, float]]:
        """Train up to step `until`."""
        for batch in self._stream.batches(self.step, until):
            photos = batch.to(self.device).contiguous(memory_format=torch.channels_last)
            terms = self._losses_of(photos)
            self.descend(self._optimiser, self.network, terms)
            self.step += 1
            yield {name: float(value.detach()) for name, value in terms.items()}

    def _losses_of(self, photos: Tensor) -> dict[str, Tensor]:
        config = self.config
        styles = self._draw_styles(self.step)
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
            code = self.network.code(styles)
            painted = self.network(photos, code).float()
            own = max(1, config.batch // 3)
            same = self.network(photos[:own], self.network.code(photos[:own])).float()
        seen, shown = _inner(photos), _inner(painted)
        shown = shown.clamp(0, 1) + _LEAK * (shown - shown.clamp(0, 1))
        with torch.no_grad():
            goal = features_of(self._encoders, seen, self._content_layers)
            wanted = features_of(self._encoders, styles, self._style_layers)
        found = features_of(self._encoders, shown, self._content_layers, self._style_layers)
        content = sum(
            w * losses.relative_distance(found[k], goal[k]) for k, w in self._content_layers.items()
        )
        style = sum(
            w * loss.each(found[k], loss.statistic(wanted[k]))
            for k, w in self._style_layers.items()
            for loss in self._losses
        )
        terms: dict[str, Any] = {
            "content": config.content * content,
            "style": config.style * style,
            "light": config.light * losses.light_distance(shown, seen),
            "identity": config.identity * (_inner(same) - seen[:own]).abs().mean(),
            "variation": config.variation * losses.total_variation(shown),
            "lattice": config.lattice * losses.lattice_energy(_inner(painted)),
            "range": 10 * losses.out_of_range(_inner(painted)),
        }
        if config.equivariance:
            terms["equivariance"] = config.equivariance * self._equivariance(photos, painted, code)
        return {name: value for name, value in terms.items() if isinstance(value, Tensor)}

    def _draw_styles(self, step: int) -> Tensor:
        random = np.random.default_rng((self.config.seed, step, 2))
        drawn = torch.stack([self._styles.draw(random) for _ in range(self.config.batch)])
        return drawn.to(self.device).contiguous(memory_format=torch.channels_last)

    def _equivariance(self, photos: Tensor, painted: Tensor, code: Tensor) -> Tensor:
        """Half of the batch, moved and painted again, against its moved paint."""
        random = np.random.default_rng((self.config.seed, self.step, 1))
        some = max(1, len(photos) // 2)
        motion = draw_motion(random, photos.shape[-1], _CONTEXT - MAX_SHIFT)
        motion = Motion(motion.grid.to(self.device), motion.valid.to(self.device))
        moved = motion.apply(photos[:some])
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
            again = self.network(moved.contiguous(memory_format=torch.channels_last), code[:some])
        return losses.equivariance(
            _inner(motion.apply(painted[:some])), _inner(again.float()), _inner(motion.valid)
        )

    @torch.no_grad()
    def preview(self, path: Path) -> Path:
        """Photos, styles, each photo painted by its style, and given back at alpha = 0."""
        photos = self._stream.batch(self.config.steps)[:_PREVIEW].to(self.device)
        styles = self._draw_styles(self.config.steps)[:_PREVIEW]
        code = self.network.code(styles)
        pictures = _inner(photos)
        painted, same = self.network(pictures, code), self.network(pictures, code, 0.0)
        return write_sheet([pictures, styles, painted.float(), same.float()], path)


def _started(start: str) -> FusionNet:
    """A new network, or the finished one to start from. Raises `TrainingError`."""
    if not start:
        return FusionNet()
    try:
        return grown_fusion(fusion_from_onnx(onnx.load(style_files(start)["fp32"])), LIVE)
    # KeyError and RuntimeError: a file that lacks layers, or has them in other sizes
    except (OSError, DecodeError, ConversionError, ValueError, KeyError, RuntimeError) as error:
        raise TrainingError(f"can't start from {start}: {error}") from error


def _check(config: ArbitraryConfig) -> None:
    check_size(config)
    if not 0 <= config.photo_styles <= 1:
        raise TrainingError(f"a share of {config.photo_styles} of styles: give 0 to 1")
    style_losses_of(config.style_loss)


def _inner(pictures: Tensor) -> Tensor:
    """The crop without its context."""
    return pictures[..., _CONTEXT:-_CONTEXT, _CONTEXT:-_CONTEXT]
