"""Where to paint: masks of frames, (H, W) uint8, 255 inside and 0 outside, soft at the edge."""

from pathlib import Path
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ._state import State
from .engines._model import parse_model
from .engines.onnx import OnnxRunner
from .errors import InferenceError, StyleIncompatible, StylizeError
from .frame import Pixels

Mask = NDArray[np.uint8]
_KEPT: Final = 0.5
"""Share of the last mask of a person that stays: its edge would flicker."""
_SMALL: Final = 240
"""Short side at which movement is looked for, pixels."""
_LEARNING: Final = 0.002
_SOFT: Final = 12.0
"""Levels over which a key for brightness goes from 0 to 255."""
_FREE_SIDE: Final = 256
"""Side of what a person network of any size is given."""


class Masker(Protocol):
    """Finds the mask of each frame of one video, one after another."""

    @property
    def learns(self) -> bool:
        """Whether it has to see every frame, also those it is not asked about."""
        ...

    def __call__(self, pixels: Pixels) -> Mask:
        """The mask, (H, W) uint8, of a frame RGB (H, W, 3) uint8."""
        ...

    def remember(self) -> State | None:
        """What the frames to come depend on; None where that can't be put down."""
        ...

    def recall(self, state: State) -> None:
        """Go on as the masker did that gave `state` by `remember`."""
        ...

    def reset(self) -> None:
        """Forget the frames before."""
        ...


class _Forgetful:
    """A masker that looks at each frame by itself."""

    learns = False

    def remember(self) -> State | None:
        """Nothing has to be."""
        return {}

    def recall(self, state: State) -> None:
        """Nothing has to be."""

    def reset(self) -> None:
        """Nothing is remembered."""


class PictureMask(_Forgetful):
    """A given picture: white inside, black outside; scaled to the frame."""

    def __init__(self, picture: Pixels) -> None:
        self._mask = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        self._scaled = self._mask

    def __call__(self, pixels: Pixels) -> Mask:
        height, width = pixels.shape[:2]
        if self._scaled.shape != (height, width):
            scaled = cv2.resize(self._mask, (width, height), interpolation=cv2.INTER_LINEAR)
            self._scaled = np.asarray(scaled, np.uint8)
        return self._scaled


class BrightnessMask(_Forgetful):
    """A luma key: inside where the brightness, 0..255 by BT.601, is between two levels."""

    def __init__(self, low: float, high: float) -> None:
        if not 0 <= low <= high <= 255:
            raise StylizeError(
                f"a key for brightness from {low:g} to {high:g} can't be: give 0 to 255, low first"
            )
        levels = np.arange(256, dtype=np.float32)
        up = np.clip((levels - low) / _SOFT + 1, 0, 1)
        down = np.clip((high - levels) / _SOFT + 1, 0, 1)
        self._table = np.rint(255 * np.minimum(up, down)).astype(np.uint8)

    def __call__(self, pixels: Pixels) -> Mask:
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        return np.asarray(cv2.LUT(grey, self._table), np.uint8)


