"""What else the governor writes down: policies that come into force, and erasures."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from governed import POLICY, SECOND, World
from remit.approvals import OPEN, ApprovalState
from remit.audit.replay import Replay
from remit.errors import ApprovalError, InvalidRequest, SettlementError
from remit.model import ApprovalId, Outcome


def test_a_policy_is_kept_and_its_coming_into_force_recorded() -> None:
    world = World()
    first = world.policies.revision
    assert world.do(world.governor.adopt) == 0
    world.load(POLICY + "# changed\n")
    world.do(world.governor.adopt)
    records = world.records()
    assert [record.kind for record in records] == ["policy", "policy"]
    assert [record.revision for record in records] == [first, world.policies.revision]
    assert [record.mode for record in records] == ["enforce", "enforce"]
    kept = world.store.read(lambda view: view.document(world.policies.revision))
    assert kept == world.policies.bundle
    assert world.store.read(lambda view: view.document(first)) is not None


def test_values_are_erased_and_the_erasure_is_recorded() -> None:
    world = World()
    session = world.open()
    ada = world.person("ada")
    admission = world.admit(world.call(session, "db.query", query="x"))
    position = world.do(world.governor.erase, [admission.position], ada, "secret-word asked for it")
    assert world.store.read(lambda view: view.values(admission.position)) is None
    record = world.records()[position]
    assert (record.kind, record.erased) == ("erasure", (admission.position,))
    assert [link.id for link in record.principal] == ["ada"]
    assert b"secret-word" not in b"".join(world.bodies())
    with pytest.raises(InvalidRequest, match="has no values, or they were erased before"):
        world.do(world.governor.erase, [admission.position], ada)
    assert len(world.bodies()) == position + 1


def test_erasing_is_all_or_none() -> None:
    world = World()
    session = world.open()
    admission = world.admit(world.call(session, "db.query", query="x"))
    with pytest.raises(InvalidRequest, match="record 99"):
        world.do(world.governor.erase, [admission.position, 99], world.person("ada"))
    assert world.store.read(lambda view: view.values(admission.position)) is not None
    assert world.kinds() == ["session", "decision"]


def test_erasing_reaches_the_copy_that_an_approval_holds() -> None:
    world = World()
    session = world.open()
    ada = world.person("ada")
    request = world.call(session, "refund", amount=7)
    waiting = world.admit(request)
    handle = ApprovalId(str(waiting.approval))

    def approval() -> tuple[ApprovalState, bytes]:
        found = world.store.read(lambda view: view.approval(handle))
        assert found is not None
        return found.state, found.arguments

    again = world.admit(request)
    world.do(world.governor.erase, [waiting.position], ada)
    assert approval() == (ApprovalState.WITHDRAWN, b"")
    assert [record.kind for record in world.records()[-2:]] == ["approval", "erasure"]
    world.do(world.governor.erase, [again.position], ada)
    assert approval() == (ApprovalState.WITHDRAWN, b"")
    assert world.kinds()[-1] == "erasure"
    assert world.kinds().count("approval") == 1
    assert world.admit(request).approval != handle


MOVES = ["call", "call", "call", "settle", "approve", "reject", "withdraw", "expire", "policy"]


@settings(max_examples=80, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(MOVES),
            st.sampled_from(["mail.send", "refund", "payout", "loan", "report", "web.get"]),
            st.integers(-60, 900),
            st.integers(0, 3),
        ),
        max_size=40,
    )
)
def test_whatever_happens_the_log_holds_together(steps: list[tuple[str, str, int, int]]) -> None:
    """Against the auditor's own reading: what ran was let through, limits were kept."""
    world = World(lease=1200 * SECOND)
    session = world.open()
    admitted = []
    people = [world.person(name) for name in ("grace", "alan", "ada", "edsger")]
    for move, tool, seconds, pick in steps:
        world.now += seconds * SECOND
        waiting = world.store.read(lambda view: view.approvals(OPEN, 100))
        try:
            if move == "call":
                request = world.call(session, tool, amount=300, format="x", pages=30)
                admission = world.admit(request)
                if admission.granted:
                    ran = admission.arguments or request.arguments
                    admitted.append((admission, replace(request, arguments=ran)))
            elif move == "settle" and admitted:
                admission, request = admitted[pick % len(admitted)]
                world.settle(admission, request, Outcome(status="ok"))
            elif move in ("approve", "reject", "withdraw") and waiting:
                step = getattr(world.governor, move)
                world.do(step, waiting[pick % len(waiting)].id, people[pick])
            elif move == "expire":
                world.do(world.governor.expire)
            elif move == "policy" and pick == 0:
                world.load(POLICY + f"# {world.now}\n")
        except (ApprovalError, SettlementError):
            continue
    found: list[tuple[object, ...]] = []
    replay = Replay(lambda *discrepancy: found.append(discrepancy))
    for position, record in enumerate(world.records()):
        replay.see(position, record)
    replay.finish()
    assert found == []
    still_open = {
        each.id for each in world.store.read(lambda view: view.overdue_actions(None, 1 << 62, 1000))
    }
    assert set(replay.open) == still_open
