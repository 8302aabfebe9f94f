"""Programs that run beside us and are fed, or read, through a pipe.

What is sent over a network by a library call can block for as long as the other side likes. A
process of its own can be left waiting, and ended.
"""

import os
import re
import select
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from ._optional import require
from .errors import MissingDependency

_SRT: Final = re.compile(r"srt://[\w.\-\[\]:]+:\d{1,5}(\?[\w=&.,:%/+\-~]*)?", re.ASCII)
_LEVEL: Final = re.compile(r"(?:\[[^\]]*\] )*\[(\w+)\] ")
_LINES: Final = 3
_LOOK_S: Final = 0.2


def find_ffmpeg() -> str:
    """The ffmpeg program: on the PATH, else that of imageio-ffmpeg. Raises `MissingDependency`."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    try:
        bundled = require("imageio_ffmpeg", extra="srt", purpose="srt")
        return str(bundled.get_ffmpeg_exe())
    except (MissingDependency, RuntimeError) as error:
        raise MissingDependency(
            "srt needs the program ffmpeg: install it, or pip install 'stylize-video[srt]'"
        ) from error


def good_srt_address(address: str) -> bool:
    """Whether this is ``srt://HOST:PORT`` with options, and nothing but that."""
    return _SRT.fullmatch(address) is not None


class Child:
    """A running program. `end` must be called; it never leaves a process behind.

    It is fed through `write` where `feeds`, else read through `read`. ffmpeg is to run with
    ``-loglevel level+info``, so that what it says of errors can be told from the rest.
    """

    def __init__(self, command: Sequence[str], *, feeds: bool, timeout_s: float) -> None:
        """`timeout_s` is how long a `write` or `read` may wait. Raises OSError."""
        pipe = subprocess.PIPE
        self._said: deque[str] = deque(maxlen=_LINES)
        self.ready = threading.Event()
        """Set when it says ``ready`` or has opened its output, and when it will say no more."""
        self.opened = False
        """Whether it was the first of these."""
        self.timeout_s, self._stopped = timeout_s, False
        self._process = subprocess.Popen(
            command,
            stdin=pipe if feeds else subprocess.DEVNULL,
            stdout=pipe,
            stderr=subprocess.STDOUT if feeds else pipe,
            bufsize=0,
            # Ctrl-C in a terminal is ours: what has begun is finished first
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        data = self._process.stdin if feeds else self._process.stdout
        words = self._process.stdout if feeds else self._process.stderr
        assert data is not None
        assert words is not None
        self._data, self._words = data, words
        self._waits = hasattr(select, "poll")  # elsewhere pipes can't be waited for
        if self._waits:
            os.set_blocking(data.fileno(), False)
        self._thread = threading.Thread(target=self._listen, name="stylize-child")
        self._thread.start()

    @property
    def said(self) -> str:
        """Its last words on what went wrong, in one line."""
        return "; ".join(dict.fromkeys(self._said))

    @property
    def running(self) -> bool:
        """Whether the program has not ended by itself."""
        return self._process.poll() is None

    def write(self, data: bytes) -> int:
        """Feed all of `data`. Raises TimeoutError, and OSError once the program is gone."""
        left = memoryview(data)
        while left:
            self._wait(select.POLLOUT if self._waits else 0)
            try:
                left = left[os.write(self._data.fileno(), left) :]
            except BlockingIOError:
                continue
        return len(data)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end. Raises TimeoutError when nothing comes."""
        while True:
            self._wait(select.POLLIN if self._waits else 0)
            try:
                return os.read(self._data.fileno(), size)
            except BlockingIOError:
                continue

    def stop(self) -> None:
        """From any thread: let `read` and `write` come back soon."""
        self._stopped = True
        if self.running:
            self._process.kill()

    def end(self, patience_s: float = 0.0) -> None:
        """Close the pipe, give the program so long to end, and reap it."""
        self._data.close()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()
        self._words.close()

    def _wait(self, event: int) -> None:
        if not event:
            return
        poll = select.poll()
        poll.register(self._data.fileno(), event)
        deadline = time.monotonic() + self.timeout_s
        while not poll.poll(_LOOK_S * 1000):
            if self._stopped:
                raise TimeoutError("stopped")
            if time.monotonic() > deadline:
                what = "took" if event == select.POLLOUT else "gave"
                raise TimeoutError(f"it {what} nothing for {self.timeout_s:g} s")

    def _listen(self) -> None:
        for raw in self._words:
            line = raw[:500].decode(errors="replace").strip()
            level = _LEVEL.match(line)
            text = line[level.end() :] if level else line
            if text == "ready" or text.startswith("Output #0"):
                self.opened = True
                self.ready.set()
            elif text and (level is None or level[1] in ("error", "fatal", "panic")):
                self._said.append(text)
        self.ready.set()
