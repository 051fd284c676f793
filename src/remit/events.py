"""What happened to approvals, stops and budgets, read from the log: for whoever is to be told.

The log is durable and in order, so it is also the list of what to tell: a reader keeps the place
up to which it has read. No I/O of its own.
"""

from __future__ import annotations

from msgspec import Struct

from remit.audit.record import Record, parse_record
from remit.deliveries import EventKind
from remit.model import ApprovalId
from remit.storage import LoggedRecord, Snapshot

CHUNK = 2_000
"""Records that one look reads at most."""

_OF_APPROVALS = b'"approval":"'
_OF_STOPS = b'"kind":"stop"'
_OF_BUDGETS = b'"kind":"budget"'
_OF_RUNAWAYS = b'"kind":"runaway"'
_TELLING = (_OF_APPROVALS, _OF_STOPS, _OF_BUDGETS, _OF_RUNAWAYS)
_STEPS: dict[str | None, EventKind] = {
    "pending": "approval.vote",
    "approved": "approval.approved",
    "rejected": "approval.rejected",
    "withdrawn": "approval.withdrawn",
    "expired": "approval.expired",
}

_BUDGET_STEPS: dict[str | None, EventKind] = {
    "reached": "budget.reached",
    "overrun": "budget.overrun",
    "raised": "budget.raised",
    "reset": "budget.reset",
}


class Event(Struct, frozen=True, kw_only=True):
    """One thing that happened."""

    position: int
    """Of the record that says so."""
    at: int
    """Nanoseconds since the Unix epoch."""
    kind: EventKind
    subject: str
    """Id of the approval or the stop; key of the budget's window; the runaway session."""


class Happened(Struct, frozen=True):
    """What a look at the log found, and where the next one begins."""

    events: tuple[Event, ...]
    position: int


def happened(view: Snapshot, start: int) -> Happened:
    """What happened since the record at ``start``, up to ``CHUNK`` records further."""
    size = view.log_size()
    end = min(size, start + CHUNK)
    if end <= start:
        return Happened((), min(start, size))
    found = (_event(view, kept) for kept in view.records(start, end))
    return Happened(tuple(event for event in found if event is not None), end)


def _event(view: Snapshot, kept: LoggedRecord) -> Event | None:
    if not any(mark in kept.body for mark in _TELLING):
        return None  # the most of them; parsing each would cost more than everything else
    record = parse_record(kept.body)
    if record.kind == "budget" and record.budget is not None:
        step = _BUDGET_STEPS.get(record.status)
        subject = record.budget.cell
        return step and Event(position=kept.position, at=kept.at, kind=step, subject=subject)
    if record.kind == "stop" and record.stop is not None:
        kind: EventKind = "stop.set" if record.status == "stopped" else "stop.lifted"
        return Event(position=kept.position, at=kept.at, kind=kind, subject=record.stop.id)
    told = _told(view, record)
    if told is None or record.approval is None:
        return _runaway(kept, record)
    return Event(position=kept.position, at=kept.at, kind=told, subject=record.approval)


def _runaway(kept: LoggedRecord, record: Record) -> Event | None:
    """What a breaker saw; where a person is asked as well, the approval says so instead."""
    if not any(finding.kind == "runaway" for finding in record.findings):
        return None
    subject = record.session or ""
    return Event(position=kept.position, at=kept.at, kind="runaway.seen", subject=subject)


def _told(view: Snapshot, record: Record) -> EventKind | None:
    """What a record tells of its approval; a call that is made again tells nothing new."""
    if record.kind == "approval":
        return _STEPS.get(record.status)
    if record.granted:
        return "approval.used"
    approval = None if record.approval is None else view.approval(ApprovalId(record.approval))
    new = approval is not None and approval.created_at // 1000 == record.at
    return "approval.pending" if new else None
