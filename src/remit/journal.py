"""One transaction as the governor sees it: its time, fresh ids and salts, and what it writes.

A ``Journal`` pairs every change of state with its record, so that none is written without the
other. It decides nothing. No I/O of its own: the transaction, the time and the randomness are
passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from remit import approvals, canonical, charging, ledger, recall, sessions
from remit.approvals import Approval
from remit.audit.record import Record, encode_record, parse_record
from remit.charging import Notice
from remit.errors import AuditError
from remit.fulfilment import Ruling
from remit.ledger import NOTHING_TAKEN, TakenFromBudgets
from remit.model import (
    ActionState,
    Admission,
    AdmittedAction,
    ApprovalId,
    Effect,
    Outcome,
    Principal,
    RateLimit,
    Reason,
    Session,
)
from remit.storage import SealedValues, Transaction

SWEEP = 1000
"""How many overdue actions or approvals one transaction closes at most."""

_TOO_LARGE = Reason(
    rule="record-too-large",
    effect=Effect.DENY,
    because="The request does not fit into a record of the log.",
    instead="Use shorter names and fewer roles; pass bulky data as arguments.",
)


class Journal(NamedTuple):
    """One transaction, its time, and everything that is written in it."""

    t: Transaction
    now: int
    """Nanoseconds since the Unix epoch, whole microseconds."""
    entropy: Callable[[int], bytes]
    note: str | None = None
    """What the records say about the time."""

    @classmethod
    def begin(cls, t: Transaction, clock: int, entropy: Callable[[int], bytes]) -> Journal:
        """Tell the time of this transaction, never before the newest record.

        A clock that was set back frees no limit and no lease and leaves the log in order; the
        records say so.
        """
        time, latest = clock // 1000, -(-t.latest() // 1000)
        if time < latest:
            note = f"the clock was {latest - time} us behind the log"
            return cls(t, latest * 1000, entropy, note)
        return cls(t, time * 1000, entropy)

    def new_id(self, prefix: str) -> str:
        """An id that nobody can guess: the prefix and 80 random bits."""
        return f"{prefix}-{self.entropy(10).hex()}"

    def seal(self, value: Any) -> tuple[str | None, SealedValues | None]:
        """Commitment and erasable values of a JSON value; nothing for None."""
        if value is None:
            return None, None
        return ledger.seal(self.entropy(ledger.SALT), canonical.encode(value))

    def append(self, record: Record, values: SealedValues | None = None) -> int:
        """Append a record. Its position.

        Raises:
            AuditError: it does not fit the profile.
        """
        return self.t.append(encode_record(record), at=self.now, values=values)

    def append_outcome(self, record: Record, values: SealedValues | None = None) -> int:
        """Append an outcome, without its lists where they do not fit: it must be recorded."""
        try:
            body = encode_record(record)
        except AuditError:
            body = encode_record(ledger.shortened(record))
        return self.t.append(body, at=self.now, values=values)

    def append_decision(
        self,
        admission: Admission,
        ruling: Ruling,
        arrivals: Sequence[tuple[RateLimit, str, int]] = (),
        status: str | None = None,
        labels: Sequence[str] = (),
        taken: TakenFromBudgets = NOTHING_TAKEN,
    ) -> Admission:
        """Append the record of an admission; one that does not fit becomes a refusal that does.

        ``labels`` are those that this record puts on the session.
        """
        salt = self.entropy(ledger.SALT)
        args, values = ledger.seal(salt, ruling.arguments)
        rewritten = ruling.ran is not ruling.request
        record = ledger.decision(
            admission,
            ruling.ran if ruling.ran.estimate is not None else ruling.request,
            now=self.now,
            args=args,
            ran=ledger.seal(salt, ruling.ran_arguments)[0] if rewritten else None,
            limits=[(limit, key) for limit, key, _ in arrivals],
            note=self.note,
            status=status,
            labels=labels,
            seen=ruling.seen,
            taken=taken,
        )
        try:
            body = encode_record(record)
        except AuditError:
            admission = replace(
                admission,
                granted=False,
                decision=replace(admission.decision, effect=Effect.DENY, reasons=(_TOO_LARGE,)),
                approval=None,
                lease_until=0,
                arguments=None,
                retry_at=None,
                reserved=(),
            )
            body = encode_record(ledger.refused(admission, ruling.request, now=self.now, args=args))
        return replace(admission, position=self.t.append(body, at=self.now, values=values))

    def close_overdue(self, session: Session) -> Session:
        """Close this session's overdue actions. The session with their labels."""
        for action in self.t.overdue_actions(session.id, self.now, SWEEP):
            session = self.close(action, session)
        return session

    def close(self, action: AdmittedAction, session: Session) -> Session:
        """Record that nobody reported what came of an action. It may have happened: labels join."""
        joined = sessions.join(session, action.labels)
        joined = sessions.pay(joined, action.held.nano_usd)
        charged = charging.expire(self.t, action, self.now)
        self.t.put_action(replace(action, state=ActionState.EXPIRED))
        self.keep(session, joined)
        recall.unreported(self.t, session, action.labels)
        self.append_outcome(
            ledger.outcome(
                action,
                Outcome(status="unknown"),
                now=self.now,
                labels=sessions.added(session, joined),
                note=self.note,
                charges=charged.charges,
                usage=action.held,
            )
        )
        self.tell(charged.notices)
        return joined

    def tell(self, notices: Iterable[Notice]) -> None:
        """Record what people are to be told of budgets."""
        for notice in notices:
            self.append(ledger.budget(notice.status, notice.told, None, now=self.now))

    def keep(self, before: Session, after: Session) -> None:
        """Store a session that has changed; what an ended one learns late goes up as well."""
        if after is not before:
            self.t.put_session(after)
            if after.ended_at is not None:
                self.hand_up(after)

    def hand_up(self, ended: Session) -> None:
        """Let the labels of an ended session join its parent, and on through ended ancestors."""
        parent = None if ended.parent is None else self.t.session(ended.parent)
        if parent is not None:
            self.keep(parent, sessions.join(parent, ended.labels))

    def move(self, moved: Approval, by: Principal | None = None, reason: str = "") -> Approval:
        """Store an approval in its new state, with the record of who moved it there."""
        args, values = self.seal({"reason": reason[: approvals.MAX_REASON]} if reason else None)
        self.t.put_approval(moved)
        self.append(ledger.approval(moved, by, now=self.now, args=args, note=self.note), values)
        return moved

    def erase_copies(self, position: int) -> None:
        """Drop the copies of a record's values that its approval or its stop holds."""
        for kept in self.t.records(position, position + 1):
            record = parse_record(kept.body)
            if record.stop is not None:
                self._erase_reason(record.stop.id)
            approval_id = record.approval
            approval = None if approval_id is None else self.t.approval(ApprovalId(approval_id))
            if approval is None:
                continue
            emptied = replace(approval, arguments=b"")
            if approvals.state_at(approval, self.now) in approvals.OPEN:
                self.move(approvals.supersede(emptied, self.now, "its arguments were erased"))
            else:
                self.t.put_approval(emptied)

    def _erase_reason(self, stop_id: str) -> None:
        for stop in self.t.stops():
            if stop.id == stop_id:
                self.t.put_stop(replace(stop, reason=""))
