"""Bounds what waits for aiortc's decoders.

A receiver of aiortc queues every encoded frame, however slow its decoder is, and when it is stopped
it first decodes all of them, in the event loop's time. On a machine that is short of time, latency
and memory would grow without end.
"""

import queue
from collections.abc import Callable
from typing import Any, Final

from aiortc import RTCRtpReceiver

MOST: Final = 45
"""Frames, about a second and a half: fewer come in one burst when the machine was busy with others,
and a fresh picture costs more than they do.
"""
_ATTRIBUTE: Final = "_RTCRtpReceiver__decoder_queue"
_H264_KEYS: Final = (5, 7)
"""Types of units that a decoder can begin with: a picture without a past, its parameters."""


class Backlog(queue.Queue[Any]):
    """A decoder's queue that throws away what has become too much and asks for a fresh picture.

    Frames behind a gap can't be decoded, so all are left out until one that needs no past.
    """

    def __init__(self, ask: Callable[[], None]) -> None:
        super().__init__()
        self._ask = ask
        self.shed = 0
        self._broken = False

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Take a frame, (codec, encoded frame), or None for the end, which nothing goes before."""
        if item is None:
            self._clear()
        elif self.qsize() >= MOST:
            self.shed += self._clear()
            self._broken = True
        if item is not None and self._broken:
            if not is_key(item[0].name, item[1].data):
                self.shed += 1
                self._ask()
                return
            self._broken = False
        super().put(item, block, timeout)

    def _clear(self) -> int:
        left = 0
        try:
            while True:
                self.get_nowait()
                left += 1
        except queue.Empty:
            return left


def is_key(codec: str, data: bytes) -> bool:
    """Whether an encoded frame can be decoded without those before it."""
    if codec.upper() == "VP8":
        return bool(data) and not data[0] & 1  # RFC 6386, 9.1
    at = data.find(b"\x00\x00\x01")
    while 0 <= at < len(data) - 3:
        if data[at + 3] & 0x1F in _H264_KEYS:
            return True
        at = data.find(b"\x00\x00\x01", at + 3)
    return False


def bound(receiver: RTCRtpReceiver, ask: Callable[[], None]) -> Backlog:
    """Give a receiver that was not started yet a queue with a bound; `ask` is called for pictures
    that need no past.
    """
    assert isinstance(getattr(receiver, _ATTRIBUTE), queue.Queue)
    backlog = Backlog(ask)
    setattr(receiver, _ATTRIBUTE, backlog)
    return backlog
