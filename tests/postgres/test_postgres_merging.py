"""Putting together what two nodes did to one cell is the same as doing one after the other."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from remit.audit.record import Record, RecordedHold, encode_record, parse_record
from remit.budgets import cells, limits
from remit.budgets.cells import Cell
from remit.budgets.limits import Budget, Limit, Line, Takes
from remit.model import Hold, Usage
from remit.storage.edge import Head
from remit.storage.postgres.merging import can_move, corrected, merged, moved, restamped, used

NOW = 1_800_000_000_000_000_000
CALENDAR = Budget(id="b", by=("org",), limits=(Limit("calls", 20),), per="year", notify=())
ROLLING = replace(CALENDAR, per="rolling", length=3600 * 10**9)


class Step(NamedTuple):
    """What one node does: take calls, or charge what was taken before."""

    takes: int
    charges: int | None = None
    later: int = 0
    """Nanoseconds."""


def take(line: Line, cell: Cell | None, step: Step) -> Cell | None:
    """The cell once the calls are held; None where it cannot pay them."""
    takes = Takes(Usage(), calls=step.takes)
    (held,), short = cells.take([line], lambda _: cell, takes, NOW + step.later)
    return None if short else held.cell


def charge(cell: Cell, step: Step) -> Cell:
    assert step.charges is not None
    slot = cell.slots[0].start
    return cells.charge(cell, Hold(cell=cell.key, slot=slot, amount=step.takes), step.charges)


steps = st.builds(
    Step,
    takes=st.integers(1, 8),
    charges=st.none() | st.integers(0, 8),
    later=st.sampled_from([0, 10**9, 70 * 10**9, 3000 * 10**9]),
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([CALENDAR, ROLLING]),
    st.lists(st.integers(1, 6), max_size=3),
    steps,
    steps,
)
def test_put_together_is_one_after_the_other(
    budget: Budget, before: list[int], first: Step, second: Step
) -> None:
    # The log's time never goes back: whoever comes second is not earlier.
    second = second._replace(later=max(first.later, second.later))
    line = limits.line(budget, budget.limits[0], ("org",))
    base: Cell | None = None
    for amount in before:
        base = take(line, base, Step(amount)) or base

    def done(cell: Cell | None, step: Step) -> Cell | None:
        if step.charges is None:
            return take(line, cell, step)
        if cell is None or cell.slots[0].held < step.takes:
            return None
        return charge(cell, step)

    current, after = done(base, first), done(base, second)
    if current is None or after is None:
        return
    expected = done(current, second)
    now = NOW + second.later
    found = merged(current, base, after, now)
    if expected is None:
        assert found is None or cells.balance(found, now).remaining >= 0
    elif found is not None:
        assert cells.balance(found, now) == cells.balance(expected, now)
        assert cells.balance(found, now).spent + cells.balance(found, now).held <= 20
    if expected is None and second.charges is None and not budget.length:
        assert found is None


def test_what_is_more_than_an_addition_is_not_put_together() -> None:
    line = limits.line(CALENDAR, CALENDAR.limits[0], ("org",))
    base = take(line, None, Step(1))
    assert base is not None
    after, other = take(line, base, Step(2)), take(line, base, Step(3))
    assert after is not None
    assert other is not None
    assert merged(other, base, after, NOW) is not None
    for changed in (
        replace(other, limit=19),
        replace(other, blocked_until=NOW + 1),
        replace(other, raised=1),
        replace(other, notified=50),
    ):
        assert merged(changed, base, after, NOW) is None
    assert merged(None, base, after, NOW) is None
    timed = [replace(each, measure="seconds") for each in (other, base, after)]
    assert merged(timed[0], timed[1], timed[2], NOW) is None
    full = replace(other, slots=(replace(other.slots[0], held=19),))
    assert merged(full, base, after, NOW) is None
    told = [replace(each, notify=(10,)) for each in (full, base, after)]
    assert merged(told[0], told[1], told[2], NOW) is None
    assert used(None, NOW) == 0
    assert used(other, NOW) == 4


def test_records_say_what_is_true_where_they_stand() -> None:
    hold = RecordedHold(amount=1, cell="b/calls/org@1", limit=20, used=3)
    record = Record(
        kind="decision", at=5, action='x","at":9', granted=True, effect="allow", holds=(hold,)
    )
    body = encode_record(record)
    assert parse_record(restamped(body, 7_000)) == replace(record, at=7)
    assert restamped(b"plain", 7_000) == b"plain"
    found = parse_record(corrected(body, {"b/calls/org@1": 8}))
    assert found.holds[0].used == 8
    assert corrected(body, {"other": 8}) is body
    assert corrected(b"{}", {"other": 8}) == b"{}"
    assert moved(None, 3) is None
    assert can_move(None)
    assert not can_move(7)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=8), max_size=70), st.integers(0, 70))
def test_the_edge_is_enough_to_go_on_with(bodies: list[bytes], cut: int) -> None:
    whole = Head(0, 0, 0, 0, b"")
    trees = [whole.append(body, 1) for body in bodies]
    part = Head(0, 0, 0, 0, b"")
    for body in bodies[:cut]:
        part.append(body, 1)
    part = Head(0, 0, part.size, 1, part.edge())
    assert [part.append(body, 1) for body in bodies[cut:]] == trees[cut:]
    assert part.edge() == whole.edge()
    if bodies:
        assert part.root() == whole.root()
