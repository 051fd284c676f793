"""Standing approvals: they vote on what they cover, as the person who gave them, and on no more."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from governed import HOUR, POLICY, World
from remit import standing
from remit.approvals import Approval, ApprovalState
from remit.audit.record import parse_record
from remit.audit.replay import Replay
from remit.errors import ApprovalError
from remit.journal import Journal
from remit.model import Admission, ApprovalId, Effect, Session, SessionId
from remit.standing import StandingApproval
from remit.storage import Transaction

MANY = POLICY.replace("limit: {calls: 1}, burst: 1, per: hour", "limit: {calls: 99}, per: hour")


def approval(world: World, admission: Admission) -> Approval:
    found = world.store.read(lambda view: view.approval(admission.approval or ApprovalId("")))
    assert found is not None
    return found


def journal(world: World, t: Transaction) -> Journal:
    return Journal.begin(t, world.now, world._entropy)


def give(
    world: World,
    admission: Admission,
    by: str = "grace",
    *,
    life: int = HOUR,
    session: SessionId | None = None,
    **fits: str,
) -> StandingApproval:
    given = approval(world, admission)
    return world.store.write(
        lambda t: standing.give(
            journal(world, t),
            given,
            world.person(by),
            fits=fits,
            until=world.now + life,
            session=session,
        )
    )


def ask(world: World, session: Session, tool: str = "refund", **arguments: Any) -> Admission:
    return world.admit(world.call(session, tool, **arguments))


def given(world: World, **fits: str) -> tuple[Session, StandingApproval]:
    """A world in which grace has said yes to one refund and to those like it."""
    session = world.open()
    held = ask(world, session, amount=7, to="ada")
    assert held.decision.effect is Effect.ASK
    world.approve(held.approval, "grace")
    return session, give(world, held, **(fits or {"amount": "*"}))


def take_back(world: World, made: StandingApproval) -> None:
    by = world.person("alan")
    world.store.write(lambda t: standing.take_back(journal(world, t), made.id, by))


def sound(world: World) -> None:
    """The log passes the auditor's replay."""
    wrong: list[str] = []
    replay = Replay(lambda position, kind, text: wrong.append(f"{position} {kind}: {text}"))
    for position, body in enumerate(world.bodies()):
        replay.see(position, parse_record(body))
    replay.finish()
    assert wrong == []


def test_what_fits_runs_with_an_approval_of_its_own_by_the_person_who_gave_it() -> None:
    world = World(MANY)
    session, made = given(world)
    granted = ask(world, session, amount=8, to="ada")
    assert granted.granted
    used = approval(world, granted)
    assert used.state is ApprovalState.USED
    assert [vote.by.id for vote in used.votes] == ["grace"]
    assert made.id in used.votes[0].reason
    told = [record for record in world.records() if record.approval == used.id]
    assert [(record.kind, record.status) for record in told] == [
        ("approval", "approved"),
        ("decision", None),
    ]
    assert [link.id for link in told[0].principal] == ["grace"]
    assert ask(world, session, amount=9, to="ada").approval != granted.approval
    sound(world)


@pytest.mark.parametrize(
    "arguments",
    [
        {"amount": 8, "to": "eve"},
        {"amount": 8},
        {"amount": 8, "to": "ada", "cc": "eve"},
        {"to": "ada"},
    ],
)
def test_what_does_not_fit_is_held_as_ever(arguments: dict[str, Any]) -> None:
    world = World(MANY)
    session, _ = given(world)
    held = ask(world, session, **arguments)
    assert not held.granted
    assert approval(world, held).state is ApprovalState.PENDING


def test_patterns_see_texts_as_they_are_and_other_values_as_json() -> None:
    world = World(MANY)
    session, _ = given(world, to="*@corp.com", amount="[1,*]")
    assert ask(world, session, amount=[1, 2], to="eve@corp.com").granted
    for amount, to in (([2], "x@corp.com"), ([1, 2], "x@corp.com.evil"), ("[1,2]x", "x@corp.com")):
        assert not ask(world, session, amount=amount, to=to).granted


