"""Two paintings, a picture to paint like them, and how pictures are compared."""

from collections.abc import Sequence

import numpy as np
import pytest

PAINTINGS = tuple(
    np.clip(
        np.random.default_rng(seed).integers(0, 256, (96, 96, 3)) * np.array(colour), 0, 255
    ).astype(np.uint8)
    for seed, colour in enumerate([(1.0, 0.7, 0.1), (0.1, 0.3, 1.0)])
)
PICTURE = np.random.default_rng(7).integers(0, 256, (64, 96, 3)).astype(np.uint8)


def same(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> bool:
    return len(ours) == len(theirs) > 0 and all(map(np.array_equal, ours, theirs))


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said, in one line."""
    return " ".join(capsys.readouterr().err.split())
