"""Pixels optimised towards a painting: pictures and clips."""

import dataclasses
import math
import re
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from methods_tools import Material

from stylize_video.export.data import (
    load_painting,
    read_picture,
    to_tensor,
)
from stylize_video.export.errors import TrainingError
from stylize_video.export.features import load_features
from stylize_video.export.methods.optimize import OptimizeConfig, Optimizer, past_of
from stylize_video.export.style_losses import STYLE_LOSSES


@pytest.fixture(scope="session")
def subject(material: Material) -> tuple[torch.Tensor, torch.Tensor]:
    """A photo and a painting, (1, 3, H, W)."""
    photo = to_tensor(read_picture(sorted(material["photos"].iterdir())[0])[:96, :128])[None]
    return photo, load_painting(material["painting"], 96)


def settings(**changes: Any) -> OptimizeConfig:
    base = OptimizeConfig(
        steps=40, scales=1, style_layers="relu1_1 relu2_1", content_layers="relu2_2"
    )
    return dataclasses.replace(base, **changes)


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
@pytest.mark.parametrize("start", ["content", "noise", "style"])
def test_optimising_nears_both(
    optimiser: str, start: str, material: Material, subject: tuple[torch.Tensor, torch.Tensor]
) -> None:
    photo, painting = subject
    encoders = [load_features(str(material["features"]))]
    config = settings(optimiser=optimiser, start=start, learning_rate=0.05)
    looks = list(Optimizer(config, encoders, painting).paint(photo))
    first, last = looks[0].losses, looks[-1].losses
    assert sum(last.values()) < (0.9 if optimiser == "lbfgs" else 0.7) * sum(first.values())
    assert looks[-1].step == 40
    assert looks[-1].picture.shape == photo.shape
    assert 0 <= float(looks[-1].picture.min()) <= float(looks[-1].picture.max()) <= 1


def test_coarse_scales_come_first(
    material: Material, subject: tuple[torch.Tensor, torch.Tensor]
) -> None:
    photo, painting = subject
    config = settings(optimiser="adam", scales=2, steps=10)
    looks = list(
        Optimizer(config, [load_features(str(material["features"]))], painting).paint(photo)
    )
    sides = [look.picture.shape[-1] for look in looks]
    assert sides == [64] * 6 + [128] * 4
    assert [look.step for look in looks] == list(range(1, 11))


def test_the_past_is_led_along_and_relied_on_where_it_was_seen() -> None:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (24, 32, 3)).astype(np.uint8)
    wide = cv2.resize(coarse, (256, 192), interpolation=cv2.INTER_CUBIC)
    before, now = (to_tensor(np.ascontiguousarray(wide[:, s : s + 200]))[None] for s in (0, 6))
    past = past_of(before, before, now)
    inner = np.s_[..., 16:-16, 16:-32]
    assert float((past.picture - now)[inner].abs().mean()) < 0.03
    assert float(past.sure[inner].mean()) > 0.8
    assert float(past.sure[..., -4:].mean()) < float(past.sure[inner].mean())


