"""Knobs: one state, turned by keys, cues and remote control alike, and what it does to pictures."""

import math
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylize_video.realtime.finish import finished, labelled, laid_over, mirrored, mixed
from stylize_video.realtime.knobs import (
    KEYS,
    KNOBS,
    MASKINGS,
    STROKES,
    KnobError,
    Knobs,
    parse_mix,
    set_knob,
    turned,
)

STYLES = ["starry", "wave", "pen"]


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3)).astype(np.uint8)


# --- pictures


def test_knobs_at_rest_change_nothing() -> None:
    source, painted = picture(0), picture(1)
    assert np.array_equal(finished(source, painted, Knobs()), painted)
    assert np.array_equal(mirrored(mirrored(source)), source)


def test_strength_leads_from_source_to_painting() -> None:
    source, painted = picture(0), picture(1)
    shares = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
    shown = [finished(source, painted, Knobs(strength=s)).astype(int) for s in shares]
    away = [np.abs(one - source).mean() for one in shown]
    left = [np.abs(one - painted).mean() for one in shown]
    assert np.abs(shown[0] - source).max() <= 2
    assert np.array_equal(shown[-1], painted)
    assert away == sorted(away)
    assert left == sorted(left, reverse=True)


def test_halfway_is_no_double_exposure() -> None:
    random = np.random.default_rng(0)
    fine = random.normal(0, 110, (2, 128, 192)).astype(np.float32)
    strokes, texture = (cv2.GaussianBlur(f, (0, 0), 1.5)[..., None] for f in fine)
    texture *= 2.5
    texture[:, 96:] = 0
    source, painted = (
        np.clip(120 + np.repeat(fine, 3, 2), 0, 255).astype(np.uint8) for fine in (texture, strokes)
    )
    half = finished(source, painted, Knobs(strength=0.5)).astype(float) - 120

    def seen(fine: np.ndarray, where: slice) -> float:
        """How much of a picture's fine parts are there; a plain mix has 0.5 of both."""
        one, shown = fine[:, where, 0], half[:, where, 0]
        return float((one * shown).mean() / (one**2).mean())

    plain, busy = slice(120, 180), slice(12, 72)
    assert seen(strokes, plain) > 0.65
    assert seen(texture, busy) > 0.65
    assert abs(seen(strokes, busy)) < 0.3


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 1.0]))
@settings(max_examples=20, deadline=None)
def test_colours_are_kept_whatever_the_paintings_light(seed: int, amount: float) -> None:
    random = np.random.default_rng(seed)
    source = random.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    painted = random.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    kept = finished(source, painted, Knobs(colours=amount))
    ours, theirs, found = (
        cv2.cvtColor(p, cv2.COLOR_RGB2YCrCb).astype(float) for p in (painted, source, kept)
    )
    wanted = (1 - amount) * ours + amount * theirs
    assert np.abs(found - wanted)[..., 1:].max() <= 3
    inside = (kept.min(-1) > 3) & (kept.max(-1) < 252)  # elsewhere no such light has that colour
    assert np.abs(found - ours)[..., 0][inside].max(initial=0) <= 3


def test_a_divider_and_black() -> None:
    source, painted = picture(0), picture(1)
    split = finished(source, painted, Knobs(divider=0.5))
    assert np.array_equal(split[:, :30], source[:, :30])
    assert np.array_equal(split[:, 34:], painted[:, 34:])
    assert (split[:, 31:33] == 255).all()
    assert not finished(source, painted, Knobs(blackout=True)).any()


def test_a_mask_lets_the_source_through() -> None:
    source, painted = picture(0), picture(1)
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 32:] = 255
    mask[:, 31] = 128
    shown = finished(source, painted, Knobs(), mask)
    assert np.array_equal(shown[:, :31], source[:, :31])
    assert np.array_equal(shown[:, 32:], painted[:, 32:])
    between = (source[:, 31].astype(float) + painted[:, 31]) / 2
    assert np.abs(shown[:, 31] - between).max() <= 2
    assert np.array_equal(laid_over(source, painted, 255 - np.zeros_like(mask)), painted)


