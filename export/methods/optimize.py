"""Painting by optimising the pixels themselves (Gatys 2016), and clips so (Ruder 2016).

Slow, and the yardstick: the picture is changed step by step until its features agree with those of
the photo, and their statistics with the painting's. Distances are relative to their targets (see
`losses`), so weights differ from the papers'. Coarse scales come first, which large strokes need
(Gatys 2017, section 5).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]
from torch.nn import functional as F

from .. import losses
from .._encoders import Encoder
from .._machine import Precision, check_precision, pick_dtype
from ..errors import TrainingError
from ..layers import Layers, features_of, parse_layers, place_layers
from ..style_losses import style_losses_of

Start = Literal["content", "noise", "style"]
Method = Literal["lbfgs", "adam"]
Objective = Callable[[Tensor], dict[str, Tensor]]
"""Weighted losses by name for a picture, (1, 3, H, W)."""
_NOISE: Final = 0.15
_COARSE_SHARE: Final = 0.6
"""Part of the steps that goes to the scales before the last, evenly."""
_LBFGS_BURST: Final = 10
"""Iterations of L-BFGS between two looks at the picture."""
_RELIABLE: Final = 0.01, 0.5
"""Forward and backward flow agree up to these (Ruder 2016, equation 5)."""
_EDGE: Final = 0.01, 0.002
"""Flow counts as an edge of motion beyond these (Ruder 2016, equation 6)."""


@dataclass(frozen=True)
class OptimizeConfig:
    """Everything that decides what becomes of a picture."""

    steps: int = 300
    optimiser: Method = "lbfgs"
    start: Start = "content"
    scales: int = 2
    style_loss: str = "gram"
    style_layers: str = "relu1_1:0.5 relu2_1:1 relu3_1:1 relu4_1:1"
    content_layers: str = "relu4_1:1"
    content: float = 1.0
    style: float = 4.0
    variation: float = 0.3
    temporal: float = 40.0
    """Weight of staying where the frame before was led, in clips."""
    learning_rate: float = 0.02
    """Step size of Adam; L-BFGS has its own."""
    seed: int = 0
    precision: Precision = "auto"
    """Of the loss networks; statistics and losses are float32 always."""

    def check(self) -> None:
        """Raise `TrainingError` for settings that can't work."""
        if self.steps < 1 or self.scales < 1:
            raise TrainingError(f"{self.steps} steps on {self.scales} scales are nothing to do")
        if self.optimiser not in ("lbfgs", "adam"):
            raise TrainingError(f"there is no optimiser {self.optimiser!r}: give lbfgs or adam")
        if self.start not in ("content", "noise", "style"):
            raise TrainingError(
                f"a picture can't start from {self.start!r}: give content, noise or style"
            )
        check_precision(self.precision)
        if not 0 <= self.seed < 2**63:  # what torch takes
            raise TrainingError(f"--seed {self.seed} can't be used: give 0 or more, below 2^63")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise TrainingError(
                f"--learning-rate {self.learning_rate} can't be used: give a finite number above 0"
            )
        style_losses_of(self.style_loss)
        for name, weight in self._weights().items():
            if not (math.isfinite(weight) and weight >= 0):
                raise TrainingError(
                    f"the weight {weight} of {name} can't be used: give a finite number, 0 or more"
                )

    def _weights(self) -> dict[str, float]:
        """Every weight, by what people call it. Raises `TrainingError` for unreadable layers."""
        names = ("content", "style", "variation", "temporal")
        weights = {f"--{name}": float(getattr(self, name)) for name in names}
        for option, text in (
            ("--style-layers", self.style_layers),
            ("--content-layers", self.content_layers),
        ):
            weights |= {f"{layer} in {option}": w for layer, w in parse_layers(text).items()}
        return weights

    def dtype(self, device: torch.device) -> torch.dtype:
        """What loss networks compute in on a device.

        L-BFGS searches along lines for slopes that rounding hides, so it gets bf16 only when asked:
        a picture of 60 steps came out with a style loss of 2.39 instead of 1.78.
        """
        if self.precision == "auto" and self.optimiser == "lbfgs":
            return torch.float32
        return pick_dtype(self.precision, device)


@dataclass(frozen=True)
class Look:
    """The picture by now, (1, 3, H, W) float in 0..1, and its losses."""

    step: int
    picture: Tensor
    losses: dict[str, float]


