"""Broken and odd media through the program: painted whole, or one clear line and exit code 1."""

import itertools
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import pytest

# frames that must come out, by file; a number alone is all of them
PLAYS = {
    "alpha_animated.apng": 8,
    "alpha_png_in.mov": 10,
    "alpha_vp9.webm": 24,
    "anamorphic_sar_16_11_180x144.mp4": 48,
    "audio_longer_than_video.mp4": 26,
    "audio_starts_late_1.2s.mp4": 72,
    "bitrot_in_packets_moov_ok.mp4": 72,
    "bt601_full_range_tagged.mp4": 24,
    "cover_art_before_video.mp4": 72,
    "display_matrix_rotate90.mp4": 50,
    "duplicate_pts.mkv": 72,
    "duration_header_lies_10_hours.mkv": 72,
    "extreme_aspect_4096x32.mp4": 5,
    "fps_23976_timescale_90000.mp4": 24,
    "fragmented_no_duration.mp4": 72,
    "good_control.mp4": 72,
    "gray_h264.mp4": 24,
    "h264_422_10bit.mkv": 24,
    "h264_rgb_gbrp.mkv": 24,
    "hdr10_pq_tags_bt2020.mp4": 24,
    "interlaced_tff_mpeg2.ts": 50,
    "matroska_renamed_to.mp4": 72,
    "mjpeg_fullrange_422_pcm.avi": 24,
    "monochrome_1bit_rawvideo.nut": 12,
    "mp4_hole_of_zeros_mid_mdat.mp4": 68,
    "multi_audio_eng_fra.mp4": 72,
    "name with spaces & ünï %03d.mp4": 72,
    "no_timestamps_raw_annexb.h264": 72,
    "odd_321x179_h264_444.mp4": 24,
    "one_fps.mp4": 2,
    "real_delayed_start.mp4": 24,
    "real_h264_10bit_200x200.mp4": 30,
    "real_h265.mp4": 10,
    "real_imageio_issue245.gif": 1,
    "real_mpeg4_xvid.avi": 25,
    "real_vp8_vorbis.webm": 234,
    "resolution_changes_mid_stream.ts": 72,
    "single_frame.mp4": 1,
    "sorenson.flv": 24,
    "start_time_5000s.mkv": 72,
    "subtitle_track_mov_text.mp4": 72,
    "timestamps_jump_back_concat.ts": 74,
    "tiny_2x2.mp4": 24,
    "transparent_animated.gif": 15,
    "truncated_half_moov_at_front.mp4": 18,
    "two_video_tracks_default_second.mkv": 52,
    "vfr_dropped_frames.mp4": 33,
}
REFUSED = {
    "audio_only_named_video.mp4": "no video stream",
    "header_only_no_frames.mkv": "not a readable video",
    "huge_8k_two_frames.mp4": "--max-pixels 33177600",
    "subtitles_only.srt": "no video stream",
    "text_renamed.mp4": "not a readable video",
    "truncated_moov_missing.mp4": "not a readable video",
    "zero_bytes.mp4": "is empty",
}
# what the person is told, by file
TOLD = {
    "alpha_animated.apng": "transparency",
    "bitrot_in_packets_moov_ok.mp4": "damaged",
    "duplicate_pts.mkv": "shared a time",
    "hdr10_pq_tags_bt2020.mp4": "HDR",
    "interlaced_tff_mpeg2.ts": "deinterlaced",
    "mp4_hole_of_zeros_mid_mdat.mp4": "4 packet(s) skipped",
    "odd_321x179_h264_444.mp4": "even",
    "resolution_changes_mid_stream.ts": "changes size",
    "timestamps_jump_back_concat.ts": "clock jumps",
    "truncated_half_moov_at_front.mp4": "before its header says",
    "two_video_tracks_default_second.mkv": "further video track",
}
MEMORY_BYTES = 2_500_000_000  # address space, most of which libraries reserve and never touch


def paint(source: Path, target: Path, style: Path) -> subprocess.CompletedProcess[str]:
    """The program as a process of its own, with a bound on its memory and its time."""
    program = "import sys; from stylize_video.realtime.cli import main; main()"
    arguments = ["video", str(source), str(target), "--style", str(style), "--engine", "cpu"]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))

    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=limit,
        check=False,
    )


