"""What two nodes did to one cell of a budget, put together. Pure.

A node that admits a call on a busy budget read the cell before another node's commit. Where what
it did is only to hold or to charge, and the limit bears it on top of the other's, nothing needs to
be decided again: the amounts are added to the cell as it is now, and the record says what was used
of it then. So a budget that all nodes share costs them neither turns nor chunks of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec.structs import replace

from remit.audit.record import encode_record, parse_record
from remit.budgets import cells
from remit.budgets.cells import Cell, Slot
from remit.errors import AuditError
from remit.model import Admission, Settlement

_AT = re.compile(rb'"at":(\d+)')


def merged(current: Cell | None, seen: Cell | None, after: Cell, now: int) -> Cell | None:
    """The cell with what a closure did to it; None where the closure has to run again.

    Args:
        current: the cell as it is.
        seen: the cell as the closure saw it.
        after: the cell as the closure wrote it.
        now: nanoseconds since the epoch.
    """
    before = _emptied(after) if seen is None else seen
    if current is None or after.measure == "seconds":
        return None  # of time an action may take all that is left, so what is left decides
    if not _emptied(current) == _emptied(before) == _emptied(after):
        return None
    changes = _changes(before, after)
    slots: dict[int, Slot] = {each.start: each for each in current.slots}
    for start, (spent, held) in changes.items():
        slot = slots.get(start, Slot(start))
        slot = Slot(start, slot.spent + spent, slot.held + held)
        if slot.spent < 0 or slot.held < 0:
            return None
        slots[start] = slot
    gone = {each.start for each in before.slots} - {each.start for each in after.slots}
    kept = tuple(slots[start] for start in sorted(slots) if start not in gone)
    cell = replace(current, slots=kept, ends=max(current.ends, after.ends))
    if sum(spent + held for spent, held in changes.values()) > 0:
        stands = cells.balance(cell, now)
        if stands.blocked or stands.spent + stands.held > stands.limit:
            return None
    return None if cells.reached(cell, now) is not None else cell


def used(cell: Cell | None, now: int) -> int:
    """What is spent and held of a cell."""
    if cell is None:
        return 0
    stands = cells.balance(cell, now)
    return stands.spent + stands.held


def restamped(body: bytes, at: int) -> bytes:
    """A record with another time (ns since the epoch, whole microseconds); others stay as is.

    ``at`` is the first number in a record's bytes: what comes before it are texts.
    """
    return _AT.sub(b'"at":%d' % (at // 1000), body, count=1) if body[:1] == b"{" else body


def corrected(body: bytes, found: Mapping[str, int]) -> bytes:
    """A record whose holds say what was used of their cells in truth."""
    try:
        record = parse_record(body)
    except AuditError:
        return body
    if not any(hold.cell in found for hold in record.holds):
        return body
    holds = tuple(replace(hold, used=found.get(hold.cell, hold.used)) for hold in record.holds)
    return encode_record(replace(record, holds=holds))


def moved(value: object, by: int) -> object:
    """What a closure gave, with the position that its record has in truth."""
    if isinstance(value, Admission | Settlement):
        return replace(value, position=value.position + by)
    return value


def can_move(value: object) -> bool:
    """Whether ``moved`` knows where the position is in what a closure gave."""
    return value is None or isinstance(value, Admission | Settlement | bool)


def _emptied(cell: Cell) -> Cell:
    return replace(cell, slots=(), ends=0 if cell.length else cell.ends)


def _changes(before: Cell, after: Cell) -> dict[int, tuple[int, int]]:
    old = {each.start: each for each in before.slots}
    changes = {}
    for each in after.slots:
        was = old.get(each.start, Slot(each.start))
        if each != was:
            changes[each.start] = (each.spent - was.spent, each.held - was.held)
    return changes
