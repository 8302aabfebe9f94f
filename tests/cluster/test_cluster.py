"""Films painted in pieces by many workers: the file is that of one run.

The workers are in this process; those of Ray have tests of their own.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cluster_tools import (
    A_PIECE,
    CUTS,
    FRAMES,
    Soft,
    alone,
    cluster_of,
    settings_of,
    spread,
)
from doubles import Negative
from media import LOSSLESS, ODD_CLIPS, assert_same, assert_same_frames

from stylize_video.realtime._film import nominal_starts
from stylize_video.realtime.cues import Cue, Timeline
from stylize_video.realtime.errors import SourceOpenError
from stylize_video.realtime.folders import Job
from stylize_video.realtime.frame import Frame
from stylize_video.realtime.knobs import Knobs
from stylize_video.realtime.masks import BrightnessMask, MovementMask
from stylize_video.realtime.segments import SegmentSettings
from stylize_video.realtime.sources.file import FileOptions
from stylize_video.realtime.stylizer import Stylizer
from stylize_video.realtime.tiers import stage_for
from stylize_video.realtime.turning import Turning
from stylize_video.realtime.video import open_source

TIERS = [("off", 1), ("fast", 1), ("quality", 1), ("best", 1), ("fast", 3), ("quality", "auto")]


# --- shots


def frames_of(path: Path) -> list[Frame]:
    source = open_source(str(path), settings_of())
    frames = [item for item in source if isinstance(item, Frame)]
    source.close()
    return frames


@pytest.mark.parametrize(("temporal", "every"), TIERS[1:])
def test_from_a_shot_on_nothing_before_matters(temporal: Any, every: Any, film: Path) -> None:
    """A stage that begins with a shot goes on as one that has seen all before it."""
    frames = frames_of(film)
    stage = Stylizer(Soft(), stage_for(temporal, 1, paint_every=every))
    begins = stage.shots()
    found = [n for n in range(1, len(frames)) if begins(frames[n - 1], frames[n])]
    assert found == list(CUTS[1:])
    whole = [f for frame in frames for f in stage.push(frame)] + list(stage.finish())
    for first, last in zip(CUTS, [*CUTS[1:], FRAMES], strict=True):
        stage.reset()
        part = [f for frame in frames[first:last] for f in stage.push(frame)]
        part += list(stage.finish())
        assert [f.pts for f in part] == [f.pts for f in whole[first:last]]
        for a, b in zip(part, whole[first:last], strict=True):
            assert np.array_equal(a.pixels, b.pixels)
    stage.reset()


def test_without_a_stage_any_frame_begins_anew(film: Path) -> None:
    frames = frames_of(film)[:3]
    begins = Stylizer(Soft()).shots()
    assert begins(frames[0], frames[1])
    assert begins(frames[1], frames[2])


# --- the same file


@pytest.mark.parametrize(("temporal", "every"), TIERS)
def test_pieces_make_the_file_of_one_run(
    temporal: Any, every: Any, film: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    alone(film, whole, temporal=temporal, paint_every=every)
    result = spread(film, parts, temporal=temporal, paint_every=every)
    assert (result.report.frames, result.report.whole) == (FRAMES, True)
    assert result.report.cpu_seconds > 0
    assert_same(whole, parts)
    assert {p.name for p in tmp_path.iterdir()} == {"whole.mkv", "parts.mkv"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "ending"),
    [(Fraction(1, 5), ".mp4"), (Fraction(3, 2), ".mkv"), (Fraction(100), ".mp4")],
)
def test_pieces_of_any_length(seconds: Fraction, ending: str, film: Path, tmp_path: Path) -> None:
    options = replace(LOSSLESS, codec="libx264rgb", crf=0, pix_fmt="rgb24", preset="medium")
    whole, parts = tmp_path / f"whole{ending}", tmp_path / f"parts{ending}"
    alone(film, whole, temporal="fast", write=options)
    segments = SegmentSettings(seconds=seconds, always=True)
    spread(film, parts, temporal="fast", segments=segments, write=options, crew={"workers": 3})
    assert_same(whole, parts)


def test_a_film_of_one_shot_is_painted_by_one(clip: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    alone(clip, whole, temporal="fast")
    spread(clip, parts, temporal="fast")
    assert_same(whole, parts)


def test_start_and_end_and_size_hold_over_pieces(film: Path, tmp_path: Path) -> None:
    read = FileOptions(start=Fraction(1, 2), end=Fraction(5, 2), resize=(80, 60))
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    alone(film, whole, read=read, temporal="quality")
    spread(film, parts, read=read, temporal="quality")
    assert_same(whole, parts)


def test_a_sequence_of_pictures_in_pieces(film: Path, tmp_path: Path) -> None:
    alone(film, tmp_path / "pictures" / "%03d.png")
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    alone(tmp_path / "pictures", whole, temporal="fast")
    spread(tmp_path / "pictures", parts, temporal="fast")
    assert_same_frames(whole, parts)


@pytest.mark.parametrize("name", ODD_CLIPS)
def test_odd_inputs_in_pieces(name: str, data: Callable[[str], Path], tmp_path: Path) -> None:
    source = data("torture") / "dev" / name
    changes = {"read": FileOptions(resize=(64, 48)), "temporal": "off"}
    short = replace(A_PIECE, seconds=Fraction(1, 5))
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    notices = alone(source, whole, **changes).notices
    result = spread(source, parts, segments=short, **changes)
    assert_same_frames(whole, parts)
    assert {n for n in notices if not any(c.isdigit() for c in n)} <= set(result.notices)


def test_a_header_that_lies_about_the_length(film: Path) -> None:
    assert nominal_starts(None, Fraction(20)) == [None]
    assert nominal_starts(Fraction(45), Fraction(20)) == [None, 20, 40]
    assert len(nominal_starts(Fraction(10**12), Fraction(1, 1000))) == 100_000


def test_knobs_that_turn_over_shots_and_pieces(film: Path, tmp_path: Path) -> None:
    """Another style, by and by, another size of strokes, mirrored and weaker: all by time alone."""
    cues = [
        Cue(Fraction(1, 2), "style", "b", 1.2),
        Cue(Fraction(9, 10), "mirror", value=True),
        Cue(Fraction(6, 5), "stroke", 4.0),
        Cue(Fraction(2), "strength", 0.3, 0.5),
    ]
    timeline = Timeline(Knobs(), cues, ["a", "b"])
    turning = Turning(timeline, {0: Soft(), 1: Negative()}, BrightnessMask(20, 250))
    assert turning.why_not_in_parts is None
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    alone(film, whole, temporal="quality", turning=turning)
    spread(film, parts, temporal="quality", turning=turning, crew={"workers": 1})
    assert_same(whole, parts)


def test_what_remembers_over_shots_is_no_work_for_many() -> None:
    frozen = Timeline(Knobs(), [Cue(Fraction(1), "freeze", value=True)], ["a"])
    assert "held" in str(Turning(frozen, {0: Soft()}).why_not_in_parts)
    moving = Turning(Timeline(Knobs(), [], ["a"]), {0: Soft()}, MovementMask())
    assert "mask" in str(moving.why_not_in_parts)


# --- several inputs


def test_workers_begin_with_the_next_job_before_one_is_done(
    film: Path, clip: Path, tmp_path: Path
) -> None:
    jobs = [Job(str(clip), str(tmp_path / f"{n}.mkv")) for n in range(3)]
    jobs.insert(1, Job(str(tmp_path / "none.mp4"), str(tmp_path / "none.mkv")))
    settings = settings_of(segments=replace(A_PIECE, seconds=Fraction(20)))
    with cluster_of(settings, jobs) as (cluster, hands):
        assert cluster.paint(jobs[0]).report.frames == 50
        assert len(hands.begun) > 1
        with pytest.raises(SourceOpenError, match=r"none\.mp4 does not exist"):
            cluster.paint(jobs[1])
        for job in jobs[2:]:
            assert cluster.paint(job).report.frames == 50
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.mkv", "1.mkv", "2.mkv"]
    assert_same(tmp_path / "0.mkv", tmp_path / "2.mkv")
