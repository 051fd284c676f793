"""What else the governor writes down: policies that come into force, and erasures."""

from __future__ import annotations

import pytest

from governed import POLICY, World
from remit.approvals import ApprovalState
from remit.errors import InvalidRequest
from remit.model import ApprovalId


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
