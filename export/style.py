"""From a training run to a style folder: fold, quantize, write, verify, describe."""

import dataclasses
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import onnx
import torch
from torch import Tensor

from ._files import make_folder, write_whole
from .card import Card, check_id, read_credits, write_card, write_readme
from .data import list_photos, load_painting, read_picture, scaled, to_tensor
from .errors import ConversionError, DataError
from .fusion import FusionNet
from .fusion_equalize import equalize_fusion
from .fusion_onnx import as_stored, export_fusion, export_fusion_int8
from .methods.base import read_checkpoint
from .networks import STRIDE, pad_picture
from .onnx import add_card, export_onnx
from .quantize import calibrate, equalize, round_weights
from .train import load_network, read_config
from .verify import Measured, verify
from .verify_fusion import PAINTING_SIDE, MeasuredFusion, calibration_feeds, verify_fusion

CREDITS: Final = "credits.json"
_CALIBRATION_PHOTOS: Final = 48
_CHECK_PHOTOS: Final = 16
_CHECK_PAINTINGS: Final = 6
_LEAST_SIDE: Final = 96
"""Of photos to calibrate on and to check with, pixels."""


def export_style(
    run: Path,
    output: Path,
    style_id: str,
    *,
    credits_file: Path | None = None,
    photos: Path | None = None,
) -> Measured | MeasuredFusion:
    """Write ``<id>.onnx``, ``<id>.int8.onnx``, ``style.json`` and ``README.md`` for a run, and
    return what was measured.

    A network for any painting gets ``<id>.code.onnx`` as well.

    Calibration and checks use different photos of the folder. Raises `ConversionError`.
    """
    config = read_config(run)
    check_id(style_id)
    if config.method == "arbitrary":
        return _export_any(run, output, style_id, credits_file, photos)
    network = load_network(run)
    if not network.frozen:
        step = read_checkpoint(run)["step"]
        raise ConversionError(
            f"{run} stopped at step {step}, before its norms became constants: resume it first"
        )
    trained = network.folded()
    pictures = _pick(
        list_photos(photos or Path(config.photos)), _CALIBRATION_PHOTOS + _CHECK_PHOTOS
    )
    checks = pictures[:: _stride(pictures)]
    calibration = [p for i, p in enumerate(pictures) if i % _stride(pictures)]
    stored = network.folded()
    equalize(stored, calibration or checks)
    round_weights(stored)
    ranges = calibrate(stored, calibration or checks)
    models = {"fp32": export_onnx(stored), "int8": export_onnx(stored, ranges)}
    measured = verify(trained, stored, models, checks)
    credits = read_credits(credits_file or run / CREDITS, style_id, config.painting)
    training = _training(config, run)
    card = Card(credits, config.tier, stored.stride, training, measured.as_json())
    make_folder(output, ConversionError)
    files = {}
    for precision, suffix in (("fp32", ".onnx"), ("int8", ".int8.onnx")):
        add_card(models[precision], card.as_json())
        files[precision] = output / f"{credits.id}{suffix}"
        _write(models[precision], files[precision])
    write_card(output, card, files)
    write_readme(output, card)
    return measured


