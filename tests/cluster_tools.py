"""A crew of workers in this process, and a film for it: what tests of films in pieces share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from doubles import Negative, interrupt_at
from media import LOSSLESS, write_film

from stylize_video.realtime._crew import Event, Lost, Ready, Skills, Told
from stylize_video.realtime._pieces import PieceWorker, Taken, Task
from stylize_video.realtime.cluster import Cluster
from stylize_video.realtime.folders import Job
from stylize_video.realtime.frame import Pixels
from stylize_video.realtime.segments import SegmentSettings
from stylize_video.realtime.sources import Source
from stylize_video.realtime.video import (
    Result,
    VideoSettings,
    open_source,
    paint_video,
    painter_for,
)

A_PIECE = SegmentSettings(seconds=Fraction(2, 5), always=True)
ALIKE = Skills({"the engine": "double"}, "double")
CUTS = (0, 11, 26, 29, 52, 68)
"""The frames with which shots begin; one is short, one holds two pieces."""
FRAMES = 80


class Soft(Negative):
    """Blurred negatives, which the temporal stages have much to do with."""

    def look(self, pixels: Pixels) -> Pixels:
        wide = pixels.astype(np.uint16)
        near = wide + np.roll(wide, 3, 1) + np.roll(wide, 2, 0) + np.roll(wide, -2, 1)
        return (255 - near // 4).astype(np.uint8)


def film_in(folder: Path) -> Path:
    """Three seconds with sound and five cuts, noise over it, at a rate that wanders."""
    random = np.random.default_rng(5)
    scenes = random.integers(20, 230, (len(CUTS), 8, 12, 3)).astype(np.int16)

    def draw(index: int) -> Pixels:
        scene = scenes[sum(index >= cut for cut in CUTS) - 1].repeat(8, 0).repeat(8, 1)
        scene = np.roll(scene, (index // 2, index), (0, 1))
        noise = np.random.default_rng(index).integers(-6, 7, scene.shape)
        return np.clip(scene + noise, 0, 255).astype(np.uint8)

    return write_film(folder / "film.mkv", FRAMES, (96, 64), draw, seed=5, keyframes=40)


class Hands:
    """A crew in this process. `spoil` may turn what a worker tells into something else."""

    def __init__(
        self,
        settings: VideoSettings,
        workers: int = 2,
        engine: Callable[[], Any] = Soft,
        open_source: Callable[[str, VideoSettings], Source] = open_source,
        spoil: Callable[[int, Taken], Event | None] = lambda worker, taken: None,
        skills: Callable[[int], Skills] = lambda worker: ALIKE,
    ) -> None:
        self.size = workers
        self.begun: list[Task] = []
        self._settings, self._engine, self._open = settings, engine, open_source
        self._spoil, self._skills = spoil, skills
        self._workers: dict[int, PieceWorker] = {}
        self._busy: list[int] = []
        self._fresh: list[int] = []
        self._hired = 0
        for _ in range(workers):
            self._hire()

    def begin(self, worker: int, task: Task) -> None:
        self.begun.append(task)
        self._workers[worker].begin(task)
        self._busy.append(worker)

    def next_event(self, wait_s: float) -> Event | None:
        if self._fresh:
            worker = self._fresh.pop(0)
            return Ready(worker, f"node-{worker}", self._skills(worker))
        if not self._busy:
            return None
        worker = self._busy.pop(0)
        taken = self._workers[worker].take(wait_s / 10)
        event = self._spoil(worker, taken) or Told(worker, taken)
        if isinstance(event, Lost):
            self._workers.pop(worker).close()
            self._hire()
        elif not (taken.painted or taken.error or taken.crash):
            self._busy.append(worker)
        return event

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()

    def _hire(self) -> None:
        painter = painter_for(self._engine(), self._settings)
        worker = PieceWorker(painter, lambda name: self._open(name, self._settings))
        self._workers[self._hired] = worker
        self._fresh.append(self._hired)
        self._hired += 1


def settings_of(**changes: Any) -> VideoSettings:
    return replace(VideoSettings(threads=1, write=LOSSLESS, segments=A_PIECE), **changes)


@contextmanager
def cluster_of(settings: VideoSettings, jobs: Any = (), **crew: Any) -> Iterator[Any]:
    hands = Hands(settings, **crew)
    cluster = Cluster(hands, settings, jobs)
    try:
        yield cluster, hands
    finally:
        cluster.close()


def spread(
    source: Path, target: Path, stop: int | None = None, crew: dict[str, Any] | None = None,
    **changes: Any,
) -> Result:  # fmt: skip
    """Paint by workers in this process."""
    with cluster_of(settings_of(**changes), **(crew or {})) as (cluster, _):
        return cluster.paint(Job(str(source), str(target)), interrupt_at(stop) if stop else None)


def alone(source: Path, target: Path, **changes: Any) -> Result:
    settings = settings_of(segments=None, **changes)
    return paint_video(str(source), str(target), Soft(), settings)
