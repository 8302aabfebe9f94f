"""One network for any painting: fusing, growing, its graphs and its command."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from methods_tools import CPU, SMALL, flags

from stylize_video.export.errors import TrainingError
from stylize_video.export.fusion import FusionNet, moments
from stylize_video.export.fusion_growth import fusion_from_onnx, grown_fusion
from stylize_video.export.fusion_onnx import as_stored, export_fusion
from stylize_video.export.methods.arbitrary import ArbitraryConfig, ArbitraryTrainer
from stylize_video.export.networks import Shape, crop_painting, pad_picture
from stylize_video.export.verify import open_session


@torch.no_grad()
@pytest.mark.parametrize(
    "shape",
    [SMALL, Shape(4, 8, 20, 1, 1), Shape(6, 8, 12, 2, 1), Shape(5, 9, 16, 2, 3)],
    ids=["same", "wider", "longer", "all"],
)
def test_a_network_read_back_and_grown_paints_the_same(shape: Shape) -> None:
    torch.manual_seed(0)
    network = FusionNet(SMALL)
    as_stored(network)
    again = fusion_from_onnx(export_fusion(network)["fp32"])
    assert again.shape == SMALL
    grown = grown_fusion(again, shape)
    picture, painting = torch.rand(1, 3, 64, 72), torch.rand(1, 3, 40, 48)
    expected = network(picture, network.code(painting), 0.7)
    found = grown(picture, grown.code(painting), 0.7)
    # head and doublings are stored as their phases, rounded to 16 bits
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)


def test_a_network_can_not_shrink() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        grown_fusion(FusionNet(SMALL), Shape(4, 8, 11, 1, 1))


def test_a_start_that_is_none_is_said(arbitrary: ArbitraryConfig) -> None:
    with pytest.raises(TrainingError, match=r"can't start from starry: .* of any painting"):
        ArbitraryTrainer(dataclasses.replace(arbitrary, start="starry"), CPU)


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
