"""The temporal stage: what must hold exactly, and that it steadies without blurring or ghosts."""

import json
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import write_video

from stylize_video.realtime import TemporalBlender, cli, metrics
from stylize_video.realtime._history import History, Step
from stylize_video.realtime.errors import TemporalError
from stylize_video.realtime.flow import DisFlow, Flow, Grey, StillFlow
from stylize_video.realtime.frame import Pixels
from stylize_video.realtime.synthflow import Scene, scenes
from stylize_video.realtime.temporal import FAST, QUALITY, TemporalSettings
from stylize_video.realtime.warp import forward_backward_agree, grid, inside, warp

TIERS = ("fast", "quality")
SETTINGS = {"fast": FAST, "quality": QUALITY}


def photo(seed: int, height: int = 240, width: int = 320) -> Pixels:
    """A picture with structure at many scales, so that flow can be found."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cell in (4, 10, 32, 80):
        rough = random.normal(0, 1, (height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        total += cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC) * cell**0.5
    total -= total.min()
    return np.asarray(total / total.max() * 255, np.uint8)


def paint(seen: Pixels, frame: int, flicker: float = 12.0) -> Pixels:
    """A painter that flickers: posterised, with strokes that are new in every frame."""
    random = np.random.default_rng(frame)
    strokes = random.normal(0, flicker, seen.shape).astype(np.float32)
    strokes = cv2.GaussianBlur(strokes, (0, 0), 1.0) * 2
    return np.clip(seen // 40 * 40 + 20 + strokes, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def suite() -> dict[str, Scene]:
    found = scenes([photo(n) for n in range(6)], (320, 180), 16)
    return {scene.name: scene for scene in found}


@pytest.fixture
def blender(request: pytest.FixtureRequest) -> Iterator[TemporalBlender]:
    made = TemporalBlender(SETTINGS[getattr(request, "param", "fast")], threads=2)
    yield made
    made.reset()


def shown(tier: str, scene: Scene, flicker: float = 12.0) -> tuple[list[Pixels], list[Pixels]]:
    """What a scene is painted as, frame by frame, and with a tier."""
    stage = TemporalBlender(SETTINGS[tier], threads=2)
    seen = [scene.frame(t) for t in range(scene.frames)]
    painted = [paint(frame, t, flicker) for t, frame in enumerate(seen)]
    steady = [stage.blend(a, b) for a, b in zip(seen, painted, strict=True)]
    stage.reset()
    return painted, steady


def warping_error(scene: Scene, pictures: list[Pixels], start: int = 4) -> float:
    """E1 with the scene's exact flow, over 0..1."""
    errors = []
    for t in range(start, scene.frames):
        places, visible = scene.correspond(t, t - 1)
        before = warp(pictures[t - 1].astype(np.float32), places)
        if visible.any():
            errors.append(((pictures[t] - before)[visible] ** 2).mean() / 255**2)
    return float(np.mean(errors))


def gradient_energy(picture: Pixels) -> float:
    values = picture.astype(np.float32)
    return float((np.diff(values, axis=0) ** 2).mean() + (np.diff(values, axis=1) ** 2).mean())


# --- warping


@given(st.integers(1, 30), st.integers(1, 30))
def test_zero_flow_is_identity(height: int, width: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.float32)
    for method in (cv2.INTER_LINEAR, cv2.INTER_CUBIC):
        assert np.array_equal(warp(picture, grid(height, width), method), picture)
    assert inside(grid(height, width)).all()


