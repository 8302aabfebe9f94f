"""Photos and paintings for training: loading, augmentation, and synthetic motion with an exact map.

Everything random is drawn from a generator seeded by the run's seed and the step's number, so that
a step sees the same pictures however the run got there.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .errors import DataError

PHOTO_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
MAX_SHIFT: Final = 16
LEAST_SIDE: Final = 16
"""Of a picture that anything can be seen in, pixels."""
_AHEAD: Final = 2
T = TypeVar("T")
_READ_TRIES: Final = 20
_MAX_CAMERA_NOISE: Final = 3.0


@dataclass(frozen=True)
class Augmentation:
    """How photos are varied. Ranges are drawn from uniformly."""

    zoom: tuple[float, float] = (1.0, 1.6)
    """Part of the photo seen: its short side over the crop's, upwards from a crop as large as it
    goes.
    """
    rotation: float = 0.0
    """Degrees a photo is turned by at most; what lies outside is mirrored in."""
    flip: float = 0.5
    """Share of photos that are mirrored."""
    brightness: tuple[float, float] = (0.7, 1.2)
    contrast: tuple[float, float] = (0.75, 1.2)
    hue: float = 0.0
    """Degrees hues are turned by at most."""
    noise: float = 0.0
    """Deviation of added noise at most, of 255."""
    jpeg: float = 0.0
    """Lowest JPEG quality a photo is passed through, 1 to 100; 0 for none."""
    flat_share: float = 0.1
    """Share of pictures with almost nothing in them, where patterns of the network itself would
    show.
    """


_BOUNDS: Final = (
    ("zoom", 1, math.inf),
    ("rotation", 0, 180),
    ("flip", 0, 1),
    ("brightness", 0, math.inf),
    ("contrast", 0, math.inf),
    ("hue", 0, 180),
    ("noise", 0, 255),
    ("jpeg", 0, 100),
    ("flat_share", 0, 1),
)


def check_augmentation(options: Augmentation) -> None:
    """Raise `DataError` for ways to vary photos that can't work."""
    for name, least, most in _BOUNDS:
        given = getattr(options, name)
        low, high = given if isinstance(given, tuple) else (given, given)
        if not least <= low <= high <= most:
            shown = f"{low:g}..{high:g}" if isinstance(given, tuple) else f"{low:g}"
            span = f"{least:g} to {most:g}" if most < math.inf else f"{least:g} or more"
            raise DataError(f"--{name.replace('_', '-')} {shown} can't be used: give {span}")


def list_photos(folder: Path) -> list[Path]:
    """Every picture under a folder, sorted. Raises `DataError` when there is none."""
    if not folder.is_dir():
        raise DataError(f"there is no folder of photos {folder}")
    photos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES)
    if not photos:
        raise DataError(
            f"the folder {folder} holds no photos ({', '.join(sorted(PHOTO_SUFFIXES))})"
        )
    return photos


