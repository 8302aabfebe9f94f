"""Draws the sample clip and stills of this folder: a walk through hills, a cut, a face that talks,
and sound.

    python samples/make_samples.py [FOLDER]

Nothing here comes from elsewhere; the same script gives the same pictures.
"""

import math
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

WIDTH, HEIGHT, RATE, SECONDS, CUT_AT = 640, 360, 25, 8, 5
SCALE = 2  # drawn larger, then shrunk: soft edges everywhere
AUDIO_RATE = 44100


def texture(height: int, width: int, seed: int, cell: int = 2, stretch: int = 1) -> np.ndarray:
    """Noise of all sizes from `cell` up, (height, width) float of deviation 1, longer by
    `stretch`.
    """
    random = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    while cell < max(height, width) / 2:
        shape = (max(2, height // (cell * stretch)), max(2, width // cell))
        coarse = random.normal(size=shape).astype(np.float32)
        total += cell**0.35 * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        cell *= 2
    return total / total.std()


def shaded(
    picture: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int], light: np.ndarray
) -> None:
    """Lay a colour, lightened and darkened by `light` around 1, over the picture where the mask
    is.
    """
    alpha = cv2.GaussianBlur(mask, (0, 0), 1.0)[..., None] / 255
    body = np.clip(np.array(colour, np.float32) * light[..., None], 0, 255)
    picture[:] = picture * (1 - alpha) + body * alpha


class Hills:
    """A sunny landscape that slides by while somebody walks through it."""

    def __init__(self) -> None:
        self.height, self.width = HEIGHT * SCALE, WIDTH * SCALE
        self.clouds = texture(self.height * 3, self.width * 2, 1, cell=24)[::3]
        self.grass = texture(self.height, self.width * 2, 2, cell=3, stretch=4)
        self.leaves = texture(self.height, self.width, 3, cell=4)

    def draw(self, time: float) -> np.ndarray:
        """The scene at `time` seconds, RGB float."""
        height, width = self.height, self.width
        rows = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
        sky = (1 - rows) * np.array([70, 130, 215], np.float32) + rows * np.array(
            [250, 225, 190], np.float32
        )
        picture = np.broadcast_to(sky, (height, width, 3)).copy()
        self._sun(picture, time)
        self._clouds(picture, time)
        for layer, (base, swing, colour, speed) in enumerate(
            (
                (0.55, 0.09, (120, 140, 180), 12),
                (0.66, 0.08, (90, 140, 110), 30),
                (0.8, 0.05, (120, 160, 60), 75),
            )
        ):
            self._hill(picture, time, layer, base, swing, colour, speed)
        for index in range(5):
            x = (index * 0.31 * width + 200 - 75 * SCALE * time) % (1.5 * width) - 0.2 * width
            self._tree(
                picture,
                x,
                height * (0.74 + 0.04 * math.sin(index * 2.1)),
                90 + 30 * math.sin(index),
            )
        self._flowers(picture, time)
        self._walker(picture, time)
        return picture

    def _sun(self, picture: np.ndarray, time: float) -> None:
        y, x = np.mgrid[0 : self.height, 0 : self.width].astype(np.float32)
        distance = np.hypot(x - self.width * 0.78, y - self.height * (0.2 + 0.004 * time))
        glow = (
            np.exp(-((distance / 60) ** 2))[..., None] * 1.2
            + np.exp(-distance / 220)[..., None] * 0.5
        )
        picture[:] = np.minimum(255, picture + glow * np.array([120, 95, 20], np.float32))

    def _clouds(self, picture: np.ndarray, time: float) -> None:
        shift = int(10 * SCALE * time)
        band = np.clip(0.9 * self.clouds[:, shift : shift + self.width] - 0.3, 0, 1)
        fade = np.clip(1.2 - 2.4 * np.linspace(0, 1, self.height), 0, 1)[:, None]
        alpha = (band * fade * 0.9)[..., None].astype(np.float32)
        picture[:] = picture * (1 - alpha) + 250 * alpha

    def _hill(
        self,
        picture: np.ndarray,
        time: float,
        layer: int,
        base: float,
        swing: float,
        colour: tuple[int, int, int],
        speed: float,
    ) -> None:
        x = np.arange(self.width) + speed * SCALE * time + 700 * layer
        edge = base + swing * (
            np.sin(x / 190) * 0.6 + np.sin(x / 83 + layer) * 0.3 + np.sin(x / 37) * 0.1
        )
        y = np.arange(self.height)[:, None] / self.height
        mask = ((y > edge[None]) * 255).astype(np.uint8)
        shift = int(speed * SCALE * time) % self.width
        slope = 1 + 0.3 * np.clip(np.gradient(edge) * -500, -1, 1)[None]
        strength = (0.05, 0.12, 0.22)[layer]
        light = (slope + strength * self.grass[:, shift : shift + self.width]).astype(np.float32)
        shaded(picture, mask, colour, light)

    def _flowers(self, picture: np.ndarray, time: float) -> None:
        random = np.random.default_rng(9)
        for _ in range(260):
            depth = random.uniform(0, 1)
            x = (random.uniform(0, 2 * self.width) - (60 + 60 * depth) * SCALE * time) % (
                2 * self.width
            )
            y = self.height * (0.86 + 0.13 * depth)
            colour = ((230, 60, 70), (250, 220, 80), (240, 240, 250))[int(random.integers(3))]
            radius = int((1.5 + 2.5 * depth) * SCALE)
            cv2.circle(picture, (int(x), int(y)), radius, colour, -1, cv2.LINE_AA)

    def _tree(self, picture: np.ndarray, x: float, y: float, size: float) -> None:
        size *= SCALE / 2
        mask = np.zeros(picture.shape[:2], np.uint8)
        cv2.rectangle(
            mask, (int(x - size / 14), int(y - size * 0.5)), (int(x + size / 14), int(y)), 255, -1
        )
        shaded(picture, mask, (95, 65, 40), np.ones(mask.shape, np.float32))
        crown = np.zeros_like(mask)
        for angle in np.linspace(0, 2 * math.pi, 9):
            centre = (
                int(x + size * 0.22 * math.cos(angle)),
                int(y - size * 0.75 + size * 0.2 * math.sin(angle)),
            )
            cv2.circle(crown, centre, int(size * 0.2), 255, -1)
        lit = 1 + 0.35 * self.leaves
        shaded(picture, crown, (50, 110, 45), lit.astype(np.float32))

    def _walker(self, picture: np.ndarray, time: float) -> None:
        unit = 24 * SCALE
        stride = math.sin(time * 5.5)
        x = self.width * (0.32 + 0.03 * time)
        hip_y = self.height * 0.74 - abs(stride) * 0.08 * unit
        light = np.ones(picture.shape[:2], np.float32)

        def limb(
            points: list[tuple[float, float]], colour: tuple[int, int, int], thick: float
        ) -> None:
            mask = np.zeros(picture.shape[:2], np.uint8)
            line = np.array([[int(px), int(py)] for px, py in points], np.int32)
            cv2.polylines(mask, [line], False, 255, int(thick * unit), cv2.LINE_AA)
            shaded(picture, mask, colour, light)

        shoulder = (x + 0.12 * unit, hip_y - 1.7 * unit)
        for side, shade in ((-1, 0.75), (1, 1.0)):
            swing = stride * side
            knee = (x + 0.55 * unit * swing, hip_y + 0.9 * unit)
            foot = (x + 0.9 * unit * swing - 0.15 * unit, hip_y + 1.8 * unit)
            limb([(x, hip_y), knee, foot], tuple(int(c * shade) for c in (50, 60, 110)), 0.38)  # type: ignore[arg-type]
            elbow = (shoulder[0] - 0.5 * unit * swing, shoulder[1] + 0.8 * unit)
            hand = (shoulder[0] - 0.75 * unit * swing + 0.2 * unit, shoulder[1] + 1.5 * unit)
            limb([shoulder, elbow, hand], tuple(int(c * shade) for c in (190, 60, 45)), 0.26)  # type: ignore[arg-type]
        limb([(x, hip_y), shoulder], (205, 70, 50), 0.75)
        head = np.zeros(picture.shape[:2], np.uint8)
        centre = (int(shoulder[0] + 0.1 * unit), int(shoulder[1] - 0.75 * unit))
        cv2.circle(head, centre, int(0.46 * unit), 255, -1)
        shaded(picture, head, (225, 175, 140), light)
        hat = np.zeros_like(head)
        cv2.ellipse(
            hat,
            (centre[0], centre[1] - int(0.25 * unit)),
            (int(0.72 * unit), int(0.16 * unit)),
            0,
            0,
            360,
            255,
            -1,
        )
        cv2.ellipse(
            hat,
            (centre[0], centre[1] - int(0.3 * unit)),
            (int(0.4 * unit), int(0.4 * unit)),
            0,
            180,
            360,
            255,
            -1,
        )
        shaded(picture, hat, (235, 205, 110), light)


class Portrait:
    """Somebody who talks to the camera in a room with a window."""

    def __init__(self) -> None:
        self.height, self.width = HEIGHT * SCALE, WIDTH * SCALE
        self.noise = texture(self.height, self.width, 5, cell=6)
        self.strands = texture(self.height, self.width, 6, cell=3, stretch=8)

    def draw(self, time: float) -> np.ndarray:
        """The scene at `time` seconds, RGB float."""
        height, width = self.height, self.width
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        wall = 1 - 0.35 * x[..., None] / width + 0.08 * self.noise[..., None]
        picture = np.array([150, 120, 95], np.float32) * wall
        window = np.zeros((height, width), np.uint8)
        cv2.rectangle(
            window,
            (int(width * 0.06), int(height * 0.1)),
            (int(width * 0.27), int(height * 0.62)),
            255,
            -1,
        )
        shaded(picture, window, (190, 220, 245), (1.1 - 0.3 * y / height).astype(np.float32))
        for a, b in (((0.165, 0.1), (0.165, 0.62)), ((0.06, 0.36), (0.27, 0.36))):
            bar = np.zeros_like(window)
            ends = [(int(width * p[0]), int(height * p[1])) for p in (a, b)]
            cv2.line(bar, ends[0], ends[1], 255, 6 * SCALE)
            shaded(picture, bar, (90, 65, 45), np.ones_like(y))
        self._person(picture, x, y, time)
        return picture

    def _person(self, picture: np.ndarray, x: np.ndarray, y: np.ndarray, time: float) -> None:
        cx = self.width * (0.55 + 0.015 * math.sin(time * 1.7))
        cy = self.height * (0.46 + 0.01 * math.sin(time * 2.3))
        u = self.height / 10
        side = np.clip(1.15 - (x - cx + 2 * u) / (6.5 * u), 0.55, 1.25).astype(np.float32)

        def blob(
            centre: tuple[float, float],
            axes: tuple[float, float],
            colour: tuple[int, int, int],
            light: np.ndarray = side,
            angles: tuple[int, int] = (0, 360),
            thick: int = -1,
        ) -> None:
            mask = np.zeros(picture.shape[:2], np.uint8)
            place = (int(cx + centre[0] * u), int(cy + centre[1] * u))
            cv2.ellipse(
                mask,
                place,
                (int(axes[0] * u), int(axes[1] * u)),
                0,
                *angles,
                255,
                thick,
                cv2.LINE_AA,
            )
            shaded(picture, mask, colour, light)

        weave = (side * (1 + 0.12 * self.noise)).astype(np.float32)
        blob((0, 6.3), (4.4, 3.4), (60, 90, 120), weave)  # jacket
        hair = (side * (1 + 0.25 * self.strands)).astype(np.float32)
        blob((0, -0.3), (2.35, 3.0), (85, 52, 34), hair)  # behind
        blob((0, 2.6), (0.95, 1.3), (205, 155, 125))  # neck
        skin = (side * (1 + 0.03 * self.noise)).astype(np.float32)
        blob((0, 0), (1.9, 2.5), (230, 180, 150), skin)  # face
        blob((0, -1.9), (2.0, 1.1), (90, 55, 36), hair)  # fringe
        plain = np.ones_like(side)
        blink = 0.05 if math.sin(time * 2.9) > 0.97 else 0.2
        for s in (-1, 1):
            blob((0.75 * s, -0.25), (0.42, blink), (250, 248, 245), plain)
            blob(
                (0.75 * s + 0.06 * math.sin(time), -0.25),
                (0.17, min(0.17, blink)),
                (50, 70, 60),
                plain,
            )
            blob((0.75 * s, -0.65), (0.5, 0.16), (70, 42, 28), plain, (180, 360), 3 * SCALE)
            blob((1.15 * s, 0.75), (0.4, 0.3), (235, 150, 130))
        blob((0.05, 0.45), (0.22, 0.5), (215, 160, 130), plain * 0.96)
        opening = 0.12 + 0.28 * abs(math.sin(time * 7.1) * math.sin(time * 2.3))
        blob((0, 1.4), (0.75, opening + 0.12), (185, 70, 70), plain)
        blob((0, 1.4), (0.6, opening), (90, 30, 35), plain)


def frames() -> list[np.ndarray]:
    """Every frame of the clip, RGB (HEIGHT, WIDTH, 3) uint8."""
    hills, portrait = Hills(), Portrait()
    drawn = []
    for index in range(RATE * SECONDS):
        time = index / RATE
        picture = hills.draw(time) if time < CUT_AT else portrait.draw(time - CUT_AT)
        small = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        grain = np.random.default_rng(index).normal(0, 1.5, (HEIGHT, WIDTH, 1))
        drawn.append(np.clip(np.rint(small + grain), 0, 255).astype(np.uint8))
    return drawn


def tune() -> np.ndarray:
    """A plucked tune while walking, a murmur while talking, (1, samples) float32."""
    time = np.arange(AUDIO_RATE * SECONDS) / AUDIO_RATE
    sound = np.zeros_like(time)
    for beat, step in enumerate((0, 4, 7, 12, 7, 4, 9, 7, 5, 4)):
        start = beat * 0.5
        age = np.clip(time - start, 0, None)
        pitch = 220 * 2 ** (step / 12)
        pluck = np.sin(2 * np.pi * pitch * age) + 0.4 * np.sin(4 * np.pi * pitch * age)
        sound += 0.2 * pluck * np.exp(-4 * age) * (time >= start)
    talk = np.clip(time - CUT_AT, 0, None)
    voice = sum(np.sin(2 * np.pi * 120 * n * talk) / n for n in range(1, 8))
    sound += 0.08 * voice * np.abs(np.sin(talk * 7.1) * np.sin(talk * 2.3)) * (time >= CUT_AT)
    return sound.astype(np.float32)[None]


def write_clip(path: Path, pictures: list[np.ndarray]) -> None:
    """H.264 and AAC in MP4."""
    with av.open(str(path), "w", container_options={"movflags": "+faststart"}) as output:
        video = output.add_stream("libx264", rate=RATE, options={"crf": "21", "preset": "slow"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.time_base = Fraction(1, RATE)
        audio = output.add_stream("aac", rate=AUDIO_RATE)
        audio.codec_context.layout = "mono"
        samples = tune()
        block = AUDIO_RATE // RATE
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            output.mux(video.encode(frame))
            sound = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[:, index * block : (index + 1) * block]),
                "fltp",
                "mono",
            )
            sound.rate, sound.pts = AUDIO_RATE, index * block
            output.mux(audio.encode(sound))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))


def main() -> None:
    """Write ``walk.mp4`` and two stills."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    pictures = frames()
    write_clip(folder / "walk.mp4", pictures)
    for name, index in (("hills", 60), ("portrait", RATE * CUT_AT + 30)):
        cv2.imwrite(
            str(folder / f"{name}.jpg"),
            cv2.cvtColor(pictures[index], cv2.COLOR_RGB2BGR),
            [cv2.IMWRITE_JPEG_QUALITY, 92],
        )


if __name__ == "__main__":
    main()
