"""The style card: what is written beside a style's files and into them.

`realtime.catalogue.StyleCard` reads it; the two halves meet in this format alone.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from ._files import write_whole
from .errors import ConversionError

_ID: Final = re.compile(r"\w[\w.\- ]*")
CARD_NAME: Final = "style.json"
CATALOGUE: Final = Path(__file__).resolve().parent.parent / "models"


@dataclass(frozen=True)
class Credits:
    """The work a style learned from, and who may do what with the result."""

    id: str
    title: str
    description: str
    work: str = ""
    artist: str = ""
    year: str = ""
    work_licence: str = ""
    weights_licence: str = "MIT"


@dataclass(frozen=True)
class Card:
    """Everything known of an exported style."""

    credits: Credits
    tier: str
    stride: int
    training: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The card in plain types, credits first."""
        return {
            **asdict(self.credits),
            "tier": self.tier,
            "stride": self.stride,
            "training": dict(self.training),
            "measured": dict(self.measured),
        }


def style_files(style: str) -> dict[str, Path]:
    """The files of a style by kind: given as an ONNX file, a style's folder, or a name of the
    catalogue. Raises `ConversionError`.
    """
    path = Path(style)
    if path.name == style and not path.exists() and (CATALOGUE / style).is_dir():
        path = CATALOGUE / style
    if not path.is_dir():
        return {"fp32": path}
    try:
        named = json.loads((path / CARD_NAME).read_text(encoding="utf-8"))["files"]
        files = {kind: path / Path(entry["file"]).name for kind, entry in named.items()}
        return {"fp32": files["fp32"], **files}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConversionError(f"{style} is not a style's folder: {error}") from error


def write_card(folder: Path, card: Card, files: Mapping[str, Path]) -> Path:
    """Write ``style.json`` with the sha256 of each file by precision; the files lie in `folder`."""
    content = card.as_json()
    content["files"] = {
        precision: {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for precision, path in files.items()
    }
    path = folder / CARD_NAME
    write_whole((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode(), path)
    return path


def write_readme(folder: Path, card: Card) -> Path:
    """Write ``README.md``: the same facts for people."""
    credits = card.credits
    origin = ", ".join(v for v in (credits.artist, credits.work, credits.year) if v)
    lines = [f"# {credits.title}", "", credits.description, ""]
    if origin:
        licence = f" ({credits.work_licence})" if credits.work_licence else ""
        lines += [f"Learned from: {origin}{licence}.", ""]
    lines += [f"Licence of the weights: {credits.weights_licence}. Tier: `{card.tier}`.", ""]
    if command := card.training.get("command"):
        lines += ["Trained by:", "", "```sh", f"{command} -o {credits.id}", "```", ""]
    if card.measured:
        lines += ["| measured | |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in card.measured.items()]
        lines += [""]
    path = folder / "README.md"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def check_id(style_id: str) -> None:
    """Raise `ConversionError` for what can't be the name of a style's files."""
    if not _ID.fullmatch(style_id):
        raise ConversionError(
            f"{style_id!r} can't be the name of a style: give one of letters, digits, - _ . by --id"
        )


def read_credits(path: Path, style_id: str, painting: str) -> Credits:
    """Credits from a JSON file, or what can be said without one. Raises `ConversionError`."""
    if not path.is_file():
        name = Path(painting).stem.replace("_", " ")
        return Credits(id=style_id, title=style_id, description=f"trained on {name}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = {k: str(v) for k, v in content.items() if k in Credits.__dataclass_fields__}
        plain = {"id": style_id, "title": style_id, "description": style_id}
        credits = Credits(**{**plain, **known})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConversionError(f"{path} holds no credits: {error}") from error
    check_id(credits.id)
    return credits
