"""What people do to a budget by hand: raise it for a time, start it anew. Each with its record.

No I/O of its own.
"""

from __future__ import annotations

from msgspec.structs import replace

from remit import charging, ledger
from remit.budgets import cells
from remit.budgets.cells import Cell
from remit.errors import InvalidRequest
from remit.journal import Journal
from remit.model import Principal
from remit.policy.amounts import MOST


def raise_limit(
    journal: Journal, key: str, amount: int, until: int, by: Principal, reason: str
) -> Cell:
    """Raise the limit of a cell by an amount, until a time. What was raised before is replaced.

    Raises:
        InvalidRequest: there is no such cell, ``by`` is an agent, or it would raise nothing.
    """
    cell = _cell(journal, key, by)
    if not 0 < amount <= MOST or until <= journal.now:
        raise InvalidRequest(
            f"a limit is raised by 1 to {MOST} until a time to come; nothing was raised"
        )
    raised = replace(cell, raised=amount, raised_until=until)
    return _kept(journal, "raised", raised, by, reason, amount=amount, until=until)


def reset(journal: Journal, key: str, by: Principal, reason: str) -> Cell:
    """Count what was spent in a cell as not spent, and lift its block. Holds stay.

    Raises:
        InvalidRequest: there is no such cell, or ``by`` is an agent.
    """
    cell = _cell(journal, key, by)
    spent = cells.balance(cell, journal.now).spent
    return _kept(journal, "reset", cells.reset(cell), by, reason, amount=spent)


def _cell(journal: Journal, key: str, by: Principal) -> Cell:
    if by.kind == "agent":
        raise InvalidRequest(f"{by.id} is an agent; a person changes budgets")
    cell = journal.t.cell(key)
    if cell is None:
        raise InvalidRequest("there is no such budget window; see the list of those in use")
    return cell


def _kept(
    journal: Journal,
    status: str,
    cell: Cell,
    by: Principal,
    reason: str,
    *,
    amount: int,
    until: int | None = None,
) -> Cell:
    told = charging.told_of(
        cell, journal.now, amount=amount, until=None if until is None else until // 1000
    )
    args, values = journal.seal({"reason": reason} if reason else None)
    record = ledger.budget(status, told, by, now=journal.now, args=args, note=journal.note)
    journal.append(record, values)
    journal.t.put_cell(cell)
    return cell
