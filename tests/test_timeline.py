"""The clock of a container is made to run forward, without touching clocks that do."""

from dataclasses import dataclass
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from stylize_video.realtime.sources._timeline import Timeline

BASE = Fraction(1, 1000)


@dataclass
class Packet:
    """What the timeline needs of an `av.Packet`."""

    dts: int | None
    pts: int | None = None
    duration: int = 40
    stream_index: int = 0
    time_base: Fraction = BASE

    def __post_init__(self) -> None:
        if self.pts is None:
            self.pts = self.dts


def placed(timeline: Timeline, *packets: Packet) -> list[int | None]:
    for packet in packets:
        timeline.place(packet)
    return [packet.dts for packet in packets]


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=50).map(sorted))
def test_a_sound_clock_stays_as_it_is(times: list[int]) -> None:
    timeline = Timeline(Fraction(0), wandering=False)
    assert placed(timeline, *(Packet(t) for t in times)) == times
    assert timeline.splices == 0


@given(st.lists(st.integers(-5000, 5000), min_size=2, max_size=40), st.booleans())
def test_no_clock_runs_back_by_more_than_the_tolerance(steps: list[int], wandering: bool) -> None:
    times = placed(Timeline(Fraction(0), wandering=wandering), *(Packet(step) for step in steps))
    for number, time in enumerate(times[1:], 1):
        assert time is not None
        assert time >= max(t for t in times[:number] if t is not None) - 100


def test_the_start_is_taken_off() -> None:
    timeline = Timeline(Fraction(5), wandering=False)
    assert placed(timeline, Packet(5000), Packet(5040)) == [0, 40]


def test_a_splice_goes_on_where_the_stream_had_ended() -> None:
    timeline = Timeline(Fraction(0), wandering=False)
    times = placed(timeline, Packet(1000), Packet(1040), Packet(0), Packet(40))
    assert times == [1000, 1040, 1080, 1120]
    assert timeline.splices == 1


def test_sound_takes_the_same_step_as_the_picture() -> None:
    timeline = Timeline(Fraction(0), wandering=False)
    picture = [Packet(1000), Packet(1040), Packet(0)]
    sound = [Packet(1010, stream_index=1), Packet(15, stream_index=1)]
    placed(timeline, picture[0], sound[0], picture[1], picture[2], sound[1])
    assert picture[2].dts == 1080
    assert sound[1].dts == 15 + 1080
    assert timeline.splices == 1


def test_a_long_pause_is_a_pause_unless_the_clock_wanders() -> None:
    assert placed(Timeline(Fraction(0), wandering=False), Packet(0), Packet(60_000)) == [0, 60_000]
    assert placed(Timeline(Fraction(0), wandering=True), Packet(0), Packet(60_000)) == [0, 40]


def test_presentation_times_may_step_back() -> None:
    timeline = Timeline(Fraction(0), wandering=False)
    packets = [Packet(0, 0), Packet(40, 400), Packet(80, 120), Packet(None, 10)]
    for packet in packets:
        timeline.place(packet)
    assert [p.pts for p in packets] == [0, 400, 120, 10]