@dataclass(frozen=True)
class Past:
    """Where the frame before leads: its painting, warped, and where that can be relied on."""

    picture: Tensor
    """(1, 3, H, W)"""
    sure: Tensor
    """(1, 1, H, W) in 0..1."""


class Optimizer:
    """Paints pictures in the style of one painting. Raises `TrainingError` for bad settings."""

    def __init__(self, config: OptimizeConfig, encoders: list[Encoder], painting: Tensor) -> None:
        config.check()
        self._config, self._encoders, self._painting = config, encoders, painting
        self._style = place_layers(parse_layers(config.style_layers), encoders)
        self._content = place_layers(parse_layers(config.content_layers), encoders)
        self._losses = style_losses_of(config.style_loss)
        self._dtype = config.dtype(painting.device)

    def paint(self, photo: Tensor, past: Past | None = None) -> Iterator[Look]:
        """Looks at the picture on its way, the last one last, for (1, 3, H, W) float in 0..1.

        Raises `TrainingError` when the losses or the picture are not numbers any more.
        """
        config = self._config
        picture: Tensor | None = None if past is None else past.picture
        plan = self._plan() if past is None else [(1.0, config.steps)]
        done = 0
        for scale, steps in plan:
            size = [max(32, round(side * scale)) for side in photo.shape[2:]]
            content = _resized(photo, size)
            picture = self._begin(content) if picture is None else _resized(picture, size)
            loss = self._objective(content, scale, past)
            for look in self._descend(loss, picture, done, done + steps):
                yield look
                picture = look.picture
            done += steps

    def _plan(self) -> list[tuple[float, int]]:
        """Scales and the steps on each."""
        config = self._config
        coarse = config.scales - 1
        early = round(config.steps * _COARSE_SHARE / coarse) if coarse else 0
        plan = [(0.5 ** (coarse - i), early) for i in range(coarse)]
        return [*plan, (1.0, max(1, config.steps - coarse * early))]

    def _begin(self, content: Tensor) -> Tensor:
        config = self._config
        if config.start == "content":
            return content.clone()
        if config.start == "style":
            return _resized(self._painting, list(content.shape[2:]))
        random = torch.Generator().manual_seed(config.seed)
        grain = torch.randn(content.shape, generator=random).to(content)
        return (content.mean((2, 3), keepdim=True) + _NOISE * grain).clamp(0, 1)

    def _descend(self, loss: Objective, start: Tensor, done: int, until: int) -> Iterator[Look]:
        """Looks at a picture, from step `done` to step `until`."""
        # L-BFGS takes gradients for one long row of numbers
        picture = start.detach().clone(memory_format=torch.contiguous_format).requires_grad_(True)
        optimiser, burst = self._optimiser(picture)
        found: dict[str, Tensor] = {}

        def closure() -> Tensor:
            optimiser.zero_grad()
            found.update(loss(picture))
            total = torch.stack(list(found.values())).sum()
            total.backward()  # type: ignore[no-untyped-call]
            return total

        while done < until:
            try:
                optimiser.step(closure)  # type: ignore[no-untyped-call]
            except LinAlgError as error:  # eigenvalues of what is not numbers
                raise _diverged(done, "style") from error
            _check_numbers(done, found, picture)
            done = min(until, done + burst)
            shown = picture.detach().clamp(0, 1)
            yield Look(done, shown, {k: float(v.detach()) for k, v in found.items()})

    def _optimiser(self, picture: Tensor) -> tuple[torch.optim.Adam | torch.optim.LBFGS, int]:
        """What changes a picture, and the steps it takes at once."""
        if self._config.optimiser == "adam":
            return torch.optim.Adam([picture], self._config.learning_rate), 1
        bursts = torch.optim.LBFGS(
            [picture], max_iter=_LBFGS_BURST, history_size=50, line_search_fn="strong_wolfe"
        )
        return bursts, _LBFGS_BURST

    def _features(self, pictures: Tensor, *groups: Layers) -> dict[tuple[int, str], Tensor]:
        """Activations in float32, whatever the precision they were computed in."""
        lower = self._dtype != torch.float32
        with torch.autocast(pictures.device.type, self._dtype, enabled=lower):
            found = features_of(self._encoders, pictures, *groups)
        return {key: value.float() for key, value in found.items()}

    def _objective(self, content: Tensor, scale: float, past: Past | None) -> Objective:
        config = self._config
        small = [max(32, round(side * scale)) for side in self._painting.shape[2:]]
        with torch.no_grad():
            goal = self._features(content, self._content)
            painting = self._features(_resized(self._painting, small), self._style)
            wanted = {k: [one.statistic(v) for one in self._losses] for k, v in painting.items()}

        def loss(picture: Tensor) -> dict[str, Tensor]:
            found = self._features(picture, self._content, self._style)
            kept = [
                w * losses.relative_distance(found[k], goal[k]) for k, w in self._content.items()
            ]
            alike = [
                w * one.each(found[k], target)
                for k, w in self._style.items()
                for one, target in zip(self._losses, wanted[k], strict=True)
            ]
            terms = {
                "content": config.content * torch.stack(kept).sum(),
                "style": config.style * torch.stack(alike).sum(),
                "variation": config.variation * losses.total_variation(picture),
                "range": 100 * losses.out_of_range(picture),
            }
            if past is not None:
                # Ruder 2016, equation 7, as a mean
                off = past.sure * (picture - past.picture).square()
                terms["temporal"] = config.temporal * off.mean()
            return terms

        return loss


