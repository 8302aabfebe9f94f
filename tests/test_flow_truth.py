"""The tiers on pairs of frames whose true flow is known from measurement or rendering.

What judges here is no estimator at all. Pairs: Middlebury (real and rendered) and FlyingChairs.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from stylize_video.realtime import EngineRequest, find_style, load_engine, stage_for
from stylize_video.realtime._motion import Gate, look, measure
from stylize_video.realtime._steadiness import run_stage
from stylize_video.realtime.flow import DisFlow
from stylize_video.realtime.metrics import warping_error
from stylize_video.realtime.warp import grid

PAIRS = {
    "middlebury_RubberWhale": ("frame10.png", "frame11.png", "flow10.flo"),
    "middlebury_Venus": ("frame10.png", "frame11.png", "flow10.flo"),
    "middlebury_Grove2": ("frame10.png", "frame11.png", "flow10.flo"),
    "middlebury_Urban3": ("frame10.png", "frame11.png", "flow10.flo"),
    "flyingchairs_0000000": ("img0.png", "img1.png", "gt.flo"),
    "flyingchairs_0000001": ("img0.png", "img1.png", "gt.flo"),
}
CALM = [name for name in PAIRS if "Urban" not in name and "chairs" not in name]
_MAGIC = 202021.25
_UNKNOWN = 1e9
Data = Callable[[str], Path]


def pair(data: Data, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The earlier frame, the later one, and the flow from the earlier to the later, NaN where
    nobody knows it.
    """
    folder = data(f"flow/dev/{name}")
    first, second, truth = (folder / part for part in PAIRS[name])
    frames = [cv2.cvtColor(cv2.imread(str(p)), cv2.COLOR_BGR2RGB) for p in (first, second)]
    content = truth.read_bytes()
    (magic,) = np.frombuffer(content, "<f4", 1)
    width, height = np.frombuffer(content, "<i4", 2, 4)
    assert magic == pytest.approx(_MAGIC)
    flow = np.frombuffer(content, "<f4", offset=12).reshape(height, width, 2).copy()
    flow[np.abs(flow).max(-1) > _UNKNOWN] = np.nan
    return frames[0], frames[1], flow


@pytest.mark.parametrize("name", PAIRS)
def test_trust_goes_with_the_truth(name: str, data: Data) -> None:
    """Where the flow is trusted it is right, and it errs where it is not trusted."""
    first, second, truth = pair(data, name)
    motion = measure(look(first, 2), look(second, 2), DisFlow("fast"), Gate())
    flow = 2 * cv2.resize(motion.flow, truth.shape[1::-1])
    trust = cv2.resize(motion.trust, truth.shape[1::-1])
    off = np.linalg.norm(flow - truth, axis=-1)
    known = np.isfinite(off)
    trusted, doubted = off[known & (trust > 0.8)], off[known & (trust < 0.2)]
    assert np.median(trusted) < (0.6 if name in CALM else 2.5)
    assert len(trusted) > 0.3 * known.sum()
    if len(doubted) > 0.01 * known.sum():
        assert np.median(doubted) > 1.5 * np.median(trusted)


@pytest.mark.parametrize("name", CALM)
def test_tiers_steady_the_picture_by_the_true_flow(name: str, data: Data) -> None:
    # the stage runs from the later frame to the earlier: the true flow leads that way back
    first, second, truth = pair(data, name)
    engine = load_engine(find_style("starry-fast"), EngineRequest("cpu"))
    alone = [engine.paint(np.ascontiguousarray(p)) for p in (second, first)]
    known = np.isfinite(truth).all(-1)
    places = grid(*truth.shape[:2]) + np.nan_to_num(truth)
    seen = warping_error(first, second, places.astype(np.float32), known)
    assert seen < warping_error(first, second, grid(*truth.shape[:2]), known)
    ratios = {}
    for tier in ("fast", "quality"):
        stage = stage_for(tier, threads=1)
        shown = run_stage(stage, [second, first], engine.paint)
        ours, plain = (
            warping_error(p[1], p[0], places.astype(np.float32), known) for p in (shown, alone)
        )
        ratios[tier] = ours / plain
    engine.close()
    # after one frame an average of two has half of the difference, a quarter of its square
    assert max(ratios.values()) < 0.7, ratios
