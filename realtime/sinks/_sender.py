"""A program of its own: sends the streams that come in on standard input to an address.

``python _sender.py ADDRESS FORMAT [NAME=VALUE …]`` reads NUT, says ``ready`` once the other side
has taken the header, and ends with the input, or with one line on what went wrong.
"""

import sys
from typing import Any

import av


def send(address: str, form: str, options: dict[str, str]) -> None:
    """Copy all packets to the address. Raises what PyAV raises."""
    quick = {"probesize": "32", "analyzeduration": "0", "fpsprobesize": "0"}
    source: Any
    # unbuffered: a buffered reader waits until its buffer is full
    with (
        open(0, "rb", buffering=0, closefd=False) as incoming,
        av.open(incoming, format="nut", options=quick) as source,
        av.open(address, "w", format=form, container_options=options) as target,
    ):
        streams = {s.index: target.add_stream_from_template(s, opaque=True) for s in source.streams}
        target.start_encoding()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for packet in source.demux():
            if packet.pts is None:
                continue
            if packet.dts is None:
                packet.dts = packet.pts  # what we encode is decoded in the order it is shown
            packet.stream = streams[packet.stream.index]
            target.mux(packet)


def main() -> int:
    """Send what the command line says."""
    options = dict(pair.partition("=")[::2] for pair in sys.argv[3:])
    try:
        send(sys.argv[1], sys.argv[2], options)
    except (av.FFmpegError, OSError, ValueError) as error:
        sys.stderr.write(f"{getattr(error, 'strerror', None) or error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
