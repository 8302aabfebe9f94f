"""Export: the graph computes what torch computes, at any size, and 8 bits stay close."""

import copy
import json
from typing import Any, cast

import cv2
import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_networks import SMALL, frozen

from stylize_video.export.errors import ConversionError
from stylize_video.export.metrics import (
    FLAT_COLOURS,
    equivariance_error,
    flat_pictures,
    grid_score,
    psnr_db,
    to_picture,
)
from stylize_video.export.networks import Conv, StyleNet
from stylize_video.export.onnx import CARD_KEY, add_card, export_onnx, network_from_onnx
from stylize_video.export.quantize import (
    Quantized,
    _Histogram,
    calibrate,
    equalize,
    level,
    quantize_weight,
    round_weights,
)
from stylize_video.export.verify import open_session, run_model, verify


@pytest.fixture(scope="module")
def network() -> StyleNet:
    """A folded network on the 8-bit grid that, unlike a random one, amplifies no errors."""
    folded = frozen(SMALL).folded()
    for module in folded.modules():
        if isinstance(module, Conv):
            module.weight.data *= 0.6
    folded.head.weight.data *= 4
    folded.head.bias.data.fill_(0.5)
    round_weights(folded)
    return folded


def photos(count: int = 3, size: tuple[int, int] = (72, 88)) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    coarse = [torch.rand(1, 3, 9, 11, generator=random) for _ in range(count)]
    return [
        torch.nn.functional.interpolate(c, size=size, mode="bicubic").clamp(0, 1) for c in coarse
    ]


@pytest.fixture(scope="module")
def models(network: StyleNet) -> dict[str, onnx.ModelProto]:
    ranges = calibrate(network, photos())
    return {"fp32": export_onnx(network), "int8": export_onnx(network, ranges)}


def test_every_check_passes_for_a_sound_export(
    network: StyleNet, models: dict[str, onnx.ModelProto]
) -> None:
    measured = verify(network, network, models, photos(2, (96, 104)))
    assert measured.float_error < 1e-4
    assert measured.int8_psnr_db > 30
    assert measured.trained_psnr_db == pytest.approx(measured.int8_psnr_db, abs=0.5)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (8, 8), (9, 31), (40, 56), (101, 77)])
def test_frames_of_any_size_keep_it(size: tuple[int, int], models: dict[str, Any]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (1, *size, 3)).astype(np.uint8)
    for model in models.values():
        painted = run_model(open_session(model), frame)
        assert painted.dtype == np.uint8
        assert painted.shape == frame.shape


def test_the_two_variants_paint_the_same_picture(models: dict[str, Any]) -> None:
    frame = to_picture(photos(1)[0])[None]
    fp32, int8 = (run_model(open_session(models[name]), frame)[0] for name in ("fp32", "int8"))
    assert psnr_db(fp32, int8) > 30
    assert fp32.std() > 10


def test_the_simulation_is_what_the_integer_graph_computes(network: StyleNet) -> None:
    ranges = calibrate(network, photos())
    graph = open_session(export_onnx(network, ranges, "float"))
    picture = photos(1, (64, 64))[0]
    exact = (picture * 255).round() / 255
    from stylize_video.export.networks import crop_painting, pad_picture

    with torch.no_grad():
        simulated = Quantized(network, ranges)(pad_picture(exact))
    simulated = crop_painting(simulated, *exact.shape[2:])
    computed = graph.run(None, {"frame": to_picture(exact)[None]})[0] / 255
    difference = np.abs(computed - simulated.permute(0, 2, 3, 1).numpy())
    # sums that fall between two steps may round to either: half a level of the picture
    assert difference.mean() * 255 < 1.5


