"""Cues: knobs that turn at times of a file."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylize_video.realtime.cues import Cue, Timeline, named_styles, read_cues
from stylize_video.realtime.errors import SourceOpenError, StylizeError
from stylize_video.realtime.knobs import Knobs

STYLES = ["starry", "wave", "pen"]


def cue(time: float, knob: str, value: Any, ramp: float = 0.0) -> Cue:
    return Cue(Fraction(time), knob, value, ramp)


def at(cues: list[Cue], time: float, start: Knobs | None = None) -> Knobs:
    return Timeline(start or Knobs(), cues, STYLES).at(Fraction(time))


def test_knobs_turn_at_their_time_and_stay() -> None:
    cues = [cue(2, "colours", 1.0), cue(1, "mirror", True), cue(3, "mirror", False)]
    assert at(cues, 0.99) == Knobs()
    assert at(cues, 1) == Knobs(mirror=True)
    assert at(cues, 2.5) == Knobs(mirror=True, colours=1.0)
    assert at(cues, 100) == Knobs(colours=1.0)


def test_ramps_go_evenly_and_end() -> None:
    cues = [cue(1, "strength", 0.0, ramp=2)]
    values = [at(cues, t).strength for t in (1, 1.5, 2, 3, 9)]
    assert values == pytest.approx([1.0, 0.75, 0.5, 0.0, 0.0])


def test_a_ramp_begins_where_the_one_before_was_left() -> None:
    cues = [cue(0, "strength", 0.0, ramp=2), cue(1, "strength", 1.0, ramp=1)]
    assert at(cues, 1).strength == pytest.approx(0.5)
    assert at(cues, 1.5).strength == pytest.approx(0.625)
    assert at(cues, 2).strength == 1.0


def test_styles_go_over_into_each_other() -> None:
    cues = [cue(1, "style", "pen", ramp=1), cue(3, "mix", {"starry": 1, "wave": 1})]
    assert at(cues, 1.25).shares == pytest.approx({0: 0.75, 2: 0.25})
    assert at(cues, 2) == Knobs(style=2)
    assert at(cues, 3).shares == {0: 0.5, 1: 0.5}
    timeline = Timeline(Knobs(), cues, STYLES)
    assert timeline.styles == {0, 1, 2}
    assert not timeline.at_rest
    assert Timeline(Knobs(), [], STYLES).at_rest
    assert not Timeline(Knobs(strength=0.5), [], STYLES).at_rest


def test_paintings_go_over_from_the_weights_they_were_given() -> None:
    cues = [
        cue(1, "paintings", [0, 2], ramp=2),
        cue(4, "paintings", [1, 3]),
        cue(5, "paintings", None, ramp=1),
    ]
    timeline = Timeline(Knobs(), cues, STYLES, (0.75, 0.25))
    shares = [timeline.at(Fraction(t)).paintings for t in (0.5, 1, 1.5, 2, 3, 4, 5.5, 6)]
    middle = pytest.approx((0.5, 0.5))
    assert shares[:2] == [(), (0.75, 0.25)]
    assert shares[2] == pytest.approx((0.5625, 0.4375))
    assert shares[3] == pytest.approx((0.375, 0.625))
    assert shares[4:6] == [(0.0, 1.0), (0.25, 0.75)]
    assert shares[6] == middle
    assert shares[7] == ()
    assert not timeline.at_rest


@given(
    st.lists(st.tuples(st.floats(0, 10), st.sampled_from(STYLES), st.floats(0, 5)), max_size=6),
    st.lists(st.floats(0, 20), min_size=1, max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_shares_always_sum_to_one_and_nothing_is_remembered(
    given_cues: list[tuple[float, str, float]], times: list[float]
) -> None:
    cues = [cue(time, "style", style, ramp) for time, style, ramp in given_cues]
    timeline = Timeline(Knobs(), cues, STYLES)
    forward = [timeline.at(Fraction(t)) for t in sorted(times)]
    backward = [timeline.at(Fraction(t)) for t in sorted(times, reverse=True)]
    assert forward == backward[::-1]
    for knobs in forward:
        assert sum(knobs.shares.values()) == pytest.approx(1)
        assert min(knobs.shares.values()) > 0


def test_cues_are_read_and_their_styles_named(tmp_path: Path) -> None:
    path = tmp_path / "cues.json"
    path.write_text(
        json.dumps(
            [
                {"time": 1, "knob": "style", "value": "wave", "ramp": 0.5},
                {"time": 2, "knob": "style", "value": "next"},
                {"time": 3, "knob": "mix", "value": "pen:1,starry:2"},
                {"time": 4, "knob": "mix", "value": {"wave": 1}},
                {"time": 5, "knob": "strength", "value": 0.5},
            ]
        )
    )
    cues = read_cues(path)
    assert cues[0] == cue(1, "style", "wave", 0.5)
    assert named_styles(cues) == ["wave", "pen", "starry", "wave"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[" * 100000, "is not JSON"),
        ("{}", "holds no list of cues"),
        ('[{"time": 1}]', "cue 1 of .* needs time, knob and value"),
        ('[{"time": 1, "knob": "style", "value": 0, "colour": 2}]', "needs time"),
        ('[{"time": -1, "knob": "style", "value": 0}]', "time -1 is no time in seconds"),
        ('[{"time": NaN, "knob": "style", "value": 0}]', "time nan is no time"),
        ('[{"time": true, "knob": "style", "value": 0}]', "time True is no time"),
        ('[{"time": 1, "knob": "style", "value": 0, "ramp": "1"}]', "ramp '1' is no time"),
        ('[{"time": 1, "knob": [], "value": 0}]', "is no knob"),
        ("[5]", "needs time, knob and value"),
    ],
)
def test_files_that_are_no_cues(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "cues.json"
    path.write_text(content)
    with pytest.raises(SourceOpenError, match=said):
        read_cues(path)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceOpenError, match="can't be read: No such file"):
        read_cues(tmp_path / "nope.json")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (cue(0, "mirror", True, ramp=1), "mirror turns at once"),
        (cue(0, "style", "monet"), "there is no style 'monet'"),
        (cue(0, "volume", 1), "there is no knob 'volume'"),
        (cue(0, "strength", 2), "strength can't be 2"),
        (cue(0, "paintings", [1, 2]), "there are no paintings in this run to weigh"),
    ],
)
def test_cues_that_cant_be_followed_are_refused_ahead(wrong: Cue, said: str) -> None:
    with pytest.raises(StylizeError, match=said):
        Timeline(Knobs(), [wrong], STYLES)
