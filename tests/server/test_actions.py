"""Sessions, admit and settle over HTTP: who may, what is answered, and what comes again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from remit.api.frame import Parts
from remit.api.repeats import KEPT
from remit.audit.record import Record, parse_record
from remit.config.settings import Config, SessionsConfig
from remit.credentials import Right
from remit.governor import Governor
from remit.identity.model import Identity, Narrowing
from remit.model import ApprovalId, Principal, SessionId
from remit.policy import load
from serving import IDENTITIES, Answer, Client, agent, parts_of, serving

POLICY = """
remit: 1
default: deny
agents:
  inventory-bot: {roles: [reader], team: warehouse}
  other-bot: {roles: [reader]}
people:
  ada: {roles: [security-team]}
  grace: {roles: [clerk]}
tools:
  - {match: ["db.query"], does: read}
  - {match: ["web.get"], does: read, returns: [untrusted]}
  - {match: ["file.read"], does: read, arguments: {name: path}}
  - {match: ["send_email"], does: send}
rules:
  - {id: reading, roles: [reader], tools: ["db.query", "web.get"], effect: allow}
  - {id: files, tools: ["file.read"], when: 'path(args.name).within("/srv")', effect: allow}
  - {id: mail, tools: [send_email], effect: ask, approvers: [security-team]}
  - id: no-secrets
    tools: ["db.query"]
    on: result
    when: 'result.contains("secret")'
    effect: deny
    because: Secrets stay in.