def test_equalized_channels_paint_the_same_and_lose_less(network: StyleNet) -> None:
    uneven = copy.deepcopy(network)
    factor = torch.logspace(0, -2, SMALL.quarter)
    for module in (uneven.down4, uneven.up4):  # what joins in a sum keeps one factor
        parts = factor.repeat_interleave(module.shuffle**2)
        module.weight.data.mul_(parts[:, None, None, None])
        module.bias.data.mul_(parts)
    for module in (uneven.down8, uneven.merge4):
        module.weight.data.div_(factor[:, None, None])
    even = copy.deepcopy(uneven)
    equalize(even, photos())
    with torch.no_grad():
        picture = photos(1, (64, 64))[0]
        assert torch.allclose(uneven(picture), even(picture), atol=1e-4)

    def loss(folded: StyleNet) -> float:
        simulated = Quantized(folded, calibrate(folded, photos()))
        with torch.no_grad():
            return float(sum((simulated(p) - folded(p)).square().mean() for p in photos()))

    assert loss(even) < 0.5 * loss(uneven)
    level(even, photos())  # and as a start for training, all of one size
    sizes: list[torch.Tensor] = []
    even_relu = even.relu_merge2.register_forward_hook(lambda _m, _i, out: sizes.append(out))
    with torch.no_grad():
        for photo in photos():
            assert torch.allclose(uneven(photo), even(photo), atol=1e-4)
    even_relu.remove()
    levels = torch.stack([s.square().mean((0, 2, 3)).sqrt() for s in sizes]).amax(0)
    quiet, loud = torch.aminmax(levels[levels > 0])  # a dead channel stays dead
    assert 0.9 < quiet <= loud < 1.1


@torch.no_grad()
def test_a_branch_that_photos_hardly_wake_keeps_its_size(network: StyleNet) -> None:
    """Else what is left of it is blown up to what counts, for other photos to burst upon."""
    drowsy = copy.deepcopy(network)
    first = cast(Conv, drowsy.body[0].first)
    loudest = torch.stack([_before(first, drowsy, p).amax((0, 2, 3)) for p in photos()]).amax(0)
    first.bias -= loudest - 1e-5
    rested = copy.deepcopy(drowsy)
    level(rested, photos())
    for name in ("first", "second"):
        was, now = (cast(Conv, getattr(n.body[0], name)).weight for n in (drowsy, rested))
        assert 1e-2 < float(now.norm() / was.norm()) < 1e2
    picture = photos(1)[0]
    torch.testing.assert_close(rested(picture), drowsy(picture), atol=1e-4, rtol=1e-4)


def test_a_branch_that_never_fires_is_quantized_with_the_rest(network: StyleNet) -> None:
    dead = copy.deepcopy(network)
    cast(Conv, dead.body[0].first).bias.data -= 1e3
    ranges = calibrate(dead, photos())
    assert all(scale > 0 for scale, _ in ranges.scales.values())
    painted = []
    for model in (export_onnx(dead), export_onnx(dead, ranges)):
        (picture,) = open_session(model).run(None, {"frame": to_picture(photos(1)[0])[None]})
        painted.append(picture[0])
    assert psnr_db(*painted) > 25


def _before(conv: Conv, network: StyleNet, picture: torch.Tensor) -> torch.Tensor:
    """What a layer puts out before its ReLU."""
    seen: list[torch.Tensor] = []
    handle = conv.register_forward_hook(lambda _m, _i, out: seen.append(out.clone()))
    network(picture)
    handle.remove()
    return seen[0]


def test_gradients_pass_through_the_simulation(network: StyleNet) -> None:
    ranges = calibrate(network, photos())
    simulated = Quantized(network, ranges)
    simulated(photos(1)[0][..., :64, :64]).mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    assert "weight" in network.head._parameters  # put back as they were
    network.zero_grad(set_to_none=True)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3))
def test_weights_are_rounded_to_the_nearest_step(seed: int, scale: float) -> None:
    weight = (np.random.default_rng(seed).normal(size=(4, 3, 3, 3)) * scale).astype(np.float32)
    integers, steps = quantize_weight(weight)
    assert integers.dtype == np.int8
    assert np.abs(integers).reshape(4, -1).max(1).tolist() == [127] * 4
    back = integers * steps[:, None, None, None]
    assert (np.abs(back - weight) <= steps[:, None, None, None] * 0.501).all()
    again, _ = quantize_weight(back.astype(np.float32))
    assert np.array_equal(again, integers)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3))
