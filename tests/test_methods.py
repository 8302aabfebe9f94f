"""Every other way of making a style, at small size, from its command to what is painted."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch

from stylize_video.export import cli
from stylize_video.export.data import load_painting, read_picture, to_tensor
from stylize_video.export.discriminator import PatchDiscriminator, fool_loss, judge_loss
from stylize_video.export.errors import DataError, TrainingError
from stylize_video.export.features import load_features
from stylize_video.export.fusion import FusionNet, moments
from stylize_video.export.fusion_onnx import as_stored, export_fusion
from stylize_video.export.methods.adversarial import AdversarialConfig, AdversarialTrainer
from stylize_video.export.methods.arbitrary import ArbitraryConfig, ArbitraryTrainer
from stylize_video.export.methods.optimize import OptimizeConfig, Optimizer, past_of
from stylize_video.export.networks import Shape, crop_painting, pad_picture
from stylize_video.export.train import read_config, train, trainer_for
from stylize_video.export.verify import open_session

CPU = torch.device("cpu")
SMALL = Shape(half=4, quarter=8, body=12, quarter_blocks=1, body_blocks=1)
Material = dict[str, Path]


@pytest.fixture(scope="session")
def paintings(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures in a style: diagonal stripes of two colours."""
    folder = tmp_path_factory.mktemp("paintings")
    y, x = np.mgrid[0:150, 0:170]
    for index in range(4):
        stripes = ((x + y * (index + 1)) // 9 % 2)[..., None]
        picture = np.where(stripes, (30, 60, 220), (240, 220, 90)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), picture)
    return folder


@pytest.fixture
def arbitrary(material: Material, paintings: Path) -> ArbitraryConfig:
    return ArbitraryConfig(
        painting=str(paintings),
        photos=str(material["photos"]),
        features=(str(material["features"]),),
        steps=6,
        batch=2,
        crop=64,
        painting_side=128,
        style_layers="relu1_1:1 relu2_1:1",
        content_layers="relu2_2:1",
        precision="fp32",
    )


@pytest.fixture
def adversarial(material: Material, paintings: Path) -> AdversarialConfig:
    return AdversarialConfig(
        painting=str(paintings),
        photos=str(material["photos"]),
        features=(str(material["features"]),),
        tier="fast",
        steps=6,
        batch=2,
        crop=64,
        style_layers="relu1_1:1 relu2_1:1",
        content_layers="relu2_2:1",
        precision="fp32",
        cycle=1.0,
    )


# --- any painting at once


def test_a_code_is_the_statistics_and_fusing_sets_them() -> None:
    torch.manual_seed(0)
    network = FusionNet(SMALL)
    pictures = torch.rand(2, 3, 64, 48)
    levels = network.encode(pictures)
    own, other = network.code_of(levels), network.code(torch.rand(2, 3, 32, 40))
    assert own.shape == (2, network.code_size)
    for fused, level in zip(network.fuse(levels, own), levels, strict=True):
        torch.testing.assert_close(fused, level, atol=1e-4, rtol=1e-3)
    found = torch.cat([v for level in network.fuse(levels, other) for v in moments(level)], 1)
    alive = torch.cat([v.expand(2, -1) for level in levels for v in (moments(level)[1],) * 2], 1)
    torch.testing.assert_close(found[alive > 0.05], other[alive > 0.05], atol=2e-2, rtol=5e-2)


@torch.no_grad()
def test_alpha_leads_from_the_own_code_to_the_other() -> None:
    torch.manual_seed(0)
    network = FusionNet(SMALL)
    picture, code = torch.rand(1, 3, 64, 64), network.code(torch.rand(1, 3, 64, 64) * 0.3)
    own = network(picture, network.code(picture))
    torch.testing.assert_close(network(picture, code, 0.0), own, atol=1e-5, rtol=1e-4)
    away = [float((network(picture, code, a) - own).abs().mean()) for a in (0.25, 0.5, 0.75, 1.0)]
    assert away == sorted(away)
    assert away[0] > 0


