"""Paints by the code of any painting: what to paint like is given at run time, and may change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import StyleIncompatible, StylizeError
from ..frame import Pixels
from ._network import NetworkEngine, Runner

PAINTING_SIDE: Final = 512
"""Short side paintings are scaled to, pixels: what the networks learned strokes at."""
_LONGEST: Final = 4
"""Sides at most this many times the short one are looked at."""
Manner = Mapping[str, NDArray[Any]]
"""What the network is handed with a frame: the code to paint by and alpha."""


@dataclass(frozen=True)
class Painting:
    """A picture to paint like, and its share in a mix."""

    pixels: Pixels
    weight: float = 1.0


class Encode(Protocol):
    """Gives the code of a painting, RGB (H, W, 3) uint8."""

    def __call__(self, painting: Pixels) -> NDArray[np.float32]: ...


class PaintingEncoder:
    """Runs the graph from a painting to its code."""

    def __init__(self, runner: Runner, name: str) -> None:
        self._runner, self._name = runner, name
        if [i.name for i in runner.inputs] != ["painting"]:
            raise StyleIncompatible(f"{name} does not take a painting")

    def __call__(self, painting: Pixels) -> NDArray[np.float32]:
        """The code of a painting of any size, (1, K)."""
        height, width, _ = painting.shape
        scale = PAINTING_SIDE / min(height, width)
        long_side = _LONGEST * PAINTING_SIDE
        size = tuple(max(8, min(long_side, round(side * scale))) for side in (width, height))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        scaled = np.asarray(cv2.resize(painting, size, interpolation=method), np.uint8)
        code = self._runner.evaluate({"painting": scaled[None]}, "code")
        if code.ndim != 2 or len(code) != 1 or not np.isfinite(code).all():
            raise StyleIncompatible(f"{self._name} gives no code of a painting: {code.shape}")
        return np.asarray(code, np.float32)

    def close(self) -> None:
        """Release the network."""
        self._runner.close()


class AnyPaintingEngine:
    """An `Engine` that paints like the paintings it was given last.

    `alpha`, 0 (the photo) to 1 (all the style), and the mix may change from frame to frame, and
    each frame may have its own `manner`, whoever else paints by this engine.
    """

    def __init__(self, network: NetworkEngine, encode: PaintingEncoder) -> None:
        self._network, self._encode = network, encode
        self._codes: list[NDArray[np.float32]] = []
        self._weights: list[float] = []
        self._alpha = 1.0

    def fork(self) -> Self:
        """An engine of the same networks that paints like the same paintings, until it is told
        otherwise: each has its own mix and alpha. To be closed once for all of them.
        """
        other = type(self)(self._network, self._encode)
        other._codes, other._weights, other._alpha = self._codes, self._weights, self._alpha
        return other

    @property
    def description(self) -> str:
        """What really runs, in one line."""
        return self._network.description

    @property
    def notices(self) -> list[str]:
        """What the person should know, one line each."""
        return self._network.notices

    @property
    def alpha(self) -> float:
        """How much of the style is taken over."""
        return self._alpha

    @alpha.setter
    def alpha(self, value: float) -> None:
        if not 0 <= value <= 1:
            raise StylizeError(
                f"alpha {value} is out of range: give 0 (the photo) to 1 (the style)"
            )
        self._alpha = value

    def paint_like(self, paintings: Sequence[Painting]) -> None:
        """Learn what to paint like: runs the encoder, well under a second a painting."""
        if not paintings:
            raise StylizeError("there is nothing to paint like: give at least one painting")
        self._codes = [self._encode(painting.pixels) for painting in paintings]
        self.mix([painting.weight for painting in paintings])

    def mix(self, weights: Sequence[float]) -> None:
        """Share out the style anew among the paintings given last. Raises `StylizeError`."""
        self._weights = self._shares(weights)

    def manner(self, strength: float = 1.0, weights: Sequence[float] = ()) -> Manner:
        """What to paint a frame by: `strength`, 0..1, is what alpha is multiplied with, `weights`
        are those of the paintings, in their order, in place of those of the mix. Runs no network.

        Raises `StylizeError`.
        """
        shares = self._shares(weights) if weights else self._weights
        code: Any = sum(share * code for code, share in zip(self._codes, shares, strict=True))
        alpha = np.array([[self._alpha * strength]], np.float32)
        return {"code": np.asarray(code, np.float32), "alpha": alpha}

    def paint(self, pixels: Pixels, manner: Manner | None = None) -> Pixels:
        """The painted frame, in a manner that `manner` gave or as the engine stands. Raises
        `InferenceError`.
        """
        return self._network.paint(pixels, self.manner() if manner is None else manner)

    def close(self) -> None:
        """Release the networks."""
        self._network.close()
        self._encode.close()

    def _shares(self, weights: Sequence[float]) -> list[float]:
        if len(weights) != len(self._codes):
            raise StylizeError(
                f"{len(weights)} weights for {len(self._codes)} paintings: give one for each"
            )
        if min(weights) < 0 or sum(weights) <= 0:
            raise StylizeError(
                f"weights {', '.join(f'{w:g}' for w in weights)} can't be mixed: give none below 0 "
                "and one above"
            )
        return [weight / sum(weights) for weight in weights]
