"""The engine and, behind it, what happens to painted frames, as one call."""

from dataclasses import replace

from .engines import Engine
from .errors import InferenceError
from .frame import Frame


class Stylizer:
    """Paints frames one after another, in order.

    Each frame is painted by itself; pts and duration pass through untouched.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def paint(self, frame: Frame) -> Frame:
        """The painted frame, of the same size and time. Raises `InferenceError`."""
        painted = self._engine.paint(frame.pixels)
        if painted.shape != frame.pixels.shape:
            raise InferenceError(
                f"the engine put out {painted.shape} for a frame of {frame.pixels.shape}"
            )
        return replace(frame, pixels=painted)

    def close(self) -> None:
        """Release the engine."""
        self._engine.close()
