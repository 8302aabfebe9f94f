"""Bad input to the program: one line, exit code 1, nothing left behind."""

import os
from pathlib import Path

import pytest
from cli_tools import Run, run_with

from stylize_video.realtime import cli


@pytest.fixture
def stylize(identity: Path) -> Run:
    """`stylize` with the identity style on one thread, in this process."""
    return run_with("--style", identity, "--threads", 1)


def refused(code: int, capsys: pytest.CaptureFixture[str], folder: Path, *kept: str) -> str:
    """The one line of a refusal; `folder` holds only what is named."""
    assert code == 1
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ")
    assert sorted(p.name for p in folder.iterdir()) == sorted(kept)
    return lines[0]


def test_missing_input(stylize: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = stylize(tmp_path / "no.mp4", tmp_path / "out.mp4")
    assert "no.mp4 does not exist" in refused(code, capsys, tmp_path)


def test_existing_output(
    clip: Path, stylize: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.mp4"
    target.write_text("precious")
    assert "pass --overwrite" in refused(stylize(clip, target), capsys, tmp_path, "out.mp4")
    assert target.read_text() == "precious"


def test_output_equals_input(
    clip: Path, stylize: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "clip.mp4"
    source.write_bytes(clip.read_bytes())
    (tmp_path / "alias.mp4").hardlink_to(source)
    for target in (source, tmp_path / "alias.mp4", tmp_path / "." / "clip.mp4"):
        line = refused(
            stylize(source, target, "--overwrite"), capsys, tmp_path, "clip.mp4", "alias.mp4"
        )
        assert "is the input itself" in line
    assert source.read_bytes() == clip.read_bytes()


def test_output_in_no_folder(
    clip: Path, stylize: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = stylize(clip, tmp_path / "no" / "out.mp4")
    assert "does not exist: create it first" in refused(code, capsys, tmp_path)


def test_output_without_permission(
    clip: Path,
    stylize: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the superuser may write anywhere, so the answer of the system is played
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    code = stylize(clip, tmp_path / "out.mp4")
    assert "permission denied" in refused(code, capsys, tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--codec", "nothing"], "there is no video encoder 'nothing'"),
        (["--codec", "aac"], "'aac' is not a video encoder"),
        (["--codec", "libvpx"], "can't be written"),
        (["--crf", "20", "--codec", "mpeg4"], "the encoder mpeg4 has no --crf"),
        (["--pix-fmt", "rgb24"], "does not take --pix-fmt rgb24"),
        (["--preset", "breakneck"], "can't be written"),
        (["--start", "3"], "no frames between the start and end"),
        (["--start", "2", "--end", "1"], "--end 1.0 must come after --start 2.0"),
        (["--max-pixels", "1000"], "160x96, 15360 pixels, over the limit of 1000"),
        (["--raw", "1x1@1"], "give - as the input"),
        (["--engine", "tensorrt"], "--engine tensorrt does not work here"),
    ],
)
def test_settings_that_do_not_work(
    options: list[str],
    said: str,
    clip: Path,
    stylize: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert said in refused(stylize(clip, tmp_path / "out.mp4", *options), capsys, tmp_path)


@pytest.mark.parametrize("name", ["out.xyz", "out", "out.mp3"])
def test_endings_that_are_not_written(
    name: str, clip: Path, stylize: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(stylize(clip, tmp_path / name), capsys, tmp_path)
    assert ".mp4, .m4v, .mov, .mkv, .webm, .gif" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "12"], "'12' is not a size"),
        (["--start", "soon"], "'soon' is not a time"),
        (["--fps", "0"], "'0' is not a frame rate"),
        (["--raw", "big"], "is not of the form 640x360@30"),
        (["--threads", "-1"], "argument --threads"),
        (["--model-range", "0..7"], "is not a range"),
        (["--temporal", "sometimes"], "invalid choice: 'sometimes'"),
        ([], "required: input"),
    ],
)
def test_bad_usage_exits_with_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = arguments if not arguments else ["in.mp4", "out.mp4", *arguments]
    with pytest.raises(SystemExit) as stop:
        cli.run(["video", *given])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_unknown_styles_are_told_what_there_is(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.run(["video", str(clip), str(tmp_path / "o.mp4"), "--style", "nobody"])
    assert "no style 'nobody': give one of " in refused(code, capsys, tmp_path)


def test_a_playlist_can_not_reach_other_files(
    clip: Path, stylize: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "box"
    folder.mkdir()
    tricks = {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{clip}\n#EXT-X-ENDLIST\n",
        "list.mp4": f"ffconcat version 1.0\nfile '{clip}'\n",
        "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    }
    for name, content in tricks.items():
        (folder / name).write_text(content)
        line = refused(stylize(folder / name, folder / "out.mp4"), capsys, folder, name)
        assert "not a readable video" in line
        (folder / name).unlink()