@settings(deadline=None, max_examples=40)
@given(
    st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([1, 2, 4]),
    st.integers(40, 90), st.integers(40, 90),
)  # fmt: skip
def test_whole_pixel_shifts_are_exact_inside(
    dx: int, dy: int, scale: int, height: int, width: int
) -> None:
    first = photo(1, height, width)
    small = (-(-height // scale), -(-width // scale))
    history = History(first, scale, threads=2)
    flow = np.broadcast_to(np.array([dx, dy], np.float32) / scale, (*small, 2)).copy()
    shifted = np.float32([[1, 0, -dx], [0, 1, -dy]])
    goal = cv2.warpAffine(first, shifted, (width, height), borderMode=cv2.BORDER_REPLICATE)
    moved = history.advance(goal, Step(flow, np.ones(small, np.float32)))
    history.close()
    y, x = np.mgrid[12 : height - 12, 12 : width - 12]
    assert np.array_equal(moved[y, x], first[y + dy, x + dx])


def test_forward_and_backward_flow_that_agree() -> None:
    flow = np.zeros((20, 30, 2), np.float32)
    flow[..., 0] = 3
    assert forward_backward_agree(flow, -flow, 0.5)[:, :26].all()
    assert not forward_backward_agree(flow, flow, 0.5).any()


def test_flow_of_a_pan_is_found() -> None:
    large = cv2.cvtColor(photo(2), cv2.COLOR_RGB2GRAY)
    before, now = large[:180, 3:300].copy(), large[:180, 6:303].copy()
    for preset in ("ultrafast", "fast"):
        flow = DisFlow(preset).estimate(now, before)  # type: ignore[arg-type]
        assert np.median(np.abs(flow - [3, 0])) < 0.3
    assert not StillFlow().estimate(now, before).any()


def test_pictures_too_small_for_flow_are_taken_as_still() -> None:
    assert not DisFlow().estimate(np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8)).any()


# --- the stage


@pytest.mark.parametrize("blender", TIERS, indirect=True)
def test_the_first_frame_comes_as_painted(blender: TemporalBlender) -> None:
    seen = photo(3)
    assert np.array_equal(blender.blend(seen, paint(seen, 0)), paint(seen, 0))


@pytest.mark.parametrize("blender", TIERS, indirect=True)
def test_a_constant_stays_constant(blender: TemporalBlender) -> None:
    seen = photo(4, 24, 32)
    painted = np.full_like(seen, (7, 128, 250))
    for _ in range(10_000):
        result = blender.blend(seen, painted)
    assert np.array_equal(result, painted)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("size", [(97, 131), (180, 320), (360, 700), (33, 16), (1, 1)])
def test_results_do_not_depend_on_threads(tier: str, size: tuple[int, int]) -> None:
    frames = [np.roll(photo(5, *size), 3 * n, axis=1) for n in range(4)]
    results = []
    for threads in (1, 3):
        stage = TemporalBlender(SETTINGS[tier], threads=threads)
        results.append([stage.blend(f, paint(f, n)) for n, f in enumerate(frames)])
        stage.reset()
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    "name", ["pan-1", "pan-3-2", "subpixel", "zoom-rotate", "elastic", "occluder"]
)
def test_it_flickers_less_and_stays_sharp(tier: str, name: str, suite: dict[str, Scene]) -> None:
    scene = suite[name]
    painted, steady = shown(tier, scene, 5.0)
    assert warping_error(scene, steady) < 0.5 * warping_error(scene, painted)
    sharp = [gradient_energy(s) / gradient_energy(p) for s, p in zip(steady, painted, strict=True)]
    assert 0.8 < np.mean(sharp[6:]) < 1.2


@pytest.mark.parametrize("tier", TIERS)
def test_still_tiles_rest_exactly(tier: str, suite: dict[str, Scene]) -> None:
    """Sensor noise of 3 levels and strokes that boil, yet what rests does not change by a level."""
    scene = suite["frozen"]
    stage = TemporalBlender(SETTINGS[tier], threads=2)
    results = []
    for t in range(30):
        seen = scene.frame(t)
        results.append(stage.blend(seen, paint(seen, t)))
    stage.reset()
    changed = np.mean([(a != b).any(-1).mean() for a, b in pairwise(results[20:])])
    assert changed < 0.01


@pytest.mark.parametrize("tier", TIERS)
def test_a_still_wall_rests_for_good(tier: str) -> None:
    """Plain ground gives flow nothing to hold on to but noise, which must not count as motion."""
    wall = cv2.blur(photo(6, 360, 640), (61, 61))
    random = np.random.default_rng(0)
    stage = TemporalBlender(SETTINGS[tier], threads=2)
    results = []
    for t in range(100):
        noise = random.normal(0, 3, wall.shape)
        seen = np.clip(np.rint(wall + noise), 0, 255).astype(np.uint8)
        results.append(stage.blend(seen, paint(seen, t)))
    stage.reset()
    settled = np.stack(results[40:])
    assert (settled == settled[0]).all((0, 3)).mean() > 0.6


