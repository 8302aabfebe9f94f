"""Perceptual training of a style network from one painting and a folder of photos (Johnson 2016).

A plain loop over numbered steps. Everything random in a step comes from the run's seed and its
number, so that a run resumed from a checkpoint goes on bit for bit as if it had never stopped (on a
CPU).
"""

import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from torch import Tensor, nn

from . import losses
from ._encoders import Encoder
from ._machine import Precision, keep_memory, pick_device, pick_dtype
from .data import (
    MAX_SHIFT,
    Augmentation,
    Motion,
    PhotoStream,
    draw_motion,
    list_photos,
    load_painting,
)
from .errors import ConversionError, DataError, TrainingError
from .features import load_features
from .networks import STRIDE, TIERS, StyleNet, crop_painting, grown, pad_picture, unfolded
from .onnx import network_from_onnx

CHECKPOINT: Final = "checkpoint.pt"
RUN: Final = "training.json"
CONTEXT: Final = 64
"""Pixels of real picture around the crop that losses see, which keep borders out of reach."""
_WARM_UP_STEPS: Final = 50
_LEAK: Final = 0.05
_PREVIEW_PHOTOS: Final = 6
_MAX_NOISE: Final = 0.02


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a run learns. Frozen into its checkpoint and its card."""

    painting: str
    photos: str
    features: tuple[str, ...] = ("vgg19",)
    """Weights of the loss networks: files, or names of published ones; layers are looked up in
    order.
    """
    start: str = ""
    """The float ONNX file of a finished style to start from, instead of random weights."""
    tier: str = "balanced"
    steps: int = 2600
    batch: int = 6
    crop: int = 192
    """Side of the crops the losses see, pixels; a multiple of 32."""
    painting_side: int = 640
    """Short side the painting is scaled to, pixels: larger means larger strokes."""
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


@dataclass(frozen=True)
class Progress:
    """Where a run is: handed to the callback after every step."""

    step: int
    steps: int
    losses: dict[str, float]
    seconds_per_step: float
    images_per_second: float
    preview: Path | None = None

    @property
    def seconds_left(self) -> float:
        """Time to the end at the present speed."""
        return (self.steps - self.step) * self.seconds_per_step


def check(config: TrainConfig) -> None:
    """Raise `TrainingError` for settings that can't work."""
    if config.tier not in TIERS:
        raise TrainingError(f"there is no tier {config.tier!r}: give one of {', '.join(TIERS)}")
    if config.crop < 64 or config.crop % 32:
        raise TrainingError(
            f"a crop of {config.crop} pixels can't be used: give a multiple of 32 from 64"
        )
    if config.painting_side < config.crop:
        raise TrainingError(
            f"a painting of {config.painting_side} pixels is smaller than the crop of "
            f"{config.crop}: give a larger --painting-side or a smaller --crop"
        )
    if config.steps < 1 or config.batch < 1:
        raise TrainingError(
            f"{config.steps} steps of {config.batch} pictures are nothing to train on"
        )
    if not 0 <= config.blend_from < config.freeze_at < 1:
        raise TrainingError(
            f"norms can't be blended from {config.blend_from} to {config.freeze_at} of the run: "
            "give rising parts from 0 to 1"
        )
    parse_layers(config.style_layers)
    parse_layers(config.content_layers)


def parse_layers(text: str) -> dict[str, float]:
    """``relu1_1:1 relu2_1:0.5`` as weights by layer. Raises `TrainingError`."""
    try:
        pairs = [item.partition(":") for item in text.split()]
        layers = {name: float(weight or 1) for name, _, weight in pairs}
    except ValueError as error:
        raise TrainingError(
            f"{text!r} is not a list of layers such as 'relu1_1:1 relu2_1:0.5'"
        ) from error
    if not layers:
        raise TrainingError("at least one layer is needed")
    return layers


