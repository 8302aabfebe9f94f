"""What goes wrong in long jobs: what is finished is kept, what does not fit it is refused."""

import errno
import json
import resource
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from doubles import Negative, raising
from media import LOSSLESS, assert_same, packets, read_video
from segments_tools import ONE_SECOND, paint

from stylize_video.realtime import segments as segments_module
from stylize_video.realtime._state import save_state
from stylize_video.realtime.errors import (
    InferenceError,
    JournalError,
    OutputBusy,
    SinkOpenError,
    SinkWriteError,
)
from stylize_video.realtime.journal import journal_folder, open_journal
from stylize_video.realtime.sinks._containers import EncodeOptions


def test_a_full_disk_keeps_what_is_finished(film: Path, tmp_path: Path) -> None:
    """The limit on the size of files stands for the disk's end: writes fail in the same place."""
    whole, target = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    paint(film, whole, segments=None)
    largest = max(p.stat().st_size for p in tmp_path.iterdir())
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, hard))
        with pytest.raises(SinkWriteError, match="can't be written"):
            paint(film, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert not target.exists()
    assert journal_folder(target).is_dir()
    result = paint(film, target)
    assert result.report.resumed > 0
    assert_same(whole, target)


@pytest.mark.parametrize("what", ["part", "state", "journal"])
def test_a_disk_that_fills_up_in_any_place(
    what: str, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.mkv"
    full = OSError(errno.ENOSPC, "No space left on device")
    calls = 0

    def failing(real: Callable[..., Any], after: int) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > after:
                raise full
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        if what == "part":
            put = segments_module.PartSink._put
            patch.setattr(segments_module.PartSink, "_put", failing(put, 150))
        elif what == "state":
            patch.setattr(segments_module, "save_state", failing(save_state, 1))
        else:
            save = segments_module.Journal._save
            patch.setattr(segments_module.Journal, "_save", failing(save, 2))
        with pytest.raises(SinkWriteError, match="no space left on the disk"):
            paint(film, target)
    whole = tmp_path / "whole.mkv"
    paint(film, whole, segments=None)
    result = paint(film, target)
    assert result.report.resumed > 0
    assert_same(whole, target)


def test_the_output_folder_is_gone(film: Path, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="can't be written"):
        paint(film, tmp_path / "nowhere" / "out.mkv")
    folder = tmp_path / "folder"
    folder.mkdir()

    def act(number: int) -> None:
        if number == 60:
            folder.rename(tmp_path / "elsewhere")

    with pytest.raises(SinkWriteError, match="can't be written"):
        paint(film, folder / "out.mkv", Negative(act))
    assert not folder.exists()


@pytest.fixture
def interrupted(film: Path, tmp_path: Path) -> Path:
    """An output whose run was interrupted, with finished segments beside it."""
    target = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt, match="the same command goes on behind frame"):
        paint(film, target, stop=70)
    return target


def test_other_settings_are_refused_by_name(interrupted: Path, film: Path) -> None:
    with pytest.raises(JournalError, match="--temporal was off, is fast"):
        paint(film, interrupted, temporal="fast")
    with pytest.raises(JournalError, match="--crf was not set, is 20"):
        paint(film, interrupted, write=replace(LOSSLESS, crf=20))
    styled = replace(ONE_SECOND, made_of={"--style": "wave"})
    with pytest.raises(JournalError, match="--style was not set, is wave"):
        paint(film, interrupted, segments=styled)
    result = paint(film, interrupted, write=replace(LOSSLESS, threads=2), threads=2)
    assert result.report.resumed > 0


def test_another_input_is_refused(interrupted: Path, film: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mkv"
    content = bytearray(film.read_bytes())
    content[-1] ^= 1
    other.write_bytes(content)
    with pytest.raises(JournalError, match=r"the input was .*…, is .*…; give the same"):
        paint(other, interrupted)
    restarted = replace(ONE_SECOND, restart=True)
    assert paint(other, interrupted, segments=restarted).report.resumed == 0


@pytest.mark.parametrize("damage", ["cut", "flip", "part", "state", "elsewhere"])
def test_a_damaged_journal_is_refused(
    damage: str, interrupted: Path, film: Path, tmp_path: Path
) -> None:
    folder = journal_folder(interrupted)
    file = folder / "journal.json"
    if damage == "part":
        file = folder / "00001.part"
    elif damage == "state":
        file = sorted(folder.glob("*.npz"))[-1]
    content = bytearray(file.read_bytes())
    if damage == "elsewhere":
        document = json.loads(content)
        document["body"] = document["body"].replace("00001.part", "../00001.part")
        content = bytearray(json.dumps(document).encode())
    else:
        content[len(content) // 2] ^= 4
    file.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    with pytest.raises(JournalError, match=r"damaged.*--restart"):
        paint(film, interrupted)
    result = paint(film, interrupted, segments=replace(ONE_SECOND, restart=True))
    assert (result.report.resumed, result.report.frames) == (0, 100)
    assert not folder.exists()


def test_a_second_run_on_the_same_output_is_refused(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    refusals = []

    def act(number: int) -> None:
        if number == 50:
            with pytest.raises(OutputBusy, match="another run is painting") as caught:
                paint(film, target)
            refusals.append(str(caught.value))

    assert paint(film, target, Negative(act)).report.frames == 100
    assert len(refusals) == 1


def test_a_journal_is_there_for_one_at_a_time(tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    first = open_journal(target, {"a": "1"})
    with pytest.raises(OutputBusy):
        open_journal(target, {"a": "1"})
    first.close()
    assert not journal_folder(target).exists()


def test_a_folder_of_somebody_else_is_left_alone(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    folder = journal_folder(target)
    folder.mkdir()
    (folder / "00001.part").write_text("mine")
    with pytest.raises(JournalError, match="holds other files"):
        paint(film, target)
    assert (folder / "00001.part").read_text() == "mine"


def test_resume_without_an_interrupted_run_is_refused(film: Path, tmp_path: Path) -> None:
    settings = replace(ONE_SECOND, must_resume=True)
    with pytest.raises(JournalError, match="no interrupted run"):
        paint(film, tmp_path / "out.mkv", segments=settings)
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_fails_leaves_a_part_and_a_way_on(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    with pytest.raises(InferenceError, match=r"the 79 frames painted before are in .*partial"):
        paint(film, target, Negative(raising(80, InferenceError("the card got hot"))))
    assert len(read_video(tmp_path / "out.partial.mkv")) == 79
    assert packets(tmp_path / "out.partial.mkv", "audio")
    assert paint(film, target).report.frames == 100


def test_what_can_not_be_cut_into_segments_says_so(film: Path, tmp_path: Path) -> None:
    for target, reason in (("out.gif", "a GIF"), ("%03d.png", "sequences of pictures")):
        with pytest.raises(SinkOpenError, match=reason):
            paint(film, tmp_path / target, write=EncodeOptions())
    assert list(tmp_path.iterdir()) == []
