"""Reads a source on a thread of its own."""

from typing import Final

from ._threads import Worker
from .channel import Aborted, Channel
from .frame import Frame, SidePacket
from .sinks import LARGE_PIXELS
from .sources import Source

_CAPACITY: Final = 3
"""Frames that may wait between two threads; of large ones, one."""


class Reader(Worker):
    """Puts all that a source gives into a channel, which is closed behind the last.

    A source that fails ends it like one that has ended, and `error` says why. Whoever takes from
    the channel ends the reader by aborting that.
    """

    def __init__(self, source: Source, capacity: int | None = None) -> None:
        super().__init__(name="stylize-read")
        self._source = source
        self._large = source.info.width * source.info.height >= LARGE_PIXELS
        if capacity is None:
            capacity = 1 if self._large else _CAPACITY
        self.capacity = capacity
        self.read: Channel[Frame | SidePacket] = Channel(self.capacity)
        self.error: BaseException | None = None
        """What has ended the source before its time."""

    def work(self) -> None:
        """Read to the end."""
        try:
            for item in self._source:
                self.read.put(item)
                if self._large:
                    del item
                    self.read.wait_for_room()
        except Aborted:
            return
        except BaseException as error:  # noqa: BLE001 - raised again in another thread
            self.error = error
        self.read.close()
