"""How well a film would be spread over up to 1,000 workers: a simulation with measured task times.

    python tests/benchmarks/scaling.py --measure tasks.json        # measure this machine, alone
    python tests/benchmarks/scaling.py --tasks tasks.json --hours 2

Measuring paints a film with cuts, piece by piece, by one worker of one thread, without Ray. The
simulation then lays out longer films in pieces by the program's own rule: workers take them in
order, search, paint and send, all through one link; a film of which all pieces are there is joined
while the next are painted. Efficiency is the time of one process, which searches and sends nothing,
over workers times their time. What is left of 1 waits for the link.
"""

import argparse
import heapq
import itertools
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cluster import shots
from media import write_video

from stylize_video.realtime._film import nominal_starts
from stylize_video.realtime._join import Joiner
from stylize_video.realtime._pieces import PieceWorker, Task, quick_print
from stylize_video.realtime.catalogue import find_style
from stylize_video.realtime.engines.choose import EngineRequest, load_engine
from stylize_video.realtime.frame import Frame
from stylize_video.realtime.shots import Begins
from stylize_video.realtime.sinks._containers import EncodeOptions
from stylize_video.realtime.sources import Splittable
from stylize_video.realtime.video import VideoSettings, open_source, painter_for

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
RATE = 25


@dataclass
class Tasks:
    """What was measured of one worker of one thread: seconds of a processor, so that what else a
    machine does at the time counts little.
    """

    what: str
    paint_s: list[float]
    """Seconds to read, paint and encode a second of video, one entry a piece."""
    search_s: float
    """Seconds to read a second of video and look for a cut."""
    test_s: float
    """Seconds to look for a cut in a second of video that is read anyway."""
    enter_s: float
    """Seconds to open the input and decode from the key frame before a place."""
    bytes_s: float
    """Bytes of a second of painted video."""
    join_s: float
    """Seconds to join a second of video, its sound included."""
    start_s: float = 15.0
    """Seconds until the first worker is ready: Ray, the program, the network."""


MEASURED = Tasks(
    "starry, quality, 1280x720, OpenVINO 2026.4.1 cpu int8, 1 thread, Intel Xeon (2 busy cores)",
    [2.637, 2.446, 2.444, 2.612, 2.546],
    search_s=0.353,
    test_s=0.227,
    enter_s=0.207,
    bytes_s=1_988_202,
    join_s=0.0106,
)


@dataclass
class World:
    """What is assumed of the machines, and of the films."""

    films: int
    """Painted in a row, by one command."""
    hours: float
    """Of each."""
    piece_s: float
    link: float
    """Bytes a second that reach the machine the command runs on."""
    shot_s: float
    """Mean length of a shot, log-normal."""
    spread: float
    """Standard deviation of its logarithm."""


@dataclass
class Film:
    """Where a film is cut, and where its pieces start by plan."""

    length: float
    cuts: np.ndarray
    starts: list[float]

    def border(self, time_s: float) -> float:
        """The first cut behind a time."""
        at = np.searchsorted(self.cuts, time_s)
        return float(self.cuts[at]) if at < len(self.cuts) else self.length

    def piece(self, number: int) -> tuple[float, float, float]:
        """Seconds of the film that its painter searches, paints, and also tests of these."""
        last = number + 1 == len(self.starts)
        start, end = self.starts[number], np.inf if last else self.starts[number + 1]
        first = self.border(start) if number else 0.0
        searched = min(first, end, self.length) - start
        if first >= end:
            return searched, 0.0, 0.0
        until = self.length if last else self.border(end)
        # behind the nominal end, cuts are looked for while painting
        return searched, until - first, max(0.0, until - min(end, until))


def draw_film(world: World, random: np.random.Generator) -> Film:
    length = world.hours * 3600
    mean = np.log(world.shot_s) - world.spread**2 / 2
    cuts = np.cumsum(random.lognormal(mean, world.spread, int(2 * length / world.shot_s) + 100))
    starts = nominal_starts(Fraction(length), Fraction(world.piece_s))
    return Film(length, cuts[cuts < length], [float(start or 0) for start in starts])


def simulate(tasks: Tasks, world: World, workers: int, seed: int = 0) -> dict[str, float]:
    """One run, event by event: seconds in all, and what share of the workers' went to what."""
    random = np.random.default_rng(seed)
    free = [tasks.start_s] * workers
    link_free = joined = busy = searched = 0.0
    for _ in range(world.films):
        film = draw_film(world, random)
        film_done = 0.0
        for number in range(len(film.starts)):
            begun = heapq.heappop(free)
            search, paint, test = film.piece(number)
            search = tasks.enter_s + search * tasks.search_s
            test *= tasks.test_s
            work = paint * float(random.choice(tasks.paint_s)) + test
            # it is sent as it is painted; what the link can't take by then holds the worker up
            link_free = max(link_free, begun + search) + paint * tasks.bytes_s / world.link
            done = max(begun + search + work, link_free)
            busy, searched = busy + work - test, searched + search + test
            film_done = max(film_done, done)
            heapq.heappush(free, done)
        # films are joined one after another, while the workers go on with the next
        joined = max(joined, film_done) + film.length * tasks.join_s
    video = world.films * world.hours * 3600
    alone = video * (float(np.mean(tasks.paint_s)) + tasks.join_s)
    last = max(free)
    return {
        "seconds": joined,
        "efficiency": alone / (workers * joined),
        "painting": busy / (workers * joined),
        "searching": searched / (workers * joined),
        "last_pieces": sum(last - at for at in free) / (workers * joined),
        "last_join": (joined - last) / joined,
        "starting": tasks.start_s / joined,
        "link_in_use": video * tasks.bytes_s / world.link / joined,
    }


