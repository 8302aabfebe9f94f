"""`stylize optimize` broken off: what is kept, of pictures, clips and records."""

import _thread
import errno
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from optimize_tools import Command, names, one_line, times

from stylize_video.export import cli
from stylize_video.export.errors import TrainingError
from stylize_video.export.methods._clips import ClipWriter
from stylize_video.export.methods.optimize import Look, Optimizer


def stop_before(frame: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is painted before a frame of a clip is broken off."""
    paint, done = Optimizer.paint, []

    def broken_off(self: Optimizer, picture: torch.Tensor, past: Any = None) -> Iterator[Look]:
        if len(done) + 1 == frame:
            raise error
        done.append(picture)
        yield from paint(self, picture, past)

    monkeypatch.setattr(Optimizer, "paint", broken_off)


def test_an_interrupted_picture_is_kept_under_a_name_that_says_so(
    command: Command, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Optimizer.paint

    def interrupted(self: Optimizer, picture: torch.Tensor) -> Any:
        yield next(iter(looks(self, picture)))
        raise KeyboardInterrupt

    monkeypatch.setattr(Optimizer, "paint", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"the picture of step 10 is in .*x\.partial\.png"):
        cli.run(command(photo, tmp_path / "x.png", "--scales", "1"))
    assert names(tmp_path) == ["x.partial.png"]


@pytest.mark.parametrize(("frame", "said"), [(2, "1 frame is in "), (5, "4 frames are in ")])
def test_an_interrupted_clip_is_kept_under_a_name_that_says_so(
    frame: int,
    said: str,
    command: Command,
    clip: Path,
    tmp_path: Path,
    quick: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop_before(frame, KeyboardInterrupt(), monkeypatch)
    partial = tmp_path / "x.partial.mp4"
    with pytest.raises(KeyboardInterrupt, match=f"^{re.escape(said + str(partial))}$"):
        cli.run(command(clip, tmp_path / "x.mp4"))
    assert names(tmp_path) == ["x.partial.mp4"]
    assert times(partial) == times(clip, frame - 1)


def test_an_interrupt_before_the_first_frame_keeps_nothing_and_says_so(
    command: Command, clip: Path, tmp_path: Path, quick: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_before(1, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt, match=r"^no frame was done, nothing was kept$"):
        cli.run(command(clip, tmp_path / "x.mp4"))
    assert not names(tmp_path)


def test_an_interrupt_while_a_frame_is_encoded_breaks_nothing(
    command: Command, clip: Path, tmp_path: Path, quick: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = ClipWriter._mux

    def interrupted(self: ClipWriter, frame: Any) -> None:
        if self._frames == 2:
            time.sleep(0.1)  # until the main thread waits for this one
            _thread.interrupt_main()
        encode(self, frame)

    monkeypatch.setattr(ClipWriter, "_mux", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"^3 frames are in .*x\.partial\.mp4$"):
        cli.run(command(clip, tmp_path / "x.mp4"))
    assert times(tmp_path / "x.partial.mp4") == times(clip, 3)


def test_an_interrupt_when_the_clip_has_its_name_leaves_it(
    command: Command, clip: Path, tmp_path: Path, quick: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = ClipWriter.finish

    def interrupted(self: ClipWriter) -> None:
        finish(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(ClipWriter, "finish", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"^2 frames are in .*x\.mp4$"):
        cli.run(command(clip, tmp_path / "x.mp4", "--frames", "2"))
    assert names(tmp_path) == ["x.mp4"]
    assert times(tmp_path / "x.mp4") == times(clip, 2)


def test_what_was_painted_before_an_error_is_kept_and_said(
    command: Command,
    clip: Path,
    tmp_path: Path,
    quick: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stop_before(3, TrainingError("step 0: lost"), monkeypatch)
    assert cli.run(command(clip, tmp_path / "x.mp4", "--quiet")) == 1
    partial = tmp_path / "x.partial.mp4"
    assert one_line(capsys.readouterr().err) == f"error: step 0: lost; 2 frames are in {partial}"
    assert names(tmp_path) == ["x.partial.mp4"]
    assert times(partial) == times(clip, 2)


def test_a_clip_on_a_full_disk_is_one_line_that_names_it(
    command: Command,
    clip: Path,
    tmp_path: Path,
    quick: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(self: ClipWriter, frame: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ClipWriter, "_mux", full)
    assert cli.run(command(clip, tmp_path / "x.mp4", "--quiet")) == 1
    said = f"error: {tmp_path / 'x.mp4'} can't be written: No space left on device"
    assert one_line(capsys.readouterr().err) == said
    assert not names(tmp_path)


# --- the record


@pytest.mark.parametrize("there", ["x.png", "x.json"])
def test_what_is_there_is_replaced_only_when_asked(
    there: str,
    command: Command,
    photo: Path,
    tmp_path: Path,
    quick: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / there).write_text("mine")
    assert cli.run(command(photo, tmp_path / "x.png")) == 1
    line = one_line(capsys.readouterr().err)
    assert f"{there} exists: pass --overwrite to replace it" in line
    assert not quick
    assert (tmp_path / there).read_text() == "mine"
    assert cli.run(command(photo, tmp_path / "x.png", "--overwrite")) == 0
    assert json.loads((tmp_path / "x.json").read_text())["losses"] == {"style": 0.5}
    assert cv2.imread(str(tmp_path / "x.png")).shape[1] == 96


@pytest.mark.parametrize("there", ["x.png", "x.json"])
def test_folders_of_its_names_are_refused(
    there: str,
    command: Command,
    photo: Path,
    tmp_path: Path,
    quick: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / there).mkdir()
    assert cli.run(command(photo, tmp_path / "x.png", "--overwrite")) == 1
    assert f"{there} is a folder: give another --output" in one_line(capsys.readouterr().err)
    assert not quick


def test_a_record_that_can_not_be_written_costs_neither_the_picture_nor_the_record_before(
    command: Command,
    photo: Path,
    tmp_path: Path,
    quick: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if ".json" not in self.name:
            return write(self, data)
        write(self, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    (tmp_path / "x.json").write_text("before")
    assert cli.run(command(photo, tmp_path / "x.png", "--overwrite")) == 1
    line = one_line(capsys.readouterr().err)
    assert f"the record {tmp_path / 'x.json'} can't be written: No space left on device" in line
    assert f"{tmp_path / 'x.png'} is kept" in line
    assert names(tmp_path) == ["x.json", "x.png"]
    assert (tmp_path / "x.json").read_text() == "before"
    assert cv2.imread(str(tmp_path / "x.png")).shape[1] == 96
