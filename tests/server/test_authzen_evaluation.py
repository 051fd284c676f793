"""AuthZEN evaluations: who may ask about whom, what rules see, what is answered and recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from authzen_fixture import Pdp, configured, portal

from remit.api import actions, authzen
from remit.api.frame import Parts
from remit.audit.record import Record, parse_record
from remit.audit.replay import Replay
from remit.credentials import Right
from remit.errors import ConfigError
from remit.identity.model import Identity, Narrowing
from remit.model import Principal
from serving import Answer, agent, parts_of, serving

POLICY = """
remit: 1
default: deny
agents:
  inventory-bot: {roles: [reader], team: warehouse}
  other-bot: {roles: [reader]}
people:
  ada: {roles: [security-team], team: sales}
  grace: {roles: [clerk]}
tools:
  - {match: [db.query], does: read, arguments: {query: sql}}
  - {match: [web.get], does: read, returns: [untrusted]}
  - {match: [send_email], does: send}
  - {match: [note.read, note.write, note.share], does: write}
rules:
  - {id: reading, roles: [reader], tools: [db.query, web.get], effect: allow}
  - {id: no-destruction, tools: [db.query], when: sql(args.query).destructive, effect: deny,
     because: Nothing is dropped here., instead: Ask the database team.}
  - {id: mail, agents: [inventory-bot], tools: [send_email], effect: allow}
  - {id: not-after-web, tools: [send_email], after: untrusted, effect: deny}
  - {id: clerks-read, roles: [clerk], tools: [note.read], effect: allow,
     obligations: [{redact: [result.author]}, {label: [confidential]}]}
  - id: own-department
    teams: [sales]
    tools: [note.write]
    when: context.subject.department == args.department
    effect: allow
  - {id: rarely, roles: [clerk], tools: [note.share], effect: allow}
budgets:
  - {id: shares, by: agent, limit: {calls: 1}, per: hour, tools: [note.share]}
"""

SETTINGS = """
[[authzen.clients]]
service = "portal"
subjects = [{type = "user"}, {type = "employee", ids = ["hr-*"], kind = "person"}, {type = "agent", ids = ["other-bot"]}]
vouches = true
roles_property = "groups"
allowed_roles = ["clerk"]
team_property = "team"
allowed_teams = ["sales"]
properties = ["department"]