@pytest.mark.parametrize("size", [(64, 72), (101, 77), (33, 40), (2, 2)])
def test_both_graphs_compute_what_torch_computes(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = FusionNet(SMALL).eval()
    as_stored(network)
    sessions = {kind: open_session(model) for kind, model in export_fusion(network).items()}
    random = np.random.default_rng(0)
    frame = random.integers(0, 256, (1, *size, 3), dtype=np.uint8)
    painting = random.integers(0, 256, (1, 90, 120, 3), dtype=np.uint8)
    (code,) = sessions["code"].run(None, {"painting": painting})
    with torch.no_grad():
        expected = network.code(pad_picture(picture_of(painting)))
        np.testing.assert_allclose(code, expected, atol=2e-3, rtol=2e-3)
        for alpha in (0.0, 0.4, 1.0):
            tensors = {"frame": frame, "code": code, "alpha": np.array([[alpha]], np.float32)}
            (painted,) = sessions["fp32"].run(None, tensors)
            padded = network(pad_picture(picture_of(frame)), torch.from_numpy(code), alpha)
            levels = crop_painting(padded, *size).clamp(0, 1) * 255
            np.testing.assert_allclose(picture_of(painted) * 255, levels, atol=0.76)


def picture_of(pixels: Any) -> torch.Tensor:
    """(1, H, W, 3) uint8 -> (1, 3, H, W) float in 0..1."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def test_a_run_brings_photos_back_and_styles_closer(arbitrary: ArbitraryConfig) -> None:
    longer = dataclasses.replace(arbitrary, steps=60, learning_rate=3e-3)
    curve = list(ArbitraryTrainer(longer, CPU).run(60))
    for name, factor in (("style", 0.6), ("identity", 0.7)):
        before, after = (np.mean([s[name] for s in part]) for part in (curve[:8], curve[-8:]))
        assert after < factor * before, name


@pytest.mark.slow
def test_the_command_makes_a_style_that_paints_like_any_painting(
    arbitrary: ArbitraryConfig, tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from stylize_video.realtime import cli as program

    folder = tmp_path / "any"
    arguments = ["train", "--method", "arbitrary", *flags(arbitrary, folder)]
    assert program.run([*arguments, "--crop", "64", "--evaluate"]) == 0
    said = capsys.readouterr().err
    assert "photo_psnr_db" in said
    assert "similarity" in said
    card = json.loads((folder / "style.json").read_text())
    assert set(card["files"]) == {"fp32", "int8", "code"}
    assert card["measured"]["int8_psnr_db"] > 20
    assert card["training"]["command"].startswith("stylize train --method arbitrary")
    one, two = sorted(Path(arbitrary.painting).iterdir())[:2]
    target = tmp_path / "painted.mp4"
    video = ["video", str(clip), str(target), "--style", str(folder), "--quiet", "--overwrite"]
    assert program.run([*video, "--painting", str(one), "--temporal", "off"]) == 0
    assert program.run([*video, "--painting", f"{one}:0.3", "--painting", f"{two}:0.7"]) == 0
    assert target.is_file()
    assert program.run(video) == 1
    assert "say which by --painting FILE" in capsys.readouterr().err
    assert program.run(["image", str(one), "--painting", str(two), "--quiet"]) == 1
    assert "paints like one painting only" in capsys.readouterr().err
    assert program.run([*video, "--painting", str(tmp_path / "none.png")]) == 1
    assert "none.png" in capsys.readouterr().err


def flags(config: Any, folder: Path) -> list[str]:
    """The command line of a small run."""
    return [
        config.painting, "--photos", config.photos, "-o", str(folder), "--features",
        config.features[0], "--steps", "4", "--batch", "2", "--style-layers", config.style_layers,
        "--content-layers", config.content_layers, "--device", "cpu", "--precision", "fp32",
        "--quiet",
    ]  # fmt: skip


# --- adversarial


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["lsgan", "nonsaturating"])
def test_a_discriminator_learns_to_tell_and_a_painter_to_fool(loss: str) -> None:
    torch.manual_seed(0)
    judge = PatchDiscriminator(8)
    real = (torch.rand(4, 3, 64, 64) > 0.5).float()
    fake = torch.full((4, 3, 64, 64), 0.5).requires_grad_(True)
    optimiser = torch.optim.Adam(judge.parameters(), 2e-3)

    def separation() -> float:
        with torch.no_grad():
            return float(judge(real).mean() - judge(fake).mean())

    before = separation()
    for _ in range(30):
        optimiser.zero_grad()
        judge_loss(loss, judge(real), [judge(fake.detach())]).backward()
        optimiser.step()
    assert separation() > before + 0.3
    fooled = fool_loss(loss, judge(fake))
    (slope,) = torch.autograd.grad(fooled, fake)
    with torch.no_grad():
        assert float(fool_loss(loss, judge(fake - 0.02 * slope.sign()))) < float(fooled)
    assert judge(real).shape == (4, 1, 8, 8)


@pytest.mark.slow
def test_the_discriminator_separates_before_and_the_generator_closes_in(
    adversarial: AdversarialConfig,
) -> None:
    """Trained alone it tells paint from paintings; then the paint nears the paintings' texture."""
    longer = dataclasses.replace(
        adversarial, steps=70, first_steps=0.1, blend_from=0.6, freeze_at=0.9, learning_rate=4e-3
    )
    trainer = AdversarialTrainer(longer, CPU)
    curve = list(trainer.run(70))
    assert "adversary" not in curve[0]
    assert "rebuild" in curve[0]
    assert max(step["separation"] for step in curve[7:30]) > 0.2
    style = [step["style"] for step in curve[7:]]
    assert np.mean(style[-8:]) < 0.8 * np.mean(style[:8])
    assert trainer.network.frozen


def test_the_command_makes_an_adversarial_style(
    adversarial: AdversarialConfig, tmp_path: Path, clip: Path
) -> None:
    from stylize_video.realtime import cli as program

    folder = tmp_path / "cartoon"
    more = ["--method", "adversarial", "--tier", "fast", "--crop", "64", "--loss", "nonsaturating"]
    assert program.run(["train", *more, *flags(adversarial, folder)]) == 0
    target = tmp_path / "painted.mp4"
    assert program.run(["video", str(clip), str(target), "--style", str(folder), "--quiet"]) == 0


# --- resuming


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


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize(
    ("method", "changes", "said"),
    [
        ("arbitrary", {"crop": 50}, "give a multiple of 32 from 64"),
        ("arbitrary", {"steps": 0}, "0 steps"),
        ("arbitrary", {"photo_styles": 1.5}, "a share of 1.5 of styles"),
        ("arbitrary", {"style_loss": "x"}, "there is no style loss 'x'"),
        ("arbitrary", {"content_layers": "relu9_1"}, "no loss network has a layer 'relu9_1'"),
        ("adversarial", {"tier": "huge"}, "give one of fast, balanced, fine"),
        ("adversarial", {"loss": "wgan"}, "give lsgan or nonsaturating"),
        ("adversarial", {"crop": 50}, "give a multiple of 32 from 64"),
        ("adversarial", {"batch": 0}, "0 pictures"),
        ("adversarial", {"freeze_at": 0.2}, "can't be blended"),
    ],
)
def test_settings_that_can_not_work(
    method: str, changes: dict[str, Any], said: str, request: pytest.FixtureRequest
) -> None:
    config = dataclasses.replace(request.getfixturevalue(method), **changes)
    with pytest.raises(TrainingError, match=said):
        trainer_for(config, CPU)


def test_an_empty_folder_of_paintings_is_said(
    adversarial: AdversarialConfig, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="holds no photos"):
        trainer_for(dataclasses.replace(adversarial, painting=str(tmp_path)), CPU)


# --- optimising pixels


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


Data = Callable[[str], Path]


@pytest.mark.slow
def test_real_paintings(data: Data, tmp_path: Path) -> None:
    """A few steps of both methods with real photos, paintings and features."""
    vgg = str(data("vgg/vgg19_conv1_1-conv3_4_caffe_rgb.fp16.safetensors"))
    common = {"painting": str(data("styles")), "photos": str(data("photos")), "features": (vgg,)}
    configs = [
        ArbitraryConfig(**common, steps=4, batch=2, crop=96),  # type: ignore[arg-type]
        AdversarialConfig(**common, steps=6, batch=2, crop=96, tier="fast"),  # type: ignore[arg-type]
    ]
    for config in configs:
        trainer = train(config, tmp_path / config.method, device="cpu")
        assert all(np.isfinite(list(step.values())).all() for step in trainer.curve)
