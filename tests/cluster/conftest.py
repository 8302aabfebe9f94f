"""The film of tests of pieces."""

from pathlib import Path

import pytest
from cluster_tools import film_in


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film_in(tmp_path_factory.mktemp("film"))
