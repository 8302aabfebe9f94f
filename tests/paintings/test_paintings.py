"""The paintings of a run, weighed anew from frame to frame: by cues, from outside, by each stream
for itself.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from cluster_tools import alone, film_in, spread
from media import assert_same, read_video
from paintings_tools import PICTURE, refusal, same

from stylize_video.realtime import cli
from stylize_video.realtime.cues import Cue, Timeline
from stylize_video.realtime.engines.any_painting import (
    AnyPaintingEngine,
)
from stylize_video.realtime.errors import StylizeError
from stylize_video.realtime.frame import Frame, Pixels
from stylize_video.realtime.knobs import Knobs
from stylize_video.realtime.stylizer import Stylizer
from stylize_video.realtime.turning import Turning

LOSSLESS = ["--codec", "libx264rgb", "--crf", "0", "--pix-fmt", "rgb24", "--quiet"]


def cues(folder: Path, *entries: dict[str, Any]) -> list[str]:
    path = folder / "cues.json"
    path.write_text(json.dumps([{"knob": "paintings", **entry} for entry in entries]))
    return ["--timeline", str(path)]


def command(clip: Path, output: Path, *options: str) -> list[str]:
    one = ["video", str(clip), str(output), "--engine", "cpu", "--threads", "1", "--end", "0.32"]
    return [*one, *LOSSLESS, *options]


def painted(clip: Path, output: Path, *options: str) -> list[np.ndarray]:
    """The frames of a run in the style for any painting."""
    assert cli.run(command(clip, output, "--style", "any", *options)) == 0
    return pictures(output)


def pictures(path: Path) -> list[np.ndarray]:
    return [frame.to_ndarray(format="rgb24") for frame in read_video(path)]


# --- files


def test_a_ramp_leads_from_one_painting_to_the_other(
    clip: Path, files: list[str], encoded: list[int], tmp_path: Path
) -> None:
    one, other = files
    off = ("--temporal", "off")
    first = painted(clip, tmp_path / "first.mkv", *off, "--painting", one)
    second = painted(clip, tmp_path / "second.mkv", *off, "--painting", other)
    both = ("--painting", f"{one}:0.5", "--painting", f"{other}:0.5")
    half = painted(clip, tmp_path / "half.mkv", *off, *both)
    encoded.clear()
    turned = cues(tmp_path, {"time": 0.08, "value": [0, 1], "ramp": 0.16})
    given = ("--painting", one, "--painting", f"{other}:0")
    shown = painted(clip, tmp_path / "turned.mkv", *off, *given, *turned)
    assert len(encoded) == 2  # once for each painting, whatever is turned
    assert len(shown) == 8
    assert same(shown[:3], first[:3])
    assert np.array_equal(shown[4], half[4])
    assert same(shown[6:], second[6:])
    # and in between by and by
    way = [np.abs(shown[n].astype(int) - first[n]).mean() for n in range(2, 7)]
    assert way == sorted(way)
    assert way[0] == 0 < way[1] < way[2] < way[3] < way[4]
    assert way[4] > 5


def test_from_its_flags_to_others_and_back(clip: Path, files: list[str], tmp_path: Path) -> None:
    given = ("--temporal", "off", "--painting", files[0], "--painting", f"{files[1]}:3")
    plain = painted(clip, tmp_path / "plain.mkv", *given)
    one = painted(clip, tmp_path / "one.mkv", "--temporal", "off", "--painting", files[0])
    turned = cues(tmp_path, {"time": 0.08, "value": "5,0"}, {"time": 0.16, "value": None})
    shown = painted(clip, tmp_path / "turned.mkv", *given, *turned)
    assert same(shown[:2] + shown[4:], plain[:2] + plain[4:])
    assert same(shown[2:4], one[2:4])


@pytest.mark.parametrize(
    "options", [["--temporal", "fast"], ["--temporal", "fast", "--paint-every", "2"]]
)
def test_segments_give_what_one_piece_gives(
    options: list[str], clip: Path, files: list[str], tmp_path: Path
) -> None:
    turned = cues(tmp_path, {"time": 0.04, "value": [0, 1], "ramp": 0.2})
    given = (*options, *turned, "--painting", files[0], "--painting", f"{files[1]}:0")
    whole = painted(clip, tmp_path / "whole.mkv", *given, "--segments", "0")
    assert same(painted(clip, tmp_path / "parts.mkv", *given, "--segments", "0.12"), whole)


def test_pieces_by_several_workers_give_what_one_process_gives(
    engine: AnyPaintingEngine, tmp_path: Path
) -> None:
    turns = [Cue(Fraction(1, 2), "paintings", [0, 1], 1.5), Cue(Fraction(2), "strength", 0.6)]
    turning = Turning(Timeline(Knobs(), turns, ["any"], (1.0, 0.0)), {0: engine})
    assert turning.why_not_in_parts is None
    film = film_in(tmp_path)
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    alone(film, whole, temporal="fast", turning=turning)
    spread(film, parts, temporal="fast", turning=turning)
    assert_same(whole, parts)


def test_other_styles_of_a_run_leave_them_alone(
    clip: Path, identity: Path, files: list[str], tmp_path: Path
) -> None:
    turned = cues(tmp_path, {"time": 0.16, "value": [0, 1]})
    both = ("--painting", files[0], "--painting", files[1], *turned, "--temporal", "off")
    several = command(clip, tmp_path / "{style}.mkv", "--styles", f"{identity},any", *both)
    assert cli.run(several) == 0
    alone = painted(clip, tmp_path / "alone.mkv", *both)
    assert same(pictures(tmp_path / "any.mkv"), alone)
    plain = command(clip, tmp_path / "plain.mkv", "--style", str(identity), "--temporal", "off")
    assert cli.run(plain) == 0
    assert same(pictures(tmp_path / "identity.mkv"), pictures(tmp_path / "plain.mkv"))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1], "paintings can't be [1]: give 2 weights, one for each, like 1,1"),
        ("1,2,3", "paintings can't be '1,2,3': give 2 weights"),
        (0.5, "paintings can't be 0.5: give 2 weights"),
        ([0, 0], "paintings can't be [0, 0]: give numbers from 0 up, and at least one above"),
        ([1, -1], "paintings can't be [1, -1]: give numbers from 0 up"),
        ([True, "x"], "paintings can't be [True, 'x']: give numbers from 0 up"),
    ],
)
def test_weights_that_can_not_be_are_refused_ahead(
    value: Any,
    said: str,
    clip: Path,
    files: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    turned = cues(tmp_path, {"time": 0.16, "value": value})
    given = ("--style", "any", "--painting", files[0], "--painting", files[1])
    assert cli.run(command(clip, tmp_path / "out.mkv", *given, *turned)) == 1
    assert refusal(capsys).startswith(f"error: {said}")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("styles", [["--style", "starry"], ["--styles", "starry,wave"]])
def test_styles_without_paintings_have_none_to_weigh(
    styles: list[str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turned = cues(tmp_path, {"time": 0.16, "value": [1, 1]})
    assert cli.run(command(clip, tmp_path / "out{style}.mkv", *styles, *turned)) == 1
    assert refusal(capsys) == (
        "error: there are no paintings in this run to weigh: give some by --painting, and a style "
        "that takes any"
    )


def test_paintings_must_weigh_something_from_the_start(
    clip: Path, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--style", "any", "--painting", f"{files[0]}:0")
    assert cli.run(command(clip, tmp_path / "out.mkv", *given)) == 1
    assert "give numbers from 0 up, and at least one above" in refusal(capsys)


# --- one network, several who paint


def test_who_shares_a_network_turns_only_their_own(engine: AnyPaintingEngine) -> None:
    wanted = [
        engine.paint(PICTURE, engine.manner(1.0, weights)) for weights in ((1, 0), (0, 1), (1, 1))
    ]
    assert np.abs(wanted[0].astype(int) - wanted[1]).mean() > 5
    one, other, third = (Stylizer(engine) for _ in range(3))
    frame = Frame(PICTURE, Fraction(0))
    for _ in range(2):
        one.turn(1.0, (1.0, 0.0))
        other.turn(1.0, (0.0, 1.0))
        shown = [stylizer.paint(frame).pixels for stylizer in (one, other, third)]
        assert same(shown, wanted)  # the last as they were given
    with pytest.raises(StylizeError, match="3 weights for 2 paintings: give one for each"):
        one.turn(1.0, (1.0, 0.0, 0.0))


def test_a_frame_that_is_painted_late_is_painted_as_knobs_stood_for_it(
    engine: AnyPaintingEngine,
) -> None:
    """As by the thread that paints key frames, while the next frames come."""

    class Late:
        def __init__(self) -> None:
            self.held: list[tuple[Frame, Callable[[Pixels], Pixels]]] = []

        def push(self, frame: Frame, paint: Callable[[Pixels], Pixels]) -> list[Frame]:
            self.held.append((frame, paint))
            return []

        def finish(self) -> list[Frame]:
            return [replace(frame, pixels=paint(frame.pixels)) for frame, paint in self.held]

    stylizer = Stylizer(engine, cast("Any", Late()))
    turns: list[tuple[float, tuple[float, ...]]] = [(1.0, (1, 0)), (1.0, (0, 1)), (0.5, (0, 1))]
    for number, (strength, weights) in enumerate(turns):
        stylizer.turn(strength, weights)
        stylizer.push(Frame(PICTURE, Fraction(number)))
    shown = [frame.pixels for frame in stylizer.finish()]
    assert same(shown, [engine.paint(PICTURE, engine.manner(*turn)) for turn in turns])
