"""A window on the screen that shows frames and hears keys."""

import ctypes
import os
import re
import socket
import sys
from contextlib import suppress
from typing import Any, Final

import cv2

from ..errors import SinkOpenError
from ..frame import Pixels

_ESCAPE: Final = 27
_KEY_BITS: Final = 0xFF


class Window:
    """Shows pictures; used by the thread that opened it, which must be the main one.

    Raises `SinkOpenError` where there is no display: OpenCV would end the whole program there.
    """

    def __init__(self, title: str = "stylize-video") -> None:
        self._title = title
        if reason := why_no_window():
            raise SinkOpenError(f"there is no window: {reason}")
        if sys.platform.startswith("linux"):
            _match_x11()
        try:
            # without the bar of buttons that OpenCV would put above and below
            plain = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
            cv2.namedWindow(title, plain)
        except cv2.error as error:
            reason = str(error).strip().splitlines()[-1][:200]
            raise SinkOpenError(f"there is no window: {reason}") from error
        self._sized = False

    def show(self, pixels: Pixels) -> str | None:
        """Show RGB (H, W, 3) uint8; the key that was pressed, ``q`` when the window was closed."""
        if not self._sized:
            cv2.resizeWindow(self._title, pixels.shape[1], pixels.shape[0])
            self._sized = True
        bgr: Any = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        cv2.imshow(self._title, bgr)
        key = cv2.waitKey(1) & _KEY_BITS
        if key == _ESCAPE or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            return "q"
        return chr(key) if 0 < key < 128 else None

    def close(self) -> None:
        """Close the window."""
        try:
            cv2.destroyWindow(self._title)
            cv2.waitKey(1)
        except cv2.error:
            pass  # the person has closed it already


def why_no_window() -> str | None:
    """Why no window can be opened here; None where one can."""
    gui = [
        line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI")
    ]
    if gui and "NONE" in gui[0]:
        return "this OpenCV was built without windows: pip install opencv-python"
    if not sys.platform.startswith("linux"):
        return None
    if not gui or "QT" not in gui[0]:
        found = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        return None if found else "there is no display (DISPLAY is not set)"
    return _why_no_x11()


def _why_no_x11() -> str | None:
    """Why no X server answers; that of OpenCV's wheels speaks X11 only, and aborts without."""
    display = os.environ.get("DISPLAY")
    if not display:
        wayland = ", only Wayland: Xwayland is needed" if os.environ.get("WAYLAND_DISPLAY") else ""
        return f"there is no display (DISPLAY is not set{wayland})"
    try:
        x11 = ctypes.CDLL("libX11.so.6")
    except OSError:
        return None if _listens(display) else f"the display {display} can't be reached"
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XOpenDisplay.argtypes = [ctypes.c_char_p]
    x11.XCloseDisplay.argtypes = [ctypes.c_void_p]
    connection = x11.XOpenDisplay(None)
    if not connection:
        return f"the display {display} can't be reached"
    x11.XCloseDisplay(connection)
    return None


def _match_x11() -> None:
    """Have Qt find the system's libX11-xcb, not that of OpenCV's wheel, before it connects.

    The wheel brings a libX11-xcb and takes libX11 from the system. The one writes into a structure
    of the other, which has grown since: that Qt reads the events itself is then noted at the wrong
    place, libX11 takes some of them away, and a window stays black or misses keys. A library that
    is loaded for all comes before those of a wheel.
    """
    with suppress(OSError):  # where the system has none, Qt's mostly works
        ctypes.CDLL("libX11-xcb.so.1", mode=ctypes.RTLD_GLOBAL)


def _listens(display: str) -> bool:
    """Whether a local X server has a socket for connections; others are taken on trust."""
    local = re.fullmatch(r":(\d+)(\.\d+)?", display)
    if not local:
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(f"/tmp/.X11-unix/X{local[1]}") == 0
