"""Several styles over one decode: what fails or is interrupted takes no other output along."""

import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import Run
from doubles import Negative, interrupt_at, raising
from media import LOSSLESS, assert_same, read_video
from several_tools import names

from stylize_video.realtime import FileSource, MemorySink, Stylizer, SyntheticSource
from stylize_video.realtime.engines import Engine
from stylize_video.realtime.errors import (
    InferenceError,
    SinkOpenError,
    SinkWriteError,
    SourceOpenError,
    SourceReadError,
    StylizeError,
)
from stylize_video.realtime.fan import Branch, FanPipeline
from stylize_video.realtime.frame import Frame, Pixels, SidePacket
from stylize_video.realtime.journal import journal_folder
from stylize_video.realtime.segments import SegmentSettings
from stylize_video.realtime.several import Rendition, paint_renditions
from stylize_video.realtime.sinks.file import FileSink
from stylize_video.realtime.video import Result, VideoSettings, paint_video

SETTINGS = VideoSettings(threads=1, write=LOSSLESS)


class Shifted(Negative):
    """Every level moved by some."""

    def __init__(self, by: int, act: Callable[[int], None] | None = None) -> None:
        super().__init__(act)
        self._by = by

    def look(self, pixels: Pixels) -> Pixels:
        return pixels + np.uint8(self._by)


def renditions(
    folder: Path, engines: dict[str, Engine], settings: VideoSettings = SETTINGS
) -> list[Rendition]:
    return [
        Rendition(name, str(folder / f"{name}.mkv"), engine, settings)
        for name, engine in engines.items()
    ]


# --- faults


def full_disk(target: Path, after: int) -> Callable[[FileSink, Any], None]:
    """`FileSink.write` where the disk fills up under one of the outputs."""
    write = FileSink.write
    written = 0

    def failing(self: FileSink, item: Any) -> None:
        nonlocal written
        if self._target == target and isinstance(item, Frame):
            written += 1
            if written > after:
                full = OSError(errno.ENOSPC, "No space left on device")
                raise SinkWriteError(f"{target} can't be written: no space left") from full
        write(self, item)

    return failing


