"""The program that speaks with Ray: hires workers as actors, hands on pieces and their pictures.

It runs beside the command, since Ray ends the process it runs in when its head is lost, takes over
signals, and talks on both outputs. Ray itself does little here: it finds machines with room,
carries a few bytes, and tells when somebody dies.
"""

import contextlib
import os
import platform
import queue
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final

import cv2

from ._crew import Event, Lost, Ready, Setup, Skills, Told
from ._optional import require
from ._pieces import PieceWorker, Taken, Task
from ._session import open_worker
from .errors import ClusterError, StylizeError

GPU_ENGINES: Final = ("cuda", "tensorrt")
_TAKE_S: Final = 1.0
_PROBE_S: Final = 4.0
_MOST_PROBES: Final = 3
_SILENT_S: Final = 120.0
"""How long a worker may keep quiet that is asked every second."""
_STORE_BYTES: Final = 128 << 20
_STORE_BYTES_EACH: Final = 16 << 20
_WORDS: Final = 200


@dataclass(frozen=True)
class Hire:
    """What is asked of a cluster."""

    address: str
    """Of its head, HOST:PORT; ``auto`` for one on this machine, ``local`` for one of our own."""
    workers: int | None
    """None for as many as there is room for."""
    threads: int
    """Of each worker."""
    engine: str
    cores: int
    """Of this machine, for a cluster of our own."""
    folder: str = ""
    """Where a cluster of our own puts its files."""


@dataclass(frozen=True)
class Up:
    """The cluster is there, and so many workers were asked for."""

    workers: int


@dataclass(frozen=True)
class Over:
    """It is over, and why."""

    error: StylizeError


@dataclass(frozen=True)
class Begin:
    """An order: have a worker paint a piece. None, in place of an order, sends all away."""

    worker: int
    task: Task


class RayWorker:
    """What runs in an actor."""

    def __init__(self) -> None:
        self._worker: PieceWorker | None = None

    def open(self, setup: Setup) -> tuple[str, Skills | StylizeError]:
        """The machine's name, and what is painted with or what keeps it from painting."""
        # frames are cut into strips for our own threads
        cv2.setNumThreads(1)
        try:
            self._worker, skills = open_worker(setup)
        except StylizeError as error:
            return platform.node(), error
        return platform.node(), skills

    def begin(self, task: Task) -> None:
        """Paint a piece."""
        assert self._worker is not None
        self._worker.begin(task)

    def take(self, wait_s: float) -> Taken:
        """What was made of it since the last time."""
        assert self._worker is not None
        return self._worker.take(wait_s)


@dataclass
class _Hand:
    """An actor."""

    actor: Any
    asked: float | None = None
    """Since when an answer is due that should come within a second."""
    refs: list[Any] = field(default_factory=list)


