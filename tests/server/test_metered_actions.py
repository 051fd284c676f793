"""Estimates and usage over ``/v1``: what an edge elsewhere says, and what budgets make of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from remit.api.frame import Parts
from remit.budgets.cells import balance
from remit.client.endpoint import read_endpoint
from remit.client.governor import GovernorClient
from remit.client.transport import Transport
from remit.guard.authority import Proposed
from remit.guard.calls import Caller
from remit.guard.enforcement import Enforcement
from remit.guard.remote import RemoteAuthority
from remit.guard.steps import run
from remit.model import Action, Estimate, Outcome, Usage
from remoting import ServerThread
from serving import Client, parts_of, serving

BOT = "inventory-bot"
MICRO = 1_000
"""Nano-dollars for a token, of a price of one dollar for a million."""
POLICY = """
remit: 1
default: deny
agents:
  inventory-bot: {team: warehouse}
tools:
  - {match: ["model.*"], does: send}
rules:
  - {id: models, tools: ["model.*"], effect: allow}
budgets:
  - {id: purse, by: session, limit: {usd: 0.01, tokens: 5000}, per: session%s}
"""


@pytest.fixture(params=["", ", on_exceed: {downgrade: small}"], ids=["capped", "downgraded"])
def parts(request: pytest.FixtureRequest) -> Parts:
    return parts_of(policy=POLICY % request.param)


@pytest.fixture
async def client(parts: Parts) -> AsyncIterator[Client]:
    async with serving(parts) as opened:
        yield opened


def downgrades(parts: Parts) -> bool:
    return bool(parts.policies.current.downgrades)


def estimate(model: str, dear: int, out: int, **more: Any) -> dict[str, Any]:
    """The worst case of 100 tokens in and ``out`` tokens out."""
    usage = {
        "nano_usd": (100 + out) * dear * MICRO,
        "input_tokens": 100,
        "output_tokens": out,
    }
    return {
        "usage": usage,
        "model": model,
        "output_limit": "args.max_tokens",
        "output_price": dear * MICRO,
        "prices": "a list",
        **more,
    }


async def asked(client: Client, out: int, session: str = "", **more: Any) -> dict[str, Any]:
    """A call to a large model, whose answer may have ``out`` tokens."""
    if not session:
        opened = await client("POST", "/v1/sessions", token=BOT, json={})
        session = opened.json["id"]
    cheap = estimate("small", 1, out)
    return {
        "session": session,
        "action": {"name": "model.large", "kind": "model"},
        "arguments": {"model": "large", "max_tokens": out},
        "estimate": estimate("large", 10, out, instead=[cheap]),
        **more,
    }


async def admit(client: Client, call: dict[str, Any]) -> dict[str, Any]:
    answer = await client("POST", "/v1/admit", token=BOT, json=call)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


async def settle(
    client: Client, call: dict[str, Any], admission: dict[str, Any], usage: Any
) -> Any:
    call = {**call, "arguments": admission.get("arguments") or call["arguments"]}
    outcome = {"status": "ok", **({} if usage is None else {"usage": usage})}
    body = {**call, "id": admission["id"], "outcome": outcome}
    return await client("POST", "/v1/settle", token=BOT, json=body)


async def stands(client: Client, measure: str) -> tuple[int, int]:
    """Held and spent of a measure, over all sessions."""
    listed = await client("GET", "/v1/budgets", token="auditor")
    views = [each for each in listed.json["budgets"] if each["measure"] == measure]
    return sum(each["held"] for each in views), sum(each["spent"] for each in views)


async def test_the_worst_case_is_held_and_what_was_used_is_charged(client: Client) -> None:
    call = await asked(client, 500)
    admission = await admit(client, call)
    assert admission["granted"]
    assert {each["amount"] for each in admission["reserved"]} == {600 * 10 * MICRO, 600}
    assert await stands(client, "usd") == (600 * 10 * MICRO, 0)
    usage = {"nano_usd": 7 * MICRO, "input_tokens": 5, "output_tokens": 2}
    assert (await settle(client, call, admission, usage)).status == 200
    assert await stands(client, "usd") == (0, 7 * MICRO)
    assert await stands(client, "tokens") == (0, 7)


async def test_what_nobody_tells_of_is_charged_as_it_was_held(client: Client) -> None:
    call = await asked(client, 500)
    admission = await admit(client, call)
    assert (await settle(client, call, admission, None)).status == 200
    assert await stands(client, "usd") == (0, 600 * 10 * MICRO)


async def test_what_cannot_be_paid_becomes_cheaper(client: Client, parts: Parts) -> None:
    call = await asked(client, 2000)
    admission = await admit(client, call)
    assert admission["granted"]
    (duty,) = admission["obligations"]
    if downgrades(parts):
        assert (duty["kind"], admission["arguments"]) == (
            "rewrite",
            {"model": "small", "max_tokens": 2000},
        )
        assert await stands(client, "usd") == (2100 * MICRO, 0)
    else:
        assert (duty["kind"], admission["arguments"]) == (
            "cap",
            {"model": "large", "max_tokens": 900},
        )
        assert await stands(client, "usd") == (1000 * 10 * MICRO, 0)


async def test_without_an_estimate_nothing_runs(client: Client) -> None:
    call = await asked(client, 10)
    del call["estimate"]
    admission = await admit(client, call)
    assert not admission["granted"]
    assert "takes at most" in admission["refusal"]


async def test_an_empty_purse_refuses(client: Client) -> None:
    call = await asked(client, 900)
    admission = await admit(client, call)
    usage = {"nano_usd": 10_000_000, "input_tokens": 100, "output_tokens": 4900}
    assert (await settle(client, call, admission, usage)).status == 200
    again = await admit(client, await asked(client, 900, call["session"]))
    assert not again["granted"]
    assert "purse" in again["refusal"]


@pytest.mark.parametrize(
    "usage",
    [
        {"nano_usd": -1},
        {"nano_usd": 0.5},
        {"input_tokens": 2**63},
        {"output_tokens": "many"},
        {"free": True},
    ],
)
async def test_usage_that_is_nonsense_frees_nothing(client: Client, usage: Any) -> None:
    call = await asked(client, 500)
    admission = await admit(client, call)
    assert (await settle(client, call, admission, usage)).status == 400
    assert await stands(client, "usd") == (600 * 10 * MICRO, 0)
    bad = await asked(client, 500, estimate={**call["estimate"], "usage": usage})
    assert (await client("POST", "/v1/admit", token=BOT, json=bad)).status == 400


def test_an_edge_in_another_process_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "remit.yaml").write_text(POLICY % "")
    server = ServerThread(tmp_path)
    transport = Transport(read_endpoint(server.url), server.key(BOT), 10.0)
    enforcement = Enforcement(RemoteAuthority(GovernorClient(transport, "edge")), wait=0.0)
    try:
        session = run(enforcement.authority.open_session(BOT, None, None, None))
        proposed = Proposed(
            caller=Caller(session=session.id, principal=session.principal),
            action=Action(name="model.large", kind="model"),
            arguments={"model": "large", "max_tokens": 2000},
            estimate=Estimate(
                usage=Usage(
                    nano_usd=2100 * 10 * MICRO,
                    input_tokens=100,
                    output_tokens=2000,
                ),
                model="large",
                output_limit="args.max_tokens",
                output_price=10 * MICRO,
            ),
        )
        granted = run(enforcement.admit(proposed))
        assert granted.request.arguments == {"model": "large", "max_tokens": 900}
        outcome = Outcome(status="ok", usage=Usage(nano_usd=5, input_tokens=2, output_tokens=1))
        run(enforcement.settle(granted, outcome))
        cells = server.store.read(lambda view: view.cells("purse", 10))
        stands = {each.measure: balance(each, server.parts.clock()) for each in cells}
        assert {name: (each.held, each.spent) for name, each in stands.items()} == {
            "usd": (0, 5),
            "tokens": (0, 3),
        }
    finally:
        enforcement.authority.close()
        server.stop()
