"""The tiers of temporal consistency by name."""

from dataclasses import replace
from typing import Final, Literal

from .errors import TemporalError
from .flow import DisFlow
from .keyframes import Every, KeyframePropagation
from .lookahead import LookAhead, LookAheadSettings
from .temporal import FAST, QUALITY, Looker, SharedLooker, TemporalBlender, TemporalSettings

Tier = Literal["off", "fast", "quality", "best"]
TIERS: Final[tuple[Tier, ...]] = ("off", "fast", "quality", "best")

_BLENDED: Final[dict[Tier, TemporalSettings]] = {"fast": FAST, "quality": QUALITY}

TemporalStage = TemporalBlender | LookAhead | KeyframePropagation


def stage_for(
    tier: Tier,
    threads: int,
    strength: float = 1.0,
    paint_every: Every = 1,
    lookahead_mb: int | None = None,
    looker: Looker | None = None,
) -> TemporalStage | None:
    """The stage of a tier; None for "off".

    `fast` and `quality` add no delay. `best` holds frames back until it has seen those after them:
    for files alone. With `paint_every` only every Nth frame is painted, and carried through those
    between by the flow of the tier, `fast` or `quality`. `lookahead_mb` bounds the paintings that
    `best` holds; `looker` is that of `looker_for`. Raises `TemporalError` for other tiers with
    `paint_every`.
    """
    if tier in ("off", "best"):
        if paint_every != 1:
            raise TemporalError(
                f"--paint-every goes with --temporal fast or quality, not with {tier}"
            )
        if tier == "off":
            return None
        ahead = LookAheadSettings()
        if lookahead_mb is not None:
            ahead = replace(ahead, memory_mb=min(lookahead_mb, ahead.memory_mb))
        return LookAhead(ahead, threads=threads, strength=strength)
    settings = _BLENDED[tier]
    if paint_every != 1:
        return KeyframePropagation(paint_every, settings, threads=threads, strength=strength)
    return TemporalBlender(settings, threads=threads, strength=strength, looker=looker)


def looker_for(tier: Tier) -> Looker | None:
    """What the stages of several styles over the same frames look with together.

    None for tiers that have nothing to share.
    """
    if tier not in _BLENDED:
        return None
    settings = _BLENDED[tier]
    return SharedLooker(DisFlow(settings.preset), settings.gate)
