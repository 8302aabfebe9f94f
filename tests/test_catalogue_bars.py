"""Every style of the catalogue against its bars: agreement, stability, no lattices, no borders."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from processor import SATURATION_DB

from stylize_video.export.data import list_photos, load_painting, read_picture, to_tensor
from stylize_video.export.fusion_growth import fusion_from_onnx
from stylize_video.export.metrics import psnr_db, to_picture
from stylize_video.export.onnx import network_from_onnx
from stylize_video.export.verify import (
    MAX_EQUIVARIANCE,
    MAX_FLOAT_ERROR,
    MAX_GRID,
    MIN_INT8_PSNR_DB,
    verify,
)
from stylize_video.export.verify_fusion import verify_fusion
from stylize_video.realtime import EngineRequest, all_styles, find_style, load_engine
from stylize_video.realtime.engines.any_painting import AnyPaintingEngine, Painting

STYLES = [style.card.id for style in all_styles() if style.encoder is None]
STRANGERS = ("vangogh_wheat_field_cypresses", "gauguin_tahitian_women", "marc_little_blue_horse")
"""Paintings that the network never saw."""
ANY = [style.card.id for style in all_styles() if style.encoder]
MAX_STYLE_BYTES = 4_000_000
Data = Callable[[str], Path]


def photos(data: Data, count: int) -> list[torch.Tensor]:
    """Photos spread over the folder."""
    paths = list_photos(data("photos"))
    found = []
    for path in paths[11 :: len(paths) // count][:count]:
        picture = read_picture(path)
        high, wide = (side // 8 * 8 for side in picture.shape[:2])
        found.append(to_tensor(picture[:high, :wide])[None])
    return found


def test_there_are_styles_enough() -> None:
    cards = [style.card for style in all_styles()]
    assert len([card for card in cards if card.tier in ("balanced", "any")]) >= 12
    assert sum(f.stat().st_size for s in all_styles() for f in s.folder.iterdir()) < 40_000_000
    tiers: dict[str, set[str]] = {}
    for card in cards:
        tiers.setdefault(card.work, set()).add(card.tier)
    assert {"fast", "balanced", "fine"} in tiers.values()


@pytest.mark.slow
@pytest.mark.parametrize("name", STYLES)
def test_a_style_holds_its_bars(name: str, data: Data) -> None:
    style = find_style(name)
    models = {p: onnx.load_model_from_string(style.read(p)) for p in ("fp32", "int8")}
    network = network_from_onnx(models["fp32"])
    measured = verify(network, network, models, photos(data, 8))
    assert measured.float_error <= MAX_FLOAT_ERROR
    assert measured.int8_psnr_db >= MIN_INT8_PSNR_DB
    assert measured.equivariance <= MAX_EQUIVARIANCE
    assert measured.grid_photos <= MAX_GRID
    assert measured.grid_flat <= MAX_GRID


@pytest.mark.parametrize("name", STYLES)
def test_a_style_is_whole_small_and_credited(name: str) -> None:
    style = find_style(name)
    folder, card = style.folder, style.card
    assert folder is not None
    assert set(style.files) == {"fp32", "int8"}
    assert sum(file.stat().st_size for file in folder.iterdir()) <= MAX_STYLE_BYTES
    preview = cv2.imread(str(folder / "preview.jpg"))
    assert min(preview.shape[:2]) >= 300
    readme = (folder / "README.md").read_text()
    for fact in (card.artist, card.work, card.work_licence, card.training["command"]):
        assert fact
        assert fact in readme
    assert card.measured["int8_psnr_db"] >= MIN_INT8_PSNR_DB


@pytest.mark.slow
@pytest.mark.parametrize("name", ANY)
def test_a_style_of_any_painting_holds_its_bars(name: str, data: Data) -> None:
    style = find_style(name)
    assert style.folder is not None
    assert sum(file.stat().st_size for file in style.folder.iterdir()) <= MAX_STYLE_BYTES
    models = {kind: onnx.load_model_from_string(style.read(kind)) for kind in style.files}
    models |= {"code": onnx.load_model_from_string(style.read_encoder())}  # type: ignore[dict-item]
    network = fusion_from_onnx(models["fp32"]).eval()
    strangers = [load_painting(data(f"styles/{stem}.jpg"), 512) for stem in STRANGERS]
    measured = verify_fusion(network, network, models, photos(data, 8), strangers)
    assert measured.faults() == []
    assert measured.alpha_falls < 0.05
    paintings = [Painting(to_picture(p)) for p in photos(data, 3)[:2]]
    engine = load_engine(style, EngineRequest("cpu", paintings=tuple(paintings)))
    assert isinstance(engine, AnyPaintingEngine)
    photo = np.ascontiguousarray(to_picture(photos(data, 4)[2])[:240, :300])
    away = []
    for alpha in (0.0, 0.25, 0.5, 0.75, 1.0):
        engine.alpha = alpha
        away.append(float(np.mean((engine.paint(photo).astype(float) - photo) ** 2)))
    assert away[0] == 0  # alpha 0 gives the photo back
    falls = -np.diff(away) / (away[-1] - away[0])
    assert falls.max() < 0.05  # more alpha is further from the photo
    assert style.card.measured["int8_psnr_db"] >= MIN_INT8_PSNR_DB
    mixed = []
    for weights in ((1.0, 0.0), (0.5, 0.5), (0.0, 1.0)):
        engine.mix(weights)
        mixed.append(engine.paint(photo).astype(float))
    engine.close()
    whole = np.abs(mixed[0] - mixed[2]).mean()
    assert max(np.abs(mixed[1] - mixed[i]).mean() for i in (0, 2)) < whole


@pytest.mark.parametrize("engine", ["cpu", "openvino"])
@pytest.mark.parametrize("name", STYLES)
def test_engines_agree(name: str, engine: str, data: Data) -> None:
    """What people see from the 8-bit file in either engine is the float picture within the bar."""
    style = find_style(name)
    picture = to_picture(photos(data, 4)[1])
    painted = []
    for kind, precision in (("cpu", "fp32"), (engine, "int8")):
        loaded = load_engine(style, EngineRequest(kind, precision))  # type: ignore[arg-type]
        painted.append(loaded.paint(picture))
        loaded.close()
    lost = SATURATION_DB if engine == "openvino" else 0
    assert psnr_db(*painted) >= MIN_INT8_PSNR_DB - 2 - lost


@pytest.mark.parametrize("name", STYLES)
def test_no_borders_show(name: str, data: Data) -> None:
    """A crop painted by itself looks near its edges as it does with the picture around it."""
    style = find_style(name)
    engine = load_engine(style, EngineRequest("cpu", "int8"))
    differences = []
    for photo in photos(data, 4):
        picture = to_picture(photo)[:256, :288]
        whole = engine.paint(np.ascontiguousarray(picture)).astype(int)
        inner = engine.paint(np.ascontiguousarray(picture[64:-64, 64:-64])).astype(int)
        error = np.abs(whole[64:-64, 64:-64] - inner)
        edge = np.concatenate([error[:8].ravel(), error[-8:].ravel(), error[:, :8].ravel()])
        # hatched styles have more contrast, in which lines may begin elsewhere
        differences.append(edge.mean() / max(50.0, whole.std()))
    engine.close()
    assert np.median(differences) < 0.4
