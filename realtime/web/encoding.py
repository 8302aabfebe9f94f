"""How pictures that go back to browsers are encoded: VP8, fast, and without smearing strokes."""

import multiprocessing
from typing import Final

import aiortc.codecs
import av
import cv2
import numpy as np
from aiortc.codecs.vpx import MIN_BITRATE, Vp8Encoder, number_of_threads
from av import VideoFrame
from av.frame import Frame

from ..frame import Pixels

START_BITRATE: Final = 2_000_000
MAX_BITRATE: Final = 8_000_000
"""Strokes are finer than what cameras see: aiortc's 1.5 Mbit/s would smear them."""
_OPTIONS: Final = {
    "deadline": "realtime",
    # aiortc has -6 and a filter against a camera's noise: twice the time, 0.3 dB less of a painting
    "cpu-used": "-12",
    "noise-sensitivity": "0",
    "lag-in-frames": "0",
    "overshoot-pct": "15",
    "undershoot-pct": "100",
    "partitions": "0",
    "static-thresh": "1",
}
_BITS_A_PIXEL: Final = 14
"""A second, at most: more costs time in encoding and sending that the eye has nothing of."""
_CHANGE: Final = 0.1
"""By how much the bitrate must change for the encoder to follow."""


class PaintingEncoder(Vp8Encoder):
    """aiortc's encoder with other options."""

    def __init__(self) -> None:
        super().__init__()
        self._asked, self._most = START_BITRATE, MAX_BITRATE

    @property
    def target_bitrate(self) -> int:
        """Bits a second: what the receiver takes, up to what pictures of this size are worth."""
        return min(self._asked, self._most)

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self._asked = max(MIN_BITRATE, bitrate)

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """Payloads of packets, and the frame's time in ticks of 90 kHz."""
        assert isinstance(frame, VideoFrame)
        self._most = min(MAX_BITRATE, _BITS_A_PIXEL * frame.width * frame.height)
        if not self._fits(frame):
            self.codec = self._opened(frame)
        payloads, at = super().encode(frame, force_keyframe)
        return payloads, at

    def _fits(self, frame: VideoFrame) -> bool:
        codec = self.codec
        return (
            codec is not None
            and (codec.width, codec.height) == (frame.width, frame.height)
            and codec.bit_rate is not None
            and abs(self.target_bitrate - codec.bit_rate) <= _CHANGE * codec.bit_rate
        )

    def _opened(self, frame: VideoFrame) -> av.VideoCodecContext:
        codec = av.VideoCodecContext.create("libvpx", "w")
        codec.width, codec.height, codec.pix_fmt = frame.width, frame.height, "yuv420p"
        codec.bit_rate = self.target_bitrate
        codec.gop_size, codec.qmin, codec.qmax = 3000, 2, 56
        # minimum and maximum at the target make the rate constant
        rates = dict.fromkeys(("bufsize", "minrate", "maxrate"), str(self.target_bitrate))
        codec.options = {**_OPTIONS, **rates}
        pixels = frame.width * frame.height
        codec.thread_count = number_of_threads(pixels, multiprocessing.cpu_count())
        return codec


def set_up_encoding() -> None:
    """Have aiortc use this encoder; it takes no settings itself."""
    aiortc.codecs.vpx.DEFAULT_BITRATE = aiortc.codecs.h264.DEFAULT_BITRATE = START_BITRATE
    aiortc.codecs.vpx.MAX_BITRATE = aiortc.codecs.h264.MAX_BITRATE = MAX_BITRATE
    vars(aiortc.codecs)["Vp8Encoder"] = PaintingEncoder


def planar(pixels: Pixels) -> VideoFrame:
    """RGB (H, W, 3) uint8 as a frame of yuv420p, BT.601 in limited range, which is what browsers
    take VP8 for; an odd last row or column is left out.
    """
    height, width = (side & ~1 for side in pixels.shape[:2])
    even = np.ascontiguousarray(pixels[:height, :width])
    planes = np.asarray(cv2.cvtColor(even, cv2.COLOR_RGB2YUV_I420), np.uint8)
    return VideoFrame.from_ndarray(planes, format="yuv420p")
