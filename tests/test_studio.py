"""The studio: frames painted as knobs say, over styles that load, mix and fail."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylize_video.realtime._state import load_state, save_state
from stylize_video.realtime.catalogue import find_style
from stylize_video.realtime.engines.choose import EngineRequest, load_engine
from stylize_video.realtime.errors import StyleCorrupt
from stylize_video.realtime.frame import Frame
from stylize_video.realtime.knobs import Knobs
from stylize_video.realtime.masks import BrightnessMask
from stylize_video.realtime.studio import Shown, Studio
from stylize_video.realtime.stylizer import Stylizer


class Flat:
    """Paints everything in one colour, `lag` frames late."""

    def __init__(self, level: int, lag: int = 0) -> None:
        self.level, self.lag, self.sizes, self.closed = level, lag, [], False
        self.paintings: list[tuple[float, ...]] = []
        self._held: list[Frame] = []

    def push(self, frame: Frame) -> list[Frame]:
        self.sizes.append(frame.pixels.shape[:2])
        self._held.append(replace(frame, pixels=np.full_like(frame.pixels, self.level)))
        ready = self._held[: max(0, len(self._held) - self.lag)]
        self._held = self._held[len(ready) :]
        return ready

    def finish(self) -> list[Frame]:
        held, self._held = self._held, []
        return held

    def turn(self, strength: float, paintings: Sequence[float] = ()) -> float:
        self.paintings.append(tuple(paintings))
        return strength

    def remember(self) -> dict[str, Any]:
        return {"held": [[f.pixels, f.pts] for f in self._held]}

    def recall(self, state: Any) -> None:
        self._held = [Frame(*held) for held in state["held"]]

    def reset(self) -> None:
        self._held = []

    def close(self) -> None:
        self.closed = True


def frame(number: int = 0, level: int = 100, size: tuple[int, int] = (64, 96)) -> Frame:
    return Frame(np.full((*size, 3), level, np.uint8), Fraction(number, 25))


def level(shown: object) -> int:
    return int(shown.frame.pixels[5, 5, 0])  # type: ignore[attr-defined]


def test_styles_mix_by_their_shares() -> None:
    studio = Studio([lambda: Flat(0), lambda: Flat(200)])
    assert level(studio.paint(frame(), Knobs(mix=((0, 0.25), (1, 0.75))))) == 150
    assert level(studio.paint(frame(), Knobs(style=1))) == 200
    studio.close()


@pytest.mark.parametrize("lag", [0, 3])
def test_every_frame_comes_out_once_in_order_over_switches(lag: int) -> None:
    studio = Studio([lambda: Flat(50, lag), lambda: Flat(150, lag)])
    knobs = [Knobs()] * 5 + [Knobs(mix=((0, 0.5), (1, 0.5)))] * 4 + [Knobs(style=1)] * 5
    shown = [s for n, k in enumerate(knobs) for s in studio.push(frame(n), k)]
    shown += list(studio.finish())
    assert [s.frame.pts for s in shown] == [Fraction(n, 25) for n in range(14)]
    assert [level(s) for s in shown] == [50] * 5 + [100] * 4 + [150] * 5


def test_knobs_count_at_the_frames_they_were_turned_at() -> None:
    studio = Studio([lambda: Flat(50, 4)])
    knobs = [Knobs(blackout=n == 3) for n in range(8)]
    shown = [s for n, k in enumerate(knobs) for s in studio.push(frame(n), k)]
    shown += list(studio.finish())
    assert [level(s) for s in shown] == [50, 50, 50, 0, 50, 50, 50, 50]


def test_paintings_are_weighed_with_every_frame_by_all_styles_that_show() -> None:
    one, other = Flat(50), Flat(150)
    studio = Studio([lambda: one, lambda: other])
    both = ((0, 0.5), (1, 0.5))
    for knobs in (Knobs(), Knobs(paintings=(1.0, 0.0)), Knobs(paintings=(0.5, 0.5), mix=both)):
        studio.paint(frame(), knobs)
    assert one.paintings == [(), (1.0, 0.0), (0.5, 0.5)]
    assert other.paintings == [(0.5, 0.5)]


@given(st.integers(20, 1200), st.integers(20, 1200), st.sampled_from([0.25, 1.0, 1.7, 4.0]))
@settings(max_examples=40, deadline=None)
def test_strokes_are_of_one_size_whatever_the_picture(
    height: int, width: int, stroke: float
) -> None:
    painter = Flat(50)
    studio = Studio([lambda: painter])
    shown = studio.paint(frame(size=(height, width)), Knobs(stroke=stroke))
    assert shown.frame.pixels.shape == (height, width, 3)
    rows, columns = painter.sizes[0]
    if min(height, width) * 720 / stroke / height >= 64:
        assert abs(rows - 720 / stroke) <= 1
        assert abs(columns / rows - width / height) < 2.2 / rows * max(1, width / height)


def test_a_budget_scales_what_is_painted_and_not_what_is_shown() -> None:
    painter = Flat(50)
    studio = Studio([lambda: painter])
    studio.scale = 0.5
    shown = studio.paint(frame(size=(200, 400)), Knobs())
    assert painter.sizes == [(100, 200)]
    assert shown.frame.pixels.shape == (200, 400, 3)


def test_freezing_holds_the_picture_and_thaws() -> None:
    studio = Studio([lambda: Flat(50)])
    for n, (source, knobs, wanted) in enumerate(
        [
            (10, Knobs(strength=0.0), 10),
            (20, Knobs(strength=0.0, freeze=True), 10),
            (30, Knobs(strength=0.0, freeze=True), 10),
            (40, Knobs(strength=0.0), 40),
        ]
    ):
        shown = studio.paint(frame(n, source), knobs)
        assert level(shown) == wanted
        assert shown.frame.pts == Fraction(n, 25)


def test_alpha_is_mask_times_strength() -> None:
    studio = Studio([lambda: Flat(50)], BrightnessMask(128, 255))
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, 48:] = 200
    shown = studio.paint(Frame(picture, Fraction(0)), Knobs(mask="inside"))
    assert (shown.alpha[:, :48] == 0).all()
    assert (shown.alpha[:, 48:] == 255).all()
    assert (shown.frame.pixels[:, :48] == 0).all()
    assert (shown.frame.pixels[:, 48:] == 50).all()
    assert (shown.painted == 50).all()
    half = studio.paint(Frame(picture, Fraction(0)), Knobs(mask="outside", strength=0.5))
    assert (half.alpha[:, :48] == 128).all()
    assert (half.alpha[:, 48:] == 0).all()


def test_a_mask_that_learns_sees_the_frames_it_does_not_count_in() -> None:
    class Learner(BrightnessMask):
        learns = True
        seen = 0

        def __call__(self, pixels: np.ndarray) -> np.ndarray:
            self.seen += 1
            return super().__call__(pixels)

    for masker in (Learner(0, 255), BrightnessMask(0, 255)):
        studio = Studio([lambda: Flat(50)], masker)
        assert (studio.paint(frame(), Knobs()).alpha == 255).all()
        studio.paint(frame(), Knobs(mask="inside"))
        assert getattr(masker, "seen", 2) == 2


@pytest.mark.parametrize("lag", [0, 3])
def test_a_studio_is_taken_up_again_at_any_frame(lag: int, tmp_path: Path) -> None:
    knobs = [Knobs()] * 4 + [Knobs(mix=((0, 0.5), (1, 0.5)), divider=0.25)] * 3
    knobs += [Knobs(style=1, freeze=True)] * 3 + [Knobs(style=1, mask="inside", strength=0.5)] * 3
    knobs[2:6] = [replace(k, paintings=(0.25, 0.75)) for k in knobs[2:6]]

    def studio() -> Studio:
        return Studio([lambda: Flat(50, lag), lambda: Flat(150, lag)], BrightnessMask(60, 255))

    def levels(shown: list[Shown]) -> list[tuple[Fraction, int]]:
        return [(s.frame.pts, int(s.frame.pixels.sum())) for s in shown]

    through = studio()
    whole = [s for n, k in enumerate(knobs) for s in through.push(frame(n), k)]
    whole += list(through.finish())
    for border in range(1, len(knobs)):
        first = studio()
        shown = [s for n, k in enumerate(knobs[:border]) for s in first.push(frame(n), k)]
        save_state(tmp_path / "state.npz", first.remember())
        second = studio()
        second.recall(load_state(tmp_path / "state.npz"))
        later = enumerate(knobs[border:], border)
        shown += [s for n, k in later for s in second.push(frame(n), k)]
        shown += list(second.finish())
        assert levels(shown) == levels(whole)


# --- loading


def test_a_live_studio_goes_on_until_a_style_is_loaded() -> None:
    gate = threading.Event()

    def slow() -> Flat:
        assert gate.wait(10)
        return Flat(200)

    studio = Studio([lambda: Flat(50), slow], patient=False)
    assert level(studio.paint(frame(0), Knobs())) == 50
    for n in range(5):
        assert level(studio.paint(frame(n), Knobs(style=1))) == 50
    gate.set()
    until = time.monotonic() + 10
    while level(studio.paint(frame(9), Knobs(style=1))) == 50:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert level(studio.paint(frame(9), Knobs(style=1))) == 200
    studio.close()


def test_a_style_that_cant_be_loaded_leaves_the_one_before() -> None:
    said: list[str] = []
    tries: list[int] = []

    def broken() -> Flat:
        tries.append(1)
        raise StyleCorrupt("the file is gone")

    studio = Studio([lambda: Flat(50), broken], patient=False, say=said.append)
    studio.paint(frame(), Knobs())
    for _ in range(50):
        assert level(studio.paint(frame(), Knobs(style=1))) == 50
        time.sleep(0.002)
    assert said == ["the file is gone; the style before stays"]
    studio.forgive(1)
    for _ in range(50):
        studio.paint(frame(), Knobs(style=1))
        time.sleep(0.002)
    assert len(tries) == 2
    studio.close()


def test_patient_studios_wait_and_raise() -> None:
    def broken() -> Flat:
        raise StyleCorrupt("the file is gone")

    studio = Studio([lambda: Flat(50), broken])
    studio.paint(frame(), Knobs())
    with pytest.raises(StyleCorrupt):
        studio.paint(frame(), Knobs(style=1))


@pytest.mark.parametrize("lag", [0, 3])
def test_few_networks_in_memory_lose_no_picture(lag: int) -> None:
    made: list[Flat] = []

    def maker(number: int) -> Callable[[], Flat]:
        def make() -> Flat:
            made.append(Flat(10 * number + 10, lag))
            return made[-1]

        return make

    studio = Studio([maker(n) for n in range(5)], most_loaded=1)
    shown = [
        one for n in range(40) for one in studio.push(frame(n), Knobs(style=n // 2 % 5, mix=()))
    ]
    shown += list(studio.finish())
    assert [level(one) for one in shown] == [10 * (n // 2 % 5) + 10 for n in range(40)]
    assert [one.frame.pts for one in shown] == [Fraction(n, 25) for n in range(40)]
    studio.close()
    assert all(painter.closed for painter in made)


def test_a_thousand_switches_keep_few_networks_and_every_picture() -> None:
    made: list[Flat] = []

    def maker(number: int) -> Callable[[], Flat]:
        def make() -> Flat:
            made.append(Flat(10 * number + 10))
            return made[-1]

        return make

    studio = Studio([maker(n) for n in range(9)], patient=False)
    random = np.random.default_rng(0)
    before = threading.active_count()
    shown = []
    for n in range(1000):
        shown.append(level(studio.paint(frame(n), Knobs(style=int(random.integers(9))))))
        assert sum(not painter.closed for painter in made) <= 6
    assert set(shown) <= {10 * n + 10 for n in range(9)}
    assert len(set(shown)) > 4
    studio.close()
    assert all(painter.closed for painter in made)
    assert threading.active_count() <= before


# --- with real networks


def test_strokes_keep_their_size_from_360_to_1080_rows() -> None:
    """Where the energy of what is painted lies, in waves to a picture, by real networks."""

    def centroid(rows: int, knobs: Knobs) -> float:
        columns = rows * 16 // 9
        wide = cv2.resize(scene, (columns, rows), interpolation=cv2.INTER_AREA)
        shown = studio.paint(Frame(wide, Fraction(0)), knobs).frame.pixels
        grey = cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (640, 360), interpolation=cv2.INTER_AREA).astype(np.float32)
        small = small[52:308, 192:448] * np.outer(np.hanning(256), np.hanning(256))
        power = np.abs(np.fft.rfft2(small - small.mean())) ** 2
        waves = np.hypot(np.fft.fftfreq(256)[:, None] * 256, np.fft.rfftfreq(256) * 256)
        band = (waves > 12) & (waves < 128)
        return float((waves * power)[band].sum() / power[band].sum())

    ramp = np.linspace(40, 200, 1920, dtype=np.float32)
    scene = np.repeat(np.repeat(ramp[None, :, None], 1080, 0), 3, 2).astype(np.uint8)
    cv2.circle(scene, (960, 540), 300, (180, 120, 60), -1)  # type: ignore[call-overload]
    engine = load_engine(find_style("starry"), EngineRequest(engine="cpu"))
    studio = Studio([lambda: Stylizer(engine)])
    fixed = [centroid(rows, Knobs(stroke=1.0)) for rows in (360, 1080)]
    free = [centroid(rows, Knobs()) for rows in (360, 1080)]
    larger = centroid(360, Knobs(stroke=2.0))
    studio.close()
    assert abs(fixed[1] / fixed[0] - 1) < 0.05
    assert abs(free[1] / free[0] - 1) > 2 * abs(fixed[1] / fixed[0] - 1)
    assert larger < fixed[0]
