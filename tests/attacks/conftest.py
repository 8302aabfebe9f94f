"""The server that is attacked."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from security_tools import impatient, one_look, painting_goes_on
from web_tools import Running


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return one_look(tmp_path_factory.mktemp("looks"))


@pytest.fixture(scope="module")
def server(looks: dict[str, Path]) -> Iterator[Running]:
    with impatient(looks) as made:
        yield made


@pytest.fixture(autouse=True)
def others_keep_being_painted(server: Running) -> Iterator[None]:
    """Whatever a test does, the server's own picture goes on."""
    with painting_goes_on(server):
        yield
