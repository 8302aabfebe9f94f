"""Where pictures come from. Every source keeps one contract, tested over all of them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, runtime_checkable

from ..frame import Extras, Frame, Pixels, SidePacket, VideoInfo


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


@dataclass(frozen=True)
class Mark:
    """A frame of a source, by which a later reading finds the place again."""

    count: int
    """Frames read so far, this one included."""
    time: Fraction
    """Its pts, in seconds on the output's clock."""
    digest: str
    """Of its pixels, by `digest_of`."""


@runtime_checkable
class Resumable(Protocol):
    """A source that can be read again from behind a frame on, to the bit as in one reading."""

    def skip_through(self, mark: Mark) -> None:
        """Go on behind the marked frame; called before iterating, and info stays as it was.

        Raises `SourceReadError` where the input does not have that frame.
        """
        ...


@runtime_checkable
class Splittable(Protocol):
    """A source of which a part can be read."""

    def read_from(self, time: Fraction | None, *, seek: bool) -> None:
        """Give frames at or behind `time` only (None for all), those of one reading, maybe not up
        to the last; called before iterating.

        With `seek` it goes there directly where the input allows, which is not proved: compare
        frames with those of another reading. Without, it decodes all that lies before.
        """
        ...


def digest_of(pixels: Pixels) -> str:
    """A short digest of a picture, to know it again."""
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest()
