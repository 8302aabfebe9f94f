"""What a painter remembers of the frames before, on the disk: to the bit, and never code."""

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

State = Mapping[str, Any]
"""Arrays, numbers, fractions, texts and None, in mappings with text keys and lists."""

_TREE: Final = "tree"
_ARRAY: Final = "$array"
_FRACTION: Final = "$fraction"


def save_state(path: Path, state: State) -> None:
    """Write a state as an NPZ file. Raises OSError."""
    arrays: dict[str, Any] = {}
    tree = json.dumps(_packed(state, arrays))
    arrays[_TREE] = np.frombuffer(tree.encode(), np.uint8)
    with path.open("wb") as file:
        np.savez(file, **arrays)


def load_state(path: Path) -> State:
    """The state of a file. Raises OSError, or ValueError or KeyError for one that holds none."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    tree = json.loads(arrays.pop(_TREE).tobytes())
    state = _unpacked(tree, arrays)
    if not isinstance(state, dict):
        raise ValueError("it holds no state")
    return state


def _packed(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, np.ndarray):
        name = f"array{len(arrays)}"
        arrays[name] = value
        return {_ARRAY: name}
    if isinstance(value, Fraction):
        return {_FRACTION: [value.numerator, value.denominator]}
    if isinstance(value, Mapping):
        return {key: _packed(part, arrays) for key, part in value.items()}
    if isinstance(value, list):
        return [_packed(part, arrays) for part in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a state can't hold {type(value).__name__}")


def _unpacked(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if isinstance(value, list):
        return [_unpacked(part, arrays) for part in value]
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        return arrays[value[_ARRAY]]
    if _FRACTION in value:
        return Fraction(*value[_FRACTION])
    return {key: _unpacked(part, arrays) for key, part in value.items()}