def test_clips_follow_the_frame_before(
    material: Material, subject: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """The next frame starts from where the last one leads, and stays near it."""
    photo, painting = subject
    encoders = [load_features(str(material["features"]))]
    painted = list(Optimizer(settings(steps=20), encoders, painting).paint(photo))[-1].picture
    shifted = torch.roll(photo, 2, 3)
    past = past_of(photo, painted, shifted)
    off = []
    for weight in (0.0, 400.0):
        optimizer = Optimizer(settings(steps=20, temporal=weight), encoders, painting)
        after = list(optimizer.paint(shifted, past))[-1].picture
        off.append(float((past.sure * (after - past.picture).abs()).mean()))
    assert off[1] < 0.6 * off[0]


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_half_precision_is_that_of_the_loss_networks_alone(
    optimiser: str, material: Material, subject: tuple[torch.Tensor, torch.Tensor]
) -> None:
    photo, painting = subject
    encoders = [load_features(str(material["features"]))]
    looks = {}
    for precision in ("fp32", "bf16"):
        config = settings(
            optimiser=optimiser, start="noise", learning_rate=0.05, precision=precision
        )
        looks[precision] = list(Optimizer(config, encoders, painting).paint(photo))
    whole, half = looks["fp32"], looks["bf16"]
    assert half[0].losses["style"] != whole[0].losses["style"]
    assert sum(half[-1].losses.values()) < 0.8 * sum(half[0].losses.values())
    assert half[-1].picture.dtype == torch.float32
    if optimiser == "adam":  # whose steps are not searched for
        assert half[0].losses["style"] == pytest.approx(whole[0].losses["style"], rel=0.02)


@pytest.mark.parametrize("losses", ["gram", "correlation", "moments", "gaussian"])
def test_statistics_see_float32_whatever_the_precision(
    losses: str,
    material: Material,
    subject: tuple[torch.Tensor, torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = set()
    loss = STYLE_LOSSES[losses]

    def statistic(features: torch.Tensor) -> torch.Tensor:
        seen.add((features.dtype, torch.is_autocast_enabled("cpu")))
        return loss.statistic(features)

    watched = dataclasses.replace(loss, statistic=statistic)
    monkeypatch.setitem(STYLE_LOSSES, losses, watched)
    photo, painting = subject
    config = settings(optimiser="adam", steps=1, style_loss=losses, precision="bf16")
    list(Optimizer(config, [load_features(str(material["features"]))], painting).paint(photo))
    assert seen == {(torch.float32, False)}


@pytest.mark.parametrize(
    ("precision", "optimiser", "device", "expected"),
    [
        ("auto", "lbfgs", "cuda", torch.float32),
        ("auto", "adam", "cuda", torch.bfloat16),
        ("auto", "lbfgs", "cpu", torch.float32),
        ("auto", "adam", "cpu", torch.bfloat16),
        ("bf16", "lbfgs", "cpu", torch.bfloat16),
        ("fp32", "adam", "cuda", torch.float32),
    ],
)
def test_lbfgs_gets_half_precision_on_a_processor_only_when_asked(
    precision: Any,
    optimiser: Any,
    device: str,
    expected: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    config = settings(precision=precision, optimiser=optimiser)
    assert config.dtype(torch.device(device)) == expected


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
@pytest.mark.parametrize("style_loss", ["gram", "gaussian"])
@pytest.mark.parametrize("weight", [1e25, 1e30, 1e40])
def test_weights_beyond_all_numbers_are_one_error_that_names_the_step(
    optimiser: str,
    style_loss: str,
    weight: float,
    material: Material,
    subject: tuple[torch.Tensor, torch.Tensor],
) -> None:
    """Also where the losses are still finite: squared slopes are not, and nothing would move."""
    photo, painting = subject
    config = settings(optimiser=optimiser, style_loss=style_loss, style=weight, steps=20)
    optimizer = Optimizer(config, [load_features(str(material["features"]))], painting)
    with pytest.raises(TrainingError, match=r"^step 0: the losses are not numbers any more \(.+\)"):
        list(optimizer.paint(photo))


def test_the_step_at_which_losses_are_lost_counts_all_scales(
    material: Material,
    subject: tuple[torch.Tensor, torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objective = Optimizer._objective

    def lost(self: Optimizer, content: torch.Tensor, scale: float, past: Any) -> Any:
        loss = objective(self, content, scale, past)
        if scale < 1:
            return loss
        return lambda picture: {**loss(picture), "style": picture.sum() * torch.nan}

    monkeypatch.setattr(Optimizer, "_objective", lost)
    photo, painting = subject
    config = settings(optimiser="adam", scales=2, steps=10)
    optimizer = Optimizer(config, [load_features(str(material["features"]))], painting)
    seen = []
    with pytest.raises(TrainingError, match=r"step 6: .* \(style, picture, slopes\)"):
        seen.extend(optimizer.paint(photo))
    assert [look.step for look in seen] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate": 0.0}, "--learning-rate 0.0 can't be used"),
        ({"learning_rate": math.inf}, "--learning-rate inf can't be used"),
        ({"learning_rate": math.nan}, "--learning-rate nan can't be used"),
        ({"content": -1.0}, "the weight -1.0 of --content can't be used"),
        ({"style": math.nan}, "the weight nan of --style can't be used"),
        ({"variation": math.inf}, "the weight inf of --variation can't be used"),
        ({"temporal": -0.5}, "the weight -0.5 of --temporal can't be used"),
        ({"style_layers": "relu1_1:nan"}, "the weight nan of relu1_1 in --style-layers"),
        ({"content_layers": "relu2_2:-1"}, "the weight -1.0 of relu2_2 in --content-layers"),
        ({"content_layers": "relu2_2:x"}, "is not a list of layers"),
        ({"seed": -1}, "--seed -1 can't be used: give 0 or more"),
        ({"seed": 2**64}, "can't be used: give 0 or more, below 2^63"),
        ({"precision": "fp16"}, "there is no precision 'fp16': give one of auto, fp32, bf16"),
    ],
)
def test_settings_that_can_not_work_are_said(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(TrainingError, match=re.escape(said)):
        settings(**changes).check()


def test_settings_at_their_bounds_work() -> None:
    settings(content=0.0, style=0.0, variation=0.0, temporal=0.0, seed=2**63 - 1).check()
