"""A program of its own: grabs an X display and writes its pictures to standard output, as NUT.

``python _grabber.py DISPLAY [NAME=VALUE …]``. The wheels of PyAV and OpenCV both bring a library
libxcb-shm, of one name but for different builds of X: grabbing in a process in which OpenCV is
loaded ends that process.
"""

import sys
from typing import Any

import av

_CHUNK = 1 << 20


def grab(display: str, options: dict[str, str]) -> None:
    """Copy pictures until nobody reads them. Raises what PyAV raises."""
    outgoing: Any
    with (
        open(1, "wb", buffering=0, closefd=False) as outgoing,
        av.open(display, format="x11grab", options=options) as source,
        av.open(outgoing, "w", format="nut", buffer_size=_CHUNK) as target,
    ):
        target.flags |= 0x0200  # AVFMT_FLAG_FLUSH_PACKETS: a picture that waits here is late
        grabbed = source.streams.video[0]
        stream: Any = target.add_stream("rawvideo", grabbed.average_rate or 30)
        stream.width, stream.height = grabbed.width, grabbed.height
        stream.pix_fmt = "rgb24"
        for frame in source.decode(grabbed):
            plain = frame.reformat(format="rgb24")
            plain.pts, plain.time_base = frame.pts, frame.time_base
            target.mux(stream.encode(plain))


def main() -> int:
    """Grab what the command line says."""
    try:
        grab(sys.argv[1], dict(pair.partition("=")[::2] for pair in sys.argv[2:]))
    except BrokenPipeError:
        return 0
    except (av.FFmpegError, OSError, ValueError) as error:
        sys.stderr.write(f"{getattr(error, 'strerror', None) or error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
