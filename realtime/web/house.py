"""All streams of a server: who may come in, who is on stage, and who looks on.

On stage is what overlays and feeds show: the server's own source, or else the peer that came first.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from ..errors import StylizeError
from ..knobs import Knobs, set_knob
from ..masks import Masker
from ..studio import Studio
from .gallery import Gallery
from .limits import Limits, Refused
from .room import Arrived, Painted, Room, Stream

STAGE: Final = "stage"
SERVER: Final = "server"
PEER: Final = "peer"
OVERLAY: Final = "overlay"
Watcher = Callable[[Painted | None], None]
"""Gets what is painted, in the painting thread, and None when the picture ends."""
Listener = Callable[[dict[str, Any]], None]
"""Hears of knobs that were turned and of streams that ended, as JSON has it, in any thread."""


class House:
    """The streams by name, from any thread."""

    def __init__(
        self,
        room: Room,
        gallery: Gallery,
        limits: Limits,
        *,
        masker: Callable[[], Masker | None],
        knobs: Knobs,
        fade: float,
        say: Callable[[str], None],
    ) -> None:
        """`knobs` are how those of new streams stand; `masker` gives each its mask."""
        self.gallery, self.limits = gallery, limits
        self.knobs = knobs
        self._room, self._masker, self._fade, self._say = room, masker, fade, say
        self._lock = threading.RLock()
        self._streams: dict[str, Stream] = {}
        self._count = 0
        self._watchers: dict[str | None, list[Watcher]] = {}
        self._extras: dict[str, Stream] = {}
        self._listeners: list[Listener] = []

    # --- streams

    def open(self, kind: str = PEER) -> Stream:
        """A new stream. Raises `Refused` when there are as many as there may be, and what masks
        raise.
        """
        with self._lock:
            peers = sum(stream.kind == PEER for stream in self._streams.values())
            if kind == PEER and peers >= self.limits.peers:
                raise Refused(
                    f"{peers} cameras are painted already, which is all this server takes: try "
                    "again later",
                    503,
                )
            self._count += 1
            name = SERVER if kind == SERVER else f"{kind}-{self._count}"
            stream = self._stream(name, kind, self.knobs)
            stream.on_painted = lambda painted: self._painted(stream, painted)
            self._streams[name] = stream
        return stream

    def _stream(self, name: str, kind: str, knobs: Knobs) -> Stream:
        studio = Studio(self.gallery.makers, self._masker(), patient=False, say=self._say)
        return Stream(name, kind, studio, knobs, self._fade, time.monotonic())

    def put(self, stream: Stream, arrived: Arrived) -> None:
        """A frame of a stream has come."""
        self._room.put(stream, arrived)
        if self._extras and stream is self.on_stage():
            for extra in list(self._extras.values()):
                extra.knobs = replace(stream.knobs, style=extra.knobs.style, mix=())
                self._room.put(extra, arrived)

    def close(self, stream: Stream, reason: str) -> None:
        """A stream has ended."""
        with self._lock:
            was_on_stage = stream is self.on_stage()
            known = self._streams.pop(stream.name, None)
        self._room.close(stream)
        if known:
            self._tell_listeners({"stream": stream.name, "ended": reason})
        if was_on_stage:
            for watchers in list(self._watchers.values()):
                for watcher in list(watchers):
                    watcher(None)

    def streams(self) -> list[Stream]:
        """All streams that somebody sends."""
        with self._lock:
            return list(self._streams.values())

    def on_stage(self) -> Stream | None:
        """The stream that overlays and feeds show."""
        with self._lock:
            return self._streams.get(SERVER) or next(iter(self._streams.values()), None)

    def find(self, name: str) -> Stream:
        """The stream of a name, or ``stage``. Raises `Refused`."""
        stream = self.on_stage() if name == STAGE else self._streams.get(name)
        if stream is None:
            raise Refused(f"there is no stream {name!r} now", 404)
        return stream

    # --- knobs

    def knobs_of(self, name: str) -> Knobs:
        """How the knobs of a stream stand; while nobody is on stage, those the next one gets."""
        if name == STAGE and self.on_stage() is None:
            return self.knobs
        return self.find(name).knobs

    def turn(self, name: str, changes: dict[str, Any]) -> Knobs:
        """Turn knobs of a stream, all of them or none. Raises `KnobError` or `Refused`."""
        with self._lock:
            knobs = self.knobs_of(name)
            names, paintings = self.gallery.names, len(self.gallery.shares)
            for knob, value in changes.items():
                knobs = set_knob(knobs, knob, value, names, paintings)
            if name == STAGE and self.on_stage() is None:
                self.knobs = knobs
                return knobs
            stream = self.find(name)
            stream.knobs = knobs
            for style in knobs.shares:
                stream.forgive(style)
        self._tell_listeners({"stream": stream.name, "knobs": self.described(knobs)})
        return knobs

    def described(self, knobs: Knobs) -> dict[str, Any]:
        """Knobs as JSON has them, styles by their names."""
        names, shares = self.gallery.names, knobs.paintings or self.gallery.shares
        return {
            "style": names[knobs.style],
            "mix": {names[style]: round(share, 4) for style, share in knobs.mix},
            "paintings": [round(share, 4) for share in shares],
            "strength": knobs.strength,
            "colours": knobs.colours,
            "stroke": knobs.stroke,
            "mirror": knobs.mirror,
            "freeze": knobs.freeze,
            "blackout": knobs.blackout,
            "divider": knobs.divider,
            "mask": knobs.mask,
        }

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Hear of all streams; call the result to end."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _tell_listeners(self, news: dict[str, Any]) -> None:
        for listener in list(self._listeners):
            listener(news)

    # --- looking on

    def watch(self, style: str | None, watcher: Watcher) -> Callable[[], None]:
        """Get what is painted on stage, in its own style or in another; call the result to end.

        Raises `Refused` for a style there is not, and for more of them than there may be.
        """
        with self._lock:
            if style is not None and style not in self._extras:
                self._open_extra(style)
            self._watchers.setdefault(style, []).append(watcher)
        return lambda: self._unwatch(style, watcher)

    def _open_extra(self, style: str) -> None:
        if style not in self.gallery.names:
            raise Refused(f"there is no style {style!r} here", 404)
        if len(self._extras) >= self.limits.overlay_styles:
            raise Refused(
                f"overlays have {len(self._extras)} styles of their own already: leave style= out",
                503,
            )
        knobs = replace(self.knobs, style=self.gallery.names.index(style), mix=())
        extra = self._stream(f"{OVERLAY}-{style}", OVERLAY, knobs)
        extra.on_painted = lambda painted: self._tell(style, painted)
        extra.on_failed = lambda _: self._tell(style, None)
        self._extras[style] = extra

    def _unwatch(self, style: str | None, watcher: Watcher) -> None:
        with self._lock:
            watchers = self._watchers.get(style, [])
            if watcher in watchers:
                watchers.remove(watcher)
            if style is None or watchers:
                return
            extra = self._extras.pop(style, None)
        if extra:
            self._room.close(extra)

    def _painted(self, stream: Stream, painted: Painted) -> None:
        if stream is self.on_stage():
            self._tell(None, painted)

    def _tell(self, style: str | None, painted: Painted | None) -> None:
        for watcher in list(self._watchers.get(style, [])):
            watcher(painted)

    def stop(self) -> None:
        """Close everything."""
        with self._lock:
            streams = [*self._streams.values(), *self._extras.values()]
            self._streams.clear()
            self._extras.clear()
        for stream in streams:
            self._room.close(stream)
        try:
            self._room.stop()
        except StylizeError as error:  # pragma: no cover - a studio that can't be closed
            self._say(str(error))
