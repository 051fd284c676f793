"""Held calls: asked for once, approved by people, used once, for exactly what was asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from governed import HOUR, POLICY, SECOND, World, rules
from remit import canonical
from remit.approvals import Approval, ApprovalState
from remit.errors import ApprovalError
from remit.model import Action, Admission, ApprovalId, Effect, Session


def stored(world: World, admission: Admission) -> Approval:
    assert admission.approval is not None
    found = world.store.read(lambda view: view.approval(ApprovalId(str(admission.approval))))
    assert found is not None
    return found


def held(world: World, session: Session, **arguments: object) -> Admission:
    admission = world.admit(world.call(session, "refund", **(arguments or {"amount": 7})))
    assert not admission.granted
    assert admission.decision.effect is Effect.ASK
    return admission


def refused(step: Callable[[], object], problem: str) -> None:
    with pytest.raises(ApprovalError, match=problem):
        step()


def test_a_held_call_waits_under_one_handle_however_often_it_is_made() -> None:
    world = World()
    session = world.open()
    first = held(world, session)
    approval = stored(world, first)
    assert approval.state is ApprovalState.PENDING
    assert (approval.tool, approval.rules, approval.because) == ("refund", ("refunds",), "Money.")
    assert approval.arguments == canonical.encode({"amount": 7})
    assert approval.digest == first.digest
    assert approval.session == session.id
    assert held(world, session).approval == first.approval
    assert held(world, session, amount=8).approval != first.approval
    record = world.records()[first.position]
    assert (record.effect, record.granted, record.approval) == ("ask", False, first.approval)
    assert world.session(session.id).calls == {}


def test_an_approved_call_runs_once_and_says_by_which_approval() -> None:
    world = World()
    session = world.open()
    handle = held(world, session).approval
    world.approve(handle, "grace")
    admission = world.admit(world.call(session, "refund", amount=7))
    assert admission.granted
    assert admission.approval == handle
    approval = stored(world, admission)
    assert approval.state is ApprovalState.USED
    assert [vote.by.id for vote in approval.votes] == ["grace"]
    record = world.records()[admission.position]
    assert (record.effect, record.granted, record.approval) == ("ask", True, handle)
    assert world.session(session.id).calls == {"refund": 1}


def test_every_step_of_an_approval_is_in_the_log_without_what_people_wrote() -> None:
    world = World()
    session = world.open()
    handle = world.admit(world.call(session, "payout", amount=7)).approval
    grace, alan = world.person("grace"), world.person("alan")
    world.do(world.governor.approve, handle, grace, "secret-word is fine")
    world.do(world.governor.approve, handle, alan)
    world.do(world.governor.withdraw, handle, grace, "secret-word is not")
    steps = [record for record in world.records() if record.kind == "approval"]
    assert [(step.status, step.principal[0].id) for step in steps] == [
        ("pending", "grace"),
        ("approved", "alan"),
        ("withdrawn", "grace"),
    ]
    assert {(step.approval, step.tool, step.session) for step in steps} == {
        (handle, "payout", session.id)
    }
    assert [step.args is None for step in steps] == [False, True, False]
    assert b"secret-word" not in b"".join(world.bodies())


def test_p26_an_approval_is_used_once() -> None:
    world = World()
    session = world.open()
    handle = held(world, session).approval
    world.approve(handle, "grace")
    assert world.admit(world.call(session, "refund", amount=7)).granted
    world.now += HOUR // 2
    again = held(world, session)
    assert again.approval != handle
    refused(lambda: world.approve(handle, "alan"), "is used")


def test_p27_an_approval_is_for_these_arguments_this_tool_and_this_agent() -> None:
    world = World()
    session = world.open()
    handle = held(world, session).approval
    world.approve(handle, "grace")
    other = world.open("web-bot")
    request = world.call(session, "refund", amount=7)
    for changed in (
        world.call(session, "refund", amount=70),
        world.call(session, "refund", amount=7, note=""),
        world.call(other, "refund", amount=7),
        replace(request, action=Action(name="refund", kind="mcp")),
        replace(request, action=Action(name="refund", schema=canonical.digest("new"))),
    ):
        admission = world.admit(changed)
        assert not admission.granted
        assert admission.approval != handle
    assert world.admit(request).granted


def test_p28_an_approval_ends_with_its_policy() -> None:
    world = World()
    session = world.open()
    approved, waiting = held(world, session).approval, held(world, session, amount=8).approval
    world.approve(approved, "grace")
    world.load(POLICY + "# changed\n")
    assert held(world, session).approval not in (approved, waiting)
    refused(lambda: world.approve(waiting, "grace"), "the policy has changed .* make the call")
    rule = "  - {id: closed, tools: [refund], when: args.amount > 1, effect: deny}\n"
    world.load(POLICY.replace("  - id: reports", rule + "  - id: reports"))
    assert not world.admit(world.call(session, "refund", amount=7)).granted


def test_p29_an_approval_ends_with_its_time() -> None:
    world = World()
    session = world.open()
    first, second = held(world, session), held(world, session, amount=8)
    world.approve(first.approval, "grace")
    world.now += HOUR
    again = held(world, session)
    assert again.approval != first.approval
    assert stored(world, first).state is ApprovalState.EXPIRED
    assert [(step.status, step.principal) for step in world.records()[-1:]] == [("expired", ())]
    refused(lambda: world.approve(second.approval, "grace"), "is expired")
    assert world.do(world.governor.expire) == 1
    assert stored(world, second).state is ApprovalState.EXPIRED


def test_p30_the_requester_does_not_approve() -> None:
    text = POLICY.replace(
        "people:\n  ada: {team: warehouse}", "people:\n  ada: {roles: [security-team]}"
    )
    world = World(text)
    session = world.open()
    handle = held(world, session).approval
    refused(lambda: world.approve(handle, "ada"), "ada is part of the request")
    size = len(world.bodies())
    refused(lambda: world.do(world.governor.approve, handle, session.principal), "only a person")
    assert len(world.bodies()) == size
    assert not world.admit(world.call(session, "refund", amount=7)).granted


def test_a_quorum_of_people_the_rule_names() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "payout", amount=7)
    handle = world.admit(request).approval
    world.approve(handle, "grace")
    refused(lambda: world.approve(handle, "grace"), "has approved .* before")
    refused(lambda: world.approve(handle, "edsger"), "none of the approvers")
    assert not world.admit(request).granted
    world.approve(handle, "alan")
    assert world.admit(request).granted


def test_a_rejected_call_is_denied_until_the_time_of_its_approval_is_over() -> None:
    world = World()
    session = world.open()
    handle = held(world, session).approval
    world.do(world.governor.reject, handle, world.person("grace"), "not in May")
    denied = world.admit(world.call(session, "refund", amount=7))
    assert denied.decision.effect is Effect.DENY
    assert rules(denied)[0] == "approval-rejected"
    reason = denied.decision.reasons[0]
    assert reason.because == f"grace rejected this call ({handle}): not in May."
    assert denied.approval is None
    assert held(world, session, amount=8).approval != handle
    world.now += HOUR
    assert held(world, session).approval != handle


def test_a_rejection_without_a_reason_says_so_much() -> None:
    world = World()
    session = world.open()
    handle = held(world, session).approval
    world.do(world.governor.reject, handle, world.person("grace"))
    denied = world.admit(world.call(session, "refund", amount=7))
    assert denied.decision.reasons[0].because == f"grace rejected this call ({handle})."


def test_a_withdrawn_approval_does_not_count_and_the_call_may_be_asked_for_again() -> None:
    world = World()
    session = world.open()
    handle = held(world, session).approval
    world.approve(handle, "grace")
    world.do(world.governor.withdraw, handle, world.person("ada"))
    assert held(world, session).approval != handle


def test_other_rules_need_other_people() -> None:
    world = World()
    session = world.open()
    first = held(world, session)
    world.approve(first.approval, "grace")
    request = replace(world.call(session, "refund", amount=7), context={"freeze": True})
    frozen = world.admit(request)
    assert not frozen.granted
    assert frozen.approval != first.approval
    assert stored(world, first).state is ApprovalState.WITHDRAWN
    assert stored(world, first).reason == "other rules hold the call now"
    assert world.records()[-1].status == "withdrawn"
    world.approve(frozen.approval, "grace")
    assert not world.admit(request).granted
    world.approve(frozen.approval, "edsger")
    assert world.admit(request).granted


def test_policy_is_asked_again_before_an_approval_is_used() -> None:
    text = POLICY.replace(
        "  - id: reports",
        "  - {id: stop, tools: [refund], after: untrusted, effect: deny}\n  - id: reports",
    )
    world = World(text)
    session = world.open()
    handle = held(world, session).approval
    world.approve(handle, "grace")
    page = world.call(session, "web.get", url="x")
    world.settle(world.admit(page), page)
    assert "stop" in rules(world.admit(world.call(session, "refund", amount=7)))
    assert stored(world, world.admit(world.call(world.open(), "refund", amount=7))).id == handle


def test_an_approved_call_over_its_limit_keeps_its_approval() -> None:
    world = World()
    session = world.open()
    first, second = held(world, session), held(world, session, amount=8)
    world.approve(first.approval, "grace")
    assert world.admit(world.call(session, "refund", amount=7)).granted
    world.now += HOUR - SECOND
    world.approve(second.approval, "grace")
    limited = world.admit(world.call(session, "refund", amount=8))
    assert rules(limited)[0] == "rate-limit"
    assert limited.approval is None
    assert stored(world, second).state is ApprovalState.APPROVED


def test_what_waits_does_not_count_against_limits() -> None:
    world = World()
    session = world.open()
    for amount in range(5):
        held(world, session, amount=amount)


def test_people_decide_on_what_would_run() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "loan", amount=900)
    waiting = world.admit(request)
    assert waiting.arguments is None
    assert stored(world, waiting).arguments == canonical.encode({"amount": 100})
    world.approve(waiting.approval, "grace")
    admission = world.admit(request)
    assert admission.granted
    assert admission.arguments == {"amount": 100}
    assert world.settle(admission, replace(request, arguments=admission.arguments)).labels == ()


def test_a_handle_that_is_none_is_said_to_be_none() -> None:
    world = World()
    grace = world.person("grace")
    for step in (world.governor.approve, world.governor.reject, world.governor.withdraw):
        refused(
            lambda step=step: world.do(step, ApprovalId("ap-none"), grace),  # type: ignore[misc]
            "there is no such approval",
        )


def test_expiring_leaves_what_still_has_time() -> None:
    world = World()
    session = world.open()
    short = world.admit(world.call(session, "payout", amount=7))
    long = held(world, session)
    world.now += HOUR // 2
    assert world.do(world.governor.expire) == 1
    assert stored(world, short).state is ApprovalState.EXPIRED
    assert stored(world, long).state is ApprovalState.PENDING
