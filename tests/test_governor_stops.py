"""The stop switch in the governor: the next call, every mode, held calls, what runs already."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from governed import HOUR, POLICY, SECOND, World, rules
from remit.approvals import Approval, ApprovalState
from remit.audit.record import RecordedStop
from remit.errors import ApprovalError, InvalidRequest, SettlementError
from remit.model import (
    NO_SESSION,
    AccessRequest,
    Admission,
    ApprovalId,
    Outcome,
    Session,
    SessionId,
)
from remit.stops import FirstRefusal, Scope, Stop, StopId
from remit.switch import StopEffect, first_refusal


def stopped(
    world: World, scope: Scope = "all", value: str = "", reason: str = "secret-word"
) -> StopEffect:
    return world.do(world.governor.stop, scope, value, world.person("grace"), reason)


def resume(world: World, stop_id: str) -> Stop:
    return world.do(world.governor.resume, StopId(stop_id), world.person("ada"), "all clear")


def query(world: World, session: Session) -> Admission:
    return world.admit(world.call(session, "db.query", query="select 1"))


def stored(world: World, handle: ApprovalId | None) -> Approval:
    assert handle is not None
    found = world.store.read(lambda view: view.approval(handle))
    assert found is not None
    return found


def test_the_next_call_is_refused_and_told_who_why_and_how_it_goes_on() -> None:
    world = World()
    session = world.open()
    assert query(world, session).granted
    stop = stopped(world, "agent", "inventory-bot").stop
    admission = query(world, session)
    assert not admission.granted
    assert rules(admission) == ["stopped"]
    reason = admission.decision.reasons[0]
    assert reason.because == "grace stopped agent inventory-bot: secret-word."
    assert f"remit resume {stop.id}" in reason.instead
    record = world.records()[admission.position]
    assert (record.kind, record.granted, record.effect) == ("decision", False, "deny")
    assert [each.id for each in record.rules] == ["stopped"]
    assert query(world, world.open("web-bot")).granted
    assert resume(world, stop.id) == stop
    assert query(world, session).granted


def test_no_mode_and_no_policy_lets_a_stopped_call_through() -> None:
    world = World(POLICY.replace("default: deny", "default: deny\nmode: shadow"))
    session = world.open()
    assert world.admit(world.call(session, "rm -rf")).granted
    stopped(world, "session", session.id)
    for tool in ("db.query", "rm -rf"):
        admission = world.admit(world.call(session, tool, query="select 1"))
        assert (admission.granted, rules(admission)) == (False, ["stopped"])
    world.load(
        "remit: 1\ndefault: allow\naccept-open-default: true\nagents: {inventory-bot: {}}\n"
        "rules: [{id: all, tools: ['*'], effect: allow}]"
    )
    assert not query(world, session).granted


def test_delegated_sessions_stop_with_the_one_they_come_from_and_with_their_agents() -> None:
    world = World()
    parent = world.open()
    child = world.do(
        world.governor.open_session, world.policies.principal("web-bot"), parent=parent.id
    )
    grandchild = world.do(
        world.governor.open_session, world.policies.principal("web-bot"), parent=child.id
    )
    other = world.open()
    for scope, value in (("session", parent.id), ("session", child.id), ("agent", "web-bot")):
        stop = stopped(world, scope, value).stop  # type: ignore[arg-type]
        assert rules(query(world, grandchild)) == ["stopped"]
        assert query(world, other).granted
        assert query(world, parent).granted is (value != parent.id)
        resume(world, stop.id)
    stopped(world, "session", grandchild.id)
    assert query(world, child).granted
    assert not query(world, grandchild).granted
    # The agent that delegated: everything down from it.
    stopped(world, "agent", "inventory-bot")
    assert rules(query(world, child)) == ["stopped"]


def test_a_tool_is_stopped_for_everybody() -> None:
    world = World()
    session = world.open()
    stopped(world, "tool", "db.*")
    assert rules(query(world, session)) == ["stopped"]
    assert world.admit(world.call(session, "web.get", url="https://a.example")).granted


def test_a_call_without_a_good_session_is_stopped_all_the_same() -> None:
    world = World()
    stopped(world)
    session = world.open()
    request = replace(world.call(session, "db.query"), session=SessionId("s-none"))
    assert rules(world.admit(request)) == ["stopped"]


def test_a_question_is_answered_as_stopped() -> None:
    world = World()
    session = world.open()
    stopped(world, "agent", "inventory-bot")
    request = world.call(session, "db.query", query="select 1")
    for asked in (request, replace(request, session=NO_SESSION)):
        assert isinstance(asked, AccessRequest)
        answer = world.do(world.governor.evaluate, asked)
        assert (answer.granted, rules(answer)) == (False, ["stopped"])


def test_held_calls_in_scope_are_closed_in_the_same_transaction() -> None:
    world = World()
    session, other = world.open(), world.open("web-bot")
    pending = world.admit(world.call(session, "refund", amount=7)).approval
    approved = world.admit(world.call(session, "refund", amount=8)).approval
    world.approve(approved, "grace")
    elsewhere = world.admit(world.call(other, "refund", amount=7)).approval
    effect = stopped(world, "agent", "inventory-bot")
    assert [each.id for each in effect.closed] == [pending, approved]
    no = stored(world, pending)
    assert (no.state, no.closed_by) == (ApprovalState.REJECTED, "grace")
    assert no.reason == "agent inventory-bot was stopped: secret-word"
    assert stored(world, approved).state is ApprovalState.WITHDRAWN
    assert stored(world, elsewhere).state is ApprovalState.PENDING
    with pytest.raises(ApprovalError, match="rejected"):
        world.approve(pending, "alan")
    assert world.kinds()[-3:] == ["stop", "approval", "approval"]
    steps = world.records()[-2:]
    assert [(step.status, step.principal[0].id) for step in steps] == [
        ("rejected", "grace"),
        ("withdrawn", "grace"),
    ]
    assert rules(world.admit(world.call(session, "refund", amount=7))) == ["stopped"]


def test_after_resume_a_held_call_may_be_asked_for_anew() -> None:
    world = World()
    session = world.open()
    first = world.admit(world.call(session, "refund", amount=7)).approval
    effect = stopped(world, reason="")
    assert stored(world, first).reason == "everything was stopped"
    resume(world, effect.stop.id)
    again = world.admit(world.call(session, "refund", amount=7))
    assert rules(again) == ["refunds"]
    assert again.approval not in (None, first)


def test_an_approval_whose_time_has_passed_has_expired_rather() -> None:
    world = World()
    session = world.open()
    handle = world.admit(world.call(session, "refund", amount=7)).approval
    world.now += HOUR
    effect = stopped(world)
    assert [each.state for each in effect.closed] == [ApprovalState.EXPIRED]
    assert stored(world, handle).closed_by is None


def test_what_runs_already_is_settled_and_its_result_is_shown() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "web.get", url="https://a.example")
    admission = world.admit(request)
    stopped(world, "session", session.id)
    settlement = world.settle(admission, request, Outcome(status="ok", result="page"))
    assert not settlement.withheld
    assert settlement.labels == ("untrusted",)
    assert world.records()[settlement.position].status == "ok"
    with pytest.raises(SettlementError):
        world.settle(admission, request)


def test_stops_are_in_the_log_without_their_reasons() -> None:
    world = World()
    effect = stopped(world, "tool", "db.*")
    resume(world, effect.stop.id)
    first, second = (record for record in world.records() if record.kind == "stop")
    assert first.stop == RecordedStop(id=effect.stop.id, scope="tool", value="db.*")
    assert second.stop == first.stop
    assert [record.status for record in (first, second)] == ["stopped", "resumed"]
    assert [record.principal[0].id for record in (first, second)] == ["grace", "ada"]
    assert None not in (first.args, second.args)
    bodies = b"".join(world.bodies())
    assert b"secret-word" not in bodies
    assert b"all clear" not in bodies
    values = world.store.read(lambda view: view.values(effect.position))
    assert values is not None
    assert values.canonical == b'{"reason":"secret-word"}'


def test_stops_add_up_and_each_is_resumed_by_itself() -> None:
    world = World()
    session = world.open()
    first, second = stopped(world).stop, stopped(world, "agent", "inventory-bot").stop
    resume(world, first.id)
    assert not query(world, session).granted
    resume(world, second.id)
    assert query(world, session).granted
    with pytest.raises(InvalidRequest, match="no such stop"):
        resume(world, first.id)


def test_an_agent_neither_stops_nor_resumes() -> None:
    world = World()
    bot = world.policies.principal("inventory-bot")
    with pytest.raises(InvalidRequest, match="agent"):
        world.do(world.governor.stop, "all", "", bot)
    stop = stopped(world).stop
    size = len(world.bodies())
    with pytest.raises(InvalidRequest, match="agent"):
        world.do(world.governor.resume, stop.id, bot)
    assert len(world.bodies()) == size
    assert not query(world, world.open()).granted


def test_a_stop_that_does_not_fit_into_a_record_is_refused() -> None:
    world = World()
    by = replace(world.person("grace"), roles=tuple(f"role-{number}" for number in range(9000)))
    with pytest.raises(InvalidRequest, match="nothing was stopped"):
        world.do(world.governor.stop, "all", "", by)
    assert query(world, world.open()).granted


def test_a_clock_behind_the_log_does_not_move_a_stop() -> None:
    world = World()
    session = world.open()
    world.now -= 10 * SECOND
    effect = stopped(world)
    assert world.records()[effect.position].note is not None
    assert not query(world, session).granted


def test_the_reason_of_a_stop_can_be_erased_and_the_stop_holds() -> None:
    world = World()
    first = stopped(world, "agent", "inventory-bot")
    world.now += SECOND
    second = stopped(world)
    world.do(world.governor.erase, [first.position], world.person("ada"))
    kept = world.store.read(lambda view: list(view.stops()))
    assert [stop.reason for stop in kept] == ["", second.stop.reason]
    admission = query(world, world.open())
    assert admission.decision.reasons[0].because == "grace stopped agent inventory-bot."


def test_the_first_refusal_of_a_stop_is_found_and_how_soon_it_came() -> None:
    world = World()
    parent = world.open()
    child = world.do(
        world.governor.open_session, world.policies.principal("web-bot"), parent=parent.id
    )
    other = world.open("web-bot")
    effect = stopped(world, "session", parent.id)
    stopped(world, "tool", "web.*")

    def found(since: int) -> tuple[FirstRefusal | None, int]:
        return world.store.read(lambda view: first_refusal(view, effect.stop, since))

    query(world, other)
    world.admit(world.call(other, "web.get", url="https://a.example"))  # another stop's
    size = len(world.bodies())
    assert found(effect.position) == (None, size)
    assert found(size) == (None, size)
    assert found(size + 5) == (None, size + 5)
    world.now += SECOND
    refused = query(world, child)
    query(world, parent)
    refusal = FirstRefusal(
        position=refused.position, after=SECOND, session=child.id, tool="db.query"
    )
    assert found(size) == (refusal, refused.position)
    assert found(effect.position) == (refusal, refused.position)