class Objective:
    """The losses of a painted batch against its photos and the painting."""

    def __init__(self, config: TrainConfig, encoders: list[Encoder], painting: Tensor) -> None:
        self.config, self._encoders = config, encoders
        self._style = self._place(parse_layers(config.style_layers))
        self._content = self._place(parse_layers(config.content_layers))
        self._palette = losses.Palette(painting)
        with torch.no_grad():
            self._targets = {
                key: losses.gram(value)
                for key, value in self._features(painting, self._style).items()
            }

    def _place(self, weights: dict[str, float]) -> dict[tuple[int, str], float]:
        """Each layer with the number of the first extractor that has it. Raises `TrainingError`."""
        placed: dict[tuple[int, str], float] = {}
        for layer, weight in weights.items():
            owner = next((i for i, e in enumerate(self._encoders) if layer in e.layers), None)
            if owner is None:
                known = "; ".join(f"{e.name}: {', '.join(e.layers)}" for e in self._encoders)
                raise TrainingError(f"no loss network has a layer {layer!r} ({known})")
            placed[owner, layer] = weight
        return placed

    def _features(
        self, pictures: Tensor, *groups: dict[tuple[int, str], float]
    ) -> dict[tuple[int, str], Tensor]:
        wanted: dict[int, set[str]] = {}
        for owner, layer in (key for group in groups for key in group):
            wanted.setdefault(owner, set()).add(layer)
        return {
            (owner, layer): value
            for owner, layers in wanted.items()
            for layer, value in self._encoders[owner](pictures, layers).items()
        }

    def __call__(self, photos: Tensor, painted: Tensor) -> dict[str, Tensor]:
        """Weighted losses by name for (B, 3, S, S) photos and what was painted of them,
        unclipped.
        """
        config = self.config
        with torch.no_grad():
            goal = self._features(photos, self._content)
        # a trickle of gradient through the clipping, so that no pixel is ever stuck outside
        shown = painted.clamp(0, 1) + _LEAK * (painted - painted.clamp(0, 1))
        found = self._features(shown, self._content, self._style)
        content = sum(
            w * losses.relative_distance(found[k], goal[k]) for k, w in self._content.items()
        )
        style = sum(
            w * losses.gram_distance(found[k], self._targets[k], shared=config.style_shared)
            for k, w in self._style.items()
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


class Trainer:
    """One run: the network, its optimiser, and how far they have come."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        check(config)
        keep_memory()
        self.config, self.device = config, device
        self.step = 0
        self.curve: list[dict[str, float]] = []
        self._dtype = pick_dtype(config.precision, device)
        encoders = [load_features(source) for source in config.features]
        for encoder in encoders:
            _place(encoder, device, self._dtype)
        painting = load_painting(Path(config.painting), config.painting_side).to(device)
        if min(painting.shape[2:]) < config.crop:
            raise DataError(f"{config.painting} is smaller than the crop of {config.crop} pixels")
        self._objective = Objective(config, encoders, painting)
        self._stream = PhotoStream(
            list_photos(Path(config.photos)),
            config.batch,
            config.crop + 2 * CONTEXT,
            config.seed,
            config.augmentation,
        )
        self.network = self._begin()
        _place(self.network, device)
        self._optimiser = torch.optim.Adam(self.network.parameters(), config.learning_rate)

    def _begin(self) -> StyleNet:
        """A new network, or that of the style to start from. Raises `TrainingError`."""
        torch.manual_seed(self.config.seed)
        shape = TIERS[self.config.tier]
        if not self.config.start:
            return StyleNet(shape)
        try:
            finished = network_from_onnx(onnx.load(self.config.start))
        except (OSError, DecodeError, ConversionError) as error:
            raise TrainingError(f"can't start from {self.config.start}: {error}") from error
        try:
            finished = grown(finished, shape)
        except ValueError as error:
            raise TrainingError(
                f"{self.config.start} has more layers than the tier {self.config.tier}: start from "
                "a style of the same tier or a smaller one"
            ) from error
        return unfolded(finished, self._stream.batch(self.config.steps + 2))

    @property
    def broken_photos(self) -> list[str]:
        """Photos that could not be read so far."""
        return list(self._stream.broken)

    def run(self, until: int) -> Iterator[dict[str, float]]:
        """Train up to step `until`, yielding the losses of each step. Raises `TrainingError` on
        NaN.
        """
        for batch in self._stream.batches(self.step, until):
            self._set_norms()
            yield self._train_on(
                batch.to(self.device).contiguous(memory_format=torch.channels_last)
            )

    def _set_norms(self) -> None:
        """Blend norms over from the picture's statistics to constants, as far as the run has
        come.
        """
        config, done = self.config, self.step / self.config.steps
        if done >= config.freeze_at and not self.network.frozen:
            for norm in self.network.norms():
                norm.freeze()
        part = (done - config.blend_from) / (config.freeze_at - config.blend_from)
        for norm in self.network.norms():
            norm.blend = min(1.0, max(0.0, part))

    def _train_on(self, photos: Tensor) -> dict[str, float]:
        config = self.config
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate()
        painted = self._paint(photos)
        terms = self._objective(_inner(photos), _inner(painted))
        if config.equivariance:
            terms["equivariance"] = config.equivariance * self._equivariance(photos, painted)
        if not losses.finite(terms):
            broken = ", ".join(name for name, value in terms.items() if not torch.isfinite(value))
            raise TrainingError(
                f"step {self.step}: the losses are not numbers any more ({broken}): begin anew "
                "with a lower --learning-rate; the last checkpoint is kept"
            )
        total = torch.stack(list(terms.values())).sum()
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self._optimiser.step()
        self.step += 1
        return {name: float(value.detach()) for name, value in terms.items()}

    def _learning_rate(self) -> float:
        """A short warm-up, level to three eighths of the run, then down to a hundredth."""
        done = self.step / self.config.steps
        rise = min(1.0, (self.step + 1) / _WARM_UP_STEPS)
        return self.config.learning_rate * max(0.01, rise * min(1.0, 1.6 * (1 - done)))

    def _paint(self, photos: Tensor) -> Tensor:
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
            painted: Tensor = self.network(photos)
        return painted.float()

    def _equivariance(self, photos: Tensor, painted: Tensor) -> Tensor:
        """The moved crop, painted by itself, against the moved paint of the crop in its context.

        By itself it gets the border that pictures get when they are painted for good, so that this
        teaches both at once: to follow motion, and to make nothing of borders.
        """
        random = np.random.default_rng((self.config.seed, self.step, 1))
        motion = draw_motion(random, photos.shape[-1], CONTEXT - MAX_SHIFT - STRIDE)
        motion = Motion(motion.grid.to(self.device), motion.valid.to(self.device))
        moved = _inner(motion.apply(photos))
        noise = random.normal(0, random.uniform(0, _MAX_NOISE), moved.shape).astype(np.float32)
        alone = pad_picture(moved + torch.from_numpy(noise).to(self.device))
        again = self._paint(alone.contiguous(memory_format=torch.channels_last))
        return losses.equivariance(
            _inner(motion.apply(painted)),
            crop_painting(again, *moved.shape[2:]),
            _inner(motion.valid),
        )

    # --- checkpoints and previews

    def save(self, folder: Path) -> None:
        """Write the checkpoint, whole or not at all. Raises `TrainingError` when the disk is
        full.
        """
        state = {
            "config": json.dumps(asdict(self.config)),
            "step": self.step,
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "curve": json.dumps(self.curve),
        }
        temporary = folder / f"{CHECKPOINT}.part"
        try:
            torch.save(state, temporary)
            temporary.replace(folder / CHECKPOINT)
        except (OSError, RuntimeError) as error:
            temporary.unlink(missing_ok=True)
            raise TrainingError(f"the checkpoint can't be written to {folder}: {error}") from error

    def load(self, folder: Path) -> None:
        """Go on where a checkpoint left off."""
        state = read_checkpoint(folder)
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step, self.curve = int(state["step"]), json.loads(state["curve"])

    @torch.no_grad()
    def preview(self, path: Path) -> Path:
        """Write a picture of a few photos, above, and how they are painted by now, below."""
        photos = self._stream.batch(self.config.steps)
        more = self._stream.batch(self.config.steps + 1)
        photos = torch.cat([photos, more])[:_PREVIEW_PHOTOS].to(self.device)
        painted = self._paint(photos.contiguous(memory_format=torch.channels_last)).clamp(0, 1)
        rows = [torch.cat(list(_inner(p)), 2) for p in (photos, painted)]  # (3, S, n*S) each
        sheet = (torch.cat(rows, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        return path


def train(
    config: TrainConfig,
    folder: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    checkpoint_every: int = 500,
    on_step: Callable[[Progress], None] | None = None,
) -> StyleNet:
    """Train a style into `folder`: checkpoints, previews, curves, and the run's record.

    Interrupted, it keeps a checkpoint of the last step. Raises `TrainingError`, `DataError` or
    `FeaturesError`.
    """
    _check_folder(folder, resume=resume)
    trainer = Trainer(config, pick_device(device))
    folder.mkdir(parents=True, exist_ok=True)
    if resume:
        trainer.load(folder)
    seconds = 0.0
    try:
        while trainer.step < config.steps:
            until = min(config.steps, (trainer.step // checkpoint_every + 1) * checkpoint_every)
            begun = time.perf_counter()
            for terms in trainer.run(until):
                took, begun = time.perf_counter() - begun, time.perf_counter()
                seconds = took if not seconds else 0.95 * seconds + 0.05 * took
                trainer.curve.append({k: round(v, 6) for k, v in terms.items()})
                if on_step:
                    on_step(
                        Progress(trainer.step, config.steps, terms, seconds, config.batch / seconds)
                    )
            trainer.save(folder)
            preview = trainer.preview(folder / f"preview_{trainer.step:06d}.jpg")
            if on_step:
                on_step(
                    Progress(
                        trainer.step, config.steps, terms, seconds, config.batch / seconds, preview
                    )
                )
    except KeyboardInterrupt:
        trainer.save(folder)
        raise
    _write_record(folder, trainer)
    return trainer.network


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """The checkpoint of a folder. Raises `TrainingError`."""
    path = folder / CHECKPOINT
    if not path.is_file():
        raise TrainingError(f"{folder} has no {CHECKPOINT} to resume from")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        missing = {"config", "step", "network", "optimiser", "curve"} - set(state)
    except Exception as error:  # pickle and zip raise what they like for damaged content
        raise TrainingError(f"{path} can't be read: {error}") from error
    if missing:
        raise TrainingError(f"{path} is not a checkpoint: {', '.join(sorted(missing))} missing")
    return dict(state)


def read_config(folder: Path) -> TrainConfig:
    """The frozen configuration a checkpoint was made with."""
    content = json.loads(read_checkpoint(folder)["config"])
    known = {f.name for f in fields(TrainConfig)}
    content = {k: v for k, v in content.items() if k in known}
    content["features"] = tuple(content["features"])
    ranges: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in content["augmentation"].items()
    }
    content["augmentation"] = Augmentation(**ranges)
    return TrainConfig(**content)


def load_network(folder: Path) -> StyleNet:
    """The network of a folder's checkpoint, frozen or not."""
    network = StyleNet(TIERS[read_config(folder).tier])
    network.load_state_dict(read_checkpoint(folder)["network"])
    return network


def _place(module: nn.Module, device: torch.device, dtype: torch.dtype | None = None) -> None:
    """Move a module, channels last: the layout convolutions are fastest in."""
    module.to(device, dtype)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _inner(pictures: Tensor) -> Tensor:
    """The crop without its context."""
    return pictures[..., CONTEXT:-CONTEXT, CONTEXT:-CONTEXT]


def _check_folder(folder: Path, *, resume: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"{folder} is a file: give a folder")
    if (folder / CHECKPOINT).exists() and not resume:
        raise TrainingError(
            f"{folder} holds a run already: pass --resume to go on, or give another folder"
        )


def _write_record(folder: Path, trainer: Trainer) -> None:
    record = {
        "config": asdict(trainer.config),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "device": str(trainer.device),
        "broken_photos": trainer.broken_photos,
        "curve": trainer.curve,
    }
    (folder / RUN).write_text(json.dumps(record, indent=1))
