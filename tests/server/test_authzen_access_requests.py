"""Access requests after a denial (ARAP): asked, decided by people, used once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from authzen_fixture import Pdp, configured, portal
from msgspec.structs import replace

from remit.api import authzen
from remit.api.frame import Parts
from remit.approvals import OPEN
from remit.audit.record import Record, parse_record
from remit.audit.replay import Replay
from remit.credentials import Right
from remit.identity.model import Identity, Narrowing
from remit.model import ApprovalId, Principal, SessionId
from remit.policy import load
from serving import Answer, agent, parts_of, serving

POLICY = """
remit: 1
default: deny
agents:
  inventory-bot: {roles: [reader]}
  other-bot: {roles: [reader]}
people:
  ada: {roles: [security-team]}
  grace: {roles: [clerk]}
  alan: {roles: [clerk]}
tools:
  - {match: [document.read, document.print, document.burn], does: read}
rules:
  - id: reading
    roles: [clerk, reader]
    tools: [document.read]
    effect: ask
    approvers: [security-team]
    expires: 1h
    because: Somebody of the security team looks at this first.
  - {id: printing, roles: [clerk], tools: [document.print], effect: allow}
  - {id: burning, tools: [document.burn], when: context.fire_watch, effect: ask}
"""
SETTINGS = """
[[authzen.clients]]
service = "portal"
subjects = [{type = "user"}]

