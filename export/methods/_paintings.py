"""What a network for any painting learns from: a pool of styles, and what losses ask of each."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .._encoders import Encoder
from ..data import (
    list_photos,
    read_one_of,
    read_painting,
    read_picture,
    scaled,
    to_tensor,
    turned_hue,
)
from ..layers import Layers, features_of
from ..style_losses import Moments, moments_of

Statistics = dict[tuple[int, str], Moments]
"""Moments of features by the number of the extractor and the name of the layer."""


class Styles(NamedTuple):
    """A batch of styles."""

    pictures: Tensor
    """(B, 3, S, S) float in 0..1."""
    whole: Statistics
    half: Statistics
    """Of the pictures at half their size, where the same features see twice as much of a stroke."""


def read_paintings(path: Path, short_side: int, least: int) -> list[NDArray[np.uint8]]:
    """A painting, or all of a folder, RGB (H, W, 3) uint8 each, none with a side under `least`
    pixels. Raises `DataError`.
    """
    paths = list_photos(path) if path.is_dir() else [path]
    return [scaled(read_painting(each, least), short_side) for each in paths]


class StylePool:
    """Crops of paintings and photos as styles, drawn and looked at once, ahead of the run.

    Raises `DataError` where no photo can be read; single ones that can't be are named in `broken`.
    """

    def __init__(
        self,
        paintings: list[NDArray[np.uint8]],
        photos: list[Path],
        encoders: Sequence[Encoder],
        layers: tuple[Layers, Layers],
        *,
        count: int,
        side: int,
        photo_share: float,
        seed: int,
    ) -> None:
        """`layers` are those of whole pictures and of halved ones; `side` is a crop's, pixels."""
        self._paintings = paintings
        self._photos, self._share, self._side = photos, photo_share, side
        self.broken: dict[str, None] = {}
        random = np.random.default_rng((seed, 2))
        self._styles = [self._looked_at(self._draw(random), encoders, layers) for _ in range(count)]

    def batch(self, count: int, random: np.random.Generator) -> Styles:
        """`count` of them, drawn by a generator."""
        chosen = [self._styles[int(i)] for i in random.integers(len(self._styles), size=count)]
        first = chosen[0]
        return Styles(
            torch.cat([style.pictures for style in chosen]).float() / 255,
            {key: _joined([style.whole[key] for style in chosen]) for key in first.whole},
            {key: _joined([style.half[key] for style in chosen]) for key in first.half},
        )

    @torch.no_grad()
    def _looked_at(
        self, crop: NDArray[np.uint8], encoders: Sequence[Encoder], layers: tuple[Layers, Layers]
    ) -> Styles:
        """One style, (1, 3, S, S) uint8, and its statistics."""
        picture = to_tensor(crop)[None].to(next(encoders[0].buffers()).device)
        whole, half = (
            {key: moments_of(x) for key, x in features_of(encoders, seen, group).items()}
            for seen, group in zip((picture, F.avg_pool2d(picture, 2)), layers, strict=True)
        )
        return Styles((picture * 255).round().byte(), whole, half)

    def _draw(self, random: np.random.Generator) -> NDArray[np.uint8]:
        source = self._paintings[int(random.integers(len(self._paintings)))]
        if random.random() < self._share:
            source = read_one_of(self._photos, random, self.broken, read_picture)
        zoom = random.uniform(0.8, 1.25)
        seen = min(*source.shape[:2], max(16, round(self._side / zoom)))
        y, x = (int(random.integers(0, n - seen + 1)) for n in source.shape[:2])
        crop = source[y : y + seen, x : x + seen]
        crop = np.asarray(cv2.resize(crop, (self._side,) * 2, interpolation=cv2.INTER_AREA))
        if random.random() < 0.5:
            crop = crop[:, ::-1]
        if random.random() < 0.5:
            crop = turned_hue(np.asarray(crop, np.uint8), random.uniform(-180, 180))
        return np.ascontiguousarray(crop, np.uint8)


def _joined(moments: list[Moments]) -> Moments:
    """Those of a batch from those of its pictures."""
    return Moments(*(torch.cat(parts) for parts in zip(*moments, strict=True)))
