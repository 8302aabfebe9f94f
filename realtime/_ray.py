"""Workers on a Ray cluster, through the program that speaks with it."""

import argparse
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Final

from ._crew import Event, Setup
from ._foreman import Begin, Hire, Over, Up
from ._pieces import Task
from .cues import Cue
from .engines.choose import usable_cores
from .errors import ClusterError, StylizeError

_PROGRAM: Final = "from stylize_video.realtime._foreman import main; main()"
_START_S: Final = 120.0
_LEAVE_S: Final = 8.0
_THREADS: Final = 2
_WORDS_BYTES: Final = 4000
_TOKEN: Final = Path("~/.ray/auth_token")


def hire_from(options: argparse.Namespace) -> Hire:
    """What `stylize video` asks of a cluster. Raises `ClusterError`."""
    if sys.platform == "win32":
        raise ClusterError("--cluster needs Linux or macOS")
    cores = usable_cores()
    workers, threads = options.workers, options.threads
    if options.cluster == "local" and not threads:
        # two threads paint a frame nearly twice as fast as one; more, less and less so
        threads = max(1, cores // (workers or max(min(2, cores), cores // _THREADS)))
    return Hire(options.cluster, workers, threads or _THREADS, options.engine, cores)


class RayCrew:
    """A `_crew.Crew` of Ray actors. Raises `StylizeError` where there can be none."""

    def __init__(self, hire: Hire, options: argparse.Namespace, cues: Sequence[Cue]) -> None:
        self.size = 0
        self._error: StylizeError | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="stylize-ray-", dir=_short_folder()))
        self._words = (self._folder / "words").open("w+b")
        ours, its = Pipe()
        self._connection: Connection[Any, Any] = ours
        self._program = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(its.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=self._words,
            stderr=self._words,
            pass_fds=[its.fileno()],
            env={**os.environ, **_environment(hire.address)},
            # Ctrl-C in a terminal is ours to hand on
            start_new_session=True,
        )
        its.close()
        try:
            hire = Hire(**{**vars(hire), "folder": str(self._folder)})
            self._send((hire, Setup(options, cues, str(Path.cwd()))))
            self._await_start(hire.address)
        except BaseException:
            self.close()
            raise

    def begin(self, worker: int, task: Task) -> None:
        """Have a worker paint a piece. Raises `ClusterError`."""
        self._send(Begin(worker, task))

    def next_event(self, wait_s: float) -> Event | None:
        """What happens next, None for nothing in that time. Raises `StylizeError` when it is over,
        and ever after.
        """
        if self._error is not None:
            raise self._error
        message = self._receive(wait_s)
        if isinstance(message, Over):
            self._error = message.error
            raise self._error
        event: Event | None = message
        return event

    def close(self) -> None:
        """Send the workers away, and leave no process behind."""
        with contextlib.suppress(OSError):
            self._connection.send(None)
        self._connection.close()  # which says the same
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._program.wait(_LEAVE_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._program.pid, signal.SIGKILL)
        self._program.wait()
        self._words.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _await_start(self, address: str) -> None:
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            message = self._receive(until - time.monotonic())
            if isinstance(message, Over):
                raise message.error
            if isinstance(message, Up):
                self.size = message.workers
                return
        raise ClusterError(f"the Ray cluster {address} did not come up within {_START_S:.0f} s")

    def _send(self, order: Any) -> None:
        try:
            self._connection.send(order)
        except OSError as error:
            raise self._lost() from error

    def _receive(self, wait_s: float) -> Any:
        try:
            return self._connection.recv() if self._connection.poll(max(0.0, wait_s)) else None
        except (EOFError, OSError) as error:
            raise self._lost() from error

    def _lost(self) -> ClusterError:
        self._words.seek(0, os.SEEK_END)
        self._words.seek(max(0, self._words.tell() - _WORDS_BYTES))
        lines = self._words.read().decode(errors="replace").strip().splitlines()
        said = f": {lines[-1][:200]}" if lines else ""
        self._error = ClusterError(f"the Ray cluster is lost{said}")
        return self._error


def _environment(address: str) -> dict[str, str]:
    """What Ray takes from its environment: no word home, and who may speak with the cluster."""
    environment = {"RAY_USAGE_STATS_ENABLED": "0"}
    if address == "local":
        return {
            **environment,
            # of one run, and not in the file in the home folder that Ray would write it to
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            # Ray's workers are nicer to other programs than this one is when it paints alone
            "RAY_worker_niceness": "0",
        }
    # `ray start` asks for a token wherever one is found, but drivers have to be told to show it
    known = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ)
    if "RAY_AUTH_MODE" not in os.environ and (known or _TOKEN.expanduser().exists()):
        environment["RAY_AUTH_MODE"] = "token"
    return environment


def _short_folder() -> str | None:
    """Where Ray's sockets fit, whose whole names may have 107 bytes; None for the usual place."""
    return None if len(tempfile.gettempdir()) < 20 else "/tmp"
