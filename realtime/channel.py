"""One bounded hand-off between two threads."""

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Aborted(Exception):
    """The channel was aborted by the other side or by the pipeline."""


class Channel(Generic[T]):
    """A bounded first-in first-out queue between one producer and one consumer.

    `put` waits while the channel is full, so no item is ever lost. `close` lets the consumer drain
    what is there and then ends its iteration; `abort` wakes both sides at once with `Aborted` and
    forgets what was queued.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self.capacity = capacity
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._aborted = False

    def put(self, item: T) -> None:
        """Queue `item`, waiting for room. Raises `Aborted` after `abort`, ValueError after
        `close`.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self.capacity or self._aborted)
            if self._aborted:
                raise Aborted
            if self._closed:
                raise ValueError("put() on a closed channel")
            self._items.append(item)
            self._changed.notify_all()

    def wait_for_room(self) -> None:
        """Wait until `put` would not: for items so large that none should wait in hand. Raises
        `Aborted` after `abort`.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self.capacity or self._aborted)
            if self._aborted:
                raise Aborted

    def __iter__(self) -> Iterator[T]:
        """Items in order until the channel is closed and empty. Raises `Aborted` after `abort`."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._closed or self._aborted)
                if self._aborted:
                    raise Aborted
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def close(self) -> None:
        """No more items will come; what is queued is still delivered."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Stop both sides now."""
        with self._changed:
            self._aborted = True
            self._items.clear()
            self._changed.notify_all()
