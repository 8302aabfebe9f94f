"""What every way to train promises: resuming, settings that are refused, real paintings."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from methods_tools import CPU, same

from stylize_video.export.errors import DataError, TrainingError
from stylize_video.export.methods.adversarial import AdversarialConfig
from stylize_video.export.methods.arbitrary import ArbitraryConfig
from stylize_video.export.train import read_config, train, trainer_for


@pytest.mark.parametrize("method", ["arbitrary", "adversarial"])
@pytest.mark.parametrize("stop", [2, 5])
def test_a_resumed_run_equals_one_that_never_stopped(
    method: str, stop: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    config = request.getfixturevalue(method)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, whole, device="cpu", checkpoint_every=100)

    def interrupt(progress: Any) -> None:
        if progress.step == stop and not progress.preview:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, parts, device="cpu", checkpoint_every=100, on_step=interrupt)
    assert read_config(parts) == config
    train(read_config(parts), parts, device="cpu", checkpoint_every=100, resume=True)
    states = [torch.load(f / "checkpoint.pt", weights_only=True) for f in (whole, parts)]
    names = [name for name in states[0] if name not in ("config", "step", "curve")]
    assert {"network", "optimiser"} <= set(names)
    for name in names:
        assert same(states[0][name], states[1][name]), name
    curves = [json.loads((f / "training.json").read_text())["curve"] for f in (whole, parts)]
    assert curves[0] == curves[1]


@pytest.mark.parametrize(
    ("method", "changes", "said"),
    [
        ("arbitrary", {"crop": 50}, "give a multiple of 32 from 64"),
        ("arbitrary", {"steps": 0}, "0 steps"),
        ("arbitrary", {"photo_styles": 1.5}, "--photo-styles 1.5 is not a share: give 0 to 1"),
        ("arbitrary", {"style_crop": 100}, "crops of styles of 100 pixels can't be used"),
        ("arbitrary", {"style_pool": 0}, "a pool of 0 styles: give 1 or more"),
        ("arbitrary", {"plain": -0.1}, "--plain -0.1 can't be used: give 0 or more"),
        ("arbitrary", {"style_loss": "x"}, "there is no style loss 'x'"),
        ("arbitrary", {"content_layers": "relu9_1"}, "no loss network has a layer 'relu9_1'"),
        ("adversarial", {"tier": "huge"}, "give one of fast, balanced, fine"),
        ("adversarial", {"loss": "wgan"}, "give lsgan or nonsaturating"),
        ("adversarial", {"crop": 50}, "give a multiple of 32 from 64"),
        ("adversarial", {"batch": 0}, "0 pictures"),
        ("adversarial", {"freeze_at": 0.2}, "can't be blended"),
        ("adversarial", {"seed": -1}, "--seed -1 can't be used: give 0 or more"),
        ("adversarial", {"learning_rate": math.nan}, "--learning-rate nan can't be used"),
        ("arbitrary", {"learning_rate": 0.0}, "a --learning-rate of 0 learns nothing"),
        ("arbitrary", {"content": math.inf}, "--content inf can't be used"),
        ("arbitrary", {"precision": "fp16"}, "give one of auto, fp32, bf16"),
        ("adversarial", {"first_steps": 2.0}, "--first-steps 2.0 is not a share"),
    ],
)
def test_settings_that_can_not_work(
    method: str, changes: dict[str, Any], said: str, request: pytest.FixtureRequest
) -> None:
    config = dataclasses.replace(request.getfixturevalue(method), **changes)
    with pytest.raises(TrainingError, match=said):
        trainer_for(config, CPU)


def test_a_checkpoint_with_other_layers_is_said(arbitrary: ArbitraryConfig, tmp_path: Path) -> None:
    trainer = trainer_for(dataclasses.replace(arbitrary, style_pool=2), CPU)
    trainer.save(tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    state["network"].pop("stem.bias")
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match=r"of another version .* its network does not fit"):
        trainer.load(tmp_path)


def test_an_empty_folder_of_paintings_is_said(
    adversarial: AdversarialConfig, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="holds no photos"):
        trainer_for(dataclasses.replace(adversarial, painting=str(tmp_path)), CPU)


@pytest.mark.parametrize("method", ["arbitrary", "adversarial"])
@pytest.mark.parametrize("what", ["photos", "painting"])
def test_missing_pictures_are_said_before_weights_are_fetched(
    method: str, what: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    missing = str(tmp_path / "nope")
    config = dataclasses.replace(
        request.getfixturevalue(method), features=("nowhere",), **{what: missing}
    )
    with pytest.raises(DataError, match="nope"):
        trainer_for(config, CPU)


Data = Callable[[str], Path]


@pytest.mark.slow
def test_real_paintings(data: Data, tmp_path: Path) -> None:
    """A few steps of both methods with real photos, paintings and features."""
    vgg = str(data("vgg/vgg19_conv1_1-conv3_4_caffe_rgb.fp16.safetensors"))
    common = {"painting": str(data("styles")), "photos": str(data("photos")), "features": (vgg,)}
    configs = [
        ArbitraryConfig(**common, steps=4, batch=2, crop=96, style_pool=6),  # type: ignore[arg-type]
        AdversarialConfig(**common, steps=6, batch=2, crop=96, tier="fast"),  # type: ignore[arg-type]
    ]
    for config in configs:
        trainer = train(config, tmp_path / config.method, device="cpu")
        assert all(np.isfinite(list(step.values())).all() for step in trainer.curve)