def _export_any(
    run: Path, output: Path, style_id: str, credits_file: Path | None, photos: Path | None
) -> MeasuredFusion:
    """The same for a network for any painting."""
    config = read_config(run)
    network = FusionNet().eval()
    network.load_state_dict(read_checkpoint(run)["network"])
    pictures = _pick(
        list_photos(photos or Path(config.photos)), _CALIBRATION_PHOTOS + _CHECK_PHOTOS
    )
    checks = pictures[:: _stride(pictures)]
    calibration = [p for i, p in enumerate(pictures) if i % _stride(pictures)] or checks
    folder = Path(config.painting)
    paintings = [
        load_painting(path, PAINTING_SIDE)
        for path in (list_photos(folder) if folder.is_dir() else [folder])
    ]
    with torch.no_grad():
        codes = [network.code(pad_picture(painting)) for painting in paintings]
    trained = deepcopy(network)
    equalize_fusion(
        network, ((pad_picture(p), codes[i % len(codes)]) for i, p in enumerate(calibration))
    )
    as_stored(network)
    models = export_fusion(network)
    feeds = calibration_feeds(models["code"], calibration, paintings)
    models["int8"] = export_fusion_int8(network, feeds)
    measured = verify_fusion(trained, network, models, checks, paintings[:_CHECK_PAINTINGS])
    credits = read_credits(credits_file or run / CREDITS, style_id, config.painting)
    training = _training(config, run)
    card = Card(credits, "any", STRIDE, training, measured.as_json())
    make_folder(output, ConversionError)
    files = {}
    for kind, suffix in (("fp32", ".onnx"), ("int8", ".int8.onnx"), ("code", ".code.onnx")):
        add_card(models[kind], card.as_json())
        files[kind] = output / f"{credits.id}{suffix}"
        _write(models[kind], files[kind])
    write_card(output, card, files)
    write_readme(output, card)
    return measured


def _training(config: Any, run: Path) -> dict[str, Any]:
    """The run's settings without the paths of the machine it ran on."""
    content = dataclasses.asdict(config)
    content["painting"] = Path(config.painting).name
    if "start" in content:
        content["start"] = Path(config.start).name
    content["photos"] = Path(config.photos).name
    content["features"] = [Path(name).name for name in config.features]
    content["command"] = training_command(config)
    return content


def training_command(config: Any) -> str:
    """The command that trains the style again, with file names in place of paths."""
    default = type(config)("", "")
    parts = ["stylize train", Path(config.painting).name, "--photos", Path(config.photos).name]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in ("painting", "photos"):
            continue
        if field.name == "augmentation":
            parts += _augmentation_flags(value, default.augmentation)
            continue
        if value == getattr(default, field.name) and field.name != "method":
            continue
        if field.name == "method" and value == "perceptual":
            continue
        if field.name == "start":
            value = Path(value).name
        if field.name == "method":
            parts.insert(1, f"--method {value}")
            continue
        flag = f"--{field.name.replace('_', '-')}"
        if field.name == "features":
            for name in value:
                parts += [flag, Path(name).name]
        else:
            parts += [flag, f"'{value}'" if " " in str(value) else str(value)]
    return " ".join(parts)


def _augmentation_flags(given: Any, default: Any) -> list[str]:
    flags = []
    for field in dataclasses.fields(given):
        value = getattr(given, field.name)
        if value != getattr(default, field.name):
            text = "..".join(f"{v:g}" for v in value) if isinstance(value, tuple) else f"{value:g}"
            flags += [f"--{field.name.replace('_', '-')}", text]
    return flags


def _pick(paths: list[Path], count: int) -> list[Tensor]:
    """Up to `count` photos spread evenly over the list, (1, 3, H, W), sides cut to multiples of 8,
    small ones enlarged. Those that can't be read are passed over, as in training.
    """
    step = max(1, len(paths) // count)
    pictures: list[Tensor] = []
    for path in paths[::step]:
        try:
            picture = read_picture(path)
        except DataError as error:
            broken = error
            continue
        if min(picture.shape[:2]) < _LEAST_SIDE:
            picture = scaled(picture, _LEAST_SIDE)
        high, wide = (side // 8 * 8 for side in picture.shape[:2])
        pictures.append(to_tensor(picture[:high, :wide])[None])
        if len(pictures) == count:
            break
    if not pictures:
        raise ConversionError(f"there is no photo to calibrate on: {broken}")
    return pictures


def _stride(pictures: list[Tensor]) -> int:
    return max(1, len(pictures) // _CHECK_PHOTOS)


def _write(model: onnx.ModelProto, path: Path) -> None:
    try:
        write_whole(model.SerializeToString(), path)
    except OSError as error:
        raise ConversionError(f"{path} can't be written: {error.strerror}") from error