def test_every_file_is_listed(data: Callable[[str], Path]) -> None:
    """A file that comes new to the folder needs its line here."""
    folder = data("torture/dev")
    files = {p.name for p in folder.iterdir() if p.name != "PROVENANCE.md"}
    assert files == PLAYS.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", PLAYS)
def test_it_plays(name: str, data: Callable[[str], Path], identity: Path, tmp_path: Path) -> None:
    source, target = data(f"torture/dev/{name}"), tmp_path / "painted.mp4"
    done = paint(source, target, identity)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    with av.open(str(target)) as container:
        times = [f.pts * f.time_base for f in container.decode(video=0)]
        assert container.duration < 12_000_000
    assert len(times) == PLAYS[name]
    assert all(a < b for a, b in itertools.pairwise(times))
    assert [p.name for p in tmp_path.iterdir()] == ["painted.mp4"]
    if name in TOLD:
        assert TOLD[name] in done.stderr
    else:
        assert len(done.stderr.splitlines()) <= 3, done.stderr


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line(
    name: str, data: Callable[[str], Path], identity: Path, tmp_path: Path
) -> None:
    source = data(f"torture/dev/{name}")
    done = paint(source, tmp_path / "painted.mp4", identity)
    assert done.returncode == 1
    assert re.fullmatch(r"error: [^\n]+\n", done.stderr), done.stderr
    assert REFUSED[name] in done.stderr
    assert list(tmp_path.iterdir()) == []


def painted(name: str, data: Callable[[str], Path], identity: Path, target: Path) -> Path:
    done = paint(data(f"torture/dev/{name}"), target, identity)
    assert done.returncode == 0, done.stderr
    return target


def test_rotation_is_applied_once(
    data: Callable[[str], Path], identity: Path, tmp_path: Path
) -> None:
    target = painted("display_matrix_rotate90.mp4", data, identity, tmp_path / "painted.mp4")
    with av.open(str(target)) as container:
        first = next(container.decode(video=0))
    assert (first.width, first.height, first.rotation) == (180, 320, 0)
    # the same footage unrotated, turned by hand: what was up must still be up
    with av.open(str(data("torture/dev/display_matrix_rotate90.mp4"))) as container:
        raw = next(container.decode(video=0))
        assert raw.rotation == 90
        upright = raw.to_ndarray(format="rgb24").swapaxes(0, 1)[::-1]
    difference = abs(first.to_ndarray(format="rgb24").astype(int) - upright.astype(int)).mean()
    assert difference < 8


def test_pixel_aspect_is_kept(data: Callable[[str], Path], identity: Path, tmp_path: Path) -> None:
    target = painted("anamorphic_sar_16_11_180x144.mp4", data, identity, tmp_path / "painted.mp4")
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert str(stream.sample_aspect_ratio) == "16/11"
        assert (stream.width, stream.height) == (180, 144)


def test_the_late_start_of_the_sound_is_kept(
    data: Callable[[str], Path], identity: Path, tmp_path: Path
) -> None:
    target = painted("audio_starts_late_1.2s.mp4", data, identity, tmp_path / "painted.mp4")
    with av.open(str(target)) as container:
        sound = container.streams.audio[0]
        assert float(sound.start_time * sound.time_base) == pytest.approx(1.178, abs=0.001)


def test_all_sound_tracks_and_their_languages_are_kept(
    data: Callable[[str], Path], identity: Path, tmp_path: Path
) -> None:
    target = painted("multi_audio_eng_fra.mp4", data, identity, tmp_path / "painted.mp4")
    with av.open(str(target)) as container:
        assert [s.language for s in container.streams.audio] == ["eng", "fra"]


def test_high_dynamic_range_tags_are_not_written(
    data: Callable[[str], Path], identity: Path, tmp_path: Path
) -> None:
    target = painted("hdr10_pq_tags_bt2020.mp4", data, identity, tmp_path / "painted.mp4")
    with av.open(str(target)) as container:
        assert next(container.decode(video=0)).color_trc != 16
