"""The knobs of hardware encoders: each has names and scales of its own for quality and speed."""

from collections.abc import Set
from typing import Final

import av

SUFFIXES: Final = ("_nvenc", "_qsv", "_vaapi", "_videotoolbox", "_amf")
_DEVICE_FORMATS: Final = frozenset(
    {"cuda", "qsv", "vaapi", "videotoolbox_vld", "d3d11", "d3d12", "dxva2_vld", "amf", "vulkan"}
    | {"drm_prime", "mediacodec"}
)
_INTERLEAVED: Final = {"yuv420p": "nv12", "yuv420p10le": "p010le"}
"""The same samples with both colours in one plane, as most hardware wants them."""
_X264_SPEEDS: Final = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow",
)  # fmt: skip
_SPEEDS: Final = {
    "_nvenc": ("p1", "p1", "p2", "p3", "p4", "p4", "p5", "p6", "p7"),
    "_qsv": ("veryfast",) * 3 + ("faster", "fast", "medium", "slow", "slower", "veryslow"),
    "_amf": ("speed",) * 4 + ("balanced",) * 2 + ("quality",) * 3,
}
_SPEED_KNOB: Final = {"_nvenc": "preset", "_qsv": "preset", "_amf": "quality"}
_QP_TO_LAMBDA: Final = 118
_LAST_CRF: Final = 51


def is_hardware(codec: str) -> bool:
    """Whether an encoder runs on other hardware than the processor."""
    return codec.endswith(SUFFIXES)


def quality_options(codec: str, crf: int, knobs: Set[str]) -> dict[str, str]:
    """What `crf` means to an encoder that has these private options: near to what it is for x264.

    Rates follow the quality, without a limit, as they do there. Frames are coded in the order they
    are shown in, so that parts of a film can be joined.
    """
    level = str(max(1, crf))  # 0 is taken for "choose by yourself" by several
    chosen = {"bf": "0"}
    if codec.endswith("_nvenc"):
        chosen |= {"rc": "vbr", "cq": level, "b": "0"}
    elif codec.endswith("_qsv"):
        chosen |= {"global_quality": level}
    elif codec.endswith("_vaapi"):
        chosen |= {"rc_mode": "CQP", ("qp" if "qp" in knobs else "global_quality"): level}
    elif codec.endswith("_videotoolbox"):
        # from 1 to 100, higher is better
        share = max(1, round(100 * (1 - crf / (_LAST_CRF + 2))))
        chosen |= {"flags": "+qscale", "global_quality": str(share * _QP_TO_LAMBDA)}
    elif codec.endswith("_amf"):
        chosen |= {"rc": "cqp"} | {
            knob: level for knob in ("qp_i", "qp_p", "qp_b") if knob in knobs
        }
    return chosen


def speed_options(codec: str, preset: str) -> dict[str, str] | None:
    """What a preset means to a hardware encoder: x264's are translated, others are its own.

    None where it has no such knob.
    """
    suffix = next(s for s in SUFFIXES if codec.endswith(s))
    if suffix not in _SPEED_KNOB:
        return None
    if preset in _X264_SPEEDS:
        preset = _SPEEDS[suffix][_X264_SPEEDS.index(preset)]
    return {_SPEED_KNOB[suffix]: preset}


def planar_of(pixel_format: str) -> str:
    """The format with a plane for each colour that holds the same samples."""
    return next((p for p, packed in _INTERLEAVED.items() if packed == pixel_format), pixel_format)


def hardware_format(codec: str, asked: str | None) -> str | None:
    """The pixel format of the frames that a hardware encoder is given; None where it does not take
    the one asked for.
    """
    named = [f.name for f in av.Codec(codec, "w").video_formats or []]
    formats = [name for name in named if name not in _DEVICE_FORMATS]
    wanted = asked or "yuv420p"
    other = _INTERLEAVED.get(wanted)
    if not formats:  # frames are uploaded: the device tells what it takes when it is opened
        return other or wanted
    for name in (wanted, other):
        if name in formats:
            return name
    return formats[0] if asked is None else None
