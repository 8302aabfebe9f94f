"""What every way of training has in common: numbered steps that can be resumed bit for bit."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import cv2
import torch
from torch import Tensor, nn

from .. import losses
from .._machine import check_precision, pick_dtype
from ..data import check_augmentation
from ..errors import TrainingError

CHECKPOINT: Final = "checkpoint.pt"
_SHARES: Final = frozenset({"photo_styles", "plain", "style_shared", "first_steps"})
"""Settings that are parts of something."""
WARM_UP_STEPS: Final = 50


class Trainer(ABC):
    """One run: networks and optimisers by name, and how far they have come.

    Settings are a frozen dataclass with `method`, `steps`, `batch` and `learning_rate`, and more.
    Everything random in a step comes from the run's seed and the step's number.
    """

    def __init__(self, config: Any, device: torch.device) -> None:
        self.config: Any = config
        self.device = device
        self.dtype = pick_dtype(config.precision, device)
        self.step = 0
        self.curve: list[dict[str, float]] = []

    @abstractmethod
    def parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        """All that changes in a step, by the name it has in a checkpoint."""

    @abstractmethod
    def run(self, until: int) -> Generator[dict[str, float], None, None]:
        """Train up to step `until`, yielding the losses of each step. Raises `TrainingError`."""

    @abstractmethod
    def sheet(self) -> list[Tensor]:
        """Rows of what is painted by now and what it is painted of, (B, 3, S, S) each in 0..1."""

    @torch.no_grad()
    def preview(self, path: Path) -> Path:
        """Write a picture of what is painted by now. It leaves the run as it was: norms that follow
        what they see don't look.
        """
        modules = [part for part in self.parts().values() if isinstance(part, nn.Module)]
        try:
            for module in modules:
                module.eval()
            return write_sheet(self.sheet(), path)
        finally:
            for module in modules:
                module.train()

    @property
    @abstractmethod
    def broken_photos(self) -> list[str]:
        """Photos that could not be read so far."""

    def learning_rate(self) -> float:
        """A short warm-up, level to three eighths of the run, then down to a hundredth."""
        done = self.step / self.config.steps
        rise = min(1.0, (self.step + 1) / WARM_UP_STEPS)
        share = max(0.01, rise * min(1.0, 1.6 * (1 - done)))
        return float(self.config.learning_rate * share)

    def descend(
        self,
        optimiser: torch.optim.Optimizer,
        network: nn.Module,
        terms: dict[str, Tensor],
        share: float = 1.0,
    ) -> None:
        """One step of the optimiser down the sum of `terms`, with this share of the step size.
        Raises `TrainingError` on NaN.
        """
        if not losses.finite(terms):
            broken = ", ".join(name for name, value in terms.items() if not torch.isfinite(value))
            raise TrainingError(
                f"step {self.step}: the losses are not numbers any more ({broken}): begin anew "
                "with a lower --learning-rate; the last checkpoint is kept"
            )
        for group in optimiser.param_groups:
            group["lr"] = share * self.learning_rate()
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()

    def save(self, folder: Path) -> None:
        """Write the checkpoint, whole or not at all. Raises `TrainingError` when the disk is
        full.
        """
        state = {
            "config": json.dumps(asdict(self.config)),
            "step": self.step,
            "curve": json.dumps(self.curve),
            **{name: part.state_dict() for name, part in self.parts().items()},
        }
        temporary = folder / f"{CHECKPOINT}.part"
        try:
            torch.save(state, temporary)
            temporary.replace(folder / CHECKPOINT)
        except (OSError, RuntimeError) as error:
            temporary.unlink(missing_ok=True)
            raise TrainingError(f"the checkpoint can't be written to {folder}: {error}") from error

    def load(self, folder: Path) -> None:
        """Go on where a checkpoint left off. Raises `TrainingError`."""
        state = read_checkpoint(folder)
        for name, part in self.parts().items():
            if name not in state:
                raise TrainingError(f"{folder / CHECKPOINT} is not of this method: no {name} in it")
            try:
                part.load_state_dict(state[name])
            except (RuntimeError, ValueError, KeyError) as error:  # other layers, or other sizes
                raise TrainingError(
                    f"{folder / CHECKPOINT} is of another version of this program: its {name} "
                    "does not fit; begin a new run"
                ) from error
        self.step, self.curve = int(state["step"]), json.loads(state["curve"])


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


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


def check_settings(config: Any) -> None:
    """Raise `TrainingError` or `DataError` for settings that no method can use."""
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, float) and not 0 <= value < math.inf:
            raise TrainingError(f"{_flag(field.name)} {value} can't be used: give 0 or more")
        if field.name in _SHARES and not 0 <= value <= 1:
            raise TrainingError(f"{_flag(field.name)} {value} is not a share: give 0 to 1")
    if not config.learning_rate:
        raise TrainingError("a --learning-rate of 0 learns nothing: give more")
    if config.seed < 0:
        raise TrainingError(f"--seed {config.seed} can't be used: give 0 or more")
    check_precision(config.precision)
    check_augmentation(config.augmentation)
    if config.crop < 64 or config.crop % 32:
        raise TrainingError(
            f"a crop of {config.crop} pixels can't be used: give a multiple of 32 from 64"
        )
    if config.steps < 1 or config.batch < 1:
        raise TrainingError(
            f"{config.steps} steps of {config.batch} pictures are nothing to train on"
        )


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """The checkpoint of a folder. Raises `TrainingError`."""
    path = folder / CHECKPOINT
    if not folder.is_dir():
        raise TrainingError(f"there is no folder {folder}: name that of a training run")
    if not path.is_file():
        raise TrainingError(f"{folder} has no {CHECKPOINT}: name the folder of a training run")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        missing = {"config", "step", "network", "optimiser", "curve"} - set(state)
    except Exception as error:  # pickle and zip raise what they like for damaged content
        raise TrainingError(f"{path} can't be read: {error}") from error
    if missing:
        raise TrainingError(f"{path} is not a checkpoint: {', '.join(sorted(missing))} missing")
    return dict(state)


def place(module: nn.Module, device: torch.device, dtype: torch.dtype | None = None) -> None:
    """Move a module, channels last: the layout convolutions are fastest in."""
    module.to(device, dtype)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def write_sheet(rows: list[Tensor], path: Path) -> Path:
    """Rows of pictures, (B, 3, S, S) float in 0..1 each, as one file."""
    joined = [torch.cat(list(row.clamp(0, 1)), 2) for row in rows]  # (3, S, B*S) each
    sheet = (torch.cat(joined, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    return path
