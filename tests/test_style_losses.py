"""What makes two pictures alike in style: what statistics must forget, and what they must see."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from stylize_video.export import style_losses
from stylize_video.export.errors import TrainingError
from stylize_video.export.style_losses import STYLE_LOSSES

seeds = st.integers(0, 10_000)


def features(seed: int, channels: int = 5, side: int = 12) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    mixed = torch.randn(channels, channels, generator=random)
    maps = torch.rand(1, channels, side, side, generator=random)
    return torch.einsum("ij,bjhw->bihw", mixed, maps)


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_a_picture_is_its_own_style_wherever_things_are(name: str, seed: int) -> None:
    loss = STYLE_LOSSES[name]
    here = features(seed)
    order = torch.randperm(144, generator=torch.Generator().manual_seed(seed))
    shuffled = here.flatten(2)[..., order].view_as(here)
    assert float(loss.each(shuffled, loss.statistic(here))) < 2e-3
    assert float(loss.each(features(seed + 1), loss.statistic(here))) > 5e-3


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_a_statistic_of_features_is_that_of_their_moments(name: str, seed: int) -> None:
    loss = STYLE_LOSSES[name]
    here = features(seed)
    found = loss.of(style_losses.moments_of(here))
    torch.testing.assert_close(found, loss.statistic(here), atol=1e-4, rtol=1e-3)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, often=st.integers(2, 5))
def test_a_place_that_counts_more_is_as_if_it_were_there_more_often(seed: int, often: int) -> None:
    here = features(seed)
    upper = here[:, :, :6]
    more = torch.cat([here] + [upper] * (often - 1), 2)
    weights = torch.ones(1, 1, 12, 12)
    weights[:, :, :6] = often
    for size in (12, 24):  # as fine as the features, or finer
        found = style_losses.moments_of(here, F.interpolate(weights, size=size))
        for ours, theirs in zip(found, style_losses.moments_of(more), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    weights[:, :, 6:] = 0
    found = style_losses.moments_of(here, weights)
    for ours, theirs in zip(found, style_losses.moments_of(upper), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, contrast=st.floats(0.5, 4), brightness=st.floats(-3, 3))
def test_correlation_forgets_contrast_and_brightness(
    seed: int, contrast: float, brightness: float
) -> None:
    here = features(seed)
    other = contrast * here + brightness
    matrix = style_losses.correlation(here)
    torch.testing.assert_close(style_losses.correlation(other), matrix, atol=2e-2, rtol=2e-2)
    assert float(matrix.abs().max()) <= 1 + 1e-4
    torch.testing.assert_close(matrix[0], torch.corrcoef(here[0].flatten(1)), atol=2e-2, rtol=2e-2)
    gram = STYLE_LOSSES["gram"]
    if abs(contrast - 1) > 0.3:
        assert float(gram.each(contrast * here, gram.statistic(here))) > 0.05


def test_a_channel_without_contrast_goes_with_nothing() -> None:
    flat = torch.cat([torch.full((1, 1, 6, 6), 0.7), torch.rand(1, 2, 6, 6)], 1)
    matrix = style_losses.correlation(flat)
    assert torch.isfinite(matrix).all()
    assert float(matrix[0, 0].abs().max()) < 1e-3


@settings(max_examples=15, deadline=None)
@given(seed=seeds, shift=st.floats(-2, 2))
def test_gaussian_distance_of_a_shift_is_the_shift(seed: int, shift: float) -> None:
    here = features(seed)
    loss = STYLE_LOSSES["gaussian"]
    target = loss.statistic(here)
    scale = float(target[..., -1].square().sum() + target[0, :, :-1].trace())
    expected = here.shape[1] * shift**2 / scale
    assert float(loss.each(here + shift, target)) == pytest.approx(expected, abs=3e-3, rel=1e-2)


def test_gaussian_distance_of_a_stretch() -> None:
    """Of one channel, a Gaussian twice as wide is one deviation away."""
    here = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    loss = STYLE_LOSSES["gaussian"]
    target = loss.statistic(here - here.mean())
    found = loss.each(2 * (here - here.mean()), target)
    assert float(found) == pytest.approx(1.0, rel=1e-2)


@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_every_loss_leads_towards_its_target(name: str) -> None:
    loss = STYLE_LOSSES[name]
    goal = loss.statistic(features(1))
    found = features(2).requires_grad_(True)
    before = float(loss.each(found, goal).detach())
    optimiser = torch.optim.Adam([found], 0.05)
    for _ in range(150):
        optimiser.zero_grad()
        loss.each(found, goal).backward()
        optimiser.step()
    assert torch.isfinite(found).all()
    assert float(loss.each(found, goal).detach()) < 0.4 * before


def test_similarity_is_1_for_a_picture_and_itself_with_more_contrast() -> None:
    here = features(4)
    assert float(style_losses.similarity(3 * here + 1, here)) > 0.999
    assert float(style_losses.similarity(features(5), here)) < 0.9


def test_losses_are_named() -> None:
    assert len(style_losses.style_losses_of("gram+moments")) == 2
    with pytest.raises(TrainingError, match="there is no style loss 'grm': give gram, corr"):
        style_losses.style_losses_of("gram+grm")
