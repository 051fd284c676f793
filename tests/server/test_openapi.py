"""The OpenAPI document says what the server does: schemathesis asks a whole, live server.

``REMIT_FUZZ_EXAMPLES=2000`` makes the search longer (``make fuzz``).
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from live import Live, config_in, live_server
from openapi_spec_validator import validate
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance

from remit import api
from remit.api import openapi
from remit.api.frame import PUBLIC
from remit.credentials import Right

LONGER = "REMIT_FUZZ_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("REMIT_FUZZ_EXAMPLES", "8"))
"""Examples an operation, on top of those that cover each of its constraints."""
LONGEST = 0.05
"""Seconds that a long poll may take here."""

DOCUMENT = openapi.document(api.routes())
STREAMS = {
    route.path for route in api.routes() if route.streams and route.media == "text/event-stream"
}
"""These never end, so they are asked for in tests of their own."""
CONFIG = schemathesis.Config.from_dict(
    {
        "checks": {
            "negative_data_rejection": {
                "expected-statuses": [400, 401, 403, 404, 405, 409, 413, 415, 422, 431]
            }
        }
    }
)
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG).exclude(path=sorted(STREAMS))


def operations() -> list[tuple[str, str]]:
    return [(path, method) for path, item in DOCUMENT["paths"].items() for method in item]


def test_it_is_a_valid_document():
    validate(DOCUMENT)


def test_it_has_every_route_once():
    found = sorted((method.upper(), path) for path, method in operations())
    assert found == sorted(
        (route.method, route.path.replace("...}", "}")) for route in api.routes()
    )
    ids = [DOCUMENT["paths"][path][method]["operationId"] for path, method in operations()]
    assert len(set(ids)) == len(ids)


def test_it_says_who_may():
    for route in api.routes():
        spelled = DOCUMENT["paths"][route.path.replace("...}", "}")][route.method.lower()]
        if route.rights is PUBLIC:
            assert spelled["security"] == []
        else:
            listed = {right for each in spelled["security"] for right in each["bearer"]}
            assert listed == {right.value for right in route.rights}
            assert {"401", "403"} <= spelled["responses"].keys()


def test_query_parameters_are_never_null():
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                assert "null" not in json.dumps(parameter["schema"])


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    with live_server(config_in(folder)) as server:
        yield server


def test_the_server_shows_it(live: Live):
    answer = requests.get(f"{live.url}/openapi.json", timeout=10)
    assert answer.status_code == 200
    assert answer.json() == DOCUMENT


def test_a_server_that_does_not_do_what_it_says_is_caught(live: Live):
    lying = copy.deepcopy(DOCUMENT)
    lying["components"]["schemas"]["Liveness"]["properties"]["status"] = {"type": "integer"}
    case = schemathesis.openapi.from_dict(lying)["/livez"]["GET"].Case()
    with pytest.raises(FailureGroup):
        case.call_and_validate(base_url=live.url)


def key_for(live: Live, case: schemathesis.Case) -> dict[str, str]:
    """A credential that the operation takes, as its security requirement says."""
    security = case.operation.definition.raw["security"]
    if not security:
        return {}
    return {"Authorization": f"Bearer {live.keys[Right(security[0]['bearer'][0])]}"}


def arranged(live: Live, case: schemathesis.Case) -> None:
    """Lead part of the calls into a session that there is, and let none wait long."""
    for given in (case.body, case.query):
        if not isinstance(given, dict):
            continue
        wait, session = given.get("wait"), given.get("session")
        if isinstance(wait, int | float) and LONGEST < wait <= 55:
            given["wait"] = LONGEST
        if isinstance(session, str) and len(session) % 2 and len(session) < 200:
            given["session"] = live.session


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=not LONGER,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_answer_breaks_the_document(live: Live, case: schemathesis.Case):
    """No 5xx, no undocumented status, media type or body; what is invalid is refused."""
    arranged(live, case)
    case.call_and_validate(
        base_url=live.url,
        headers=key_for(live, case),
        # A document of shapes cannot say everything that is wrong with a value.
        excluded_checks=[positive_data_acceptance],
        timeout=20,
    )
