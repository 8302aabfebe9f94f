"""Decoding by hardware: frames come back into our memory, in the layout that software gives."""

from collections.abc import Sequence
from typing import Any, Final

import av
from av.video.reformatter import VideoReformatter

from ..accelerators import HardwareDecoder
from ..errors import SourceOpenError

_PLANAR: Final = {
    "nv12": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "p010le": "yuv420p10le",
    "p012le": "yuv420p12le",
    "p210le": "yuv422p10le",
    "p410le": "yuv444p10le",
}
"""What hardware gives, and the layout of the same samples in which software decoders give them."""


class PictureDecoder:
    """Decodes the packets of a stream: by the stream's own decoder, or by one of another name.

    Raises `SourceOpenError` where the hardware asked for has no decoder for the stream.
    """

    def __init__(self, stream: Any, hardware: HardwareDecoder | None, name: str) -> None:
        self.context = stream.codec_context
        self._own = False
        self._reformatter = VideoReformatter()
        self._hardware = hardware
        if hardware is None:
            return
        codec = self.context.codec.canonical_name
        refusal = f"{hardware.accelerator} has no decoder for {codec}, which is in {name}"
        if hardware.device is not None:
            if not self.context.is_hwaccel:
                raise SourceOpenError(refusal)
            return
        try:
            own: Any = av.CodecContext.create(hardware.named(codec), "r")
        except (av.FFmpegError, ValueError) as error:
            raise SourceOpenError(refusal) from error
        own.extradata = self.context.extradata
        own.width, own.height = self.context.width, self.context.height
        self.context, self._own = own, True

    def decode(self, packet: Any) -> Sequence[av.VideoFrame]:
        """The frames that are ready after a packet. Raises what PyAV raises."""
        frames = self.context.decode(packet) if self._own else packet.decode()
        return [self._planar(frame) for frame in frames] if self._hardware else frames

    def forget(self) -> None:
        """Another place of the file comes next."""
        if self._own:
            self.context.flush_buffers()

    def _planar(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame in the layout in which software would have decoded it, to the bit."""
        planar = _PLANAR.get(frame.format.name)
        if planar is None:
            return frame
        # neither matrix nor range is named, so that samples are moved and not converted
        out = self._reformatter.reformat(frame, format=planar, threads=1)
        out.colorspace, out.color_range = frame.colorspace, frame.color_range
        return out
