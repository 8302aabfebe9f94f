"""Paint every Nth frame only, and carry its strokes through the frames between.

The network runs on key frames. The frames between are sampled from the key's painting, once,
through the map that is composed from frame to frame, so that nothing blurs as it would by sampling
the result again and again. What the key can't show (uncovered, or no longer alike) is painted
afresh, in tiles. A key is painted in a thread of its own and taken up some frames later, through
the map from there on: no frame waits for it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import cv2
import numpy as np

from ._motion import Motion, Seen, agreement, look, measure
from ._state import State
from ._strips import Strip, Strips, enlarged, framed_places, sharpen, wanted_sharpening
from ._tiles import (
    BROAD,
    TRUSTED,
    cost,
    dirty_tiles,
    enlarged_weight,
    mixed,
    paint_tile,
    tinted,
    weight_of_tile,
)
from .errors import TemporalError
from .flow import DisFlow, FlowEstimator
from .frame import Frame, Pixels
from .shots import Shots, flow_scale
from .temporal import Inside, Paint, TemporalSettings
from .warp import Floats, grid, sample_linear, warp

Every = int | Literal["auto"]

MOST_EVERY: Final = 16
_AUTO_AGE: Final = 8
"""Frames after which `auto` paints a new key at the latest."""
_AUTO_HOLES: Final = 0.06
"""Share of the picture that the key can't show at which `auto` paints a new one."""
_WHOLE: Final = 0.5
"""Share of a frame's pixels that tiles, with their halos, may cost before all of it is painted."""
_KEY_WEIGHT: Final = 0.45
"""How much of what was shown stays in a new key."""
_LIGHT: Final = 0.04
"""Change of brightness since the key from which on its colours are wrong."""
_DEAD_ZONE: Final = 3.0
_SOFTNESS: Final = 6.0


@dataclass
class _Key:
    """A painting, and where the present frame finds itself in it."""

    seen: Seen
    flow: Floats
    """(h, w, 2): from the present frame to the key, at the size of the flow."""
    sure: Floats
    """(h, w) in 0..1: how far the way there can be trusted."""
    age: int = 0
    painted: Pixels | None = None
    sampled: Pixels | None = None
    """The painting with a fourth channel, once it is needed."""
    shown: Pixels | None = None
    """What was shown of its frame before its own painting was there."""
    coming: "Future[Pixels] | None" = None

    def remember(self) -> State:
        return {
            "seen": self.seen.remember(),
            "flow": self.flow,
            "sure": self.sure,
            "age": self.age,
            "painted": self.painted,
            "shown": self.shown,
            "coming": self.coming.result() if self.coming else None,
        }

    @classmethod
    def recall(cls, state: State) -> "_Key":
        key = cls(Seen.recall(state["seen"]), state["flow"], state["sure"], state["age"])
        key.painted, key.shown = state["painted"], state["shown"]
        if state["coming"] is not None:
            key.coming = Future()
            key.coming.set_result(state["coming"])
        return key


