"""One contract for every sink: whole under its final name, or a part that says so, or nothing."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from media import read_video

from stylize_video.realtime import FileSink, MemorySink, SyntheticSource
from stylize_video.realtime.errors import SinkOpenError
from stylize_video.realtime.frame import Extras
from stylize_video.realtime.sinks._containers import EncodeOptions
from stylize_video.realtime.sinks.images import ImageSequenceSink
from stylize_video.realtime.sources.images import sequence_paths

SOURCE = SyntheticSource(48, 32, 9, Fraction(25))


def file_sink(ending: str) -> Callable[..., FileSink]:
    def make(folder: Path, *, overwrite: bool = False) -> FileSink:
        target = folder / f"out{ending}"
        return FileSink(target, SOURCE.info, Extras(), EncodeOptions(overwrite=overwrite))

    return make


def image_sink(ending: str) -> Callable[..., ImageSequenceSink]:
    def make(folder: Path, *, overwrite: bool = False) -> ImageSequenceSink:
        return ImageSequenceSink(folder / "out" / f"%03d{ending}", overwrite=overwrite)

    return make


def count(path: str) -> int:
    if "%" in path or Path(path).is_dir():
        return len(sequence_paths(Path(path)))
    return len(read_video(Path(path)))


MAKERS = {
    **{e: file_sink(e) for e in (".mp4", ".mkv", ".mov", ".webm", ".gif", ".m4v")},
    **{e: image_sink(e) for e in (".png", ".jpg")},
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return MAKERS[request.param]


def test_a_finished_sink_lies_under_its_name_and_nothing_else_does(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    sink = make(tmp_path)
    for item in SOURCE:
        sink.write(item)
    assert not [p for p in tmp_path.iterdir() if ".part" not in p.name]
    output = sink.finish()
    assert count(output) == 9
    assert [p.name for p in tmp_path.iterdir() if ".part" in p.name] == []
    assert len(list(tmp_path.iterdir())) == 1


def test_an_abandoned_sink_keeps_its_part_under_a_name_that_says_so(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    sink = make(tmp_path)
    for item in list(SOURCE)[:4]:
        sink.write(item)
    kept = sink.abandon()
    assert ".partial" in kept
    assert count(kept) == 4
    assert len(list(tmp_path.iterdir())) == 1


def test_an_abandoned_sink_without_frames_leaves_nothing(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    assert make(tmp_path).abandon() is None
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_unasked(make: Callable[..., Any], tmp_path: Path) -> None:
    first = make(tmp_path)
    for item in SOURCE:
        first.write(item)
    first.finish()
    with pytest.raises(SinkOpenError, match="--overwrite"):
        make(tmp_path)
    second = make(tmp_path, overwrite=True)
    for item in list(SOURCE)[:2]:
        second.write(item)
    assert count(second.finish()) == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_memory_keeps_the_contract_too() -> None:
    sink = MemorySink()
    assert sink.abandon() is None
    for item in SOURCE:
        sink.write(item)
    assert sink.abandon() == "memory"
    assert sink.finish() == "memory"
    assert len(sink.frames) == 9
