"""Every route and every right, both ways, from a table that people wrote.

The table is not made from the routes: a route without a row fails, and so does a row without a
route. What counts as let in is that the answer is neither 401 nor the refusal ``forbidden``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import requests
from live import CONFIG, Live, config_in, live_server

import remit.identity
from remit import api
from remit.api.frame import Parts
from remit.api.mounts import Mount
from remit.config.legacy import with_legacy_secrets
from remit.config.models import with_keys
from remit.console.mount import ConsoleMount
from remit.credentials import Right
from remit.gateway.hosted import HostedSessions
from remit.gateway.legacy import LegacyMount
from remit.gateway.llm import model_mounts
from remit.gateway.llm_sessions import CredentialSessions
from remit.gateway.llm_upstream import ModelUpstreams
from remit.gateway.mcp_http import McpMount
from remit.hooks.mount import HookMount
from remit.identity import keys
from remit.server.running import ports_of_their_own

EVERYBODY = "everybody"
AGENT, REVIEWER, EDITOR, AUDITOR, ADMIN = "agent", "reviewer", "editor", "auditor", "admin"
EVERY_RIGHT = f"{AGENT} {REVIEWER} {EDITOR} {AUDITOR} {ADMIN}"

MATRIX = {
    "GET /livez": EVERYBODY,
    "GET /readyz": EVERYBODY,
    "GET /": EVERYBODY,
    "GET /openapi.json": EVERYBODY,
    "GET /v1/nodes": f"{AUDITOR} {ADMIN}",
    "GET /v1/agents": ADMIN,
    "POST /v1/agents": ADMIN,
    "POST /v1/agents/{id}/revoke": ADMIN,
    "GET /v1/credentials": ADMIN,
    "POST /v1/credentials": ADMIN,
    "GET /v1/credentials/{id}": ADMIN,
    "POST /v1/credentials/{id}/revoke": ADMIN,
    "POST /v1/credentials/{id}/rotate": ADMIN,
    "POST /v1/bootstrap": EVERYBODY,
    "POST /v1/delegations": AGENT,
    "GET /v1/identity": EVERY_RIGHT,
    "POST /v1/sessions": AGENT,
    "GET /v1/sessions/{id}": f"{AGENT} {AUDITOR}",
    "POST /v1/sessions/{id}/say": AGENT,
    "POST /v1/sessions/{id}/end": AGENT,
    "POST /v1/admit": AGENT,
    "POST /v1/settle": AGENT,
    "GET /v1/approvals": f"{REVIEWER} {AUDITOR}",
    "GET /v1/approvals/stream": f"{REVIEWER} {AUDITOR}",
    "GET /v1/approvals/{id}": f"{AGENT} {REVIEWER} {AUDITOR}",
    "POST /v1/approvals/{id}/approve": REVIEWER,
    "POST /v1/approvals/{id}/reject": REVIEWER,
    "POST /v1/approvals/{id}/withdraw": REVIEWER,
    "POST /v1/attack": f"{EDITOR} {AUDITOR} {ADMIN}",
    "GET /v1/stops": ADMIN,
    "POST /v1/stops": ADMIN,
    "GET /v1/stops/{id}/refusal": ADMIN,
    "POST /v1/stops/{id}/resume": ADMIN,
    "GET /v1/budgets": f"{AUDITOR} {ADMIN}",
    "GET /v1/budgets/{id}": f"{AUDITOR} {ADMIN}",
    "POST /v1/budgets/{id}/set": ADMIN,
    "POST /v1/budgets/{id}/reset": ADMIN,
    "GET /v1/usage": f"{AUDITOR} {ADMIN}",
    "GET /metrics": f"{AUDITOR} {ADMIN}",
    "GET /v1/audit/checkpoint": AUDITOR,
    "GET /v1/audit/tile/{tile...}": AUDITOR,
    "GET /v1/audit/proof/inclusion": AUDITOR,
    "GET /v1/audit/proof/consistency": AUDITOR,
    "GET /v1/audit/receipts/{action}": AUDITOR,
    "GET /v1/audit/records": AUDITOR,
    "GET /v1/audit/export": AUDITOR,
    "POST /access/v1/evaluation": AGENT,
    "POST /access/v1/evaluations": AGENT,
    "POST /access/v1/search/subject": AGENT,
    "POST /access/v1/search/resource": AGENT,
    "POST /access/v1/search/action": AGENT,
    "GET /.well-known/authzen-configuration": EVERYBODY,
    "GET /.well-known/oauth-protected-resource/{rest...}": EVERYBODY,
    "POST /access/v1/requests": AGENT,
    "GET /access/v1/requests/{id}": AGENT,
    "POST /access/v1/requests/{id}/cancel": AGENT,
}
"""Who may, by route."""

MOUNTS = {
    "/openai/": (AGENT, "ModelMount"),
    "/anthropic/": (AGENT, "ModelMount"),
    "/gemini/": (AGENT, "ModelMount"),
    "/models/": (AGENT, "ModelMount"),
    "/hooks/": (AGENT, "HookMount"),
    "/mcp/": (AGENT, "McpMount"),
    "/legacy/": (AGENT, "LegacyMount"),
    "/envoy/": (AGENT, "EnvoyMount"),
    "/console/": (EVERYBODY, "ConsoleMount"),
}
"""Who may, by mount, and the class that answers there. What the console's pages ask for stands in
``tests/console/test_console_access.py``."""

EVERY_MOUNT = """
[[models]]
name = "local"
format = "openai"
url = "http://127.0.0.1:9"
keyless = true

