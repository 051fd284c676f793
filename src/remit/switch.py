"""The stop switch within a transaction: set and lifted, each with its record, and asked by calls.

What a stop covers is in ``remit.stops``. No I/O of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from remit import approvals, ledger, stops
from remit.approvals import Approval, ApprovalState
from remit.audit.record import parse_record
from remit.audit.replay import subject_of
from remit.errors import AuditError, InvalidRequest
from remit.journal import Journal
from remit.model import AccessRequest, Principal, Session, SessionId
from remit.stops import FirstRefusal, Scope, Stop, StopId, Subject
from remit.storage import Snapshot

_EVERY = 1 << 62
_REFUSED = b'"id":"stopped"'


class StopEffect(Struct, frozen=True, kw_only=True):
    """A stop that was set, and what it has closed."""

    stop: Stop
    position: int
    """Of its record."""
    closed: tuple[Approval, ...]
    """The approvals that were open in its scope: rejected or withdrawn."""


def covering(view: Snapshot, request: AccessRequest) -> Stop | None:
    """The stop that covers a request, if there is one."""
    standing = view.stops()
    if not standing:
        return None
    subject = Subject(
        principal=request.principal,
        sessions=lineage(view, request.session),
        tool=request.action.name,
    )
    return stops.find(standing, subject)


def set_stop(journal: Journal, scope: Scope, value: str, by: Principal, reason: str) -> StopEffect:
    """Stop what ``scope`` and ``value`` name, and close the approvals that it waits for.

    Raises:
        InvalidRequest: it would cover nothing, or ``by`` cannot stop.
    """
    t = journal.t
    stop = stops.start(
        StopId(journal.new_id("st")),
        scope,
        value,
        by=by,
        now=journal.now,
        reason=reason,
        standing=t.stops(),
    )
    position = _record(journal, stop, "stopped", by, stop.reason)
    t.put_stop(stop)
    closed = [
        _close(journal, approval, stop, by)
        for approval in t.approvals(approvals.OPEN, _EVERY)
        if stops.covers(stop, _subject_of(t, approval))
    ]
    return StopEffect(stop=stop, position=position, closed=tuple(closed))


def lift(journal: Journal, stop_id: StopId, by: Principal, reason: str) -> Stop:
    """Lift a stop: what it covered may be decided on again. The stop as it was.

    Raises:
        InvalidRequest: there is no such stop, or ``by`` cannot resume.
    """
    stops.require_person_or_service(by)
    stop = next((each for each in journal.t.stops() if each.id == stop_id), None)
    if stop is None:
        raise InvalidRequest("there is no such stop in force; see the list of stops")
    _record(journal, stop, "resumed", by, reason)
    journal.t.remove_stop(stop_id)
    return stop


def first_refusal(view: Snapshot, stop: Stop, since: int) -> tuple[FirstRefusal | None, int]:
    """The first call that ``stop`` refused in the part of the log that begins at ``since``.

    Returns:
        The refusal, if there is one yet, and where to look on for it.
    """
    size = view.log_size()
    for kept in view.records(since, size):
        if _REFUSED not in kept.body:
            continue
        record = parse_record(kept.body)
        sessions = lineage(view, SessionId(record.session or ""))
        if record.kind == "decision" and stops.covers(stop, subject_of(record, sessions)):
            found = FirstRefusal(
                position=kept.position,
                after=kept.at - stop.at,
                session=record.session or "",
                tool=record.tool or "",
            )
            return found, kept.position
    return None, max(since, size)


def lineage(view: Snapshot, session_id: SessionId) -> Sequence[SessionId]:
    """A session and those that it was delegated from, the nearest first."""
    found = [session_id]
    session: Session | None = view.session(session_id)
    while session is not None and session.parent is not None:
        found.append(session.parent)
        session = view.session(session.parent)
    return found


def _subject_of(view: Snapshot, approval: Approval) -> Subject:
    return Subject(
        principal=approval.requester,
        sessions=lineage(view, approval.session),
        tool=approval.tool,
    )


def _close(journal: Journal, approval: Approval, stop: Stop, by: Principal) -> Approval:
    """Close one open approval; one whose time had passed has expired."""
    current = approvals.expire(approval, journal.now)
    if current.state is ApprovalState.EXPIRED:
        return journal.move(current)
    why = f"{stops.described(stop)} was stopped"
    reason = f"{why}: {stop.reason}" if stop.reason else why
    return journal.move(approvals.halt(approval, by, journal.now, reason), by, reason)


def _record(journal: Journal, stop: Stop, status: str, by: Principal, reason: str) -> int:
    args, values = journal.seal({"reason": reason[: stops.MAX_REASON]} if reason else None)
    record = ledger.stop(stop, status, by, now=journal.now, args=args, note=journal.note)
    try:
        return journal.append(record, values)
    except AuditError as problem:
        raise InvalidRequest(f"nothing was {status}: {problem}") from None
