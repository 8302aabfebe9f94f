"""The program as people use it: what it writes, what it says, and how it ends."""

import json
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from cli_tools import Run, run_with
from media import frame_times, identity_model, packets, read_video, write_video

from stylize_video.realtime import cli
from stylize_video.realtime.sources.images import read_image

ASS_HEADER = b"[Script Info]\nScriptType: v4.00+\n\n[Events]\nFormat: Layer, Start, End, Text\n"


@pytest.fixture
def stylize(identity: Path) -> Run:
    """`stylize` with the identity style on one thread, in this process."""
    return run_with("--style", identity, "--threads", 1)


def process(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = "from stylize_video.realtime.cli import main_video; main_video()"
    command = [sys.executable, "-c", program, *(str(a) for a in arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)


# --- outputs


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov", ".webm"])
def test_every_container_keeps_frames_times_and_sound(
    ending: str, clip: Path, stylize: Run, tmp_path: Path
) -> None:
    target = tmp_path / f"out{ending}"
    assert stylize(clip, target) == 0
    assert len(read_video(target)) == 50
    pairs = zip(frame_times(clip), frame_times(target), strict=True)
    assert max(abs(a - b) for a, b in pairs) <= Fraction(1, 2000)
    assert packets(target, "audio")


def test_no_frame_is_lost_where_sound_is_the_first_stream(stylize: Run, tmp_path: Path) -> None:
    """Frames are shown in another order than they are coded in: some come out at the very end."""
    clip, turned = tmp_path / "clip.mkv", tmp_path / "turned.mkv"
    options = {"preset": "medium", "bf": "3"}
    write_video(clip, 30, (64, 48), Fraction(25), audio=True, options=options)
    with av.open(str(clip)) as source, av.open(str(turned), "w") as output:
        streams = {
            kind: output.add_stream_from_template(getattr(source.streams, kind)[0])
            for kind in ("audio", "video")
        }
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.type]
                output.mux(packet)
    assert stylize(turned, tmp_path / "out.mp4") == 0
    assert len(read_video(tmp_path / "out.mp4")) == 30


def test_a_gif_has_every_frame_in_its_own_colours(clip: Path, stylize: Run, tmp_path: Path) -> None:
    target = tmp_path / "out.gif"
    assert stylize(clip, target) == 0
    frames = read_video(target)
    assert len(frames) == 50
    before = read_video(clip)[20].to_ndarray(format="rgb24").astype(int)
    after = frames[20].to_ndarray(format="rgb24").astype(int)
    assert np.abs(before - after).mean() < 12


def test_a_sequence_of_pictures_out_and_in(clip: Path, stylize: Run, tmp_path: Path) -> None:
    pattern = tmp_path / "frames" / "f%03d.png"
    assert stylize(clip, pattern) == 0
    names = sorted(p.name for p in pattern.parent.iterdir())
    assert names == [f"f{i:03d}.png" for i in range(1, 51)]
    for given in (pattern, pattern.parent, pattern.parent / "f*.png"):
        target = tmp_path / "back.mkv"
        options = ["--codec", "ffv1", "--pix-fmt", "bgr0", "--fps", "30", "--overwrite"]
        assert stylize(given, target, *options) == 0
        assert frame_times(target)[-1] == pytest.approx(Fraction(49, 30), abs=0.001)
        first = read_video(target)[0].to_ndarray(format="rgb24")
        assert np.array_equal(first, read_image(pattern.parent / "f001.png"))


def test_sequences_are_read_in_the_order_of_their_numbers(stylize: Run, tmp_path: Path) -> None:
    for number in (1, 2, 10):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((16, 16, 3), number * 20, np.uint8))
    target = tmp_path / "out.mkv"
    assert (
        stylize(tmp_path, target, "--codec", "ffv1", "--pix-fmt", "bgr0", "--temporal", "off") == 0
    )
    levels = [int(f.to_ndarray(format="rgb24").mean()) for f in read_video(target)]
    assert levels == [20, 40, 200]


def test_without_an_output_the_name_says_the_style(
    clip: Path, identity: Path, tmp_path: Path
) -> None:
    source = tmp_path / "holiday.avi"
    write_video(source, 3, (64, 64), Fraction(25), codec="mpeg4")
    assert cli.run(["video", str(source), "--style", str(identity), "--quiet"]) == 0
    assert (tmp_path / "holiday_identity.mp4").is_file()


