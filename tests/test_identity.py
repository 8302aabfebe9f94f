"""An identity model through the whole pipeline, losslessly encoded, gives back the input."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media import frame_times, read_video
from numpy.typing import NDArray
from test_colour import encode

from stylize_video.realtime import cli

MATRICES = {"bt601": 6, "bt709": 1, "bt2020": 9}
SIZE = (320, 240)


def natural(index: int) -> NDArray[np.float64]:
    """A picture of soft colours, R'G'B' in 0..1, within every gamut after chroma is halved."""
    width, height = SIZE
    y, x = np.mgrid[0:height, 0:width] / 40.0
    waves = [np.sin(x * a + y * b + index / 5) for a, b in ((1.0, 0.3), (0.4, 0.9), (0.7, -0.8))]
    texture = 0.15 * np.sin(12 * x) * np.sin(15 * y + index)
    return np.stack([0.5 + 0.22 * wave + texture for wave in waves], -1)


def planar(index: int, matrix: int, *, full: bool, halved: bool) -> av.VideoFrame:
    """The picture in Y'CbCr, computed here from the recommendations, not by any library."""
    codes = encode(natural(index), matrix, full=full)
    luma, chroma = codes[..., 0], codes[..., 1:]
    if halved:
        height, width = luma.shape
        chroma = chroma.reshape(height // 2, 2, width // 2, 2, 2).mean((1, 3))
    planes = [luma, chroma[..., 0], chroma[..., 1]]
    flat = np.concatenate([np.rint(p).astype(np.uint8).ravel() for p in planes])
    name = "yuv420p" if halved else "yuv444p"
    rows = SIZE[1] * 3 // 2 if halved else SIZE[1] * 3
    array = flat.reshape(rows, SIZE[0])
    if not halved:
        array = array.reshape(3, SIZE[1], SIZE[0])
    frame = av.VideoFrame.from_ndarray(array, format=name)
    frame.colorspace, frame.color_range = matrix, 2 if full else 1
    return frame


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_what_goes_in_comes_out(
    matrix: str, full: bool, pix_fmt: str, identity: Path, tmp_path: Path
) -> None:
    source, target = tmp_path / "source.mkv", tmp_path / "target.mkv"
    code = MATRICES[matrix]
    frames = [planar(i, code, full=full, halved=pix_fmt == "yuv420p") for i in range(4)]
    with av.open(str(source), "w") as output:
        stream: Any = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pix_fmt
        context = stream.codec_context
        context.time_base = Fraction(1, 25)
        context.colorspace, context.color_range = code, 2 if full else 1
        for index, frame in enumerate(frames):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    arguments = ["--style", str(identity), "--codec", "ffv1", "--pix-fmt", pix_fmt, "--quiet"]
    arguments += ["--temporal", "off"]
    assert cli.run(["video", str(source), str(target), *arguments]) == 0
    painted = read_video(target)
    assert len(painted) == len(frames)
    assert frame_times(target) == frame_times(source)
    for before, after in zip(frames, painted, strict=True):
        assert after.colorspace == code
        assert after.color_range == (2 if full else 1)
        difference = np.abs(before.to_ndarray().astype(int) - after.to_ndarray().astype(int))
        assert difference.max() <= 2
        assert difference.mean() < 0.5


def test_tags_are_written_back_as_they_came(identity: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "source.mp4", tmp_path / "target.mp4"
    with av.open(str(source), "w") as output:
        stream: Any = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_range = 9, 1
        context.color_primaries, context.color_trc = 9, 14
        frame = planar(0, 9, full=False, halved=True)
        frame.pts = 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert cli.run(["video", str(source), str(target), "--style", str(identity), "--quiet"]) == 0
    after = read_video(target)[0]
    tags = (after.colorspace, after.color_range, after.color_primaries, after.color_trc)
    assert tags == (9, 1, 9, 14)
