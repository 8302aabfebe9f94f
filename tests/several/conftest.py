"""The film and the styles of tests of several styles at once."""

from pathlib import Path

import pytest
from cli_tools import Run, run_with
from several_tools import film_in, styles_in


@pytest.fixture(scope="module")
def styles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return styles_in(tmp_path_factory.mktemp("styles"))


@pytest.fixture
def stylize() -> Run:
    """`stylize video` by onnxruntime on one thread, in this process."""
    return run_with("--engine", "cpu", "--threads", 1)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film_in(tmp_path_factory.mktemp("film"))
