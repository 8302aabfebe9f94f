"""Workers as their planner sees them: they are given pieces, and tell what comes of them."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ._pieces import Taken, Task
from .cues import Cue


@dataclass(frozen=True)
class Setup:
    """What a worker is told once: all but the inputs."""

    options: argparse.Namespace
    """Those of `stylize video`."""
    cues: Sequence[Cue]
    folder: str
    """Where relative names start."""


@dataclass(frozen=True)
class Skills:
    """What a worker paints with."""

    made_of: Mapping[str, str]
    """Everything that decides what comes out beside input and settings, by the names people know it
    by. The same for all workers of a crew.
    """
    description: str
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ready:
    """A worker can be given its first piece."""

    worker: int
    node: str
    """The machine it runs on."""
    skills: Skills


@dataclass(frozen=True)
class Told:
    """A worker tells of the piece it paints."""

    worker: int
    taken: Taken


@dataclass(frozen=True)
class Lost:
    """A worker is gone, with the piece it painted. Another may come in its place."""

    worker: int
    why: str


Event = Ready | Told | Lost


class Crew(Protocol):
    """Workers on some machines."""

    size: int
    """How many there are to be."""

    def begin(self, worker: int, task: Task) -> None:
        """Have a worker that has nothing to do paint a piece. Raises `ClusterError`."""
        ...

    def next_event(self, wait_s: float) -> Event | None:
        """What happens next, None where nothing did in that time.

        Raises `ClusterError` when all of it is lost, and what keeps a worker from starting.
        """
        ...

    def close(self) -> None:
        """Send all workers away."""
        ...
