"""Pixels optimised towards a painting: pictures and clips."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from methods_tools import Material

from stylize_video.export import cli
from stylize_video.export.data import (
    load_painting,
    read_picture,
    to_tensor,
)
from stylize_video.export.features import load_features
from stylize_video.export.methods.optimize import OptimizeConfig, Optimizer, past_of


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


def test_the_command_optimises_pictures_and_clips(
    material: Material, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = sorted(material["photos"].iterdir())[0]
    target = tmp_path / "painted.png"
    common = ["--features", str(material["features"]), "--style-layers", "relu1_1 relu2_1"]
    common += ["--content-layers", "relu2_2", "--size", "96", "--painting-side", "64"]
    command = ["optimize", str(photo), str(material["painting"]), "-o", str(target), *common]
    assert cli.run([*command, "--steps", "20", "--scales", "1", "--preview-every", "10"]) == 0
    assert cv2.imread(str(target)).shape[1] == 96
    record = json.loads(target.with_suffix(".json").read_text())
    assert sum(record["curve"][-1].values()) < sum(record["curve"][0].values())
    assert record["config"]["steps"] == 20
    assert cli.run(command) == 1
    assert "pass --overwrite" in capsys.readouterr().err
    film = tmp_path / "painted.mp4"
    command = ["optimize", str(clip), str(material["painting"]), "-o", str(film), *common]
    assert cli.run([*command, "--steps", "10", "--frame-steps", "5", "--frames", "4"]) == 0
    with av.open(str(film)) as painted, av.open(str(clip)) as source:
        found = [frame.pts * frame.time_base for frame in painted.decode(video=0)]
        expected = [frame.pts * frame.time_base for frame in source.decode(video=0)][:4]
    assert found == expected
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "painted.json", "painted.mp4", "painted.png",
    ]  # fmt: skip


def test_an_interrupted_picture_is_kept_under_a_name_that_says_so(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Optimizer.paint

    def interrupted(self: Optimizer, photo: torch.Tensor) -> Any:
        yield next(iter(looks(self, photo)))
        raise KeyboardInterrupt

    monkeypatch.setattr(Optimizer, "paint", interrupted)
    photo = sorted(material["photos"].iterdir())[0]
    command = ["optimize", str(photo), str(material["painting"]), "-o", str(tmp_path / "x.png")]
    command += ["--features", str(material["features"]), "--style-layers", "relu1_1"]
    command += ["--content-layers", "relu2_2", "--size", "96", "--scales", "1"]
    with pytest.raises(KeyboardInterrupt, match=r"the picture of step 10 is in .*x\.partial\.png"):
        cli.run(command)
    assert [p.name for p in tmp_path.iterdir()] == ["x.partial.png"]


@pytest.mark.parametrize("place", [0, 1])
def test_missing_pictures_are_said_before_weights_are_fetched(
    place: int, material: Material, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(sorted(material["photos"].iterdir())[0]), str(material["painting"])]
    given[place] = str(tmp_path / "nope.png")
    command = ["optimize", *given, "-o", str(tmp_path / "x.png"), "--features", "nowhere"]
    assert cli.run(command) == 1
    assert "nope.png does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--steps", "0"], "0 steps on 2 scales"),
        (["--optimiser", "sgd"], "give lbfgs or adam"),
        (["--start", "black"], "give content, noise or style"),
        (["--size", "10"], "give --size 64 or more"),
        (["--features", "nowhere"], "there is no weights file nowhere"),
    ],
)
def test_the_command_says_what_can_not_work(
    more: list[str],
    said: str,
    material: Material,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photo = sorted(material["photos"].iterdir())[0]
    command = ["optimize", str(photo), str(material["painting"]), "-o", str(tmp_path / "x.png")]
    assert cli.run([*command, *more]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