def _check_numbers(step: int, terms: dict[str, Tensor], picture: Tensor) -> None:
    """Raise `TrainingError` unless losses, picture and slopes are finite."""
    seen = {**terms, "picture": picture}
    if picture.grad is not None:
        # optimisers square them: what is infinite then leaves the picture as it was, unsaid
        seen["slopes"] = picture.grad.square().sum()
    broken = [name for name, value in seen.items() if not torch.isfinite(value).all()]
    if broken:
        raise _diverged(step, ", ".join(broken))


def _diverged(step: int, broken: str) -> TrainingError:
    return TrainingError(
        f"step {step}: the losses are not numbers any more ({broken}): begin anew with lower "
        "weights (--style, --content), or with --optimiser adam and a lower --learning-rate"
    )


def past_of(before: Tensor, painted: Tensor, now: Tensor) -> Past:
    """Where the painting of the frame before leads (Ruder 2016, section 4).

    Frames and painting are (1, 3, H, W) float in 0..1. What was hidden before, and the edges of
    what moves, are not relied on.
    """
    then, here = _grey(before), _grey(now)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    back = np.asarray(dis.calc(here, then, None), np.float32)  # type: ignore[call-overload]
    forth = np.asarray(dis.calc(then, here, None), np.float32)  # type: ignore[call-overload]
    height, width = here.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    at = np.dstack([x, y]) + back
    returned = _remap(forth, at)
    reach, slack = _RELIABLE
    agree = _squared(back + returned) < reach * (_squared(back) + _squared(returned)) + slack
    agree &= (at >= 0).all(-1) & (at <= (width - 1, height - 1)).all(-1)
    steep, least = _EDGE
    edges = sum(_squared(g) for g in (np.gradient(back, axis=0), np.gradient(back, axis=1)))
    agree &= np.asarray(edges) < steep * _squared(back) + least
    picture = painted[0].permute(1, 2, 0).cpu().numpy()
    warped = torch.from_numpy(_remap(picture, at)).permute(2, 0, 1)[None]
    sure = torch.from_numpy(agree.astype(np.float32))[None, None]
    return Past(warped.to(now), sure.to(now))


def _remap(picture: NDArray[np.float32], at: NDArray[np.float32]) -> NDArray[np.float32]:
    found = cv2.remap(
        np.ascontiguousarray(picture),
        np.ascontiguousarray(at[..., 0]),
        np.ascontiguousarray(at[..., 1]),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(found, np.float32)


def _squared(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((flow**2).sum(-1), np.float32)


def _grey(picture: Tensor) -> NDArray[np.uint8]:
    """(1, 3, H, W) float in 0..1 -> (H, W) uint8."""
    levels = (picture[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return np.asarray(cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY), np.uint8)


def _resized(picture: Tensor, size: list[int]) -> Tensor:
    if list(picture.shape[2:]) == size:
        return picture
    return F.interpolate(picture, size=size, mode="bicubic", antialias=True).clamp(0, 1)
