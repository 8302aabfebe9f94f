"""Draws the pictures that some of the catalogue's styles learned from.

    python samples/make_paintings.py FOLDER
    python samples/make_paintings.py FOLDER PHOTOS

A stained-glass window, an engraving and an ink wash: looks for which no painting was at hand that
is beyond doubt in the public domain. Everything is computed from a seed; nothing is taken from
elsewhere. With a folder of photos also FOLDER/cartoon, flat frames with outlines, and
FOLDER/watercolour, washes on paper, made of some of them, for adversarial training in pairs.
"""

import sys
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Field = NDArray[np.float32]

WIDTH: Final = 960
HEIGHT: Final = 720
FRAMES: Final = 480
_FINE: Final = 2
"""Drawn so many times larger, for smooth edges."""


def noise(random: np.random.Generator, shape: tuple[int, int], cells: int, octaves: int) -> Field:
    """Smooth noise around 0, about 1 high, `cells` of it across, and finer ones on top."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        across = cells * 2**octave
        grid = random.normal(0, 0.5**octave, (max(2, across * height // width), across))
        total += cv2.resize(grid.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return total


def landscape(random: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Light and shade of hills, a lake, a round tree and clouds, 0 (dark) to 1."""
    height, width = shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    y, x = y / height, x / width
    tone = 0.75 + 0.25 * (1 - y) + 0.12 * noise(random, shape, 4, 3)
    for base, rough, dark in ((0.42, 0.08, 0.62), (0.55, 0.06, 0.45), (0.7, 0.05, 0.33)):
        line = base + rough * np.sin(7 * x + 20 * base) + 0.03 * noise(random, (1, width), 6, 4)
        shade = dark + 0.5 * (y - line) + 0.22 * noise(random, shape, 9, 3)
        edge = np.clip((y - line) * height / 2, 0, 1)
        tone = tone * (1 - edge) + shade * edge
    for cx, cy, radius in ((0.24, 0.42, 0.17), (0.74, 0.34, 0.11), (0.55, 0.8, 0.09)):
        dx, dy = (x - cx) * width / height, y - cy
        inside = np.clip((radius - np.hypot(dx, dy)) * height / 2, 0, 1)
        ball = 0.55 - 1.6 * (dx + dy) / radius * 0.35 + 0.1 * noise(random, shape, 30, 2)
        tone = tone * (1 - inside) + ball * inside
    return np.clip(tone, 0.02, 1).astype(np.float32)


def stained_glass(seed: int = 3) -> Picture:
    """A window of jewel-coloured glass in lead: a rose above leaves and water."""
    random = np.random.default_rng(seed)
    height, width = HEIGHT * _FINE, WIDTH * _FINE
    seeds = []
    for ring, count in enumerate((1, 8, 14, 20, 28)):
        turn = random.uniform(0, 1)
        for k in range(count):
            angle = 2 * np.pi * (k + turn) / count
            radius = ring * 0.115 * height
            seeds.append(
                (width / 2 + radius * np.cos(angle), 0.46 * height + radius * np.sin(angle))
            )
    while len(seeds) < 260:
        point = random.uniform(0, width), random.uniform(0, height)
        near = min((point[0] - a) ** 2 + (point[1] - b) ** 2 for a, b in seeds)
        if near > (0.042 * height) ** 2:
            seeds.append(point)
    marks = np.full((height, width), 255, np.uint8)
    for a, b in seeds:
        cv2.circle(marks, (int(np.clip(a, 0, width - 1)), int(np.clip(b, 0, height - 1))), 1, 0, -1)
    _, labels = cv2.distanceTransformWithLabels(
        marks, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP
    )
    jewels = np.array(
        [
            [196, 24, 38], [226, 96, 20], [244, 182, 32], [18, 74, 180], [14, 120, 200],
            [20, 140, 110], [44, 150, 52], [96, 28, 140], [150, 20, 90], [240, 226, 170],
        ],
        np.float32,
    )  # fmt: skip
    cells = int(labels.max()) + 1
    middle = np.zeros((cells, 2), np.float32)
    count = np.bincount(labels.ravel(), minlength=cells).clip(1)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    middle[:, 0] = np.bincount(labels.ravel(), x.ravel(), cells) / count / width
    middle[:, 1] = np.bincount(labels.ravel(), y.ravel(), cells) / count / height
    colours = np.zeros((cells, 3), np.float32)
    for cell in range(cells):
        cx, cy = middle[cell]
        distance = np.hypot((cx - 0.5) * width / height, cy - 0.46)
        if distance < 0.5:
            band = int(distance / 0.115 + 0.5)
            choice = ((2, 9), (0, 1), (3, 4), (2, 1), (7, 3))[min(band, 4)]
        else:
            choice = (5, 6) if cy > 0.75 else (4, 3) if cy < 0.3 else (8, 0)
        colours[cell] = jewels[random.choice(choice)] * random.uniform(0.75, 1.15)
    glass = colours[labels]
    light = (
        1
        + 0.16 * noise(random, (height, width), 12, 3)
        + 0.08 * noise(random, (height, width), 90, 1)
    )
    light *= 1.12 - 0.5 * np.hypot(x / width - 0.5, y / height - 0.46)
    glass = glass * light[..., None]
    edges = (cv2.Laplacian(labels.astype(np.float32), cv2.CV_32F) != 0).astype(np.uint8)
    lead = cv2.dilate(edges, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11)))
    lead = cv2.GaussianBlur(lead.astype(np.float32), (0, 0), 1.5)[..., None]
    glow = cv2.GaussianBlur(edges.astype(np.float32), (0, 0), 9)[..., None]
    picture = glass * (1 - 0.9 * np.clip(glow * 1.4, 0, 0.5)) * (1 - lead) + 16 * lead
    return small(picture)


