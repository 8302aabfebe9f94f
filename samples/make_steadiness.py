"""Paints the sample clip frame by frame and steadied, to look at the difference.

    python samples/make_steadiness.py

Writes ``steady.jpg``: what one row of pixels shows over time, one line a frame, downwards. What
stands still or moves evenly should draw clean lines; flicker is noise across them. And
``steady.mp4``: both side by side.
"""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from stylize_video.realtime import (
    EngineRequest,
    FileSink,
    FileSource,
    Frame,
    Stylizer,
    VideoInfo,
    find_style,
    load_engine,
    stage_for,
)
from stylize_video.realtime.frame import Extras
from stylize_video.realtime.sinks._containers import EncodeOptions

SAMPLES = Path(__file__).resolve().parent
STYLE, FRAMES, ZOOM = "starry", 96, 4
TIERS = ("off", "fast", "quality", "best")
ROW, COLUMNS = 0.62, slice(200, 480)


def painted(tier: str) -> list[np.ndarray]:
    """The frames of the sample clip with a tier."""
    engine = load_engine(find_style(STYLE), EngineRequest())
    stylizer = Stylizer(engine, stage_for(tier, 2))  # type: ignore[arg-type]
    source = FileSource(SAMPLES / "walk.mp4")
    shown: list[np.ndarray] = []
    for item in source:
        if isinstance(item, Frame):
            shown += [f.pixels for f in stylizer.push(item)]
        if len(shown) >= FRAMES + 20:
            break
    shown += [f.pixels for f in stylizer.finish()]
    source.close()
    stylizer.close()
    return shown[:FRAMES]


def slices(frames: list[np.ndarray]) -> np.ndarray:
    """One row of every frame, below each other, enlarged."""
    row = round(frames[0].shape[0] * ROW)
    picture = np.stack([frame[row, COLUMNS] for frame in frames])
    return cv2.resize(picture, None, fx=2, fy=ZOOM, interpolation=cv2.INTER_NEAREST)


def labelled(picture: np.ndarray, text: str) -> np.ndarray:
    """With its name in a strip above."""
    strip = np.full((28, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, text, (4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (30, 30, 30), 1, cv2.LINE_AA)
    return np.vstack([strip, picture])


def main() -> None:
    """Write both."""
    shown = {tier: painted(tier) for tier in TIERS}
    gap = np.full((FRAMES * ZOOM + 28, 8, 3), 255, np.uint8)
    parts = [p for tier in TIERS for p in (labelled(slices(shown[tier]), tier), gap)]
    sheet = cv2.cvtColor(np.hstack(parts[:-1]), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(SAMPLES / "steady.jpg"), sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])
    height, width = shown["off"][0].shape[:2]
    info = VideoInfo(width * 2, height, Fraction(25), Fraction(1, 25))
    options = EncodeOptions(crf=26, preset="slow", overwrite=True)
    sink = FileSink(SAMPLES / "steady.mp4", info, Extras(), options)
    for t in range(FRAMES):
        both = np.hstack([shown["off"][t], shown["quality"][t]])
        sink.write(Frame(np.ascontiguousarray(both), Fraction(t, 25), Fraction(1, 25)))
    sink.finish()


if __name__ == "__main__":
    main()
