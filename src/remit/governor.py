"""Admit and settle: the only place where decisions meet state.

Every public method takes a ``Transaction`` first and is meant to be the whole of it::

    admission = store.write(lambda t: governor.admit(t, request))

What it reads, decides, counts and records becomes durable together, or none of it. I/O, clock and
randomness are not handled here: the store commits, and clock and entropy are passed in. A closure
may run again, so nothing is kept between calls.

``admit`` works in this order: see whether it is stopped, close what is overdue, decide, carry the
obligations out on the call and decide on what comes of it, look for an approval, count against the
limits. All of that is worked out before the first write, so a refusal of any kind leaves no
half-counted call behind. What a call takes is taken all or none, in one place (``verdict``), and
given back or charged in ``settle``: a budget is one more thing to take there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from remit import (
    approvals,
    charging,
    conversation,
    ledger,
    recall,
    sessions,
    spending,
    stops,
    switch,
)
from remit.approvals import Approval
from remit.braking import answered, brake, burn, noted, stop_if_tripped
from remit.errors import (
    ApprovalError,
    InvalidRequest,
)
from remit.fulfilment import rule, rule_on_result
from remit.journal import SWEEP, Journal
from remit.model import (
    NO_SESSION,
    AccessRequest,
    ActionId,
    ActionState,
    Admission,
    AdmittedAction,
    ApprovalId,
    Facts,
    Outcome,
    Principal,
    Reason,
    Session,
    SessionId,
    Settlement,
    TaskRemit,
)
from remit.policy import PolicySet
from remit.settling import session_of, took_of, unsettled
from remit.stops import Scope, Stop, StopId
from remit.storage import Snapshot, Transaction
from remit.switch import StopEffect
from remit.verdict import QUESTION, ApprovalUse, reach, recorded, refused

LEASE = 600_000_000_000
"""Nanoseconds until an admitted action that nobody settled counts as ``unknown``: ten minutes."""

KEPT_WINDOWS = 400 * 86_400_000_000_000
"""Nanoseconds for which a budget's window is kept after it has ended: 400 days."""

EVALUATED = "evaluated"
"""Status of a decision on which nobody will report an outcome."""

_ALL = 1 << 62
"""More than any count, later than any time."""


