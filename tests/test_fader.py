"""Fades: styles blend over their time, and in no frame is there more or less than one whole."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylize_video.realtime.fader import Fader
from stylize_video.realtime.knobs import Knobs


def always(_: int) -> bool:
    return True


def test_styles_blend_over_the_time_of_a_fade() -> None:
    fader = Fader(1.0)
    fader.step(Knobs(), 0.0, always)
    steps = [fader.step(Knobs(style=1), 0.1 * n, always).shares for n in range(1, 12)]
    assert [round(s.get(1, 0.0), 3) for s in steps[:4]] == [0.1, 0.2, 0.3, 0.4]
    assert steps[-1] == {1: 1.0}


def test_a_fade_waits_for_the_network_and_turns_back_midway() -> None:
    fader = Fader(1.0)
    fader.step(Knobs(), 0.0, always)
    assert fader.step(Knobs(style=1), 5.0, lambda _: False).shares == {0: 1.0}
    assert fader.step(Knobs(style=1), 5.1, always).shares == pytest.approx({0: 0.9, 1: 0.1})
    assert fader.step(Knobs(style=0), 5.2, always).shares == pytest.approx({0: 1.0})
    # a source that stood still for long does not make it jump
    assert fader.step(Knobs(style=2), 99.0, always).shares == pytest.approx({0: 0.8, 2: 0.2})


def test_without_a_fade_it_turns_at_once() -> None:
    fader = Fader(0.0)
    fader.step(Knobs(), 0.0, always)
    assert fader.step(Knobs(style=1), 0.001, always).shares == {1: 1.0}


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 0.5)), max_size=40))
@settings(max_examples=50, deadline=None)
def test_shares_in_a_fade_sum_to_one(steps: list[tuple[int, float]]) -> None:
    fader, now = Fader(0.7), 0.0
    for style, elapsed in steps:
        now += elapsed
        shares = fader.step(Knobs(style=style), now, always).shares
        assert sum(shares.values()) == pytest.approx(1)
        assert min(shares.values()) > 0
