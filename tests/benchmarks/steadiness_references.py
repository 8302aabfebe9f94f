"""The temporal tiers beside methods of others, on the same scenes, network and measures.

    python tests/benchmarks/steadiness_references.py --photos DIR [--style starry] [--frames 24]

Each reference is written from its equations, not from its authors' code, with the flow of our
`fast` tier, so that what differs is what is done with it:

- fixed: O = P + w (W(O_before) - P) wherever the flow leads, w = 0.85.
- Bonneel et al. 2015, equation 2: |grad O - grad P|^2 + w |O - W(O_before)|^2, solved in the
  Fourier domain with one w for the frame, after the photometric confidence has chosen between
  history and painting.
- Shekhar et al. 2019, section 4.1: the locally weighted blend of the frames before and after and of
  the last result, with their caps of 0.45 and 0.30 and exp(-6800 d^2); one frame of look-ahead.

Figures of different data sets are not comparable, and are not compared here.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stylize_video.realtime import EngineRequest, find_style, load_engine
from stylize_video.realtime._motion import Gate, look, measure
from stylize_video.realtime._steadiness import Case, Method, methods, summary
from stylize_video.realtime._strips import framed_places
from stylize_video.realtime.bench_temporal import on_scenes, photos_of, table_text
from stylize_video.realtime.engines.choose import usable_cores
from stylize_video.realtime.flow import DisFlow
from stylize_video.realtime.frame import Pixels
from stylize_video.realtime.synthflow import scenes
from stylize_video.realtime.warp import Floats, warp

FIXED_WEIGHT = 0.85
POISSON_WEIGHT = 0.5
SHARPNESS = 6800.0
CAPS = (0.45, 0.30)


def places_between(now: Pixels, then: Pixels, estimator: DisFlow) -> tuple[Floats, Floats]:
    """Where the pixels of `now` are in `then`, (H, W, 2), and how far that is believed, (H, W)."""
    scale = max(1, round(now.shape[1] / 320))
    motion = measure(look(now, scale), look(then, scale), estimator, Gate())
    height, width = now.shape[:2]
    places = framed_places(motion.flow, scale)
    large = cv2.resize(places, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    trust = cv2.resize(motion.trust, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    inner = large[scale : scale + height, scale : scale + width]
    return np.ascontiguousarray(inner), np.asarray(trust[:height, :width], np.float32)


def fixed(case: Case) -> Iterator[Pixels]:
    """Flow, and the same weight for the past everywhere."""
    estimator, past = DisFlow(), case.painted[0].astype(np.float32)
    yield case.painted[0]
    for t in range(1, len(case.seen)):
        places, _ = places_between(case.seen[t], case.seen[t - 1], estimator)
        past = FIXED_WEIGHT * warp(past, places) + np.float32(1 - FIXED_WEIGHT) * case.painted[t]
        yield pixels(past)


def bonneel(case: Case) -> Iterator[Pixels]:
    """The screened Poisson equation: gradients of the painting, low frequencies of the past."""
    estimator, past = DisFlow(), case.painted[0].astype(np.float32)
    yield case.painted[0]
    height, width = past.shape[:2]
    fy, fx = np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij")
    laplacian = (4 - 2 * np.cos(2 * np.pi * fx) - 2 * np.cos(2 * np.pi * fy)).astype(np.float32)
    share = (POISSON_WEIGHT / (laplacian + POISSON_WEIGHT))[..., None]
    for t in range(1, len(case.seen)):
        places, trust = places_between(case.seen[t], case.seen[t - 1], estimator)
        painted = case.painted[t].astype(np.float32)
        carried = painted + trust[..., None] * (warp(past, places) - painted)
        # O = (L P + w C) / (L + w) in the Fourier domain: P + w / (L + w) (C - P)
        difference = np.fft.rfft2(carried - painted, axes=(0, 1)) * share
        solved = painted + np.fft.irfft2(difference, s=(height, width), axes=(0, 1))
        past = np.asarray(solved, np.float32)
        yield pixels(past)


def shekhar(case: Case) -> Iterator[Pixels]:
    """Local blends of neighbours, then of the last result, each by how alike the inputs are."""
    estimator, past = DisFlow(), case.painted[0].astype(np.float32)
    yield case.painted[0]
    for t in range(1, len(case.seen)):
        seen = case.seen[t].astype(np.float32) / 255
        total = np.zeros_like(seen)
        rest = np.ones_like(seen)
        blend = np.zeros_like(seen)
        first: tuple[Floats, Floats] | None = None
        for other, cap in zip((t - 1, t + 1), CAPS, strict=True):
            if other >= len(case.seen):
                continue
            places, _ = places_between(case.seen[t], case.seen[other], estimator)
            there = warp(case.seen[other].astype(np.float32) / 255, places)
            weight = np.minimum(np.exp(-SHARPNESS * (seen - there) ** 2), np.float32(cap))
            weight[weight < 0.001] = 0
            blend += weight * warp(case.painted[other].astype(np.float32), places)
            rest -= weight
            total += weight
            if first is None:
                first = (places, weight)
        blend += rest * case.painted[t]
        assert first is not None
        past = np.asarray(first[1] * warp(past, first[0]) + (1 - first[1]) * blend, np.float32)
        yield pixels(past)


def pixels(values: Any) -> Pixels:
    """Rounded to bytes."""
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--style", default="starry")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--frames", type=int, default=24)
    options = parser.parse_args()
    ours = methods(usable_cores())
    tried: dict[str, Method] = {name: ours[name] for name in ("off", "fast", "quality", "best")}
    tried |= {
        "fixed": lambda case: list(fixed(case)),
        "Bonneel": lambda case: list(bonneel(case)),
        "Shekhar": lambda case: list(shekhar(case)),
    }
    engine = load_engine(find_style(options.style), EngineRequest(options.engine))
    try:
        found = scenes(photos_of(options.photos), (640, 360), options.frames)
        rows = on_scenes(found, engine, tried)
    finally:
        engine.close()
    print(table_text({name: summary(own) for name, own in rows.items()}))


if __name__ == "__main__":
    main()
