"""What every temporal stage must hold: the tiers, and key frames carried along."""

from collections.abc import Callable
from fractions import Fraction

import cv2
import numpy as np
import pytest
from test_temporal import gradient_energy, paint, photo, warping_error

from stylize_video.realtime import stage_for
from stylize_video.realtime.errors import InferenceError, TemporalError
from stylize_video.realtime.flow import Flow, Grey
from stylize_video.realtime.frame import Frame, Pixels
from stylize_video.realtime.keyframes import Every, KeyframePropagation
from stylize_video.realtime.lookahead import LookAhead, LookAheadSettings
from stylize_video.realtime.peephole import VIEWS, Peephole, View
from stylize_video.realtime.synthflow import Scene, scenes
from stylize_video.realtime.temporal import FAST
from stylize_video.realtime.tiers import TemporalStage, Tier
from stylize_video.realtime.warp import area_ratio, grid

Make = Callable[..., TemporalStage]


def maker(tier: Tier, paint_every: Every = 1) -> Make:
    def make(threads: int = 2, strength: float = 1.0) -> TemporalStage:
        stage = stage_for(tier, threads, strength, paint_every)
        assert stage is not None
        return stage

    return make


STAGES = {
    "fast": maker("fast"),
    "quality": maker("quality"),
    "best": maker("best"),
    "every 3": maker("fast", 3),
    "auto": maker("quality", "auto"),
}
ANY = pytest.mark.parametrize("name", STAGES)


@pytest.fixture(scope="module")
def suite() -> dict[str, Scene]:
    found = scenes([photo(n) for n in range(6)], (320, 180), 16)
    return {scene.name: scene for scene in found}


class Painter:
    """Paints with strokes that are new every time, and remembers what it did."""

    def __init__(self, flicker: float = 6.0) -> None:
        self.painted: list[Pixels] = []
        self._flicker = flicker

    def __call__(self, pixels: Pixels) -> Pixels:
        self.painted.append(paint(pixels, len(self.painted), self._flicker))
        return self.painted[-1]


def run(
    stage: TemporalStage, seen: list[Pixels], painter: Callable[[Pixels], Pixels]
) -> list[Frame]:
    frames: list[Frame] = []
    for number, pixels in enumerate(seen):
        frames += stage.push(Frame(pixels, Fraction(number, 25), Fraction(1, 25)), painter)
    frames += stage.finish()
    stage.reset()
    return frames


@ANY
@pytest.mark.parametrize("count", [1, 2, 20, 45])
def test_every_frame_comes_out_once_in_order_with_its_time(name: str, count: int) -> None:
    large = photo(1, 120, 400)
    seen = [np.ascontiguousarray(large[:, 2 * n : 2 * n + 200]) for n in range(count)]
    frames = run(STAGES[name](), seen, Painter())
    assert [f.pts for f in frames] == [Fraction(n, 25) for n in range(count)]
    assert all(f.duration == Fraction(1, 25) for f in frames)
    assert all(f.pixels.shape == (120, 200, 3) for f in frames)


@ANY
def test_it_flickers_less_and_stays_sharp(name: str, suite: dict[str, Scene]) -> None:
    scene = suite["pan-3-2"]
    seen = [scene.frame(t) for t in range(scene.frames)]
    alone = [paint(p, n, 6.0) for n, p in enumerate(seen)]
    shown = [f.pixels for f in run(STAGES[name](), seen, Painter())]
    assert warping_error(scene, shown) < 0.5 * warping_error(scene, alone)
    sharp = [gradient_energy(s) / gradient_energy(p) for s, p in zip(shown, alone, strict=True)]
    assert 0.8 < np.mean(sharp[6:]) < 1.2


@ANY
def test_nothing_crosses_a_cut(name: str, suite: dict[str, Scene]) -> None:
    """What is shown before and after a cut is as if the other shot were not there."""
    scene = suite["cuts"]
    seen = [scene.frame(t) for t in range(scene.frames)]
    cut = next(t for t in range(1, scene.frames) if scene.shot(t) != scene.shot(t - 1))

    def plain(pixels: Pixels) -> Pixels:
        return pixels // 40 * 40 + 20

    whole = [f.pixels for f in run(STAGES[name](), seen[: cut + 4], plain)]
    parts = [run(STAGES[name](), part, plain) for part in (seen[:cut], seen[cut : cut + 4])]
    for a, b in zip(whole, [f.pixels for part in parts for f in part], strict=True):
        assert np.array_equal(a, b)


@ANY
def test_a_constant_stays_constant(name: str) -> None:
    seen = photo(4, 32, 48)
    colour = np.full_like(seen, (7, 128, 250))
    frames = run(
        STAGES[name](), [seen] * 200, lambda p: np.broadcast_to(colour[:1, :1], p.shape).copy()
    )
    assert all(np.array_equal(f.pixels, colour) for f in frames)


