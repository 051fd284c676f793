"""Decisions that somebody else acts on: nothing is settled, and the log says so."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from governed import POLICY, SECOND, World, rules
from remit.audit.replay import Replay
from remit.errors import ApprovalError, SettlementError
from remit.model import (
    NO_SESSION,
    AccessRequest,
    Action,
    Admission,
    ApprovalId,
    Effect,
    Outcome,
    Reason,
)
from remit.verdict import ApprovalUse

ASKING = ApprovalUse(uses=None)


def question(world: World, tool: str, agent: str = "inventory-bot", **arguments: object):
    return AccessRequest(
        principal=world.policies.principal(agent),
        session=NO_SESSION,
        action=Action(name=tool),
        arguments=arguments,
    )


def evaluate(world: World, request: AccessRequest, *more: object) -> Admission:
    return world.do(world.governor.evaluate, request, *more)


def discrepancies(world: World) -> list[tuple[int | None, str]]:
    found: list[tuple[int | None, str]] = []
    replay = Replay(lambda position, code, message: found.append((position, code)))
    for position, record in enumerate(world.records()):
        replay.see(position, record)
    replay.finish()
    assert not replay.open
    return found


def presenting(approval: ApprovalId | None) -> ApprovalUse:
    return ApprovalUse(asks=False, uses=approval)


def test_a_question_is_answered_recorded_and_leaves_nothing_open() -> None:
    world = World()
    request = question(world, "db.query", query="x")
    granted = evaluate(world, request)
    assert granted.granted
    assert granted.lease_until == 0
    denied = evaluate(world, question(world, "db.query", query="drop all"))
    assert not denied.granted
    yes, no = world.records()
    assert (yes.kind, yes.status, yes.granted, yes.lease, yes.session) == (
        "decision",
        "evaluated",
        True,
        None,
        None,
    )
    assert (no.status, no.granted, no.effect) == ("evaluated", False, "deny")
    assert world.store.read(lambda view: view.action(granted.id)) is None
    assert world.do(world.governor.expire) == 0
    assert discrepancies(world) == []
    with pytest.raises(SettlementError):
        world.settle(granted, request)


def test_an_action_cannot_be_admitted_outside_a_session() -> None:
    world = World()
    admission = world.admit(question(world, "db.query", query="x"))
    assert rules(admission) == ["session-unknown"]
    assert world.records()[0].session is None


def test_a_question_in_a_session_counts_and_hands_on_its_labels_at_once() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "web.get", url="https://example.com")
    assert evaluate(world, request).granted
    kept = world.session(session.id)
    assert kept.labels == ("untrusted",)
    assert kept.calls == {"web.get": 1}
    assert world.records()[-1].labels == ("untrusted",)
    after = evaluate(world, world.call(session, "mail.send"))
    assert rules(after)[0] == "not-after-web"
    assert world.session(session.id).calls == {"web.get": 1}
    world.do(world.governor.end_session, session.id)
    assert rules(evaluate(world, request)) == ["session-ended"]
    assert world.records()[-1].status == "evaluated"


def test_overdue_actions_of_the_session_are_closed_first() -> None:
    world = World(lease=SECOND)
    session = world.open()
    world.admit(world.call(session, "web.get", url="https://example.com"))
    world.now += 2 * SECOND
    after = evaluate(world, world.call(session, "mail.send"))
    assert rules(after)[0] == "not-after-web"


def test_questions_count_against_the_limits() -> None:
    world = World()
    request = question(world, "mail.send")
    answers = [evaluate(world, request).granted for _ in range(3)]
    assert answers == [True, True, False]
    assert world.records()[0].limits[0].key.startswith("rate/sends/")
    assert discrepancies(world) == []


def test_an_objection_refuses_whatever_policy_says() -> None:
    world = World(POLICY.replace("remit: 1", "remit: 1\nmode: shadow", 1))
    reason = Reason(rule="narrowed", effect=Effect.DENY)
    answer = evaluate(world, question(world, "db.query", query="x"), ASKING, reason)
    assert not answer.granted
    assert rules(answer) == ["narrowed"]
    assert world.records()[-1].status == "evaluated"


def test_the_stop_switch_covers_questions_too() -> None:
    world = World()
    request = question(world, "db.query", query="x")
    world.do(world.governor.stop, "agent", "inventory-bot", world.person("ada"), "enough")
    answer = evaluate(world, request)
    assert (answer.granted, rules(answer)) == (False, ["stopped"])
    assert world.records()[-1].status == "evaluated"


def test_a_question_asks_nobody_for_approval() -> None:
    world = World()
    answer = evaluate(world, question(world, "refund", amount=7))
    assert (answer.granted, answer.approval, answer.decision.effect) == (False, None, Effect.ASK)


def test_an_approval_is_used_only_by_who_presents_it_and_once() -> None:
    world = World()
    request = question(world, "refund", amount=7)
    asked = evaluate(world, request, ASKING)
    assert asked.approval is not None
    assert evaluate(world, request, presenting(asked.approval)).granted is False
    world.approve(asked.approval, "grace")
    assert evaluate(world, request).approval == asked.approval
    assert evaluate(world, request, ASKING).granted is False
    assert evaluate(world, request, presenting(ApprovalId("ap-other"))).granted is False
    other = question(world, "refund", amount=8)
    assert evaluate(world, other, presenting(asked.approval)).granted is False
    used = evaluate(world, request, presenting(asked.approval))
    assert used.granted
    assert used.approval == asked.approval
    assert evaluate(world, request, presenting(asked.approval)).granted is False
    with pytest.raises(ApprovalError, match="used"):
        world.approve(asked.approval, "alan")
    assert discrepancies(world) == []


def test_an_approval_that_ran_out_is_closed_by_the_next_question() -> None:
    world = World()
    request = question(world, "payout", amount=7)
    asked = evaluate(world, request, ASKING)
    world.now += 31 * 60 * SECOND
    answer = evaluate(world, request, presenting(asked.approval))
    assert answer.approval is None
    assert [record.status for record in world.records()] == ["evaluated", "evaluated", "expired"]
    assert evaluate(world, request, ASKING).approval != asked.approval


def test_what_does_not_fit_into_a_record_is_refused_and_changes_nothing() -> None:
    world = World()
    session = world.open()
    request = replace(world.call(session, "web.get", url="x"), trace="t" * 70_000)
    answer = evaluate(world, request)
    assert rules(answer) == ["record-too-large"]
    assert world.session(session.id).labels == ()


def test_the_auditor_accepts_no_outcome_for_an_evaluation() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "db.query", query="x")
    evaluated = evaluate(world, request)
    admission = world.admit(request)
    world.settle(admission, request, Outcome(status="ok"))
    records = world.records()
    outcome = replace(records[-1], action=evaluated.id)
    found: list[str] = []
    replay = Replay(lambda position, code, message: found.append(code))
    for position, record in enumerate([*records, outcome]):
        replay.see(position, record)
    assert found == ["outcome"]
