"""`stylize bench --temporal`: how steady, sharp and faithful the temporal stage is, and fast."""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from ._arguments import engine_request
from ._clips import ClipJudge, check_clip, read_clip
from ._figures import write_comparison, write_plot
from ._steadiness import CHEATS, Case, Method, measure, methods, run_stage, still_drift, summary
from .catalogue import Style, find_style
from .engines import Engine
from .engines.choose import load_engine, usable_cores
from .errors import SourceOpenError, StylizeError
from .frame import Pixels
from .keyframes import Every
from .sources.images import IMAGE_SUFFIXES
from .synthflow import Scene, scenes
from .tiers import TIERS, Tier, stage_for

_PHOTOS: Final = 8
_ON_CLIPS: Final = ("fast", "quality", "best", "every 4", "auto")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this measurement."""
    group = parser.add_argument_group("steadiness")
    group.add_argument(
        "--temporal",
        action="store_true",
        help="measure the temporal tiers instead of speed, on scenes rendered from --photos; "
        "--style may then name several, with commas between",
    )
    group.add_argument("--photos", type=Path, metavar="DIR", help="a folder of photos for it")
    group.add_argument(
        "--clips", type=Path, nargs="+", default=[], metavar="FILE", help="real clips to add"
    )
    group.add_argument(
        "--still",
        type=int,
        default=0,
        metavar="N",
        help="add a still camera of N frames: drift, and what never changes",
    )
    group.add_argument("--plot", type=Path, metavar="PNG", help="also write a plot of the table")
    group.add_argument(
        "--compare", type=Path, metavar="FILE", help="also write the tiers side by side as a video"
    )


def run(options: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Measure the styles, which `--style` may name several of, and show their tables."""
    styles = [find_style(name) for name in options.style.split(",")]
    if len(styles) > 1 and (options.plot or options.compare):
        raise StylizeError("--plot and --compare show one style: give one --style")
    pictures = photos_of(options.photos)
    width, height = (int(side) for side in options.sizes.split(",")[0].lower().split("x"))
    for path in options.clips:
        check_clip(path)  # rather now than after minutes
    measured = [_measure(style, pictures, (width, height), options) for style in styles]
    if options.json:
        show(json.dumps({"styles": measured}, indent=2))
        return 0
    for one in measured:
        show(_text(one, options))
    return 0


def _measure(
    style: Style, pictures: Sequence[Pixels], size: tuple[int, int], options: argparse.Namespace
) -> dict[str, Any]:
    """All that is measured of a style, in plain types."""
    request = engine_request(options)
    threads = options.threads or usable_cores()
    engine = load_engine(style, request)
    try:
        found = scenes(pictures, size, max(12, options.frames))
        rows = on_scenes(found, engine, methods(threads))
        clips = {path.name: _on_clip(path, engine, threads, options) for path in options.clips}
        still = _on_still(pictures, size, engine, threads, options.still)
        if options.compare:
            _compare(options, found, engine, threads)
    finally:
        engine.close()
    table = {name: summary(own) for name, own in rows.items()}
    if options.plot:
        write_plot(options.plot, table)
    return {
        "style": style.card.id,
        "size": list(size),
        "table": table,
        "scenes": rows,
        "clips": clips,
        "still": still,
    }


def _text(measured: dict[str, Any], options: argparse.Namespace) -> str:
    """What was measured of a style, to read."""
    width, height = measured["size"]
    count = len(measured["scenes"]["off"])
    lines = [
        f"style {measured['style']} at {width}x{height}: median (worst) over {count} scenes",
        table_text(measured["table"]),
    ]
    if measured["clips"]:
        lines.append(_clip_table(measured["clips"]))
    lines += [
        f"still camera, {options.still} frames, {name}: drift {row['drift']:.3f} of 255, "
        f"deviation {row['deviation']:.3f}, {100 * row['exact']:.1f} % never change"
        for name, row in measured["still"].items()
    ]
    return "\n".join(lines)


