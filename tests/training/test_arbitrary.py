"""One network for any painting: fusing, growing, its graphs and its command."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from methods_tools import CPU, SMALL, flags
from torch.nn import functional as F

from stylize_video.export import losses
from stylize_video.export.card import CATALOGUE
from stylize_video.export.colours import AXES, SIZE, SPREAD, canonical, coloured, colours_of
from stylize_video.export.data import load_painting
from stylize_video.export.errors import TrainingError
from stylize_video.export.fusion import FusionNet, Modulated, Modulation, moments
from stylize_video.export.fusion_equalize import equalize_fusion
from stylize_video.export.fusion_growth import fusion_from_onnx, grown_fusion
from stylize_video.export.fusion_onnx import as_stored, export_fusion
from stylize_video.export.fusion_start import fusion_from_style
from stylize_video.export.methods.arbitrary import ArbitraryConfig, ArbitraryTrainer
from stylize_video.export.networks import Shape, StyleNet, crop_painting, pad_picture
from stylize_video.export.verify import open_session

SAMPLES = Path(__file__).resolve().parent.parent.parent / "samples"


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


@torch.no_grad()
def test_equalized_layers_paint_the_same_with_channels_of_like_ranges() -> None:
    torch.manual_seed(0)
    network, picture = FusionNet(SMALL), torch.rand(1, 3, 64, 72)
    for module in network.modules():
        if isinstance(module, Modulated):
            module.weight.mul_(10 ** torch.randn(len(module.weight), 1, 1, 1))
    code = network.code(torch.rand(1, 3, 40, 48))
    expected = network(picture, code)
    equalize_fusion(network, [(picture, code)])
    torch.testing.assert_close(network(picture, code), expected, atol=1e-3, rtol=1e-3)
    written: list[torch.Tensor] = []
    layer = network.merge4
    hook = layer.register_forward_hook(
        lambda _m, inputs, _y: written.append(
            F.conv2d(inputs[0] * inputs[1].taps[..., None, None], layer.weight)
        )
    )
    network(picture, code)
    hook.remove()
    spread = written[0].std((0, 2, 3))
    assert float(spread.max() / spread.min()) < 20


@torch.no_grad()
def test_equalizing_costs_weights_in_8_bits_little() -> None:
    """Weights must not pay for channels that are read at ranges of their own: 8 bits hold both."""
    network = fusion_from_onnx(onnx.load(CATALOGUE / "any" / "any.onnx")).eval()
    pictures = [
        F.interpolate(load_painting(SAMPLES / f"{name}.jpg", 144), size=(144, 192))
        for name in ("hills", "portrait", "examples")
    ]
    codes = [network.code(picture) for picture in reversed(pictures)]
    feeds = list(zip(pictures, codes, strict=True))
    expected = [network(*feed) for feed in feeds]
    equalize_fusion(network, feeds)
    as_stored(network)
    lost = [
        float((network(*feed) - before).square().mean())
        for feed, before in zip(feeds, expected, strict=True)
    ]
    assert np.mean(-10 * np.log10(lost)) > 31  # dB


def blocks() -> torch.Tensor:
    """A picture in which every layer sees something, (1, 3, 64, 72)."""
    colours = torch.rand(1, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    return F.interpolate(colours**2, scale_factor=8)


def small_style(shape: Shape) -> StyleNet:
    """A folded network whose layers all say something."""
    torch.manual_seed(0)
    network = StyleNet(shape)
    for norm in network.norms():
        norm.freeze()
        norm.bias.data.uniform_(-0.2, 0.4)
    return network.folded()


@torch.no_grad()
def test_a_style_as_start_paints_as_before_in_the_colours_of_the_code() -> None:
    style, photo = small_style(SMALL), blocks()
    before = style(photo)
    network = fusion_from_style(style, photo, SMALL)
    network.teller.out.weight.zero_()
    out = colours_of(before.clamp(0, 1))
    own = network.code(photo)
    expected = coloured(canonical(before, out), own[:, :SIZE])
    # what slept in the style is woken, quietly
    assert float((network(photo, own) - expected).std()) < 0.1 * float(expected.std())


@torch.no_grad()
def test_a_style_as_start_loses_what_is_read_least() -> None:
    wide = dataclasses.replace(SMALL, body=SMALL.body + 4)
    style, photo = small_style(wide), blocks()
    for block in style.body:
        block.first.weight[:, -4:] *= 0.01
        block.second.weight[:, :4] *= 0.01
    style.up4.weight[:, -4:] *= 0.01
    before = style(photo)
    network = fusion_from_style(style, photo, SMALL)
    assert network.shape == SMALL
    network.teller.out.weight.zero_()
    own = network.code(photo)
    expected = coloured(canonical(before, colours_of(before.clamp(0, 1))), own[:, :SIZE])
    assert float((network(photo, own) - expected).std()) < 0.1 * float(expected.std())
    with pytest.raises(ValueError, match="can't be cut out of"):
        fusion_from_style(small_style(SMALL), photo, wide)


def test_a_run_starts_from_a_style_of_one_painting(arbitrary: ArbitraryConfig) -> None:
    trainer = ArbitraryTrainer(dataclasses.replace(arbitrary, start="olive", steps=1), CPU)
    assert trainer.network.teller.settled
    plain = ArbitraryTrainer(dataclasses.replace(arbitrary, steps=1), CPU)
    picture = F.interpolate(torch.rand(1, 3, 12, 12), scale_factor=8)
    with torch.no_grad():
        strokes, none = (
            losses.total_variation(net(picture, net.code(picture)))
            for net in (trainer.network, plain.network)
        )
    assert strokes > losses.total_variation(picture) > 0
    assert strokes > none


def test_a_start_that_is_none_is_said(arbitrary: ArbitraryConfig) -> None:
    said = r"can't start from starry-fast: .* can't be cut out of"
    with pytest.raises(TrainingError, match=said):
        ArbitraryTrainer(dataclasses.replace(arbitrary, start="starry-fast"), CPU)


def test_a_code_is_the_statistics_and_fusing_sets_them() -> None:
    torch.manual_seed(0)
    network = FusionNet(SMALL)
    pictures = torch.rand(2, 3, 64, 48)
    levels, own = network.analyse(pictures)
    other = network.code(torch.rand(2, 3, 32, 40) ** 3)
    assert own.shape == (2, network.code_size)
    for fused, level in zip(network.fuse(levels, own, own), levels, strict=True):
        torch.testing.assert_close(fused, level, atol=1e-4, rtol=1e-3)
    set_to = [v for level in network.fuse(levels, own, other) for v in moments(level)]
    found = torch.cat([colours_of(pictures), *set_to], 1)
    wide = [v.expand(2, -1) for level in levels for v in (moments(level)[1],) * 2]
    alive = torch.cat([torch.zeros(2, SIZE), *wide], 1) > 0.3
    assert int(alive.sum()) > 10
    torch.testing.assert_close(found[alive], other[alive], atol=5e-2, rtol=0.1)


seeds = st.integers(0, 10_000)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, gain=st.floats(0, 1))
def test_colours_are_taken_away_and_given_back(seed: int, gain: float) -> None:
    random = torch.Generator().manual_seed(seed)
    mixed = 0.4 * torch.randn(3, 3, generator=random)
    noise = torch.randn(2, 3, 32, 40, generator=random)
    pictures = 0.5 + gain * torch.einsum("ij,bjhw->bihw", mixed, noise)
    colours = colours_of(pictures)
    plain = canonical(pictures, colours)
    torch.testing.assert_close(coloured(plain, colours), pictures, atol=1e-3, rtol=1e-3)
    # whatever they were: no axis is wider than the common distribution, or goes with another
    cells = torch.tensor(AXES) @ F.avg_pool2d(plain, 4).flatten(2)
    spread = torch.stack([torch.cov(c) for c in cells]) / SPREAD**2
    assert float(torch.linalg.eigvalsh(spread).max()) < 1.05
    torch.testing.assert_close(plain.mean((2, 3)), torch.full((2, 3), 0.5), atol=2e-3, rtol=0)


def test_colours_of_one_picture_become_those_of_another() -> None:
    torch.manual_seed(0)
    photo, painting = torch.rand(1, 3, 64, 64) ** 2, 0.2 + 0.5 * torch.rand(1, 3, 64, 64)
    photo = F.interpolate(photo[..., ::8, ::8], scale_factor=8)
    painting = F.interpolate(painting[..., ::8, ::8], scale_factor=8)
    shown = coloured(canonical(photo, colours_of(photo)), colours_of(painting))
    torch.testing.assert_close(colours_of(shown), colours_of(painting), atol=1e-2, rtol=5e-2)


def test_colours_are_exact_whatever_the_precision_of_a_run() -> None:
    pictures = blocks()
    with torch.autocast("cpu", torch.bfloat16):
        colours = colours_of(pictures)
        back = coloured(canonical(pictures, colours), colours)
    assert back.dtype == torch.float32
    torch.testing.assert_close(colours, colours_of(pictures), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(back, pictures, atol=1e-4, rtol=1e-4)


def test_a_grey_picture_gets_no_colours_out_of_its_noise() -> None:
    grey = torch.rand(1, 1, 64, 64).expand(1, 3, -1, -1) + 0.004 * torch.randn(1, 3, 64, 64)
    plain = canonical(grey, colours_of(grey))
    along = torch.tensor(AXES) @ plain.flatten(2)
    assert float(along[0, 1:].std()) < 0.1 * float(along[0, 0].std())


@torch.no_grad()
def test_modulated_layers_keep_their_deviation_whatever_the_taps() -> None:
    """Demodulation: of independent ReLU inputs, outputs have the deviation of the gains."""
    torch.manual_seed(0)
    layer = Modulated(48, 32)
    x = torch.randn(1, 48, 96, 96).relu()
    for taps in (torch.ones(1, 48), 5 * torch.rand(1, 48), 0.01 * torch.rand(1, 48)):
        y = layer(x, Modulation(taps, torch.full((1, 32), 3.0), torch.zeros(1, 32)))
        assert float(y.std((2, 3)).mean()) == pytest.approx(3, rel=0.3)


@torch.no_grad()
def test_alpha_leads_from_the_own_code_to_the_other() -> None:
    torch.manual_seed(0)
    network = FusionNet(SMALL)
    picture, code = torch.rand(1, 3, 64, 64), network.code(torch.rand(1, 3, 64, 64) * 0.3)
    own = network(picture, network.code(picture))
    torch.testing.assert_close(network(picture, code, 0.0), picture, atol=0, rtol=0)
    early = [float((network(picture, code, a) - picture).abs().mean()) for a in (0.1, 0.2)]
    assert 0 < early[0] < early[1]
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
    # without what holds styles back where photos are plain, as all of these are
    free = dataclasses.replace(arbitrary, plain=1.0, calm=0.0, style=10.0)
    longer = dataclasses.replace(free, steps=80, learning_rate=4e-3)
    curve = list(ArbitraryTrainer(longer, CPU).run(80))
    for name, factor in (("style", 0.8), ("identity", 0.7)):
        before, after = (np.mean([s[name] for s in part]) for part in (curve[:8], curve[-8:]))
        assert after < factor * before, name


def test_what_is_plain_counts_little_in_style(arbitrary: ArbitraryConfig, tmp_path: Path) -> None:
    for level in (60, 130, 200):
        cv2.imwrite(str(tmp_path / f"{level}.png"), np.full((150, 170, 3), level, np.uint8))
    walls = dataclasses.replace(arbitrary, photos=str(tmp_path), photo_styles=0.0)
    (whole,), (little,) = (
        list(ArbitraryTrainer(dataclasses.replace(walls, plain=plain), CPU).run(1))
        for plain in (1.0, 0.1)
    )
    for name in ("style", "coarse"):
        assert little[name] == pytest.approx(0.1 * whole[name], rel=0.1), name
    assert little["content"] == pytest.approx(whole["content"])


def test_a_run_in_half_precision_takes_steps(arbitrary: ArbitraryConfig) -> None:
    config = dataclasses.replace(arbitrary, precision="bf16", steps=2)
    for terms in ArbitraryTrainer(config, CPU).run(2):
        assert np.isfinite(list(terms.values())).all()


@pytest.mark.slow
def test_the_command_makes_a_style_that_paints_like_any_painting(
    arbitrary: ArbitraryConfig, tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from stylize_video.realtime import cli as program

    folder = tmp_path / "any"
    arguments = ["train", "--method", "arbitrary", *flags(arbitrary, folder)]
    small = ["--crop", "64", "--style-crop", "64", "--style-pool", "8", "--coarse-layers", ""]
    assert program.run([*arguments, *small, "--evaluate"]) == 0
    said = capsys.readouterr().err
    assert "photo_error" in said
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
