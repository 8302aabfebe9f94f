"""From threads into the event loop."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any


def tell(loop: asyncio.AbstractEventLoop, work: Callable[..., object], *given: Any) -> None:
    """Have something done in the loop, from any thread; not at all once the loop has ended."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(work, *given)