[[mcp]]
name = "desk"
url = "http://127.0.0.1:9/mcp"

[[legacy]]
name = "inventory"
url = "http://127.0.0.1:9"

[envoy]
hosts = ["inventory.corp.example"]
credential = "authorization"
"""

BODIES = {"POST /v1/bootstrap": '{"secret": "x", "principal": "x"}'}
"""Where without a body nothing is learned; elsewhere none is sent, and none is needed to know."""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live_server(config_in(tmp_path_factory.mktemp("live"))) as server:
        yield server


def ask(live: Live, row: str, key: str | None) -> tuple[int, str]:
    """Status and problem code of the answer to a request for a route."""
    method, path = row.split(" ")
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    url = live.url + re.sub(r"\{[^}]+\}", "none", path)
    with requests.request(method, url, headers=headers, stream=True, timeout=10) as answer:
        problem = answer.headers.get("Content-Type") == "application/problem+json"
        return answer.status_code, answer.json()["code"] if problem else ""


def test_every_route_has_a_row_and_every_row_a_route():
    assert {f"{route.method} {route.path}" for route in api.routes()} == MATRIX.keys()


@pytest.mark.parametrize("row", [row for row, who in MATRIX.items() if who != EVERYBODY])
def test_every_right(live: Live, row: str):
    for right in Right:
        status, code = ask(live, row, live.keys[right])
        if right.value in MATRIX[row].split():
            assert status < 500
            assert status != 401, right
            assert code != "forbidden", right
        else:
            assert (status, code) == (403, "forbidden"), right


@pytest.mark.parametrize("row", [row for row, who in MATRIX.items() if who != EVERYBODY])
def test_no_credential_that_is_not_good(live: Live, row: str, unfit: dict[str, str]):
    for what, key in {**unfit, "none": None}.items():
        assert ask(live, row, key) == (401, "unauthenticated"), what


@pytest.fixture(scope="module")
def unfit(live: Live) -> dict[str, str]:
    """Keys that would open every route if they were good."""
    expired = [live.issue(right, life=1) for right in Right]
    revoked = [live.issue(right) for right in Right]
    for key in revoked:
        live.revoke(key)
    good = live.keys[Right.ADMIN]
    last = "a" if good[-1] != "a" else "b"
    made_up = {"other secret": good[:-1] + last, "no secret": good[:-10], "words": "let me in"}
    return (
        {f"expired {number}": key for number, key in enumerate(expired)}
        | {f"revoked {number}": key for number, key in enumerate(revoked)}
        | made_up
    )


@pytest.mark.parametrize("row", [row for row, who in MATRIX.items() if who == EVERYBODY])
def test_what_is_for_everybody_needs_no_credential_and_minds_none(live: Live, row: str):
    for key in (None, "let me in", *live.keys.values()):
        status, code = ask(live, row, key)
        assert status < 500
        assert (status, code) != (401, "unauthenticated")
        assert code != "forbidden"


@asynccontextmanager
async def every_mount(parts: Parts) -> AsyncIterator[Sequence[Mount]]:
    """One of each, as ``serve`` makes them."""
    config = parts.config
    sessions = CredentialSessions(HostedSessions(parts), config.model_gateway.session_idle)
    async with ModelUpstreams(with_keys(config.models, {}.get)) as upstreams:
        yield [
            *model_mounts(parts, upstreams, sessions),
            HookMount(parts),
            McpMount(parts, config.mcp, sessions=sessions),
            ConsoleMount(parts),
            LegacyMount(parts, with_legacy_secrets(config.legacy, {}.get), sessions),
            *ports_of_their_own(parts, sessions)[0],
        ]


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    config = config_in(tmp_path_factory.mktemp("mounted"), text=CONFIG + EVERY_MOUNT)
    with live_server(config, every_mount) as server:
        yield server


def ask_mount(live: Live, prefix: str, key: str | None) -> int:
    """Status of the answer to a request for something that is not there."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return requests.get(f"{live.url}{prefix}none", headers=headers, timeout=10).status_code


