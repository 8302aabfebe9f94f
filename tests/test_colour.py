"""Colour conversion against the equations of BT.601, BT.709 and BT.2020, and back without loss."""

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stylize_video.realtime.colour import Colour, planes_to_rgb, yuv_to_rgb_matrix
from stylize_video.realtime.sources._pixels import PixelReader

# Kr and Kb as the recommendations print them, written here a second time on purpose
RECOMMENDATIONS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
MATRICES = pytest.mark.parametrize("matrix", RECOMMENDATIONS)
RANGES = pytest.mark.parametrize("full", [False, True])


def encode(rgb: NDArray[np.float64], matrix: int, *, full: bool) -> NDArray[np.float64]:
    """R'G'B' in 0..1 to 8-bit code values of Y'CbCr, unrounded, by the recommendation."""
    kr, kb = RECOMMENDATIONS[matrix]
    red, green, blue = np.moveaxis(rgb, -1, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    if full:
        return np.stack([255 * luma, 255 * cb + 128, 255 * cr + 128], -1)
    return np.stack([219 * luma + 16, 224 * cb + 128, 224 * cr + 128], -1)


@MATRICES
@RANGES
def test_black_white_and_primaries(matrix: int, full: bool) -> None:
    colours = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0.5]])
    codes = encode(colours, matrix, full=full)
    affine = yuv_to_rgb_matrix(matrix, full_range=full)
    decoded = codes @ affine[:, :3].T + affine[:, 3]
    np.testing.assert_allclose(decoded, colours * 255, atol=1e-3)


@MATRICES
@RANGES
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), width=st.integers(1, 33), height=st.integers(1, 33))
def test_planes_become_the_nearest_rgb(
    matrix: int, full: bool, seed: int, width: int, height: int
) -> None:
    rgb = np.random.default_rng(seed).random((height, width, 3))
    planes = np.rint(encode(rgb, matrix, full=full)).astype(np.uint8)
    decoded = planes_to_rgb(*np.moveaxis(planes, -1, 0).copy(), matrix, full_range=full)
    affine = yuv_to_rgb_matrix(matrix, full_range=full)
    exact = np.clip(planes @ affine[:, :3].T + affine[:, 3], 0, 255)
    assert decoded.dtype == np.uint8
    assert np.abs(decoded - exact).max() <= 0.75  # half a level, and the fixed point of the kernel


@pytest.mark.parametrize(("down_x", "down_y"), [(2, 2), (2, 1), (4, 1), (1, 2)])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 1), (2, 3)])
def test_a_chroma_sample_covers_its_own_pixels(
    down_x: int, down_y: int, size: tuple[int, int]
) -> None:
    width, height = size
    chroma = (-(-height // down_y), -(-width // down_x))
    cb = np.random.default_rng(0).integers(90, 166, chroma).astype(np.uint8)
    luma = np.full((height, width), 120, np.uint8)
    decoded = planes_to_rgb(luma, cb, np.full(chroma, 128, np.uint8), 1, full_range=True)
    assert decoded.shape == (height, width, 3)
    for y in range(height):
        for x in range(width):
            cell = decoded[y // down_y * down_y, x // down_x * down_x]
            assert (decoded[y, x] == cell).all()


def test_unsaid_matrices_follow_the_size() -> None:
    assert Colour().effective_matrix(480) == 6
    assert Colour().effective_matrix(720) == 1
    assert Colour(matrix=9).effective_matrix(480) == 9


def test_hdr_tags_become_those_of_ordinary_video() -> None:
    tagged = Colour(matrix=9, range=1, primaries=9, transfer=16)
    assert tagged.hdr == "PQ"
    assert tagged.for_sdr() == Colour(matrix=1, range=1, primaries=1, transfer=1)
    assert Colour(transfer=1).hdr is None


@pytest.mark.parametrize(
    "name",
    ["yuv420p10le", "yuv422p", "yuv444p", "nv12", "gbrp", "rgb24", "bgr0", "gray", "yuyv422"],
)
def test_every_pixel_format_gives_the_same_grey(name: str) -> None:
    grey = np.full((16, 16, 3), 120, np.uint8)
    frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
    frame.color_range = 2
    converted = frame.reformat(format=name, dst_color_range=1 if name not in RGB else 2)
    pixels = PixelReader().read(converted)
    assert pixels.shape == (16, 16, 3)
    assert np.abs(pixels.astype(int) - 120).max() <= 2


RGB = ("gbrp", "rgb24", "bgr0")


def test_transparency_lies_over_black() -> None:
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[:, 2:, 3] = 255
    rgba[0, 0, 3] = 128
    reader = PixelReader()
    pixels = reader.read(av.VideoFrame.from_ndarray(rgba, format="rgba"))
    assert pixels[1, 1].tolist() == [0, 0, 0]
    assert pixels[1, 3].tolist() == [200, 0, 0]
    assert abs(int(pixels[0, 0, 0]) - 100) <= 1
    assert any("transparency" in notice for notice in reader.notices)


def test_a_change_of_size_is_fitted_into_the_first() -> None:
    reader = PixelReader()
    first = av.VideoFrame.from_ndarray(np.full((40, 80, 3), 90, np.uint8), format="rgb24")
    second = av.VideoFrame.from_ndarray(np.full((60, 60, 3), 90, np.uint8), format="rgb24")
    assert reader.read(first).shape == (40, 80, 3)
    fitted = reader.read(second)
    assert fitted.shape == (40, 80, 3)
    assert fitted[:, 30:50].mean() > 85
    assert fitted[:, :15].max() == 0
    assert list(reader.notices) == ["the picture changes size midway: fitted into 80x40"]
