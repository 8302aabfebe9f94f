"""Runs a way of training: checkpoints, previews, curves, and the record of the run.

Everything random in a step comes from the run's seed and its number, so that a run resumed from a
checkpoint goes on bit for bit as if it had never stopped (on a CPU).
"""

import json
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

import torch

from ._files import make_folder, versions, write_whole
from ._interrupts import held
from ._machine import pick_device
from .data import Augmentation
from .errors import TrainingError
from .methods.adversarial import AdversarialConfig, AdversarialTrainer
from .methods.arbitrary import ArbitraryConfig, ArbitraryTrainer
from .methods.base import CHECKPOINT, Progress, Trainer, read_checkpoint
from .methods.perceptual import PerceptualConfig, PerceptualTrainer
from .networks import TIERS, StyleNet

RUN: Final = "training.json"
CHECKPOINT_EVERY: Final = 100
"""Steps: some minutes on a processor."""

CONFIGS: Final[dict[str, type[Any]]] = {
    "perceptual": PerceptualConfig,
    "arbitrary": ArbitraryConfig,
    "adversarial": AdversarialConfig,
}
_TRAINERS: Final[dict[str, type[Trainer]]] = {
    "perceptual": PerceptualTrainer,
    "arbitrary": ArbitraryTrainer,
    "adversarial": AdversarialTrainer,
}


def trainer_for(config: Any, device: torch.device) -> Trainer:
    """A new run of the method of these settings. Raises what it can't start with."""
    make: Callable[[Any, torch.device], Trainer] = _TRAINERS[config.method]
    return make(config, device)


def train(
    config: Any,
    folder: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    checkpoint_every: int = CHECKPOINT_EVERY,
    on_step: Callable[[Progress], None] | None = None,
) -> Trainer:
    """Train a style into `folder`: checkpoints, previews, curves, and the run's record.

    There is a checkpoint from the first step on. Ctrl-C ends the run behind the step in work, with
    one of that; failing, or stopped by a second Ctrl-C, it keeps the last good one. Raises
    `TrainingError`, `DataError` or `FeaturesError`.
    """
    if checkpoint_every < 1:
        raise TrainingError(f"a checkpoint every {checkpoint_every} steps: give 1 or more")
    _check_folder(folder, resume=resume)
    trainer = trainer_for(config, pick_device(device))
    make_folder(folder, TrainingError)
    if resume:
        trainer.load(folder)
    else:
        trainer.save(folder)
    seconds = 0.0
    # a step that was broken off has changed some of what a checkpoint holds, and not the rest
    whole = True
    try:
        while trainer.step < config.steps:
            until = min(config.steps, (trainer.step // checkpoint_every + 1) * checkpoint_every)
            begun = time.perf_counter()
            with held() as signals, closing(trainer.run(until)) as steps:
                while trainer.step < until:
                    whole = False
                    terms = next(steps)
                    trainer.curve.append({k: round(v, 6) for k, v in terms.items()})
                    whole = True
                    took, begun = time.perf_counter() - begun, time.perf_counter()
                    seconds = took if not seconds else 0.95 * seconds + 0.05 * took
                    if on_step:
                        on_step(_progress(trainer, terms, seconds))
                    if signals.came:
                        raise KeyboardInterrupt
            trainer.save(folder)
            preview = trainer.preview(folder / f"preview_{trainer.step:06d}.jpg")
            if on_step:
                on_step(_progress(trainer, terms, seconds, preview))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and whole:
            trainer.save(folder)
        with suppress(TrainingError):  # what ended the run is what is said
            _write_record(folder, trainer)
        raise
    _write_record(folder, trainer)
    return trainer


def _progress(
    trainer: Trainer, terms: dict[str, float], seconds: float, preview: Path | None = None
) -> Progress:
    rate = trainer.config.batch / seconds
    return Progress(trainer.step, trainer.config.steps, terms, seconds, rate, preview)


def read_config(folder: Path) -> Any:
    """The frozen configuration a checkpoint was made with. Raises `TrainingError`."""
    content = json.loads(read_checkpoint(folder)["config"])
    method = content.setdefault("method", "perceptual")  # what had no name had only this one
    if method not in CONFIGS:
        raise TrainingError(f"{folder} is of the method {method!r}, which is not known here")
    kind = CONFIGS[method]
    known = {f.name for f in fields(kind)}
    content = {k: v for k, v in content.items() if k in known}
    content["features"] = tuple(content["features"])
    ranges: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in content["augmentation"].items()
    }
    content["augmentation"] = Augmentation(**ranges)
    return kind(**content)


def load_network(folder: Path) -> StyleNet:
    """The network of a folder's checkpoint, frozen or not. Raises `TrainingError`."""
    network = StyleNet(TIERS[read_config(folder).tier])
    network.load_state_dict(read_checkpoint(folder)["network"])
    return network


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
        "versions": versions(),
        "device": str(trainer.device),
        "precision": str(trainer.dtype).removeprefix("torch."),
        "broken_photos": trainer.broken_photos,
        "curve": trainer.curve,
    }
    try:
        write_whole(json.dumps(record, indent=1).encode(), folder / RUN)
    except OSError as error:
        raise TrainingError(f"{folder / RUN} can't be written: {error.strerror}") from error
