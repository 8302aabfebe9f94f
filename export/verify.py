"""Checks an exported style against the network it came from, on real photos and at sizes off the
stride.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .errors import ConversionError
from .metrics import (
    CAMERA_NOISE,
    equivariance_error,
    flat_pictures,
    grid_score,
    psnr_db,
    to_picture,
)
from .networks import StyleNet, crop_painting, pad_picture
from .onnx import export_onnx

MAX_FLOAT_ERROR: Final = 1e-3
MIN_INT8_PSNR_DB: Final = 30.0
MAX_EQUIVARIANCE: Final = 0.25
MAX_GRID: Final = 2.0
OFF_STRIDE: Final = ((101, 77), (64, 75), (33, 40), (2, 2))


@dataclass(frozen=True)
class Measured:
    """What `verify` found. Errors are on a scale of 0..1, PSNR in decibels over 8-bit pictures."""

    float_error: float
    """Largest difference of onnxruntime's float variant to torch, before rounding."""
    int8_psnr_db: float
    """Mean PSNR of the 8-bit variant to the float one."""
    int8_psnr_worst_db: float
    int8_error: float
    """Largest difference of the 8-bit variant to the float one on any pixel."""
    trained_psnr_db: float
    """Mean PSNR of the 8-bit variant to the network as trained, before its weights were put on a
    grid.
    """
    equivariance: float
    grid_photos: float
    """Median grid score of what is painted of photos."""
    grid_flat: float
    """Largest one on pictures of one colour."""
    grid_noise: float
    """Median one on pictures of one colour under a camera's noise, where a network would put
    patterns of its own; reported, without a bar.
    """

    def as_json(self) -> dict[str, float]:
        """Rounded for the card."""
        return {k: float(f"{v:.4g}") for k, v in asdict(self).items()}

    def faults(self) -> list[str]:
        """The bars that are missed, one line each."""
        checks = [
            (
                self.float_error <= MAX_FLOAT_ERROR,
                f"onnxruntime differs from torch by {self.float_error:.2g}",
            ),
            *shared_checks(self),
        ]
        return [text for holds, text in checks if not holds]


class Bars(Protocol):
    """What is measured of every style, whatever it paints like."""

    @property
    def int8_psnr_db(self) -> float: ...
    @property
    def equivariance(self) -> float: ...
    @property
    def grid_photos(self) -> float: ...
    @property
    def grid_flat(self) -> float: ...


def shared_checks(found: Bars) -> list[tuple[bool, str]]:
    """The bars for every style: whether each holds, and what to say where it doesn't."""
    return [
        (
            found.int8_psnr_db >= MIN_INT8_PSNR_DB,
            f"int8 is {found.int8_psnr_db:.1f} dB from fp32, under {MIN_INT8_PSNR_DB:.0f}",
        ),
        (
            found.equivariance <= MAX_EQUIVARIANCE,
            f"EQ {found.equivariance:.2f} is over {MAX_EQUIVARIANCE}: paint lags shifts",
        ),
        (
            found.grid_photos <= MAX_GRID,
            f"grid score {found.grid_photos:.1f} on photos, over {MAX_GRID}",
        ),
        (
            found.grid_flat <= MAX_GRID,
            f"grid score {found.grid_flat:.1f} on flat pictures, over {MAX_GRID}",
        ),
    ]


def verify(
    trained: StyleNet,
    stored: StyleNet,
    models: Mapping[str, onnx.ModelProto],
    photos: Sequence[Tensor],
) -> Measured:
    """Measure the exported models of a style.

    `trained` and `stored` are folded networks before and after their weights were put on the 8-bit
    grid, `models` the ones under "fp32" and "int8", `photos` (1, 3, H, W) float in 0..1, larger
    than 64 pixels. Raises `ConversionError` when a model can't be run at all.
    """
    sessions = {name: open_session(model) for name, model in models.items()}
    exact = open_session(export_onnx(stored, None, "float"))
    crops = [F.interpolate(photos[0], size=size, mode="area") for size in OFF_STRIDE]
    float_error = max(
        float(np.abs(run_model(exact, _frame(p)) / 255 - _rows(as_exported(stored, p))).max())
        for p in (*photos[:2], *crops)
    )
    pairs, from_trained = [], []
    worst_pixel = 0
    for photo in (*photos, *crops):
        a, b = (run_model(sessions[name], _frame(photo))[0] for name in ("fp32", "int8"))
        worst_pixel = max(worst_pixel, int(np.abs(a.astype(int) - b.astype(int)).max()))
        if photo.shape[-1] >= 64:
            pairs.append(psnr_db(a, b))
            from_trained.append(psnr_db(to_picture(as_exported(trained, photo)), b))

    def paint(picture: Tensor) -> Tensor:
        painted = run_model(sessions["int8"], _frame(picture))
        return torch.from_numpy(painted).permute(0, 3, 1, 2).float() / 255

    flats = [grid_score(to_picture(paint(flat))) for flat in flat_pictures()]
    walls = [grid_score(to_picture(paint(p))) for p in flat_pictures(noise=CAMERA_NOISE)]
    return Measured(
        float_error=float_error,
        int8_psnr_db=float(np.mean(pairs)),
        int8_psnr_worst_db=float(np.min(pairs)),
        int8_error=worst_pixel / 255,
        trained_psnr_db=float(np.mean(from_trained)),
        equivariance=equivariance_error(paint, photos),
        grid_photos=float(np.median([grid_score(to_picture(paint(p))) for p in photos])),
        grid_flat=max(flats),
        grid_noise=float(np.median(walls)),
    )


def run_model(session: onnxruntime.InferenceSession, frame: NDArray[np.uint8]) -> NDArray[Any]:
    """The output of an exported model for (1, H, W, 3) uint8. Raises `ConversionError`."""
    try:
        (painted,) = session.run(None, {"frame": frame})
    except Exception as error:  # the runtime's own classes derive from Exception alone
        raise ConversionError(
            f"the exported model fails on a frame of {frame.shape}: {error}"
        ) from error
    if painted.shape != frame.shape:
        raise ConversionError(f"the exported model puts out {painted.shape} for {frame.shape}")
    return np.asarray(painted)


def open_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A model ready to run on the processor. Raises `ConversionError`."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # processors without VNNI compute what others do, as `realtime` has them
    options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise ConversionError(f"the exported model can't be loaded: {error}") from error


def _frame(photo: Tensor) -> NDArray[np.uint8]:
    """(1, 3, H, W) float in 0..1 -> (1, H, W, 3) uint8."""
    return to_picture(photo)[None]


@torch.no_grad()
def as_exported(paint: Callable[[Tensor], Tensor], photo: Tensor) -> Tensor:
    """What the exported graph of a network computes, in torch: 8-bit input, padded by its border,
    painted, cropped. (1, 3, H, W) float in 0..1 -> the same, unclipped
    """
    return crop_painting(paint(pad_picture(exactly(photo))), *photo.shape[2:])


def exactly(picture: Tensor) -> Tensor:
    """What 8 bits hold of a picture in 0..1."""
    return (picture * 255).round() / 255


def _rows(picture: Tensor) -> NDArray[np.float32]:
    """(1, 3, H, W) -> (1, H, W, 3)"""
    rows: NDArray[np.float32] = picture.permute(0, 2, 3, 1).numpy()
    return rows
