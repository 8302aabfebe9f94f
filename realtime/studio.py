"""Paints frames as the knobs stand: the styles of a run, their mixes, masks and sizes.

The same for files and for live pictures: a file's frames are painted at whatever the cues say for
their time, a camera's at what has just been turned.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ._state import State
from .finish import finished, mirrored, mixed, with_colours
from .frame import Frame, Pixels
from .knobs import Knobs
from .masks import Masker

_ROWS: Final = 720
"""Height of the picture in which strokes of size 1 are what they are in pixels."""
_SHORTEST: Final = 64
_ZERO: Final = Fraction(0)


class Painter(Protocol):
    """What paints frames in one style: `stylizer.Stylizer`."""

    def push(self, frame: Frame) -> Iterable[Frame]:
        """Take a frame; the painted ones that are ready, in order."""
        ...

    def finish(self) -> Iterable[Frame]:
        """The frames still held back."""
        ...

    def turn(self, strength: float, paintings: Sequence[float] = ()) -> float:
        """Paint at a strength, 0..1, and by shares of paintings, where the network can; the
        strength that is left to do.
        """
        ...

    def remember(self) -> State:
        """What the frames to come depend on."""
        ...

    def recall(self, state: State) -> None:
        """Go on as the painter did that gave `state` by `remember`."""
        ...

    def reset(self) -> None:
        """Forget the frames before."""
        ...

    def close(self) -> None:
        """Release the network."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A frame as it is shown, and what it is made of."""

    frame: Frame
    painted: Pixels
    """The painting by itself, without source, divider or black, RGB (H, W, 3) uint8."""
    alpha: NDArray[np.uint8]
    """How much of the painting shows, (H, W) uint8: mask times strength."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A frame whose paintings are not all there yet."""

    frame: Frame
    knobs: Knobs
    mask: NDArray[np.uint8] | None


