"""One contract for every source: frames of one size, rising times, honest information."""

import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from media import write_video

from stylize_video.realtime import FileSource, Frame, Source, SyntheticSource
from stylize_video.realtime.errors import SourceOpenError
from stylize_video.realtime.sources.file import FileOptions
from stylize_video.realtime.sources.images import ImageSequenceSource

Open = Callable[[Path], Source]


def open_file(folder: Path) -> Source:
    return FileSource(write_video(folder / "in.mp4", 12, (48, 32), Fraction(25), audio=True))


def open_stream(folder: Path) -> Source:
    path = write_video(folder / "in.mkv", 12, (48, 32), Fraction(25))
    return FileSource(io.BytesIO(path.read_bytes()))


def open_cut(folder: Path) -> Source:
    path = write_video(folder / "in.mp4", 40, (48, 32), Fraction(25))
    return FileSource(path, FileOptions(start=Fraction(2, 5), end=Fraction(22, 25)))


def open_resized(folder: Path) -> Source:
    path = write_video(folder / "in.mp4", 12, (96, 64), Fraction(25))
    return FileSource(path, FileOptions(resize=(48, None)))


def open_pictures(folder: Path) -> Source:
    paths = []
    for index in range(12):
        paths.append(folder / f"{index}.png")
        cv2.imwrite(str(paths[-1]), np.full((32, 48, 3), index * 20, np.uint8))
    return ImageSequenceSource(paths, Fraction(25))


def open_synthetic(_folder: Path) -> Source:
    return SyntheticSource(48, 32, 12, Fraction(25))


SOURCES = [open_file, open_stream, open_cut, open_resized, open_pictures, open_synthetic]


@pytest.fixture(params=SOURCES, ids=lambda f: f.__name__.removeprefix("open_"))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    opened: Source = request.param(tmp_path)
    yield opened
    opened.close()


def test_information_is_there_before_iterating(source: Source) -> None:
    info = source.info
    assert (info.width, info.height) == (48, 32)
    assert info.rate_nominal == 25
    assert info.time_base > 0
    assert info.pixel_aspect > 0


def test_frames_have_one_size_and_rising_times(source: Source) -> None:
    frames = [item for item in source if isinstance(item, Frame)]
    assert len(frames) == 12
    assert {f.pixels.shape for f in frames} == {(32, 48, 3)}
    assert all(f.pixels.dtype == np.uint8 and f.pixels.flags.c_contiguous for f in frames)
    times = [f.pts for f in frames]
    assert times == [Fraction(i, 25) for i in range(12)]


def test_frames_are_their_own(source: Source) -> None:
    """A frame kept is not overwritten by the next."""
    frames = [item for item in source if isinstance(item, Frame)]
    copies = [f.pixels.copy() for f in frames]
    assert all(np.array_equal(f.pixels, c) for f, c in zip(frames, copies, strict=True))
    assert not np.array_equal(frames[0].pixels, frames[-1].pixels)


def test_side_packets_belong_to_streams_that_were_announced(source: Source) -> None:
    keys = {stream.key for stream in source.extras.streams}
    assert all(isinstance(item, Frame) or item.key in keys for item in source)


def test_nothing_to_tell_about_plain_input(source: Source) -> None:
    for _ in source:
        pass
    assert source.notices == []


@pytest.mark.parametrize("opener", [FileSource], ids=["file"])
@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "does not exist"), (b"", "is empty"), (b"x" * 5000, "not a readable")],
)
def test_what_is_no_video_is_refused(
    opener: Callable[[Path], Source], content: bytes | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "in.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceOpenError, match=said) as caught:
        opener(path)
    assert isinstance(caught.value, OSError)
    assert str(path) in str(caught.value)
