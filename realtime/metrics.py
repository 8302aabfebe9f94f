"""Measures of speed and memory."""

import sys
from collections.abc import Sequence

import numpy as np


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and best of durations, in milliseconds."""
    values = np.asarray(seconds, float) * 1000
    return {
        "p50_ms": float(np.percentile(values, 50)),
        "p95_ms": float(np.percentile(values, 95)),
        "best_ms": float(values.min()),
    }


def peak_memory_mb() -> float | None:
    """The most memory this process has held, in MB (10^6 bytes); None where the system doesn't
    say.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
