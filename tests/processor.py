"""What 8-bit products are worth on this processor.

x86 processors without VNNI (before 2019, and AMD's before Zen 4) add products of 8-bit numbers in
pairs of 16 bits, and clip them there: what is painted in 8 bits differs more from floats on them.
"""

import platform
from pathlib import Path

_EXACT = {"avx512_vnni", "avx_vnni", "amx_int8"}


def _saturates() -> bool:
    """Whether this processor is one of those; where that can't be read, it is taken for none."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return not _EXACT & set(flags.split())


SATURATION_DB = 1.5 if _saturates() else 0.0
"""What OpenVINO may miss the bar by for that; onnxruntime is told to compute exactly."""
