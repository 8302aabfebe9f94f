"""Layers of loss networks, as people name them: ``relu1_1:0.3 relu2_1:1``."""

from collections.abc import Sequence

from torch import Tensor

from ._encoders import Encoder
from .errors import TrainingError

Layers = dict[tuple[int, str], float]
"""Weights by the number of the extractor and the name of its layer."""


def parse_layers(text: str) -> dict[str, float]:
    """``relu1_1:1 relu2_1:0.5`` as weights by layer. Raises `TrainingError`."""
    try:
        pairs = [item.partition(":") for item in text.split()]
        layers = {name: float(weight or 1) for name, _, weight in pairs}
    except ValueError as error:
        raise TrainingError(
            f"{text!r} is not a list of layers such as 'relu1_1:1 relu2_1:0.5'"
        ) from error
    if not layers:
        raise TrainingError("at least one layer is needed")
    return layers


def place_layers(weights: dict[str, float], encoders: Sequence[Encoder]) -> Layers:
    """Each layer with the number of the first extractor that has it. Raises `TrainingError`."""
    placed: Layers = {}
    for layer, weight in weights.items():
        owner = next((i for i, e in enumerate(encoders) if layer in e.layers), None)
        if owner is None:
            known = "; ".join(f"{e.name}: {', '.join(e.layers)}" for e in encoders)
            raise TrainingError(f"no loss network has a layer {layer!r} ({known})")
        placed[owner, layer] = weight
    return placed


def features_of(
    encoders: Sequence[Encoder], pictures: Tensor, *groups: Layers
) -> dict[tuple[int, str], Tensor]:
    """The activations of all layers of some groups, for (B, 3, H, W) float in 0..1."""
    wanted: dict[int, set[str]] = {}
    for owner, layer in (key for group in groups for key in group):
        wanted.setdefault(owner, set()).add(layer)
    return {
        (owner, layer): value
        for owner, layers in wanted.items()
        for layer, value in encoders[owner](pictures, layers).items()
    }
