"""Training: what it learns, that it resumes bit for bit, and how it says what is wrong."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from methods_tools import small_run

from stylize_video.export import cli
from stylize_video.export._machine import Precision, pick_dtype
from stylize_video.export.data import (
    Augmentation,
    PhotoStream,
    draw_motion,
    list_photos,
    load_painting,
)
from stylize_video.export.errors import DataError, TrainingError
from stylize_video.export.layers import parse_layers
from stylize_video.export.methods.perceptual import PerceptualConfig, PerceptualTrainer
from stylize_video.export.networks import TIERS, StyleNet
from stylize_video.export.onnx import export_onnx
from stylize_video.export.quantize import round_weights
from stylize_video.export.train import read_config, train

CPU = torch.device("cpu")


@pytest.fixture
def config(material: dict[str, Path]) -> PerceptualConfig:
    return PerceptualConfig(
        painting=str(material["painting"]),
        tier="fast",
        steps=8,
        painting_side=128,
        **small_run(material),
    )


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["network"]  # type: ignore[no-any-return]


def test_a_run_brings_the_style_closer_and_another_goes_on_from_there(
    config: PerceptualConfig, tmp_path: Path
) -> None:
    longer = dataclasses.replace(
        config, steps=60, blend_from=0.3, freeze_at=0.5, learning_rate=5e-3
    )
    trainer = PerceptualTrainer(longer, CPU)
    curve = list(trainer.run(60))
    style, content = ([terms[name] for terms in curve] for name in ("style", "content"))
    assert trainer.network.frozen
    # medians: at this step size single steps leap
    assert np.median(style[-8:]) < 0.5 * np.median(style[:8])
    assert np.median(content[-8:]) < 2 * longer.content  # of what is nothing like the photo: 1
    finished = trainer.network.folded()
    round_weights(finished)
    onnx.save(export_onnx(finished), tmp_path / "style.onnx")
    again = PerceptualTrainer(
        dataclasses.replace(longer, start=str(tmp_path / "style.onnx"), learning_rate=1e-3), CPU
    )
    begun = [terms["style"] for terms in again.run(8)]
    assert np.median(begun) < 0.7 * np.median(style[:8])


@pytest.mark.parametrize(
    ("stop", "precision"), [(1, "fp32"), (4, "fp32"), (6, "fp32"), (3, "bf16")]
)
def test_a_resumed_run_equals_one_that_never_stopped(
    stop: int, precision: Precision, config: PerceptualConfig, tmp_path: Path
) -> None:
    """Before, at and after the step at which norms freeze."""
    config = dataclasses.replace(config, precision=precision)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, whole, device="cpu", checkpoint_every=100)

    def interrupt(progress: object) -> None:
        if progress.step == stop and not progress.preview:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, parts, device="cpu", checkpoint_every=100, on_step=interrupt)
    assert torch.load(parts / "checkpoint.pt", weights_only=True)["step"] == stop
    train(read_config(parts), parts, device="cpu", checkpoint_every=100, resume=True)
    expected, got = state_of(whole), state_of(parts)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[k], got[k]) for k in expected)
    curves = [json.loads((f / "training.json").read_text())["curve"] for f in (whole, parts)]
    assert curves[0] == curves[1]


def test_a_run_leaves_previews_checkpoints_and_a_record(
    config: PerceptualConfig, tmp_path: Path
) -> None:
    seen = []
    train(config, tmp_path / "run", device="cpu", checkpoint_every=4, on_step=seen.append)
    names = sorted(p.name for p in (tmp_path / "run").iterdir())
    assert names == ["checkpoint.pt", "preview_000004.jpg", "preview_000008.jpg", "training.json"]
    record = json.loads((tmp_path / "run" / "training.json").read_text())
    assert record["config"]["seed"] == 0
    assert len(record["curve"]) == 8
    assert record["versions"]["torch"] == torch.__version__
    preview = cv2.imread(str(tmp_path / "run" / "preview_000008.jpg"))
    assert preview.shape == (2 * 64, 4 * 64, 3)
    assert seen[-1].step == 8
    assert seen[0].seconds_left > 0
    assert read_config(tmp_path / "run") == config


def test_a_run_can_start_from_a_finished_style(config: PerceptualConfig, tmp_path: Path) -> None:
    """Norms blended over, the new run's network paints what the finished one paints."""
    finished = train(config, tmp_path / "run", device="cpu").network.folded()
    file = tmp_path / "style.onnx"
    round_weights(finished)
    onnx.save(export_onnx(finished), file)
    trainer = PerceptualTrainer(dataclasses.replace(config, start=str(file)), CPU)
    photos = trainer._stream.batch(config.steps + 2)
    for norm in trainer.network.eval().norms():
        norm.blend = 1.0
    with torch.no_grad():
        painted, expected = trainer.network(photos), finished(photos)
    assert float((painted - expected).abs().mean()) < 0.02 * float(expected.std())
    assert not trainer.network.frozen
    larger = StyleNet(TIERS["balanced"])
    for norm in larger.norms():
        norm.freeze()
    onnx.save(export_onnx(larger.folded()), file)
    with pytest.raises(TrainingError, match="has more layers than the tier fast"):
        PerceptualTrainer(dataclasses.replace(config, start=str(file)), CPU)
    named = dataclasses.replace(config, start="starry-fast")  # by its name in the catalogue
    assert not torch.equal(
        PerceptualTrainer(named, CPU).network.stem.weight,
        PerceptualTrainer(config, CPU).network.stem.weight,
    )
    file.write_bytes(b"no model")
    with pytest.raises(TrainingError, match="can't start from"):
        PerceptualTrainer(dataclasses.replace(config, start=str(file)), CPU)


