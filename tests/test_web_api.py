"""The control API against its own document: requests that a generator makes up from it."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from web_tools import Running, running, two_looks

from stylize_video.realtime.engines.any_painting import Painting
from stylize_video.realtime.web.openapi import describe

REQUIRED = os.environ.get("STYLIZE_REQUIRE_TEST_DATA") == "1"
STYLES = ["swap", "roll"]
OPERATIONS = [
    (method.upper(), path)
    for path, entry in describe(STYLES)["paths"].items()
    for method in entry
    if method != "parameters"
]


UNSAYABLE = {"/api/offer", "/api/paintings"}
"""What these take (a session, a picture of some size) is more than a schema can say."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    looks = two_looks(tmp_path_factory.mktemp("looks"))
    given = [Painting(np.zeros((8, 8, 3), np.uint8))] * 2
    with running(looks, source="test:96x64@30", paintings=given) as made:
        yield made


@pytest.fixture(scope="module")
def schema(server: Running) -> Any:
    try:
        import schemathesis
    except ImportError:
        reason = "there is no schemathesis: pip install schemathesis"
        pytest.fail(reason) if REQUIRED else pytest.skip(reason)
    return schemathesis.openapi.from_url(f"{server.url}/api/openapi.json")


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_answers_are_as_the_document_says(schema: Any, method: str, path: str) -> None:
    """No server error, no status, type or shape that is not in the document."""

    from schemathesis.specs.openapi.checks import positive_data_acceptance

    left_out = [positive_data_acceptance] if path in UNSAYABLE else []

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=schema[path][method].as_strategy())
    def holds(case: Any) -> None:
        case.call_and_validate(excluded_checks=left_out)

    holds()


def test_the_generator_would_find_a_fault(schema: Any, server: Running) -> None:
    from schemathesis.core.failures import FailureGroup

    case = schema["/api/streams/{stream}"]["GET"].Case(path_parameters={"stream": "stage"})
    answer = case.call()
    case.validate_response(answer)
    answer.status_code = 418
    with pytest.raises(FailureGroup):
        case.validate_response(answer)
