"""Several styles over one decode: each output as if painted alone, and named after its style."""

import json
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import Run
from media import assert_same, read_video
from several_tools import names

from stylize_video.realtime import FileSource, SyntheticSource
from stylize_video.realtime._memory import check_fits
from stylize_video.realtime.errors import StylizeError
from stylize_video.realtime.flow import DisFlow, Flow, Grey
from stylize_video.realtime.frame import Frame, VideoInfo
from stylize_video.realtime.temporal import FAST, SharedLooker, TemporalBlender

# --- equal to runs of their own


@pytest.mark.parametrize(
    "options",
    [
        ["--temporal", "quality"],
        ["--temporal", "best", "--end", "0.8"],
        ["--temporal", "fast", "--paint-every", "3"],
        ["--temporal", "fast", "--strength", "0.6", "--stroke", "4", "--end", "0.8"],
    ],
    ids=["quality", "best", "paint-every", "knobs"],
)
def test_each_output_is_that_of_a_run_of_its_own(
    options: list[str], film: Path, styles: list[Path], stylize: Run, tmp_path: Path
) -> None:
    into = tmp_path / "out"
    assert stylize(film, into, "--styles", names(styles), "--quiet", *options) == 0
    for style in styles:
        alone = tmp_path / f"{style.stem}.mkv"
        assert stylize(film, alone, "--style", style, "--quiet", *options) == 0
        assert_same(into / f"film_{style.stem}.mkv", alone)
    assert len(list(into.iterdir())) == 3


def test_files_are_equal_byte_for_byte(
    clip: Path, styles: list[Path], stylize: Run, tmp_path: Path
) -> None:
    """MP4 holds nothing random: times, flags and side data of every packet are in these bytes."""
    target = tmp_path / "{style}-painted.mp4"
    assert stylize(clip, target, "--styles", names(styles), "--quiet", "--start", "0.3") == 0
    for style in styles:
        alone = tmp_path / f"{style.stem}.mp4"
        assert stylize(clip, alone, "--style", style, "--quiet", "--start", "0.3") == 0
        assert (tmp_path / f"{style.stem}-painted.mp4").read_bytes() == alone.read_bytes()


def test_the_input_is_decoded_once(
    film: Path, styles: list[Path], stylize: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = FileSource._keep
    count = 0

    def counted(self: FileSource, raw: Any) -> Iterator[Frame]:
        nonlocal count
        count += 1
        return read(self, raw)

    monkeypatch.setattr(FileSource, "_keep", counted)
    target = tmp_path / "out"
    assert stylize(film, target, "--styles", names(styles), "--quiet", "--temporal", "off") == 0
    assert count == 75


def test_motion_is_measured_once() -> None:
    class Counting(DisFlow):
        count = 0

        def estimate(self, now: Grey, before: Grey) -> Flow:
            self.count += 1
            return super().estimate(now, before)

    source = SyntheticSource(160, 96, 12)
    frames = [source.draw(index) for index in range(12)]
    flow = Counting(FAST.preset)
    looker = SharedLooker(flow, FAST.gate)
    stages = [TemporalBlender(FAST, looker=looker) for _ in range(3)]
    alone = [TemporalBlender(FAST) for _ in range(3)]
    for frame in frames:
        for number in range(3):
            painted = 255 - frame if number else frame
            shown = stages[number].blend(frame, painted)
            assert np.array_equal(shown, alone[number].blend(frame, painted))
    for stage in (*stages, *alone):
        stage.reset()
    assert flow.count == 11


# --- names, folders, reports


def test_a_folder_in_several_styles_and_its_report(
    clip: Path,
    styles: list[Path],
    stylize: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, into = tmp_path / "in", tmp_path / "out"
    (folder / "below").mkdir(parents=True)
    for name in ("a.mp4", "below/b.mp4"):
        shutil.copy(clip, folder / name)
    (folder / "broken.mp4").write_bytes(b"nothing")
    options = ["--recursive", "--styles", names(styles[:2]), "--temporal", "off"]
    assert stylize(folder, into, *options, "--json") == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["styles"] == ["plain", "negative"]
    painted = [(Path(job["output"]).relative_to(into), job["style"]) for job in document["jobs"]]
    assert painted == [
        (Path("a_plain.mp4"), "plain"),
        (Path("a_negative.mp4"), "negative"),
        (Path("below/b_plain.mp4"), "plain"),
        (Path("below/b_negative.mp4"), "negative"),
    ]
    assert all(job["whole"] and job["frames"] == 50 for job in document["jobs"])
    assert len(document["failures"]) == 2
    assert captured.err.count("is not a readable video") == 3  # told once, and twice in the table
    assert "6 outputs of 3 inputs: 4 painted, 2 failed; 200 frames" in captured.err
    # of what is there already, only what is missing is painted
    (into / "a_plain.mp4").unlink()
    before = (into / "a_negative.mp4").stat().st_mtime_ns
    assert stylize(folder, into, *options, "--skip-existing", "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert [Path(job["output"]).name for job in document["jobs"]] == ["a_plain.mp4"]
    assert (into / "a_negative.mp4").stat().st_mtime_ns == before


def test_outputs_are_named_after_their_styles(
    clip: Path, styles: list[Path], stylize: Run, tmp_path: Path
) -> None:
    source = tmp_path / "holiday.mp4"
    shutil.copy(clip, source)
    common = ["--styles", names(styles[:2]), "--quiet", "--temporal", "off", "--end", "0.2"]
    assert stylize(source, *common) == 0
    assert stylize(source, tmp_path / "{style}" / "%03d.png", *common) == 0
    for name in ("plain", "negative"):
        assert len(read_video(tmp_path / f"holiday_{name}.mp4")) == 5
        assert len(list((tmp_path / name).iterdir())) == 5


def test_what_can_not_be_meant(
    clip: Path,
    styles: list[Path],
    stylize: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    two = ["--styles", names(styles[:2])]
    refusals = {
        "2 styles don't fit into": [clip, tmp_path / "out.mp4", *two],
        "leave --mix out": [clip, tmp_path, *two, "--mix", "starry:1,wave:1"],
        "leave --style out": [clip, tmp_path, *two, "--style", styles[2]],
        "names plain twice": [clip, tmp_path, "--styles", f"{styles[0]},{styles[0]}"],
        "need an output with {style}": ["-", tmp_path / "out", *two],
        "--painting is for styles": [clip, tmp_path, *two, "--painting", clip],
    }
    for said, arguments in refusals.items():
        assert stylize(*arguments) == 1
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit):
        stylize(clip, tmp_path, "--styles", "starry,,wave")
    assert list(tmp_path.iterdir()) == []


# --- memory


def test_memory_is_that_of_all_styles_together(
    film: Path,
    styles: list[Path],
    stylize: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--styles", names(styles), "--temporal", "fast", "--end", "0.2", "--quiet"]
    assert stylize(film, tmp_path / "a", *options, "--max-memory", "900M") == 0
    assert stylize(film, tmp_path / "b", *options, "--max-memory", "200M") == 1
    assert "frames of 128x96 in 3 styles at once take about" in capsys.readouterr().err
    full = VideoInfo(3840, 2160, Fraction(25), Fraction(1, 25))
    check_fits(full, "off", 2000)
    with pytest.raises(StylizeError, match="in 3 styles at once"):
        check_fits(full, "off", 2000, 3)
