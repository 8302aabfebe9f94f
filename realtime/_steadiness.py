"""What is measured of a temporal stage on a scene whose flow is exact, and the cheats beside it.

A table of such measures can be cheated: a frozen picture never flickers. So the cheats are measured
beside the tiers, and the table counts only if each of them fails a gate and the oracle, which
blends with exact flow and visibility, fails none.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import cv2
import numpy as np

from ._history import History, Step
from .frame import Frame, Pixels
from .metrics import gradient_energy, infidelity, texture_correlation, warping_error
from .synthflow import Scene
from .temporal import FAST, Paint
from .tiers import TemporalStage, stage_for
from .warp import Floats, Mask, grid, warp

SETTLED: Final = 4
"""Frames at the start that are left out: no stage has a past there."""
_FAR: Final = (8, 9)
"""Frames apart. After 8 frames of a pan by whole pixels a network with a stride of 8 is where it
was: painted by itself, too, each frame then looks like the one before. After 9 it is not.
"""

GATES: Final[dict[str, tuple[float, float]]] = {
    "e1": (0.0, 0.20),
    "infidelity": (0.0, 0.10),
    "sharpness": (0.90, 1.10),
    "ghost": (0.0, 0.08),
    "lag": (0.0, 5.0),
}
"""Lowest and highest median of a measure that passes."""

CHEATS: Final = ("frozen", "grey", "blur", "average", "ungated")


@dataclass
class Case:
    """A scene, what was seen of it and how each frame is painted by itself."""

    scene: Scene
    seen: list[Pixels]
    painted: list[Pixels]
    paint: Paint
    """Paints a picture by the same network."""
    _known: dict[tuple[int, int], tuple[Floats, Mask]] = field(default_factory=dict)

    def correspond(self, t: int, s: int) -> tuple[Floats, Mask]:
        """As `Scene.correspond`, computed once."""
        if (t, s) not in self._known:
            self._known[t, s] = self.scene.correspond(t, s)
        return self._known[t, s]


Method = Callable[[Case], list[Pixels]]


def methods(threads: int) -> dict[str, Method]:
    """The tiers, key frames, the oracle and the cheats, by name."""
    return {
        "off": lambda case: case.painted,
        "fast": _stage(lambda: stage_for("fast", threads)),
        "quality": _stage(lambda: stage_for("quality", threads)),
        "best": _stage(lambda: stage_for("best", threads)),
        "every 4": _stage(lambda: stage_for("fast", threads, paint_every=4)),
        "auto": _stage(lambda: stage_for("fast", threads, paint_every="auto")),
        "oracle": lambda case: list(_oracle(case, threads)),
        "frozen": lambda case: [case.painted[0]] * len(case.painted),
        "grey": lambda case: [np.full_like(p, 128) for p in case.painted],
        "blur": lambda case: [_pixels(cv2.GaussianBlur(p, (0, 0), 2.0)) for p in case.painted],
        "average": lambda case: list(_average(case, 0.5)),
        "ungated": lambda case: list(_ungated(case, 0.99)),
    }


def run_stage(stage: TemporalStage, seen: Sequence[Pixels], paint: Paint) -> list[Pixels]:
    """What a stage shows of these frames."""
    shown = []
    for number, pixels in enumerate(seen):
        shown += [f.pixels for f in stage.push(Frame(pixels, Fraction(number)), paint)]
    shown += [f.pixels for f in stage.finish()]
    stage.reset()
    return shown


def measure(case: Case, frames: Sequence[Pixels]) -> dict[str, float]:
    """What can be said of one scene; measures that it can't show are left out."""
    settled = range(SETTLED, len(frames))
    found: dict[str, Any] = {
        "infidelity": np.mean([infidelity(frames[t], case.painted[t]) for t in settled]),
        "sharpness": np.mean([gradient_energy(frames[t]) for t in settled])
        / np.mean([gradient_energy(case.painted[t]) for t in settled]),
    }
    for name, apart in (("e1", 1), *((f"e{n}", n) for n in _FAR)):
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
    if case.scene.name == "pan-1":
        found["rho"] = _rho(case, frames)
    return {name: float(value) for name, value in found.items()}


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Median and worst of each measure over scenes, and the gates that fail."""
    names = ("e1", "e8", "e9", "infidelity", "sharpness", "ghost", "lag", "deviation", "rho", "ms")
    values = {name: [row[name] for row in rows if name in row] for name in names}
    median = {name: float(np.median(v)) for name, v in values.items() if v}
    worst = {
        name: max(v, key=lambda x: abs(x - 1)) if name == "sharpness" else max(v)
        for name, v in values.items()
        if v
    }
    failed = [n for n, (low, high) in GATES.items() if not low <= median.get(n, low) <= high]
    return {"median": median, "worst": worst, "failed": failed}


def still_drift(scene: Scene, stage: TemporalStage, paint: Paint) -> dict[str, float]:
    """A still camera for all frames of a scene: mean shift of colour from the first settled frames
    to the last, deviation over time, both of 255, and the share of pixels that never change.
    """
    shown = run_stage(stage, [scene.frame(t) for t in range(scene.frames)], paint)
    settled = shown[len(shown) // 2 :]
    early = np.mean([f.astype(np.float32) for f in shown[20:40]], axis=0)
    late = np.mean([f.astype(np.float32) for f in shown[-20:]], axis=0)
    total = np.zeros(shown[0].shape, np.float64)
    squares = np.zeros_like(total)
    same = np.ones(shown[0].shape[:2], bool)
    for frame in settled:
        total += frame
        squares += frame.astype(np.float64) ** 2
        same &= (frame == settled[0]).all(-1)
    spread = np.sqrt(np.maximum(squares / len(settled) - (total / len(settled)) ** 2, 0))
    return {
        "drift": float(np.abs((late - early).mean((0, 1))).max()),
        "deviation": float(spread.mean()),
        "exact": float(same.mean()),
    }


def _stage(make: Callable[[], TemporalStage | None]) -> Method:
    def method(case: Case) -> list[Pixels]:
        stage = make()
        assert stage is not None
        return run_stage(stage, case.seen, case.paint)

    return method


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
        weight = np.where(visible, np.float32(FAST.weight), np.float32(0))
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


def _error_ratio(case: Case, frames: Sequence[Pixels], apart: int) -> float | None:
    ours, alone = 0.0, 0.0
    for t in range(max(apart, SETTLED), len(frames)):
        places, visible = case.correspond(t, t - apart)
        if visible.mean() > 0.01:
            ours += warping_error(frames[t], frames[t - apart], places, visible)
            alone += warping_error(case.painted[t], case.painted[t - apart], places, visible)
    return ours / alone if alone else None


def _ghost(case: Case, frames: Sequence[Pixels]) -> float:
    """Squared difference to the painting where something was just uncovered, over its variance."""
    errors = []
    for t in range(SETTLED, len(frames)):
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


def _rho(case: Case, frames: Sequence[Pixels]) -> float:
    """How alike the strokes of a frame and those of the one before are, moved along."""
    return float(
        np.mean(
            [
                texture_correlation(frames[t], frames[t - 1], *case.correspond(t, t - 1))
                for t in range(SETTLED, len(frames))
            ]
        )
    )


def _pixels(values: Any) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
