"""From high dynamic range, PQ or HLG in BT.2020, to the ordinary video that networks have learned.

PQ and HLG are those of BT.2100-2, tables 4 and 5. Brightness is compressed by the EETF of
BT.2390-10, section 5.4.1, towards a reference white of 203 cd/m² (BT.2408): what is darker than
about half of that stays as it is, what is brighter is rolled off. It is applied to each of R, G
and B, which keeps highlights free of odd hues at the price of some of their saturation. The gamut
becomes that of BT.709 by a matrix in linear light, and what lies outside is clipped. The result is
coded for a display of gamma 2.4 (BT.1886).
"""

from functools import cache
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from .frame import Pixels

Floats = NDArray[np.float32]
System = Literal["PQ", "HLG"]
WHITE: Final = 203.0
"""Brightness that becomes the white of ordinary video, cd/m²."""
PEAK: Final = 1000.0
"""Brightness of the master where the input does not say, cd/m²."""
_MOST: Final = 10000.0
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_GAMMA_HLG: Final = 1.2  # of a display of 1000 cd/m²
_LUMINANCE: Final = (0.2627, 0.6780, 0.0593)  # BT.2020
_TO_709: Final = np.array(  # BT.2087-0, table 3
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    np.float32,
)
_LEVELS: Final = 1 << 16
_CODES: Final = 1 << 12
"""Steps of linear light, on a scale of square roots, that are coded alike."""


def pq_to_light(signal: NDArray[Any]) -> NDArray[Any]:
    """Brightness in cd/m² of PQ signals in 0..1."""
    power = np.power(np.clip(signal, 0, 1), 1 / _M2)
    light = np.maximum(power - _C1, 0) / (_C2 - _C3 * power)
    return np.asarray(_MOST * np.power(light, 1 / _M1))


def light_to_pq(light: NDArray[Any]) -> NDArray[Any]:
    """PQ signals in 0..1 of brightness in cd/m²."""
    power = np.power(np.clip(light, 0, _MOST) / _MOST, _M1)
    return np.asarray(np.power((_C1 + _C2 * power) / (1 + _C3 * power), _M2))


def hlg_to_scene(signal: NDArray[Any]) -> NDArray[Any]:
    """Light of the scene in 0..1 of HLG signals in 0..1."""
    bright = (np.exp((np.clip(signal, 0, 1) - _C) / _A) + _B) / 12
    return np.asarray(np.where(signal <= 0.5, signal * signal / 3, bright))


def compress(light: NDArray[Any], peak: float) -> NDArray[Any]:
    """Brightness in cd/m² brought from a master of `peak` under `WHITE`."""
    top = light_to_pq(np.array(max(peak, WHITE)))
    most = light_to_pq(np.array(WHITE)) / top
    knee = 1.5 * most - 0.5
    signal = np.clip(light_to_pq(light) / top, 0, 1)
    t = (signal - knee) / np.maximum(1 - knee, 1e-6)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * most
    )
    mapped = pq_to_light(np.where(signal < knee, signal, spline) * top)
    return np.asarray(np.minimum(mapped, WHITE))


def to_sdr(picture: NDArray[np.uint16], system: System, peak: float = PEAK) -> Pixels:
    """RGB (H, W, 3) uint8 for a BT.709 display, of R'G'B' in BT.2020, (H, W, 3) uint16 of 0..65535.

    `peak` is the brightest that the master holds, in cd/m².
    """
    if system == "PQ":
        linear = _pq_table(peak)[picture]
    else:
        scene = _hlg_table()[picture]
        luminance = cv2.transform(scene, np.array([_LUMINANCE], np.float32))
        # the display's gamma goes by luminance, so that hues stay (BT.2100-2, table 5)
        linear = _compressed(scene * np.power(luminance, _GAMMA_HLG - 1)[..., None])
    plain: Any = cv2.transform(linear, _TO_709)
    steps = np.sqrt(np.clip(plain, 0, 1), dtype=np.float32) * (_CODES - 1)
    return np.asarray(_code_table()[np.rint(steps).astype(np.uint16)], np.uint8)


@cache
def _pq_table(peak: float) -> Floats:
    """Light of 16-bit PQ signals, 1 for white."""
    signals = np.arange(_LEVELS) / (_LEVELS - 1)
    return np.asarray(compress(pq_to_light(signals), peak) / WHITE, np.float32)


@cache
def _hlg_table() -> Floats:
    """Light of the scene of 16-bit HLG signals."""
    return np.asarray(hlg_to_scene(np.arange(_LEVELS) / (_LEVELS - 1)), np.float32)


@cache
def _display_table() -> Floats:
    """Light, 1 for white, of light in 0..1 of a display of `PEAK`, by the fourth root."""
    light = (np.arange(_CODES) / (_CODES - 1)) ** 4
    return np.asarray(compress(light * PEAK, PEAK) / WHITE, np.float32)


def _compressed(display: Floats) -> Floats:
    """Light, 1 for white, of a display's light in 0..1."""
    at = np.sqrt(np.sqrt(np.clip(display, 0, 1))) * (_CODES - 1)
    return np.asarray(np.interp(at, np.arange(_CODES), _display_table()), np.float32)


@cache
def _code_table() -> NDArray[np.uint8]:
    """8-bit codes of light in 0..1 by steps of its square root (BT.1886)."""
    light = (np.arange(_CODES) / (_CODES - 1)) ** 2
    return np.rint(255 * light ** (1 / 2.4)).astype(np.uint8)
