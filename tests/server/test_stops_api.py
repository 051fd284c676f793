"""The stop switch over HTTP: who may, what it does to the next call and to held ones, how soon."""

from __future__ import annotations

import asyncio
import time

import pytest

from remit.api.frame import Parts
from remit.api.news import Watcher
from remit.storage import Store
from remit.storage.sqlite import SqliteStore
from serving import Client, parts_of, serving

BOT = "inventory-bot"
QUERY = {"name": "db.query"}
MAIL = {"name": "send_email"}


async def opened(client: Client, agent: str = BOT) -> str:
    answer = await client("POST", "/v1/sessions", token=agent, json={})
    assert answer.status == 201
    return answer.json["id"]


async def admit(client: Client, session: str, action=QUERY, agent: str = BOT, **more):
    body = {"session": session, "action": action, "arguments": {}, **more}
    answer = await client("POST", "/v1/admit", token=agent, json=body)
    assert answer.status == 200, answer.body
    return answer.json


async def stop(client: Client, scope: str = "all", value: str = "", **more):
    body = {"scope": scope, "value": value, "reason": "it went wild", **more}
    answer = await client("POST", "/v1/stops", token="admin", json=body)
    assert answer.status == 201, answer.body
    return answer.json


def rules(admission) -> list[str]:
    return [reason["rule"] for reason in admission["reasons"]]


async def test_from_stop_to_resume() -> None:
    async with serving(parts_of()) as client:
        session = await opened(client)
        assert (await admit(client, session))["granted"]
        made = await stop(client, "agent", BOT)
        assert made["closed"] == []
        shown = made["stop"]
        assert (shown["scope"], shown["value"], shown["by"]) == ("agent", BOT, "admin")
        refused = await admit(client, session)
        assert not refused["granted"]
        assert rules(refused) == ["stopped"]
        assert "admin stopped agent inventory-bot: it went wild." in refused["refusal"]
        assert f"remit resume {shown['id']}" in refused["refusal"]
        listed = await client("GET", "/v1/stops", token="admin")
        assert listed.json == [shown]
        place = f"/v1/stops/{shown['id']}"
        lifted = await client(
            "POST", f"{place}/resume", token="admin", json={"reason": "all clear"}
        )
        assert (lifted.status, lifted.json) == (200, shown)
        assert (await admit(client, session))["granted"]
        assert (await client("GET", "/v1/stops", token="admin")).json == []
        for path in (f"{place}/refusal?since=0", "/v1/stops/st-none/refusal?since=0"):
            assert (await client("GET", path, token="admin")).status == 404
        again = await client("POST", f"{place}/resume", token="admin")
        assert (again.status, again.json["code"]) == (404, "no-such-stop")


@pytest.mark.parametrize("token", [BOT, "ada", "editor", "auditor"])
async def test_nobody_but_an_admin_is_at_the_switch(token: str) -> None:
    async with serving(parts_of()) as client:
        made = await stop(client)
        place = f"/v1/stops/{made['stop']['id']}"
        for method, path in (
            ("GET", "/v1/stops"),
            ("POST", "/v1/stops"),
            ("GET", f"{place}/refusal?since=0"),
            ("POST", f"{place}/resume"),
        ):
            body = {"json": {"scope": "all"}} if method == "POST" else {}
            assert (await client(method, path, token=token, **body)).status == 403
        assert len((await client("GET", "/v1/stops", token="admin")).json) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"scope": "planet"},
        {"scope": "agent"},
        {"scope": "agent", "value": "x" * 201},
        {"scope": "all", "value": "x"},
        {"scope": "all", "by": "grace"},
        {"scope": "all", "reason": "x" * 1001},
    ],
)
async def test_a_stop_that_is_no_stop_is_refused(body) -> None:
    async with serving(parts_of()) as client:
        answer = await client("POST", "/v1/stops", token="admin", json=body)
        assert answer.status == 400
        assert (await client("GET", "/v1/stops", token="admin")).json == []


async def test_the_same_request_stops_once() -> None:
    async with serving(parts_of()) as client:
        headers = {"Idempotency-Key": "k1"}
        body = {"scope": "all"}
        first, second = [
            await client("POST", "/v1/stops", token="admin", json=body, headers=headers)
            for _ in range(2)
        ]
        assert (first.status, first.json) == (second.status, second.json)
        assert len((await client("GET", "/v1/stops", token="admin")).json) == 1
        place = f"/v1/stops/{first.json['stop']['id']}/resume"
        headers = {"Idempotency-Key": "k2"}
        for _ in range(2):
            assert (await client("POST", place, token="admin", headers=headers)).status == 200


