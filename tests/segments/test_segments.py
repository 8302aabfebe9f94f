"""Long jobs in segments: whatever ends a run, the next goes on, and the file is the same."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from doubles import Negative, killed_at
from media import (
    LOSSLESS,
    ODD_CLIPS,
    assert_same,
    assert_same_frames,
    frame_times,
    packets,
    read_video,
    write_video,
)
from segments_tools import ONE_SECOND, paint

from stylize_video.realtime import FileSource, cli
from stylize_video.realtime._state import load_state, save_state
from stylize_video.realtime.errors import SourceReadError
from stylize_video.realtime.frame import Frame, Pixels
from stylize_video.realtime.journal import journal_folder
from stylize_video.realtime.segments import SegmentSettings
from stylize_video.realtime.sinks._containers import EncodeOptions
from stylize_video.realtime.sources import Mark, digest_of
from stylize_video.realtime.sources.file import FileOptions
from stylize_video.realtime.tiers import stage_for

# --- joined equals painted at once


@pytest.mark.parametrize(
    ("temporal", "every"),
    [("off", 1), ("fast", 1), ("quality", 1), ("best", 1), ("fast", 3), ("quality", "auto")],
)
def test_an_interrupted_run_goes_on_to_the_same_pixels(
    temporal: Any, every: Any, film: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    paint(film, whole, temporal=temporal, paint_every=every, segments=None)
    for stop in (45,) if temporal == "best" else (2, 45, 30):
        with pytest.raises(KeyboardInterrupt):
            paint(film, parts, stop=stop, temporal=temporal, paint_every=every)
    result = paint(film, parts, temporal=temporal, paint_every=every)
    assert 0 < result.report.resumed < 100
    assert result.report.frames == 100
    assert_same(whole, parts)
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"whole.mkv", "parts.mkv", "parts.partial.mkv"}


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("frames", [1, 2, 70])
def test_times_and_packets_are_those_of_one_encoding(
    ending: str, frames: int, tmp_path: Path
) -> None:
    """Frames that are moved about in coding, and a clock that wanders."""
    times = np.cumsum(np.random.default_rng(1).integers(300, 9000, frames))
    source = write_video(
        tmp_path / "in.mkv",
        frames,
        (64, 64),
        Fraction(25),
        times=[int(t) for t in times],
        time_base=Fraction(1, 90000),
        audio=True,
    )
    whole, parts = tmp_path / f"whole{ending}", tmp_path / f"parts{ending}"
    options = EncodeOptions(threads=1, preset="medium" if ending != ".webm" else None)
    paint(source, whole, write=options, segments=None)
    paint(source, parts, write=options, segments=replace(ONE_SECOND, seconds=Fraction(1, 2)))

    def stamps(path: Path) -> list[tuple[Any, ...]]:
        with av.open(str(path)) as container:
            found = [
                (p.stream_index, p.dts, p.pts if p.stream.type != "video" else None, p.duration)
                for p in container.demux()
                if p.size
            ]
        return sorted(found, key=lambda p: (p[0], p[1] or 0))

    assert stamps(parts) == stamps(whole)
    assert frame_times(parts) == frame_times(whole)
    assert packets(parts, "audio") == packets(whole, "audio")
    with av.open(str(parts)) as a, av.open(str(whole)) as b:
        for one, other in zip(a.streams, b.streams, strict=True):
            assert (one.start_time, one.duration) == (other.start_time, other.duration)


def test_start_and_end_and_size_hold_over_segments(film: Path, tmp_path: Path) -> None:
    read = FileOptions(start=Fraction(1, 2), end=Fraction(7, 2), resize=(96, 72))
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    paint(film, whole, read=read, segments=None)
    with pytest.raises(KeyboardInterrupt):
        paint(film, parts, stop=50, read=read)
    assert paint(film, parts, read=read).report.resumed > 0
    assert_same(whole, parts)


def test_a_sequence_of_pictures_is_taken_up_again(film: Path, tmp_path: Path) -> None:
    paint(film, tmp_path / "pictures" / "%03d.png", segments=None)
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    paint(tmp_path / "pictures", whole, segments=None)
    with pytest.raises(KeyboardInterrupt):
        paint(tmp_path / "pictures", parts, stop=60)
    assert paint(tmp_path / "pictures", parts).report.resumed > 0
    assert_same_frames(whole, parts)


@pytest.mark.parametrize("name", ODD_CLIPS)
def test_odd_inputs_are_taken_up_at_the_right_frame(
    name: str, data: Callable[[str], Path], tmp_path: Path
) -> None:
    source = data("torture") / "dev" / name
    short = replace(ONE_SECOND, seconds=Fraction(1, 5))
    small = FileOptions(resize=(64, 48))
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    frames = paint(source, whole, segments=None, read=small).report.frames
    with pytest.raises(KeyboardInterrupt):
        paint(source, parts, stop=frames - 1, segments=short, read=small)
    assert paint(source, parts, segments=short, read=small).report.resumed > 0
    assert_same_frames(whole, parts)
    with av.open(str(whole)) as container:
        tracks = len(container.streams.audio)
    for track in range(tracks):
        assert packets(whole, "audio", track) == packets(parts, "audio", track)


def test_skipping_proves_the_frame(film: Path) -> None:
    source = FileSource(film)
    frames = [item for item in source if isinstance(item, Frame)]
    source.close()
    at = frames[60]
    for mark, found in (
        (Mark(61, at.pts, digest_of(at.pixels)), True),
        (Mark(61, at.pts, digest_of(frames[59].pixels)), False),
        (Mark(61, at.pts + Fraction(1, 90000), digest_of(at.pixels)), False),
    ):
        again = FileSource(film)
        if found:
            again.skip_through(mark)
            rest = [item for item in again if isinstance(item, Frame)]
            assert [f.pts for f in rest] == [f.pts for f in frames[61:]]
            assert np.array_equal(rest[0].pixels, frames[61].pixels)
        else:
            with pytest.raises(SourceReadError, match="no longer has the frame"):
                again.skip_through(mark)
        again.close()


def test_short_inputs_are_painted_in_one_piece_unless_asked(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt):
        paint(film, target, stop=70, segments=SegmentSettings())
    assert [p.name for p in tmp_path.iterdir()] == ["out.partial.mkv"]


def test_segments_can_be_kept(film: Path, tmp_path: Path) -> None:
    result = paint(film, tmp_path / "out.mkv", segments=replace(ONE_SECOND, keep=True))
    pieces = sorted((tmp_path / "out.kept").iterdir())
    assert [p.name for p in pieces] == [f"{n:05d}.mkv" for n in range(1, len(pieces) + 1)]
    assert len(pieces) >= 3
    assert sum(len(read_video(p)) for p in pieces) == result.report.frames == 100


# --- kill -9


def command(source: Path, target: Path, style: Path, *more: str) -> list[str]:
    program = "from stylize_video.realtime.cli import main; main()"
    options = ["--style", str(style), "--threads", "1", "--segments", "0.4", "--quiet"]
    lossless = ["--codec", "ffv1", "--pix-fmt", "bgr0"]
    return [
        sys.executable,
        "-c",
        program,
        "video",
        str(source),
        str(target),
        *options,
        *lossless,
        *more,
    ]


def kill_after(arguments: list[str], folder: Path, segments: int) -> bool:
    """Kill a run with -9 once this many segments are noted; False if it was done before."""
    process = subprocess.Popen(arguments)
    until = time.monotonic() + 120
    try:
        while process.poll() is None and time.monotonic() < until:
            if len(list(folder.glob("*.part"))) > segments:
                os.kill(process.pid, signal.SIGKILL)
                process.wait(30)
                return True
            time.sleep(0.005)
        assert process.wait(30) == 0
        return False
    finally:
        process.kill()
        process.wait(30)


def test_killed_runs_end_in_the_file_of_one_run(film: Path, identity: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    assert cli.run(command(film, whole, identity)[3:]) == 0
    killed = [kill_after(command(film, parts, identity), journal_folder(parts), n) for n in (2, 6)]
    assert all(killed)
    assert not parts.exists()
    done = subprocess.run(
        [*command(film, parts, identity, "--resume"), "--json"],
        check=True,
        timeout=120,
        capture_output=True,
    )
    (job,) = json.loads(done.stdout)["jobs"]
    assert job["frames"] == 100
    assert job["frames_resumed"] > 30
    assert_same(whole, parts)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["parts.mkv", "whole.mkv"]


def test_killed_between_joining_and_cleaning_up(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    for moment in ("remove", "note_joined"):
        with killed_at(moment):
            paint(film, target)
        assert journal_folder(target).is_dir()
        engine = Negative()
        result = paint(film, target, engine, write=replace(LOSSLESS, overwrite=False))
        assert engine.painted == 0
        assert (result.report.frames, result.report.whole) == (100, True)
        assert [p.name for p in tmp_path.iterdir()] == ["out.mkv"]
        assert len(read_video(target)) == 100
        target.unlink()


# --- what painters remember


@pytest.mark.parametrize("temporal", ["fast", "best"])
def test_a_state_survives_the_disk_to_the_bit(temporal: Any, film: Path, tmp_path: Path) -> None:
    source = FileSource(film)
    frames = [item for item in source if isinstance(item, Frame)][:40]
    source.close()
    stage, other = stage_for(temporal, 1), stage_for(temporal, 1)
    assert stage is not None
    assert other is not None

    def negative(pixels: Pixels) -> Pixels:
        return 255 - pixels

    for frame in frames[:25]:
        list(stage.push(frame, negative))
    save_state(tmp_path / "state.npz", stage.remember())
    other.recall(load_state(tmp_path / "state.npz"))
    for each in frames[25:]:
        for a, b in zip(stage.push(each, negative), other.push(each, negative), strict=True):
            assert a.pts == b.pts
            assert np.array_equal(a.pixels, b.pixels)
    for a, b in zip(stage.finish(), other.finish(), strict=True):
        assert np.array_equal(a.pixels, b.pixels)
    stage.reset()
    other.reset()
