"""Sound of a live source: its packets, put on the machine's clock."""

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Final

import av

from ..frame import SideStream
from ..sound import Anchor, Sound

_OVERLAP_S: Final = Fraction(1, 1000)


class SoundReader:
    """Packets of a source's sound on the monotonic clock, in rising order over all its
    connections.
    """

    def __init__(self, stream: Any, say: Callable[[str], None]) -> None:
        self._say = say
        self.codec = str(stream.codec_context.codec.canonical_name)
        self._kind = _kind(stream)
        self._until = Fraction(0)
        # A container that is never written keeps what describes the sound: that of the source is
        # gone once the connection is.
        self._keeper: Any = av.open(io.BytesIO(), "w", format="matroska")
        template = self._keeper.add_stream_from_template(stream, opaque=True)
        self.stream = SideStream(stream.index, "audio", template)
        self._told = False

    def fits(self, streams: Sequence[Any]) -> bool:
        """Whether a connection that was opened anew has sound of the same kind."""
        same = bool(streams) and _kind(streams[0]) == self._kind
        if not same and not self._told:
            self._told = True
            self._say("the sound is not what it was before: left out")
        return same

    def place(self, packet: Any, anchor: Anchor) -> Sound | None:
        """The packet on the machine's clock; None before the first picture, or when its time has
        been filled already.
        """
        if anchor.offset is None or packet.pts is None or not packet.size:
            return None
        base = Fraction(packet.time_base)
        pts = packet.pts + round(Fraction(anchor.offset) / base)
        duration = packet.duration or 0
        if pts * base < self._until - _OVERLAP_S:
            return None
        self._until = (pts + max(1, duration)) * base
        return Sound(bytes(packet), pts, duration, base)

    def close(self) -> None:
        """Forget the template."""
        self._keeper.close()


def _kind(stream: Any) -> tuple[Any, ...]:
    """What must be the same for packets to go on in one track."""
    context = stream.codec_context
    return (
        context.codec.canonical_name,
        context.sample_rate,
        context.layout.name,
        bytes(context.extradata or b""),
        stream.time_base,
    )
