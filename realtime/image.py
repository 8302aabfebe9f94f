"""Paints still pictures."""

from collections.abc import Callable
from pathlib import Path

from .catalogue import Style
from .errors import SinkOpenError
from .frame import Pixels, scaled_size
from .sinks.images import STILL_SUFFIXES, check_suffix, write_image
from .sources._pixels import PixelReader
from .sources.images import read_image


def paint_image(
    source: str,
    target: str | None,
    style: Style,
    paint: Callable[[Pixels], Pixels],
    *,
    resize: tuple[int | None, int | None] = (None, None),
    overwrite: bool = False,
    max_pixels: int,
) -> tuple[str, list[str]]:
    """Paint one picture by `paint`, RGB (H, W, 3) uint8; returns the new one's name and notices.

    Without a target it is ``<stem>_<style>`` beside the input, PNG where the input's format is not
    written. Raises `SourceOpenError`, `SinkOpenError`, `SinkWriteError` or `InferenceError`.
    """
    path = Path(source)
    if target is None:
        suffix = path.suffix if path.suffix.lower() in STILL_SUFFIXES else ".png"
        output = path.with_name(f"{path.stem}_{style.card.id}{suffix}")
    else:
        output = Path(target)
    check_suffix(output.suffix)
    if output.exists() and path.exists() and output.samefile(path):
        raise SinkOpenError(f"{output} is the input itself: give the output another name")
    reader = PixelReader()
    pixels = read_image(path, reader=reader, max_pixels=max_pixels)
    size = scaled_size(pixels.shape[1], pixels.shape[0], resize)
    if size != (pixels.shape[1], pixels.shape[0]):
        pixels = read_image(path, reader=PixelReader(size), max_pixels=max_pixels)
    write_image(output, paint(pixels), overwrite=overwrite)
    return str(output), list(reader.notices)