def test_the_seed_decides(config: PerceptualConfig) -> None:
    def first_losses(seed: int) -> dict[str, float]:
        return next(iter(PerceptualTrainer(dataclasses.replace(config, seed=seed), CPU).run(8)))

    assert first_losses(3) == first_losses(3)
    assert first_losses(3) != first_losses(4)


def test_losses_that_are_no_numbers_stop_the_run(
    config: PerceptualConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poison(self: PerceptualTrainer, photos: torch.Tensor) -> torch.Tensor:
        return photos * float("nan") if self.step == 5 else photos * self.network.head.bias.sum()

    monkeypatch.setattr(PerceptualTrainer, "_paint", poison)
    folder = tmp_path / "run"
    settings = dataclasses.replace(config, freeze_at=0.95)
    with pytest.raises(
        TrainingError, match=r"step 5: the losses are not numbers any more \(.*style"
    ):
        train(settings, folder, device="cpu", checkpoint_every=2)
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["step"] == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tier": "huge"}, "give one of fast, balanced, fine"),
        ({"crop": 100}, "give a multiple of 32 from 64"),
        ({"painting_side": 32}, "a painting of 32 pixels is smaller than the crop of 64"),
        ({"steps": 0}, "0 steps"),
        ({"freeze_at": 1.5}, "can't be blended from 0.35 to 1.5"),
        ({"blend_from": 0.7}, "can't be blended from 0.7 to 0.65"),
        ({"start": "nowhere.onnx"}, "can't start from nowhere.onnx: .*No such file"),
        ({"style_layers": "relu1_1:x"}, "is not a list of layers"),
        ({"style_layers": ""}, "at least one layer"),
        ({"content_layers": "relu9_9"}, "no loss network has a layer 'relu9_9'"),
    ],
)
def test_settings_that_can_not_work(
    changes: dict[str, object], said: str, config: PerceptualConfig
) -> None:
    with pytest.raises(TrainingError, match=said):
        PerceptualTrainer(dataclasses.replace(config, **changes), CPU)  # type: ignore[arg-type]


