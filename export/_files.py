"""Files that are there whole or not at all, and what every record of a run holds."""

import platform
from importlib import metadata
from pathlib import Path

import torch

from .errors import ExportError


def write_whole(data: bytes, path: Path) -> None:
    """Under its name only when all is written. Raises OSError where it can't be."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(folder: Path, kind: type[ExportError]) -> None:
    """A folder, and those above it. Raises an error of this kind."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise kind(f"the folder {folder} can't be made: {error.strerror}") from error


def versions() -> dict[str, str]:
    """What a run was made with, for its record."""
    return {
        "stylize-video": metadata.version("stylize-video"),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
