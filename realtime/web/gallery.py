"""The styles people can turn to: those of the run, and paintings they have given."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from ..catalogue import Style
from ..frame import Pixels
from ..studio import Painter
from .limits import Refused
from .networks import Networks
from .pictures import fitted, jpeg

_PREVIEW: Final = "preview.jpg"
_MOST_PREVIEW: Final = 4 << 20
_PREVIEW_SIZE: Final = (320, 200)


@dataclass(frozen=True)
class Entry:
    """A style as the page shows it."""

    name: str
    title: str
    description: str
    credit: str = ""
    preview: bytes | None = None
    """JPEG."""

    def as_json(self) -> dict[str, Any]:
        """As the API gives it."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "credit": self.credit,
            "preview": self.preview is not None,
        }


class Gallery:
    """Styles by number, as knobs count them. It only ever grows, so numbers stay."""

    def __init__(
        self,
        styles: Mapping[str, Style],
        networks: Networks,
        any_style: Style | None,
        most: int,
        shares: Sequence[float] = (),
    ) -> None:
        """At most so many paintings are taken, where `any_style` paints like any of them; `shares`
        are those of the paintings of the run.
        """
        self._networks, self._any, self._most = networks, any_style, most
        self.shares = tuple(shares)
        self._lock = threading.Lock()
        self._given = 0
        self.names: list[str] = list(styles)
        self.makers: list[Callable[[], Painter]] = [
            partial(networks.painter, style) for style in styles.values()
        ]
        self._entries = {name: _entry(name, style) for name, style in styles.items()}

    @property
    def takes_paintings(self) -> bool:
        """Whether a picture can become a style."""
        return self._any is not None

    def entries(self) -> list[Entry]:
        """All styles, in order."""
        return [self._entries[name] for name in self.names]

    def preview(self, name: str) -> bytes | None:
        """The preview of a style; None where there is no such style or no preview."""
        entry = self._entries.get(name)
        return entry.preview if entry else None

    def add(self, painting: Pixels) -> str:
        """Make a style of a painting, RGB (H, W, 3) uint8; its name. Raises `Refused`."""
        if self._any is None:
            raise Refused("this server paints in its own styles only", 409)
        with self._lock:
            if self._given >= self._most:
                raise Refused(
                    f"{self._most} paintings were given already: the server takes no more until it "
                    "is started again",
                    409,
                )
            learned = self._networks.learn(self._any, painting)
            self._given += 1
            name = f"painting-{self._given}"
            preview = jpeg(fitted(painting, _PREVIEW_SIZE, "cover"))
            self._entries[name] = Entry(
                name, f"Painting {self._given}", "a picture that was given", "", preview
            )
            self.makers.append(partial(self._networks.painter_like, learned))
            self.names.append(name)
            return name


def _entry(name: str, style: Style) -> Entry:
    card = style.card
    credit = ", ".join(part for part in (card.artist, card.work, card.year) if part)
    return Entry(name, card.title, card.description, credit, _preview(style))


def _preview(style: Style) -> bytes | None:
    path = style.folder / _PREVIEW if style.folder else None
    if path is None or not path.is_file() or path.is_symlink():
        return None
    return path.read_bytes() if path.stat().st_size <= _MOST_PREVIEW else None