[[authzen.clients]]
service = "kiosk"
subjects = [{type = "user", ids = ["alan"]}]
"""
NARROWED = Identity(
    principal=Principal(id="inventory-bot", known="authenticated"),
    rights=frozenset({Right.AGENT}),
    credential="delegation:inventory-bot",
    narrowed=Narrowing(tools=(("db.*",),)),
)
IDENTITIES = {
    "portal": portal(),
    "kiosk": portal("kiosk"),
    "mesh": portal("mesh", "other-bot"),
    "inventory-bot": replace(NARROWED, narrowed=None),
    "other-bot": agent("other-bot"),
    "narrowed": NARROWED,
}
ADA = Principal(id="ada", kind="person", roles=("security-team",), known="declared")
MINUTE = 60_000_000_000


class Office:
    """A decision point with a clock that tests set, and the people behind it."""

    def __init__(self, pdp: Pdp, parts: Parts, clock: list[int]) -> None:
        self.pdp = pdp
        self.parts = parts
        self.clock = clock

    def as_(self, token: str) -> Office:
        return Office(Pdp(self.pdp.client, token), self.parts, self.clock)

    async def evaluate(self, asked: dict[str, Any], approval: object = None) -> dict[str, Any]:
        more = {} if approval is None else {"context": {"approval": approval}}
        answer = await self.pdp.post("evaluation", {**asked, **more})
        assert answer.status == 200, answer.body
        return dict(answer.json)

    async def submit(self, asked: dict[str, Any], denied: dict[str, Any], **options: Any) -> Answer:
        context = denied["context"]
        denial = {
            "evaluation_id": context["evaluation_id"],
            "expires_at": context.get("access_request", {}).get("expires_at", "never"),
        }
        return await self.pdp.post("requests", {**asked, "denial": denial}, **options)

    async def requested(self, asked: dict[str, Any]) -> str:
        answer = await self.submit(asked, await self.evaluate(asked))
        assert answer.status == 202, answer.body
        return str(answer.json["task"]["id"])

    async def task(self, name: str) -> Answer:
        return await self.pdp.get(f"/access/v1/requests/{name}")

    async def cancel(self, name: str, body: object = None) -> Answer:
        path = f"/access/v1/requests/{name}/cancel"
        options = {} if body is None else {"json": body}
        return await self.pdp.client("POST", path, token=self.pdp.token, **options)

    def decide(self, step: str, name: str, by: Principal = ADA) -> None:
        decide = getattr(self.parts.governor, step)
        self.parts.store.write(lambda t: decide(t, ApprovalId(name), by, "because"))

    def pass_(self, nanoseconds: int) -> None:
        self.clock[0] += nanoseconds

    def records(self) -> list[Record]:
        return [
            parse_record(each.body)
            for each in self.parts.store.read(lambda v: list(v.records(0, v.log_size())))
        ]

    def consistent(self) -> bool:
        found: list[str] = []
        replay = Replay(lambda position, code, message: found.append(code))
        for position, record in enumerate(self.records()):
            replay.see(position, record)
        replay.finish()
        return not found and not replay.open


@asynccontextmanager
async def office(token: str = "portal") -> AsyncIterator[Office]:
    clock = [time.time_ns()]
    parts = parts_of(
        POLICY, config=configured(SETTINGS), identities=IDENTITIES, clock=lambda: clock[0]
    )
    async with serving(parts, authzen.ROUTES) as client:
        yield Office(Pdp(client, token), parts, clock)


def question(user: str = "grace", name: str = "plan", action: str = "read") -> dict[str, Any]:
    return {
        "subject": {"type": "user", "id": user},
        "action": {"name": action},
        "resource": {"type": "document", "id": name},
    }


def problem(answer: Answer) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status, str(answer.json["type"]).rpartition(":")[2]


async def test_a_denial_is_requested_approved_and_used_once() -> None:
    asked = question()
    async with office() as place:
        denied = await place.evaluate(asked)
        assert denied["decision"] is False
        context = denied["context"]
        assert context["reason"] == "approval_required"
        assert context["access_request"]["endpoint"].endswith("/access/v1/requests")
        assert not place.parts.store.read(lambda view: view.approvals(OPEN, 9))

        submitted = await place.submit(asked, denied)
        assert submitted.status == 202
        task = submitted.json["task"]
        assert submitted.headers["Location"] == task["status_endpoint"]
        assert task["status"] == "pending"
        assert task["display"]["description"].startswith("Somebody of the security team")
        assert "result" not in submitted.json
        pending = await place.task(task["id"])
        assert pending.json == submitted.json
        assert int(pending.headers["Retry-After"]) > 0

        early = await place.evaluate(asked, {"id": task["id"]})
        assert early["decision"] is False
        assert early["context"]["next_action"] == "retry"
        assert early["context"]["retry_after"] > 0

        place.decide("approve", task["id"])
        done = (await place.task(task["id"])).json
        assert (done["task"]["status"], done["result"]["mode"]) == ("approved", "reevaluate")
        approval = done["result"]["approval"]

        assert (await place.evaluate(asked))["decision"] is False
        used = await place.evaluate(asked, approval)
        assert used["decision"] is True
        assert used["context"]["approval"] == approval

        again = await place.evaluate(asked, approval)
        assert again["decision"] is False
        assert again["context"]["reason"] == "approval_expired"
        assert again["context"]["next_action"] == "request"
        assert "access_request" in again["context"]
        assert (await place.task(task["id"])).json["task"]["status"] == "approved"
        assert place.consistent()
        assert (await place.requested(asked)) != task["id"]


async def test_the_same_request_has_one_task() -> None:
    asked = question()
    async with office() as place:
        denied = await place.evaluate(asked)
        key = {"Idempotency-Key": "one"}
        first = await place.submit(asked, denied, headers=key)
        size = len(place.records())
        second = await place.submit(asked, denied, headers=key)
        assert (second.status, second.body) == (202, first.body)
        assert len(place.records()) == size
        other = question(name="other")
        reused = await place.submit(other, await place.evaluate(other), headers=key)
        assert problem(reused) == (409, "duplicate_request")
        assert await place.requested(asked) == first.json["task"]["id"]
        malformed = await place.submit(asked, denied, headers={"Idempotency-Key": "a b"})
        assert malformed.status == 400


async def test_an_approval_is_good_for_nothing_else() -> None:
    async with office() as place:
        name = await place.requested(question())
        place.decide("approve", name)
        for other in (question(name="other"), question(user="alan")):
            answer = await place.evaluate(other, {"id": name})
            assert answer["decision"] is False
            assert answer["context"]["reason"] == "out_of_scope"
            assert answer["context"]["next_action"] == "request"
        unknown = await place.evaluate(question(), {"id": "ap-none"})
        assert unknown["context"]["reason"] == "approval_unverifiable"
        assert unknown["context"]["next_action"] == "none"
        burning = await place.evaluate({**question(), "action": {"name": "fly"}}, {"id": name})
        assert burning["context"]["reason"] == "policy_denied"
        assert (await place.evaluate(question(), {"id": name}))["decision"] is True
        assert place.consistent()


async def test_a_new_policy_ends_what_was_approved_under_the_old_one() -> None:
    asked = question()
    async with office() as place:
        denied = await place.evaluate(asked)
        name = await place.requested(asked)
        place.decide("approve", name)
        place.parts.policies.replace(load({"remit.yaml": POLICY + "# another\n"}))
        place.parts.store.write(place.parts.governor.adopt)
        answer = await place.evaluate(asked, {"id": name})
        assert answer["context"]["reason"] == "approval_expired"
        assert problem(await place.submit(asked, denied)) == (410, "expired_denial")


async def test_what_people_say_shows_in_the_task() -> None:
    asked = question()
    async with office() as place:
        name = await place.requested(asked)
        place.decide("reject", name)
        assert (await place.task(name)).json["task"]["status"] == "denied"
        refused = await place.evaluate(asked, {"id": name})
        assert refused["context"]["reason"] == "policy_denied"
        assert "access_request" not in refused["context"]
        other = question(name="other")
        late = await place.requested(other)
        place.decide("approve", late)
        place.pass_(61 * MINUTE)
        assert (await place.task(late)).json["task"]["status"] == "expired"
        expired = await place.evaluate(other, {"id": late})
        assert expired["context"]["reason"] == "approval_expired"
        assert place.consistent()


async def test_a_request_is_taken_back_while_it_waits() -> None:
    async with office() as place:
        name = await place.requested(question())
        link = (await place.task(name)).json["task"]["links"]["cancel"]
        assert link.endswith(f"/access/v1/requests/{name}/cancel")
        cancelled = await place.cancel(name, {"reason": "not_needed", "comment": "found it"})
        assert (cancelled.status, cancelled.json["task"]["status"]) == (200, "cancelled")
        assert problem(await place.cancel(name)) == (409, "invalid_task_state")
        assert place.records()[-1].principal[0].id == "grace"
        second = await place.requested(question(name="other"))
        assert (await place.cancel(second)).json["task"]["status"] == "cancelled"
        third = await place.requested(question(name="third"))
        place.decide("approve", third)
        assert problem(await place.cancel(third)) == (409, "invalid_task_state")


async def test_tasks_are_shown_to_who_may_ask_about_the_subject() -> None:
    async with office() as place:
        name = await place.requested(question())
        for token in ("kiosk", "inventory-bot"):
            other = place.as_(token)
            assert problem(await other.task(name)) == (404, "unknown_task")
            assert problem(await other.cancel(name)) == (404, "unknown_task")
        assert problem(await place.task("ap-none")) == (404, "unknown_task")
        own = place.as_("inventory-bot")
        asked = {**question(), "subject": {"type": "agent", "id": "inventory-bot"}}
        mine = await own.requested(asked)
        assert (await own.task(mine)).status == 200
        assert (await place.as_("other-bot").task(mine)).status == 404
        assert (await place.task(mine)).status == 404
        assert (await place.as_("mesh").task(mine)).status == 404
        other = {**asked, "subject": {"type": "agent", "id": "other-bot"}}
        theirs = await place.as_("other-bot").requested(other)
        mesh = place.as_("mesh")
        assert (await mesh.task(theirs)).status == 200
        place.decide("approve", theirs)
        assert (await mesh.evaluate(other))["decision"] is False
        own_key_only = await place.as_("other-bot").evaluate(other, {"id": theirs})
        assert own_key_only["decision"] is True


async def test_only_a_fresh_denial_of_the_same_thing_can_be_requested() -> None:
    asked = question()
    async with office() as place:
        denied = await place.evaluate(asked)
        size = len(place.records())
        for other in (question(name="other"), question(user="alan")):
            refused = await place.submit(other, denied)
            assert problem(refused) == (400, "invalid_denial_binding")
        permitted = await place.evaluate(question(action="print"))
        refused = await place.submit(question(action="print"), permitted)
        assert problem(refused) == (400, "not_requestable")
        denied_for_good = await place.evaluate(question(action="fly"))
        refused = await place.submit(question(action="fly"), denied_for_good)
        assert problem(refused) == (400, "not_requestable")
        for name in ("ev-0-" + "0" * 20, "ev-999999-" + "0" * 20, "eval-1", "a-1"):
            forged = {"context": {**denied["context"], "evaluation_id": name}}
            refused = await place.submit(asked, forged)
            assert problem(refused) == (400, "invalid_denial_binding")
        assert len(place.records()) == size + 2
        place.pass_(10 * MINUTE)
        assert problem(await place.submit(asked, denied)) == (410, "expired_denial")


async def test_a_denial_that_nobody_could_lift_any_more_is_not_requestable() -> None:
    asked = question()
    async with office() as place:
        denied = await place.evaluate(asked)
        name = await place.requested(asked)
        place.decide("reject", name)
        assert problem(await place.submit(asked, denied)) == (400, "not_requestable")


async def test_a_missing_fact_can_be_left_to_people() -> None:
    asked = question(action="burn")
    async with office() as place:
        denied = await place.evaluate(asked)
        assert denied["context"]["reason_admin"]["403"].startswith("missing-fact")
        name = await place.requested(asked)
        place.decide("approve", name)
        assert (await place.evaluate(asked, {"id": name}))["decision"] is True


async def test_requests_have_the_shape_of_the_profile() -> None:
    async with office() as place:
        denied = await place.evaluate(question())
        context = denied["context"]
        denial = {
            "evaluation_id": context["evaluation_id"],
            "expires_at": context["access_request"]["expires_at"],
        }
        good = {**question(), "denial": denial}
        for body in (
            {**good, "denial": {"expires_at": denial["expires_at"]}},
            {**good, "denial": {"evaluation_id": denial["evaluation_id"]}},
            {**good, "denial": None},
            {name: value for name, value in good.items() if name != "subject"},
        ):
            assert (await place.pdp.post("requests", body)).status == 400
        bundle = {
            "subject": good["subject"],
            "denial": denial,
            "items": [{"resource": good["resource"], "action": good["action"]}],
        }
        assert (await place.pdp.post("requests", bundle)).status == 400
        extended = {
            **good,
            "context": {"business_justification": "A renewal."},
            "requested_access": {"requested_until": "2030-01-01T00:00:00Z"},
            "client": {"id": "portal"},
        }
        assert (await place.pdp.post("requests", extended)).status == 202
        foreign = place.as_("kiosk")
        assert (await foreign.pdp.post("requests", good)).status == 403


async def test_a_narrowed_credential_requests_nothing_beyond_it() -> None:
    asked = {**question(), "subject": {"type": "agent", "id": "inventory-bot"}}
    async with office("inventory-bot") as place:
        denied = await place.evaluate(asked)
        narrowed = place.as_("narrowed")
        assert problem(await narrowed.submit(asked, denied)) == (400, "not_requestable")


async def test_an_approval_outside_of_sessions_names_none() -> None:
    asked = {**question(), "subject": {"type": "agent", "id": "inventory-bot"}}
    async with office("inventory-bot") as place:
        name = await place.requested(asked)
        place.decide("approve", name)
        approval = place.parts.store.read(lambda view: view.approval(ApprovalId(name)))
        assert approval is not None
        assert approval.session == SessionId("")
        assert [each.session for each in place.records() if each.kind == "approval"] == [None]
        assert (await place.evaluate(asked, {"id": name}))["decision"] is True
