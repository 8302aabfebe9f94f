"""Tries an accelerator on real frames: a program of its own, since drivers crash and hang.

Its argument is what to try, in JSON. It says ``ok``, or in one line why not.
"""

import json
import sys
import tempfile
from collections.abc import Iterable
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from .accelerators import HardwareDecoder
from .colour import Colour
from .errors import StylizeError
from .frame import Extras, Frame, Pixels, SidePacket, VideoInfo
from .sinks._containers import EncodeOptions
from .sinks.file import FileSink, reason_of
from .sources.file import FileOptions, FileSource
from .sources.synthetic import SyntheticSource

_FRAMES: Final = 4
_FAR_OFF: Final = 40.0
"""Mean difference of levels above which a picture is another one."""


def main(work: dict[str, Any]) -> str:
    """What comes of trying: ``ok``, or why not."""
    av.logging.set_level(av.logging.ERROR)
    with av.logging.Capture() as logs:
        try:
            return _decode(work) if "decode" in work else _encode(work)
        except Exception as error:  # noqa: BLE001 - drivers fail in ways of their own
            cause = error.__cause__ if isinstance(error, StylizeError) else error
            reason = reason_of(cause) if cause else str(error)
        finally:
            av.logging.set_level(None)
    # FFmpeg's first word says what was missing, its error only that something was
    said = [" ".join(text.split()).rstrip(".") for _, _, text in logs if text.strip()]
    return f"{said[0]} ({reason})" if said else reason


def _decode(work: dict[str, Any]) -> str:
    """The first frames must be, to the bit, those that software decodes."""
    path, most = Path(work["decode"]), work["max_pixels"]
    plain = FileOptions(max_pixels=most, audio=False)
    hardware = HardwareDecoder(**work["hardware"])
    got = _first(path, FileOptions(max_pixels=most, audio=False, hardware=hardware))
    wanted = _first(path, plain)
    if len(got) != len(wanted):
        return f"it decodes {len(got)} frames where there are {len(wanted)}"
    if not all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True)):
        return "it decodes other pixels than software does"
    return "ok"


def _first(path: Path, options: FileOptions) -> list[Pixels]:
    source = FileSource(path, options)
    try:
        return [frame.pixels for frame in islice(_frames(source), _FRAMES)]
    finally:
        source.close()


def _frames(items: Iterable[Frame | SidePacket]) -> Iterable[Frame]:
    return (item for item in items if isinstance(item, Frame))


def _encode(work: dict[str, Any]) -> str:
    """Some frames must come out, and be near to what went in."""
    width, height = work["encode"]
    source = SyntheticSource(width, height, _FRAMES, Fraction(work["rate"]))
    base = source.info
    info = VideoInfo(width, height, base.rate_nominal, base.time_base, Colour(*work["colour"]))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "probe.mkv"
        sink = FileSink(file, info, Extras(), EncodeOptions(**work["options"]))
        try:
            for frame in _frames(source):
                sink.write(frame)
            sink.finish()
        except BaseException:
            sink.discard()
            raise
        back = FileSource(file, FileOptions(max_pixels=2 * (width + 1) * (height + 1)))
        try:
            shown = [frame.pixels for frame in _frames(back)]
        finally:
            back.close()
    if len(shown) != _FRAMES:
        return f"{len(shown)} of {_FRAMES} frames came out"
    for number, picture in enumerate(shown):
        part = picture[:height, :width].astype(np.int16)  # odd sides are made even
        if np.abs(part - source.draw(number)).mean() > _FAR_OFF:
            return "what it encodes is another picture"
    return "ok"


if __name__ == "__main__":
    sys.stdout.write(main(json.loads(sys.argv[1])) + "\n")
