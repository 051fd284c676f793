"""The ledger's arithmetic: a cell counts one measure of one budget for one scope and window.

Admitting an action holds the most that it may take on every line, or on none. Settling charges
what it took and gives the rest back. A hold whose action nobody settled is charged whole when its
lease ends; what turns out later corrects that. An action that certainly did not run gives its
hold back. A hold stays in the window that it was made in.

Exact integers, no I/O, no clock: the time is an argument, in nanoseconds since the Unix epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

from msgspec import Struct
from msgspec.structs import replace

from remit.budgets.burning import BurnMark
from remit.budgets.limits import Line, Takes
from remit.budgets.periods import FOREVER, Window, slot, slot_width, window
from remit.model import Hold, Measure


class Slot(Struct, frozen=True, array_like=True):
    """A part of a window: what was spent and what is held by actions admitted in it."""

    start: int
    spent: int = 0
    held: int = 0


class Cell(Struct, frozen=True, kw_only=True):
    """One measure of one budget for one scope and window, as stored."""

    key: str
    """The series, ``@``, and the window."""
    budget: str
    measure: Measure
    by: tuple[str, ...]
    scope: tuple[str, ...]
    """Values of ``by``, in that order."""
    starts: int
    """Nanoseconds since the Unix epoch; 0 for a window without a start."""
    ends: int
    """From then on nothing counts in it: the end of the window, for a rolling one of what is in it
    now."""
    limit: int
    """As the policy stated it when the cell was last used."""
    length: int = 0
    """Nanoseconds, of a rolling window."""
    slots: tuple[Slot, ...] = ()
    """One, or those of a rolling window that still count, oldest first."""
    raised: int = 0
    """By how much an approval raised the limit."""
    raised_until: int = 0
    blocked_until: int = 0
    """Until then an overrun lets nothing through."""
    notify: tuple[int, ...] = ()
    """Percentages at which people are told, ascending, as the policy stated them last."""
    notified: int = 0
    """The highest percentage that people were told of."""
    notified_at: int = 0
    marks: tuple[BurnMark, ...] = ()
    """What was spent lately, where a breaker looks at how fast that is."""


class Balance(NamedTuple):
    """A cell at a moment."""

    limit: int
    """Raised, if it is."""
    spent: int
    held: int
    blocked: bool

    @property
    def remaining(self) -> int:
        """What is left to hold, never below zero; nothing where an overrun blocks."""
        return 0 if self.blocked else max(0, self.limit - self.spent - self.held)


def balance(cell: Cell, now: int) -> Balance:
    """What counts at ``now``."""
    slots = live(cell, now)
    if len(slots) == 1:
        spent, held = slots[0].spent, slots[0].held
    else:
        spent, held = sum(each.spent for each in slots), sum(each.held for each in slots)
    return Balance(limit_of(cell, now), spent, held, now < cell.blocked_until)


def limit_of(cell: Cell, now: int) -> int:
    """The limit at ``now``, raised if it is."""
    return cell.limit + cell.raised if now < cell.raised_until else cell.limit


def live(cell: Cell, now: int) -> Sequence[Slot]:
    """The slots that count at ``now``: of a rolling window those that reach into it at all."""
    if not cell.length:
        return cell.slots
    width = slot_width(cell.length)
    return [each for each in cell.slots if each.start + width > now - cell.length]


def key(line: Line, now: int) -> tuple[str, Window]:
    """The key of the cell that a line counts in at ``now``, and its window."""
    budget = line.budget
    if budget.per == "rolling":
        return f"{line.series}@{budget.length // 1_000_000}ms", Window(0, FOREVER)
    if budget.per == "session":
        return f"{line.series}@session", Window(0, FOREVER)
    found = window(now, budget.per, budget.timezone)
    return f"{line.series}@{budget.per}-{found.start // 1_000_000_000}", found


def measure_of(key: str) -> Measure:
    """The measure that a cell counts."""
    return cast(Measure, key.split("/", 2)[1])


def opened(line: Line, now: int, kept: Cell | None, place: tuple[str, Window]) -> Cell:
    """The cell of a line at ``now``, as kept or new, under the limit as it is stated now."""
    name, found = place
    limit, notify = line.limit.amount, line.budget.notify
    if kept is not None:
        if kept.limit == limit and kept.notify == notify:
            return kept
        return replace(kept, limit=limit, notify=notify)
    return Cell(
        key=name,
        budget=line.budget.id,
        measure=line.limit.measure,
        by=line.budget.by,
        scope=line.scope,
        starts=found.start,
        ends=found.end,
        limit=limit,
        length=line.budget.length,
        notify=notify,
    )


class Held(NamedTuple):
    """One line of an action: the cell with its hold in it."""

    line: Line
    before: Cell
    cell: Cell
    hold: Hold
    stood: Balance
    """Without the action."""


class Shortage(NamedTuple):
    """A line that cannot pay what an action may take."""

    line: Line
    cell: Cell
    """Without the action."""
    stands: Balance
    wanted: int


def take(
    lines: Sequence[Line], kept: Callable[[str], Cell | None], takes: Takes, now: int
) -> tuple[Sequence[Held], Sequence[Shortage]]:
    """Hold the most that an action may take, on every line.

    Args:
        lines: what it counts against, ordered by key.
        kept: gives a cell by key.
        takes: the most that it may take.
        now: nanoseconds since the Unix epoch.

    Returns:
        What is to be stored, and the lines that cannot pay it: where there is one, nothing may be
        stored unless the policy only watches.
    """
    taken: list[Held] = []
    short: list[Shortage] = []
    for line in lines:
        place = key(line, now)
        cell = opened(line, now, kept(place[0]), place)
        stands = balance(cell, now)
        wanted = _wanted(line, takes, stands)
        if stands.blocked or stands.spent + stands.held + wanted > stands.limit:
            short.append(Shortage(line, cell, stands, wanted))
        taken.append(_taken(line, cell, stands, wanted, now))
    return taken, short


def _wanted(line: Line, takes: Takes, stands: Balance) -> int:
    """What an action holds of a line: when nobody knows how long it takes, all that is left."""
    wanted = takes.of(line.limit.measure)
    if line.limit.measure == "seconds" and not takes.timed and stands.remaining:
        return min(wanted, stands.remaining)
    return wanted


def charge(cell: Cell, hold: Hold, used: int) -> Cell:
    """The cell once the action that held took ``used`` of it; 0 where it did not run."""
    return _overrun(_changed(cell, hold.slot, held=-hold.amount, spent=used), hold, used)


def correct(cell: Cell, hold: Hold, used: int) -> Cell:
    """The cell once an action that was charged whole turns out to have taken ``used``."""
    return _overrun(_changed(cell, hold.slot, spent=used - hold.amount), hold, used)


def reset(cell: Cell) -> Cell:
    """The cell with nothing spent and nothing blocked. What is held stays held."""
    slots = tuple(Slot(each.start, 0, each.held) for each in cell.slots)
    return replace(cell, slots=slots, blocked_until=0, notified=0)


def reached(cell: Cell, now: int) -> int | None:
    """The highest threshold that spending has reached and people were not told of."""
    told = cell.notified
    if cell.length and cell.notified_at <= now - cell.length:
        told = 0
    stands = balance(cell, now)
    passed = [each for each in cell.notify if stands.spent * 100 >= stands.limit * each]
    return passed[-1] if passed and passed[-1] > told else None


def retry_at(short: Shortage, now: int) -> int | None:
    """When a line could pay what it cannot pay now, if nothing else comes; None: not by waiting.

    Nanoseconds since the Unix epoch.
    """
    cell = short.cell
    if short.wanted > cell.limit:
        return None
    if not cell.length:
        return None if cell.ends >= FOREVER else cell.ends
    stands = short.stands
    over = stands.spent + stands.held + short.wanted - stands.limit
    due = max(now, cell.blocked_until)
    for each in live(cell, now):
        if over <= 0:
            break
        over -= each.spent + each.held
        due = max(due, each.start + slot_width(cell.length) + cell.length)
    return due


def _overrun(cell: Cell, hold: Hold, used: int) -> Cell:
    """The cell, blocked for the rest of its window if more was used than held.

    What was promised to be the most was not, so no promise can be relied on. How long something
    takes nobody can promise, so time blocks nothing.
    """
    if used <= hold.amount or cell.measure == "seconds":
        return cell
    until = hold.slot + slot_width(cell.length) + cell.length if cell.length else cell.ends
    return replace(cell, blocked_until=max(cell.blocked_until, until))


def _taken(line: Line, cell: Cell, stood: Balance, wanted: int, now: int) -> Held:
    """The cell with a new hold, without the slots that do not count any more."""
    if not cell.length:
        place = cell.starts
        if not cell.slots:
            cell = replace(cell, slots=(Slot(place),))
    else:
        place = slot(now, cell.length)
        kept = tuple(live(cell, now))
        if not kept or kept[-1].start != place:
            kept = (*kept, Slot(place))
        ends = place + slot_width(cell.length) + cell.length
        cell = replace(cell, slots=kept, ends=ends)
    after = _changed(cell, place, held=wanted)
    return Held(line, cell, after, Hold(cell=cell.key, slot=place, amount=wanted), stood)


def _changed(cell: Cell, place: int, *, held: int = 0, spent: int = 0) -> Cell:
    """The cell with one slot changed; one that does not count any more has been dropped."""
    slots = [
        Slot(each.start, max(0, each.spent + spent), max(0, each.held + held))
        if each.start == place
        else each
        for each in cell.slots
    ]
    return replace(cell, slots=tuple(slots))
