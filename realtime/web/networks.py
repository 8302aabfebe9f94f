"""Networks that everybody who paints shares: each style is loaded once."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ..catalogue import Style
from ..engines import Engine
from ..engines.any_painting import AnyPaintingEngine, Painting
from ..frame import Pixels
from ..stylizer import Stylizer
from ..tiers import TemporalStage

_KEPT: Final = 6
"""Networks that stay loaded though nobody uses them."""


class SharedPainter(Stylizer):
    """Paints by a network that others use too, with a past of its own."""

    def __init__(
        self, engine: Engine, temporal: TemporalStage | None, release: Callable[[], None]
    ) -> None:
        super().__init__(engine, temporal)
        self._release: Callable[[], None] | None = release

    def close(self) -> None:
        """Forget the past; the network stays with the others."""
        self.reset()
        if self._release:
            self._release()
        self._release = None


class Networks:
    """Loads networks and hands out painters over them; from any thread."""

    def __init__(
        self,
        load: Callable[[Style], Engine],
        stage: Callable[[], TemporalStage | None],
        load_any: Callable[[Style, Pixels], Engine],
    ) -> None:
        """`stage` gives a temporal stage of its own to every painter; `load_any` loads a style that
        paints like any painting.
        """
        self._load, self._stage, self._load_any = load, stage, load_any
        self._lock = threading.Lock()
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._users: dict[str, int] = {}
        self._any: AnyPaintingEngine | None = None

    def painter(self, style: Style) -> SharedPainter:
        """A painter in a style. Raises `StylizeError`s."""
        name = style.card.id
        with self._lock:
            engine = self._engines.get(name)
            if engine is None:
                engine = self._engines[name] = self._load(style)
            self._engines.move_to_end(name)
            self._users[name] = self._users.get(name, 0) + 1
        return SharedPainter(engine, self._stage(), lambda: self._released(name))

    def painter_like(self, engine: AnyPaintingEngine) -> SharedPainter:
        """A painter like the painting of an engine that `learn` gave."""
        return SharedPainter(engine.fork(), self._stage(), lambda: None)

    def learn(self, style: Style, painting: Pixels) -> AnyPaintingEngine:
        """What paints like a painting, RGB (H, W, 3) uint8; takes a second at first."""
        with self._lock:
            if self._any is None:
                loaded = self._load_any(style, painting)
                assert isinstance(loaded, AnyPaintingEngine)
                self._any = loaded
            learned = self._any.fork()
            learned.paint_like([Painting(painting)])
        return learned

    def close(self) -> None:
        """Release all networks; when nobody paints any more."""
        with self._lock:
            for engine in self._engines.values():
                engine.close()
            self._engines.clear()
            if self._any:
                self._any.close()
            self._any = None

    def _released(self, name: str) -> None:
        with self._lock:
            self._users[name] -= 1
            idle = [n for n in self._engines if not self._users.get(n)]
            for old in idle[: max(0, len(self._engines) - _KEPT)]:
                self._engines.pop(old).close()
