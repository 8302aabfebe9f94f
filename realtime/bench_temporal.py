"""`stylize bench --temporal`: how steady, sharp and faithful the temporal stage is, and its cost.

Measured on SynthFlow, whose flow is exact, against the painting of every frame by itself. A table
of such measures can be cheated: a frozen picture never flickers. So the cheats are measured beside
the tiers, and the table counts only if each of them fails a gate and the oracle, which blends with
exact flow and visibility, fails none.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from ._history import History, Step
from .catalogue import find_style
from .engines import Engine
from .engines.choose import EngineRequest, load_engine, usable_cores
from .errors import SourceOpenError
from .frame import Pixels
from .metrics import gradient_energy, infidelity, warping_error
from .sources.images import IMAGE_SUFFIXES
from .synthflow import Scene, scenes
from .temporal import SETTINGS, TemporalBlender
from .warp import Floats, Mask, grid, warp

_SETTLED: Final = 4
"""Frames at the start that are left out: no stage has a past there."""
_FAR: Final = 8
_PHOTOS: Final = 8

GATES: Final[dict[str, tuple[float, float]]] = {
    "e1": (0.0, 0.20),
    "infidelity": (0.0, 0.10),
    "sharpness": (0.90, 1.10),
    "ghost": (0.0, 0.08),
    "lag": (0.0, 5.0),
}
"""Lowest and highest median of a measure that passes."""

Stage = Callable[["Case"], list[Pixels]]


@dataclass
class Case:
    """A scene, what was seen of it and how each frame is painted by itself."""

    scene: Scene
    seen: list[Pixels]
    painted: list[Pixels]
    _known: dict[tuple[int, int], tuple[Floats, Mask]] = field(default_factory=dict)

    def correspond(self, t: int, s: int) -> tuple[Floats, Mask]:
        """As `Scene.correspond`, computed once."""
        if (t, s) not in self._known:
            self._known[t, s] = self.scene.correspond(t, s)
        return self._known[t, s]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this measurement."""
    group = parser.add_argument_group("steadiness")
    group.add_argument(
        "--temporal",
        action="store_true",
        help="measure the temporal tiers instead of speed, on scenes rendered from --photos",
    )
    group.add_argument("--photos", type=Path, metavar="DIR", help="a folder of photos for it")


