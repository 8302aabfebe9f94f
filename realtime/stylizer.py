"""The engine and, behind it, what happens to painted frames, as one call."""

from dataclasses import replace

from .engines import Engine
from .errors import InferenceError
from .frame import Frame
from .temporal import TemporalBlender


class Stylizer:
    """Paints frames one after another, in order; pts and duration pass through untouched.

    With a temporal stage the painting of the frames before is carried into each; without one, each
    is painted by itself.
    """

    def __init__(self, engine: Engine, temporal: TemporalBlender | None = None) -> None:
        self._engine, self._temporal = engine, temporal

    def paint(self, frame: Frame) -> Frame:
        """The painted frame, of the same size and time.

        Raises `InferenceError` or `TemporalError`.
        """
        painted = self._engine.paint(frame.pixels)
        if painted.shape != frame.pixels.shape:
            raise InferenceError(
                f"the engine put out {painted.shape} for a frame of {frame.pixels.shape}"
            )
        if self._temporal:
            painted = self._temporal.blend(frame.pixels, painted)
        return replace(frame, pixels=painted)

    def reset(self) -> None:
        """Forget the frames before: after a seek, or for another source."""
        if self._temporal:
            self._temporal.reset()

    def close(self) -> None:
        """Release the engine and the memory of past frames."""
        self.reset()
        self._engine.close()
