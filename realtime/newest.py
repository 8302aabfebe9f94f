"""The hand-off of live work: only the newest item waits, what it replaces is counted."""

import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Newest(Generic[T]):
    """A place for one item between a producer that never waits and a consumer.

    However slow the consumer is, what it gets was put last: latency can't build up.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Items that were replaced before anybody took them."""
        return self._dropped

    def put(self, item: T) -> bool:
        """Leave an item, in place of one that still waits; False once the place is closed."""
        with self._changed:
            if self._closed:
                return False
            self._dropped += self._item is not None
            self._item = item
            self._changed.notify_all()
            return True

    def take(self, timeout: float | None = None) -> T | None:
        """The newest item; None when none came in time, or when none will come any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout)
            item, self._item = self._item, None
            return item

    def __iter__(self) -> Iterator[T]:
        while True:
            item = self.take()
            if item is None:
                return
            yield item

    @property
    def closed(self) -> bool:
        """Whether no more items will come."""
        return self._closed

    def close(self) -> None:
        """No more items will come; one that waits is still taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