def test_a_folder_of_clips_is_painted_into_a_folder(
    stylize: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, into = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a.mp4", "b.mkv"):
        write_video(folder / name, 3, (64, 64), Fraction(25))
    (folder / "broken.mp4").write_bytes(b"nothing")
    (folder / "notes.txt").write_text("not a clip")
    assert stylize(folder, into) == 1
    assert sorted(p.name for p in into.iterdir()) == ["a_identity.mp4", "b_identity.mkv"]
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert "broken.mp4" in errors[0]


def test_start_and_end_cut_picture_and_sound(clip: Path, stylize: Run, tmp_path: Path) -> None:
    target = tmp_path / "cut.mp4"
    assert stylize(clip, target, "--start", "0.4", "--end", "0:01.2") == 0
    times = frame_times(target)
    assert len(times) == 20
    assert times[0] == 0
    assert times[-1] == pytest.approx(19 / 25)
    sound = packets(target, "audio")
    assert 0 <= sound[0][0] < 0.03
    assert 0.7 < sound[-1][0] < 0.8


@pytest.mark.parametrize(
    ("asked", "size", "aspect"),
    [("80x48", (80, 48), 1), ("80x", (80, 48), 1), ("160x48", (160, 48), 2)],
)
def test_size_scales_and_keeps_the_shape(
    asked: str, size: tuple[int, int], aspect: int, clip: Path, stylize: Run, tmp_path: Path
) -> None:
    target = tmp_path / "small.mp4"
    assert stylize(clip, target, "--size", asked) == 0
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == size
        shown = stream.sample_aspect_ratio or 1
        # 160x96 shown in half its height needs pixels half as wide
        assert Fraction(shown) == Fraction(1, aspect)


def test_sound_can_be_left_out(clip: Path, stylize: Run, tmp_path: Path) -> None:
    target = tmp_path / "silent.mp4"
    assert stylize(clip, target, "--no-audio") == 0
    with av.open(str(target)) as container:
        assert not container.streams.audio


def test_encoder_settings_reach_the_encoder(clip: Path, stylize: Run, tmp_path: Path) -> None:
    sizes = {}
    for crf in (10, 40):
        target = tmp_path / f"{crf}.mp4"
        options = ["--codec", "libx265", "--crf", crf, "--preset", "ultrafast", "--no-audio"]
        assert stylize(clip, target, *options, "--pix-fmt", "yuv420p10le") == 0
        sizes[crf] = target.stat().st_size
        with av.open(str(target)) as container:
            context = container.streams.video[0].codec_context
            assert (context.name, context.pix_fmt) == ("hevc", "yuv420p10le")
    assert sizes[10] > 2 * sizes[40]


def test_variable_frame_times_are_kept_to_the_tick(stylize: Run, tmp_path: Path) -> None:
    ticks = [0, 1001, 1500, 9000, 9001, 20000]
    base = Fraction(1, 30000)
    source = write_video(
        tmp_path / "vfr.mp4", 6, (64, 64), Fraction(30), times=ticks, time_base=base
    )
    target = tmp_path / "out.mp4"
    assert stylize(source, target) == 0
    assert frame_times(target) == [t * base for t in ticks]


def test_chapters_metadata_and_subtitles_are_kept(stylize: Run, tmp_path: Path) -> None:
    source = tmp_path / "rich.mkv"
    plain = write_video(tmp_path / "plain.mkv", 50, (64, 64), Fraction(25))
    with av.open(str(plain)) as given, av.open(str(source), "w") as output:
        video = output.add_stream_from_template(given.streams.video[0])
        text = output.add_stream("srt")
        text.codec_context.subtitle_header = ASS_HEADER
        output.metadata["title"] = "A walk"
        text.metadata["language"] = "eng"
        chapters = [(0, 1000, "One"), (1000, 2000, "Two")]
        output.set_chapters(
            [
                {
                    "id": i,
                    "start": a,
                    "end": b,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": title},
                }
                for i, (a, b, title) in enumerate(chapters)
            ]
        )
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = video
                output.mux(packet)
        line = av.Packet(b"Hello there")
        line.pts = line.dts = 200
        line.duration, line.time_base, line.stream = 600, Fraction(1, 1000), text
        output.mux(line)
    for ending in (".mkv", ".mp4", ".webm"):
        target = tmp_path / f"out{ending}"
        assert stylize(source, target) == 0
        with av.open(str(target)) as container:
            assert container.metadata.get("title", container.metadata.get("TITLE")) == "A walk"
            marks = [
                (float(c["start"] * c["time_base"]), c["metadata"].get("title"))
                for c in container.chapters()
            ]
            assert marks == [(0.0, "One"), (1.0, "Two")]
            assert container.streams.subtitles[0].language == "eng"
        ((when, _, content),) = [p for p in packets(target, "subtitle") if b"Hello" in p[2]]
        assert when == pytest.approx(0.2)
        assert b"Hello there" in content


def test_an_image_is_painted(stylize: Run, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (33, 47, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), picture)
    assert stylize(tmp_path / "photo.png", command="image") == 0
    painted = cv2.imread(str(tmp_path / "photo_identity.png"))
    assert np.array_equal(painted, picture)


# --- pipes


def test_y4m_through_pipes(clip: Path, identity: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    first = process(clip, "-", "--style", identity)
    assert first.returncode == 0
    assert first.stdout.startswith(b"YUV4MPEG2 W160 H96 F25:1")
    second = process("-", target, "--style", identity, stdin=first.stdout)
    assert second.returncode == 0, second.stderr
    assert len(read_video(target)) == 50


def test_raw_through_pipes_is_exact(identity: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3)).astype(np.uint8)
    done = process(
        "-", "-", "--raw", "48x32@24", "--format", "raw", "--style", identity, "--quiet",
        stdin=frames.tobytes(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == frames.tobytes()
    assert done.stderr == b""


def test_a_container_comes_in_through_a_pipe(clip: Path, identity: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    assert cli.run(["video", str(clip), str(source), "--style", str(identity), "--quiet"]) == 0
    target = tmp_path / "out.mp4"
    done = process("-", target, "--style", identity, stdin=source.read_bytes())
    assert done.returncode == 0, done.stderr
    assert len(packets(target, "audio")) == len(packets(source, "audio"))


# --- what it says


def test_the_summary_and_its_json(
    clip: Path, stylize: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.mp4"
    assert stylize(clip, target, "--json") == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    (job,) = document["jobs"]
    assert (job["frames"], job["size"], job["output"]) == (50, [160, 96], str(target))
    assert job["whole"] is True
    assert document["style"] == "identity"
    lines = captured.err.splitlines()
    assert lines[0].startswith("style identity by ")
    assert lines[-1].startswith("painted 50 frames of 160x96 in ")


def test_quiet_says_nothing(
    clip: Path, stylize: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stylize(clip, tmp_path / "out.mp4", "--quiet") == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


# --- interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_a_playable_part(
    number: signal.Signals, identity: Path, tmp_path: Path
) -> None:
    source = write_video(tmp_path / "long.mp4", 1000, (320, 240), Fraction(25))
    target = tmp_path / "out.mp4"
    # a shell may have started the tests in the background, where interrupts are ignored
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from stylize_video.realtime.cli import main_video; main_video()"
    )
    options = ["--style", str(identity), "--preset", "veryslow", "--crf", "1"]
    running = subprocess.Popen(
        [sys.executable, "-c", program, str(source), str(target), *options],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not any(p.stat().st_size > 50_000 for p in tmp_path.glob(".out.*.part.mp4")):
        assert time.monotonic() < deadline, "nothing was written"
        assert running.poll() is None, running.communicate()[1]
        time.sleep(0.02)
    running.send_signal(number)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 130
    partial = tmp_path / "out.partial.mp4"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["long.mp4", "out.partial.mp4"]
    assert f"frames painted before are in {partial}" in said.splitlines()[-1]
    assert "Traceback" not in said
    count = len(read_video(partial))
    assert 0 < count < 500
    assert f"the {count} frames painted before" in said


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--version"], ["--help"], ["video", "--help"], ["bench", "--help"]):
        with pytest.raises(SystemExit) as stop:
            cli.run(arguments)
        assert stop.value.code == 0
    assert "stylize-video 0." in capsys.readouterr().out


def test_torch_is_not_needed() -> None:
    program = (
        "import sys; import stylize_video.realtime, stylize_video.realtime.cli; "
        "print(sorted(m for m in ('torch', 'onnxscript', 'safetensors') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_identity_model_is_one_of_ours() -> None:
    assert len(identity_model()) < 1000


@pytest.mark.parametrize("tier", ["fast", "quality"])
def test_temporal_tiers_keep_frames_and_times(
    tier: str, clip: Path, stylize: Run, tmp_path: Path
) -> None:
    target = tmp_path / "out.mkv"
    lossless = ("--codec", "ffv1", "--pix-fmt", "yuv420p")
    assert stylize(clip, target, "--temporal", tier, *lossless) == 0
    assert frame_times(target) == frame_times(clip)
    plain = tmp_path / "plain.mkv"
    assert stylize(clip, plain, "--temporal", "off", *lossless) == 0
    steady, painted = (
        [frame.to_ndarray() for frame in read_video(path)] for path in (target, plain)
    )
    assert np.array_equal(steady[0], painted[0])
    assert not all(np.array_equal(a, b) for a, b in zip(steady, painted, strict=True))
