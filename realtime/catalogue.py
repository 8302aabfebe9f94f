"""Styles: the card of each, where they are found, and the check that a file is what its card
vouches for.

A style is a folder with a ``style.json`` and the ONNX files it names, or an ONNX file alone, ours
or anybody's. The card's fields are listed in `StyleCard`; export writes the same card into the
metadata of the ONNX files, under the key ``stylize_video.card``.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from .errors import StyleCorrupt, StyleNotFound

DEFAULT_STYLE: Final = "starry"
CARD_NAME: Final = "style.json"
CATALOGUE: Final = Path(__file__).resolve().parent.parent / "models"
Precision = Literal["fp32", "int8"]
# A style network is a few megabytes; a model file beyond this is a mistake or an attack.
MAX_MODEL_BYTES: Final = 1 << 30
_MAX_CARD_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class ModelFile:
    """One ONNX file of a style and the sha256 its content must have."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class StyleCard:
    """What is known of a style: its looks, the work it learned from, its licence, how it was
    made.
    """

    id: str
    title: str
    description: str
    tier: str = ""
    work: str = ""
    artist: str = ""
    year: str = ""
    work_licence: str = ""
    weights_licence: str = ""
    stride: int = 1
    training: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Style:
    """A style ready to load: a card and its files by precision."""

    card: StyleCard
    files: Mapping[Precision, ModelFile]
    folder: Path | None = None
    encoder: ModelFile | None = None
    """The graph from a painting to its code, of styles that paint like any painting."""

    def file(self, precision: Precision) -> ModelFile:
        """The file of a precision, or the one there is."""
        return self.files.get(precision) or next(iter(self.files.values()))

    def read_encoder(self) -> bytes:
        """The verified bytes of the encoder. Raises `StyleCorrupt` where the sha256 differs."""
        if self.encoder is None:
            raise StyleNotFound(f"style {self.card.id} has no encoder of paintings")
        return _read_verified(self.encoder.path, self.encoder.sha256)

    def read(self, precision: Precision) -> bytes:
        """The verified bytes of the model. Raises `StyleCorrupt` where the sha256 differs."""
        file = self.file(precision)
        return _read_verified(file.path, file.sha256)


def find_style(name: str, catalogue: Path = CATALOGUE) -> Style:
    """The style for an id of the catalogue, a folder with a card, or the path of an ONNX file.

    Raises `StyleNotFound`, or `StyleCorrupt` for a card that can't be read.
    """
    path = Path(name)
    if path.suffix.lower() == ".onnx":
        if not path.is_file():
            raise StyleNotFound(f"there is no model file {path}")
        return _single_file(path)
    if path.is_dir() and (path / CARD_NAME).is_file():
        return load_style(path)
    if path.name == name and (catalogue / name / CARD_NAME).is_file():
        return load_style(catalogue / name)
    known = ", ".join(style.card.id for style in all_styles(catalogue)) or "none"
    raise StyleNotFound(
        f"no style {name!r}: give one of {known}, a folder with a {CARD_NAME}, or an ONNX file"
    )


def all_styles(catalogue: Path = CATALOGUE) -> list[Style]:
    """Every style of the catalogue, by id."""
    return [load_style(card.parent) for card in sorted(catalogue.glob(f"*/{CARD_NAME}"))]


def load_style(folder: Path) -> Style:
    """The style of a folder by its card. Raises `StyleCorrupt` when the card is not one."""
    card_path = folder / CARD_NAME
    try:
        if card_path.stat().st_size > _MAX_CARD_BYTES:
            raise ValueError("it is too large")
        content = json.loads(card_path.read_text(encoding="utf-8"))
        files = {
            precision: ModelFile(_inside(folder, entry["file"]), str(entry["sha256"]))
            for precision, entry in content["files"].items()
            if precision in ("fp32", "int8")
        }
        if not files:
            raise ValueError("it names no files")
        code = content["files"].get("code")
        encoder = ModelFile(_inside(folder, code["file"]), str(code["sha256"])) if code else None
        return Style(_parse_card(content), files, folder, encoder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StyleCorrupt(f"{card_path} is not a style card: {error}") from error


def _parse_card(content: Mapping[str, Any]) -> StyleCard:
    known = {name: content[name] for name in StyleCard.__dataclass_fields__ if name in content}
    for name in ("id", "title", "description"):
        if not isinstance(known.get(name), str):
            raise ValueError(f"its {name} is missing")
    return StyleCard(**known)


def _inside(folder: Path, name: str) -> Path:
    """A card may name files of its own folder only."""
    path = folder / name
    if Path(name).name != name or path.is_symlink():
        raise ValueError(f"it names a file outside its folder: {name!r}")
    return path


def _single_file(path: Path) -> Style:
    """An ONNX file alone; where a card lies beside it and names it, that card vouches for it."""
    if (path.parent / CARD_NAME).is_file():
        style = load_style(path.parent)
        for precision, file in style.files.items():
            if file.path.name == path.name:
                return Style(style.card, {precision: file}, path.parent, style.encoder)
    card = StyleCard(id=path.stem, title=path.stem, description=f"the model file {path.name}")
    return Style(card, {"fp32": ModelFile(path, "")})


def _read_verified(path: Path, sha256: str) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_MODEL_BYTES:
            raise StyleCorrupt(
                f"{path} has {size} bytes: a style network has {MAX_MODEL_BYTES} at most"
            )
        content = path.read_bytes()
    except OSError as error:
        raise StyleNotFound(f"the model file {path} can't be read: {error.strerror}") from error
    seen = hashlib.sha256(content).hexdigest()
    if sha256 and seen != sha256:
        raise StyleCorrupt(
            f"{path} is not the file its card vouches for (sha256 {seen[:12]}…, expected "
            f"{sha256[:12]}…): fetch or export it again"
        )
    return content
