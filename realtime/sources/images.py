"""Still pictures and numbered sequences of them."""

import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import av

from ..errors import SourceOpenError, SourceReadError
from ..frame import Extras, Frame, Pixels, SidePacket, VideoInfo, scaled_size
from . import Mark, digest_of
from ._open import DEFAULT_MAX_PIXELS, FileOptions, open_container
from ._pixels import PixelReader

IMAGE_SUFFIXES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"}
)


def read_image(
    path: Path, *, reader: PixelReader | None = None, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Pixels:
    """The first picture of a file as RGB (H, W, 3) uint8, upright. Raises `SourceOpenError`."""
    container = open_container(path, str(path), FileOptions(max_pixels=max_pixels), what="picture")
    with container:
        if not container.streams.video:
            raise SourceOpenError(f"{path} is not a picture: it has no video stream")
        context = container.streams.video[0].codec_context
        if context.width * context.height > max_pixels:
            raise SourceOpenError(
                f"{path} is {context.width}x{context.height}, over the limit of {max_pixels} "
                f"pixels: pass --max-pixels {context.width * context.height} to allow it"
            )
        context.options = {"max_pixels": str(max_pixels)}
        try:
            for frame in container.decode(video=0):
                return (reader or PixelReader()).read(frame)
        except av.FFmpegError as error:
            raise SourceOpenError(f"{path} is not a readable picture: {error.strerror}") from error
    raise SourceOpenError(f"{path} has no readable picture")


def natural_order(path: Path) -> tuple[tuple[int, int | str], ...]:
    """Sorting key that puts frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name)
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts)


def sequence_paths(pattern: Path) -> list[Path]:
    """The files of a sequence given as a folder, a ``%04d`` pattern or a ``*`` glob, in order.

    Raises `SourceOpenError` when there is none.
    """
    if pattern.is_dir():
        found = [p for p in pattern.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
    else:
        numbered = re.split(r"(%0?\d*d)", pattern.name)
        regex = "".join(r"\d+" if re.fullmatch(r"%0?\d*d", p) else _glob(p) for p in numbered)
        folder = pattern.parent
        if not folder.is_dir():
            raise SourceOpenError(
                f"{folder} does not exist, so there is no sequence {pattern.name}"
            )
        found = [p for p in folder.iterdir() if re.fullmatch(regex, p.name)]
    if not found:
        raise SourceOpenError(f"{pattern} matches no pictures")
    return sorted(found, key=natural_order)


def _glob(text: str) -> str:
    return re.escape(text).replace(r"\*", ".*")


class ImageSequenceSource:
    """Pictures as the frames of a video with a constant rate (frames a second)."""

    def __init__(
        self,
        paths: Sequence[Path],
        rate: Fraction,
        resize: tuple[int | None, int | None] = (None, None),
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        self._paths, self._rate, self._max_pixels = list(paths), rate, max_pixels
        first = read_image(self._paths[0], max_pixels=max_pixels)
        width, height = scaled_size(first.shape[1], first.shape[0], resize)
        self._reader = PixelReader((width, height))
        self.info = VideoInfo(
            width=width,
            height=height,
            rate_nominal=rate,
            time_base=1 / rate,
            frames_from_header=len(self._paths),
            duration_from_header=len(self._paths) / rate,
        )
        self.extras = Extras()
        self._skipped = 0

    def skip_through(self, mark: Mark) -> None:
        """Go on behind the marked frame; see `sources.Resumable`."""
        if mark.count > len(self._paths):
            raise SourceReadError(
                f"{len(self._paths)} pictures are left of {mark.count} that were painted: begin "
                "anew with --restart"
            )
        path = self._paths[mark.count - 1]
        read_image(self._paths[0], reader=self._reader, max_pixels=self._max_pixels)
        if digest_of(read_image(path, reader=self._reader)) != mark.digest:
            raise SourceReadError(f"{path} has changed since: begin anew with --restart")
        self._skipped = mark.count

    def read_from(self, time: Fraction | None, *, seek: bool) -> None:
        """Give pictures at or behind `time` only; see `sources.Splittable`. Always goes there."""
        if time is None:
            return
        read_image(self._paths[0], reader=self._reader, max_pixels=self._max_pixels)
        self._skipped = min(len(self._paths), math.ceil(time * self._rate))

    def __iter__(self) -> Iterator[Frame | SidePacket]:
        for index, path in enumerate(self._paths[self._skipped :], self._skipped):
            try:
                pixels = read_image(path, reader=self._reader, max_pixels=self._max_pixels)
            except SourceOpenError as error:
                raise SourceReadError(str(error)) from error
            yield Frame(pixels, index / self._rate, 1 / self._rate)

    @property
    def notices(self) -> list[str]:
        """One line for each thing that was not plain sailing."""
        return list(self._reader.notices)

    def close(self) -> None:
        """Nothing stays open between frames."""
