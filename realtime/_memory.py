"""How much memory a job takes, and how it is kept below a limit."""

from typing import Final

from .errors import StylizeError
from .frame import VideoInfo
from .tiers import Tier

_PROGRAM_MB: Final = 200
_NETWORK_SHARE: Final = 0.2
"""Of the limit, for what the network computes in tiles."""
_LOOKAHEAD_SHARE: Final = 0.3
"""Of the limit, for the paintings that `best` holds."""
_BYTES_A_PIXEL: Final = {"openvino": 35, "cpu": 112}
"""What networks take beside their frames; measured."""
_OTHER_ENGINES: Final = 112
_HELD: Final = ((16_000_000, 50), (8_000_000, 90), (0, 140))
"""Bytes a pixel for frames between decoder and encoder and in both, by the size of frames."""
_HISTORY: Final = 44


def tile_pixels(limit_mb: int, engine: str) -> int:
    """How large tiles may be, in pixels, for all of a job to stay below `limit_mb`."""
    a_pixel = _BYTES_A_PIXEL.get(engine, _OTHER_ENGINES)
    return max(1, int(limit_mb * 1e6 * _NETWORK_SHARE / a_pixel))


def lookahead_mb(limit_mb: int) -> int:
    """What the paintings may take that the tier `best` holds."""
    return int(limit_mb * _LOOKAHEAD_SHARE)


def check_fits(info: VideoInfo, tier: Tier, limit_mb: int, styles: int = 1) -> None:
    """Raise `StylizeError` where frames of this size can't be painted below `limit_mb`, in so many
    styles at once.
    """
    pixels = info.width * info.height
    held = next(a_pixel for least, a_pixel in _HELD if pixels >= least)
    share = _NETWORK_SHARE
    if tier in ("fast", "quality"):
        held += _HISTORY
    elif tier == "best":
        share += _LOOKAHEAD_SHARE
    fixed = _PROGRAM_MB + styles * pixels * held / 1e6
    if fixed + share * limit_mb > limit_mb:
        needed = -(-int(fixed / (1 - share)) // 100) * 100 + 100
        at_once = f" in {styles} styles at once" if styles > 1 else ""
        raise StylizeError(
            f"frames of {info.width}x{info.height}{at_once} take about {needed} MB with "
            f"--temporal {tier}, over --max-memory {limit_mb}M: allow more, or give a smaller "
            "--size"
        )
