"""What a container holds: the picture to paint, and all that travels beside it."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

import av
from av.video.stream import VideoStream

from ..errors import SourceOpenError
from ..frame import Attachment, SideStream
from ._open import FileOptions

_ATTACHED_PICTURE: Final = 0x400
_DEFAULT: Final = 1


def choose_stream(container: Any, name: str) -> tuple[VideoStream, int]:
    """The moving picture that is painted, and how many others there are. Raises
    `SourceOpenError`.
    """
    moving = [s for s in container.streams.video if not s.disposition & _ATTACHED_PICTURE]
    if not moving:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise SourceOpenError(f"{name} has no video stream, only {kinds}: nothing to paint")
    default = [s for s in moving if s.disposition & _DEFAULT]
    stream: VideoStream = (default or moving)[0]
    if stream.codec_context is None:
        raise SourceOpenError(f"{name} has a video codec this build cannot decode")
    return stream, len(moving) - 1


def side_streams(container: Any, *, audio: bool) -> dict[int, SideStream]:
    """What travels beside the picture, by the streams' numbers."""
    side: dict[int, SideStream] = {}
    for stream in container.streams:
        kind = stream.type
        if kind == "video" and stream.disposition & _ATTACHED_PICTURE:
            side[stream.index] = SideStream(stream.index, "picture", stream)
        elif kind not in ("audio", "subtitle") or stream.codec_context is None:
            continue
        elif kind == "subtitle" or audio:
            side[stream.index] = SideStream(stream.index, kind, stream)
    return side


def attachments(container: Any) -> tuple[Attachment, ...]:
    """The files inside a container."""
    return tuple(
        Attachment(s.name or "attachment", s.mimetype or "application/octet-stream", s.data)
        for s in container.streams.attachments
    )


def chapters(container: Any, origin: Fraction, options: FileOptions) -> Iterator[Mapping[str, Any]]:
    """The chapters of the part asked for, on its clock; `origin` (seconds) is where the file's
    begins.
    """
    start, end = options.start or Fraction(0), options.end
    for chapter in container.chapters():
        base = Fraction(chapter["time_base"] or Fraction(1, av.time_base))
        first, last = chapter["start"] * base - origin, chapter["end"] * base - origin
        if last <= start or (end is not None and first >= end):
            continue
        first, last = max(first, start) - start, (min(last, end) if end else last) - start
        yield {**chapter, "start": round(first / base), "end": round(last / base)}
