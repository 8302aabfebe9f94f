"""Many inputs: which there are, where each goes, and a report of what came of them."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from cli_tools import Run, run_with
from media import read_video, write_video
from rich.console import Console

from stylize_video.realtime import _video_command, find_style
from stylize_video.realtime._console import ProgressBar
from stylize_video.realtime.catalogue import Style
from stylize_video.realtime.errors import SinkOpenError, SourceOpenError
from stylize_video.realtime.folders import plan_jobs
from stylize_video.realtime.frame import VideoInfo
from stylize_video.realtime.pipeline import Report


@pytest.fixture
def stylize(identity: Path) -> Run:
    """`stylize video` with the identity style on one thread, in this process."""
    return run_with("--style", identity, "--threads", "1", "--temporal", "off")


@pytest.fixture(scope="module")
def style(identity: Path) -> Style:
    return find_style(str(identity))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames."""
    return write_video(tmp_path_factory.mktemp("small") / "s.mp4", 3, (64, 48), Fraction(25))


@pytest.fixture
def tree(small: Path, tmp_path: Path) -> Path:
    """Clips in folders below folders, and things that are none."""
    root = tmp_path / "in"
    for name in ("a.mp4", "one/b.mp4", "one/two/c.mp4", "one/two/d.MOV", ".hidden/e.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(small, root / name)
    (root / "one" / ".f.0123abcd.part.mp4").write_bytes(b"what another run is writing")
    (root / "notes.txt").write_text("no clip")
    return root


def below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_tree_is_mirrored(tree: Path, stylize: Run, tmp_path: Path) -> None:
    into = tmp_path / "out"
    assert stylize(tree, into, "--recursive", "--quiet") == 0
    wanted = ["a_identity.mp4", "one/b_identity.mp4", "one/two/c_identity.mp4"]
    assert below(into) == [*wanted, "one/two/d_identity.mov"]
    assert all(len(read_video(into / name)) == 3 for name in wanted)


def test_an_output_inside_the_input_is_not_painted_again(tree: Path, stylize: Run) -> None:
    into = tree / "painted"
    for _ in range(2):
        assert stylize(tree, into, "--recursive", "--quiet", "--overwrite") == 0
        assert len(below(into)) == 4


def test_without_recursive_only_the_folder_itself_counts(tree: Path, style: Style) -> None:
    assert [Path(j.source).name for j in plan_jobs([str(tree)], None, style)] == ["a.mp4"]
    with pytest.raises(SourceOpenError, match=r"holds no video files .*--recursive looks"):
        plan_jobs([str(tree / ".hidden" / "..")], None, style) and plan_jobs(
            [str(tree.parent)], None, style
        )


def test_links_to_folders_are_not_followed(tree: Path, style: Style, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(tree / "a.mp4", outside / "x.mp4")
    (tree / "link").symlink_to(outside)
    (tree / "loop").symlink_to(tree)
    jobs = plan_jobs([str(tree)], str(tmp_path / "out"), style, recursive=True)
    assert len(jobs) == 4


def test_patterns_and_lists_and_several_names(tree: Path, stylize: Run, tmp_path: Path) -> None:
    out = tmp_path / "pattern"
    assert stylize(f"{tree}/one/**/*.mp4", out, "--quiet") == 0
    assert below(out) == ["b_identity.mp4", "two/c_identity.mp4"]
    names = tmp_path / "list.txt"
    names.write_text(f"# two of them\n{tree}/a.mp4\n\n  {tree}/one/b.mp4\n")
    out = tmp_path / "list"
    assert stylize("--list", names, out, "--quiet") == 0
    assert below(out) == ["a_identity.mp4", "b_identity.mp4"]
    out = tmp_path / "several"
    assert stylize(tree / "a.mp4", tree / "one" / "b.mp4", out, "--quiet") == 0
    assert below(out) == ["a_identity.mp4", "b_identity.mp4"]


def test_names_that_stand_for_nothing(tmp_path: Path, style: Style, stylize: Run) -> None:
    with pytest.raises(SourceOpenError, match="nothing matches"):
        plan_jobs([f"{tmp_path}/*.mp4"], None, style)
    (tmp_path / "list.txt").write_text("# nothing\n")
    assert stylize("--list", tmp_path / "list.txt") == 1
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    assert stylize("--list", tmp_path / "list.txt") == 1
    with pytest.raises(SinkOpenError, match="must be a folder too"):
        plan_jobs(["a.mp4", "b.mp4"], "out.mp4", style)


def test_no_two_inputs_go_to_one_output(small: Path, style: Style, tmp_path: Path) -> None:
    for name in ("x/a.avi", "x/a.wmv", "y/a.avi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(small, tmp_path / name)
    jobs = plan_jobs([str(tmp_path / "x")], None, style)
    assert [Path(j.target).name for j in jobs] == ["a_avi_identity.mp4", "a_wmv_identity.mp4"]
    inputs = [str(tmp_path / "x" / "a.avi"), str(tmp_path / "y" / "a.avi")]
    with pytest.raises(SinkOpenError, match="would both be painted into"):
        plan_jobs(inputs, str(tmp_path / "out"), style)


def test_skip_existing_and_stop_on_errors(tree: Path, stylize: Run, tmp_path: Path) -> None:
    into = tmp_path / "out"
    (tree / "b_broken.mp4").write_bytes(b"nothing")
    stop = ["--recursive", "--no-skip-errors", "--quiet"]
    assert stylize(tree, into, *stop) == 1
    assert below(into) == ["a_identity.mp4"]
    before = (into / "a_identity.mp4").stat().st_mtime_ns
    assert stylize(tree, into, "--recursive", "--skip-existing", "--quiet") == 1
    assert len(below(into)) == 4
    assert (into / "a_identity.mp4").stat().st_mtime_ns == before
    assert stylize(tree, into, "--recursive", "--quiet") == 1  # all of them exist


@pytest.fixture
def fifty(small: Path, data: Callable[[str], Path], tmp_path: Path) -> Iterator[Path]:
    """Fifty inputs of many kinds, ten of them broken."""
    folder = tmp_path / "fifty"
    folder.mkdir()
    torture = data("torture") / "dev"
    broken = [
        "truncated_moov_missing.mp4",
        "header_only_no_frames.mkv",
        "text_renamed.mp4",
        "zero_bytes.mp4",
        "audio_only_named_video.mp4",
    ]
    for number, name in enumerate(broken * 2):
        shutil.copy(torture / name, folder / f"{number * 5:02d}_{name}")
    for number in range(40):
        suffix = (".mp4", ".mkv", ".avi", ".webm", ".ts")[number % 5]
        side = 48 + 16 * (number % 3)
        codec = "libvpx" if suffix == ".webm" else "libx264"
        options = {"cpu-used": "8"} if codec == "libvpx" else None
        clip = folder / f"{number:02d}_whole{suffix}"
        write_video(clip, 2, (side, side), Fraction(25), codec=codec, options=options)
    return folder


def test_fifty_inputs_ten_of_them_broken(
    fifty: Path, stylize: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "out"
    assert stylize(fifty, into, "--json") == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert len(document["jobs"]) == 40
    assert len(document["failures"]) == 10
    assert all(job["whole"] and job["frames"] == 2 for job in document["jobs"])
    assert {Path(f["input"]).name for f in document["failures"]} == {
        p.name for p in fifty.iterdir() if "_whole" not in p.name
    }
    assert len(below(into)) == 40
    assert "50 inputs: 40 painted, 10 failed; 80 frames in" in captured.err
    rows = [line for line in captured.err.splitlines() if " failed " in line]
    assert len(rows) == 10


def test_memory_stays_flat_over_many_inputs(
    small: Path, stylize: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(60):
        shutil.copy(small, folder / f"{number:02d}.mp4")
    pages: list[int] = []
    paint = _video_command.paint_video

    def watched(*arguments: object) -> object:
        pages.append(int(Path("/proc/self/statm").read_text().split()[1]))
        return paint(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(_video_command, "paint_video", watched)
    assert stylize(folder, tmp_path / "out", "--quiet") == 0
    grown = (pages[-1] - pages[20]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    assert grown < 20  # encoders and decoders of 39 inputs would be 300 MB


def test_the_bar_over_all_goes_by_bytes() -> None:
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        console = Console(file=nowhere, force_terminal=True, width=120)
        bar = ProgressBar(console, quiet=False, sizes=[100, 300])
        info = VideoInfo(64, 48, Fraction(25), Fraction(1, 25), frames_from_header=10)
        bar.begin(info, "out.mp4")
        assert bar._all is not None
        bar.end()
        bar.next_job()
        bar.begin(info, "more.mp4")
        bar.frame(Report(frames=5, seconds=1.0))
        task = next(t for t in bar._progress.tasks if t.id == bar._all)
        assert task.completed == 62  # 100 bytes and half of 300
        assert task.description == "input 2 of 2, percent"
        bar.end()