@pytest.mark.parametrize("tier", TIERS)
def test_nothing_is_left_behind_where_something_was(tier: str) -> None:
    """A square passes over a wall: what it uncovers is painted afresh, with no ghost of it."""
    wall = photo(6, 180, 320) // 2
    stage = TemporalBlender(SETTINGS[tier], threads=2)
    for t in range(12):
        seen = wall.copy()
        seen[60:120, 20 * t : 20 * t + 60] = (250, 240, 60)
        result = stage.blend(seen, seen)
    stage.reset()
    uncovered = (slice(64, 116), slice(20 * 11 - 16, 20 * 11 - 2))
    ghost = ((result[uncovered].astype(float) - wall[uncovered]) ** 2).mean()
    assert ghost < 0.05 * seen.astype(float).var()


@pytest.mark.parametrize("tier", TIERS)
def test_cuts_start_afresh(tier: str, suite: dict[str, Scene]) -> None:
    scene = suite["cuts"]
    painted, steady = shown(tier, scene)
    cuts = [t for t in range(1, scene.frames) if scene.shot(t) != scene.shot(t - 1)]
    assert len(cuts) == 2
    for t in cuts:
        assert np.array_equal(steady[t], painted[t])
    assert not np.array_equal(steady[cuts[0] - 1], painted[cuts[0] - 1])


@pytest.mark.parametrize("tier", TIERS)
def test_changes_of_light_are_not_cuts_and_are_followed(tier: str, suite: dict[str, Scene]) -> None:
    scene = suite["light"]
    painted, steady = shown(tier, scene)
    assert warping_error(scene, steady) < 0.5 * warping_error(scene, painted)
    for t in range(1, scene.frames):
        assert not np.array_equal(steady[t], painted[t])
        assert abs(float(steady[t].mean()) - float(painted[t].mean())) < 8


def test_another_size_starts_afresh(blender: TemporalBlender) -> None:
    for size in ((120, 160), (90, 160), (120, 160)):
        seen = photo(7, *size)
        assert np.array_equal(blender.blend(seen, paint(seen, 1)), paint(seen, 1))


def test_reset_forgets(blender: TemporalBlender) -> None:
    seen = photo(8)
    blender.blend(seen, paint(seen, 0))
    blender.reset()
    assert np.array_equal(blender.blend(seen, paint(seen, 1)), paint(seen, 1))


def test_flow_that_fails_is_said() -> None:
    class Broken:
        def estimate(self, now: Grey, before: Grey) -> Flow:
            raise cv2.error("no more memory for flow")

    stage = TemporalBlender(TemporalSettings(weight=0.7), Broken())
    seen = photo(9)
    stage.blend(seen, seen)
    with pytest.raises(TemporalError, match=r"no more memory.*--temporal off"):
        stage.blend(seen, seen)


# --- the scenes themselves


@pytest.mark.parametrize(
    "name",
    ["pan-1", "pan-5", "subpixel", "zoom-rotate", "elastic", "occluder", "cuts", "thin"],
)
@pytest.mark.parametrize("apart", [1, 5])
def test_scenes_show_what_their_flow_says(name: str, apart: int, suite: dict[str, Scene]) -> None:
    scene = suite[name]
    for t in (apart, scene.frames - 1):
        places, visible = scene.correspond(t, t - apart)
        if scene.shot(t) != scene.shot(t - apart):
            assert not visible.any()
            continue
        assert visible.mean() > 0.4
        before = warp(scene.frame(t - apart).astype(np.float32), places, cv2.INTER_CUBIC)
        # the noise of two frames, and interpolation
        assert np.abs(scene.frame(t) - before)[visible].mean() < 3


