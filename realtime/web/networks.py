"""Networks that everybody who paints shares: each style is loaded once."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ..catalogue import Style
from ..engines import Engine
from ..engines.any_painting import AnyPaintingEngine, Painting
from ..errors import StylizeError
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


class PicturePainter(SharedPainter):
    """Paints like one picture that somebody gave, whatever the shares of the run's paintings."""

    def turn(self, strength: float, paintings: Sequence[float] = ()) -> float:
        """As of any other, the shares aside: they are of paintings this one is none of."""
        return super().turn(strength)


@dataclass
class _Shared:
    """A network and how many paint by it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    engine: Engine | None = None
    users: int = 0


class Networks:
    """Loads networks and hands out painters over them; from any thread. Those who want a network
    that is there don't wait for one that is being loaded.
    """

    def __init__(
        self,
        load: Callable[[Style], Engine],
        stage: Callable[[], TemporalStage | None],
        load_any: Callable[[Style, Sequence[Painting]], Engine],
        paintings: Sequence[Painting] = (),
    ) -> None:
        """`stage` gives a temporal stage of its own to every painter; `load_any` loads a style that
        paints like any painting, to paint like these; `paintings` are those of the run, which such
        a style paints like where it is one of the run's own.
        """
        self._load, self._stage, self._load_any = load, stage, load_any
        self._paintings = paintings
        self._lock = threading.Lock()
        self._shared: OrderedDict[str, _Shared] = OrderedDict()
        self._learning = threading.Lock()
        self._any: dict[str, AnyPaintingEngine] = {}
        self._own: dict[str, AnyPaintingEngine] = {}

    def painter(self, style: Style) -> SharedPainter:
        """A painter in a style of the run. Raises `StylizeError`s."""
        name = style.card.id
        if style.encoder:
            return SharedPainter(self._like_the_runs(style), self._stage(), lambda: None)
        with self._lock:
            shared = self._shared.setdefault(name, _Shared())
            self._shared.move_to_end(name)
            shared.users += 1
        try:
            with shared.lock:
                engine = shared.engine = shared.engine or self._load(style)
        except StylizeError:
            self._released(shared)
            raise
        return SharedPainter(engine, self._stage(), lambda: self._released(shared))

    def painter_like(self, engine: AnyPaintingEngine) -> SharedPainter:
        """A painter like the painting of an engine that `learn` gave."""
        return PicturePainter(engine, self._stage(), lambda: None)

    def learn(self, style: Style, painting: Pixels) -> AnyPaintingEngine:
        """What paints like a painting, RGB (H, W, 3) uint8; takes a second at first."""
        with self._learning:
            return self._learned(style, [Painting(painting)])

    def _like_the_runs(self, style: Style) -> AnyPaintingEngine:
        """What paints like the paintings of the run."""
        name = style.card.id
        if name not in self._own:  # once it is there, nobody waits for others to be learned
            with self._learning:
                if name not in self._own:
                    self._own[name] = self._learned(style, self._paintings)
        return self._own[name]

    def _learned(self, style: Style, paintings: Sequence[Painting]) -> AnyPaintingEngine:
        """By one network for all paintings; while `_learning` is held."""
        name = style.card.id
        if name not in self._any:
            loaded = self._load_any(style, paintings)
            assert isinstance(loaded, AnyPaintingEngine)
            self._any[name] = loaded
            return loaded.fork()
        learned = self._any[name].fork()
        learned.paint_like(paintings)
        return learned

    def close(self) -> None:
        """Release all networks; when nobody paints any more."""
        with self._lock:
            for shared in self._shared.values():
                if shared.engine:
                    shared.engine.close()
            self._shared.clear()
        with self._learning:
            for engine in self._any.values():
                engine.close()
            self._any.clear()
            self._own.clear()

    def _released(self, shared: _Shared) -> None:
        with self._lock:
            shared.users -= 1
            idle = [name for name, other in self._shared.items() if not other.users]
            for name in idle[: max(0, len(self._shared) - _KEPT)]:
                old = self._shared.pop(name)
                if old.engine:
                    old.engine.close()
