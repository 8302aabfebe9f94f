"""How much the server takes on, so that nobody can exhaust it."""

from dataclasses import dataclass

from ..errors import StylizeError


class Refused(StylizeError):
    """The server does not take this; `status` is HTTP's word for why."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """Bounds of a server; times in seconds, sizes in bytes unless said otherwise."""

    peers: int = 4
    """Browsers that send their camera at once."""
    viewers: int = 16
    """Overlays and feeds that are watched at once."""
    overlay_styles: int = 2
    """Styles that overlays may ask for beside the one on stage: each is painted by itself."""
    sockets: int = 32
    connections: int = 128
    """Open TCP connections, busy or not."""
    pixels: int = 1280 * 720
    """Pixels of a frame."""
    picture_pixels: int = 4096 * 4096
    """Pixels of a painting that is given."""
    paintings: int = 8
    body: int = 8 << 20
    description: int = 64 << 10
    """A WebRTC session description."""
    message: int = 16 << 10
    """A message of control."""
    requests: float = 50.0
    """Requests a second from one address, over a while."""
    burst: int = 200
    """Requests at once from one address."""
    head_s: float = 10.0
    """Until a connection has asked for something."""
    body_s: float = 15.0
    """Until what was sent with a request is there."""
    connect_s: float = 10.0
    """Until a peer that was answered is connected."""
    idle_s: float = 15.0
    """Without a frame, until a peer gives its place up."""
    write_s: float = 20.0
    """Until a viewer has taken a picture."""