def on_scenes(
    found: Sequence[Scene], engine: Engine, tried: dict[str, Method]
) -> dict[str, list[dict[str, Any]]]:
    """What every method measures on every scene, by method."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in tried}
    for scene in found:
        case, alone = _case(scene, engine)
        for name, method in tried.items():
            begun = time.perf_counter()
            frames = method(case)
            took = (time.perf_counter() - begun) / scene.frames
            # painting is part of no method here but key frames, whose whole cost is shown
            row = measure(case, frames) | {"ms": 1000 * took, "paint_ms": 1000 * alone}
            results[name].append({"scene": scene.name, **row})
    return results


def _case(scene: Scene, engine: Engine) -> tuple[Case, float]:
    seen = [scene.frame(t) for t in range(scene.frames)]
    begun = time.perf_counter()
    painted = [engine.paint(frame) for frame in seen]
    alone = (time.perf_counter() - begun) / len(seen)
    return Case(scene, seen, painted, _Remembered(seen, painted, engine)), alone


class _Remembered:
    """Paints what was painted before without the network."""

    def __init__(self, seen: Sequence[Pixels], painted: Sequence[Pixels], engine: Engine) -> None:
        self._known = {id(s): p for s, p in zip(seen, painted, strict=True)}
        self._engine = engine

    def __call__(self, pixels: Pixels) -> Pixels:
        known = self._known.get(id(pixels))
        return self._engine.paint(pixels) if known is None else known


def _on_clip(
    path: Path, engine: Engine, threads: int, options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    seen = read_clip(path, options.frames)
    painted = [engine.paint(pixels) for pixels in seen]
    paint = _Remembered(seen, painted, engine)
    judge = ClipJudge(seen)
    rows = {}
    for name in _ON_CLIPS:
        begun = time.perf_counter()
        frames = _shown(name, threads, seen, paint)
        rows[name] = judge.measure(frames, painted, (time.perf_counter() - begun) / len(seen))
    return rows


def _shown(name: Any, threads: int, seen: Sequence[Pixels], paint: Any) -> list[Pixels]:
    if name == "off":
        return [paint(pixels) for pixels in seen]
    every: Every = 4 if name == "every 4" else "auto" if name == "auto" else 1
    stage = stage_for(name if name in TIERS else "fast", threads, paint_every=every)
    assert stage is not None
    return run_stage(stage, seen, paint)


def _on_still(
    pictures: Sequence[Pixels], size: tuple[int, int], engine: Engine, threads: int, frames: int
) -> dict[str, dict[str, float]]:
    if not frames:
        return {}
    scene = scenes(pictures, size, max(60, frames))[0]
    found: dict[str, dict[str, float]] = {}
    tiers: tuple[Tier, ...] = ("fast", "quality")
    for tier in tiers:
        stage = stage_for(tier, threads)
        assert stage is not None
        found[tier] = still_drift(scene, stage, engine.paint)
    return found


def _compare(
    options: argparse.Namespace, found: Sequence[Scene], engine: Engine, threads: int
) -> None:
    """The first clip, or a scene without one, by every tier."""
    if options.clips:
        seen = read_clip(options.clips[0], options.frames)
    else:
        scene = next(s for s in found if s.name == "occluder")
        seen = [scene.frame(t) for t in range(scene.frames)]
    painted = [engine.paint(pixels) for pixels in seen]
    paint = _Remembered(seen, painted, engine)
    shown = {n: _shown(n, threads, seen, paint) for n in ("off", "fast", "quality", "best")}
    write_comparison(options.compare, shown, Fraction(25))


def table_text(table: dict[str, dict[str, Any]]) -> str:
    """The table of summaries by method, and whether it counts."""
    ranged = ("e1", "e8", "e9", "infidelity", "sharpness", "ms")
    columns = (*ranged[:-1], "ghost", "lag", "deviation", "rho", "ms")
    heads = " ".join(f"{c:>{14 if c in ranged else 9}}" for c in columns)
    lines = [f"{'':>8} {heads}  fails"]
    for name, row in table.items():
        cells = []
        for column in columns:
            if column not in ranged:
                cells.append(f"{row['median'].get(column, np.nan):>9.3f}")
            else:
                cells.append(f"{row['median'][column]:>6.3f} ({row['worst'][column]:>5.3f})")
        lines.append(f"{name:>8} " + " ".join(cells) + "  " + (", ".join(row["failed"]) or "-"))
    unmasked = [name for name in CHEATS if name in table and not table[name]["failed"]]
    if unmasked or ("oracle" in table and table["oracle"]["failed"]):
        lines.append(
            f"the table does not count: {', '.join(unmasked) or 'the oracle'} is misjudged"
        )
    return "\n".join(lines)


def _clip_table(clips: dict[str, dict[str, dict[str, float]]]) -> str:
    lines = [
        "real clips: warping error as a share of the painting by itself (sharpness), ms a frame"
    ]
    for name, rows in clips.items():
        cells = [
            f"{tier} {row['warping']:.3f} ({row['sharpness']:.2f}) {row['ms']:.0f} ms"
            for tier, row in rows.items()
        ]
        lines.append(f"{name[:40]:>40}  " + "  ".join(cells))
    return "\n".join(lines)


def photos_of(folder: Path | None) -> list[Pixels]:
    """A few photos spread over a folder, RGB. Raises `SourceOpenError`."""
    if folder is None:
        raise SourceOpenError("--temporal renders its scenes from photos: give --photos DIR")
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    chosen = paths[:: max(1, len(paths) // _PHOTOS)][:_PHOTOS]
    pictures = [cv2.imread(str(path)) for path in chosen]
    found = [
        np.asarray(cv2.cvtColor(p, cv2.COLOR_BGR2RGB), np.uint8) for p in pictures if p is not None
    ]
    if len(found) < 2:
        raise SourceOpenError(f"{folder} holds {len(found)} readable photos: at least 2 are needed")
    return found
