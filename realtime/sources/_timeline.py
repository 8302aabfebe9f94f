"""Makes the clock of a container run forward: late starts, splices and jumps."""

from fractions import Fraction
from typing import Any, Final

# A demuxer hands out packets of one stream in decoding order, so a step back is a splice of two
# clocks.
SPLICE_BACK_S: Final = Fraction(1, 10)
# Formats with a wandering clock (MPEG-TS) also jump ahead there; elsewhere a long pause is a long
# pause.
SPLICE_AHEAD_S: Final = 10


class Timeline:
    """Moves the timestamps of packets, in place, onto one clock that never runs back.

    `shift` (seconds) is taken off every timestamp. When a stream's decoding time steps back (or,
    where `wandering`, far ahead), what follows continues where that stream had ended; the other
    streams take the same step when they reach the splice, so that sound and picture stay together.
    """

    def __init__(self, shift: Fraction, *, wandering: bool) -> None:
        self.shift = shift
        self.splices = 0
        self._wandering = wandering
        self._offsets = [Fraction(0)]  # one per stretch between splices, seconds
        self._stretch: dict[int, int] = {}
        self._ends: dict[int, Fraction] = {}

    def place(self, packet: Any) -> None:
        """Correct pts and dts of an `av.Packet` in place."""
        base: Fraction = packet.time_base
        index = packet.stream_index
        stretch = self._stretch.get(index, 0)
        if packet.dts is not None:  # presentation times step back wherever frames are reordered
            time = packet.dts * base - self.shift + self._offsets[stretch]
            end = self._ends.get(index)
            if end is not None and self._spliced(time, end):
                stretch += 1
                if stretch == len(self._offsets):
                    self._offsets.append(self._offsets[-1] + end - time)
                    self.splices += 1
                self._stretch[index] = stretch
                time = packet.dts * base - self.shift + self._offsets[stretch]
            self._ends[index] = time + (packet.duration or 0) * base
        ticks = round((self._offsets[stretch] - self.shift) / base)
        if ticks:
            packet.pts = packet.pts if packet.pts is None else packet.pts + ticks
            packet.dts = packet.dts if packet.dts is None else packet.dts + ticks

    def _spliced(self, time: Fraction, end: Fraction) -> bool:
        return time < end - SPLICE_BACK_S or (self._wandering and time > end + SPLICE_AHEAD_S)