@ANY
@pytest.mark.parametrize("size", [(97, 131), (180, 320), (360, 700), (33, 16), (1, 1)])
def test_results_do_not_depend_on_threads(name: str, size: tuple[int, int]) -> None:
    seen = [np.roll(photo(5, *size), 3 * n, axis=1) for n in range(5)]
    results = [run(STAGES[name](threads=t), seen, lambda p: p // 2 + 60) for t in (1, 3)]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("name", ["fast", "quality", "best"])
def test_no_strength_is_the_painting_by_itself(name: str) -> None:
    large = photo(6, 120, 300)
    seen = [np.ascontiguousarray(large[:, 3 * n : 3 * n + 200]) for n in range(8)]
    painter = Painter()
    shown = run(STAGES[name](strength=0.0), seen, painter)
    for frame, alone in zip(shown, painter.painted, strict=True):
        assert np.abs(frame.pixels.astype(int) - alone).max() <= 1


@ANY
def test_another_size_begins_anew(name: str) -> None:
    seen = [photo(7, 120, 160)] * 3 + [photo(7, 90, 160)] * 3
    frames = run(STAGES[name](), seen, Painter())
    assert [f.pixels.shape for f in frames] == [p.shape for p in seen]


@ANY
def test_a_network_that_fails_is_said_and_nothing_hangs(name: str) -> None:
    calls = 0

    def failing(pixels: Pixels) -> Pixels:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise InferenceError("the network failed on purpose")
        return pixels

    large = photo(8, 120, 400)
    seen = [np.ascontiguousarray(large[:, 4 * n : 4 * n + 200]) for n in range(12)]
    stage = STAGES[name]()
    with pytest.raises(InferenceError, match="on purpose"):
        run(stage, seen, failing)
    stage.reset()


def test_flow_that_fails_is_said() -> None:
    class Broken:
        def estimate(self, now: Grey, before: Grey) -> Flow:
            raise cv2.error("no more memory for flow")

    for stage in (
        KeyframePropagation(3, FAST, Broken()),
        LookAhead(LookAheadSettings(), Broken()),
    ):
        with pytest.raises(TemporalError, match="no more memory"):
            run(stage, [photo(9)] * 3, Painter())


@pytest.mark.parametrize("name", ["every 3", "auto"])
def test_keys_are_fewer_than_frames(name: str) -> None:
    large = photo(10, 180, 400)
    seen = [np.ascontiguousarray(large[:, n : n + 320]) for n in range(30)]
    painter = Painter()
    run(STAGES[name](), seen, painter)
    whole = [p for p in painter.painted if p.shape == seen[0].shape]
    assert len(whole) <= 11


def test_what_a_key_can_not_show_is_painted_afresh() -> None:
    wall = photo(11, 360, 640) // 2
    seen = []
    for t in range(10):
        picture = wall.copy()
        picture[100:220, 30 * t : 30 * t + 90] = (250, 240, 60)
        seen.append(picture)
    shown = run(STAGES["every 3"](), seen, lambda p: p.copy())
    left = (slice(104, 216), slice(30 * 9 - 26, 30 * 9 - 6))
    ghost = ((shown[9].pixels[left].astype(float) - wall[left]) ** 2).mean()
    assert ghost < 0.05 * seen[9].astype(float).var()


def test_light_that_changes_reaches_the_frames_between_keys() -> None:
    base = photo(12, 180, 320)
    seen = [np.asarray(base * (1 - 0.03 * n), np.uint8) for n in range(14)]
    shown = run(STAGES["every 3"](), seen, lambda p: p.copy())
    for frame, own in zip(shown, seen, strict=True):
        assert abs(float(frame.pixels.mean()) - float(own.mean())) < 8


def test_memory_bounds_how_far_the_best_tier_looks() -> None:
    stage = LookAhead(LookAheadSettings(memory_mb=1))
    seen = [photo(13, 180, 320)] * 12  # 0.17 MB each: two frames both ways
    held = []
    count = 0
    for number, pixels in enumerate(seen):
        count += len(list(stage.push(Frame(pixels, Fraction(number)), lambda p: p)))
        held.append(number + 1 - count)
    assert max(held) <= 3
    assert len(list(stage.finish())) == held[-1]


@pytest.mark.parametrize("view", VIEWS)
@ANY
def test_looking_inside(name: str, view: View, suite: dict[str, Scene]) -> None:
    scene = suite["pan-5"]
    stage = STAGES[name]()
    look = Peephole(stage, view)
    views = []
    for t in range(8):
        frame = Frame(scene.frame(t), Fraction(t))
        views += [look(f) for f in stage.push(frame, lambda p: p)]
    views += [look(f) for f in stage.finish()]
    stage.reset()
    assert [v.pts for v in views] == [Fraction(t) for t in range(8)]
    assert all(v.pixels.shape == (180, 320, 3) for v in views)
    assert views[6].pixels.std() > 0 or views[6].pixels.mean() > 0


def test_area_shrinks_where_something_is_uncovered() -> None:
    still = np.zeros((40, 60, 2), np.float32)
    assert np.allclose(area_ratio(still), 1)
    zoomed = (grid(40, 60) - [30, 20]).astype(np.float32) * np.float32(-0.1)
    assert np.allclose(area_ratio(zoomed)[5:-5, 5:-5], 0.81, atol=1e-4)


def test_keys_have_bounds() -> None:
    with pytest.raises(ValueError, match="1 to 16 frames, not 17"):
        KeyframePropagation(17, FAST)
    for tier in ("off", "best"):
        with pytest.raises(TemporalError, match="--paint-every goes with"):
            stage_for(tier, 1, paint_every=2)  # type: ignore[arg-type]
    assert stage_for("off", 1) is None
