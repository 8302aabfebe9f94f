"""A virtual camera: other programs (calls, OBS, browsers) see the painting as a webcam."""

import sys
from fractions import Fraction
from typing import Any, Final

import cv2

from .._optional import require
from ..errors import SinkOpenError, SinkWriteError
from ..frame import Frame

_HINTS: Final = {
    "linux": "load it with: sudo modprobe v4l2loopback exclusive_caps=1 card_label=stylize "
    "(package v4l2loopback-dkms)",
    "darwin": "install OBS (obsproject.com), start its virtual camera once, and end OBS again",
    "win32": "install OBS (obsproject.com), which brings the device OBS Virtual Camera",
}


class VirtualCameraSink:
    """Shows frames in a virtual camera through pyvirtualcam (v4l2loopback, OBS, Unity Capture).

    Raises `MissingDependency` without pyvirtualcam, which is under the GPL and so only an extra,
    and `SinkOpenError` where there is no such device. Frames are cut to even sides, since
    v4l2loopback takes no others.
    """

    def __init__(self, device: str | None, size: tuple[int, int], rate: Fraction) -> None:
        """`device` is one by its name or path, None for the first there is."""
        pyvirtualcam: Any = require("pyvirtualcam", extra="vcam", purpose="a virtual camera")
        self._size = width, height = size[0] // 2 * 2, size[1] // 2 * 2
        try:
            self._camera = pyvirtualcam.Camera(width, height, float(rate), device=device)
        except (RuntimeError, OSError, ValueError) as error:
            said = " ".join(str(error).split())[:300]
            asked = f"virtual camera {device}" if device else "a virtual camera"
            hint = _HINTS.get(sys.platform, "pyvirtualcam says which systems have one")
            raise SinkOpenError(f"{asked} can't be opened: {said}; {hint}") from error
        self.name = f"virtual camera {self._camera.device}"

    def write(self, frame: Frame) -> None:
        """Show a frame. Raises `SinkWriteError`."""
        width, height = self._size
        pixels = frame.pixels
        if pixels.shape[0] < height or pixels.shape[1] < width:
            pixels = cv2.resize(pixels, self._size)  # type: ignore[assignment]
        try:
            self._camera.send(pixels[:height, :width])
        except (RuntimeError, OSError, ValueError) as error:
            raise SinkWriteError(f"{self.name} is gone: {error}") from error

    def finish(self) -> None:
        """Give the device back."""
        self._camera.close()
