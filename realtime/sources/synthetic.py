"""A moving picture drawn on the fly: for benchmarks, and for tests that need no file."""

from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np

from ..frame import Extras, Frame, Pixels, SidePacket, VideoInfo

_MARGIN = 1.25


class SyntheticSource:
    """A textured ground that drifts and slowly zooms, with discs moving over it and a little noise.

    Its spectrum falls like that of photographs, so that codecs and flow cost what they cost on
    footage. The same arguments give the same frames.
    """

    def __init__(
        self, width: int, height: int, frames: int, rate: Fraction = Fraction(30), seed: int = 0
    ) -> None:
        self.info = VideoInfo(
            width=width,
            height=height,
            rate_nominal=rate,
            time_base=1 / rate,
            frames_from_header=frames,
            duration_from_header=frames / rate,
        )
        self.extras = Extras()
        self._frames, self._seed = frames, seed
        self._ground = _texture(round(width * _MARGIN), round(height * _MARGIN), seed)

    def __iter__(self) -> Iterator[Frame | SidePacket]:
        rate = self.info.rate_nominal
        for index in range(self._frames):
            yield Frame(self.draw(index), index / rate, 1 / rate)

    def draw(self, index: int) -> Pixels:
        """Frame number `index`, RGB (H, W, 3) uint8."""
        width, height = self.info.width, self.info.height
        zoom = 1 + 0.05 * np.sin(index / 40)
        x = (self._ground.shape[1] - width) / 2 * (1 + np.sin(index / 31))
        y = (self._ground.shape[0] - height) / 2 * (1 + np.cos(index / 47))
        view = np.array([[zoom, 0, x / 2], [0, zoom, y / 2]], np.float32)
        picture = cv2.warpAffine(
            self._ground,
            view,
            (width, height),
            borderMode=cv2.BORDER_REFLECT,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        for disc, colour in enumerate(((220, 60, 50), (60, 200, 90), (240, 220, 80))):
            centre = (
                round(width * (0.5 + 0.4 * np.sin(index / (17 + 9 * disc) + disc))),
                round(height * (0.5 + 0.4 * np.cos(index / (13 + 7 * disc) + 2 * disc))),
            )
            cv2.circle(picture, centre, max(2, height // 12), colour, -1, cv2.LINE_AA)
        noise = np.random.default_rng((self._seed, index)).integers(
            0, 4, (height, width, 1), np.uint8
        )
        noisy: Pixels = np.asarray(cv2.add(picture, cv2.merge([noise] * 3)), np.uint8)
        return noisy

    @property
    def notices(self) -> list[str]:
        """Nothing out of the ordinary ever happens here."""
        return []

    def close(self) -> None:
        """Nothing is held."""


def _texture(width: int, height: int, seed: int) -> Pixels:
    """RGB noise whose amplitude falls with the inverse of frequency."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    cell = 2
    while cell < max(width, height):
        size = (max(2, width // cell), max(2, height // cell))
        octave = random.normal(size=(size[1], size[0], 3)).astype(np.float32)
        total += cell**0.8 * cv2.resize(octave, (width, height), interpolation=cv2.INTER_CUBIC)
        cell *= 2
    total = (total - total.mean()) / total.std()
    levels: Pixels = np.clip(128 + 50 * total, 0, 255).astype(np.uint8)
    return levels
