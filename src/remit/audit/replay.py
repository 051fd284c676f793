"""Whether the records of a log make sense together, read one after the other.

The tree and the signature say that nobody changed the log; this says that what it tells holds
together: nothing ran without a record that let it, each outcome belongs to one decision, an
approval was used once, the clock never went back, the rate limits and the stops were kept.

Memory grows with what is open at a time (actions without outcome, approvals not used), and by 16
bytes for each decision, to know its id again.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection
from functools import partial
from typing import TypeAlias

from msgspec import Struct

from remit import stops
from remit.audit.record import Record, RecordedLimit
from remit.audit.spending import BudgetReplay
from remit.model import Principal, SessionId
from remit.stops import Stop, StopId, Subject

_LIMITS_KEPT = 10_000
_BUCKETS = 256


class Discrepancy(Struct, frozen=True):
    """Something that does not hold in a log."""

    position: int | None
    """Of the record; None when it is about the log as a whole."""
    code: str
    """Stable word for programs, listed in docs/audit.md."""
    message: str
    """What was found and what it means."""


class UnsettledAction(Struct, frozen=True):
    """A granted action whose outcome is not in the log (so far)."""

    position: int
    action: str
    session: str | None
    digest: str | None
    lease: int | None
    """Until when its outcome was due, microseconds since the epoch."""


Report: TypeAlias = Callable[[int | None, str, str], None]
"""Takes position, code and message of a discrepancy."""


class Replay:
    """Reads records in order and tells ``report`` what does not hold."""

    def __init__(self, report: Report) -> None:
        self.open: dict[str, UnsettledAction] = {}
        self.first_at: int | None = None
        self.last_at = 0
        self.counts: dict[str, int] = {}
        """Records by kind."""
        self.budgets = BudgetReplay()
        self._report = report
        self._expired: dict[str, UnsettledAction] = {}
        self._approved: dict[str, str | None] = {}
        self._arrivals: dict[str, int] = {}
        self._stops: dict[str, Stop] = {}
        self._seen = _Seen()

    def see(self, position: int, record: Record) -> None:
        """Take in the record at ``position``."""
        kind, at = record.kind, record.at
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if at < self.last_at:
            self._report(
                position,
                "clock",
                f"its time is {self.last_at - at} us before that of an earlier record",
            )
        else:
            self.last_at = at
        if self.first_at is None:
            self.first_at = at
        if kind == "decision":
            self._decision(position, record)
        elif kind == "outcome":
            self._outcome(position, record)
        elif kind == "approval":
            self._approval(position, record)
        elif kind == "stop":
            self._stop(position, record)
        elif kind == "budget":
            self.budgets.event(record)

    def finish(self) -> None:
        """Report what can only be told at the end: ids of decisions that were used twice."""
        for position in self._seen.repeated():
            self._report(position, "decided-twice", "its action id was used by an earlier decision")

    def _decision(self, position: int, record: Record) -> None:
        action = record.action
        if action is None or record.granted is None or record.effect is None:
            self._report(
                position, "incomplete", "a decision must have an action id, effect and granted"
            )
            return
        self._seen.add(action, position)
        if not record.granted:
            return
        if self._stops:
            self._check_stops(position, record)
        if record.mode != "shadow":
            self._check_granted(position, record)
        for limit in record.limits:
            self._count(position, limit, record.at * 1000)
        if record.holds:
            self.budgets.decision(record, partial(self._report, position))
        if record.status == "evaluated":
            return  # nobody was to report an outcome, so none is missing
        self.open[action] = UnsettledAction(
            position, action, record.session, record.digest, record.lease
        )

    def _check_granted(self, position: int, record: Record) -> None:
        """Whether the decision let the action run: by itself, or by an approval."""
        if record.effect == "deny":
            self._report(position, "denied-but-granted", "policy said deny and it was let through")
        elif record.effect != "allow" and record.approval is None:
            self._report(
                position,
                "held-but-granted",
                f"policy said {record.effect} and it was let through without an approval",
            )
        if record.approval is not None:
            self._use(position, record.approval, record.digest)

    def _check_stops(self, position: int, record: Record) -> None:
        """Whether a stop covered what was let through. Delegation is not seen across sessions."""
        subject = subject_of(record, (SessionId(record.session or ""),))
        stop = stops.find(self._stops.values(), subject)
        if stop is not None:
            self._report(
                position,
                "stopped-but-granted",
                f"{stops.described(stop)} was stopped ({stop.id}) and it was let through",
            )

    def _stop(self, position: int, record: Record) -> None:
        told = record.stop
        if told is None or record.status not in ("stopped", "resumed"):
            self._report(position, "incomplete", "a stop record must name the stop and its state")
        elif record.status == "stopped":
            self._stops[told.id] = Stop(
                id=StopId(told.id), scope=told.scope, value=told.value, reason="", by="", at=0
            )
        elif self._stops.pop(told.id, None) is None:
            self._report(position, "stop", f"it lifts the stop {told.id}, which was not in force")

    def _use(self, position: int, approval: str, digest: str | None) -> None:
        if approval not in self._approved:
            self._report(
                position,
                "approval",
                f"it used approval {approval}, which was not open: nobody gave it, "
                "or it was used before",
            )
        elif self._approved.pop(approval) != digest:
            self._report(
                position, "approval", f"it used approval {approval}, given for another request"
            )

    def _approval(self, position: int, record: Record) -> None:
        approval, status = record.approval, record.status
        if approval is None or status is None:
            self._report(position, "incomplete", "an approval record must name it and its state")
        elif status == "approved":
            self._approved[approval] = record.digest
        elif status in ("rejected", "expired", "withdrawn"):
            self._approved.pop(approval, None)

    def _outcome(self, position: int, record: Record) -> None:
        if record.action is None or record.status is None:
            self._report(position, "incomplete", "an outcome must have an action id and a status")
            return
        self.budgets.outcome(record, partial(self._report, position))
        action = self.open.pop(record.action, None)
        if action is not None:
            if record.status == "unknown":
                # Nobody reported in time; one who does so later may still set it right, once.
                self._expired[record.action] = action
        else:
            action = self._expired.pop(record.action, None)
        if action is None:
            self._report(
                position,
                "outcome",
                f"outcome of {record.action}, which was not open: it was never let through, "
                "or its outcome is recorded already",
            )
        elif (record.session, record.digest) != (action.session, action.digest):
            self._report(
                position,
                "outcome",
                f"its session or digest is not that of the decision at {action.position}",
            )

    def _count(self, position: int, limit: RecordedLimit, now: int) -> None:
        """Replay GCRA in nanoseconds; records round times down to microseconds."""
        interval = -(-limit.period * 1000 // limit.calls)
        arrival = max(self._arrivals.get(limit.key, 0), now) + interval
        if arrival - limit.burst * interval >= now + 1000:
            self._report(
                position,
                "rate-limit",
                f"it went over the limit of {limit.calls} calls of {limit.key}",
            )
        self._arrivals[limit.key] = arrival
        if len(self._arrivals) > _LIMITS_KEPT:
            self._arrivals = {key: due for key, due in self._arrivals.items() if due > now}


def subject_of(record: Record, sessions: Collection[SessionId]) -> Subject:
    """Whom and what a record is about, as stops are held against it."""
    acting: Principal | None = None
    for link in reversed(record.principal):
        acting = Principal(id=link.id, kind=link.kind, on_behalf_of=acting)
    return Subject(principal=acting or Principal(id=""), sessions=sessions, tool=record.tool or "")


class _Seen:
    """Which ids came up before, in 16 bytes each: a 64-bit hash and the position.

    Python's hash of a string is keyed anew for each process, so ids cannot be made to collide.
    """

    def __init__(self) -> None:
        self._hashes = [array("q") for _ in range(_BUCKETS)]
        self._positions = [array("q") for _ in range(_BUCKETS)]

    def add(self, name: str, position: int) -> None:
        mark = hash(name)
        bucket = mark % _BUCKETS
        self._hashes[bucket].append(mark)
        self._positions[bucket].append(position)

    def repeated(self) -> list[int]:
        """Positions at which an id came up that had come up before."""
        found = []
        for hashes, positions in zip(self._hashes, self._positions, strict=True):
            if len(set(hashes)) == len(hashes):
                continue
            before: set[int] = set()
            for mark, position in zip(hashes, positions, strict=True):
                if mark in before:
                    found.append(position)
                before.add(mark)
        return sorted(found)
