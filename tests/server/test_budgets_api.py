"""Budgets over HTTP: how they stand, who may change them, what a change does to the next call."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from remit.api.metrics import Metrics
from remit.events import happened
from remit.model import AccessRequest, Action, Estimate, Outcome, Usage
from remit.webhooks.messages import message
from remit.webhooks.outbox import CURSOR, collect
from remit.webhooks.settings import WebhookSettings
from remit.webhooks.slack import payload
from serving import POLICY, Client, parts_of, serving

BOT = "inventory-bot"
DOLLAR = 1_000_000_000
BUDGETS = """
budgets:
  - {id: day, by: agent, limit: {usd: 1, calls: 50}, per: day}
"""


def parts():
    return parts_of(policy=POLICY.split("\nbudgets:")[0] + BUDGETS)


async def opened(client: Client) -> str:
    answer = await client("POST", "/v1/sessions", token=BOT, json={})
    assert answer.status == 201
    return answer.json["id"]


async def spend(client: Client, session: str, usd: int) -> bool:
    """One call that takes ``usd`` nano-dollars, through the server's own governor."""
    parts = client.parts
    stored = await parts.read(lambda view: view.session(session))
    request = AccessRequest(
        principal=stored.principal,
        session=stored.id,
        action=Action(name="db.query", kind="model"),
        estimate=Estimate(usage=Usage(nano_usd=usd), model="large"),
    )
    made = await parts.write(lambda t: parts.governor.admit(t, request))
    if made.granted:
        came = Outcome(status="ok", usage=Usage(nano_usd=usd))
        await parts.write(lambda t: parts.governor.settle(t, made.id, request, came))
    return made.granted


async def usd_view(client: Client) -> dict:
    listed = await client("GET", "/v1/budgets", token="auditor")
    assert listed.status == 200, listed.body
    (view,) = [each for each in listed.json["budgets"] if each["measure"] == "usd"]
    return view