[[authzen.clients]]
service = "kiosk"
subjects = [{type = "user", ids = ["grace"]}]
"""  # noqa: E501 - TOML has no line breaks in inline tables

NARROWED = Identity(
    principal=Principal(id="inventory-bot", known="authenticated"),
    rights=frozenset({Right.AGENT}),
    credential="delegation:inventory-bot",
    narrowed=Narrowing(tools=(("db.*",),)),
)
ON_BEHALF = Identity(
    principal=Principal(
        id="inventory-bot",
        known="authenticated",
        on_behalf_of=Principal(id="grace", kind="person", known="authenticated"),
    ),
    rights=frozenset({Right.AGENT}),
    credential="jwt:test",
)
IDENTITIES = {
    "inventory-bot": agent("inventory-bot"),
    "narrowed": NARROWED,
    "on-behalf": ON_BEHALF,
    "portal": portal("portal", "inventory-bot"),
    "kiosk": portal("kiosk"),
    "stranger": portal("stranger"),
}

BOT = {"type": "agent", "id": "inventory-bot"}
GRACE = {"type": "user", "id": "grace"}


def parts(policy: str = POLICY) -> Parts:
    return parts_of(policy, config=configured(SETTINGS), identities=IDENTITIES)


@asynccontextmanager
async def asking(token: str = "portal", policy: str = POLICY) -> AsyncIterator[tuple[Pdp, Parts]]:
    made = parts(policy)
    async with serving(made, (*authzen.ROUTES, *actions.ROUTES)) as client:
        yield Pdp(client, token), made


def question(
    subject: dict[str, Any],
    kind: str,
    action: str,
    properties: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    resource = {"type": kind, "id": more.pop("id", "1"), "properties": properties or {}}
    return {"subject": subject, "resource": resource, "action": {"name": action}, **more}


def query(subject: dict[str, Any], text: str = "select 1 from stock") -> dict[str, Any]:
    return question(subject, "db", "query", {"query": text})


def records(made: Parts) -> list[Record]:
    return [
        parse_record(each.body)
        for each in made.store.read(lambda view: list(view.records(0, view.log_size())))
    ]


def consistent(made: Parts) -> bool:
    found: list[str] = []
    replay = Replay(lambda position, code, message: found.append(code))
    for position, record in enumerate(records(made)):
        replay.see(position, record)
    replay.finish()
    return not found and not replay.open


async def test_an_agent_asks_about_itself_only() -> None:
    async with asking("inventory-bot") as (pdp, made):
        assert (await pdp.post("evaluation", query(BOT))).json["decision"] is True
        for other in (GRACE, {**BOT, "id": "other-bot"}, {**BOT, "type": "user"}):
            refused = await pdp.post("evaluation", query(other))
            assert (refused.status, refused.json["code"]) == (403, "not-your-subject")
        last = records(made)[-1]
        assert (last.kind, last.status, last.granted, last.tool) == (
            "decision",
            "evaluated",
            True,
            "db.query",
        )
        assert consistent(made)


async def test_what_an_agent_says_of_itself_gives_no_roles() -> None:
    async with asking("inventory-bot") as (pdp, made):
        asked = question(
            {**BOT, "properties": {"groups": ["clerk"], "act": {"sub": "x"}}}, "note", "read"
        )
        assert (await pdp.post("evaluation", asked)).json["decision"] is False
        assert records(made)[-1].principal[0].roles == ("reader",)


async def test_an_agent_of_a_person_asks_with_the_whole_chain() -> None:
    async with asking("on-behalf") as (pdp, made):
        assert (await pdp.post("evaluation", query(BOT))).json["decision"] is True
        assert [link.id for link in records(made)[-1].principal] == ["inventory-bot", "grace"]


async def test_services_ask_about_whom_they_were_given() -> None:
    async with asking() as (pdp, _):
        assert (await pdp.post("evaluation", query(BOT))).status == 200
        assert (await pdp.post("evaluation", query({**BOT, "id": "other-bot"}))).status == 200
        assert (await pdp.post("evaluation", query({"type": "user", "id": "x"}))).status == 200
        assert (
            await pdp.post("evaluation", query({"type": "employee", "id": "hr-1"}))
        ).status == 200
        for kind, name in (("employee", "it-1"), ("agent", "web-bot"), ("service", "portal")):
            asked = query({"type": kind, "id": name})
            assert (await pdp.post("evaluation", asked)).status == 403
        for token, subject, status in (
            ("kiosk", GRACE, 200),
            ("kiosk", {**GRACE, "id": "ada"}, 403),
            ("kiosk", BOT, 403),
            ("stranger", GRACE, 403),
        ):
            asking_too = Pdp(pdp.client, token)
            assert (await asking_too.post("evaluation", query(subject))).status == status


async def test_only_agents_and_services_ask() -> None:
    async with serving(parts_of(POLICY), authzen.ROUTES) as client:
        assert (await Pdp(client, "ada").post("evaluation", query(GRACE))).status == 403
        nobody = await client("POST", "/access/v1/evaluation", json=query(GRACE))
        assert nobody.status == 401
        assert nobody.headers["WWW-Authenticate"].startswith("Bearer")


async def test_roles_teams_and_properties_are_believed_as_configured() -> None:
    clerk = {"type": "user", "id": "joan", "properties": {"groups": ["clerk", "boss"]}}
    seller = {"type": "user", "id": "joan", "properties": {"team": "sales", "department": "eu"}}
    note = {"department": "eu"}
    async with asking() as (pdp, made):
        assert (await pdp.post("evaluation", question(clerk, "note", "read"))).json["decision"]
        assert records(made)[-1].principal[0].roles == ("clerk",)
        assert records(made)[-1].principal[0].known == "authenticated"
        assert (await pdp.post("evaluation", question(seller, "note", "write", note))).json[
            "decision"
        ]
        assert records(made)[-1].principal[0].team == "sales"
        other = question(seller, "note", "write", {"department": "us"})
        assert not (await pdp.post("evaluation", other)).json["decision"]
        boss = {**clerk, "properties": {"groups": "boss", "team": "board", "department": 7}}
        assert not (await pdp.post("evaluation", question(boss, "note", "read"))).json["decision"]
        assert records(made)[-1].principal[0].roles == ()


async def test_a_client_that_is_not_believed_changes_nothing() -> None:
    said = {"groups": ["security-team"], "team": "sales", "department": "eu"}
    async with asking("kiosk") as (pdp, made):
        forged = question({**GRACE, "properties": said}, "note", "write", {"department": "eu"})
        forged["context"] = {"subject": {"department": "eu"}}
        answer = await pdp.post("evaluation", forged)
        assert answer.json["decision"] is False
        principal = records(made)[-1].principal[0]
        assert (principal.roles, principal.team, principal.known) == (("clerk",), None, "declared")


async def test_an_actor_narrows_what_a_user_may_do() -> None:
    acted = {**GRACE, "properties": {"act": {"sub": "inventory-bot", "act": {"id": "other-bot"}}}}
    async with asking() as (pdp, made):
        assert (await pdp.post("evaluation", question(GRACE, "note", "read"))).json["decision"]
        assert not (await pdp.post("evaluation", question(acted, "note", "read"))).json["decision"]
        chain = [link.id for link in records(made)[-1].principal]
        assert chain == ["inventory-bot", "other-bot", "grace"]
        unknown = {**GRACE, "properties": {"act": {"sub": "web-bot"}}}
        assert (await pdp.post("evaluation", question(unknown, "note", "read"))).status == 403
        for act in ("inventory-bot", {}, {"sub": 1}, {"sub": ""}):
            odd = {**GRACE, "properties": {"act": act}}
            assert (await pdp.post("evaluation", question(odd, "note", "read"))).status == 400


async def test_one_policy_for_typed_arguments_and_named_tools() -> None:
    async with asking("inventory-bot") as (pdp, made):
        denied = await pdp.post("evaluation", query(BOT, "drop table stock"))
        assert denied.json["decision"] is False
        context = denied.json["context"]
        assert context["reason"] == "no-destruction"
        assert context["reason_user"]["403"] == ("Nothing is dropped here. Ask the database team.")
        assert context["reason_admin"]["403"].startswith("no-destruction (remit.yaml:")
        named = question(BOT, "tool", "call", {"to": "a@example.com"}, id="send_email")
        assert (await pdp.post("evaluation", named)).json["decision"] is True
        assert records(made)[-1].tool == "send_email"
        other = question(BOT, "tool", "list", id="send_email")
        assert (await pdp.post("evaluation", other)).json["decision"] is False
        assert records(made)[-1].tool == "tool.list"


async def test_members_that_contradict_each_other_are_refused() -> None:
    async with asking("inventory-bot") as (pdp, _):
        for asked in (
            question(BOT, "db", "query", {"id": "2", "query": "select 1"}),
            {**query(BOT), "action": {"name": "query", "properties": {"query": "drop table x"}}},
            {**query(BOT), "context": {"approval": "ap-1"}},
            {**query(BOT), "context": {"session": 7}},
        ):
            answer = await pdp.post("evaluation", asked)
            assert (answer.status, answer.json["code"]) == (400, "invalid-request")
        agreed = {**query(BOT), "action": {"name": "query", "properties": {"id": "1"}}}
        assert (await pdp.post("evaluation", agreed)).json["decision"] is True


async def test_obligations_are_for_the_enforcement_point() -> None:
    async with asking() as (pdp, made):
        answer = await pdp.post("evaluation", question(GRACE, "note", "read"))
        assert answer.json["decision"] is True
        [duty] = answer.json["context"]["obligations"]
        assert duty == {
            "id": "obligation-1",
            "type": "custom",
            "properties": {
                "vendor": "remit",
                "action": "redact",
                "target": "result.author",
                "rule": "clerks-read",
            },
        }
        assert [each.kind for each in records(made)[-1].obligations] == ["redact", "label"]


async def test_shadow_mode_permits_and_imposes_nothing() -> None:
    async with asking(policy="mode: shadow\n" + POLICY) as (pdp, made):
        answer = await pdp.post("evaluation", question(GRACE, "note", "read"))
        assert "obligations" not in answer.json["context"]
        assert (await pdp.post("evaluation", query(GRACE))).json["decision"] is True
        last = records(made)[-1]
        assert (last.effect, last.granted, last.mode) == ("deny", True, "shadow")


async def test_limits_count_and_say_when_to_come_back() -> None:
    async with asking() as (pdp, _):
        asked = question(GRACE, "note", "share")
        assert (await pdp.post("evaluation", asked)).json["decision"] is True
        second = await pdp.post("evaluation", asked)
        assert second.json["decision"] is False
        assert second.json["context"]["reason"] == "budget"
        assert 0 < second.json["context"]["retry_after"] <= 3600  # the hour by the clock


async def test_a_session_brings_its_labels_and_receives_some() -> None:
    mail = question(BOT, "tool", "call", id="send_email")
    async with asking("inventory-bot") as (pdp, made):
        opened = await pdp.client("POST", "/v1/sessions", token=pdp.token, json={})
        inside = {"context": {"session": opened.json["id"]}}
        assert (await pdp.post("evaluation", {**mail, **inside})).json["decision"] is True
        web = {**question(BOT, "web", "get", {"url": "https://example.com"}), **inside}
        assert (await pdp.post("evaluation", web)).json["decision"] is True
        after = await pdp.post("evaluation", {**mail, **inside})
        assert after.json["context"]["reason"] == "not-after-web"
        assert (await pdp.post("evaluation", mail)).json["decision"] is True
        foreign = await Pdp(pdp.client, "portal").post(
            "evaluation", {**query({**BOT, "id": "other-bot"}), **inside}
        )
        assert foreign.json["context"]["reason"] == "session-principal"
        none = await pdp.post("evaluation", {**mail, "context": {"session": "s-none"}})
        assert none.json["context"]["reason"] == "session-unknown"
        assert consistent(made)


async def test_a_narrowed_credential_is_refused_what_it_does_not_cover() -> None:
    async with asking("narrowed") as (pdp, made):
        assert (await pdp.post("evaluation", query(BOT))).json["decision"] is True
        mail = question(BOT, "tool", "call", id="send_email")
        answer = await pdp.post("evaluation", mail)
        assert answer.json["context"]["reason"] == "narrowed"
        assert records(made)[-1].rules[0].id == "narrowed"


async def test_nothing_is_decided_while_the_log_cannot_be_signed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with asking("inventory-bot") as (pdp, made):
        before = len(records(made))
        made.checkpointer._failure = OSError("gone")

        def lost(*_: object) -> bytes:
            raise OSError("the signer is gone")

        with monkeypatch.context() as patched:
            patched.setattr(type(made.checkpointer._signer), "sign", lost)
            assert (await pdp.post("evaluation", query(BOT))).status == 503
        assert len(records(made)) == before
        assert (await pdp.post("evaluation", query(BOT))).status == 200
        assert not made.checkpointer.failed


async def test_services_can_be_subjects() -> None:
    text = SETTINGS.replace('ids = ["grace"]}', 'ids = ["grace"]}, {type = "service"}')
    made = parts_of(POLICY, config=configured(text), identities=IDENTITIES)
    async with serving(made, authzen.ROUTES) as client:
        asked = query({"type": "service", "id": "billing"})
        answer = await Pdp(client, "kiosk").post("evaluation", asked)
        assert answer.json["context"]["reason"] == "unknown-agent"
        assert records(made)[-1].principal[0].kind == "service"


def batch(semantic: str | None, *texts: str) -> dict[str, Any]:
    asked = {
        "subject": BOT,
        "action": {"name": "query"},
        "evaluations": [
            {"resource": {"type": "db", "id": "1", "properties": {"query": text}}} for text in texts
        ],
    }
    return asked if semantic is None else {**asked, "options": {"evaluations_semantic": semantic}}


def outcomes(answer: Answer) -> list[bool]:
    assert answer.status == 200
    return [each["decision"] for each in answer.json["evaluations"]]


GOOD, BAD = "select 1 from stock", "drop table stock"


@pytest.mark.parametrize(
    ("semantic", "texts", "expected"),
    [
        (None, [GOOD, BAD, GOOD], [True, False, True]),
        ("execute_all", [BAD, GOOD], [False, True]),
        ("deny_on_first_deny", [GOOD, BAD, GOOD], [True, False]),
        ("deny_on_first_deny", [GOOD, GOOD], [True, True]),
        ("permit_on_first_permit", [BAD, GOOD, BAD], [False, True]),
        ("permit_on_first_permit", [BAD, BAD], [False, False]),
    ],
)
async def test_the_three_semantics(
    semantic: str | None, texts: list[str], expected: list[bool]
) -> None:
    async with asking("inventory-bot") as (pdp, made):
        before = len(records(made))
        assert outcomes(await pdp.post("evaluations", batch(semantic, *texts))) == expected
        assert len(records(made)) == before + len(expected)


async def test_a_failure_is_a_denial_for_the_semantics() -> None:
    async with asking("inventory-bot") as (pdp, _):
        asked = batch("deny_on_first_deny", GOOD, GOOD, GOOD)
        asked["evaluations"][1] = {"subject": GRACE, **asked["evaluations"][1]}
        answer = await pdp.post("evaluations", asked)
        assert outcomes(answer) == [True, False]
        assert answer.json["evaluations"][1]["context"]["error"]["status"] == 403


async def test_faulty_items_spoil_no_others() -> None:
    async with asking("inventory-bot") as (pdp, _):
        asked = batch(None, GOOD, GOOD, GOOD, GOOD, GOOD)
        items = asked["evaluations"]
        items[1] = 7
        items[2] = {"resource": {"type": "db"}}
        items[3] = {**items[3], "context": {"approval": 1}}
        answer = await pdp.post("evaluations", asked)
        assert outcomes(answer) == [True, False, False, False, True]
        errors = [each["context"].get("error") for each in answer.json["evaluations"]]
        assert [each and each["status"] for each in errors] == [None, 400, 400, 400, None]


@pytest.mark.parametrize(
    "change",
    [
        {"options": {"evaluations_semantic": "sometimes"}},
        {"options": []},
        {"evaluations": {}},
        {"subject": "inventory-bot"},
        {"subject": {"type": "agent"}},
        {"context": None},
    ],
)
async def test_a_faulty_batch_is_refused_as_a_whole(change: dict[str, Any]) -> None:
    async with asking("inventory-bot") as (pdp, made):
        before = len(records(made))
        assert (await pdp.post("evaluations", {**batch(None, GOOD), **change})).status == 400
        assert len(records(made)) == before


async def test_long_batches_are_decided_in_parts_and_have_an_end() -> None:
    async with asking("inventory-bot") as (pdp, made):
        texts = [GOOD] * 120
        assert outcomes(await pdp.post("evaluations", batch(None, *texts))) == [True] * 120
        mixed = [GOOD] * 60 + [BAD] + [GOOD] * 60
        answer = await pdp.post("evaluations", batch("deny_on_first_deny", *mixed))
        assert outcomes(answer) == [True] * 60 + [False]
        refused = await pdp.post("evaluations", batch(None, *[GOOD] * 1001))
        assert (refused.status, refused.json["code"]) == (400, "too-many-evaluations")
        assert consistent(made)


async def test_searches_leave_no_record_and_stay_within_what_may_be_asked() -> None:
    async with asking() as (pdp, made):
        before = len(records(made))
        asked = {"subject": {"type": "user"}, "action": {"name": "read"}}
        asked["resource"] = {"type": "note", "id": "1"}
        everyone = await pdp.post("search/subject", asked)
        assert [each["id"] for each in everyone.json["results"]] == ["grace"]
        web = {**asked, "action": {"name": "get"}, "resource": {"type": "web", "id": "1"}}
        web["subject"] = {"type": "agent"}
        bots = await pdp.post("search/subject", web)
        assert [each["id"] for each in bots.json["results"]] == ["inventory-bot", "other-bot"]
        alone = await Pdp(pdp.client, "inventory-bot").post("search/subject", web)
        assert [each["id"] for each in alone.json["results"]] == ["inventory-bot"]
        named = {"subject": BOT, "resource": {"type": "tool", "id": "send_email"}}
        found = await pdp.post("search/action", named)
        assert found.json["results"] == [{"name": "call"}]
        cut = await Pdp(pdp.client, "narrowed").post("search/action", named)
        assert cut.json["results"] == []
        foreign = await Pdp(pdp.client, "kiosk").post("search/action", named)
        assert foreign.status == 403
        assert len(records(made)) == before


async def test_a_stop_empties_searches() -> None:
    named = {"subject": BOT, "resource": {"type": "tool", "id": "send_email"}}
    async with asking() as (pdp, made):
        ada = Principal(id="ada", kind="person", known="declared")
        made.store.write(lambda t: made.governor.stop(t, "agent", "inventory-bot", ada, "enough"))
        assert (await pdp.post("search/action", named)).json["results"] == []
        stopped = await pdp.post("evaluation", query(BOT))
        assert stopped.json["context"]["reason"] == "stopped"


async def test_page_tokens_belong_to_one_search() -> None:
    asked: dict[str, Any] = {
        "subject": {"type": "agent"},
        "action": {"name": "get"},
        "resource": {"type": "web", "id": "1"},
    }
    async with asking() as (pdp, _):
        first = await pdp.post("search/subject", {**asked, "page": {"limit": 1}})
        token = first.json["page"]["next_token"]
        same = {**asked, "page": {"limit": 1, "token": token}}
        second = await pdp.post("search/subject", same)
        assert [each["id"] for each in second.json["results"]] == ["other-bot"]
        none = await pdp.post("search/subject", {**asked, "page": {"limit": 0}})
        assert (none.json["results"], none.json["page"]["next_token"] != "") == ([], True)
        for changed in (
            {**same, "resource": {"type": "web", "id": "2"}},
            {**same, "page": {"limit": 2, "token": token}},
            {**same, "page": {"token": "!"}},
            {**same, "page": {"token": "e30"}},
            {**same, "page": {"limit": -1}},
            {**same, "page": {"limit": "1"}},
        ):
            assert (await pdp.post("search/subject", changed)).status == 400


@pytest.mark.parametrize(
    "text",
    [
        '[[authzen.clients]]\nservice = "a"\nsubjects = []',
        '[[authzen.clients]]\nservice = "a"\nsubjects = [{type = "identity"}]',
        '[[authzen.clients]]\nservice = "a"\nsubjects = [{type = "user"}]\nallowed_roles = ["x"]',
        '[[authzen.clients]]\nservice = "a"\nsubjects = [{type = "user"}]\nteam_property = "x"',
        '[[authzen.resources]]\ntype = "a"\nid = "b"\n' * 2,
        '[[authzen.clients]]\nservice = "a"\nsubjects = [{type = "user"}]\n' * 2,
        '[[authzen.resources]]\ntype = "a"\nid = "b"\nproperties = {since = 2026-01-01}',
        "[authzen]\nresource = 1",
    ],
)
def test_settings_that_cannot_be_meant_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"remit\.toml:\d"):
        configured(text)