def test_a_disk_that_fills_up_ends_one_output_only(
    film: Path,
    styles: list[Path],
    stylize: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    into = tmp_path / "out"
    lost = into / "film_negative.mkv"
    monkeypatch.setattr(FileSink, "write", full_disk(lost, 20))
    options = ["--temporal", "fast", "--json"]
    assert stylize(film, into, "--styles", names(styles), *options) == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert [job["style"] for job in document["jobs"]] == ["plain", "swapped"]
    assert [f["output"] for f in document["failures"]] == [str(lost)]
    assert captured.err.count("error:") == 1
    assert "no space left; the" in captured.err
    assert "frames painted before are in" in captured.err
    assert sorted(p.name for p in into.iterdir()) == [
        "film_negative.partial.mkv",
        "film_plain.mkv",
        "film_swapped.mkv",
    ]
    assert len(read_video(into / "film_negative.partial.mkv")) == 20
    monkeypatch.undo()
    for style in (styles[0], styles[2]):
        alone = tmp_path / f"{style.stem}.mkv"
        assert stylize(film, alone, "--style", style, "--temporal", "fast", "--quiet") == 0
        assert_same(into / f"film_{style.stem}.mkv", alone)


def test_a_network_that_fails_ends_its_output_only(film: Path, tmp_path: Path) -> None:
    bad = Shifted(2, raising(10, InferenceError("the card got hot")))
    good, failed = paint_renditions(
        str(film), renditions(tmp_path, {"good": Shifted(1), "bad": bad})
    )
    assert isinstance(good, Result)
    assert good.report.whole
    assert good.report.frames == 75
    assert isinstance(failed, InferenceError)
    assert str(failed).startswith("the card got hot; the 9 frames painted before are in")
    assert len(read_video(tmp_path / "bad.partial.mkv")) == 9
    assert bad.painted == 10


def test_an_output_that_can_not_be_opened_does_not_stop_the_others(
    film: Path, tmp_path: Path
) -> None:
    (tmp_path / "b.mkv").mkdir()
    outcomes = paint_renditions(
        str(film), renditions(tmp_path, {"a": Shifted(1), "b": Shifted(2), "c": Shifted(3)})
    )
    assert [type(outcome) for outcome in outcomes] == [Result, SinkOpenError, Result]
    with pytest.raises(SourceOpenError):
        paint_renditions(str(tmp_path / "none.mp4"), renditions(tmp_path, {"a": Shifted(1)}))


def test_when_all_outputs_fail_reading_ends(tmp_path: Path) -> None:
    source = SyntheticSource(64, 48, 100000)
    branches = [
        Branch(Stylizer(Shifted(1, raising(n, InferenceError(f"frame {n}")))), MemorySink())
        for n in (2, 4)
    ]
    FanPipeline(source, branches).run()
    assert [str(branch.error) for branch in branches] == ["frame 2", "frame 4"]
    assert [branch.report.frames for branch in branches] == [1, 3]


def test_a_source_that_dies_leaves_all_outputs_partial(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = FileSource.__iter__

    def dying(self: FileSource) -> Iterator[Frame | SidePacket]:
        frames = 0
        for item in items(self):
            frames += isinstance(item, Frame)
            if frames == 31:
                raise SourceReadError("the tape tore")
            yield item

    monkeypatch.setattr(FileSource, "__iter__", dying)
    outcomes = paint_renditions(str(film), renditions(tmp_path, {"a": Shifted(1), "b": Shifted(2)}))
    for name, outcome in zip("ab", outcomes, strict=True):
        assert isinstance(outcome, SourceReadError)
        assert "the 30 frames painted before" in str(outcome)
        assert len(read_video(tmp_path / f"{name}.partial.mkv")) == 30


def test_what_nobody_foresaw_ends_everything(film: Path, tmp_path: Path) -> None:
    odd = Shifted(2, raising(5, ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        paint_renditions(str(film), renditions(tmp_path, {"a": Shifted(1), "b": odd}))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.partial.mkv", "b.partial.mkv"]


def test_an_interrupt_keeps_what_there_is_of_each(film: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        paint_renditions(
            str(film),
            renditions(tmp_path, {"a": Shifted(1), "b": Shifted(2)}),
            interrupt_at(20),
        )
    assert str(caught.value).count("the 20 frames painted before are in") == 2
    for name in "ab":
        assert len(read_video(tmp_path / f"{name}.partial.mkv")) == 20


def test_a_slow_output_holds_the_source_back() -> None:
    class Counted(SyntheticSource):
        given = 0

        def __iter__(self) -> Iterator[Frame | SidePacket]:
            for item in super().__iter__():
                self.given += 1
                yield item

    class Slow(MemorySink):
        behind = 0

        def write(self, item: Frame | SidePacket) -> None:
            super().write(item)
            self.behind = max(self.behind, source.given - len(self.frames))

    source, slow = Counted(64, 48, 60), Slow()
    quick = MemorySink()
    branches = [Branch(Stylizer(Shifted(1)), slow), Branch(Stylizer(Shifted(2)), quick)]
    FanPipeline(source, branches).run()
    assert len(slow.frames) == len(quick.frames) == 60
    assert slow.behind <= 3 + 1 + 1 + 3 + 1  # two channels, and one in each hand


# --- segments


def test_outputs_that_were_interrupted_apart_go_on_together(film: Path, tmp_path: Path) -> None:
    """One was painted for two segments, one for one, one not at all, one is waiting to be joined:
    what is there is not painted again, and all become what an uninterrupted run makes.
    """
    segments = SegmentSettings(seconds=Fraction(1, 2), always=True, made_of={"x": "y"})
    settings = replace(SETTINGS, temporal="fast", segments=segments)
    for number, frames in enumerate((45, 25, 0), 1):
        target = tmp_path / f"{number}.mkv"
        if frames:
            with pytest.raises(KeyboardInterrupt):
                paint_video(str(film), str(target), Shifted(number), settings, interrupt_at(frames))
            assert journal_folder(target).is_dir()
            (tmp_path / f"{number}.partial.mkv").unlink()
    engines = {str(number): Shifted(number) for number in (1, 2, 3)}
    outcomes = paint_renditions(str(film), renditions(tmp_path, dict(engines), settings))
    for number, outcome in enumerate(outcomes, 1):
        assert isinstance(outcome, Result), outcome
        assert outcome.report.frames == 75
        assert engines[str(number)].painted == 75 - outcome.report.resumed
        alone = tmp_path / "alone.mkv"
        paint_video(str(film), str(alone), Shifted(number), replace(settings, segments=None))
        assert_same(tmp_path / f"{number}.mkv", alone)
        alone.unlink()
    resumed = [o.report.resumed for o in outcomes if isinstance(o, Result)]
    assert resumed[0] > resumed[1] > resumed[2] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1.mkv", "2.mkv", "3.mkv"]


def test_all_interrupted_outputs_go_on_from_the_earliest(film: Path, tmp_path: Path) -> None:
    segments = SegmentSettings(seconds=Fraction(1, 2), always=True)
    settings = replace(SETTINGS, temporal="quality", segments=segments)
    with pytest.raises(KeyboardInterrupt) as caught:
        paint_renditions(
            str(film),
            renditions(tmp_path, {"1": Shifted(1), "2": Shifted(2)}, settings),
            interrupt_at(30),
        )
    assert str(caught.value).count("the same command goes on behind frame") == 2
    with pytest.raises(KeyboardInterrupt):
        # one of them gets further by itself
        paint_video(str(film), str(tmp_path / "2.mkv"), Shifted(2), settings, interrupt_at(25))
    outcomes: list[Result | StylizeError] = paint_renditions(
        str(film), renditions(tmp_path, {"1": Shifted(1), "2": Shifted(2)}, settings)
    )
    resumed = [o.report.resumed for o in outcomes if isinstance(o, Result)]
    assert 0 < resumed[0] < resumed[1]
    for number in (1, 2):
        alone = tmp_path / "alone.mkv"
        paint_video(str(film), str(alone), Shifted(number), replace(settings, segments=None))
        assert_same(tmp_path / f"{number}.mkv", alone)
        alone.unlink()