async def test_from_spending_to_raising_to_reset() -> None:
    running = parts()
    async with serving(running) as client:
        client.parts = running
        session = await opened(client)
        assert await spend(client, session, 6 * DOLLAR // 10)
        assert not await spend(client, session, 6 * DOLLAR // 10)
        view = await usd_view(client)
        assert (view["spent"], view["limit"], view["scope"]) == (
            6 * DOLLAR // 10,
            DOLLAR,
            {"agent": BOT},
        )
        assert view["forecast"]["spent"]["p10"] >= view["spent"]
        body = {"cell": view["cell"], "limit": 2 * DOLLAR, "seconds": 60, "reason": "stocktaking"}
        raised = await client("POST", "/v1/budgets/day/set", token="admin", json=body)
        assert raised.status == 200, raised.body
        assert raised.json["limit"] == 2 * DOLLAR
        assert raised.json["stated"] == DOLLAR
        assert await spend(client, session, 6 * DOLLAR // 10)
        shown = await client("GET", "/v1/budgets/day", token="admin")
        assert shown.json["id"] == "day"
        assert len(shown.json["standing"]["budgets"]) == 2
        reset = await client(
            "POST", "/v1/budgets/day/reset", token="admin", json={"cell": view["cell"]}
        )
        assert (reset.status, reset.json["spent"]) == (200, 0)
        assert await spend(client, session, DOLLAR)


async def test_what_cannot_be_changed() -> None:
    running = parts()
    async with serving(running) as client:
        client.parts = running
        await spend(client, await opened(client), 1)
        cell = (await usd_view(client))["cell"]
        lower = {"cell": cell, "limit": DOLLAR, "seconds": 60}
        answer = await client("POST", "/v1/budgets/day/set", token="admin", json=lower)
        assert (answer.status, answer.json["code"]) == (422, "budget-unchanged")
        for path in ("/v1/budgets/none/reset", "/v1/budgets/day/reset"):
            answer = await client("POST", path, token="admin", json={"cell": "none"})
            assert answer.status == 404
        assert (await client("GET", "/v1/budgets/none", token="admin")).status == 404


@pytest.mark.parametrize("token", [BOT, "ada", "editor", "auditor"])
async def test_nobody_but_an_admin_changes_budgets(token: str) -> None:
    async with serving(parts()) as client:
        for path, body in (
            ("set", {"cell": "x", "limit": 1, "seconds": 1}),
            ("reset", {"cell": "x"}),
        ):
            answer = await client("POST", f"/v1/budgets/day/{path}", token=token, json=body)
            assert answer.status == 403


async def test_a_change_that_is_sent_again_is_made_once() -> None:
    running = parts()
    async with serving(running) as client:
        client.parts = running
        session = await opened(client)
        await spend(client, session, DOLLAR)
        cell = (await usd_view(client))["cell"]
        headers = {"Idempotency-Key": "one"}
        given = {"token": "admin", "json": {"cell": cell}, "headers": headers}
        first = await client("POST", "/v1/budgets/day/reset", **given)
        await spend(client, session, DOLLAR // 2)
        again = await client("POST", "/v1/budgets/day/reset", **given)
        assert again.json == first.json
        assert (await usd_view(client))["spent"] == DOLLAR // 2


async def test_who_used_how_much() -> None:
    running = parts()
    async with serving(running) as client:
        client.parts = running
        session = await opened(client)
        for _ in range(3):
            await spend(client, session, DOLLAR // 10)
        answer = await client("GET", "/v1/usage?by=agent,tool&per=month", token="auditor")
        (row,) = answer.json
        assert (row["agent"], row["tool"], row["calls"], row["usd"]) == (BOT, "db.query", 3, "0.3")
        assert "team" not in row
        none = await client("GET", "/v1/usage?until=2020-01-01", token="admin")
        assert none.json == []
        for wrong in ("by=moon", "since=2020-02-31", "per=year"):
            answer = await client("GET", f"/v1/usage?{wrong}", token="admin")
            assert answer.status == 400, wrong


async def test_metrics_and_news() -> None:
    running = parts_of(
        policy=POLICY.split("\nbudgets:")[0]
        + BUDGETS
        + "breakers:\n  - {id: loop, repeats: 3, effect: notify}\n"
    )
    running = replace(running, measures=Metrics(running.store))
    async with serving(running) as client:
        client.parts = running
        session = await opened(client)
        for _ in range(4):
            assert await spend(client, session, 22 * DOLLAR // 100)
        shown = (await client("GET", "/metrics", token="admin")).body.decode()
        assert 'remit_budget_used_ratio{budget="day"} 0.88' in shown
        assert 'remit_budget_events_total{event="reached"} 2.0' in shown
        assert 'remit_rule_decisions_total{effect="allow",rule="loop"} 2.0' in shown
        found = await running.read(lambda view: happened(view, 0))
        kinds = [event.kind for event in found.events]
        assert kinds == ["runaway.seen", "budget.reached"] * 2
        hook = WebhookSettings(name="chat", url="https://chat.example/hook")
        await running.write(lambda t: t.put_cursor(CURSOR, 0))
        assert await running.write(lambda t: collect(t, [hook])) == 4
        waiting = await running.read(lambda view: list(view.deliveries(1 << 62, 9)))
        told = await running.read(lambda view: [message(view, d, hook, 0) for d in waiting])
        reached = next(each for each in told if each.event == "budget.reached")
        assert (reached.budget.percent, reached.budget.limit) == (50, DOLLAR)
        runaway = next(each for each in told if each.event == "runaway.seen")
        assert (runaway.runaway.agent, runaway.runaway.granted) == (BOT, True)
        assert runaway.runaway.saw[0].startswith("loop: 1 calls, 3 times")
        words = json.dumps([payload(each) for each in told])
        for part in ("Budget used: day/usd", "88 %", "Runaway agent: inventory-bot", "let through"):
            assert part in words


async def test_pages() -> None:
    running = parts()
    async with serving(running) as client:
        client.parts = running
        await spend(client, await opened(client), 1)
        first = await client("GET", "/v1/budgets?limit=1", token="admin")
        assert len(first.json["budgets"]) == 1
        after = first.json["next"].replace("/", "%2F").replace("@", "%40")
        second = await client("GET", f"/v1/budgets?limit=1&after={after}", token="admin")
        assert len(second.json["budgets"]) == 1
        assert second.json["next"] is None
        assert json.dumps(first.json) != json.dumps(second.json)
