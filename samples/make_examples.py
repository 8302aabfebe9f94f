"""Draws the pictures of the worked examples, and makes the figure of them in the README.

    python samples/make_examples.py FEATURES...

A desert's look put on a snowy mountain, and a colour picture turned into ink and wash, and back.
The pictures are landscapes computed from noise, cast ray by ray; nothing is taken from elsewhere.
FEATURES are weights of loss networks, as `stylize optimize --features` takes them.
"""

import sys
import tempfile
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from stylize_video.realtime import cli

Picture = NDArray[np.uint8]
Field = NDArray[np.float32]

HERE: Final = Path(__file__).resolve().parent
SIZE: Final = (640, 420)
CELL: Final = (384, 252)
_MAP: Final = 1024
_SUN: Final = np.array([-0.6, 0.35, 0.55], np.float32)


def noise(random: np.random.Generator, cells: int, octaves: int, *, ridged: bool = False) -> Field:
    """Smooth noise on the map, 0 to 1; with ridges where it would cross its middle."""
    total, weight = np.zeros((_MAP, _MAP), np.float32), 0.0
    for octave in range(octaves):
        grid = random.random((cells * 2**octave + 3,) * 2).astype(np.float32)
        layer = cv2.resize(grid, (_MAP, _MAP), interpolation=cv2.INTER_CUBIC)
        if ridged:
            layer = np.clip(1 - np.abs(2 * layer - 1), 0, 1) ** 1.5
        total += layer * 0.5**octave
        weight += 0.5**octave
    return np.asarray(total / weight, np.float32)


def shaded(height: Field, steep: float) -> tuple[Field, Field]:
    """Light of the sun, and how level the ground is, both 0 to 1."""
    dx, dy = cv2.Sobel(height, cv2.CV_32F, 1, 0), cv2.Sobel(height, cv2.CV_32F, 0, 1)
    normal = np.dstack([-dx * steep, -dy * steep, np.ones_like(height)])
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    sun = _SUN / np.linalg.norm(_SUN)
    return np.clip(normal @ sun, 0, 1), normal[..., 2]


def seen(
    height: Field, ground: Field, sky: tuple[Field, Field], eye: float, rise: float
) -> Picture:
    """The map in perspective, near rows in front of far ones, far ones in the haze."""
    width, tall = SIZE[0] * 2, SIZE[1] * 2
    low, high = sky
    fade = np.linspace(0, 1, tall, dtype=np.float32)[:, None, None]
    picture = np.broadcast_to(high * (1 - fade) + low * fade, (tall, width, 3)).copy()
    top = np.full(width, tall, np.int32)
    columns = np.arange(width)
    rows = np.arange(tall)[:, None]
    for distance in np.geomspace(0.06, 1.0, 520):
        x = (0.5 + (columns / width - 0.5) * 0.9 * distance) * (_MAP - 1)
        y = (1 - distance) * (_MAP - 1)
        at = np.dstack([x[None], np.full_like(x, y)[None]]).astype(np.float32)
        h = cv2.remap(height, at, None, cv2.INTER_LINEAR)[0]
        colour = cv2.remap(ground, at, None, cv2.INTER_LINEAR)[0]
        haze = 1 - np.exp(-1.5 * distance)
        colour = colour * (1 - 0.75 * haze) + low * 0.75 * haze
        line = np.clip(tall * 0.36 + (eye - h * rise) / distance * tall, 0, tall).astype(np.int32)
        new = (rows >= line) & (rows < top)
        picture = np.where(new[..., None], colour[None], picture)
        top = np.minimum(top, line)
    small = cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(np.rint(small), 0, 255), np.uint8)