def engraving(seed: int = 5) -> Picture:
    """Black lines on cream paper that swell with the shade, crossed where it is deep."""
    random = np.random.default_rng(seed)
    shape = HEIGHT * _FINE, WIDTH * _FINE
    tone = landscape(random, shape)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    bend = cv2.GaussianBlur(tone, (0, 0), 40) * 160
    ink = np.zeros(shape, np.float32)
    for angle, period, below in ((0.35, 13.0, 0.92), (1.25, 13.0, 0.55), (-0.6, 12.0, 0.32)):
        along = x * np.sin(angle) + y * np.cos(angle) + bend * (1 if angle < 1 else -1)
        wave = 0.5 + 0.5 * np.cos(2 * np.pi * along / period + 0.6 * noise(random, shape, 40, 1))
        weight = np.clip((below - tone) / below, 0, 1) ** 0.8
        ink = np.maximum(ink, np.clip((wave - (1 - 0.75 * weight)) * 9, 0, 1))
    grain = 1 + 0.03 * noise(random, shape, 200, 1)
    paper = np.array([238, 228, 204], np.float32) * grain[..., None]
    black = np.array([30, 26, 24], np.float32)
    return small(paper * (1 - ink[..., None]) + black * ink[..., None])


def noir(seed: int = 8) -> Picture:
    """Ink and wash: hard black shapes, a few greys that bleed, brush lines, white paper."""
    random = np.random.default_rng(seed)
    shape = HEIGHT * _FINE, WIDTH * _FINE
    tone = landscape(random, shape)
    tone = cv2.bilateralFilter(tone, 15, 0.2, 15)
    bled = tone + 0.05 * noise(random, shape, 30, 3)
    steps = np.full(shape, 250, np.float32)
    for limit, value in ((0.8, 205.0), (0.55, 140.0), (0.38, 58.0), (0.25, 14.0)):
        edge = np.clip((limit - bled) * 45, 0, 1)
        steps = steps * (1 - edge) + value * edge
        # wash dries darker along its rim
        steps -= 26 * np.exp(-(((bled - limit) * 70) ** 2))
    dry = noise(random, (shape[0], shape[1]), 24, 1) + noise(random, (shape[0], shape[1]), 160, 1)
    steps += 10 * dry * np.clip((steps - 30) / 80, 0, 1)
    lines = np.abs(cv2.Laplacian(cv2.GaussianBlur(tone, (0, 0), 3), cv2.CV_32F, ksize=5))
    lines = np.clip(cv2.GaussianBlur(lines, (0, 0), 2) * 2.2 - 0.25, 0, 1)
    steps = steps * (1 - 0.9 * lines)
    return small(np.repeat(steps[..., None], 3, 2))


def small_photo(photo: Picture) -> Picture:
    """A photo with a short side of 320 pixels."""
    scale = 320 / min(photo.shape[:2])
    sized = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(sized, np.uint8)


