"""The hand-off between threads: order, conservation, draining, and waking both sides."""

import os
import signal
import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylize_video.realtime._threads import Worker
from stylize_video.realtime.channel import Aborted, Channel


def in_thread(action: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


@settings(max_examples=30, deadline=None)
@given(items=st.lists(st.integers(), max_size=40), capacity=st.integers(1, 5))
def test_everything_arrives_in_order(items: list[int], capacity: int) -> None:
    channel: Channel[int] = Channel(capacity)

    def produce() -> None:
        for item in items:
            channel.put(item)
        channel.close()

    producer = in_thread(produce)
    assert list(channel) == items
    producer.join(5)
    assert not producer.is_alive()


def test_a_full_channel_makes_the_producer_wait() -> None:
    channel: Channel[int] = Channel(2)
    put = []

    def produce() -> None:
        for item in range(5):
            channel.put(item)
            put.append(item)
        channel.close()

    producer = in_thread(produce)
    producer.join(0.03)
    assert producer.is_alive()
    assert len(put) == 2
    assert list(channel) == [0, 1, 2, 3, 4]
    producer.join(5)


def test_abort_wakes_a_waiting_producer() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(0)
    seen: list[BaseException] = []

    def produce() -> None:
        try:
            channel.put(1)
        except Aborted as error:
            seen.append(error)

    producer = in_thread(produce)
    channel.abort()
    producer.join(5)
    assert len(seen) == 1


def test_abort_wakes_a_waiting_consumer() -> None:
    channel: Channel[int] = Channel(1)
    seen: list[BaseException] = []

    def consume() -> None:
        try:
            list(channel)
        except Aborted as error:
            seen.append(error)

    consumer = in_thread(consume)
    channel.abort()
    consumer.join(5)
    assert len(seen) == 1


def test_abort_forgets_what_was_queued() -> None:
    channel: Channel[int] = Channel(3)
    channel.put(1)
    channel.abort()
    with pytest.raises(Aborted):
        next(iter(channel))


def test_nothing_can_be_put_after_close() -> None:
    channel: Channel[int] = Channel(1)
    channel.close()
    with pytest.raises(ValueError, match="closed"):
        channel.put(1)


def test_a_channel_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity must be at least 1, not 0"):
        Channel(0)


def test_a_worker_can_be_waited_for_again_after_an_interrupt() -> None:
    """Python's own threads count as ended once an exception has broken a join off."""
    gate = threading.Event()
    worker = Worker(target=gate.wait, args=(30,))
    worker.start()
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        worker.join()
    timer.join()
    worker.join(0.05)
    assert worker.is_alive()
    gate.set()
    worker.join()
    assert not worker.is_alive()