def read_picture(path: Path) -> NDArray[np.uint8]:
    """RGB (H, W, 3) uint8. Raises `DataError`."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}") from error
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if picture is None:
        raise DataError(f"{path} is not a readable picture")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def load_painting(path: Path, short_side: int) -> Tensor:
    """A painting with its short side scaled to `short_side`: (1, 3, H, W) float in 0..1. Raises
    `DataError`.
    """
    return to_tensor(scaled(read_painting(path), short_side))[None]


def read_painting(path: Path, least: int = LEAST_SIDE) -> NDArray[np.uint8]:
    """RGB (H, W, 3) uint8 with sides of `least` pixels or more. Raises `DataError`."""
    return large_enough(read_picture(path), path, "learn from", least)


def large_enough(
    picture: NDArray[np.uint8], path: Path, use: str, least: int = LEAST_SIDE
) -> NDArray[np.uint8]:
    """A picture of a file, (H, W, 3), with sides of `least` pixels or more. Raises `DataError`."""
    height, width = picture.shape[:2]
    if min(height, width) < least:
        raise DataError(
            f"{path} has {width}x{height} pixels, too few to {use}: give one with {least} a side "
            "or more"
        )
    return picture


def scaled(picture: NDArray[np.uint8], short_side: int) -> NDArray[np.uint8]:
    """A picture, RGB (H, W, 3) uint8, with its short side scaled to `short_side`. Raises
    `DataError`.
    """
    if short_side < LEAST_SIDE:
        raise DataError(f"a side of {short_side} pixels is too small: give {LEAST_SIDE} or more")
    scale = short_side / min(picture.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method), np.uint8)


def read_one_of(
    photos: list[Path],
    random: np.random.Generator,
    broken: dict[str, None],
    read: Callable[[Path], T],
) -> T:
    """What `read` makes of a photo drawn by a generator. Those that can't be read are passed over
    and named in `broken`; a `DataError` after many of them.
    """
    problem: DataError | None = None
    for _ in range(_READ_TRIES):
        path = photos[int(random.integers(len(photos)))]
        try:
            return read(path)
        except DataError as error:
            broken.setdefault(str(path))
            problem = error
    raise DataError(f"{_READ_TRIES} photos in a row can't be read, the last: {problem}")


def partners_of(photos: list[Path], folder: Path) -> dict[Path, Path]:
    """The photos that a folder has a picture of the same name to, and that. Raises `DataError`."""
    named = {path.stem: path for path in list_photos(folder)}
    found = {photo: named[photo.stem] for photo in photos if photo.stem in named}
    if not found:
        raise DataError(
            f"no picture in {folder} has the name of a photo: pairs are files of the same name, as "
            f"{photos[0].stem}.png to {photos[0].name}"
        )
    return found


def to_tensor(picture: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 -> (3, H, W) float in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).float() / 255


class PhotoStream:
    """Batches of augmented crops, (B, 3, S, S) float in 0..1, prepared ahead in one thread.

    Unreadable files are passed over and named in `broken`; a folder with nothing but them is a
    `DataError`.
    """

    def __init__(
        self,
        photos: list[Path],
        batch: int,
        side: int,
        seed: int,
        augmentation: Augmentation,
        partners: Mapping[Path, Path] | None = None,
    ) -> None:
        self.broken: dict[str, None] = {}
        self._photos, self._batch, self._side = photos, batch, side
        self._seed, self._augmentation = seed, augmentation
        self._partners = partners or {}

    def batches(self, first: int, last: int) -> Iterator[Tensor]:
        """The batches of steps `first` up to, not including, `last`."""
        with ThreadPoolExecutor(1, thread_name_prefix="photos") as pool:
            ahead = [
                pool.submit(self.batch, step) for step in range(first, min(last, first + _AHEAD))
            ]
            for step in range(first, last):
                ready = ahead.pop(0).result()
                if step + _AHEAD < last:
                    ahead.append(pool.submit(self.batch, step + _AHEAD))
                yield ready

    def batch(self, step: int) -> Tensor:
        """The batch of one step: the same for the same seed and step, whatever came before.

        With partners, what every photo is to become lies behind it: (B, 6, S, S).
        """
        random = np.random.default_rng((self._seed, step))
        return torch.stack([self._sample(random) for _ in range(self._batch)])

    def _sample(self, random: np.random.Generator) -> Tensor:
        options = self._augmentation
        photo, partner = self._read(random)
        place = self._place(photo, random)
        crop = _varied(place(photo), options, random)
        cells = int(random.integers(1, 4)) if random.random() < options.flat_share else 0
        if cells:
            grain = random.normal(0, random.uniform(0, _MAX_CAMERA_NOISE), crop.shape)
            crop = _levels(_emptied(crop, cells) + grain)
        brightness, contrast = (
            random.uniform(*options.brightness),
            random.uniform(*options.contrast),
        )
        middle = float(crop.mean())
        varied = (crop.astype(np.float32) - middle) * (contrast * brightness) + middle * brightness
        shown = to_tensor(_levels(varied))
        if partner is None:
            return shown
        size = photo.shape[1::-1]
        goal = place(np.asarray(cv2.resize(partner, size, interpolation=cv2.INTER_AREA), np.uint8))
        return torch.cat([shown, to_tensor(_emptied(goal, cells) if cells else goal)])

    def _place(
        self, photo: NDArray[np.uint8], random: np.random.Generator
    ) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
        """Cuts the same part out of a photo and of its partner."""
        height, width, _ = photo.shape
        seen = max(8, round(min(height, width) / random.uniform(*self._augmentation.zoom)))
        y, x = (int(random.integers(0, n - seen + 1)) for n in (height, width))
        method = cv2.INTER_AREA if seen > self._side else cv2.INTER_CUBIC
        mirrored = random.random() < self._augmentation.flip
        most = self._augmentation.rotation
        turn = random.uniform(-1, 1) * most if most else 0.0

        def cut(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
            part = picture[y : y + seen, x : x + seen]
            sized = np.asarray(cv2.resize(part, (self._side,) * 2, interpolation=method), np.uint8)
            sized = sized[:, ::-1] if mirrored else sized
            return _turned(sized, turn) if turn else sized

        return cut

    def _read(
        self, random: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """A photo, and its partner where there are some; unreadable pairs are passed over."""

        def read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
            other = self._partners.get(path)
            return read_picture(path), read_picture(other) if other else None

        return read_one_of(self._photos, random, self.broken, read)


def _varied(
    crop: NDArray[np.uint8], options: Augmentation, random: np.random.Generator
) -> NDArray[np.uint8]:
    """In other hues, under noise and through JPEG, as far as options ask; draws nothing for what
    they do not.
    """
    if options.hue:
        crop = turned_hue(crop, random.uniform(-1, 1) * options.hue)
    if options.noise:
        grain = random.normal(0, random.uniform(0, options.noise), crop.shape)
        crop = np.clip(np.rint(crop + grain), 0, 255).astype(np.uint8)
    if options.jpeg:
        quality = round(random.uniform(options.jpeg, 100))
        _, data = cv2.imencode(
            ".jpg", np.ascontiguousarray(crop), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        crop = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return crop


def _turned(crop: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """Turned about its middle; what lies outside is mirrored in."""
    size = crop.shape[1::-1]
    middle = (size[0] - 1) / 2, (size[1] - 1) / 2
    turn = cv2.getRotationMatrix2D(middle, degrees, 1.0)
    source = np.ascontiguousarray(crop)
    return np.asarray(cv2.warpAffine(source, turn, size, borderMode=cv2.BORDER_REFLECT), np.uint8)


def turned_hue(crop: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """RGB (H, W, 3) with its hues turned."""
    hsv = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2HSV).astype(np.int32)
    hsv[..., 0] = (hsv[..., 0] + round(degrees / 2)) % 180  # OpenCV has hues in steps of 2 degrees
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)


def _emptied(crop: NDArray[np.uint8], cells: int) -> NDArray[np.uint8]:
    """Nothing but one colour of the crop, or a soft gradient of `cells` a side."""
    colours = cv2.resize(crop, (cells, cells), interpolation=cv2.INTER_AREA).reshape(
        cells, cells, 3
    )
    size = crop.shape[1::-1]
    return np.asarray(cv2.resize(colours, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def _levels(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Rounded and cut to 0..255."""
    levels: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return levels


