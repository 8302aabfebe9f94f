"""Large frames: tiles that give the picture of the whole, and memory that is bounded."""

import gc
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import write_video

from stylize_video.realtime import cli, find_style
from stylize_video.realtime._memory import check_fits, lookahead_mb, tile_pixels
from stylize_video.realtime.engines._large import GRID_PX, REACH_PX, paint_in_tiles, plan_grid
from stylize_video.realtime.engines.choose import EngineRequest, load_engine
from stylize_video.realtime.errors import StylizeError
from stylize_video.realtime.frame import Pixels, VideoInfo
from stylize_video.realtime.tiers import Tier
from stylize_video.realtime.video import VideoSettings, paint_video


def picture(width: int, height: int) -> Pixels:
    """Soft blots of all colours."""
    coarse = np.random.default_rng(0).integers(0, 256, (height // 6 + 2, width // 6 + 2, 3))
    large = cv2.resize(coarse.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.uint8)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9000), st.integers(1, 5000), st.integers(1, 9_000_000))
def test_tiles_cover_a_frame_once_with_their_surroundings(
    width: int, height: int, most: int
) -> None:
    grid = plan_grid(width, height, most)
    for spans, tile, length in (
        (grid.columns, grid.width, width),
        (grid.rows, grid.height, height),
    ):
        assert [s.keep_from for s in spans] == [0, *(s.keep_to for s in spans[:-1])]
        assert spans[-1].keep_to == length
        assert spans[-1].start + tile == length
        for span in spans:
            assert span.start % GRID_PX == 0
            assert span.start == 0 or span.keep_from - span.start >= REACH_PX
            assert span.start + tile == length or span.start + tile - span.keep_to >= REACH_PX


def test_tiles_stay_below_the_limit() -> None:
    for size in ((3840, 2160), (7680, 4320), (4097, 4095)):
        grid = plan_grid(*size, 5_000_000)
        assert grid.width * grid.height <= 5_000_000
        assert grid.pixels < 1.25 * size[0] * size[1]


@pytest.mark.parametrize("precision", ["int8", "fp32"])
@pytest.mark.parametrize("size", [(1203, 997), (1024, 1000)])
def test_tiled_equals_untiled(precision: str, size: tuple[int, int], styles: list[str]) -> None:
    pixels = picture(*size)
    for style in styles[:2]:
        found = find_style(style)
        whole = load_engine(found, EngineRequest("cpu", precision, 1, tile_pixels=10**9))  # type: ignore[arg-type]
        tiled = load_engine(found, EngineRequest("cpu", precision, 1, tile_pixels=600_000))  # type: ignore[arg-type]
        difference = cv2.absdiff(whole.paint(pixels), tiled.paint(pixels))
        whole.close()
        tiled.close()
        assert int(difference.max()) <= 1


@pytest.mark.slow
def test_every_network_reaches_no_further_than_tiles_allow(styles: list[str]) -> None:
    """What lies more than `REACH_PX` away changes nothing: so says each network, not a table."""
    pixels = picture(256, 512)
    other = pixels.copy()
    other[:256] = 255 - other[:256]
    for style in styles:
        engine = load_engine(find_style(style), EngineRequest("cpu", "fp32"))
        changed = cv2.absdiff(engine.paint(pixels), engine.paint(other)).max((1, 2)) > 0
        engine.close()
        assert changed[:256].any()
        assert int(np.flatnonzero(changed).max()) - 256 < REACH_PX - GRID_PX, style


def test_only_the_tiles_are_run(styles: list[str]) -> None:
    sizes: set[tuple[int, ...]] = set()

    def run(tile: Pixels) -> Pixels:
        sizes.add(tile.shape)
        return 255 - tile

    pixels = picture(2000, 1500)
    grid = plan_grid(2000, 1500, 1_000_000)
    assert np.array_equal(paint_in_tiles(run, pixels, grid), 255 - pixels)
    assert sizes == {(grid.height, grid.width, 3)}


def test_a_limit_is_held_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    eight_k = VideoInfo(7680, 4320, Fraction(25), Fraction(1, 25))
    check_fits(eight_k, "off", 3000)
    with pytest.raises(StylizeError, match=r"frames of 7680x4320 take about \d+ MB .* 1000M"):
        check_fits(eight_k, "quality", 1000)
    assert tile_pixels(1000, "cpu") < tile_pixels(1000, "openvino") < tile_pixels(2000, "openvino")
    assert lookahead_mb(1000) == 300
    clip = write_video(tmp_path / "a.mp4", 2, (640, 480), Fraction(25))
    assert cli.run(["video", str(clip), "--max-memory", "150M"]) == 1
    assert "over --max-memory 150M" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("tier", ["off", "quality"])
def test_no_picture_waits_for_the_garbage_collector(
    tier: Tier, clip: Path, identity: Path, tmp_path: Path
) -> None:
    """Circles of references would hold megabytes a frame until it comes."""
    engine = load_engine(find_style(str(identity)), EngineRequest("cpu"))
    gc.collect()
    gc.disable()
    try:
        settings = VideoSettings(temporal=tier)
        result = paint_video(str(clip), str(tmp_path / "b.mkv"), engine, settings)
        waiting = sum(type(thing) is av.VideoFrame for thing in gc.get_objects())
    finally:
        gc.enable()
    assert result.report.frames == 50
    assert waiting < 12  # of 50


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere it never was another's")
def test_peak_memory_is_that_of_this_program_alone() -> None:
    held = np.ones(60_000_000)  # 480 MB, by the program that starts another
    program = "from stylize_video.realtime.metrics import peak_memory_mb; print(peak_memory_mb())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert 10 < float(done.stdout) < held.nbytes / 1e6


@pytest.mark.slow
def test_4k_is_painted_below_a_gigabyte_and_a_half(tmp_path: Path, styles: list[str]) -> None:
    clip = write_video(tmp_path / "a.mp4", 8, (3840, 2160), Fraction(25))
    program = "from stylize_video.realtime.cli import main; main()"
    command = [sys.executable, "-c", program, "video", str(clip), "--quiet", "--json"]
    done = subprocess.run(
        [*command, "--style", styles[0]], capture_output=True, timeout=300, check=True
    )
    (job,) = json.loads(done.stdout)["jobs"]
    assert job["frames"] == 8
    assert job["peak_memory_mb"] < 1500


@pytest.mark.slow
def test_the_bench_takes_any_size_that_is_asked_for(
    identity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["bench", "--style", str(identity), "--engine", "cpu", "--frames", "1", "--json"]
    assert cli.run([*command, "--sizes", "4112x4112"]) == 0  # more than files may have unasked
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["size"] == "4112x4112"
    assert row["file_fps"] > 0


def test_the_bench_measures_a_style_of_any_painting(capsys: pytest.CaptureFixture[str]) -> None:
    painting = Path(__file__).resolve().parent.parent / "samples" / "hills.jpg"
    command = ["bench", "--style", "any", "--painting", str(painting), "--engine", "cpu", "--json"]
    assert cli.run([*command, "--sizes", "64x48", "--frames", "1"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["style"] == "any"
    assert document["rows"][0]["net"]["p50_ms"] > 0
