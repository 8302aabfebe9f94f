"""Inference engines: what runs a style on a frame. One contract, tested over all of them."""

from typing import Final, Protocol

from ..frame import Pixels

ENGINE_NAMES: Final = ("auto", "cpu", "cuda", "tensorrt", "coreml", "directml", "openvino")


class Engine(Protocol):
    """Runs one network on frames of any size, one at a time, from one thread at a time."""

    @property
    def description(self) -> str:
        """What really runs, in one line: runtime, device, precision."""
        ...

    @property
    def notices(self) -> list[str]:
        """What the person should know of how this model is run, one line each."""
        ...

    def paint(self, pixels: Pixels) -> Pixels:
        """The painted frame for RGB (H, W, 3) uint8, of the same shape.

        The result is the caller's own. Raises `InferenceError`.
        """
        ...

    def close(self) -> None:
        """Release the network."""
        ...
