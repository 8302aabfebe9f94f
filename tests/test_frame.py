"""Frames refuse what is no picture; sizes asked for keep the aspect."""

from fractions import Fraction

import numpy as np
import pytest

from stylize_video.realtime.frame import Frame, scaled_size


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_anything_but_rgb_bytes_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"a frame is RGB \(H, W, 3\) uint8, not"):
        Frame(pixels, Fraction(0))


def test_a_frame_prints_its_size_not_its_pixels() -> None:
    frame = Frame(np.zeros((3, 5, 3), np.uint8), Fraction(1, 4))
    assert repr(frame) == "Frame(5x3, pts=0.2500 s)"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((None, None), (1920, 1080)),
        ((1280, None), (1280, 720)),
        ((None, 360), (640, 360)),
        ((100, 50), (100, 50)),
        ((3, None), (3, 2)),
    ],
)
def test_one_side_follows_the_other(
    asked: tuple[int | None, int | None], expected: tuple[int, int]
) -> None:
    assert scaled_size(1920, 1080, asked) == expected
