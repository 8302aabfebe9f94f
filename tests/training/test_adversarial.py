"""Generator and discriminator, on folders with pairs and without."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from methods_tools import CPU, Material, flags

from stylize_video.export.data import (
    Augmentation,
    PhotoStream,
    list_photos,
    partners_of,
)
from stylize_video.export.discriminator import PatchDiscriminator, fool_loss, judge_loss
from stylize_video.export.errors import DataError
from stylize_video.export.methods.adversarial import AdversarialConfig, AdversarialTrainer


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
        adversarial,
        steps=70,
        first_steps=0.1,
        blend_from=0.6,
        freeze_at=0.9,
        learning_rate=4e-3,
        seed=3,
    )
    trainer = AdversarialTrainer(longer, CPU)
    curve = list(trainer.run(70))
    assert "adversary" not in curve[0]
    assert "rebuild" in curve[0]
    # Medians, of the last 20 steps: every step has other crops of two pictures, so that single
    # ones leap to several times the rest, and at which of them differs by machine.
    # the discriminator tells them apart, and less so once the generator has learned from it
    apart = [step["separation"] for step in curve[7:]]
    assert max(apart[:23]) > 0.2
    assert np.median(apart[-20:]) < 0.85 * max(apart)
    # what is painted leads back to the photo
    returned = [step["cycle"] for step in curve]
    assert np.median(returned[-20:]) < 0.85 * np.median(returned[:8])
    style = [step["style"] for step in curve[7:]]
    assert np.median(style[-20:]) < 0.7 * np.median(style[:8])
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


@pytest.fixture
def negatives(material: Material, tmp_path: Path) -> Path:
    """The photos' negatives, under the photos' names."""
    folder = tmp_path / "negatives"
    folder.mkdir()
    for path in list_photos(material["photos"]):
        cv2.imwrite(str(folder / f"{path.stem}.png"), 255 - cv2.imread(str(path)))
    return folder


@pytest.mark.parametrize(("flat", "turn"), [(0.0, 0.0), (1.0, 0.0), (0.0, 40.0)])
def test_partners_are_cut_where_their_photos_are(
    material: Material, negatives: Path, flat: float, turn: float
) -> None:
    photos = list_photos(material["photos"])
    options = Augmentation(brightness=(1, 1), contrast=(1, 1), flat_share=flat, rotation=turn)
    partners = partners_of(photos, negatives)
    batch = PhotoStream(photos, 4, 64, 3, options, partners).batch(7)
    assert batch.shape == (4, 6, 64, 64)
    off = (batch[:, :3] + batch[:, 3:] - 1).abs()
    assert float(off.mean()) < 0.02  # what is flat has a camera's noise, and its partner none
    same = PhotoStream(photos, 4, 64, 3, options).batch(7)
    torch.testing.assert_close(batch[:, :3], same)


def test_a_broken_partner_is_passed_over(material: Material, negatives: Path) -> None:
    photos = list_photos(material["photos"])
    partners = partners_of(photos, negatives)
    partners[photos[0]].write_bytes(b"no picture")
    stream = PhotoStream(list(partners), 8, 64, 0, Augmentation(), partners)
    assert stream.batch(0).shape == (8, 6, 64, 64)
    assert list(stream.broken) == [str(photos[0])]


@pytest.mark.slow
def test_pairs_teach_what_becomes_of_a_photo(
    adversarial: AdversarialConfig, negatives: Path
) -> None:
    """Negatives can't be learned from textures and a discriminator that knows no photo."""
    config = dataclasses.replace(
        adversarial, painting=str(negatives), paired=30.0, steps=60, cycle=0.0, learning_rate=4e-3
    )
    trainer = AdversarialTrainer(config, CPU)
    curve = [step["paired"] for step in trainer.run(60) if "paired" in step]
    assert len(curve) == 54
    assert np.mean(curve[-8:]) < 0.6 * np.mean(curve[:4])


def test_steps_are_small_again_when_the_discriminator_comes_in(
    adversarial: AdversarialConfig,
) -> None:
    trainer = AdversarialTrainer(dataclasses.replace(adversarial, steps=1000), CPU)
    rates = []
    for trainer.step in (90, 99, 100, 125, 149, 160):
        rates.append(trainer.learning_rate() / adversarial.learning_rate)
    assert rates == pytest.approx([1, 1, 0.02, 0.52, 1, 1])


def test_pairs_that_are_none_are_said(
    adversarial: AdversarialConfig, paintings: Path, tmp_path: Path
) -> None:
    strangers = tmp_path / "strangers"
    strangers.mkdir()
    for path in list_photos(paintings):
        (strangers / f"of_{path.name}").write_bytes(path.read_bytes())
    adversarial = dataclasses.replace(adversarial, painting=str(strangers))
    with pytest.raises(DataError, match="pairs are files of the same name"):
        AdversarialTrainer(dataclasses.replace(adversarial, paired=1.0), CPU)