"""


def service(name: str, *agents: str) -> Identity:
    return Identity(
        principal=Principal(id=name, kind="service", known="authenticated"),
        rights=frozenset({Right.AGENT}),
        credential=f"key:{name}",
        agents=agents,
    )


def narrowed(**limits: Any) -> Identity:
    return Identity(
        principal=Principal(id="inventory-bot", known="authenticated"),
        rights=frozenset({Right.AGENT}),
        credential="delegation:x",
        narrowed=Narrowing(**limits),
    )


KNOWN = {
    **IDENTITIES,
    "runner": service("runner", "inventory-bot", "other-bot"),
    "narrowed": narrowed(tools=(("web.*",),)),
    "bound": narrowed(sessions=frozenset({"s-elsewhere"})),
    "for-grace": Identity(
        principal=Principal(
            id="inventory-bot",
            known="authenticated",
            roles=("from-token",),
            on_behalf_of=Principal(id="grace", kind="person", known="authenticated"),
        ),
        rights=frozenset({Right.AGENT}),
        credential="jwt:corp",
    ),
    "undeclared": agent("undeclared"),
}


@pytest.fixture
def parts() -> Parts:
    return parts_of(POLICY, identities=KNOWN)


@pytest.fixture
async def client(parts: Parts) -> AsyncIterator[Client]:
    async with serving(parts) as opened:
        yield opened


async def opened(client: Client, token: str = "inventory-bot", **asked: Any) -> Any:
    answer = await client("POST", "/v1/sessions", token=token, json=asked)
    assert answer.status == 201, answer.body
    return answer.json


def call(session: str, tool: str = "db.query", **more: Any) -> dict[str, Any]:
    return {"session": session, "action": {"name": tool}, "arguments": {"sql": "select 1"}, **more}


async def admitted(client: Client, asked: dict[str, Any], token: str = "inventory-bot") -> Any:
    answer = await client("POST", "/v1/admit", token=token, json=asked)
    assert answer.status == 200, answer.body
    return answer.json


async def settled(
    client: Client, asked: dict[str, Any], outcome: dict[str, Any], token: str = "inventory-bot"
) -> Answer:
    return await client("POST", "/v1/settle", token=token, json={**asked, "outcome": outcome})


def log(parts: Parts) -> list[Record]:
    return parts.store.read(
        lambda view: [parse_record(each.body) for each in view.records(0, view.log_size())]
    )


def kinds(parts: Parts) -> list[str]:
    return [f"{each.kind} {each.status or each.effect or ''}".strip() for each in log(parts)[1:]]


async def test_a_call_from_session_to_end(client: Client, parts: Parts) -> None:
    session = await opened(client, user="ada", intent="restock")
    assert [session["principal"]["id"], session["principal"]["on_behalf_of"]["id"]] == [
        "inventory-bot",
        "ada",
    ]
    assert session["principal"]["roles"] == ["reader"]
    asked = call(session["id"], "web.get")
    admission = await admitted(client, asked)
    assert (admission["granted"], admission["effect"]) == (True, "allow")
    assert admission["looks_at_result"]
    assert "refusal" not in admission
    done = await settled(
        client,
        {**asked, "id": admission["id"], "principal": admission["principal"]},
        {"status": "ok", "result": "page", "duration": 5000},
    )
    assert done.status == 200
    assert done.json["labels"] == ["untrusted"]
    shown = await client("GET", f"/v1/sessions/{session['id']}", token="inventory-bot")
    assert (shown.json["labels"], shown.json["ended_at"]) == (["untrusted"], None)
    for _ in range(2):
        ended = await client("POST", f"/v1/sessions/{session['id']}/end", token="inventory-bot")
        assert ended.json["ended_at"] > 0
    refused = await admitted(client, asked)
    assert not refused["granted"]
    assert "session has ended" in refused["refusal"]
    assert kinds(parts) == [
        "session started",
        "decision allow",
        "outcome ok",
        "session ended",
        "decision deny",
    ]


async def test_refusals_say_why(client: Client) -> None:
    session = await opened(client)
    refused = await admitted(client, call(session["id"], "db.drop"))
    assert (refused["granted"], refused["effect"]) == (False, "deny")
    assert refused["reasons"][0]["rule"] == "default"
    assert refused["refusal"].startswith('"db.drop" was not run')
    held = await admitted(client, call(session["id"], "send_email"))
    assert held["approval"] in held["refusal"]


async def test_a_result_can_be_withheld(client: Client) -> None:
    session = await opened(client)
    asked = call(session["id"])
    admission = await admitted(client, asked)
    asked["id"] = admission["id"]
    done = (await settled(client, asked, {"status": "ok", "result": "a secret"})).json
    assert (done["withheld"], done["result_rules"]) == (True, True)
    assert "Secrets stay in." in done["refusal"]


async def test_paths_are_asked_for_and_then_looked_at(client: Client, parts: Parts) -> None:
    session = await opened(client)
    asked = {**call(session["id"], "file.read"), "arguments": {"name": "/srv/a"}}
    answer = await client("POST", "/v1/admit", token="inventory-bot", json=asked)
    assert (answer.status, answer.json["code"]) == (409, "paths-needed")
    assert kinds(parts) == ["session started"]
    assert (await admitted(client, {**asked, "resolved": {"/srv/a": "/srv/a"}}))["granted"]
    elsewhere = await admitted(client, {**asked, "resolved": {"/srv/a": "/etc/passwd"}})
    assert not elsewhere["granted"]


# Who may


async def test_an_agent_acts_only_as_itself(client: Client, parts: Parts) -> None:
    as_itself = await opened(client, agent="inventory-bot")
    assert as_itself["principal"]["id"] == "inventory-bot"
    other = await client("POST", "/v1/sessions", token="inventory-bot", json={"agent": "other-bot"})
    assert (other.status, other.json["code"]) == (403, "not-your-agent")
    session = as_itself["id"]
    mine = await client("GET", f"/v1/sessions/{session}", token="other-bot")
    ends = await client("POST", f"/v1/sessions/{session}/end", token="other-bot")
    child = await client("POST", "/v1/sessions", token="other-bot", json={"parent": session})
    assert [mine.status, ends.status, child.status] == [404, 404, 404]
    stolen = await admitted(client, call(session), token="other-bot")
    assert (stolen["granted"], stolen["principal"]["id"]) == (False, "other-bot")
    assert stolen["reasons"][0]["rule"] == "session-principal"
    nowhere = await admitted(client, call(""), token="other-bot")
    assert nowhere["reasons"][0]["rule"] == "session-unknown"
    assert kinds(parts)[-2:] == ["decision deny", "decision deny"]


async def test_an_outcome_is_only_for_who_was_admitted(client: Client) -> None:
    asked = call((await opened(client))["id"])
    asked["id"] = (await admitted(client, asked))["id"]
    theirs = call((await opened(client, "other-bot"))["id"], id=asked["id"])
    ok = {"status": "ok"}
    assert (await settled(client, asked, ok, "other-bot")).status == 404
    assert (await settled(client, theirs, ok, "other-bot")).status == 409
    changed = {**asked, "arguments": {"sql": "drop table stock"}}
    assert (await settled(client, changed, ok)).json["code"] == "not-to-be-settled"
    forged = {**asked, "principal": {"id": "inventory-bot", "roles": ["admin"]}}
    assert (await settled(client, forged, ok)).json["code"] == "not-to-be-settled"
    assert (await settled(client, asked, ok)).status == 200
    assert (await settled(client, theirs, ok, "other-bot")).json["code"] == "not-to-be-settled"
    assert (await settled(client, asked, ok)).json["code"] == "already-settled"


async def test_a_service_acts_as_the_agents_it_names(client: Client) -> None:
    unnamed = await client("POST", "/v1/sessions", token="runner", json={})
    assert (unnamed.status, unnamed.json["code"]) == (400, "agent-missing")
    unlisted = await client("POST", "/v1/sessions", token="runner", json={"agent": "undeclared"})
    assert unlisted.status == 403
    session = await opened(client, "runner", agent="inventory-bot", user="grace")
    assert session["principal"]["known"] == "declared"
    child = await opened(client, "runner", agent="other-bot", parent=session["id"])
    chain = child["principal"]
    assert [
        chain["id"],
        chain["on_behalf_of"]["id"],
        chain["on_behalf_of"]["on_behalf_of"]["id"],
    ] == [
        "other-bot",
        "inventory-bot",
        "grace",
    ]
    both = {"agent": "other-bot", "parent": session["id"], "user": "grace"}
    assert (await client("POST", "/v1/sessions", token="runner", json=both)).status == 400
    assert (await admitted(client, call(child["id"]), token="runner"))["granted"]
    nobody = await admitted(client, call(""), token="runner")
    assert nobody["principal"]["kind"] == "service"
    assert not nobody["granted"]


async def test_a_narrowed_credential_is_held_to_what_it_covers(
    client: Client, parts: Parts
) -> None:
    session = (await opened(client, "narrowed"))["id"]
    refused = await admitted(client, call(session), "narrowed")
    assert (refused["granted"], refused["reasons"][0]["rule"]) == (False, "narrowed")
    assert "db.query" in refused["refusal"]
    assert kinds(parts)[-1] == "decision deny"
    assert (await admitted(client, call(session, "web.get"), "narrowed"))["granted"]
    assert (await client("POST", "/v1/sessions", token="bound", json={})).status == 403
    elsewhere = await admitted(client, call(session), "bound")
    assert "another session" in elsewhere["refusal"]
    assert (await client("GET", f"/v1/sessions/{session}", token="bound")).status == 404


async def test_a_token_for_a_person_is_used_for_that_person_only(client: Client) -> None:
    session = await opened(client, "for-grace")
    assert session["principal"]["on_behalf_of"]["id"] == "grace"
    assert session["principal"]["roles"] == ["reader", "from-token"]
    admission = await admitted(client, call(session["id"]), "for-grace")
    assert admission["granted"]
    assert admission["principal"]["roles"] == ["reader", "from-token"]
    other = await client("POST", "/v1/sessions", token="for-grace", json={"user": "ada"})
    assert (other.status, other.json["code"]) == (403, "not-your-user")
    same = await opened(client, "for-grace", user="grace")
    assert same["principal"]["on_behalf_of"]["known"] == "authenticated"
    plain = (await opened(client))["id"]
    crossed = await admitted(client, call(plain), "for-grace")
    assert crossed["reasons"][0]["rule"] == "session-principal"
    child = await opened(client, "for-grace", parent=session["id"])
    assert child["principal"]["on_behalf_of"]["on_behalf_of"]["id"] == "grace"


async def test_an_auditor_reads_sessions_and_nothing_else(client: Client) -> None:
    session = (await opened(client))["id"]
    shown = await client("GET", f"/v1/sessions/{session}", token="auditor")
    assert shown.json["principal"]["id"] == "inventory-bot"
    assert (await client("POST", f"/v1/sessions/{session}/end", token="auditor")).status == 403
    for path in ("/v1/sessions", "/v1/admit", "/v1/settle"):
        for token in ("auditor", "admin", "ada", "editor"):
            assert (await client("POST", path, token=token, json={})).status == 403
        assert (await client("POST", path, json={})).status == 401


# What comes again


async def test_a_request_that_comes_again_gets_the_same_answer(
    client: Client, parts: Parts
) -> None:
    async def post(path: str, key: str, body: Any, token: str = "inventory-bot") -> Answer:
        headers = {"Idempotency-Key": key}
        return await client("POST", path, token=token, json=body, headers=headers)

    first = await post("/v1/sessions", "k1", {})
    assert (await post("/v1/sessions", "k1", {})).body == first.body
    asked = call(first.json["id"])
    granted = await post("/v1/admit", "k2", asked)
    again = await asyncio.gather(*(post("/v1/admit", "k2", asked) for _ in range(5)))
    assert {each.body for each in again} == {granted.body}
    done = {**asked, "id": granted.json["id"], "outcome": {"status": "ok", "result": "x"}}
    outcome = await post("/v1/settle", "k3", done)
    assert (await post("/v1/settle", "k3", done)).body == outcome.body
    assert kinds(parts) == ["session started", "decision allow", "outcome ok"]
    other = await post("/v1/admit", "k2", call(first.json["id"], "web.get"))
    elsewhere = await post("/v1/sessions", "k2", {})
    assert [other.status, elsewhere.status] == [422, 422]
    assert other.json["code"] == "key-reused"
    theirs = await post("/v1/sessions", "k1", {}, "other-bot")
    assert theirs.json["principal"]["id"] == "other-bot"
    assert (await post("/v1/admit", "a b", asked)).json["code"] == "invalid-key"
    assert (await post("/v1/admit", "k" * 201, asked)).status == 400


async def test_a_refusal_keeps_no_answer_of_another(client: Client, parts: Parts) -> None:
    headers = {"Idempotency-Key": "k"}
    session = (await opened(client))["id"]
    bad = {**call(session), "outcome": {"status": "ok"}, "id": "a-none"}
    for _ in range(2):
        answer = await client(
            "POST", "/v1/settle", token="inventory-bot", json=bad, headers=headers
        )
        assert answer.status == 409
    assert (
        parts.store.read(lambda view: view.reply("k\nkey:inventory-bot\nagent inventory-bot"))
        is None
    )


async def test_erasing_values_reaches_the_answers_that_are_kept(
    client: Client, parts: Parts
) -> None:
    headers = {"Idempotency-Key": "k"}
    asked = call((await opened(client))["id"])
    granted = await client("POST", "/v1/admit", token="inventory-bot", json=asked, headers=headers)
    key = "k\nkey:inventory-bot\nagent inventory-bot"
    kept = parts.store.read(lambda view: view.reply(key))
    assert kept is not None
    assert kept.body == granted.body
    ada = parts.policies.current.person("ada")
    position = granted.json["position"]
    parts.store.write(lambda t: parts.governor.erase(t, [position], ada))
    assert parts.store.read(lambda view: view.reply(key)) is None


async def test_old_answers_are_forgotten() -> None:
    now = 1_800_000_000_000_000_000

    def clock() -> int:
        return now

    parts = parts_of(POLICY, clock=clock)

    def kept() -> int:
        key = "{}\nkey:inventory-bot\nagent inventory-bot"
        names = [key.format(f"k{number}") for number in range(400)]
        return parts.store.read(lambda view: sum(view.reply(name) is not None for name in names))

    async with serving(parts) as client:
        session = (await opened(client))["id"]
        for number in range(400):
            headers = {"Idempotency-Key": f"k{number}"}
            asked = call(session, arguments={"n": number})
            await client("POST", "/v1/admit", token="inventory-bot", json=asked, headers=headers)
            if number == 99:
                assert kept() == 100
                now += KEPT + 1_000_000
        assert kept() == 300


# Waiting for a person


async def test_a_call_waits_for_a_person(client: Client, parts: Parts) -> None:
    governor = Governor(
        policies=lambda: load({"remit.yaml": POLICY}), clock=parts.clock, entropy=os.urandom
    )

    def yes(approval: str) -> None:
        ada = parts.policies.current.person("ada")
        parts.store.write(lambda t: governor.approve(t, ApprovalId(approval), ada))

    session = (await opened(client))["id"]
    asked = call(session, "send_email", wait=5)
    waiting = asyncio.create_task(admitted(client, asked))
    held = await admitted(client, {**asked, "wait": 0})
    assert not held["granted"]
    await asyncio.sleep(0.05)
    assert not waiting.done()
    yes(held["approval"])
    assert (await waiting)["granted"]
    short = await admitted(client, {**asked, "wait": 0.15})
    assert not short["granted"]
    waiting = asyncio.create_task(admitted(client, asked))
    await asyncio.sleep(0.05)
    parts.changes.drain()
    assert (await asyncio.wait_for(waiting, 2))["approval"] == short["approval"]


# What is no request


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/admit", {"session": "s"}),
        ("/v1/admit", {"session": "s", "action": {"name": "x"}, "resolvd": {}}),
        ("/v1/admit", {"session": "s", "action": {"name": "x", "sort": 1}}),
        ("/v1/admit", {"session": "s", "action": {"name": "x"}, "wait": 56}),
        ("/v1/admit", {"session": "s", "action": {"name": "x"}, "arguments": [1]}),
        ("/v1/sessions", {"agent": 7}),
        ("/v1/sessions", {"intent": "x" * 10_001}),
        ("/v1/settle", {"session": "s", "action": {"name": "x"}, "id": "a", "outcome": {}}),
        (
            "/v1/settle",
            {"session": "s", "action": {"name": "x"}, "id": "a", "outcome": {"status": "unknown"}},
        ),
    ],
)
async def test_a_malformed_request_is_a_problem(client: Client, path: str, body: Any) -> None:
    answer = await client("POST", path, token="inventory-bot", json=body)
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_arguments_keep_their_limits(client: Client) -> None:
    session = (await opened(client))["id"]
    deep: Any = "x"
    for _ in range(66):
        deep = [deep]
    asked = call(session, arguments={"a": deep})
    answer = await client("POST", "/v1/admit", token="inventory-bot", json=asked)
    assert (answer.status, answer.json["code"]) == (400, "invalid-argument")
    asked = call(session, context={"a": deep})
    answer = await client("POST", "/v1/admit", token="inventory-bot", json=asked)
    assert answer.status == 400
    admission = await admitted(client, call(session))
    outcome = {"status": "ok", "result": deep}
    done = await settled(client, call(session, id=admission["id"]), outcome)
    assert done.status == 400
    big = await admitted(client, call(session, arguments={"n": 10**30}))
    assert big["granted"]


async def test_nothing_is_admitted_while_the_log_cannot_be_signed(
    client: Client, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = (await opened(client))["id"]
    signer = parts.checkpointer._signer
    parts.checkpointer._failure = OSError("gone")

    def lost(message: bytes) -> bytes:
        raise OSError("the signer is gone")

    monkeypatch.setattr(type(signer), "sign", lambda self, message: lost(message))
    answer = await client("POST", "/v1/admit", token="inventory-bot", json=call(session))
    assert answer.status == 503
    monkeypatch.undo()
    assert (await admitted(client, call(session)))["granted"]
    assert not parts.checkpointer.failed
    assert SessionId(session)


async def test_a_session_is_opened_narrowed_and_says_so(client: Client, parts: Parts) -> None:
    session = await opened(client, remit={"tools": ["web.*"]})
    assert session["remits"] == [{"tools": ["web.*"], "by": "whoever opened the session"}]
    answer = await admitted(client, call(session["id"]))
    assert not answer["granted"]
    assert answer["reasons"][0]["rule"] == "task-remit"
    assert (await admitted(client, call(session["id"], "web.get")))["granted"]
    for remit, status in (({}, 400), ({"does": ["fly"]}, 400), ({"mayor": True}, 400)):
        refused = await client("POST", "/v1/sessions", token="inventory-bot", json={"remit": remit})
        assert refused.status == status, refused.body


async def test_hosts_say_what_users_said_and_agents_do_not(client: Client, parts: Parts) -> None:
    session = await opened(client, token="runner", agent="inventory-bot")
    path = f"/v1/sessions/{session['id']}/say"
    said = {"text": "Write to ada@corp.example"}
    refused = await client("POST", path, token="inventory-bot", json=said)
    assert (refused.status, refused.json["code"]) == (403, "not-the-host")
    assert "user_turns" in refused.json["detail"]
    answer = await client("POST", path, token="runner", json=said)
    assert (answer.status, answer.json["id"]) == (200, session["id"])
    assert kinds(parts) == ["session started", "session said"]
    nowhere = await client("POST", "/v1/sessions/s-0/say", token="runner", json=said)
    assert nowhere.status == 404


async def test_what_was_said_is_taken_in_once_however_often_it_is_sent(
    client: Client, parts: Parts
) -> None:
    session = await opened(client, token="runner", agent="inventory-bot")
    for _ in range(2):
        answer = await client(
            "POST",
            f"/v1/sessions/{session['id']}/say",
            token="runner",
            json={"text": "Go on"},
            headers={"Idempotency-Key": "k-1"},
        )
        assert answer.status == 200
    assert kinds(parts) == ["session started", "session said"]


async def test_agents_say_it_where_the_operator_trusts_them_with_that() -> None:
    trusting = Config(sessions=SessionsConfig(user_turns="agents"))
    parts = parts_of(POLICY, identities=KNOWN, config=trusting)
    async with serving(parts) as client:
        session = await opened(client)
        path = f"/v1/sessions/{session['id']}/say"
        answer = await client("POST", path, token="inventory-bot", json={"text": "Go on"})
        assert answer.status == 200, answer.body
