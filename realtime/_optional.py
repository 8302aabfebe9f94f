"""Optional packages, imported where they are used and nowhere else."""

import importlib
from types import ModuleType

from .errors import MissingDependency


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import `module`, or raise `MissingDependency` with the pip line that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingDependency(
            f"{purpose} needs {package}: pip install 'stylize-video[{extra}]'"
        ) from error
