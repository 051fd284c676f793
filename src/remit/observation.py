"""What a session has seen though no action of it brought it: results in a conversation from before.

An agent may bring along a conversation that was had elsewhere, or whose calls were forgotten. What
tools returned in there is decided on and labels the session like the result of an action; that the
calls were let through, nobody can say, and the record does not. Pure, like the governor.
"""

from __future__ import annotations

from remit import canonical, ledger, sessions
from remit.fulfilment import rule_on_result, unchanged
from remit.governor import EVALUATED, Governor
from remit.journal import Journal
from remit.model import (
    AccessRequest,
    ActionId,
    Admission,
    AdmittedAction,
    Facts,
    Outcome,
    Reason,
    Settlement,
)
from remit.policy import PolicySet


def observe(
    journal: Journal, policies: PolicySet, request: AccessRequest, outcome: Outcome
) -> Settlement | Reason:
    """Decide on a result that no admitted action brought, and record that.

    Args:
        journal: the transaction.
        policies: the policy in force.
        request: the tool and the session; its arguments are what is known of the call.
        outcome: what the tool returned.

    Returns:
        What may be shown of it; or why the session cannot take anything in.
    """
    stopped = Governor.stopped(journal.t, request)
    if stopped is not None:
        return stopped
    session = sessions.carrier(journal.t.session(request.session), request)
    if isinstance(session, Reason):
        return session
    action = AdmittedAction(
        id=ActionId(journal.new_id("a")),
        session=session.id,
        tool=request.action.name,
        digest=ledger.digest(request, canonical.encode(request.arguments), policies.revision),
        revision=policies.revision,
        admitted_at=journal.now,
        lease_until=0,
        labels=policies.tool(request.action.name).returns,
    )
    facts = Facts(now=journal.now, session=session)
    ruling = rule_on_result(policies, action, request, facts, outcome)
    joined = sessions.join(session, ruling.labels)
    admission = Admission(
        id=action.id,
        granted=not ruling.withheld,
        decision=ruling.decision,
        position=-1,
        digest=action.digest,
    )
    written = journal.append_decision(
        admission,
        unchanged(ruling.decision, request),
        status=EVALUATED,
        labels=sessions.added(session, joined),
    )
    journal.keep(session, joined)
    redacted = not ruling.withheld and ruling.shown is not outcome.result
    return Settlement(
        id=action.id,
        decision=written.decision,
        position=written.position,
        withheld=ruling.withheld or not written.granted,
        labels=joined.labels,
        redacted=redacted,
        result=ruling.shown if redacted else None,
    )