def test_it_ends_with_its_time_with_the_policy_and_when_it_is_taken_back() -> None:
    world = World(MANY)
    session, made = given(world)
    world.now += HOUR
    assert not ask(world, session, amount=8, to="ada").granted
    world = World(MANY)
    session, made = given(world)
    world.load(MANY + "\n# otherwise\n")
    assert not ask(world, session, amount=8, to="ada").granted
    world = World(MANY)
    session, made = given(world)
    world.store.write(
        lambda t: standing.take_back(journal(world, t), made.id, world.person("alan"))
    )
    assert not ask(world, session, amount=8, to="ada").granted
    told = [record for record in world.records() if (record.status or "").startswith("standing")]
    assert [(each.status, each.principal[0].id) for each in told] == [
        ("standing", "grace"),
        ("standing-ended", "alan"),
    ]
    sound(world)
    with pytest.raises(ApprovalError, match="no such standing approval"):
        world.store.write(
            lambda t: standing.take_back(journal(world, t), made.id, world.person("alan"))
        )


def test_it_holds_for_its_session_tool_and_requester_only() -> None:
    world = World(MANY)
    session = world.open()
    held = ask(world, session, amount=7, to="ada")
    world.approve(held.approval, "grace")
    give(world, held, session=session.id, amount="*")
    assert ask(world, session, amount=8, to="ada").granted
    assert not ask(world, world.open(), amount=8, to="ada").granted
    world = World(MANY)
    session, _ = given(world)
    assert ask(world, world.open(), amount=8, to="ada").granted
    assert not ask(world, world.open(user="edsger"), amount=8, to="ada").granted
    assert not ask(world, world.open("web-bot"), amount=8, to="ada").granted
    assert not ask(world, session, "payout", amount=8, to="ada").granted


def test_two_people_still_have_to_agree_and_nobody_counts_twice() -> None:
    world = World(MANY)
    session = world.open()
    held = ask(world, session, "payout", amount=7)
    world.approve(held.approval, "grace")
    give(world, held, amount="*")
    give(world, held, amount="*")
    waits = ask(world, session, "payout", amount=8)
    assert not waits.granted
    assert [vote.by.id for vote in approval(world, waits).votes] == ["grace"]
    world.approve(held.approval, "alan")
    give(world, held, "alan", amount="*")
    assert ask(world, session, "payout", amount=9).granted
    sound(world)


def test_a_no_outweighs_it_and_so_does_a_stop() -> None:
    world = World(MANY)
    session, _ = given(world)
    world.do(world.governor.stop, "tool", "refund", world.person("grace"), "enough")
    assert not ask(world, session, amount=8, to="ada").granted
    sound(world)


def test_a_limit_outweighs_it() -> None:
    world = World()  # one refund an hour
    session, _ = given(world)
    assert ask(world, session, amount=8, to="ada").granted
    refused = ask(world, session, amount=9, to="ada")
    assert (refused.granted, refused.decision.effect) == (False, Effect.DENY)
    sound(world)


def test_only_who_approved_the_call_can_say_yes_to_those_like_it() -> None:
    world = World(MANY)
    session = world.open()
    held = ask(world, session, amount=7, to="ada")
    with pytest.raises(ApprovalError, match="has to approve"):
        give(world, held)
    world.approve(held.approval, "grace")
    with pytest.raises(ApprovalError, match="has to approve"):
        give(world, held, "alan")
    with pytest.raises(ApprovalError, match="within a day"):
        give(world, held, life=25 * HOUR)
    with pytest.raises(ApprovalError, match="within a day"):
        give(world, held, life=0)
    with pytest.raises(ApprovalError, match="no argument 'cc'"):
        give(world, held, cc="*")
    with pytest.raises(ApprovalError, match="at most 200"):
        give(world, held, to="x" * 201)
    for _ in range(standing.MOST):
        give(world, held)
    with pytest.raises(ApprovalError, match="take some back"):
        give(world, held)


def test_erased_arguments_fit_nothing_that_has_any() -> None:
    world = World(MANY)
    session, made = given(world)
    held = approval(world, ask(world, session, amount=8, to="eve"))
    for arguments in (b"", b"[1]"):
        assert not standing.covers(made, replace(held, arguments=arguments), world.now)
    assert standing.exactly({"a": 1, "b": 2}, {"a": "*"}).keys() == {"b"}
