"""Three styles and a film: what tests of several styles over one decode share."""

from pathlib import Path
from typing import Any

from media import identity_model, model_bytes, rolling, write_film
from onnx import TensorProto, helper


def styles_in(folder: Path) -> list[Path]:
    """Three models: as it is, the negative, and red and blue exchanged."""
    shape: list[Any] = [1, "height", "width", 3]
    ends = ("frame", TensorProto.UINT8, shape), ("painted", TensorProto.UINT8, shape)
    order = helper.make_tensor("order", TensorProto.INT64, [3], [2, 1, 0])
    negative = model_bytes([helper.make_node("BitwiseNot", ["frame"], ["painted"])], *ends)
    gather = helper.make_node("Gather", ["frame", "order"], ["painted"], axis=3)
    swapped = model_bytes([gather], *ends, [order])
    models = {"plain": identity_model(), "negative": negative, "swapped": swapped}
    for name, content in models.items():
        (folder / f"{name}.onnx").write_bytes(content)
    return [folder / f"{name}.onnx" for name in models]


def film_in(folder: Path) -> Path:
    """Three seconds with sound, a cut, and a rate that wanders."""
    return write_film(folder / "film.mkv", 75, (128, 96), rolling(40))


def names(styles: list[Path]) -> str:
    return ",".join(str(style) for style in styles)
