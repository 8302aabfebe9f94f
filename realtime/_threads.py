"""Threads that can be waited for by somebody who is interrupted."""

import threading


class Worker(threading.Thread):
    """A thread whose `join` may be interrupted and called again.

    Python's own, up to 3.12, takes the thread for ended once an exception (Ctrl-C, say) has broken
    a `join` off: the next one returns at once, and what the thread still works on is taken away.
    """

    over: threading.Event
    """Set when it has ended."""

    def start(self) -> None:
        """Begin."""
        self.over = threading.Event()
        super().start()

    def run(self) -> None:
        """Do the work; subclasses have `work` instead."""
        try:
            self.work()
        finally:
            self.over.set()

    def work(self) -> None:
        """What it does: call its target."""
        super().run()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, `timeout` seconds at most; one that never began has."""
        if self.ident is not None and self.over.wait(timeout):
            super().join(timeout)
