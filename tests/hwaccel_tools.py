"""Hardware that is not there, and a video for it: what tests of hardware share."""

from dataclasses import replace
from fractions import Fraction

from stylize_video.realtime.accelerators import ACCELERATORS, HardwareDecoder
from stylize_video.realtime.frame import VideoInfo

CUDA = replace(ACCELERATORS[0], why_absent=lambda: None)
"""What there is not, taken for there: its probe meets the real failure."""
BY_NAME = HardwareDecoder("fake")
INFO = VideoInfo(97, 65, Fraction(25), Fraction(1, 25))
