"""What nobody could look into is refused or withheld, whatever the rules say."""

from __future__ import annotations

from msgspec.structs import replace

from governed import World, rules
from remit.inspection.signs import NOT_INSPECTED
from remit.model import Effect, Finding, Outcome

FAILED = Finding(kind=NOT_INSPECTED, where="args", message="MemoryError")


def test_a_call_that_could_not_be_looked_into_is_refused() -> None:
    world = World()
    session = world.open()
    call = world.call(session, "db.query", query="select 1")
    assert world.admit(call).granted
    refused = world.admit(replace(call, findings=(FAILED,)))
    assert (refused.granted, refused.decision.effect) == (False, Effect.DENY)
    assert rules(refused)[0] == "not-inspected"
    assert world.records()[-1].findings[0].kind == NOT_INSPECTED


def test_a_result_that_could_not_be_looked_into_is_withheld() -> None:
    world = World()
    session = world.open()
    call = world.call(session, "db.query", query="select 1")
    outcome = Outcome(status="ok", result="rows", findings=(FAILED,))
    settled = world.settle(world.admit(call), call, outcome)
    assert settled.withheld
    assert rules(settled)[0] == "not-inspected"
    open_call = world.settle(world.admit(call), call, Outcome(status="ok", result="rows"))
    assert not open_call.withheld