def test_every_class_of_mounts_has_a_row():
    """At the source: whatever has the methods of ``Mount`` and is not ``Mount`` itself."""
    found = set()
    for path in Path(remit.identity.__file__).parents[1].rglob("*.py"):
        for each in ast.walk(ast.parse(path.read_text())):
            if isinstance(each, ast.ClassDef) and each.name != "Mount":
                defined = {getattr(member, "name", "") for member in each.body}
                if {"credentials", "answer", "refused"} <= defined:
                    found.add(each.name)
    assert found == {answers for _, answers in MOUNTS.values()}


@pytest.mark.parametrize("prefix", MOUNTS)
def test_every_right_at_every_mount(mounted: Live, prefix: str):
    who, _ = MOUNTS[prefix]
    for right in Right:
        let_in = who == EVERYBODY or right.value in who.split()
        assert ask_mount(mounted, prefix, mounted.keys[right]) == (404 if let_in else 403), right


@pytest.mark.parametrize("prefix", MOUNTS)
def test_no_mount_lets_in_a_credential_that_is_not_good(mounted: Live, prefix: str):
    revoked = mounted.issue(Right.AGENT)
    mounted.revoke(revoked)
    for key in (None, "let me in", revoked, mounted.keys[Right.AGENT][:-10]):
        expected = 404 if MOUNTS[prefix][0] == EVERYBODY else 401
        assert ask_mount(mounted, prefix, key) == expected, key


def test_secrets_are_compared_in_constant_time():
    """At the source: keys go through ``hmac.compare_digest``; no secret through ``==``."""
    source = ast.parse(Path(keys.__file__).read_text())
    calls = [ast.unparse(each.func) for each in ast.walk(source) if isinstance(each, ast.Call)]
    assert "hmac.compare_digest" in calls
    folder = Path(remit.identity.__file__).parent
    secret = re.compile(r"secret|digest|signature|password|token\b", re.IGNORECASE)
    for path in folder.glob("*.py"):
        for each in ast.walk(ast.parse(path.read_text())):
            if isinstance(each, ast.Compare) and isinstance(each.ops[0], ast.Eq | ast.NotEq):
                assert not secret.search(ast.unparse(each)), f"{path.name}: {ast.unparse(each)}"
