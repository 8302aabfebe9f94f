"""Where painted pictures go. Every sink keeps one contract, tested over all of them."""

from typing import Final, Protocol

from ..frame import Frame, SidePacket

LARGE_PIXELS: Final = 8_000_000
"""Frames of 25 MB and more: memory counts more than a few per cent of time or size."""


class Sink(Protocol):
    """Takes frames in rising order of pts, and the packets that travel beside them.

    Used by one thread at a time. Exactly one of `finish` and `abandon` ends it.
    """

    def write(self, item: Frame | SidePacket) -> None:
        """Take one frame or packet. Raises `SinkWriteError`."""
        ...

    def finish(self) -> str:
        """Everything came: make the output whole, under its final name, and return that name."""
        ...

    def abandon(self) -> str | None:
        """The job ended early: keep what was written, playable, under a name that says so.

        Returns that name, None where nothing could be kept. Never raises `SinkWriteError`.
        """
        ...
