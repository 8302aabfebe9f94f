"""The cameras of this machine."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import SourceOpenError

_NODES: Final = Path("/sys/class/video4linux")


@dataclass(frozen=True)
class Camera:
    """A camera as the system knows it."""

    number: str
    """The name that `LiveSource` takes: 0, 1 …"""
    title: str

    def __str__(self) -> str:
        return f"{self.number}  {self.title}"


def cameras(platform: str = sys.platform, nodes: Path = _NODES) -> list[Camera]:
    """The cameras there are, in the order of their numbers."""
    if platform.startswith("linux"):
        found = [_node(path) for path in nodes.glob("video*") if _takes_pictures(path)]
        return sorted(found, key=lambda camera: (len(camera.number), camera.number))
    from av.device import enumerate_input_devices

    kind = "avfoundation" if platform == "darwin" else "dshow"
    return [
        Camera(str(number), device.description)
        for number, device in enumerate(enumerate_input_devices(kind))
    ]


def camera_called(text: str, known: list[Camera]) -> str:
    """The number of the camera that is meant: by number, path or a part of its title.

    Raises `SourceOpenError` where none or several have that in their titles.
    """
    if text.isdecimal() or text.startswith("/dev/"):
        return text
    fitting = [camera for camera in known if text.lower() in camera.title.lower()]
    if len(fitting) == 1:
        return fitting[0].number
    which = ", ".join(map(str, fitting or known)) or "there is none"
    many = "several cameras are" if fitting else "no camera is"
    raise SourceOpenError(f"{many} called {text!r}: {which}")


def _node(path: Path) -> Camera:
    label = path / "name"
    title = label.read_text(errors="replace").strip() if label.is_file() else ""
    return Camera(path.name.removeprefix("video"), title)


def _takes_pictures(path: Path) -> bool:
    """USB cameras have a second node, for data about their pictures."""
    index = path / "index"
    return not index.is_file() or index.read_text().strip() == "0"