def test_sub_pixels_stay_equal_on_flat_pictures(seed: int, scale: float) -> None:
    """Kernels whose taps add up to the same still do after rounding, exactly."""
    weight = np.random.default_rng(seed).normal(size=(8, 3, 3, 3)) * scale
    sums = weight.reshape(2, 4, 3, 9).sum(3)
    weight -= ((sums - sums.mean(1, keepdims=True)) / 9).reshape(8, 3)[:, :, None, None]
    integers, steps = quantize_weight(weight.astype(np.float32), 4)
    rounded = integers.astype(int).reshape(2, 4, 3, 9).sum(3)
    assert (rounded == rounded[:, :1]).all()
    assert (steps.reshape(2, 4) == steps.reshape(2, 4)[:, :1]).all()
    back = integers * steps[:, None, None, None]
    assert (np.abs(back - weight) <= steps[:, None, None, None] * 1.501).all()
    again, _ = quantize_weight(back.astype(np.float32), 4)
    assert np.array_equal(again, integers)


def test_outliers_do_not_cost_everybody_bits() -> None:
    """One wild value in ten millions is clipped, so that the others keep fine steps."""
    histogram = _Histogram()
    calm = torch.rand(100_000, generator=torch.Generator().manual_seed(0))
    histogram.add(calm)
    assert histogram.best_limit(255) == pytest.approx(1, abs=0.02)
    histogram.add(torch.tensor([40.0]))
    histogram.add(calm.repeat(100))
    assert histogram.best_limit(255) < 4


def test_a_style_file_gives_its_network_back(
    network: StyleNet, models: dict[str, onnx.ModelProto]
) -> None:
    again = network_from_onnx(models["fp32"])
    picture = photos(1)[0]
    with torch.no_grad():
        torch.testing.assert_close(again(picture), network(picture), atol=1e-5, rtol=1e-4)
    with pytest.raises(ConversionError, match="is not a float style of ours"):
        network_from_onnx(models["int8"])


def test_models_are_self_contained_and_carry_their_card(models: dict[str, Any]) -> None:
    card = {"id": "test", "title": "Tëst"}
    for model in models.values():
        add_card(model, card)
        assert {p.key: json.loads(p.value) for p in model.metadata_props}[CARD_KEY] == card
        assert not any(t.data_location for t in model.graph.initializer)
        assert {o.domain for o in model.opset_import} == {""}


# --- measures


def test_grid_score() -> None:
    random = np.random.default_rng(0)
    noise = random.integers(60, 196, (240, 320, 3)).astype(np.uint8)
    assert grid_score(noise) < 1.5
    assert grid_score(cv2.GaussianBlur(noise, (0, 0), 3)) < 2
    for period in (4, 8):
        _, x = np.mgrid[0:240, 0:320]
        lattice = (8 * np.cos(2 * np.pi * x / period))[..., None]
        assert grid_score(np.clip(noise + lattice, 0, 255).astype(np.uint8)) > 4
    assert grid_score(np.full((240, 320, 3), 90, np.uint8)) == 0


def test_equivariance_error() -> None:
    pictures = photos(2, (96, 104))
    assert equivariance_error(lambda p: p, pictures) < 1e-10

    def redrawn(p: torch.Tensor) -> torch.Tensor:
        seed = int(p.sum() * 1000)
        return torch.rand(p.shape, generator=torch.Generator().manual_seed(seed))

    assert equivariance_error(redrawn, pictures) == pytest.approx(2, abs=0.1)

    def on_a_lattice(p: torch.Tensor) -> torch.Tensor:
        low = torch.nn.functional.avg_pool2d(p, 8)
        return torch.nn.functional.interpolate(low, scale_factor=8, mode="nearest")

    smooth = equivariance_error(on_a_lattice, pictures)
    assert 0.01 < smooth < 1


def test_psnr() -> None:
    a = np.full((8, 8, 3), 100, np.uint8)
    assert psnr_db(a, a) == float("inf")
    assert psnr_db(a, a + 5) == pytest.approx(20 * np.log10(255 / 5))


def test_flat_pictures_have_one_colour_and_noise_if_asked() -> None:
    for picture, colour in zip(flat_pictures(64, noise=2 / 255), FLAT_COLOURS, strict=True):
        assert picture.shape == (1, 3, 64, 64)
        torch.testing.assert_close(picture.mean((0, 2, 3)), torch.tensor(colour), atol=2e-3, rtol=0)
        assert 1 < 255 * float(picture.std((2, 3)).max()) < 3
    assert all(float(p.std((2, 3)).max()) < 1e-6 for p in flat_pictures(16))
