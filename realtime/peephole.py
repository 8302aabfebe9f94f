"""`--show`: pictures of what the temporal stage thinks, in place of the painting."""

from dataclasses import replace
from typing import Any, Final, Literal, Protocol

import cv2
import numpy as np

from .frame import Frame, Pixels
from .temporal import Inside
from .warp import Floats

View = Literal["flow", "confidence", "history"]
VIEWS: Final[tuple[View, ...]] = ("flow", "confidence", "history")

_FULL_SPEED: Final = 8.0
"""Pixels of the small picture a frame that are shown in full colour."""
_FULL_AGE: Final = 30.0


class _HasInside(Protocol):
    @property
    def inside(self) -> Inside | None: ...


class Peephole:
    """Turns each painted frame into a view of the stage at that frame.

    `flow`: the direction of motion by hue, its speed by how strong the colour is. `confidence`: how
    much of other frames was taken over, from black to white. `history`: for how long each place has
    been followed, from dark to bright.
    """

    def __init__(self, stage: _HasInside, view: View) -> None:
        self._stage, self._view = stage, view

    def __call__(self, frame: Frame) -> Frame:
        """The view, of the size and time of the frame."""
        inside = self._stage.inside
        if inside is None:
            return replace(frame, pixels=np.zeros_like(frame.pixels))
        height, width = frame.pixels.shape[:2]
        small = draw(inside, self._view)
        shown = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        return replace(frame, pixels=np.asarray(shown, np.uint8))


def draw(inside: Inside, view: View) -> Pixels:
    """The view at the size of the flow, RGB (h, w, 3) uint8."""
    if view == "flow":
        return _wheel(inside.flow)
    values = inside.confidence if view == "confidence" else inside.age / _FULL_AGE
    grey = np.clip(values * 255, 0, 255).astype(np.uint8)
    if view == "confidence":
        return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    return np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS)[..., ::-1], np.uint8)


def _wheel(flow: Floats) -> Pixels:
    speed, angle = cv2.cartToPolar(flow[..., 0], flow[..., 1], angleInDegrees=True)
    hue: Any = angle / 2
    strong = np.clip(speed / _FULL_SPEED * 255, 0, 255)
    wheel = np.dstack([hue, strong, np.full_like(hue, 255)]).astype(np.uint8)
    return np.asarray(cv2.cvtColor(wheel, cv2.COLOR_HSV2RGB), np.uint8)