def run(options: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Measure and show the table."""
    style = find_style(options.style)
    pictures = _photos(options.photos)
    width, height = (int(side) for side in options.sizes.split(",")[0].lower().split("x"))
    engine = load_engine(
        style,
        EngineRequest(
            options.engine, options.precision, options.threads, options.fit, options.model_range
        ),
    )
    stages = _stages(options.threads or usable_cores())
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in stages}
    try:
        for scene in scenes(pictures, (width, height), max(12, options.frames)):
            case = _case(scene, engine)
            for name, stage in stages.items():
                begun = time.perf_counter()
                frames = stage(case)
                took = time.perf_counter() - begun
                row = _measure(case, frames) | {"ms": 1000 * took / scene.frames}
                results[name].append({"scene": scene.name, **row})
    finally:
        engine.close()
    table = {name: _summary(rows) for name, rows in results.items()}
    if options.json:
        document = {"style": style.card.id, "size": [width, height], "table": table}
        show(json.dumps(document | {"scenes": results}, indent=2))
        return 0
    count = len(results["off"])
    show(f"style {style.card.id} at {width}x{height}: median (worst) over {count} scenes")
    show(_table(table))
    return 0


def _stages(threads: int) -> dict[str, Stage]:
    def tier(name: str) -> Stage:
        def stage(case: Case) -> list[Pixels]:
            blender = TemporalBlender(SETTINGS[name], threads=threads)  # type: ignore[index]
            try:
                return [blender.blend(*pair) for pair in zip(case.seen, case.painted, strict=True)]
            finally:
                blender.reset()

        return stage

    return {
        "off": lambda case: case.painted,
        **{name: tier(name) for name in SETTINGS},
        "oracle": lambda case: list(_oracle(case, threads)),
        "frozen": lambda case: [case.painted[0]] * len(case.painted),
        "grey": lambda case: [np.full_like(p, 128) for p in case.painted],
        "blur": lambda case: [_pixels(cv2.GaussianBlur(p, (0, 0), 2.0)) for p in case.painted],
        "average": lambda case: list(_average(case, 0.5)),
        "ungated": lambda case: list(_ungated(case, 0.99)),
    }


def _oracle(case: Case, threads: int) -> Iterator[Pixels]:
    """The blend of the fast tier with exact flow and visibility."""
    history: History | None = None
    still = grid(*case.painted[0].shape[:2])
    for t, painted in enumerate(case.painted):
        if history is None:
            history = History(painted, 1, threads)
            yield painted
            continue
        places, visible = case.correspond(t, t - 1)
        weight = np.where(visible, np.float32(SETTINGS["fast"].weight), np.float32(0))
        yield history.advance(painted, Step(places - still, weight))
    if history:
        history.close()


def _average(case: Case, weight: float) -> Iterator[Pixels]:
    """The screen averaged over time, with no regard for motion."""
    past = case.painted[0].astype(np.float32)
    for painted in case.painted:
        past = weight * past + (1 - weight) * painted
        yield _pixels(past)


def _ungated(case: Case, weight: float) -> Iterator[Pixels]:
    """Exact flow, and the past taken wherever it leads."""
    past: Floats | None = None
    for t, painted in enumerate(case.painted):
        if past is None:
            past = painted.astype(np.float32)
        else:
            places, _ = case.correspond(t, t - 1)
            past = weight * warp(past, places) + np.float32(1 - weight) * painted
        yield _pixels(past)


def _case(scene: Scene, engine: Engine) -> Case:
    seen = [scene.frame(t) for t in range(scene.frames)]
    return Case(scene, seen, [engine.paint(frame) for frame in seen])


def _measure(case: Case, frames: Sequence[Pixels]) -> dict[str, float]:
    """What can be said of one scene; measures that it can't show are left out."""
    settled = range(_SETTLED, len(frames))
    found: dict[str, Any] = {
        "infidelity": np.mean([infidelity(frames[t], case.painted[t]) for t in settled]),
        "sharpness": np.mean([gradient_energy(frames[t]) for t in settled])
        / np.mean([gradient_energy(case.painted[t]) for t in settled]),
    }
    for name, apart in (("e1", 1), ("e8", _FAR)):
        ratio = _error_ratio(case, frames, apart)
        if ratio is not None:
            found[name] = ratio
    if case.scene.name == "frozen":
        tail = np.stack([f.astype(np.float32).mean(-1) for f in frames[len(frames) // 2 :]])
        found["deviation"] = tail.std(0).mean()
    if case.scene.name == "occluder":
        found["ghost"] = _ghost(case, frames)
    if case.scene.name == "light":
        found["lag"] = _lag(case, frames)
    return {name: float(value) for name, value in found.items()}


def _error_ratio(case: Case, frames: Sequence[Pixels], apart: int) -> float | None:
    ours, alone = 0.0, 0.0
    for t in range(max(apart, _SETTLED), len(frames)):
        places, visible = case.correspond(t, t - apart)
        if visible.mean() > 0.01:
            ours += warping_error(frames[t], frames[t - apart], places, visible)
            alone += warping_error(case.painted[t], case.painted[t - apart], places, visible)
    return ours / alone if alone else None


def _ghost(case: Case, frames: Sequence[Pixels]) -> float:
    """Squared difference to the painting where something was just uncovered, over its variance."""
    errors = []
    for t in range(_SETTLED, len(frames)):
        uncovered = (case.scene.layer_ids(t) == 0) & (case.scene.layer_ids(t - 1) == 1)
        if uncovered.any():
            painted = case.painted[t].astype(np.float32)
            errors.append(((frames[t] - painted)[uncovered] ** 2).mean() / painted.var())
    return float(np.mean(errors)) if errors else 0.0


def _lag(case: Case, frames: Sequence[Pixels]) -> float:
    """Frames after a step of light until the mean is within a tenth of the step."""
    means = [float(p.mean()) for p in case.painted]
    step = 2 * len(frames) // 3
    size = abs(means[step] - means[step - 1])
    for t in range(step, len(frames)):
        if abs(float(frames[t].mean()) - means[t]) <= 0.1 * size:
            return t - step
    return float(len(frames) - step)


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = ("e1", "e8", "infidelity", "sharpness", "ghost", "lag", "deviation", "ms")
    values = {name: [row[name] for row in rows if name in row] for name in names}
    median = {name: float(np.median(v)) for name, v in values.items() if v}
    worst = {
        name: max(v, key=lambda x: abs(x - 1)) if name == "sharpness" else max(v)
        for name, v in values.items()
        if v
    }
    failed = [n for n, (low, high) in GATES.items() if not low <= median.get(n, low) <= high]
    return {"median": median, "worst": worst, "failed": failed}


def _table(table: dict[str, dict[str, Any]]) -> str:
    columns = ("e1", "e8", "infidelity", "sharpness", "ghost", "lag", "deviation", "ms")
    lines = [f"{'':>8} " + " ".join(f"{c:>14}" for c in columns) + "  fails"]
    for name, row in table.items():
        cells = []
        for column in columns:
            if column in ("ghost", "lag", "deviation"):
                cells.append(f"{row['median'].get(column, np.nan):>14.3f}")
            else:
                cells.append(f"{row['median'][column]:>6.3f} ({row['worst'][column]:>5.3f})")
        lines.append(f"{name:>8} " + " ".join(cells) + "  " + (", ".join(row["failed"]) or "-"))
    return "\n".join(lines)


def _photos(folder: Path | None) -> list[Pixels]:
    if folder is None:
        raise SourceOpenError("--temporal renders its scenes from photos: give --photos DIR")
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    chosen = paths[:: max(1, len(paths) // _PHOTOS)][:_PHOTOS]
    pictures = [cv2.imread(str(path)) for path in chosen]
    found = [_pixels(cv2.cvtColor(p, cv2.COLOR_BGR2RGB)) for p in pictures if p is not None]
    if len(found) < 2:
        raise SourceOpenError(f"{folder} holds {len(found)} readable photos: at least 2 are needed")
    return found


def _pixels(values: Any) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
