"""Gives encoded frames to aiortc's decoders as soon as their last packet is there.

A receiver of aiortc holds a frame back until a packet of the next one comes: a frame's time more of
latency. Video packets say which of them is a frame's last, by the marker bit (RFC 3550, 5.1; RFC
7741, 4.1 for VP8).
"""

from typing import Final

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket

_CAPACITY: Final = 512
_ATTRIBUTE: Final = "_RTCRtpReceiver__jitter_buffer"


class PromptBuffer(JitterBuffer):
    """Puts packets of video in order; a frame is whole with its marked packet.

    Where that one says nothing, the first packet of the next frame does, as in aiortc.
    """

    def __init__(self) -> None:
        super().__init__(capacity=_CAPACITY, is_video=True)

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        assert self._origin is not None
        found: list[RtpPacket] = []
        for count in range(self.capacity):
            packet = self._packets[(self._origin + count) % self.capacity]
            if packet is None:
                return None
            if found and packet.timestamp != found[0].timestamp:
                break
            found.append(packet)
            if packet.marker:
                break
        else:
            return None
        frame = JitterFrame(
            b"".join(packet._data for packet in found),  # type: ignore[attr-defined]
            found[0].timestamp,
        )
        self.remove(len(found))
        return frame


def be_prompt(receiver: RTCRtpReceiver) -> None:
    """Give a receiver of video that was not started yet such a buffer."""
    assert isinstance(getattr(receiver, _ATTRIBUTE), JitterBuffer)
    setattr(receiver, _ATTRIBUTE, PromptBuffer())