@dataclass(frozen=True)
class Motion:
    """A synthetic motion: where each pixel of the moved picture lies in the first one.

    `grid` is (1, H, W, 2), x then y, in -1..1 as `torch.nn.functional.grid_sample` takes it
    (without aligned corners); `valid` is (1, 1, H, W), 1 where the source lies well inside the
    first picture.
    """

    grid: Tensor
    valid: Tensor

    def apply(self, pictures: Tensor) -> Tensor:
        """The moved pictures, by nearest pixels, so that no blur gets into what is compared
        (ReReVST).
        """
        grid = self.grid.expand(len(pictures), -1, -1, -1).to(pictures.dtype)
        return F.grid_sample(
            pictures, grid, mode="nearest", padding_mode="reflection", align_corners=False
        )


def draw_motion(random: np.random.Generator, side: int, border: int) -> Motion:
    """Half of the time a shift by whole pixels, else a smooth flow, or a small rotation and zoom.

    The three kinds of ReReVST's compound regularisation and of camera motion; shifts are up to 15
    pixels.
    """
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    kind = random.random()
    if kind < 0.5:
        dx, dy = random.integers(-MAX_SHIFT + 1, MAX_SHIFT, 2)
        source_x, source_y = x + float(dx), y + float(dy)
    elif kind < 0.75:
        # normal on a coarse grid, smoothly enlarged, and a common shift (ReReVST, section 4.2)
        coarse = random.normal(0, 5, (4, 4, 2)).astype(np.float32)
        flow = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        flow = flow + random.uniform(-8, 8, 2).astype(np.float32)
        source_x, source_y = x + flow[..., 0], y + flow[..., 1]
    else:
        angle, zoom = np.deg2rad(random.uniform(-5, 5)), random.uniform(0.95, 1.05)
        centre = (side - 1) / 2
        cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
        source_x = cos * (x - centre) - sin * (y - centre) + centre
        source_y = sin * (x - centre) + cos * (y - centre) + centre
    # nearest sampling: both sides of the comparison take the very same pixels
    source_x, source_y = np.rint(source_x), np.rint(source_y)
    inside = (source_x >= border) & (source_x < side - border)
    inside &= (source_y >= border) & (source_y < side - border)
    inside &= (x >= border) & (x < side - border) & (y >= border) & (y < side - border)
    grid = np.stack([(2 * source_x + 1) / side - 1, (2 * source_y + 1) / side - 1], -1)
    return Motion(
        torch.from_numpy(grid.astype(np.float32))[None],
        torch.from_numpy(inside.astype(np.float32))[None, None],
    )