class Foreman:
    """Keeps as many workers as were asked for, until it is told to stop."""

    def __init__(self, connection: "Connection[Any, Any]", hire: Hire, setup: Setup) -> None:
        """Raises `MissingDependency`, and `ClusterError` where there is no such cluster."""
        self._connection, self._setup = connection, setup
        self._ray: Any = require("ray", extra="cluster", purpose="--cluster")
        self._news: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._hands: dict[int, _Hand] = {}
        self._next, self._failed_probes, self._probed = 0, 0, time.monotonic()
        self._join(hire)
        gpus = int(self._ray.cluster_resources().get("GPU", 0))
        by_gpu = hire.engine in GPU_ENGINES or (hire.engine == "auto" and gpus > 0)
        self._count = hire.workers or (gpus if by_gpu else self._room(hire.threads))
        if not self._count:
            what = "GPU" if by_gpu else f"machine with {hire.threads} processors"
            raise ClusterError(f"the cluster {hire.address} has no {what}: give fewer --threads")
        self._most_hired = 2 * self._count + 10
        cpus = min(hire.threads, self._largest_node())
        self._actor = self._ray.remote(num_cpus=cpus, num_gpus=int(by_gpu))(RayWorker)
        self._head = str(self._ray.get_runtime_context().gcs_address)

    def run(self) -> None:
        """Work until told to stop. Raises `ClusterError` when the cluster is lost."""
        self._connection.send(Up(self._count))
        threading.Thread(target=self._read_orders, name="orders", daemon=True).start()
        for _ in range(self._count):
            self._hire_one()
        while True:
            try:
                news = self._news.get(timeout=_TAKE_S)
            except queue.Empty:
                self._look_for_the_silent()
                self._probe_head()
                continue
            if news[0] == "order":
                if news[1] is None:
                    return
                self._pass_on(news[1])
            else:
                self._hear(*news[1:])
            self._probe_head()

    def close(self) -> None:
        """Send the workers away and leave."""
        for hand in self._hands.values():
            self._dismiss(hand)
        self._ray.shutdown()

    # --- the cluster

    def _join(self, hire: Hire) -> None:
        common: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if hire.address == "local":
            most = max(hire.cores, (hire.workers or 0) * hire.threads)
            common |= {
                "num_cpus": most,
                "include_dashboard": False,
                "_node_ip_address": "127.0.0.1",
                "object_store_memory": _STORE_BYTES + most * _STORE_BYTES_EACH,
                "_temp_dir": hire.folder,
            }
        elif hire.address != "auto":
            _reach(hire.address)
        try:
            self._ray.init(address=hire.address, **common)
        except Exception as error:
            raise ClusterError(
                f"there is no Ray cluster {hire.address} to join: {_words(error)}; start one by "
                "ray start --head, and run ray start --address on this machine too"
            ) from error

    def _room(self, threads: int) -> int:
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        return sum(int(node["Resources"].get("CPU", 0)) // threads for node in nodes)

    def _largest_node(self) -> int:
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        return max((int(node["Resources"].get("CPU", 0)) for node in nodes), default=1)

    def _probe_head(self) -> None:
        """Raise `ClusterError` once the head has not answered several times: Ray itself would wait
        for it for long, and then end this process.
        """
        if time.monotonic() - self._probed < _PROBE_S:
            return
        try:
            _reach(self._head)
            self._failed_probes = 0
        except ClusterError as error:
            self._failed_probes += 1
            if self._failed_probes >= _MOST_PROBES:
                raise ClusterError(f"the Ray cluster at {self._head} is lost") from error
        self._probed = time.monotonic()

    # --- workers

    def _hire_one(self) -> None:
        if self._next >= self._most_hired:
            raise ClusterError(
                f"{self._next} workers were started for {self._count} places and the last died too"
            )
        number, self._next = self._next, self._next + 1
        hand = self._hands[number] = _Hand(self._actor.remote())
        self._ask(number, "open", hand.actor.open.remote(self._setup))

    def _ask(self, number: int, what: str, answer: Any) -> None:
        """Have the answer come as news."""
        future = answer.future()
        future.add_done_callback(lambda done: self._news.put(("answer", number, what, done)))

    def _take_from(self, number: int) -> None:
        hand = self._hands[number]
        hand.asked = time.monotonic()
        self._ask(number, "take", hand.actor.take.remote(_TAKE_S))

    def _pass_on(self, order: Begin) -> None:
        if order.worker in self._hands:  # else whoever gave it is about to hear that it is gone
            actor = self._hands[order.worker].actor
            self._ask(order.worker, "begin", actor.begin.remote(order.task))
            self._take_from(order.worker)

    def _hear(self, number: int, what: str, done: Any) -> None:
        hand = self._hands.get(number)
        if hand is None:
            return
        try:
            answer = done.result()
        except Exception as error:  # noqa: BLE001 - whatever Ray says of an actor, it is of no use now
            self._miss(number, _reason(error))
            return
        if what == "open":
            node, skills = answer
            if isinstance(skills, StylizeError):
                raise ClusterError(f"the worker on {node} can't paint: {skills}")
            self._tell(Ready(number, node, skills))
        elif what == "take":
            hand.asked = None
            self._tell(Told(number, answer))
            if not (answer.painted or answer.error or answer.crash):
                self._take_from(number)

    def _miss(self, number: int, why: str) -> None:
        self._dismiss(self._hands.pop(number))
        self._tell(Lost(number, why))
        self._hire_one()

    def _look_for_the_silent(self) -> None:
        now = time.monotonic()
        silent = [n for n, h in self._hands.items() if h.asked and now - h.asked > _SILENT_S]
        for number in silent:
            self._miss(number, f"no word from it for {_SILENT_S:.0f} s")

    def _dismiss(self, hand: _Hand) -> None:
        with contextlib.suppress(Exception):  # it may be gone already
            self._ray.kill(hand.actor)

    # --- whoever gives orders

    def _tell(self, event: Event) -> None:
        self._connection.send(event)

    def _read_orders(self) -> None:
        order: Begin | None = None
        while True:
            try:
                order = self._connection.recv()
            except (EOFError, OSError):
                order = None
            self._news.put(("order", order))
            if order is None:
                return


def main() -> None:
    """The program: its only argument is the descriptor it is spoken to through."""
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    os.dup2(2, 1)
    foreman = None
    try:
        hire, setup = connection.recv()
        foreman = Foreman(connection, hire, setup)
        foreman.run()
    except StylizeError as error:
        with contextlib.suppress(OSError):
            connection.send(Over(error))
    except (EOFError, OSError):
        pass  # nobody is there any more
    finally:
        if foreman is not None:
            foreman.close()


def _reach(address: str) -> None:
    """Raise `ClusterError` unless something listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_PROBE_S / 2).close()
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"nothing answers at {address}: give the address that ray start --head has printed"
        ) from error


def _reason(error: BaseException) -> str:
    """Why a worker is gone, in a few words."""
    known: Mapping[str, str] = {
        "ActorDiedError": "its process or machine is gone",
        "ActorUnavailableError": "it can't be reached",
        "NodeDiedError": "its machine is gone",
        "OutOfMemoryError": "its machine ran out of memory",
    }
    name = type(error).__name__
    return known.get(name) or f"{name}: {_words(error)}"


def _words(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:_WORDS] if lines else type(error).__name__
