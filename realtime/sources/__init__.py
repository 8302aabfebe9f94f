"""Where pictures come from. Every source keeps one contract, tested over all of them."""

from collections.abc import Iterator
from typing import Protocol

from ..frame import Extras, Frame, SidePacket, VideoInfo


class Source(Protocol):
    """A finite or endless run of frames.

    Opening happens in the constructor, which raises `SourceOpenError`. Iterating yields frames of
    one size with rising pts, side packets between them, and raises `SourceReadError` when the input
    fails later; what was yielded before stays valid. A source is iterated once, by one thread.
    """

    info: VideoInfo
    extras: Extras

    def __iter__(self) -> Iterator[Frame | SidePacket]:
        """Frames and side packets in the order of the input."""
        ...

    @property
    def notices(self) -> list[str]:
        """What the person should know, one line each; complete once iteration has ended."""
        ...

    def close(self) -> None:
        """Release everything. Called exactly once, by the thread that opened the source."""
        ...