def mountain(seed: int = 4) -> Picture:
    """Snow on grey rock under a blue sky, RGB."""
    random = np.random.default_rng(seed)
    far = np.linspace(1, 0, _MAP, dtype=np.float32)[:, None]
    height = noise(random, 3, 7, ridged=True) * (0.25 + 0.9 * far**1.2)
    light, level = shaded(height, 16)
    rough = noise(random, 60, 3)
    snow = np.clip((level - 0.42 + 0.5 * (height - 0.4) + 0.25 * (rough - 0.5)) * 6, 0, 1)[
        ..., None
    ]
    rock = np.array([96, 92, 94], np.float32) * (0.7 + 0.6 * rough[..., None])
    white = np.array([238, 243, 250], np.float32)
    shade = (
        np.array([0.55, 0.66, 0.9], np.float32) * (1 - light[..., None]) + light[..., None] * 1.08
    )
    ground = (rock * (1 - snow) + white * snow) * shade
    sky = np.array([206, 222, 240], np.float32), np.array([72, 122, 196], np.float32)
    return seen(height, ground.astype(np.float32), sky, 0.34, 0.48)


def desert(seed: int = 9) -> Picture:
    """Dunes of orange sand with ripples, in late light, RGB."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:_MAP, 0:_MAP].astype(np.float32) / _MAP
    bend = noise(random, 4, 3)
    phase = 9 * (0.8 * x + 1.7 * y) + 7 * bend
    dunes = (phase % 1.0) ** 1.4 * np.clip(1 - (phase % 1.0), 0, 0.18) / 0.18
    height = 0.28 * cv2.GaussianBlur(dunes.astype(np.float32), (0, 0), 4) + 0.35 * noise(
        random, 3, 3
    )
    ripples = 0.004 * np.sin(2 * np.pi * (90 * y + 40 * bend + 30 * x))
    light, _ = shaded((height + ripples).astype(np.float32), 26)
    grain = 0.92 + 0.16 * noise(random, 250, 1)
    sand = np.array([232, 150, 78], np.float32) * grain[..., None]
    warm = np.array([1.1, 1.02, 0.9], np.float32) * light[..., None]
    cool = np.array([0.5, 0.36, 0.34], np.float32) * (1 - light[..., None])
    ground = sand * (warm + cool)
    sky = np.array([250, 206, 150], np.float32), np.array([214, 140, 96], np.float32)
    return seen(height.astype(np.float32), ground.astype(np.float32), sky, 0.42, 0.6)


def write(path: Path, picture: Picture) -> None:
    """As PNG."""
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def stylize(*arguments: str) -> None:
    """Run the program."""
    if code := cli.run(list(arguments)):
        raise SystemExit(code)


def cell(path: Path) -> Picture:
    """A picture as it stands in the figure."""
    return np.asarray(cv2.resize(cv2.imread(str(path)), CELL, interpolation=cv2.INTER_AREA))


def main(features: list[str]) -> None:
    """Run both examples by their commands and put the pictures side by side."""
    given = [part for name in features for part in ("--features", name)]
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        snow, sand, hot = (folder / f"{n}.png" for n in ("mountain", "desert", "hot"))
        write(snow, mountain())
        write(sand, desert())
        stylize("optimize", str(snow), str(sand), "-o", str(hot), *given, "--size", "384",
                "--painting-side", "420", "--style", "12", "--steps", "100", "--quiet")  # fmt: skip
        colour, ink, back = (folder / f"{n}.png" for n in ("colour", "ink", "back"))
        photo = cv2.imread(str(HERE / "hills.jpg"))
        cv2.imwrite(str(colour), cv2.resize(photo, SIZE, interpolation=cv2.INTER_AREA))
        stylize("image", str(colour), str(ink), "--style", "noir")
        stylize("optimize", str(ink), str(colour), "-o", str(back), *given, "--size", "384",
                "--painting-side", "420", "--style", "12", "--steps", "100", "--quiet")  # fmt: skip
        rows = [[cell(p) for p in row] for row in ((snow, sand, hot), (colour, ink, back))]
        sheet = np.vstack([np.hstack(row) for row in rows])
        cv2.imwrite(str(HERE / "examples.jpg"), sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main(sys.argv[1:])
