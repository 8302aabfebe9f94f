"""Checks the exported network of any painting against the one in torch, and what alpha does."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .fusion import FusionNet
from .metrics import equivariance_error, flat_pictures, grid_score, psnr_db, to_picture
from .networks import pad_picture
from .verify import (
    MAX_FLOAT_ERROR,
    MIN_INT8_PSNR_DB,
    OFF_STRIDE,
    as_exported,
    exactly,
    open_session,
    shared_checks,
)

PAINTING_SIDE: Final = 512
"""Short side paintings are scaled to, pixels, as the runtime does."""
_ROUNDING: Final = 1 / 255
_ALPHAS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class MeasuredFusion:
    """What `verify_fusion` found. Errors are on a scale of 0..1, PSNR in decibels."""

    float_error: float
    """Largest difference of the exported code to torch's, over its largest value."""
    picture_error: float
    """Largest difference of what the exported graph paints to torch, which rounding makes 1/255."""
    int8_psnr_db: float
    """Mean PSNR of the 8-bit variant to the float one."""
    int8_psnr_worst_db: float
    trained_psnr_db: float
    """Mean PSNR of the 8-bit variant to the network as trained, before its channels were equalized
    and its weights put on a grid.
    """
    photo_error: float
    """Largest difference to the photo at alpha = 0, which rounding makes 1/255."""
    alpha_falls: float
    """Largest fall of the distance from the photo as alpha rises, over the whole distance: 0 if it
    never falls.
    """
    equivariance: float
    grid_photos: float
    grid_flat: float

    def as_json(self) -> dict[str, float]:
        """Rounded for the card."""
        return {k: float(f"{v:.4g}") for k, v in asdict(self).items()}

    def faults(self) -> list[str]:
        """The bars that are missed, one line each."""
        checks = [
            (
                self.float_error <= MAX_FLOAT_ERROR,
                f"the exported code differs from torch by {self.float_error:.2g}",
            ),
            (
                self.picture_error <= 1.01 * _ROUNDING,
                f"the exported painter differs from torch by {self.picture_error * 255:.0f} of 255",
            ),
            (
                self.trained_psnr_db >= MIN_INT8_PSNR_DB,
                f"int8 is {self.trained_psnr_db:.1f} dB from what was trained, under "
                f"{MIN_INT8_PSNR_DB:.0f}",
            ),
            (
                self.photo_error <= 1.01 * _ROUNDING,
                f"alpha 0 differs from the photo by {self.photo_error * 255:.0f} of 255",
            ),
            *shared_checks(self),
        ]
        return [text for holds, text in checks if not holds]


def verify_fusion(
    trained: FusionNet,
    network: FusionNet,
    models: Mapping[str, onnx.ModelProto],
    photos: Sequence[Tensor],
    paintings: Sequence[Tensor],
) -> MeasuredFusion:
    """Measure the exported models. `trained` and `network` are the networks before and after their
    weights were put on a grid; pictures are (1, 3, H, W) in 0..1.
    """
    painter, small = open_session(models["fp32"]), open_session(models["int8"])

    def paint(
        photo: Tensor, code: NDArray[np.float32], alpha: float, session: Any = painter
    ) -> NDArray[np.uint8]:
        return np.asarray(session.run(None, _fed(photo, code, alpha))[0][0], np.uint8)

    codes = _codes(models["code"], paintings)
    float_error, worst = 0.0, 0
    with torch.no_grad():
        for painting, code in zip(paintings, codes, strict=True):
            exact = network.code(pad_picture(exactly(painting))).numpy()
            float_error = max(float_error, float(np.abs(code - exact).max() / np.abs(exact).max()))
        crops = [F.interpolate(photos[0], size=size, mode="area") for size in OFF_STRIDE]
        for number, photo in enumerate((*photos[:2], *crops)):
            code, alpha = codes[number % len(codes)], _ALPHAS[-1 - number % len(_ALPHAS)]
            expected = _painted(network, photo, torch.from_numpy(code), alpha)
            off = np.abs(paint(photo, code, alpha).astype(int) - expected.astype(int))
            worst = max(worst, int(off.max()))
        learned = [trained.code(pad_picture(exactly(painting))) for painting in paintings]
    changed, falls, grids, agreed, kept = 0, 0.0, [], [], []
    for number, photo in enumerate(photos):
        code = codes[number % len(codes)]
        seen = to_picture(photo)
        steps = [paint(photo, code, alpha) for alpha in _ALPHAS]
        changed = max(changed, int(np.abs(steps[0].astype(int) - seen).max()))
        eight = paint(photo, code, 1.0, small)
        agreed.append(psnr_db(steps[-1], eight))
        kept.append(psnr_db(_painted(trained, photo, learned[number % len(codes)], 1.0), eight))
        away = [float(np.mean((s.astype(float) - seen) ** 2)) for s in steps]
        falls = max(falls, *(-np.diff(away) / max(away[-1] - away[0], 1e-9)))
        grids.append(grid_score(steps[-1]))
    equivariance = [
        equivariance_error(lambda p, c=code: _back(paint(p, c, 1.0)), photos)  # type: ignore[misc]
        for code in codes[:2]
    ]
    painted = [paint(flat, code, 1.0) for flat in flat_pictures() for code in codes]
    # a colour halfway between two levels is rounded up and down by turns: that is no lattice
    flats = [grid_score(p) for p in painted if int(np.ptp(p, (0, 1)).max()) > 1]
    return MeasuredFusion(
        float_error=float_error,
        picture_error=worst / 255,
        int8_psnr_db=float(np.mean(agreed)),
        int8_psnr_worst_db=float(np.min(agreed)),
        trained_psnr_db=float(np.mean(kept)),
        photo_error=changed / 255,
        alpha_falls=max(0.0, float(falls)),
        equivariance=float(np.mean(equivariance)),
        grid_photos=float(np.median(grids)),
        grid_flat=max(flats, default=0.0),
    )


def calibration_feeds(
    encoder: onnx.ModelProto, photos: Sequence[Tensor], paintings: Sequence[Tensor]
) -> Iterator[dict[str, Any]]:
    """What the painter is fed for calibration: photos by turns with every painting, most of them at
    full style.
    """
    codes = _codes(encoder, paintings)
    for number, photo in enumerate(photos):
        yield _fed(photo, codes[number % len(codes)], 1.0 if number % 4 else 0.0)


def _codes(encoder: onnx.ModelProto, paintings: Sequence[Tensor]) -> list[NDArray[np.float32]]:
    session = open_session(encoder)
    found = [session.run(None, {"painting": to_picture(p)[None]})[0] for p in paintings]
    return [np.asarray(code, np.float32) for code in found]


def _fed(photo: Tensor, code: NDArray[np.float32], alpha: float) -> dict[str, Any]:
    return {
        "frame": to_picture(photo)[None],
        "code": code,
        "alpha": np.array([[alpha]], np.float32),
    }


def _painted(network: FusionNet, photo: Tensor, code: Tensor, alpha: float) -> NDArray[np.uint8]:
    """What the exported graph computes, in torch: (1, 3, H, W) in 0..1 -> (H, W, 3) uint8."""
    return to_picture(as_exported(lambda padded: network(padded, code, alpha), photo))


def _back(painted: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) float in 0..1."""
    return torch.from_numpy(painted).permute(2, 0, 1)[None].float() / 255