def measure(seconds: int, size: tuple[int, int], style: str) -> Tasks:
    """Paint a film by one worker in this process, look for cuts in it, and join it."""
    settings = VideoSettings(
        threads=1, temporal="quality", write=EncodeOptions(threads=1, overwrite=True)
    )
    cv2.setNumThreads(1)
    engine = load_engine(find_style(style), EngineRequest(threads=1))
    painter = painter_for(engine, settings)
    with tempfile.TemporaryDirectory() as name:
        film, part = Path(name) / "film.mp4", Path(name) / "00001.part"
        options = {"preset": "fast", "g": "250"}
        draw = shots(*size, 4.0)
        write_video(
            film, seconds * RATE, size, Fraction(RATE), audio=True, draw=draw, options=options
        )
        worker = PieceWorker(painter, lambda name: open_source(name, settings))
        task = Task(str(film), quick_print(film), ".mp4", settings.write, None, None)
        paint = _paint(worker, task, part)
        enter, search, test = _search(film, settings, painter.shots(), Fraction(seconds, 2))
        joiner = Joiner(
            Path(name) / "out.mp4",
            settings.write,
            Path(name),
            lambda: open_source(str(film), settings),
        )
        begun = time.process_time()
        joiner.join([part], lambda _: None)
        join = time.process_time() - begun
        size_bytes = part.stat().st_size
    worker.close()
    what = f"{style}, quality, {size[0]}x{size[1]}, {engine.description}"
    engine.close()
    return Tasks(what, paint, search, test, enter, size_bytes / seconds, join / seconds)


def _paint(worker: PieceWorker, task: Task, part: Path) -> list[float]:
    """Seconds for each second of video, over stretches of five."""
    worker.begin(task)
    stretches, frames, since = [], 0, time.process_time()
    with part.open("wb") as file:
        while True:
            taken = worker.take(0.05)
            file.write(taken.data)
            if taken.frames - frames >= 5 * RATE:
                now = time.process_time()
                stretches.append((now - since) / (taken.frames - frames) * RATE)
                frames, since = taken.frames, now
            if taken.error or taken.crash:
                raise SystemExit(f"painting failed: {taken.error or taken.crash}")
            if taken.painted:
                return stretches


def _search(
    film: Path, settings: VideoSettings, begins: Begins, middle: Fraction
) -> tuple[float, float, float]:
    """Seconds to come to a place in the middle; to read a second of video there and look for cuts;
    to look alone.
    """
    begun = time.process_time()
    source = open_source(str(film), settings)
    assert isinstance(source, Splittable)
    source.read_from(middle, seek=True)
    frames = (item for item in source if isinstance(item, Frame))
    before = next(frames)
    entered = time.process_time()
    tested = 0.0
    for now in itertools.islice(frames, 5 * RATE):
        since = time.process_time()
        begins(before, now)
        tested += time.process_time() - since
        before = now
    searched = time.process_time()
    source.close()
    return entered - begun, (searched - entered) / 5, tested / 5


def main() -> int:
    options = _parse()
    if options.measure:
        width, height = (int(side) for side in options.size.split("x"))
        tasks = measure(options.seconds, (width, height), options.style)
        options.measure.write_text(json.dumps(asdict(tasks), indent=2) + "\n")
        print(options.measure.read_text())
        return 0
    tasks = Tasks(**json.loads(options.tasks.read_text())) if options.tasks else MEASURED
    link = options.link * 1e6 / 8
    world = World(options.films, options.hours, options.piece, link, options.shot, options.spread)
    print(
        f"{tasks.what}; {options.films} film(s) of {options.hours:g} h, pieces of "
        f"{options.piece:g} s, shots of {options.shot:g} s, {options.link:g} Mbit/s"
    )
    names = list(simulate(tasks, world, 1))
    print("workers", *names, sep="\t")
    for count in COUNTS:
        runs = [simulate(tasks, world, count, seed) for seed in range(options.runs)]
        means = {name: float(np.mean([run[name] for run in runs])) for name in names}
        print(
            count,
            *(f"{means[n]:.0f}" if n == "seconds" else f"{means[n]:.2f}" for n in names),
            sep="\t",
        )
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", type=Path, metavar="FILE", help="measure, and write it there")
    parser.add_argument("--seconds", type=int, default=60, help="of the film that is measured on")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--style", default="starry")
    parser.add_argument("--tasks", type=Path, help="what --measure wrote (default: see MEASURED)")
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--piece", type=float, default=20, help="seconds of a piece")
    parser.add_argument("--shot", type=float, default=5, help="mean seconds of a shot")
    parser.add_argument("--spread", type=float, default=0.9, help="of the shots' logarithm")
    parser.add_argument("--link", type=float, default=1000, help="Mbit/s to where it is joined")
    parser.add_argument("--films", type=int, default=1, help="painted in a row")
    parser.add_argument("--runs", type=int, default=5, help="simulations the figures are means of")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