def test_scenes_are_the_same_every_time(suite: dict[str, Scene]) -> None:
    again = {s.name: s for s in scenes([photo(n) for n in range(6)], (320, 180), 16)}
    for name, scene in suite.items():
        assert np.array_equal(scene.frame(3), again[name].frame(3))


# --- the measurement


def test_measures_of_what_is_equal_and_what_is_not() -> None:
    picture = photo(10)
    everywhere = np.ones(picture.shape[:2], bool)
    places = grid(*picture.shape[:2])
    assert metrics.warping_error(picture, picture, places, everywhere) == 0
    assert metrics.infidelity(picture, picture) == 0
    level = np.full_like(picture, 128)
    assert metrics.gradient_energy(level) == 0
    assert metrics.infidelity(level, picture) >= 1
    brighter = np.full_like(picture, 179)
    error = metrics.warping_error(brighter, level, places, everywhere)
    assert error == pytest.approx((51 / 255) ** 2)


def test_strokes_that_move_along_correlate() -> None:
    large = photo(14, 120, 200)
    before, now = large[:, :160].copy(), large[:, 3:163].copy()
    places = grid(120, 160) + np.float32([3, 0])
    everywhere = np.ones((120, 160), bool)
    everywhere[:, -8:] = False
    assert metrics.texture_correlation(now, before, places, everywhere) > 0.99
    other = photo(15, 120, 160)
    assert abs(metrics.texture_correlation(now, other, places, everywhere)) < 0.3


def test_flow_is_not_relied_on_where_it_is_lost_or_breaks() -> None:
    flow = np.zeros((40, 60, 2), np.float32)
    flow[:, 30:, 0] = 6  # a boundary at the middle; what lies right of it leaves the picture
    sure = metrics.reliable(flow, -flow)
    assert sure[:, 2:28].all()
    assert not sure[:, 29:31].any()


@pytest.mark.slow
def test_the_bench_tells_cheats_from_the_oracle(
    identity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), photo(number))
    command = ["bench", "--temporal", "--photos", str(tmp_path), "--style"]
    command += [str(identity), "--sizes", "320x180", "--frames", "14", "--json"]
    assert cli.run(command) == 0
    (measured,) = json.loads(capsys.readouterr().out)["styles"]
    table = measured["table"]
    for cheat in ("frozen", "grey", "blur", "average", "ungated"):
        assert table[cheat]["failed"], cheat
    assert set(table["oracle"]["failed"]) <= {"e1"}  # nothing flickers in an identity


def test_the_bench_adds_clips_a_still_camera_and_pictures(
    identity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), photo(number))
    clip = write_video(tmp_path / "clip.mp4", 12, (160, 96), Fraction(25))
    plot, compared = tmp_path / "plot.png", tmp_path / "compared.mp4"
    command = ["bench", "--temporal", "--photos", str(tmp_path), "--style", str(identity)]
    command += ["--sizes", "160x96", "--frames", "12", "--still", "60", "--clips", str(clip)]
    assert cli.run([*command, "--plot", str(plot), "--compare", str(compared)]) == 0
    said = capsys.readouterr().out
    assert "oracle" in said
    assert "clip.mp4  fast" in said
    assert "still camera, 60 frames, quality: drift 0.0" in said
    assert cv2.imread(str(plot)).shape[1] > 800
    with av.open(str(compared)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 12
    assert (frames[0].width, frames[0].height) == (320, 192)


def test_the_bench_needs_photos(
    identity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["bench", "--temporal", "--style", str(identity)]) == 1
    assert "give --photos DIR" in capsys.readouterr().err
    command = ["bench", "--temporal", "--photos", str(tmp_path), "--style", str(identity)]
    assert cli.run(command) == 1
    assert "0 readable photos" in capsys.readouterr().err
    command[-1] = f"{identity},{identity}"
    assert cli.run([*command, "--plot", str(tmp_path / "p.png")]) == 1
    assert "give one --style" in capsys.readouterr().err
    command[-1] = str(identity)
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), photo(number))
    short = write_video(tmp_path / "short.mp4", 3, (64, 64), Fraction(25))
    assert cli.run([*command, "--clips", str(short)]) == 1
    assert "3 frames: at least 8" in capsys.readouterr().err
