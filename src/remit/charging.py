"""What the outcome of an action changes in the budget ledger, and what people are told of it.

An action that ran is charged what it took, one that certainly did not run gives back what it held,
and one of which nobody reported anything is charged all that it held: it may have run. When such a
one is reported late, the difference is put right. Nothing here decides; no I/O of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from msgspec.structs import replace

from remit.audit.record import RecordedBudget, RecordedCharge
from remit.budgets import cells
from remit.budgets.cells import Cell
from remit.budgets.limits import Takes
from remit.budgets.periods import FOREVER
from remit.model import ActionState, AdmittedAction, Hold
from remit.storage import Transaction


class Notice(NamedTuple):
    """What is told of a budget: status of the record, and the record's part about it."""

    status: str
    told: RecordedBudget


class Charged(NamedTuple):
    """What was changed in the ledger."""

    charges: tuple[RecordedCharge, ...] = ()
    notices: tuple[Notice, ...] = ()


NOTHING = Charged()


def settle(t: Transaction, action: AdmittedAction, took: Takes | None, now: int) -> Charged:
    """Charge an action what it took; None: it certainly did not run.

    Args:
        t: the transaction.
        action: admitted, or expired and charged already.
        took: what it took.
        now: nanoseconds since the Unix epoch.
    """
    if not action.holds:
        return NOTHING
    late = action.state is ActionState.EXPIRED
    charges, notices = [], []
    for hold in action.holds:
        used = _used(hold, took)
        cell = t.cell(hold.cell)
        if late:
            charges.append(RecordedCharge(back=hold.amount, cell=hold.cell, spent=used))
        else:
            charges.append(RecordedCharge(cell=hold.cell, held=hold.amount, spent=used))
        if cell is None:
            continue  # its window ended so long ago that it was forgotten
        after = cells.correct(cell, hold, used) if late else cells.charge(cell, hold, used)
        told, after = _told(cell, after, used - hold.amount, now)
        notices += told
        t.put_cell(after)
    return Charged(tuple(charges), tuple(notices))


def expire(t: Transaction, action: AdmittedAction, now: int) -> Charged:
    """Charge an action, whose lease has ended, all that it holds."""
    return charge_whole(t, action.holds, now)


def charge_whole(t: Transaction, holds: Iterable[Hold], now: int) -> Charged:
    """Charge what is held, as it is held."""
    charges, notices = [], []
    for hold in holds:
        charges.append(RecordedCharge(cell=hold.cell, held=hold.amount, spent=hold.amount))
        cell = t.cell(hold.cell)
        if cell is not None:
            told, after = _told(cell, cells.charge(cell, hold, hold.amount), 0, now)
            notices += told
            t.put_cell(after)
    return Charged(tuple(charges), tuple(notices))


def told_of(cell: Cell, now: int, **fields: int | None) -> RecordedBudget:
    """What a record says of a cell."""
    stands = cells.balance(cell, now)
    return RecordedBudget(cell=cell.key, limit=stands.limit, spent=stands.spent, **fields)


def in_record(until: int) -> int | None:
    """A time in a record's microseconds; None for never."""
    return None if until >= FOREVER else until // 1000


def _used(hold: Hold, took: Takes | None) -> int:
    """What an action took of the cell that it held."""
    if took is None:
        return 0
    return took.of(cells.measure_of(hold.cell))


def _told(before: Cell, after: Cell, over: int, now: int) -> tuple[list[Notice], Cell]:
    """What people are told of a charge that took ``over`` more than was held, and the cell then."""
    notices = []
    if after.blocked_until > before.blocked_until:
        until = in_record(after.blocked_until)
        told = told_of(after, now, amount=over, until=until)
        notices.append(Notice("overrun", told))
    percent = cells.reached(after, now)
    if percent is not None:
        after = replace(after, notified=percent, notified_at=now)
        notices.append(Notice("reached", told_of(after, now, percent=percent)))
    return notices, after