def test_photos_that_can_not_be_read(config: PerceptualConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder of photos"):
        list_photos(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no photos"):
        list_photos(tmp_path)
    good = list_photos(Path(config.photos))[0].read_bytes()
    for index in range(4):
        (tmp_path / f"{index}.jpg").write_bytes(b"not a picture" if index else good)
    stream = PhotoStream(list_photos(tmp_path), 4, 64, 0, Augmentation())
    assert stream.batch(0).shape == (4, 3, 64, 64)
    assert stream.broken
    (tmp_path / "0.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="20 photos in a row can't be read"):
        stream.batch(1)


def test_paintings_that_can_not_be_used(config: PerceptualConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read: No such file"):
        load_painting(tmp_path / "none.jpg", 100)
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(DataError, match="is not a readable picture"):
        load_painting(tmp_path / "text.jpg", 100)


@pytest.mark.parametrize(
    ("able", "chosen"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_half_precision_is_chosen_where_it_pays(
    able: dict[str, bool], chosen: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert pick_dtype("auto", torch.device("cpu")) == chosen
    assert pick_dtype("fp32", torch.device("cpu")) == torch.float32
    assert pick_dtype("bf16", torch.device("cpu")) == torch.bfloat16
    assert pick_dtype("auto", torch.device("cuda")) == torch.bfloat16


def test_batches_do_not_depend_on_the_way_there(config: PerceptualConfig) -> None:
    photos = list_photos(Path(config.photos))
    stream = PhotoStream(photos, 2, 64, 5, Augmentation())
    ahead = list(stream.batches(3, 6))
    assert all(torch.equal(ahead[i], stream.batch(3 + i)) for i in range(3))
    assert not torch.equal(ahead[0], ahead[1])
    assert 0 <= float(ahead[0].min()) <= float(ahead[0].max()) <= 1


def test_motions_say_exactly_where_pixels_came_from() -> None:
    side = 96
    index = torch.arange(side * side, dtype=torch.float32).view(1, 1, side, side)
    for seed in range(20):
        motion = draw_motion(np.random.default_rng(seed), side, 16)
        moved = motion.apply(index)
        # nearest pixels: every value is one of the first picture's, none a mixture
        assert torch.equal(moved, moved.round())
        x = ((motion.grid[0, ..., 0] + 1) * side - 1) / 2
        y = ((motion.grid[0, ..., 1] + 1) * side - 1) / 2
        inside = motion.valid[0, 0] > 0
        expected = y.round() * side + x.round()
        assert torch.equal(moved[0, 0][inside], expected[inside])
        assert 0.2 < float(motion.valid.mean()) < 1


@pytest.mark.parametrize(
    ("text", "layers"),
    [("a", {"a": 1.0}), ("a:2 b:0.5", {"a": 2.0, "b": 0.5}), ("a: b:3", {"a": 1.0, "b": 3.0})],
)
def test_layer_lists(text: str, layers: dict[str, float]) -> None:
    assert parse_layers(text) == layers


# --- the command


def command(config: PerceptualConfig, folder: Path, *more: str) -> list[str]:
    return [
        "train", config.painting, "--photos", config.photos, "-o", str(folder),
        "--features", config.features[0], "--tier", "fast", "--steps", "6", "--batch", "2",
        "--crop", "64", "--painting-side", "128", "--style-layers", config.style_layers,
        "--content-layers", config.content_layers, "--device", "cpu", "--precision", "fp32", *more,
    ]  # fmt: skip


def test_the_command_trains_exports_and_the_result_paints(
    config: PerceptualConfig, tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from stylize_video.realtime import cli as program

    folder = tmp_path / "my-style"
    assert program.run([*command(config, folder), "--evaluate"]) == 0
    said = capsys.readouterr().err
    for figure in ("content", "style_gram", "style_correlation", "similarity", "sharpness"):
        assert figure in said
    assert (folder / "curves.png").is_file()
    assert "step 6:" in said
    assert "int8_psnr_db" in said
    assert (folder / "my-style.int8.onnx").is_file()
    target = tmp_path / "painted.mp4"
    assert program.run(["video", str(clip), str(target), "--style", str(folder), "--quiet"]) == 0
    assert target.is_file()


def test_a_run_is_not_overwritten_and_resumes_only_as_it_began(
    config: PerceptualConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert cli.run(command(config, folder, "--no-export")) == 0
    assert cli.run(command(config, folder, "--no-export")) == 1
    assert "holds a run already: pass --resume" in capsys.readouterr().err
    assert cli.run(["train", "-o", str(folder), "--resume", "--batch", "3"]) == 1
    assert "--batch 3 differs from the run's 2" in capsys.readouterr().err
    assert cli.run(["train", "-o", str(folder), "--resume", "--no-export"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "-o", "{0}/r"], "a new run needs a painting"),
        (["train", "p.jpg", "-o", "{0}/r"], "a new run needs --photos DIR"),
        (["train", "-o", "{0}/r", "--resume"], "there is no folder"),
        (["export", "{0}/r"], "there is no folder"),
        (["export", "{0}"], "has no checkpoint.pt: name the folder of a training run"),
        (
            ["train", "{0}/p.jpg", "--photos", "{0}", "-o", "{0}/r", "--device", "tpu"],
            "--device tpu",
        ),
    ],
)
def test_the_command_says_what_is_missing(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([a.format(tmp_path) for a in arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_a_damaged_checkpoint_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"\x80damaged")
    assert cli.run(["train", "-o", str(tmp_path), "--resume"]) == 1
    assert "checkpoint.pt can't be read" in capsys.readouterr().err


def test_a_full_disk_keeps_the_last_checkpoint(
    config: PerceptualConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = PerceptualTrainer(config, CPU)
    trainer.save(tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def full(*_: object) -> None:
        (tmp_path / "checkpoint.pt.part").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match="No space left"):
        trainer.save(tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


Data = Callable[[str], Path]


@pytest.mark.slow
def test_real_features_and_photos(data: Data, tmp_path: Path) -> None:
    """A few steps with what the catalogue's styles were trained with."""
    config = PerceptualConfig(
        painting=str(data("styles/vangogh_starry_night.jpg")),
        photos=str(data("photos")),
        features=(str(data("vgg/vgg19_conv1_1-conv3_4_caffe_rgb.fp16.safetensors")),),
        tier="fast",
        steps=12,
        batch=2,
        crop=96,
        painting_side=256,
    )
    trainer = train(config, tmp_path / "run", device="cpu")
    assert trainer.network.frozen
    record = json.loads((tmp_path / "run" / "training.json").read_text())
    assert all(np.isfinite(list(step.values())).all() for step in record["curve"])
    assert record["broken_photos"] == []