class KeyframePropagation:
    """Runs the network on every Nth frame; frames of one video, one after another.

    `every` counts frames, 1 to 16; "auto" paints a new key when too little of the last one fits, or
    after 8 frames.
    """

    def __init__(
        self,
        every: Every,
        settings: TemporalSettings,
        flow: FlowEstimator | None = None,
        threads: int = 1,
        strength: float = 1.0,
    ) -> None:
        if every != "auto" and not 1 <= every <= MOST_EVERY:
            raise ValueError(f"a key can be every 1 to {MOST_EVERY} frames, not {every}")
        self.every, self.settings, self.strength = every, settings, strength
        # what is shown by a key alone, not blended, may be a little off before it is painted afresh
        self._gate = replace(settings.gate, dead_zone=_DEAD_ZONE, softness=_SOFTNESS)
        self._threads = threads
        self._flow = flow or DisFlow(settings.preset)
        self._painter: ThreadPoolExecutor | None = None
        self._last: Seen | None = None
        self._shape: tuple[int, ...] = ()
        self._key: _Key | None = None
        self._coming: _Key | None = None
        self._strips: Strips | None = None
        self.inside: Inside | None = None

    def push(self, frame: Frame, paint: Paint) -> Iterator[Frame]:
        """The frame, painted or carried; no delay. Raises `TemporalError`."""
        try:
            shown = self._next(frame.pixels, paint)
        except (cv2.error, ValueError, MemoryError) as error:
            self.reset()
            reason = str(error).strip().splitlines()[-1][:200]
            raise TemporalError(
                f"the key can't be carried into this frame: {reason}; "
                "without --paint-every each frame is painted"
            ) from error
        yield replace(frame, pixels=shown)

    def finish(self) -> list[Frame]:
        """Nothing is ever held back."""
        self.reset()
        return []

    def reset(self) -> None:
        """Forget all frames."""
        if self._painter:
            self._painter.shutdown()  # the engine must be free when this returns
        if self._strips:
            self._strips.close()
        self._last = self._key = self._coming = self._strips = self._painter = self.inside = None

    def remember(self) -> State:
        """All that the frames to come depend on, for `recall` by a stage of the same settings.

        Waits for a key that is being painted.
        """
        return {
            "last": self._last and self._last.remember(),
            "shape": list(self._shape),
            "key": self._key and self._key.remember(),
            "coming": self._coming and self._coming.remember(),
        }

    def recall(self, state: State) -> None:
        """Go on as the stage did that gave `state` by `remember`. Raises KeyError for another's."""
        self.reset()
        self._shape = tuple(state["shape"])
        self._key, self._coming = (
            state[name] and _Key.recall(state[name]) for name in ("key", "coming")
        )
        if state["last"] is not None:
            self._last = Seen.recall(state["last"])
            self._strips = Strips(self._shape[0], self._last.scale, self._threads)

    def shots(self) -> Shots:
        """A test of its own for where this stage starts afresh."""
        return Shots(DisFlow(self.settings.preset), self.settings.flow_width, self._gate)

    def _next(self, picture: Pixels, paint: Paint) -> Pixels:
        seen = look(picture, flow_scale(picture.shape[1], self.settings.flow_width))
        if self._last is None or self._shape != picture.shape:
            self.reset()
            self._shape = picture.shape
            self._strips = Strips(picture.shape[0], seen.scale, self._threads)
            return self._restart(seen, picture, paint)
        motion = measure(seen, self._last, self._flow, self._gate)
        if motion.cut:
            return self._restart(seen, picture, paint)
        self._last = seen
        assert self._key is not None
        for key in (self._key, self._coming):
            if key:
                _advance(key, motion)
        self._take_up()
        weight, gain = self._weight(self._key, seen)
        tiles = dirty_tiles(weight, seen.scale, picture.shape)
        if abs(gain - 1) > _LIGHT or cost(tiles) > _WHOLE * seen.grey.size * seen.scale**2:
            shown = self._repaint(seen, weight, picture, paint)
        else:
            shown = self._carried(self._key)
            self._fill(shown, tiles, weight, picture, paint)
        if self._coming is None and self._due(weight):
            self._coming = self._begin(seen, shown, picture, paint)
        age = np.full(weight.shape, self._key.age, np.float32)
        self.inside = Inside(motion.flow, weight, age)
        return shown

    def _restart(self, seen: Seen, picture: Pixels, paint: Paint) -> Pixels:
        """Another shot: this frame is painted, whatever that takes."""
        if self._coming and self._coming.coming:
            self._coming.coming.exception()
        self._last, self._coming = seen, None
        self._key = _fresh_key(seen)
        self._key.painted = self._submit(paint, picture).result()
        return self._key.painted

    def _begin(self, seen: Seen, shown: Pixels, picture: Pixels, paint: Paint) -> _Key:
        key = _fresh_key(seen)
        key.shown = shown
        key.coming = self._submit(paint, picture)
        return key

    def _submit(self, work: Callable[..., Pixels], *given: Any) -> "Future[Pixels]":
        """Have the network's own thread do it: one painting at a time."""
        if self._painter is None:
            self._painter = ThreadPoolExecutor(1, thread_name_prefix="stylize-key")
        return self._painter.submit(work, *given)

    def _delay(self) -> int:
        """Frames that a key's painting may take."""
        return 2 if self.every == "auto" else max(1, min(2, self.every - 1))

    def _due(self, weight: Floats) -> bool:
        assert self._key is not None
        if self.every == "auto":
            holes = float((weight < TRUSTED).mean())
            return self._key.age >= _AUTO_AGE or holes > _AUTO_HOLES
        return self._key.age >= self.every

    def _take_up(self) -> None:
        """Make the key that was begun the present one, once its time has come."""
        coming = self._coming
        if coming is None or coming.coming is None or coming.age < self._delay():
            return
        fresh = coming.coming.result()
        assert coming.shown is not None
        assert self._strips is not None
        coming.painted = self._settled(fresh, coming.shown)
        coming.coming = coming.shown = None
        self._key, self._coming = coming, None

    def _settled(self, fresh: Pixels, shown: Pixels, weight: Floats | None = None) -> Pixels:
        """A key's painting with what was shown of its frame before blended in, as sharp as it
        was: a new key is no jump. `weight` (H, W) in 0..1 says where that may be.
        """
        share = _KEY_WEIGHT * self.strength
        if weight is None:
            plain = np.asarray(cv2.addWeighted(shown, share, fresh, 1 - share, 0), np.uint8)
        else:
            plain = mixed(shown, fresh, np.asarray(share * weight, np.float32))
        return self._sharpened(plain, fresh)

    def _repaint(self, seen: Seen, weight: Floats, picture: Pixels, paint: Paint) -> Pixels:
        """A new key at once: the light has changed, or too little of the last one fits."""
        assert self._key is not None
        if self._coming and self._coming.coming:
            self._coming.coming.exception()
        fresh = self._submit(paint, picture).result()
        carried = self._carried(self._key)
        height, width = fresh.shape[:2]
        size = (max(1, width // BROAD), max(1, height // BROAD))
        ours, theirs = (
            cv2.resize(p, size, interpolation=cv2.INTER_AREA).astype(np.float32)
            for p in (fresh, carried)
        )
        light = cv2.resize(ours - theirs, (width, height), interpolation=cv2.INTER_LINEAR)
        carried = np.clip(carried + light, 0, 255).astype(np.uint8)
        large = enlarged_weight(weight, seen.scale, height, width)
        self._key, self._coming = _fresh_key(seen), None
        self._key.painted = self._settled(fresh, carried, large)
        return self._key.painted

    def _weight(self, key: _Key, seen: Seen) -> tuple[Floats, float]:
        """How far the key may be shown, (h, w) in 0..1, and how much brighter it is since."""
        alike, gain = agreement(seen, key.seen, key.flow, self._gate)
        weight = np.asarray(key.sure * alike, np.float32)
        # from sure enough on, the key alone: half of each would be blurred
        return np.asarray(np.clip((weight - 0.25) / 0.5, 0, 1), np.float32), gain

    def _carried(self, key: _Key) -> Pixels:
        """The key's painting where it is now, (H, W, 3) uint8."""
        assert key.painted is not None
        assert self._strips is not None
        painted, scale, width = key.painted, key.seen.scale, key.painted.shape[1]
        if key.sampled is None:
            # a fourth channel lets pixels be sampled as vectors: in half the time
            key.sampled = np.asarray(cv2.cvtColor(painted, cv2.COLOR_RGB2RGBA), np.uint8)
        source = key.sampled
        places = framed_places(key.flow, scale)
        plain = np.empty_like(painted)

        def sample(strip: Strip, _number: int) -> None:
            top, bottom = strip
            memory = np.empty((bottom - top + 2 * scale) * (width + 3 * scale) * 2, np.float32)
            at = enlarged(places, strip, scale, width, memory)
            cv2.cvtColor(sample_linear(source, at), cv2.COLOR_RGBA2RGB, dst=plain[top:bottom])

        self._strips.for_all(sample)
        # what was lost between pixels, once, for all strips alike
        return self._sharpened(plain, painted)

    def _sharpened(self, plain: Pixels, goal: Pixels) -> Pixels:
        """As sharp as `goal`."""
        assert self._strips is not None
        amount = wanted_sharpening(plain, goal)
        if amount <= 0:
            return plain
        result = np.empty_like(plain)
        self._strips.for_all(
            lambda strip, _: sharpen(plain, strip, amount, result[strip[0] : strip[1]])
        )
        return result

    def _fill(
        self,
        shown: Pixels,
        tiles: list[tuple[int, int]],
        weight: Floats,
        picture: Pixels,
        paint: Paint,
    ) -> None:
        """Paint tiles afresh where the key has no weight, into `shown`."""
        scale = flow_scale(picture.shape[1], self.settings.flow_width)
        for y, x in tiles:
            own = self._submit(paint_tile, paint, picture, y, x).result()
            box = np.s_[y : y + own.shape[0], x : x + own.shape[1]]
            keep = weight_of_tile(weight, scale, y, x, own.shape)
            around = np.ascontiguousarray(shown[box])
            shown[box] = mixed(around, tinted(own, around, keep), keep)


def _fresh_key(seen: Seen) -> _Key:
    shape = seen.grey.shape
    return _Key(seen, np.zeros((*shape, 2), np.float32), np.ones(shape, np.float32))


def _advance(key: _Key, motion: Motion) -> None:
    """One frame on: the way to the key now leads over the frame before."""
    start = grid(*motion.trust.shape)
    places = start + motion.flow
    key.flow = np.asarray(motion.flow + warp(key.flow, places), np.float32)
    key.sure = np.asarray(np.minimum(warp(key.sure, places), motion.trust), np.float32)
    key.age += 1
