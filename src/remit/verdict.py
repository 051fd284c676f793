"""Whether a call is granted: by policy, within its limits, by an approval; and the record of it.

``reach`` is where a decision meets what is stored: it works out a ``Verdict`` and writes nothing,
so that a refusal leaves no half-counted call behind. ``recorded`` writes it. No I/O of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from remit import approvals, charging, ledger, spending, standing
from remit.approvals import Approval, ApprovalState
from remit.audit.record import RecordedCharge
from remit.budgets import rates
from remit.fulfilment import Ruling, denied, limited, rejected, unchanged
from remit.journal import Journal
from remit.ledger import NOTHING_TAKEN, TakenFromBudgets
from remit.model import (
    AccessRequest,
    ActionId,
    Admission,
    ApprovalId,
    Decision,
    Digest,
    Effect,
    Mode,
    RateLimit,
    Reason,
)
from remit.policy import PolicySet
from remit.spending import NO_BILL, Bill
from remit.standing import StandingVote


class ApprovalUse(Struct, frozen=True, kw_only=True):
    """What a held call does about approvals."""

    asks: bool = True
    """Whether it asks for one where there is none."""
    uses: ApprovalId | Literal["any"] | None = "any"
    """The one that it may use up, if it is for exactly this call; ``any``: whichever is."""


QUESTION = ApprovalUse(asks=False, uses=None)
"""A question: it leaves approvals alone."""
CALL = ApprovalUse()
"""A call that runs when it is granted: it asks, and when it is made again it uses the answer."""


class Verdict(Struct, frozen=True, kw_only=True):
    """Whether a call is granted, and what is to be stored for it."""

    decision: Decision
    granted: bool = False
    arrivals: Sequence[tuple[RateLimit, str, int]] = ()
    """The limits that it counts against: key and new arrival time of each."""
    bill: Bill = NO_BILL
    """What it holds of budgets."""
    retry_at: int | None = None
    approval: Approval | None = None
    """The approval that it waits for or uses, as it will be stored."""
    closed: Approval | None = None
    """An earlier approval that this call finds expired or pointless."""
    votes: tuple[StandingVote, ...] = ()
    """What standing approvals say to its new one."""


def reach(
    journal: Journal,
    ruling: Ruling,
    digest: Digest,
    limits: Sequence[tuple[RateLimit, str]],
    found: Bill = NO_BILL,
    use: ApprovalUse = CALL,
) -> Verdict:
    """Whether the call is granted.

    Args:
        journal: the transaction.
        ruling: what policy makes of the call.
        digest: what an approval of it is bound to.
        limits: those on call frequency that it counts against.
        found: what it would hold of budgets.
        use: what it does about approvals.
    """
    decision = ruling.decision
    shadow = decision.mode is Mode.SHADOW
    if found.short and decision.effect is not Effect.DENY and not shadow:
        decision = spending.asked(decision, found, journal.now)
        ruling = replace(ruling, decision=decision)
    if decision.effect is Effect.ALLOW:
        return _within(journal, decision, limits, found)
    if decision.effect is Effect.DENY or shadow:
        return Verdict(decision=decision, granted=shadow, bill=found if shadow else NO_BILL)
    held = _held(journal, ruling, digest, use)
    approval = held.approval
    if approval is None or approval.state is not ApprovalState.APPROVED:
        return held
    if use.uses not in ("any", approval.id):
        return held
    if all(short.line.budget.on_exceed.kind == "ask" for short in found.short):
        found = spending.raised(found, journal.now)
    within = _within(journal, decision, limits, found)
    if not within.granted:
        return within
    used = approvals.use(approval, journal.now, decision.revision)
    return replace(within, approval=used, votes=held.votes)


def recorded(
    journal: Journal,
    ruling: Ruling,
    verdict: Verdict,
    digest: Digest,
    lease_until: int,
    status: str | None = None,
    labels: Sequence[str] = (),
) -> Admission:
    """Write what was worked out; first the record is tried, as only that can be refused.

    Args:
        journal: the transaction.
        ruling: what policy makes of the call.
        verdict: from ``reach``.
        digest: what an approval of it is bound to.
        lease_until: when its outcome is due, if it is granted; 0: nobody reports one.
        status: of the record.
        labels: those that the record puts on the session.
    """
    t, approval = journal.t, verdict.approval
    rewritten = ruling.ran.arguments is not ruling.request.arguments
    found = verdict.bill
    admission = Admission(
        id=ActionId(journal.new_id("a")),
        granted=verdict.granted,
        decision=verdict.decision,
        position=-1,
        digest=digest,
        approval=None if approval is None else approval.id,
        lease_until=lease_until if verdict.granted else 0,
        arguments=ruling.ran.arguments if rewritten and verdict.granted else None,
        retry_at=verdict.retry_at,
        reserved=tuple(each.hold for each in found.held) if verdict.granted else (),
    )
    # Whoever reports no outcome is charged at once.
    final = verdict.granted and not lease_until
    taken = _taken(found, journal.now, final=final) if verdict.granted else NOTHING_TAKEN
    for vote in verdict.votes:  # before the decision that rests on them
        journal.move(vote.approval, vote.by, vote.reason)
    written = journal.append_decision(admission, ruling, verdict.arrivals, status, labels, taken)
    if written.decision is not admission.decision:
        return written
    if verdict.closed is not None:
        journal.move(verdict.closed)
    if approval is not None:
        t.put_approval(approval)
    if verdict.granted:
        for _, key, arrival in verdict.arrivals:
            t.put_arrival(key, arrival)
        for each in found.held:
            t.put_cell(each.cell)
        _tell_raised(journal, found, admission)
        if final:
            journal.tell(charging.charge_whole(t, admission.reserved, journal.now).notices)
    return written


def _taken(found: Bill, now: int, *, final: bool) -> TakenFromBudgets:
    holds = spending.recorded_holds(found, now)
    charges = tuple(
        RecordedCharge(cell=each.cell, held=each.amount, spent=each.amount) for each in holds
    )
    return TakenFromBudgets(takes=found.takes.usage, holds=holds, charges=charges if final else ())


def _tell_raised(journal: Journal, found: Bill, admission: Admission) -> None:
    """Record the limits that an approval raised."""
    for each in found.held:
        if spending.is_raised(each):
            told = charging.told_of(
                each.before,
                journal.now,
                amount=each.cell.raised,
                until=charging.in_record(each.cell.raised_until),
            )
            record = ledger.budget(
                "raised", told, None, now=journal.now, approval=admission.approval
            )
            journal.append(record)


def refused(
    journal: Journal,
    request: AccessRequest,
    policies: PolicySet,
    reason: Reason,
    status: str | None = None,
) -> Admission:
    """Refuse and record what no policy can allow, in every mode."""
    decision = Decision(
        effect=Effect.DENY, revision=policies.revision, reasons=(reason,), mode=policies.mode
    )
    ruling = unchanged(decision, request)
    admission = Admission(
        id=ActionId(journal.new_id("a")),
        granted=False,
        decision=decision,
        position=-1,
        digest=ledger.digest(request, ruling.arguments, policies.revision),
    )
    return journal.append_decision(admission, ruling, status=status)


def _held(journal: Journal, ruling: Ruling, digest: Digest, use: ApprovalUse) -> Verdict:
    """The approval for exactly this call: the one there is, or a new one to wait for."""
    decision, request, now = ruling.decision, ruling.ran, journal.now
    found = journal.t.approval_for(digest)
    closed = None
    if found is not None:
        current = approvals.expire(found, now)
        if current.state in approvals.OPEN and not approvals.answers(current, decision):
            current = approvals.supersede(current, now, "other rules hold the call now")
        if current.state in approvals.OPEN:
            return Verdict(decision=decision, approval=current)
        if current.state is ApprovalState.REJECTED and now < current.expires_at:
            return Verdict(decision=denied(decision, rejected(current)))
        closed = None if current is found else current
    if not use.asks:
        return Verdict(decision=decision, closed=closed)
    asked = approvals.hold(
        ApprovalId(journal.new_id("ap")),
        decision=decision,
        digest=digest,
        session=request.session,
        requester=request.principal,
        tool=request.action.name,
        arguments=ruling.ran_arguments,
        now=now,
    )
    votes = standing.votes(journal, asked)
    current = votes[-1].approval if votes else asked
    return Verdict(decision=decision, approval=current, closed=closed, votes=votes)


def _within(
    journal: Journal, decision: Decision, limits: Sequence[tuple[RateLimit, str]], found: Bill
) -> Verdict:
    """Take the call from every limit and budget that applies, all or none."""
    shadow, now = decision.mode is Mode.SHADOW, journal.now
    taken = rates.take(limits, journal.t.arrival, now)
    if not isinstance(taken, rates.Taken):
        return Verdict(
            decision=denied(decision, limited(taken.limit, now, taken.retry_at)),
            granted=shadow,
            bill=found if shadow else NO_BILL,
            retry_at=taken.retry_at,
        )
    if not found.short:
        return Verdict(decision=decision, granted=True, arrivals=taken.arrivals, bill=found)
    for short in reversed(found.short):
        decision = denied(decision, spending.exceeded_reason(short, Effect.DENY, now))
    return Verdict(
        decision=decision,
        granted=shadow,
        arrivals=taken.arrivals if shadow else (),
        bill=found if shadow else NO_BILL,
        retry_at=spending.retry_at(found, now),
    )