def blurred(values: Field, sigma: float) -> Field:
    """Gaussian blur of a field."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)


def watercolour(photo: Picture) -> Picture:
    """A photo as washes on white paper over a faint pencil drawing.

    Colours bleed over the shapes, pigment gathers along the dark side of edges and leaves paper
    bare along the light one (density of pigment: Bousseau 2006, section 3). Nothing is random, so
    that a network can learn it pixel by pixel.
    """
    picture = small_photo(photo)
    flat = cv2.pyrMeanShiftFiltering(picture, 10, 22)
    flat = cv2.medianBlur(cv2.medianBlur(flat, 7), 5)
    lab = cv2.cvtColor(flat.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    light = np.clip((lab[..., 0] / 100 - 0.03) / 0.8, 0, 1)
    # washes: seven levels of light with soft steps between, the darkest still transparent
    level = light * 7
    light = (np.floor(level) + np.clip((level % 1 - 0.5) * 2.5 + 0.5, 0, 1)) / 7
    light = (0.4 + 0.6 * light**0.8).astype(np.float32)
    bled = np.dstack([blurred(lab[..., i].copy(), 7) for i in (1, 2)])
    colour = 1.5 * (0.35 * lab[..., 1:] + 0.65 * bled)
    colour /= (1 + np.square(colour).sum(-1, keepdims=True) / 70**2) ** 0.5  # no pigment is neon
    colour -= np.clip(0.7 - light, 0, 1)[..., None] * np.array([-8, 24], np.float32)  # cool darks
    whole = np.dstack([100 * light, colour]).astype(np.float32)
    wash = np.clip(cv2.cvtColor(whole, cv2.COLOR_LAB2RGB), 0.02, 1)
    rim = blurred(light, 3.5) - blurred(light, 0.8)  # above 0 on the dark side of edges
    density = 3.2 * np.clip(rim, -0.12, 0.12)[..., None]
    wash -= 1.6 * density * (wash - wash * wash)
    bare = np.clip(-9 * rim - 0.25, 0, 0.75)[..., None]
    wash = wash * (1 - bare) + 0.985 * bare
    clean = cv2.bilateralFilter(picture, 7, 40, 5)
    grey = cv2.cvtColor(clean, cv2.COLOR_RGB2GRAY).astype(np.float32)
    pencil = 0.55 * np.clip((0.98 * blurred(grey, 1.6) - blurred(grey, 0.8) - 1.5) / 7, 0, 1)
    drawn = wash * (1 - pencil[..., None]) + np.array([0.25, 0.22, 0.25]) * pencil[..., None]
    sheet = np.array([252, 250, 243])
    return np.asarray(np.rint(np.clip(drawn, 0, 1) * sheet), np.uint8)


def cartoon(photo: Picture) -> Picture:
    """A photo as a flat cartoon frame: a few strong colours in smooth shapes, dark outlines."""
    flat = cv2.pyrMeanShiftFiltering(small_photo(photo), 14, 28)
    for _ in range(3):
        flat = cv2.medianBlur(flat, 7)
    hsv = cv2.cvtColor(flat, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] = np.clip(hsv[..., 1] * 1.45 + 8, 0, 255)
    hsv[..., 2] = np.clip((hsv[..., 2] - 118) * 1.15 + 140, 0, 255)
    # few levels of light, with soft steps between them
    level = hsv[..., 2] / 36
    hsv[..., 2] = 36 * (np.floor(level) + np.clip((level % 1 - 0.5) * 6 + 0.5, 0, 1))
    bright = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
    grey = cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine, broad = cv2.GaussianBlur(grey, (0, 0), 1.0), cv2.GaussianBlur(grey, (0, 0), 1.8)
    line = np.clip((0.985 * broad - fine - 1.2) / 3, 0, 1)  # differences of Gaussians
    line = cv2.GaussianBlur(line, (0, 0), 0.6)[..., None]
    return np.asarray(np.rint(bright * (1 - line) + np.array([24, 20, 30]) * line), np.uint8)


def small(picture: Any) -> Picture:
    """At the size it is kept in, RGB uint8."""
    picture = np.clip(picture, 0, 255).astype(np.float32)
    return np.asarray(
        np.rint(cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)), np.uint8
    )


PAINTINGS: Final = {
    "glass": stained_glass,
    "engraving": engraving,
    "noir": noir,
}
FILTERS: Final = {"cartoon": cartoon, "watercolour": watercolour}


def main(folder: Path, photos: Path | None = None) -> None:
    """Write all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PAINTINGS.items():
        cv2.imwrite(str(folder / f"{name}.png"), cv2.cvtColor(draw(), cv2.COLOR_RGB2BGR))
    if photos is None:
        return
    paths = sorted(p for p in photos.iterdir() if p.suffix.lower() in (".jpg", ".png"))
    chosen = paths[:: max(1, len(paths) // FRAMES)][:FRAMES]
    for name in FILTERS:
        (folder / name).mkdir(exist_ok=True)
    for path in chosen:
        photo = cv2.imread(str(path))
        if photo is None:
            continue
        shown = np.asarray(cv2.cvtColor(photo, cv2.COLOR_BGR2RGB), np.uint8)
        for name, painted in FILTERS.items():
            target = folder / name / f"{path.stem}.png"
            cv2.imwrite(str(target), cv2.cvtColor(painted(shown), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."), *map(Path, sys.argv[2:3]))
