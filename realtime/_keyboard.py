"""Keys pressed in a terminal, one at a time and without waiting."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def terminal_keys() -> Iterator[Callable[[], str | None]]:
    """Gives a function from nothing to the key that was pressed, None where there was none.

    The terminal hands out keys as they are pressed for that long, and is put back afterwards. Where
    standard input is no terminal, no key is ever read from it.
    """
    if not sys.stdin or not sys.stdin.isatty():
        yield lambda: None
        return
    if sys.platform == "win32":
        import msvcrt

        yield lambda: msvcrt.getwch() if msvcrt.kbhit() else None
        return
    import select
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)

    def pressed() -> str | None:
        if not select.select([number], [], [], 0)[0]:
            return None
        # not by sys.stdin, whose buffer select does not see
        key = os.read(number, 1)
        return key.decode("ascii", errors="ignore") or None

    tty.setcbreak(number)
    try:
        yield pressed
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
