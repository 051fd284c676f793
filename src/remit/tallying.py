"""What was spent, by the hour and by who spent it, added up from the log as it grows.

The log is the list of what was charged; ``roll_up`` adds what is new in it to tallies, in one
transaction with the place up to which it has read, so nothing counts twice. Forecasts and reports
read the tallies, which stay small however long the log is. No I/O of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from remit.audit.record import Record, RecordedPrincipal, RecordedUsage, parse_record
from remit.ledger import LATE
from remit.model import ActionId, SessionId, Usage
from remit.storage import LoggedRecord, Snapshot, Tally, Transaction

CURSOR = "tallies"
"""Name of the place in the log up to which it was added up."""
CHUNK = 200
"""Records that one transaction adds up at most: calls that come meanwhile wait for it."""
SPEND = "spend"
"""The book of budgets: by series of the ledger, each hour of UTC. One amount."""
USE = "use"
"""The book of who used what: by ``Consumer``, each day of UTC. See ``Used``."""
HOUR = 3_600_000_000_000
DAY = 24 * HOUR
KEPT = 400 * DAY
"""How long tallies are kept, nanoseconds."""

_OUTCOME = b'"kind":"outcome"'
_EVALUATED = b'"status":"evaluated"'
_UNBOUNDED = frozenset({"session", "task"})
"""What no series is kept by: each is over soon, and there is no end of them."""


class Consumer(Struct, frozen=True, array_like=True):
    """Who used something: what a bill can be split by."""

    team: str = ""
    agent: str = ""
    user: str = ""
    model: str = ""
    tool: str = ""


class Used(Struct, frozen=True, array_like=True):
    """What was used: the amounts of a tally of ``USE``."""

    calls: int = 0
    nano_usd: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    microseconds: int = 0


_Place = tuple[str, str, int]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Consumer).decode


def behind(view: Snapshot) -> bool:
    """Whether ``roll_up`` has something to do."""
    return (view.cursor(CURSOR) or 0) < view.log_size()


def roll_up(t: Transaction, now: int, chunk: int = CHUNK) -> int:
    """Add what is new in the log to the tallies. How many records that were; 0: all are in.

    Args:
        t: the transaction.
        now: nanoseconds since the Unix epoch; tallies that are too old are dropped.
        chunk: how many records to add at most.
    """
    start = t.cursor(CURSOR) or 0
    end = min(t.log_size(), start + chunk)
    if end <= start:
        return 0
    sums: dict[_Place, tuple[int, ...]] = {}
    for kept in t.records(start, end):
        for place, amounts in _amounts(t, kept):
            sums[place] = _sum(sums.get(place), amounts)
    for (book, key, at), amounts in sums.items():
        before = t.tally(book, key, at)
        total = _sum(None if before is None else before.amounts, amounts)
        t.put_tally(Tally(book=book, key=key, at=at, amounts=total))
    t.forget_tallies(now - KEPT, chunk)
    t.put_cursor(CURSOR, end)
    return end - start


def consumer(tally: Tally) -> Consumer:
    """Who a tally of ``USE`` is of."""
    return _decode(tally.key)


def used(tally: Tally) -> Used:
    """What a tally of ``USE`` comes to."""
    return Used(*tally.amounts)


def _sum(one: tuple[int, ...] | None, other: tuple[int, ...]) -> tuple[int, ...]:
    return other if one is None else tuple(a + b for a, b in zip(one, other, strict=True))


def _amounts(view: Snapshot, kept: LoggedRecord) -> Iterator[tuple[_Place, tuple[int, ...]]]:
    body = kept.body
    if _OUTCOME not in body and _EVALUATED not in body:
        return  # parsing each would cost more than everything else
    record = parse_record(body)
    for charge in record.charges:
        series = _series(view, charge.cell)
        if series is not None:
            yield (SPEND, series, kept.at - kept.at % HOUR), (charge.spent - charge.back,)
    taken = _used(view, record)
    if taken is not None:
        key = _encode(_consumer(view, record)).decode()
        yield (USE, key, kept.at - kept.at % DAY), msgspec.structs.astuple(taken)


def _series(view: Snapshot, key: str) -> str | None:
    """The series that a cell belongs to; None for one of which no history is kept."""
    cell = view.cell(key)
    if cell is None or not _UNBOUNDED.isdisjoint(cell.by) or key.endswith("@session"):
        return None
    return key.rpartition("@")[0]


def _used(view: Snapshot, record: Record) -> Used | None:
    """What a record says was used."""
    if record.kind == "decision":
        evaluated = record.granted and record.status == "evaluated"
        return _added(record.takes, 1, 0) if evaluated else None
    if record.kind != "outcome" or record.status == "not-run":
        return None
    if not (record.note or "").startswith(LATE):
        return _added(record.usage, 1, record.duration or 0)
    action = view.action(ActionId(record.action or ""))
    held, took = action.held if action else Usage(), record.usage or RecordedUsage()
    return Used(
        0,
        took.nano_usd - held.nano_usd,
        took.input_tokens - held.input_tokens,
        took.output_tokens - held.output_tokens,
        record.duration or 0,
    )


def _added(usage: RecordedUsage | None, calls: int, microseconds: int) -> Used:
    took = usage or RecordedUsage()
    return Used(calls, took.nano_usd, took.input_tokens, took.output_tokens, microseconds)


def _consumer(view: Snapshot, record: Record) -> Consumer:
    """Who used something; where nobody reported the outcome, whose session it was."""
    chain: tuple[tuple[str, str, str | None], ...]
    if record.principal:
        chain = tuple(_link(link) for link in record.principal)
    else:
        session = view.session(SessionId(record.session or ""))
        links = () if session is None else session.principal.chain()
        chain = tuple((link.kind, link.id, link.team) for link in links)
    acting = chain[0] if chain else ("", "", None)
    return Consumer(
        team=acting[2] or "",
        agent=acting[1],
        user=next((name for kind, name, _ in chain if kind == "person"), ""),
        model=record.model or "",
        tool=record.tool or "",
    )


def _link(link: RecordedPrincipal) -> tuple[str, str, str | None]:
    return link.kind, link.id, link.team
