"""What tests of the ways to make a style share."""

from pathlib import Path
from typing import Any

import torch

from stylize_video.export.networks import Shape

CPU = torch.device("cpu")
SMALL = Shape(half=4, quarter=8, body=12, quarter_blocks=1, body_blocks=1)
Material = dict[str, Path]


def small_run(material: Material) -> dict[str, Any]:
    """What settings of short runs have in common, whatever the method."""
    return {
        "photos": str(material["photos"]),
        "features": (str(material["features"]),),
        "batch": 2,
        "crop": 64,
        "style_layers": "relu1_1:1 relu2_1:1",
        "content_layers": "relu2_2:1",
        "precision": "fp32",
    }


def flags(config: Any, folder: Path) -> list[str]:
    """The command line of a small run."""
    return [
        config.painting, "--photos", config.photos, "-o", str(folder), "--features",
        config.features[0], "--steps", "4", "--batch", "2", "--style-layers", config.style_layers,
        "--content-layers", config.content_layers, "--device", "cpu", "--precision", "fp32",
        "--quiet",
    ]  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Whether two nested states are equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
