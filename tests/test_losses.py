"""The losses: what they must be zero for, what they must see, and what must not move them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylize_video.export import losses
from stylize_video.export.style_losses import STYLE_LOSSES

seeds = st.integers(0, 10_000)


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25, deadline=None)
@given(seed=seeds, channels=st.integers(1, 6), height=st.integers(1, 7), width=st.integers(1, 7))
def test_gram_matrices(seed: int, channels: int, height: int, width: int) -> None:
    features = noise(seed, 2, channels, height, width) - 0.5
    matrices = losses.gram(features)
    rows = features.flatten(2)
    expected = torch.stack([r @ r.T / r.shape[1] for r in rows])
    torch.testing.assert_close(matrices, expected, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(matrices, matrices.transpose(1, 2))
    assert float(torch.linalg.eigvalsh(matrices.double()).min()) > -1e-7


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_gram_matrices_forget_places(seed: int) -> None:
    features = noise(seed, 1, 5, 6, 6)
    order = torch.randperm(36, generator=torch.Generator().manual_seed(seed))
    shuffled = features.flatten(2)[..., order].view_as(features)
    torch.testing.assert_close(losses.gram(shuffled), losses.gram(features))


@settings(max_examples=20, deadline=None)
@given(seed=seeds, scale=st.floats(0.01, 100))
def test_relative_distance_has_no_unit(seed: int, scale: float) -> None:
    a, b = noise(seed, 3, 4) + 0.1, noise(seed + 1, 3, 4) + 0.1
    plain = losses.relative_distance(a, b)
    torch.testing.assert_close(losses.relative_distance(scale * a, scale * b), plain)
    assert float(losses.relative_distance(a, a)) == 0
    assert float(losses.relative_distance(torch.zeros_like(b), b)) == pytest.approx(1)


def test_a_batch_may_share_a_style() -> None:
    """Two halves that make up the target together are right together, wrong each alone."""
    features = noise(0, 2, 4, 8, 8)
    loss = STYLE_LOSSES["gram"]
    target = losses.gram(features).mean(0, keepdim=True)
    assert float(loss.blended(features, target, 1.0)) < 1e-10
    assert float(loss.blended(features, target, 0.0)) > 1e-4
    half, single = (loss.blended(features, target, share) for share in (0.5, 0.0))
    torch.testing.assert_close(single, loss.each(features, target))
    torch.testing.assert_close(half, single / 2)


def test_total_variation() -> None:
    assert float(losses.total_variation(torch.full((1, 3, 8, 8), 0.3))) == 0
    step = torch.zeros(1, 1, 4, 4)
    step[..., 2:] = 1.0
    assert float(losses.total_variation(step)) == pytest.approx(1 / 3)


def test_out_of_range_sees_only_the_outside() -> None:
    assert float(losses.out_of_range(noise(0, 1, 3, 4, 4))) == 0
    assert float(losses.out_of_range(torch.full((1, 3, 2, 2), 1.5))) == pytest.approx(0.25)
    assert float(losses.out_of_range(torch.full((1, 3, 2, 2), -2.0))) == pytest.approx(4)


def test_a_lattice_is_seen_and_strokes_are_not() -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    lattice = 0.5 + 0.1 * torch.sin(2 * math.pi * x / 8)
    stroke = 0.5 + 0.1 * torch.sin(2 * math.pi * (x / 9.7 + y / 23.0))
    energies = [
        float(losses.lattice_energy(p.expand(1, 3, 64, 64).clone())) for p in (lattice, stroke)
    ]
    assert energies[0] > 10 * energies[1]
    assert float(losses.lattice_energy(torch.full((1, 3, 64, 64), 0.4))) < 1e-12


@settings(max_examples=15, deadline=None)
@given(seed=seeds, gain=st.floats(0.5, 1.0), offset=st.floats(0, 0.3))
def test_light_forgets_exposure_and_fine_texture(seed: int, gain: float, offset: float) -> None:
    photo = torch.nn.functional.interpolate(noise(seed, 1, 3, 4, 4), size=(64, 64), mode="bilinear")
    brighter = gain * photo + offset
    other = torch.nn.functional.interpolate(
        noise(seed + 1, 1, 3, 4, 4), size=(64, 64), mode="bilinear"
    )
    same, different = (float(losses.light_distance(p, photo)) for p in (brighter, other))
    assert same < 0.2 * different
    checked = photo.clone()
    checked[..., ::2, ::2] += 0.05
    checked[..., 1::2, ::2] -= 0.05
    assert float(losses.light_distance(checked, photo)) < 0.01


def test_shapes_are_dear_where_a_photo_is_plain() -> None:
    random = torch.Generator().manual_seed(3)
    busy = torch.rand(1, 3, 32, 32, generator=random)
    photo = torch.cat([torch.full((1, 3, 32, 32), 0.5), busy], 3)  # (1, 3, 32, 64)
    plain = losses.plainness(photo)
    assert plain.shape == (1, 1, 8, 16)
    assert float(plain[..., :5].min()) > 0.99, "one colour"
    assert float(plain[..., 11:].max()) < 0.1, "noise"
    shape = torch.zeros(1, 3, 32, 64)
    shape[..., 8:16, 4:12] = 0.4

    def distance(change: torch.Tensor) -> float:
        return float(losses.calm_distance(photo + change, photo, plain))

    on_plain, on_busy = distance(shape), distance(shape.flip(3))
    assert on_plain > 10 * on_busy > 0
    assert distance(shape / 4) == pytest.approx(on_plain / 16, rel=1e-4), "faint strokes are cheap"
    fine = torch.ones(32, 64)
    fine[::2, ::2], fine[1::2, 1::2] = -1, -1
    assert distance(0.4 * fine.expand(1, 3, 32, 64)) < 1e-6, "narrow strokes are free"


def test_stairs_prefer_places_of_the_lattice() -> None:
    random = torch.Generator().manual_seed(4)
    photo = torch.full((2, 3, 96, 96), 0.5)
    plain = losses.plainness(photo)
    levels = torch.rand(2, 1, 12, 12, generator=random).expand(2, 3, 12, 12)
    stairs = levels.repeat_interleave(8, 2).repeat_interleave(8, 3)
    strokes = torch.rand(2, 3, 96, 96, generator=random)
    assert float(losses.phase_preference(stairs, plain)) > 3
    assert float(losses.phase_preference(strokes, plain)) < 0.01
    assert float(losses.lattice_energy(stairs)) < 0.01, "which differ from cell to cell"
    assert float(losses.phase_preference(photo, plain)) == 0.0
    busy = losses.plainness(torch.cat([photo[:1], strokes[:1]]))
    mixed = torch.cat([strokes[1:], stairs[1:]])
    assert float(losses.phase_preference(mixed, busy)) < 0.05, "a photo may be made of tiles"


def test_equivariance_looks_only_where_it_is_valid() -> None:
    a, b = noise(0, 2, 3, 8, 8), noise(1, 2, 3, 8, 8)
    valid = torch.zeros(1, 1, 8, 8)
    valid[..., :4] = 1
    b[..., :4] = a[..., :4] + 0.25
    assert float(losses.equivariance(a, b, valid)) == pytest.approx(0.25, abs=1e-6)
    assert float(losses.equivariance(a, a, valid)) == 0


def test_numbers_that_are_none_are_found() -> None:
    good = {"a": torch.tensor(1.0)}
    assert losses.finite(good)
    assert not losses.finite({**good, "b": torch.tensor(float("nan"))})
    assert not losses.finite({**good, "b": torch.tensor(float("inf"))})


def test_the_palette_is_what_counts_not_where_it_lies() -> None:
    torch.manual_seed(0)
    painting = torch.rand(1, 3, 64, 64) * torch.tensor([1.0, 0.5, 0.2])[:, None, None]
    palette = losses.Palette(painting)
    cells = painting.unfold(2, 4, 4).unfold(3, 4, 4)  # (1, 3, 16, 16, 4, 4)
    order = torch.randperm(16)
    moved = cells[:, :, order].permute(0, 1, 2, 4, 3, 5).reshape(1, 3, 64, 64)
    assert float(palette(painting)) == pytest.approx(0, abs=1e-9)
    assert float(palette(moved)) == pytest.approx(0, abs=1e-9)
    # the batch as a whole has the colours: each picture may have its own
    halves = torch.cat([moved[..., :32, :], moved[..., 32:, :]])
    assert float(palette(halves)) == pytest.approx(0, abs=1e-9)
    grey = painting.mean(1, keepdim=True).expand(1, 3, 64, 64)
    assert float(palette(grey)) > 0.5
    assert float(palette(painting.flip(1))) > 0.5


def test_a_grey_painting_has_a_palette_too() -> None:
    painting = torch.rand(1, 1, 64, 64).expand(1, 3, 64, 64)
    palette = losses.Palette(painting)
    assert float(palette(painting)) == pytest.approx(0, abs=1e-9)
    assert float(palette(torch.rand(2, 3, 64, 64))) < 100


def test_flat_pictures_have_finite_slopes() -> None:
    """A network without borders paints an empty picture in exactly one colour."""
    photos = torch.full((1, 3, 64, 64), 0.4)
    painted = torch.full((1, 3, 64, 64), 0.6, requires_grad=True)
    palette = losses.Palette(torch.rand(1, 3, 64, 64))
    total = losses.light_distance(painted, photos) + palette(painted)
    total = total + losses.lattice_energy(painted) + losses.total_variation(painted)
    total.backward()
    assert torch.isfinite(painted.grad).all()
