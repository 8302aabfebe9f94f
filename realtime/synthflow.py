"""SynthFlow: moving scenes rendered from photos, whose flow and visibility are known exactly.

Every layer of a scene is a canvas and a map g_t from the pixels of frame t to the canvas; frame t
shows canvas(g_t(x)). What a pixel x of frame t has moved to in frame s is then x' = g_s^-1(g_t(x)),
in closed form or by a short fixed-point iteration, with no estimate in it. Real footage offers no
such truth, and a flow estimator that judges itself flatters itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from .frame import Pixels
from .warp import Floats, Mask, grid, warp

_EDGE: Final = 2
"""Pixels nearer than this to the edge of a layer count as hidden: they mix two layers."""
_INVERSION_STEPS: Final = 12


@dataclass(frozen=True)
class Layer:
    """A picture that moves as one: `canvas` RGB (Hc, Wc, 3) float32 in 0..1."""

    canvas: Floats
    affine: Callable[[int], Floats]
    """For frame t: the (2, 3) map from pixels (x, y, 1) of the frame to pixels of the canvas."""
    elastic: Floats | None = None
    """A smooth displacement (H, W, 2) in pixels, scaled by `swing`, before the affine map."""
    swing: Callable[[int], float] = lambda t: 0.0
    shape: Callable[[Floats], Mask] | None = None
    """Which canvas points (H, W, 2) the layer covers; all of them without it."""

    def to_canvas(self, t: int, points: Floats) -> Floats:
        """g_t of frame points (H, W, 2), pixels."""
        if self.elastic is not None:
            points = points + np.float32(self.swing(t)) * _sample(self.elastic, points)
        m = self.affine(t)
        return (points @ m[:, :2].T + m[:, 2]).astype(np.float32)

    def from_canvas(self, t: int, points: Floats) -> Floats:
        """The inverse of g_t, within a thousandth of a pixel."""
        m = self.affine(t)
        back = ((points - m[:, 2]) @ np.linalg.inv(m[:, :2]).T).astype(np.float32)
        if self.elastic is None:
            return back
        found = back
        for _ in range(_INVERSION_STEPS):
            found = back - np.float32(self.swing(t)) * _sample(self.elastic, found)
        return found


@dataclass(frozen=True)
class Scene:
    """Frames of `size` (width, height), with exact flow between any two of one shot."""

    name: str
    size: tuple[int, int]
    frames: int
    layers: Callable[[int], Sequence[Layer]]
    """The layers of the shot that frame t belongs to, the farthest first."""
    shot: Callable[[int], int] = lambda t: 0
    gain: Callable[[int], float] = lambda t: 1.0
    noise: float = 1.0
    """Standard deviation of the sensor noise at mid-grey, of 255."""
    seed: int = 0

    def frame(self, t: int) -> Pixels:
        """Frame t: RGB (H, W, 3) uint8, with noise."""
        clean = self._render(t)
        rng = np.random.default_rng((self.seed, t))
        light = np.clip(clean * np.float32(self.gain(t)), 0, 1)
        # variance k I + b, half of it shot noise at mid-grey (a sensor's photon transfer)
        spread = self.noise / 255 * np.sqrt(light + 0.5)
        noisy = light + spread * rng.standard_normal(light.shape, np.float32)
        return np.asarray(np.clip(noisy * 255 + 0.5, 0, 255), np.uint8)

    def correspond(self, t: int, s: int) -> tuple[Floats, Mask]:
        """Where the pixels of frame t are in frame s, (H, W, 2) x and y, and which of them are
        visible in both.
        """
        points = grid(*self.size[::-1])
        if self.shot(t) != self.shot(s):
            return points, np.zeros(points.shape[:2], bool)
        ids_t, ids_s = self.layer_ids(t), self.layer_ids(s)
        layers = self.layers(t)
        places = np.empty_like(points)
        for number, layer in enumerate(layers):
            mine = ids_t == number
            moved = layer.from_canvas(s, layer.to_canvas(t, points))
            places[mine] = moved[mine]
        width, height = self.size
        inside = (
            (places[..., 0] >= 0)
            & (places[..., 0] <= width - 1)
            & (places[..., 1] >= 0)
            & (places[..., 1] <= height - 1)
        )
        # nearest sampling of exact numbers; what lies outside is not `inside`
        there = warp(ids_s.astype(np.float32), places, cv2.INTER_NEAREST)
        sure_there = warp(_inner(ids_s).astype(np.float32), places, cv2.INTER_NEAREST) > 0
        return places, inside & (there == ids_t) & _inner(ids_t) & sure_there

    def _render(self, t: int) -> Floats:
        points = grid(*self.size[::-1])
        ids = self.layer_ids(t)
        picture = np.zeros((*points.shape[:2], 3), np.float32)
        for number, layer in enumerate(self.layers(t)):
            mine = ids == number
            if not mine.any():
                continue
            seen = _sample(layer.canvas, layer.to_canvas(t, points), cv2.INTER_CUBIC)
            picture[mine] = seen[mine]
        return np.asarray(np.clip(picture, 0, 1), np.float32)

    def layer_ids(self, t: int) -> NDArray[np.int8]:
        """Which of the layers every pixel of frame t shows, (H, W)."""
        points = grid(*self.size[::-1])
        ids = np.zeros(points.shape[:2], np.int8)
        for number, layer in enumerate(self.layers(t)):
            if layer.shape is not None:
                ids[layer.shape(layer.to_canvas(t, points))] = number
        return ids


def scenes(
    photos: Sequence[Pixels], size: tuple[int, int] = (640, 360), frames: int = 40, seed: int = 0
) -> list[Scene]:
    """The suite, over canvases made from `photos` (RGB, at least two)."""
    width, height = size
    canvases = [_canvas(photo, size) for photo in photos]

    def canvas(number: int) -> Floats:
        return canvases[number % len(canvases)]

    def still(offset: tuple[float, float] = (0, 0)) -> Callable[[int], Floats]:
        return _pan((0, 0), offset)

    def one(number: int, affine: Callable[[int], Floats], **more: Any) -> Callable[[int], Any]:
        layers = [Layer(canvas(number), affine, **more)]
        return lambda t: layers

    def build(name: str, layers: Callable[[int], Sequence[Layer]], **more: Any) -> Scene:
        return Scene(name, size, more.pop("frames", frames), layers, seed=seed, **more)

    centre = (width / 2, height / 2)
    rng = np.random.default_rng(seed + 11)
    rough = rng.normal(0, 1, (5, 7, 2)).astype(np.float32)
    elastic = cv2.resize(rough, size, interpolation=cv2.INTER_CUBIC) * 8
    cut = frames // 3
    shots = [[Layer(canvas(7 + n), _pan((1.5, 0), (20 * n, 0)))] for n in range(3)]
    return [
        build("frozen", one(0, still()), noise=3.0),
        build("pan-1", one(1, _pan((1, 0)))),
        build("pan-3-2", one(2, _pan((3, 2)))),
        build("pan-5", one(3, _pan((-5, 0), (5 * frames, 0)))),
        build("subpixel", one(4, _pan((0.3, 0.17)))),
        build("zoom-rotate", one(5, _zoom(centre, frames))),
        build("elastic", one(6, still(), elastic=elastic, swing=lambda t: np.sin(t / 9.0))),
        build("occluder", _occluder(canvas(0), canvas(1), size)),
        build("light", one(2, _pan((1, 0))), gain=_light(frames)),
        build(
            "cuts",
            lambda t: shots[min(t // cut, 2)],
            shot=lambda t: min(t // cut, 2),
        ),
        build("thin", _thin(canvas(4), canvas(5), size)),
    ]


def _pan(step: tuple[float, float], start: tuple[float, float] = (0, 0)) -> Callable[[int], Floats]:
    return lambda t: np.array(
        [[1, 0, start[0] + step[0] * t], [0, 1, start[1] + step[1] * t]], np.float32
    )


def _zoom(centre: tuple[float, float], frames: int) -> Callable[[int], Floats]:
    def affine(t: int) -> Floats:
        angle, scale = 0.15 * np.sin(t / 15), 1 - 0.3 * t / max(frames, 40)
        c, s = scale * np.cos(angle), scale * np.sin(angle)
        x, y = centre
        return np.array([[c, -s, x - c * x + s * y], [s, c, y - s * x - c * y]], np.float32)

    return affine


def _occluder(
    behind: Floats, front: Floats, size: tuple[int, int]
) -> Callable[[int], Sequence[Layer]]:
    width, height = size
    middle = np.array([width * 0.6, height * 0.5], np.float32)
    radii = np.array([height * 0.22, height * 0.3], np.float32)

    def covers(points: Floats) -> Mask:
        return np.asarray((((points - middle) / radii) ** 2).sum(-1) < 1)

    far = Layer(behind, _pan((0.5, 0)))
    near = Layer(front, _pan((-8, 0), (width * 0.5, 0)), shape=covers)
    return lambda t: [far, near]


def _thin(behind: Floats, front: Floats, size: tuple[int, int]) -> Callable[[int], Sequence[Layer]]:
    def covers(points: Floats) -> Mask:
        return np.asarray((points[..., 0] % 64 < 5) | (points[..., 1] % 97 < 4))

    far = Layer(behind, _pan((-1, 0), (100, 0)))
    near = Layer(front, _pan((2, 0)), shape=covers)
    return lambda t: [far, near]


def _light(frames: int) -> Callable[[int], float]:
    """A ramp down to 65 %, the beat of 100 Hz light on top, and a step up at two thirds."""

    def gain(t: int) -> float:
        ramp = 1 - 0.35 * min(t / (frames / 2), 1)
        step = 1.3 if t >= 2 * frames // 3 else 1.0
        return float(ramp * step * (1 + 0.02 * np.sin(2 * np.pi * t / 6)))

    return gain


def _canvas(photo: Pixels, size: tuple[int, int]) -> Floats:
    """The photo mirrored to a picture at least 1.7 times the frame, float32 in 0..1."""
    width, height = size
    scale = max(1.0, 0.8 * height / photo.shape[0])
    large = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    down = max(0, int(1.7 * height) - large.shape[0])
    right = max(0, int(1.7 * width) - large.shape[1])
    whole = np.pad(large, ((0, down), (0, right), (0, 0)), mode="symmetric")
    return np.asarray(whole / np.float32(255), np.float32)


def _sample(picture: Floats, points: Floats, method: int = cv2.INTER_LINEAR) -> Floats:
    return warp(picture, points, method, border=cv2.BORDER_REFLECT)


def _inner(ids: NDArray[np.int8]) -> Mask:
    """Pixels at least `_EDGE` away from any other layer."""
    kernel = np.ones((2 * _EDGE + 1, 2 * _EDGE + 1), np.uint8)
    values = ids.astype(np.uint8)
    return np.asarray(cv2.erode(values, kernel) == cv2.dilate(values, kernel))