def test_mixes_are_what_their_shares_say() -> None:
    one, two = picture(0), picture(1)
    shown = mixed([(one, 0.25), (two, 0.75)])
    assert np.abs(shown - (0.25 * one.astype(float) + 0.75 * two)).max() <= 0.51
    assert mixed([(one, 1.0)]) is one


def test_figures_are_written_on_a_copy() -> None:
    blank = np.full((120, 480, 3), 90, np.uint8)
    drawn = labelled(blank, "30.0 a second")
    assert (blank == 90).all()
    assert 0.002 < (drawn != 90).any(-1).mean() < 0.2
    assert np.array_equal(drawn[:60], blank[:60])


# --- turning


@given(st.text(alphabet="".join(k for k in KEYS if len(k) == 1) + "0123456789xyzäß²", max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_keys_leave_knobs_in_their_ranges(keys: str) -> None:
    knobs = Knobs()
    for key in keys:
        knobs = turned(knobs, key, 3, 2)
        assert 0 <= knobs.style < 3
        assert 0 <= knobs.strength <= 1
        assert knobs.stroke is None or STROKES[0] <= knobs.stroke <= STROKES[1]
        assert knobs.divider is None or 0 <= knobs.divider <= 1
        assert knobs.mask in MASKINGS
        assert knobs.paintings in ((), (1.0, 0.0), (0.0, 1.0))


@pytest.mark.parametrize("key", [k for k in KEYS if k not in ("i", "s", "r", "h", "q", "1…9")])
def test_every_key_turns_something(key: str) -> None:
    knobs = Knobs(strength=0.5, divider=0.5, stroke=1.0)
    assert turned(knobs, key, 3, 2) != knobs


@given(st.integers(2, 6), st.lists(st.floats(0, 1), max_size=6))
def test_each_painting_gets_its_turn_alone_and_then_all_as_given(
    count: int, weights: list[float]
) -> None:
    whole = sum(weights)
    shares = tuple(w / whole for w in weights) if len(weights) == count and whole > 0.1 else ()
    knobs, seen = Knobs(paintings=shares), []
    while not seen or seen[-1]:
        knobs = turned(knobs, "w", 3, count)
        seen.append(knobs.paintings)
        assert len(seen) <= count + 1
    first = shares.index(1.0) + 1 if 1.0 in shares else 0
    assert [s.index(1.0) for s in seen[:-1]] == list(range(first, count))
    assert all(sum(s) == 1 for s in seen[:-1])


@pytest.mark.parametrize("count", [0, 1])
def test_what_has_no_other_painting_stays(count: int) -> None:
    assert turned(Knobs(), "w", 3, count) == Knobs()


def test_numbers_turn_to_styles_and_out_of_mixes() -> None:
    knobs = Knobs(mix=((0, 0.5), (1, 0.5)))
    assert turned(knobs, "3", 3) == Knobs(style=2)
    assert turned(knobs, "4", 3) == knobs
    assert turned(knobs, "0", 3) == knobs


@pytest.mark.parametrize(
    ("name", "value", "after"),
    [
        ("style", "pen", Knobs(style=2)),
        ("style", 1, Knobs(style=1)),
        ("style", "next", Knobs(style=1)),
        ("style", "previous", Knobs(style=2)),
        ("strength", 0, Knobs(strength=0.0)),
        ("colours", 0.3, Knobs(colours=0.3)),
        ("stroke", 2, Knobs(stroke=2.0)),
        ("stroke", None, Knobs()),
        ("mirror", True, Knobs(mirror=True)),
        ("freeze", True, Knobs(freeze=True)),
        ("blackout", True, Knobs(blackout=True)),
        ("divider", 0.25, Knobs(divider=0.25)),
        ("divider", None, Knobs()),
        ("mask", "outside", Knobs(mask="outside")),
        ("mix", {"wave": 3, "pen": 1}, Knobs(mix=((1, 0.75), (2, 0.25)))),
        ("mix", "wave:3,pen:1", Knobs(mix=((1, 0.75), (2, 0.25)))),
        ("paintings", [3, 1], Knobs(paintings=(0.75, 0.25))),
        ("paintings", [0, 0.1], Knobs(paintings=(0.0, 1.0))),
        ("paintings", "0.5, 1.5", Knobs(paintings=(0.25, 0.75))),
        ("paintings", None, Knobs()),
    ],
)
def test_values_from_outside(name: str, value: Any, after: Knobs) -> None:
    assert set_knob(Knobs(), name, value, STYLES, paintings=2) == after


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("volume", 1, "there is no knob 'volume'"),
        ("style", "monet", "there is no style 'monet' in this run: give one of starry, wave, pen"),
        ("style", 3, "there is no style 3"),
        ("style", True, "there is no style True"),
        ("style", None, "there is no style None"),
        ("strength", 1.01, "strength can't be 1.01: give 0 to 1"),
        ("strength", "1", "strength can't be '1'"),
        ("strength", math.nan, "strength can't be nan"),
        ("strength", True, "strength can't be True"),
        ("strength", None, "strength can't be None"),
        ("stroke", 0, "stroke can't be 0: give 0.25 to 4"),
        ("mirror", 1, "mirror is on or off"),
        ("mask", "person", "mask can't be 'person': give one of off, inside, outside"),
        ("mask", [], "mask can't be"),
        ("mix", {}, "is no mix"),
        ("mix", {"wave": 0}, "shares of a mix are all 0"),
        ("mix", {"wave": -1, "pen": 2}, "is no share of wave"),
        ("mix", {"wave": math.inf}, "is no share of wave"),
        ("mix", {"monet": 1}, "there is no style 'monet'"),
        ("mix", "wave", "there is no style ''|is no share"),
        ("mix", {str(n): 1 for n in range(9)}, "is no mix"),
        ("paintings", [1, 2, 3], r"paintings can't be \[1, 2, 3\]: give 2 weights, one for each"),
        ("paintings", 1, "paintings can't be 1: give 2 weights"),
        ("paintings", "", "paintings can't be '': give 2 weights"),
        ("paintings", {"a": 1, "b": 2}, "give 2 weights"),
        ("paintings", [1, -1], "give numbers from 0 up, and at least one above"),
        ("paintings", [0, 0], "give numbers from 0 up, and at least one above"),
        ("paintings", [1, math.inf], "give numbers from 0 up"),
        ("paintings", [1e308, 1e308], "give numbers from 0 up"),
        ("paintings", [1, True], "give numbers from 0 up"),
        ("paintings", "1,x", "paintings can't be '1,x': give numbers from 0 up"),
    ],
)
def test_values_that_no_knob_takes(name: str, value: Any, said: str) -> None:
    with pytest.raises(KnobError, match=said):
        set_knob(Knobs(), name, value, STYLES, paintings=2)


def test_without_paintings_there_is_nothing_to_weigh() -> None:
    with pytest.raises(KnobError, match="there are no paintings in this run to weigh"):
        set_knob(Knobs(), "paintings", [1], STYLES)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(KNOBS)), json_values, st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_taken_or_refused(name: str, value: Any, paintings: int) -> None:
    try:
        knobs = set_knob(Knobs(), name, value, STYLES, paintings)
    except KnobError:
        return
    assert not knobs.paintings or len(knobs.paintings) == paintings
    assert not knobs.paintings or math.isclose(sum(knobs.paintings), 1)
    assert all(0 <= style < 3 for style in knobs.shares)
    assert math.isclose(sum(knobs.shares.values()), 1)
    assert 0 <= knobs.strength <= 1


def test_shares_sum_to_one() -> None:
    assert parse_mix({"starry": 2, "pen": 0, "wave": 2}, STYLES) == ((0, 0.5), (1, 0.5))
    assert Knobs(style=2).shares == {2: 1.0}
