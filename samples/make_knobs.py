"""Turns the knobs on a drawn picture, for the figure in the README.

    python samples/make_knobs.py

Writes ``knobs.jpg``: one cell for each setting of KNOBS, left to right, with its name.
"""

from fractions import Fraction
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from stylize_video.realtime import EngineRequest, Frame, Stylizer, find_style, load_engine
from stylize_video.realtime.finish import labelled
from stylize_video.realtime.knobs import Knobs
from stylize_video.realtime.masks import BrightnessMask
from stylize_video.realtime.studio import Studio

SAMPLES: Final = Path(__file__).resolve().parent
STYLES: Final = ("starry", "scream")
CELL: Final = (384, 216)
COLUMNS: Final = 3
KNOBS: Final = {
    "strength 0.5": Knobs(strength=0.5),
    "full strength": Knobs(),
    "colours 1": Knobs(colours=1.0),
    "stroke 0.6": Knobs(stroke=0.6),
    "stroke 3": Knobs(stroke=3.0),
    "mix starry:1,scream:1": Knobs(mix=((0, 0.5), (1, 0.5))),
    "mask luma:90..255": Knobs(mask="inside"),
    "the rest of it": Knobs(mask="outside"),
    "before and after": Knobs(divider=0.5),
}


def sheet() -> np.ndarray:
    """The figure, BGR (H, W, 3) uint8."""
    drawn = cv2.imread(str(SAMPLES / "portrait.jpg"))
    assert drawn is not None
    picture = np.ascontiguousarray(drawn[..., ::-1])
    engines = [load_engine(find_style(name), EngineRequest()) for name in STYLES]
    makers = [lambda engine=engine: Stylizer(engine) for engine in engines]
    studio = Studio(makers, BrightnessMask(90, 255))
    cells = []
    for name, knobs in KNOBS.items():
        shown = studio.paint(Frame(picture, Fraction(0)), knobs).frame.pixels
        small = np.asarray(cv2.resize(shown, CELL, interpolation=cv2.INTER_AREA), np.uint8)
        cells.append(labelled(small, name)[..., ::-1])
    studio.close()
    rows = [np.hstack(cells[at : at + COLUMNS]) for at in range(0, len(cells), COLUMNS)]
    return np.vstack(rows)


def main() -> None:
    cv2.imwrite(str(SAMPLES / "knobs.jpg"), sheet(), [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