async def test_a_held_call_comes_back_refused_at_once() -> None:
    async with serving(parts_of()) as client:
        session = await opened(client)
        held = asyncio.create_task(admit(client, session, MAIL, wait=30))
        await asyncio.sleep(0.3)
        assert not held.done()
        started = time.monotonic()
        made = await stop(client, "agent", BOT)
        refused = await asyncio.wait_for(held, 5)
        print(f"held call refused {1000 * (time.monotonic() - started):.1f} ms after the stop")
        assert time.monotonic() - started < 0.5
        assert rules(refused) == ["stopped"]
        (approval,) = made["closed"]
        closed = await client("GET", f"/v1/approvals/{approval}", token=BOT)
        assert (closed.json["state"], closed.json["closed_by"]) == ("rejected", "admin")


async def test_an_action_that_runs_is_settled_and_shown() -> None:
    async with serving(parts_of()) as client:
        session = await opened(client)
        admission = await admit(client, session)
        await stop(client, "session", session)
        body = {
            "id": admission["id"],
            "session": session,
            "action": QUERY,
            "arguments": {},
            "outcome": {"status": "ok", "result": "rows"},
        }
        answer = await client("POST", "/v1/settle", token=BOT, json=body)
        assert (answer.status, answer.json.get("withheld", False)) == (200, False), answer.body


def stores(tmp_path) -> Store:
    return SqliteStore(tmp_path / "remit.db")


async def test_how_soon_a_busy_client_is_refused(tmp_path) -> None:
    """One machine, a durable store: a client calls all the time, the next call is refused."""
    async with serving(parts_of(store=stores(tmp_path))) as client:
        session = await opened(client)
        refusals: list[float] = []

        async def busy() -> None:
            while not refusals:
                if not (await admit(client, session))["granted"]:
                    refusals.append(time.monotonic())
                await asyncio.sleep(0.001)

        calling = asyncio.create_task(busy())
        await asyncio.sleep(0.3)
        assert not refusals
        began = time.monotonic()
        made = await stop(client, "agent", BOT)
        answered = time.monotonic()
        await asyncio.wait_for(calling, 5)
        path = f"/v1/stops/{made['stop']['id']}/refusal?since={made['position']}&wait=5"
        seen = (await client("GET", path, token="admin")).json["first_refusal"]
        assert (seen["session"], seen["tool"]) == (session, "db.query")
        force, refusal = 1000 * (answered - began), 1000 * (refusals[0] - began)
        print(f"stop: in force after {force:.1f} ms, first refusal after {refusal:.1f} ms")
        print(f"first refusal {seen['after'] / 1e6:.1f} ms after the stop, by the log")
        assert refusals[0] - began < 1.0
        assert seen["after"] < 1_000_000_000


async def test_the_first_refusal_is_waited_for_and_is_one_that_the_stop_made() -> None:
    async with serving(parts_of()) as client:
        session = await opened(client)
        await stop(client, "tool", "send_email")
        made = await stop(client, "agent", BOT)
        place = f"/v1/stops/{made['stop']['id']}/refusal?since={made['position']}"
        nothing = await client("GET", place, token="admin")
        assert nothing.json["first_refusal"] is None
        other = await opened(client, "other-bot")
        await admit(client, other, MAIL, "other-bot")
        waiting = asyncio.create_task(client("GET", f"{place}&wait=5", token="admin"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        refused = await admit(client, session)
        seen = (await waiting).json["first_refusal"]
        assert seen["position"] == refused["position"]


async def test_a_stop_by_another_process_holds_here_and_wakes_who_waits(tmp_path) -> None:
    """Another opener of the file sets the stop; the server was told nothing."""
    parts = parts_of(store=stores(tmp_path))
    async with serving(parts) as client:
        session = await opened(client)
        watching = asyncio.create_task(watch(parts))
        held = asyncio.create_task(admit(client, session, MAIL, wait=30))
        await asyncio.sleep(0.3)
        with SqliteStore(tmp_path / "remit.db") as other:
            by = parts.policies.current.person("ada")
            governor = parts.governor
            began = time.monotonic()
            await asyncio.to_thread(other.write, lambda t: governor.stop(t, "all", "", by, "drill"))
        assert rules(await admit(client, session)) == ["stopped"]
        assert rules(await asyncio.wait_for(held, 5)) == ["stopped"]
        print(f"held call refused {1000 * (time.monotonic() - began):.0f} ms after the stop")
        watching.cancel()


async def watch(parts: Parts) -> None:
    watcher = Watcher()
    while True:
        await watcher.look(parts)
        await asyncio.sleep(0.05)
