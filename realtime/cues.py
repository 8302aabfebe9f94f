"""Cues: knobs that turn at given times of a file, read from JSON.

``[{"time": 2.5, "knob": "style", "value": "wave", "ramp": 1.0}, …]``: from 2.5 seconds on the style
goes over to wave, within a second. Without a ramp a knob turns at once.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from .errors import SourceOpenError, StylizeError
from .knobs import KNOBS, Knobs, set_knob

_KEYS: Final = frozenset({"time", "knob", "value", "ramp"})
_MOST_BYTES: Final = 4 << 20
_LONGEST_S: Final = 1e7


@dataclass(frozen=True)
class Cue:
    """One knob, at one time."""

    time: Fraction
    """When it begins to turn, in seconds of the output."""
    knob: str
    value: Any
    ramp: float = 0.0
    """How long it takes to get there, in seconds."""


class Timeline:
    """The knobs at any time of a file, by what they were at the start and the cues since."""

    def __init__(
        self,
        start: Knobs,
        cues: Sequence[Cue],
        styles: Sequence[str],
        paintings: Sequence[float] = (),
    ) -> None:
        """`paintings` are the shares of the run's paintings while no cue has turned them.

        Raises `KnobError` for cues that can't be followed.
        """
        self._states, self._paintings = [start], paintings
        self._cues = sorted(cues, key=lambda cue: cue.time)
        for cue in self._cues:
            if cue.knob in KNOBS and cue.ramp and not KNOBS[cue.knob].ramps:
                raise StylizeError(f"{cue.knob} turns at once: leave its ramp out")
            before = self._states[-1]
            after = set_knob(before, cue.knob, cue.value, styles, len(paintings))
            self._states.append(after)

    @property
    def at_rest(self) -> bool:
        """Whether nothing is ever turned."""
        return self._states == [Knobs()]

    @property
    def styles(self) -> set[int]:
        """The numbers of all styles that are ever shown."""
        return {style for state in self._states for style in state.shares}

    @property
    def freezes(self) -> bool:
        """Whether the picture is ever held."""
        return any(state.freeze for state in self._states)

    def at(self, time: Fraction) -> Knobs:
        """The knobs at a time in seconds: the same whatever was asked for before."""
        knobs = self._states[0]
        for cue, after in zip(self._cues, self._states[1:], strict=True):
            if cue.time > time:
                break
            done = min(1.0, float(time - cue.time) / cue.ramp) if cue.ramp else 1.0
            knobs = _between(knobs, after, cue.knob, done, self._paintings)
        return knobs


def _between(
    before: Knobs, after: Knobs, knob: str, done: float, paintings: Sequence[float]
) -> Knobs:
    """The knobs of `before`, with one that has come so far on its way to `after`; `paintings` are
    the shares that paintings were given with.
    """
    if knob in ("style", "mix"):
        if done >= 1:
            return replace(before, style=after.style, mix=after.mix)
        shares = {
            style: (1 - done) * before.shares.get(style, 0.0) + done * after.shares.get(style, 0.0)
            for style in {**before.shares, **after.shares}
        }
        mix = tuple((style, share) for style, share in shares.items() if share > 0)
        return replace(before, style=after.style, mix=mix)
    value = getattr(after, knob)
    if knob == "paintings" and done < 1:
        ends = zip(before.paintings or paintings, value or paintings, strict=True)
        value = tuple((1 - done) * then + done * now for then, now in ends)
    elif done < 1:
        value = (1 - done) * getattr(before, knob) + done * value
    return replace(before, **{knob: value})


def named_styles(cues: Sequence[Cue]) -> list[str]:
    """The names of styles that cues speak of, which need not exist."""
    names: list[str] = []
    for cue in cues:
        if cue.knob == "style" and isinstance(cue.value, str):
            names.append(cue.value)
        elif cue.knob == "mix" and isinstance(cue.value, Mapping):
            names.extend(map(str, cue.value))
        elif cue.knob == "mix" and isinstance(cue.value, str):
            names.extend(part.rpartition(":")[0] for part in cue.value.split(","))
    return [name for name in names if name not in ("next", "previous")]


def read_cues(path: Path) -> list[Cue]:
    """The cues of a file. Raises `SourceOpenError`."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SourceOpenError(f"{path} holds more than {_MOST_BYTES} bytes of cues")
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceOpenError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SourceOpenError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, list):
        raise SourceOpenError(f"{path} holds no list of cues")
    return [_cue(entry, number, path) for number, entry in enumerate(found, start=1)]


def _cue(entry: Any, number: int, path: Path) -> Cue:
    where = f"cue {number} of {path}"
    if not isinstance(entry, Mapping) or not {"time", "knob", "value"} <= set(entry) <= _KEYS:
        raise SourceOpenError(f"{where} needs time, knob and value, and may have ramp: {entry!r}")
    times = {name: entry.get(name, 0.0) for name in ("time", "ramp")}
    for name, value in times.items():
        sound = isinstance(value, int | float) and not isinstance(value, bool)
        if not sound or not 0 <= value <= _LONGEST_S or not math.isfinite(value):
            raise SourceOpenError(f"{where}: {name} {value!r} is no time in seconds from 0 up")
    if not isinstance(entry["knob"], str):
        raise SourceOpenError(f"{where}: {entry['knob']!r} is no knob")
    # by its decimals: as a float 0.4 is after the frame at 2/5 of a second
    return Cue(Fraction(str(times["time"])), entry["knob"], entry["value"], float(times["ramp"]))
