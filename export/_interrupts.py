"""Ctrl-C and SIGTERM, held back while something must not be left half done."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass
class Held:
    """Whether a signal came."""

    came: bool = False


@contextmanager
def held() -> Iterator[Held]:
    """Note the first signal instead of stopping at it; a second one stops at once, as ever.

    Outside the main thread, where none arrive, nothing is done, nor to signals that are ignored.
    """
    found = Held()
    before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def note(number: int, frame: FrameType | None) -> None:
        if not found.came:
            found.came = True
            return
        before[number](number, frame)

    try:
        for wanted in (signal.SIGINT, signal.SIGTERM):
            if callable(handler := signal.getsignal(wanted)):
                signal.signal(wanted, note)
                before[wanted] = handler
    except ValueError:  # not the main thread
        before.clear()
    try:
        yield found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
