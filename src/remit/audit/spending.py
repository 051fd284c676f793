"""Whether the budgets of a log add up: the ledger is made again from its records.

Each decision says what it found used in a cell and what it holds there; each outcome says what it
charges. What a decision found must be what the records before it add up to, so a ledger that was
changed behind the log's back is found by the next decision that looks at it. Written anew rather
than with the arithmetic of the ledger (``remit.budgets.cells``), so that both can be compared.

Memory grows with the actions that are open and with the windows that are not over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from remit.audit.record import Record, RecordedCharge, RecordedHold

_KEPT = 10_000
_SLOTS = 60
_ENDLESS = 1 << 62

Tell = Callable[[str, str], None]
"""Takes code and message of what does not hold in the record at hand."""


class ReplayedCell:
    """What the records say of one cell of the ledger."""

    __slots__ = ("blocked_until", "ends", "length", "slots")

    def __init__(self, ends: int, length: int) -> None:
        self.ends = ends
        self.length = length
        self.blocked_until = 0
        self.slots: dict[int, list[int]] = {}
        """What was spent and what is held, by start of the part of the window."""

    def used(self, now: int) -> int:
        """What counts at ``now`` (microseconds)."""
        return sum(spent + held for spent, held in self.live(now).values())

    def live(self, now: int) -> Mapping[int, list[int]]:
        """The parts of the window that count at ``now``."""
        if not self.length:
            return self.slots
        return {at: both for at, both in self.slots.items() if now < self.over(at)}

    def over(self, slot: int) -> int:
        """From when on a part of the window does not count any more, in microseconds."""
        return slot + -(-self.length // _SLOTS) + self.length


class BudgetReplay:
    """Takes in records in their order and tells what does not add up."""

    def __init__(self) -> None:
        self.cells: dict[str, ReplayedCell] = {}
        self._open: dict[str, tuple[RecordedHold, ...]] = {}
        self._expired: dict[str, tuple[RecordedHold, ...]] = {}

    def decision(self, record: Record, tell: Tell) -> None:
        """Take in a decision that let an action through."""
        shadow = record.mode == "shadow"
        for hold in record.holds:
            cell = self.cells.get(hold.cell)
            if cell is None:
                cell = self._opened(hold, record.at)
            used = cell.used(record.at)
            if used != hold.used:
                tell(
                    "budget-ledger",
                    f"it found {hold.used} used of {hold.cell}, where the records before it add "
                    f"up to {used}",
                )
            if hold.raised:
                cell.blocked_until = 0
            blocked = record.at < cell.blocked_until
            if not shadow and (blocked or hold.used + hold.amount > hold.limit):
                why = "while that was blocked" if blocked else f"over the limit of {hold.limit}"
                tell("budget", f"it took {hold.amount} from {hold.cell} {why}")
            cell.ends = _ENDLESS if hold.ends is None else hold.ends
            cell.slots.setdefault(hold.slot, [0, 0])[1] += hold.amount
        if record.status == "evaluated":
            self._charge(record, record.holds, late=False, tell=tell)
        elif record.action is not None and record.holds:
            self._open[record.action] = record.holds

    def outcome(self, record: Record, tell: Tell) -> None:
        """Take in an outcome."""
        action = record.action or ""
        holds = self._open.pop(action, None)
        late = holds is None
        if holds is None:
            holds = self._expired.pop(action, ())
        elif record.status == "unknown":
            self._expired[action] = holds
        self._charge(record, holds, late=late, tell=tell)

    def event(self, record: Record) -> None:
        """Take in what happened to a budget."""
        cell = None if record.budget is None else self.cells.get(record.budget.cell)
        if cell is not None and record.status == "reset":
            cell.blocked_until = 0
            for both in cell.slots.values():
                both[0] = 0

    def _charge(
        self, record: Record, holds: tuple[RecordedHold, ...], *, late: bool, tell: Tell
    ) -> None:
        charges = {charge.cell: charge for charge in record.charges}
        if len(charges) != len(record.charges) or charges.keys() != {hold.cell for hold in holds}:
            tell("budget-charge", "it does not charge exactly the budgets that the action held")
        for hold in holds:
            charge = charges.get(hold.cell)
            cell = self.cells.get(hold.cell)
            if charge is None or cell is None:
                continue
            expected = _expected(record, hold, late=late)
            if charge != expected:
                tell(
                    "budget-charge",
                    f"it charges {hold.cell} {charge.spent} (gives back {charge.held + charge.back}"
                    f"), where {expected.spent} ({hold.amount}) follows from the record",
                )
            both = cell.slots.setdefault(hold.slot, [0, 0])
            both[0] = max(0, both[0] + charge.spent - charge.back)
            both[1] = max(0, both[1] - charge.held)
            if charge.spent > hold.amount and _measure(hold) != "seconds":
                until = cell.over(hold.slot) if cell.length else cell.ends
                cell.blocked_until = max(cell.blocked_until, until)

    def _opened(self, hold: RecordedHold, now: int) -> ReplayedCell:
        if len(self.cells) >= _KEPT:
            self.cells = {key: cell for key, cell in self.cells.items() if cell.ends > now}
        ends = _ENDLESS if hold.ends is None else hold.ends
        cell = self.cells[hold.cell] = ReplayedCell(ends, hold.length)
        return cell


def _expected(record: Record, hold: RecordedHold, *, late: bool) -> RecordedCharge:
    """What an outcome must charge a cell, given what it says itself."""
    back, held = (hold.amount, 0) if late else (0, hold.amount)
    return RecordedCharge(back=back, cell=hold.cell, held=held, spent=_taken(record, hold))


def _taken(record: Record, hold: RecordedHold) -> int:
    if record.status == "not-run":
        return 0
    if record.status in ("unknown", "evaluated"):
        return hold.amount
    measure, usage = _measure(hold), record.usage
    if measure == "calls":
        return 1
    if measure == "seconds":
        return record.duration or 0
    if usage is None:
        return 0
    match measure:
        case "usd":
            return usage.nano_usd
        case "input_tokens":
            return usage.input_tokens
        case "output_tokens":
            return usage.output_tokens
    return usage.input_tokens + usage.output_tokens


def _measure(hold: RecordedHold) -> str:
    return hold.cell.split("/", 2)[1] if hold.cell.count("/") else ""


__all__ = ["BudgetReplay", "ReplayedCell"]