class Studio:
    """Paints frames of one video, one after another, as knobs say.

    Networks are loaded when a style is first turned to: `patient` studios (for files) wait for it,
    others (live) load in a thread of their own and go on with what they have until it is there.
    Size of processing and mix may change with every frame.
    """

    def __init__(
        self,
        makers: Sequence[Callable[[], Painter]],
        masker: Masker | None = None,
        *,
        patient: bool = True,
        most_loaded: int = 4,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`makers` give the painter of each style, by its number; those of `most_loaded` styles
        stay in memory.
        """
        self._makers, self._masker, self._patient, self._say = makers, masker, patient, say
        self._most_loaded = most_loaded
        self.scale = 1.0
        """By how much frames are scaled for painting, beside what strokes ask for: what a budget of
        time turns.
        """
        self._painters: dict[int, Painter] = {}  # in the order they were needed last
        self._lock = threading.Lock()
        self._loading: threading.Thread | None = None
        self._failed: set[int] = set()
        self._shares: dict[int, float] = {}
        self._waiting: deque[_Waiting] = deque()
        self._done: dict[int, deque[Frame]] = {}
        self._showing: set[int] = set()
        self._frozen: Shown | None = None
        self._size = (0, 0)

    # --- painting

    def push(self, frame: Frame, knobs: Knobs) -> Iterator[Shown]:
        """Take a frame; those that are ready, in order. Go through all of them before the next
        call.

        Raises what painters and masks raise.
        """
        if knobs.freeze and self._frozen and not self._waiting:
            yield self._held(frame)
            return
        frame = _turned(frame, knobs)
        shares = self._ready_shares(knobs)
        mask = self._mask(frame.pixels, knobs)
        self._size = self._painting_size(frame.pixels, knobs)
        small = replace(frame, pixels=_scaled(frame.pixels, self._size))
        left = 0.0
        for style, share in shares.items():
            painter = self._painters[style]
            left += share * painter.turn(knobs.strength, knobs.paintings)
            self._done.setdefault(style, deque()).extend(painter.push(small))
        turned = replace(knobs, mix=tuple(shares.items()), strength=min(1.0, left))
        self._waiting.append(_Waiting(frame, turned, mask))
        for style in self._showing - set(shares):
            # what it holds back is still to be shown; later its past would be another moment's
            self._done[style].extend(self._painters[style].finish())
            self._painters[style].reset()
        self._showing = set(shares)
        yield from self._finished()

    def as_painted(self, frame: Frame, knobs: Knobs) -> Frame:
        """The frame as painters get it: turned and scaled."""
        frame = _turned(frame, knobs)
        size = self._painting_size(frame.pixels, knobs)
        return replace(frame, pixels=_scaled(frame.pixels, size))

    def finish(self) -> Iterator[Shown]:
        """The frames still held back, when no more will come."""
        for style in self._showing:
            self._done[style].extend(self._painters[style].finish())
        yield from self._finished()

    def paint(self, frame: Frame, knobs: Knobs) -> Shown:
        """The frame as it is shown; for painters that hold none back."""
        (shown,) = self.push(frame, knobs)
        return shown

    def ready(self, style: int) -> bool:
        """Whether a style can be painted in now; where not, it is loaded from now on."""
        with self._lock:
            if style in self._painters:
                return True
        if self._patient:
            self._load(style)
            return True
        if self._loading is None or not self._loading.is_alive():
            if style in self._failed:
                return False
            self._loading = threading.Thread(
                target=self._load_quietly, args=(style,), name="stylize-load", daemon=True
            )
            self._loading.start()
        return False

    def forgive(self, style: int) -> None:
        """Try a style again that could not be loaded."""
        self._failed.discard(style)

    def remember(self) -> State:
        """All that the frames to come depend on, for a studio of the same styles and masker.

        Raises ValueError where its masker can't put down what it has learned.
        """
        mask = self._masker.remember() if self._masker else None
        if self._masker and mask is None:
            raise ValueError("what this mask has learned can't be put down")
        return {
            "waiting": [_packed(waiting) for waiting in self._waiting],
            "done": {str(s): [_frame_state(f) for f in done] for s, done in self._done.items()},
            "painters": {str(s): self._painters[s].remember() for s in sorted(self._showing)},
            "shares": [[style, share] for style, share in self._shares.items()],
            "frozen": _shown_state(self._frozen) if self._frozen else None,
            "mask": mask,
        }

    def recall(self, state: State) -> None:
        """Go on as the studio did that gave `state` by `remember`."""
        self.reset()
        self._waiting.extend(_unpacked(waiting) for waiting in state["waiting"])
        self._shares = {int(style): float(share) for style, share in state["shares"]}
        for style, done in state["done"].items():
            self._done[int(style)] = deque(_frame(frame) for frame in done)
        for style, painter in state["painters"].items():
            self._load(int(style))
            self._painters[int(style)].recall(painter)
            self._showing.add(int(style))
        self._frozen = _shown(state["frozen"]) if state["frozen"] else None
        if self._masker:
            self._masker.recall(state["mask"])

    def reset(self) -> None:
        """Forget the frames before: after a seek, or for another source."""
        for painter in self._painters.values():
            painter.reset()
        if self._masker:
            self._masker.reset()
        self._waiting.clear()
        self._done.clear()
        self._showing.clear()
        self._frozen = None

    def close(self) -> None:
        """Release all networks."""
        if self._loading:
            self._loading.join()
        for painter in self._painters.values():
            painter.close()
        self._painters.clear()

    # --- steps

    def _finished(self) -> Iterator[Shown]:
        while self._waiting:
            head = self._waiting[0]
            shares = head.knobs.shares
            if not all(self._done.get(style) for style in shares):
                return
            self._waiting.popleft()
            layers = [
                (self._done[style].popleft().pixels, share) for style, share in shares.items()
            ]
            yield self._show(head, mixed(layers))

    def _show(self, head: _Waiting, painted: Pixels) -> Shown:
        source, knobs = head.frame.pixels, head.knobs
        if knobs.freeze and self._frozen:
            return self._held(head.frame)
        height, width = source.shape[:2]
        painted = _scaled(painted, (width, height))
        shown = replace(head.frame, pixels=finished(source, painted, knobs, head.mask))
        if knobs.colours > 0:
            painted = with_colours(painted, source, knobs.colours)
        alpha = np.full((height, width), round(255 * knobs.strength), np.uint8)
        if head.mask is not None:
            alpha = np.asarray(cv2.convertScaleAbs(head.mask, alpha=knobs.strength), np.uint8)
        self._frozen = Shown(shown, painted, alpha)
        return self._frozen

    def _held(self, frame: Frame) -> Shown:
        """The picture that was shown last, at the time of this frame."""
        assert self._frozen is not None
        held = replace(frame, pixels=self._frozen.frame.pixels)
        self._frozen = replace(self._frozen, frame=held)
        return self._frozen

    def _mask(self, pixels: Pixels, knobs: Knobs) -> NDArray[np.uint8] | None:
        """The mask that counts now. One that learns sees the frames it does not count in, too."""
        off = knobs.mask == "off"
        if self._masker is None or (off and not self._masker.learns):
            return None
        mask = self._masker(pixels)
        if off:
            return None
        return mask if knobs.mask == "inside" else 255 - mask

    def _painting_size(self, pixels: Pixels, knobs: Knobs) -> tuple[int, int]:
        """Width and height frames are painted at."""
        height, width = pixels.shape[:2]
        scale = self.scale
        if knobs.stroke is not None:
            scale *= _ROWS / knobs.stroke / height
        scale = max(scale, min(1.0, _SHORTEST / min(height, width)))
        if scale == 1:
            return width, height
        return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))

    # --- styles

    def _ready_shares(self, knobs: Knobs) -> dict[int, float]:
        """The shares of this frame, of styles that are loaded: those before while none is."""
        wanted = knobs.shares
        if not self._shares:  # nothing was ever painted: there is nothing to go on with meanwhile
            for style in wanted:
                self._load(style)
        there = {style: share for style, share in wanted.items() if self.ready(style)}
        if len(there) < len(wanted):
            there = self._shares
        self._shares = there
        # those that were just shown, and those of frames held back, have pictures to give yet
        held = {style for waiting in self._waiting for style in waiting.knobs.shares}
        self._forget_the_oldest({*there, *wanted, *self._showing, *held})
        return there

    def _forget_the_oldest(self, needed: set[int]) -> None:
        with self._lock:
            for style in needed & set(self._painters):
                self._painters[style] = self._painters.pop(style)  # the latest come last
            spare = [style for style in self._painters if style not in needed]
            for style in spare[: max(0, len(self._painters) - self._most_loaded)]:
                self._painters.pop(style).close()
                self._done.pop(style, None)

    def _load(self, style: int) -> None:
        if style not in self._painters:
            painter = self._makers[style]()
            with self._lock:
                self._painters[style] = painter

    def _load_quietly(self, style: int) -> None:
        try:
            painter = self._makers[style]()
            width, height = self._size
            if width:
                # a first painting sets the network up for this size
                blank: Any = np.zeros((height, width, 3), np.uint8)
                for _ in painter.push(Frame(blank, _ZERO)):
                    pass
                painter.reset()
            with self._lock:
                self._painters[style] = painter
        except Exception as error:  # noqa: BLE001 - whatever it is, the picture goes on
            self._failed.add(style)
            self._say(f"{error}; the style before stays")


def _turned(frame: Frame, knobs: Knobs) -> Frame:
    return replace(frame, pixels=mirrored(frame.pixels)) if knobs.mirror else frame


def _scaled(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """The picture at a width and height."""
    height, width = pixels.shape[:2]
    if size == (width, height):
        return pixels
    method = cv2.INTER_AREA if size[0] < width else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=method), np.uint8)


def _frame_state(frame: Frame) -> State:
    return {"pixels": frame.pixels, "pts": frame.pts, "duration": frame.duration}


def _frame(state: State) -> Frame:
    return Frame(state["pixels"], state["pts"], state["duration"])


def _packed(waiting: _Waiting) -> State:
    mix = [list(part) for part in waiting.knobs.mix]
    knobs = {**asdict(waiting.knobs), "mix": mix, "paintings": list(waiting.knobs.paintings)}
    return {"frame": _frame_state(waiting.frame), "knobs": knobs, "mask": waiting.mask}


def _unpacked(state: State) -> _Waiting:
    mix = tuple((int(style), float(share)) for style, share in state["knobs"]["mix"])
    paintings = tuple(float(share) for share in state["knobs"]["paintings"])
    knobs = Knobs(**{**state["knobs"], "mix": mix, "paintings": paintings})
    return _Waiting(_frame(state["frame"]), knobs, state["mask"])


def _shown_state(shown: Shown) -> State:
    return {
        "frame": _frame_state(shown.frame),
        "painted": shown.painted,
        "alpha": shown.alpha,
    }


def _shown(state: State) -> Shown:
    return Shown(_frame(state["frame"]), state["painted"], state["alpha"])