class MovementMask:
    """What moves before a still camera: a mixture of Gaussians for each pixel (Zivkovic 2004).

    It has to see the empty place for a while; somebody who sits still fades into it, slowly.
    """

    learns = True

    def __init__(self) -> None:
        self._subtractor = self._fresh()

    @staticmethod
    def _fresh() -> Any:
        return cv2.createBackgroundSubtractorMOG2(history=500, varThreshold=25, detectShadows=True)

    def __call__(self, pixels: Pixels) -> Mask:
        height, width = pixels.shape[:2]
        scale = min(1.0, _SMALL / min(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        found = self._subtractor.apply(small, learningRate=_LEARNING)
        found = np.where(found == 255, np.uint8(255), np.uint8(0))  # shadows are marked by 127
        found = cv2.morphologyEx(found, cv2.MORPH_OPEN, _disc(3))
        found = _filled(cv2.morphologyEx(found, cv2.MORPH_CLOSE, _disc(11)))
        found = cv2.GaussianBlur(found, (0, 0), 2.0)
        return np.asarray(
            cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8
        )

    def remember(self) -> State | None:
        """What was learned stays inside OpenCV."""
        return None

    def recall(self, state: State) -> None:
        """Never called."""

    def reset(self) -> None:
        """Learn the place anew."""
        self._subtractor = self._fresh()


class PersonMask:
    """People, by a segmentation network that the user supplies as an ONNX file.

    The network takes one float picture, RGB, NHWC or NCHW, and puts out the probability of a person
    for each pixel, in one channel or in the last of two. MediaPipe's selfie segmentation is one.
    """

    learns = False

    def __init__(
        self, path: Path, values: tuple[float, float] = (0.0, 1.0), threads: int = 1
    ) -> None:
        """`values` are what black and white become for the network. Raises `StyleError`s."""
        self._path, self._values = path, values
        self._runner, self._shape, self._first = _open(path, threads)
        self._last: NDArray[np.float32] | None = None

    def __call__(self, pixels: Pixels) -> Mask:
        """The mask. Raises `InferenceError`."""
        height, width = pixels.shape[:2]
        rows, columns = self._shape
        small: Any = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA)
        black, white = self._values
        scaled = small * np.float32((white - black) / 255) + np.float32(black)
        tensor = scaled[None]  # (1, h, w, 3)
        if self._first:
            tensor = np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))  # (1, 3, h, w)
        try:
            found = self._runner.evaluate(
                {self._runner.inputs[0].name: tensor}, self._runner.outputs[0].name
            )
        except Exception as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise InferenceError(f"{self._path} failed on a frame: {reason}") from error
        person = self._person(found)
        if self._last is not None:
            person = _KEPT * self._last + (1 - _KEPT) * person
        self._last = person
        large: Any = cv2.resize(person, (width, height), interpolation=cv2.INTER_LINEAR)
        # a probability of a half is the edge; the steep part around it keeps it from smearing
        return np.asarray(cv2.convertScaleAbs(np.clip(3 * large - 1, 0, 1), alpha=255), np.uint8)

    def remember(self) -> State | None:
        """The last mask."""
        return {"last": self._last}

    def recall(self, state: State) -> None:
        """Go on from a mask."""
        self._last = state["last"]

    def reset(self) -> None:
        """Forget the frames before."""
        self._last = None

    def _person(self, found: NDArray[Any]) -> NDArray[np.float32]:
        planes = np.asarray(found, np.float32)
        planes = planes[0] if planes.ndim == 4 else planes
        if planes.ndim == 3 and planes.shape[0] in (1, 2):
            planes = planes[-1]
        elif planes.ndim == 3 and planes.shape[2] in (1, 2):
            planes = planes[..., -1]
        if planes.ndim != 2 or not np.isfinite(planes).all():
            raise InferenceError(
                f"{self._path} puts out {found.shape}, not the probability of a person"
            )
        return np.clip(planes, 0, 1)


def _filled(mask: Any) -> Any:
    """The mask without holes: plain cloth inside an outline that moves looks still."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(mask), outlines, -1, 255, cv2.FILLED)


def _disc(side: int) -> Any:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def _open(path: Path, threads: int) -> tuple[OnnxRunner, tuple[int, int], bool]:
    """The network, the rows and columns it takes, and whether channels come first."""
    if not path.is_file():
        raise StyleIncompatible(f"there is no person network {path}: give an ONNX file")
    content = path.read_bytes()
    parse_model(content, path.name)
    runner = OnnxRunner(content, "cpu", "fp32", threads, path.name)
    shape = list(runner.inputs[0].shape) if len(runner.inputs) == 1 else []
    first = len(shape) == 4 and shape[1] == 3
    if len(shape) != 4 or runner.inputs[0].type != "tensor(float)" or not (first or shape[3] == 3):
        raise StyleIncompatible(
            f"{path} is no person network: it takes {[(i.type, i.shape) for i in runner.inputs]}, "
            "expected one float picture of 3 channels"
        )
    sides = shape[2:] if first else shape[1:3]
    rows, columns = (side if isinstance(side, int) else _FREE_SIDE for side in sides)
    return runner, (rows, columns), first
