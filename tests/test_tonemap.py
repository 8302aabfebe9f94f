"""High dynamic range: by the standards' own numbers, and through real files."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylize_video.realtime.frame import Frame
from stylize_video.realtime.sources.file import FileSource
from stylize_video.realtime.tonemap import (
    WHITE,
    compress,
    hlg_to_scene,
    light_to_pq,
    pq_to_light,
    to_sdr,
)

# BT.2087: linear BT.709 to linear BT.2020
TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def test_the_curves_are_those_of_the_standards() -> None:
    # BT.2408, table 1, and BT.2100
    assert light_to_pq(np.array([100.0, 203.0, 1000.0, 10000.0])) == pytest.approx(
        [0.508, 0.581, 0.752, 1.0], abs=5e-4
    )
    assert hlg_to_scene(np.array([0.0, 0.5, 1.0])) == pytest.approx([0, 1 / 12, 1], abs=1e-6)
    # BT.2408: 75 % HLG is reference white, 203 of a display of 1000 cd/m²
    assert 1000 * hlg_to_scene(np.array(0.75)) ** 1.2 == pytest.approx(203, rel=0.01)


@given(st.floats(0, 10000))
@settings(deadline=None)
def test_pq_goes_there_and_back(light: float) -> None:
    assert pq_to_light(light_to_pq(np.array(light))) == pytest.approx(light, rel=1e-6, abs=1e-4)


@given(st.floats(203, 10000))
@settings(max_examples=30, deadline=None)
def test_brightness_is_rolled_off_evenly(peak: float) -> None:
    light = np.linspace(0, 10000, 5000)
    mapped = compress(light, peak)
    assert (np.diff(mapped) >= -1e-6).all()
    assert mapped.max() <= WHITE + 1e-6
    assert compress(np.array(peak), peak) == pytest.approx(WHITE, rel=1e-3)
    dark = light[light < 20]
    assert compress(dark, peak) == pytest.approx(dark, rel=1e-6, abs=1e-6)


def signal(light: Any) -> np.ndarray:
    """R'G'B' in PQ, uint16, of linear BT.709 in cd/m²."""
    return np.rint(light_to_pq(np.asarray(light) @ TO_2020.T) * 65535).astype(np.uint16)


def test_what_is_no_brighter_than_ordinary_video_looks_as_it_did() -> None:
    light = np.array([[[50, 50, 50], [40, 0, 0], [0, 40, 0], [0, 0, 40], [30, 20, 10]]], float)
    wanted = 255 * (light / WHITE) ** (1 / 2.4)
    assert np.abs(to_sdr(signal(light), "PQ").astype(float) - wanted).max() < 4


def test_highlights_keep_their_order_and_do_not_clip_early() -> None:
    light = np.repeat(np.array([[100.0, 200.0, 400.0, 800.0, 1000.0]])[..., None], 3, 2)
    shown = to_sdr(signal(light), "PQ")[0, :, 0].astype(int)
    assert (np.diff(shown)[:3] > 3).all()
    assert shown[0] > 175
    assert shown[-1] >= 254


def test_hlg_white_is_nearly_white() -> None:
    grey = np.full((2, 2, 3), round(0.75 * 65535), np.uint16)
    shown = to_sdr(grey, "HLG")
    wanted = 255 * (compress(np.array(203.0), 1000.0) / WHITE) ** (1 / 2.4)
    assert np.abs(shown.astype(float) - wanted).max() < 3
    assert (to_sdr(np.full((2, 2, 3), 65535, np.uint16), "HLG") >= 254).all()
    assert not to_sdr(np.zeros((2, 2, 3), np.uint16), "HLG").any()


def write_hdr(path: Path, level: float, transfer: int) -> Path:
    """A grey clip of 10 bits with the tags of BT.2100."""
    luma = round(64 + 876 * level)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_range = 9, 1
        context.color_primaries, context.color_trc = 9, transfer
        for _ in range(3):
            frame = av.VideoFrame(64, 48, "yuv420p10le")
            for plane, value in zip(frame.planes, (luma, 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("transfer", "level", "light"),
    [(16, float(light_to_pq(np.array(50.0))), 50.0), (18, 0.5, 1000 / 12**1.2)],
)
def test_files_are_read_as_ordinary_video(
    transfer: int, level: float, light: float, tmp_path: Path
) -> None:
    source = FileSource(write_hdr(tmp_path / "hdr.mp4", level, transfer))
    frames = [item for item in source if isinstance(item, Frame)]
    source.close()
    wanted = 255 * (light / WHITE) ** (1 / 2.4)
    assert len(frames) == 3
    assert np.abs(frames[0].pixels.astype(float) - wanted).max() < 3
    colour = source.info.colour
    assert (colour.matrix, colour.primaries, colour.transfer) == (1, 1, 1)
    assert "the input is HDR" in source.notices[0]


def test_a_real_file_is_bright_and_says_so(data: Callable[[str], Path]) -> None:
    source = FileSource(data("torture/dev/hdr10_pq_tags_bt2020.mp4"))
    frames = [item.pixels for item in source if isinstance(item, Frame)]
    source.close()
    assert frames[0].max() > 200
    assert "HDR (PQ, to 1000 cd/m²)" in " ".join(source.notices)