class Governor:
    """Decides on actions and keeps the record of them.

    Safe to share between threads: it holds no state of its own.
    """

    def __init__(
        self,
        *,
        policies: Callable[[], PolicySet],
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
        lease: int = LEASE,
        max_depth: int = sessions.MAX_DEPTH,
    ) -> None:
        """Join a governor to its surroundings.

        Args:
            policies: gives the policy in force; called once for each step.
            clock: nanoseconds since the Unix epoch.
            entropy: that many random bytes, fit for secrets.
            lease: nanoseconds within which an admitted action is to be settled.
            max_depth: how many levels deep agents may delegate.
        """
        self._policies = policies
        self._clock = clock
        self._entropy = entropy
        self._lease = lease
        self._max_depth = max_depth

    # Sessions

    def open_session(
        self,
        t: Transaction,
        principal: Principal,
        intent: str | None = None,
        parent: SessionId | None = None,
        session_id: SessionId | None = None,
        remit: TaskRemit | None = None,
    ) -> Session:
        """Open a session and record it.

        With a ``parent`` this is delegation: the new session acts on behalf of the parent's
        principal, starts with the parent's labels and task remits, and is one level deeper.

        Args:
            t: the transaction.
            principal: whose session it is.
            intent: what the user said that it is for.
            parent: the session that delegates.
            session_id: None: a new one.
            remit: what its task is narrowed to, besides what policy narrows it to.

        Raises:
            InvalidRequest: the id is taken or unusable, the parent cannot delegate, or the remit
                cannot be meant.
        """
        return conversation.opened(
            self._begin(t),
            self._policies(),
            principal,
            intent=intent,
            parent=parent,
            session_id=session_id,
            remit=remit,
            max_depth=self._max_depth,
        )

    def say(self, t: Transaction, session_id: SessionId, words: str) -> Session:
        """Take in what the user said after the intent: it is the user's word from then on.

        To be called by whoever is trusted to tell the user's words from all others.

        Raises:
            InvalidRequest: there is no such session that the user can speak in, or no words.
        """
        return conversation.said(self._begin(t), self._policies(), session_id, words)

    def end_session(self, t: Transaction, session_id: SessionId) -> Session:
        """End a session and record it. Its labels join the session that delegated to it.

        Ending it again changes nothing. An action that is still running can be settled.

        Raises:
            InvalidRequest: there is no such session.
        """
        return conversation.ended(self._begin(t), self._policies(), session_id)

    # Actions

    def admit(
        self, t: Transaction, request: AccessRequest, objection: Reason | None = None
    ) -> Admission:
        """Decide on one request, and record the decision.

        Under ``Mode.SHADOW`` everything that policy, a limit or an obligation would stop is granted
        as it came. What no policy can allow binds in every mode: a stop, no such session,
        another's, an ended one, a request that does not fit into a record.

        Args:
            t: the transaction.
            request: the call.
            objection: a reason of the edge to refuse it, whatever policy says.

        Raises:
            InvalidRequest: the request is malformed; nothing was recorded.
        """
        policies = self._policies()
        journal = self._begin(t)
        session = objection or self._carrier(journal, request)
        if isinstance(session, Reason):
            return refused(journal, request, policies, session)
        facts = _facts(journal, policies, request, session)
        braked = brake(policies.breakers, session, rule(policies, request, facts), journal.now)
        ruling, bill = spending.priced(journal, policies, braked.ruling, facts, self._lease)
        braked, bill = burn(policies.breakers, replace(braked, ruling=ruling), bill, journal.now)
        ruling = braked.ruling
        digest = ledger.digest(ruling.ran, ruling.ran_arguments, policies.revision)
        verdict = reach(journal, ruling, digest, policies.limits_for(ruling.ran), bill)
        admission = recorded(journal, ruling, verdict, digest, journal.now + self._lease)
        if admission.granted:
            t.put_session(noted(sessions.count(session, request.action.name), braked))
            t.put_action(
                AdmittedAction(
                    id=admission.id,
                    session=session.id,
                    tool=request.action.name,
                    digest=digest,
                    revision=admission.decision.revision,
                    admitted_at=journal.now,
                    lease_until=admission.lease_until,
                    labels=(*policies.tool(request.action.name).returns, *ruling.labels),
                    obligations=ruling.later,
                    holds=admission.reserved,
                    held=bill.takes.usage,
                    model=None if ruling.ran.estimate is None else ruling.ran.estimate.model,
                )
            )
        stop_if_tripped(journal, session, braked)
        return admission

    def evaluate(
        self,
        t: Transaction,
        request: AccessRequest,
        use: ApprovalUse = QUESTION,
        objection: Reason | None = None,
    ) -> Admission:
        """Decide on a request whose outcome nobody will report, and record the decision.

        For enforcement points that ask and then act by themselves. A granted request counts
        against the limits like a call, and the labels of its tool join the session at once: it may
        happen. There is nothing to settle, and no rule on results is asked.

        Args:
            t: the transaction.
            request: its session may be ``NO_SESSION``: then it has seen nothing.
            use: what a held request does about approvals; by default nothing.
            objection: a reason to refuse it, whatever policy says.

        Raises:
            InvalidRequest: the request is malformed; nothing was recorded.
        """
        policies = self._policies()
        journal = self._begin(t)
        outside = request.session == NO_SESSION
        session = objection or self._carrier(journal, request, outside)
        if isinstance(session, Reason):
            return refused(journal, request, policies, session, EVALUATED)
        facts = _facts(journal, policies, request, session)
        watching = () if outside else policies.breakers
        braked = brake(watching, session, rule(policies, request, facts), journal.now)
        ruling, bill = spending.priced(journal, policies, braked.ruling, facts, self._lease)
        braked, bill = burn(policies.breakers, replace(braked, ruling=ruling), bill, journal.now)
        ruling = braked.ruling
        digest = ledger.digest(ruling.ran, ruling.ran_arguments, policies.revision)
        verdict = reach(journal, ruling, digest, policies.limits_for(ruling.ran), bill, use)
        joined = session
        marks: tuple[str, ...] = ()
        if verdict.granted and not outside:
            marks = (*policies.tool(request.action.name).returns, *ruling.labels)
            joined = sessions.pay(sessions.join(session, marks), bill.takes.usage.nano_usd)
        labels = sessions.added(session, joined)
        admission = recorded(journal, ruling, verdict, digest, 0, EVALUATED, labels)
        if admission.granted and not outside:
            counted = sessions.count(joined, request.action.name)
            journal.keep(session, noted(counted, braked))
            recall.unreported(t, session, marks)
        if not outside:
            stop_if_tripped(journal, session, braked)
        return admission

    def settle(
        self, t: Transaction, action_id: ActionId, request: AccessRequest, outcome: Outcome
    ) -> Settlement:
        """Decide on the outcome of an admitted action, and record it. Once only.

        Args:
            t: the transaction.
            action_id: from the admission.
            request: as it ran: with the admission's ``arguments`` where those are set.
            outcome: what came of it. Its result is a checked JSON value.

        Raises:
            SettlementError: no such action, settled before, or not the request that was admitted.
        """
        policies = self._policies()
        journal = self._begin(t)
        action = unsettled(t.action(action_id), action_id, request)
        session = session_of(t, action)
        late = action.state is ActionState.EXPIRED
        facts = _facts(journal, policies, request, session)
        ruling = rule_on_result(policies, action, request, facts, outcome)
        labels = (*ruling.labels, *recall.inherited(t, policies, request))
        joined = sessions.join(session, labels)
        took = took_of(policies, action, request, facts, outcome)
        spent = 0 if took is None else took.usage.nano_usd
        joined = sessions.pay(joined, spent - action.held.nano_usd if late else spent)
        charged = charging.settle(t, action, took, journal.now)
        sealed = outcome.error if outcome.result is None else outcome.result
        commitment, values = journal.seal(sealed)
        record = ledger.outcome(
            action,
            outcome,
            now=journal.now,
            said=ruling.decision,
            shown=not ruling.withheld,
            principal=request.principal,
            result=commitment,
            labels=sessions.added(session, joined),
            note=f"{ledger.LATE}: it corrects the outcome unknown" if late else journal.note,
            charges=charged.charges,
            usage=None if took is None else took.usage,
        )
        t.put_action(replace(action, state=ActionState.SETTLED))
        journal.keep(session, answered(joined, request, outcome))
        shown = None if ruling.withheld else replace(outcome, result=ruling.shown)
        recall.observed(t, policies, session, request, shown, labels)
        position = journal.append_outcome(record, values)
        journal.tell(charged.notices)
        redacted = not ruling.withheld and ruling.shown is not outcome.result
        return Settlement(
            id=action_id,
            decision=ruling.decision,
            position=position,
            withheld=ruling.withheld and outcome.status in ("ok", "error"),
            labels=joined.labels,
            redacted=redacted,
            result=ruling.shown if redacted else None,
            late=late,
        )

    def expire(self, t: Transaction, limit: int = SWEEP) -> int:
        """Close what is overdue: actions nobody settled, approvals nobody used. Their number."""
        journal = self._begin(t)
        overdue = t.overdue_actions(None, journal.now, limit)
        for action in overdue:
            journal.close(action, session_of(t, action))
        moved = [
            (approval, approvals.expire(approval, journal.now))
            for approval in t.approvals(approvals.OPEN, limit)
        ]
        expired = [after for before, after in moved if after is not before]
        for approval in expired:
            journal.move(approval)
        forgotten = t.forget_cells(journal.now - KEPT_WINDOWS, limit)
        return len(overdue) + len(expired) + forgotten

    # Approvals

    def approve(
        self, t: Transaction, approval_id: ApprovalId, by: Principal, reason: str = ""
    ) -> Approval:
        """One person's yes, recorded. The approval as it now stands.

        Raises:
            ApprovalError: there is none, or it cannot be approved (by this person, now).
        """
        journal = self._begin(t)
        revision = self._policies().revision
        approval = _approval(t, approval_id)
        moved = approvals.approve(approval, by, journal.now, revision, reason)
        return journal.move(moved, by, reason)

    def reject(
        self, t: Transaction, approval_id: ApprovalId, by: Principal, reason: str = ""
    ) -> Approval:
        """One person's no, recorded. The same call is denied until the approval's end.

        Raises:
            ApprovalError: there is none, or it cannot be rejected (by this person, now).
        """
        journal = self._begin(t)
        moved = approvals.reject(_approval(t, approval_id), by, journal.now, reason)
        return journal.move(moved, by, reason)

    def withdraw(
        self, t: Transaction, approval_id: ApprovalId, by: Principal, reason: str = ""
    ) -> Approval:
        """Take an open approval back, recorded.

        Raises:
            ApprovalError: there is none, it is closed, or ``by`` has no part in it.
        """
        journal = self._begin(t)
        moved = approvals.withdraw(_approval(t, approval_id), by, journal.now, reason)
        return journal.move(moved, by, reason)

    # The stop switch

    def stop(
        self, t: Transaction, scope: Scope, value: str, by: Principal, reason: str = ""
    ) -> StopEffect:
        """Let nothing in scope start any more, from the next call on. Recorded.

        Approvals in scope are closed: rejected while they were pending, withdrawn once approved.
        Actions that run already are settled as ever, and their results are not withheld.

        Raises:
            InvalidRequest: it would cover nothing, or ``by`` is an agent.
        """
        return switch.set_stop(self._begin(t), scope, value, by, reason)

    def resume(self, t: Transaction, stop_id: StopId, by: Principal, reason: str = "") -> Stop:
        """Lift a stop, recorded. The stop as it was.

        Raises:
            InvalidRequest: there is no such stop, or ``by`` is an agent.
        """
        return switch.lift(self._begin(t), stop_id, by, reason)

    @staticmethod
    def stopped(view: Snapshot, request: AccessRequest) -> Reason | None:
        """Why a request is refused before policy is asked, if a stop covers it."""
        stop = switch.covering(view, request)
        return None if stop is None else stops.refusal(stop)

    # The log

    def adopt(self, t: Transaction, by: Principal | None = None, reason: str = "") -> int:
        """Keep the policy in force beside the log and record that it is. The record's position.

        To be called when a policy is loaded, before the first request that it decides; with the
        person who published it, where one did.
        """
        policies = self._policies()
        journal = self._begin(t)
        t.put_document(policies.revision, policies.bundle)
        args, values = journal.seal({"reason": reason} if reason else None)
        record = ledger.policy(
            policies.revision, policies.mode, now=journal.now, note=journal.note, by=by, args=args
        )
        return journal.append(record, values)

    def erase(
        self, t: Transaction, positions: Sequence[int], by: Principal, reason: str = ""
    ) -> int:
        """Erase the values beside some records, and record that. The new record's position.

        The copies that approvals and stops hold go too; an open approval is withdrawn, because
        nobody could see any more what it is for, a stop stays in force without its reason. Answers
        kept for requests that come again are all forgotten: they may hold the values too.

        Raises:
            InvalidRequest: one of the records has no values (any more); nothing was erased.
        """
        journal = self._begin(t)
        for position in positions:
            if not t.erase(position):
                raise InvalidRequest(
                    f"record {position} has no values, or they were erased before; nothing was "
                    "erased now"
                )
            journal.erase_copies(position)
        t.forget_replies(_ALL, _ALL)
        args, values = journal.seal({"reason": reason} if reason else None)
        record = ledger.erasure(positions, by, now=journal.now, args=args, note=journal.note)
        return journal.append(record, values)

    # Steps

    def _carrier(
        self, journal: Journal, request: AccessRequest, outside: bool = False
    ) -> Session | Reason:
        """The session of a request, without overdue actions; or why it carries nothing.

        For a request ``outside`` of any session, one that has seen and done nothing.
        """
        stop = self.stopped(journal.t, request)
        if stop is not None:
            return stop
        if outside:
            return Session(id=NO_SESSION, principal=request.principal, started_at=journal.now)
        carrier = sessions.carrier(journal.t.session(request.session), request)
        return carrier if isinstance(carrier, Reason) else journal.close_overdue(carrier)

    def _begin(self, t: Transaction) -> Journal:
        return Journal.begin(t, self._clock(), self._entropy)


def _facts(
    journal: Journal, policies: PolicySet, request: AccessRequest, session: Session
) -> Facts:
    facts = recall.facts(journal.t, policies, session, journal.now)
    return spending.informed(facts, journal.t, policies, request)


def _approval(t: Transaction, approval_id: ApprovalId) -> Approval:
    approval = t.approval(approval_id)
    if approval is None:
        raise ApprovalError("there is no such approval; see the list of open ones")
    return approval
