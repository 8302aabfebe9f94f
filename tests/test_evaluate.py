"""The figures of `stylize evaluate`: right where the answer is known, and told in every form."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from stylize_video.export import cli
from stylize_video.export.data import Augmentation, PhotoStream, list_photos, turned_hue
from stylize_video.export.metrics import gradient_energy, psnr_db, rmse, ssim

Material = dict[str, Path]


def picture(seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (10, 13, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (130, 100), interpolation=cv2.INTER_CUBIC))


def test_distances_of_pictures() -> None:
    one = picture()
    noisy = np.clip(one + np.random.default_rng(1).normal(0, 12, one.shape), 0, 255).astype(
        np.uint8
    )
    assert ssim(one, one) == pytest.approx(1)
    grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (one, noisy)]
    expected = structural_similarity(*grey, gaussian_weights=True, use_sample_covariance=False)
    assert ssim(one, noisy) == pytest.approx(expected, abs=0.02)
    assert rmse(one, np.clip(one, 10, 245)) < rmse(one, noisy)
    assert psnr_db(one, noisy) == pytest.approx(20 * np.log10(255 / rmse(one, noisy)))
    assert gradient_energy(noisy) > gradient_energy(one) > gradient_energy(cv2.blur(one, (9, 9)))


@pytest.fixture
def style(identity: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(identity, tmp_path / "identity.onnx"))


def evaluated(
    style: Path, material: Material, capsys: pytest.CaptureFixture[str], *more: str
) -> dict[str, float]:
    command = ["evaluate", str(style), "--photos", str(material["photos"]), "--json"]
    command += ["--features", str(material["features"]), "--count", "3"]
    command += ["--style-layers", "relu1_1 relu2_1", "--content-layers", "relu2_2"]
    assert cli.run([*command, *more]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["photos"]) == 3
    mean: dict[str, float] = document["mean"]
    return mean


def test_a_network_that_changes_nothing(
    style: Path, material: Material, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = sorted(material["photos"].iterdir())[0]
    found = evaluated(style, material, capsys, "--painting", str(material["painting"]))
    assert found["content"] < 1e-6
    assert found["sharpness"] == pytest.approx(1)
    assert found["style_gram"] > 0.1
    assert -1 <= found["similarity"] < 0.99
    own = evaluated(style, material, capsys, "--reference", str(style))
    assert own["ssim"] == pytest.approx(1)
    assert own["rmse"] == 0
    against = evaluated(style, material, capsys, "--reference", str(photo))
    assert 0 < against["rmse"] < 255
    named = evaluated(style, material, capsys, "--reference", "starry-fast")
    assert 0 < named["rmse"] < 255


def test_curves_are_plotted(
    style: Path, material: Material, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curve = [{"content": 3 / (n + 1), "style": 40 / (n + 1)} for n in range(60)]
    (tmp_path / "training.json").write_text(json.dumps({"curve": curve}))
    target = tmp_path / "curves.png"
    evaluated(style, material, capsys, "--curves", str(target))
    plot = cv2.imread(str(target))
    assert plot.shape == (480, 960, 3)
    assert len(np.unique(plot.reshape(-1, 3), axis=0)) > 10
    (tmp_path / "training.json").write_text("{}")
    command = ["evaluate", str(style), "--photos", str(material["photos"])]
    command += ["--features", str(material["features"]), "--style-layers", "relu1_1"]
    command += ["--content-layers", "relu2_2", "--curves", str(target)]
    assert cli.run(command) == 1
    assert "no record of training" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [("nowhere", "is neither a style's folder nor"), ("{folder}", "is not a style's folder")],
)
def test_what_is_no_style_is_said(
    name: str,
    said: str,
    material: Material,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["evaluate", name.format(folder=tmp_path), "--photos", str(material["photos"])]
    assert cli.run([*command, "--features", str(material["features"])]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_photo_of_next_to_nothing_is_said(
    style: Path, material: Material, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "dot.png"), np.zeros((1, 1, 3), np.uint8))
    command = ["evaluate", str(style), "--features", str(material["features"]), "--photos"]
    assert cli.run([*command, str(tmp_path / "dot.png")]) == 1
    assert "dot.png has 1x1 pixels, too few" in capsys.readouterr().err
    more = ["--painting", str(material["painting"]), "--painting-side", "0"]
    assert cli.run([*command, str(material["photos"]), *more]) == 1
    assert "a side of 0 pixels is too small: give 16 or more" in capsys.readouterr().err


# --- how photos are varied


@pytest.mark.parametrize(
    "changes",
    [
        {"rotation": 20.0},
        {"hue": 40.0},
        {"noise": 9.0},
        {"jpeg": 20.0},
        {"flip": 1.0},
        {"zoom": (1.5, 2.0)},
        {"brightness": (0.5, 0.8)},
        {"contrast": (0.4, 0.7)},
    ],
)
def test_every_variation_changes_photos_by_the_seed(
    changes: dict[str, float], material: Material
) -> None:
    photos = list_photos(material["photos"])
    calm = {"zoom": (1.0, 1.0), "flip": 0.0, "flat_share": 0.0}
    calm |= {"brightness": (1.0, 1.0), "contrast": (1.0, 1.0)}  # type: ignore[dict-item]

    def batch(more: dict[str, float], seed: int = 4) -> np.ndarray:
        options = Augmentation(**{**calm, **more})  # type: ignore[arg-type]
        return PhotoStream(photos, 3, 64, seed, options).batch(2).numpy()

    plain, varied = batch({}), batch(changes)
    assert np.array_equal(varied, batch(changes))
    assert not np.array_equal(varied, batch(changes, seed=5))
    assert np.abs(varied - plain).mean() > 0.005
    assert 0 <= varied.min() <= varied.max() <= 1


def test_hues_turn_all_the_way_round() -> None:
    red = np.full((4, 4, 3), (220, 30, 30), np.uint8)
    green = turned_hue(red, 120)
    assert green[0, 0].argmax() == 1
    assert np.abs(turned_hue(green, 240).astype(int) - red).max() <= 4
