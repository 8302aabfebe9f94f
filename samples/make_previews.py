"""Paints the pictures of the catalogue: ``preview.jpg`` of every style, and ``styles.jpg``, all of
them side by side, which the README shows.

    python samples/make_previews.py

The pictures are the stills of this folder and photos that scikit-image ships: the astronaut (NASA,
public domain), Chelsea the cat (Stefan van der Walt, CC0) and a cup of coffee (Rachel Michetti,
CC0).
"""

from pathlib import Path

import cv2
import numpy as np
from make_paintings import stained_glass
from skimage import data

from stylize_video.realtime import EngineRequest, Style, all_styles, load_engine
from stylize_video.realtime.engines.any_painting import Painting

SAMPLES = Path(__file__).resolve().parent
MODELS = SAMPLES.parent / "models"
PREVIEW_HEIGHT, CELL_HEIGHT, GAP = 360, 270, 6


def pictures() -> list[np.ndarray]:
    """RGB uint8 pictures of people, an animal, things and a landscape."""
    hills, portrait = (
        cv2.cvtColor(cv2.imread(str(SAMPLES / f"{name}.jpg")), cv2.COLOR_BGR2RGB)
        for name in ("hills", "portrait")
    )
    coffee = data.coffee()[:, 40:560]
    return [hills, data.astronaut(), portrait[:, 140:], data.chelsea(), coffee]


def scaled(picture: np.ndarray, height: int) -> np.ndarray:
    """The picture at this height."""
    width = round(picture.shape[1] * height / picture.shape[0])
    method = cv2.INTER_AREA if height < picture.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=method)


def row(painted: list[np.ndarray]) -> np.ndarray:
    """Pictures of one height side by side, a white gap between them."""
    gap = np.full((painted[0].shape[0], GAP, 3), 255, np.uint8)
    parts = [part for picture in painted for part in (picture, gap)]
    return np.hstack(parts[:-1])


def paint(style: Style, originals: list[np.ndarray]) -> list[np.ndarray]:
    """What the style makes of the pictures, with its float network.

    One that paints like any painting gets the window drawn here.
    """
    paintings = [Painting(stained_glass())] if style.encoder else []
    engine = load_engine(style, EngineRequest("cpu", "fp32", paintings=tuple(paintings)))
    try:
        return [engine.paint(np.ascontiguousarray(p)) for p in originals]
    finally:
        engine.close()


def write(path: Path, picture: np.ndarray, quality: int = 88) -> None:
    """As JPEG."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), settings)


def labelled(picture: np.ndarray, text: str) -> np.ndarray:
    """With its name in a strip above."""
    strip = np.full((26, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, text, (4, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (30, 30, 30), 1, cv2.LINE_AA)
    return np.vstack([strip, picture])


def main() -> None:
    """Write every preview and the sheet."""
    large = [scaled(p, PREVIEW_HEIGHT) for p in pictures()]
    rows = [labelled(row([scaled(p, CELL_HEIGHT) for p in large]), "")]
    for style in all_styles():
        painted = paint(style, large)
        write(MODELS / style.card.id / "preview.jpg", row(painted[:2]))
        cells = row([scaled(p, CELL_HEIGHT) for p in painted])
        rows.append(labelled(cells, style.card.id))
    write(MODELS / "styles.jpg", np.vstack(rows), 82)


if __name__ == "__main__":
    main()
