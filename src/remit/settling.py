"""Whether an outcome may be recorded for an action, and what the action took. No I/O of its own."""

from __future__ import annotations

from msgspec.structs import replace

from remit import canonical, ledger
from remit.budgets.limits import Takes
from remit.errors import SettlementError, StoreCorrupt
from remit.model import (
    AccessRequest,
    ActionId,
    ActionState,
    AdmittedAction,
    Facts,
    Outcome,
    Session,
)
from remit.policy import PolicySet
from remit.storage import Snapshot

_LONGEST = 1 << 62
"""Nanoseconds: an action that takes longer counts as one that took that long."""


def session_of(t: Snapshot, action: AdmittedAction) -> Session:
    """The session of an action.

    Raises:
        StoreCorrupt: it is not there.
    """
    session = t.session(action.session)
    if session is None:
        raise StoreCorrupt(f"action {action.id} is there but its session is not; restore the store")
    return session


def took_of(
    policies: PolicySet,
    action: AdmittedAction,
    request: AccessRequest,
    facts: Facts,
    outcome: Outcome,
) -> Takes | None:
    """What an action took; None: it certainly did not run."""
    if outcome.status == "not-run":
        return None
    usage = policies.meter.took(request, replace(facts, outcome=outcome), action.held)
    return Takes(usage, 1, min(max(0, outcome.duration), _LONGEST) // 1000)


def unsettled(
    action: AdmittedAction | None, action_id: ActionId, request: AccessRequest
) -> AdmittedAction:
    """The action, if ``request`` may settle it.

    Raises:
        SettlementError: no such action, settled before, or not the request that was admitted.
    """
    if action is None:
        raise SettlementError(f"there is no admitted action {action_id}; nothing was settled")
    if action.state is ActionState.SETTLED:
        raise SettlementError(f"action {action_id} is settled; an outcome is recorded only once")
    arguments = canonical.encode(request.arguments)
    digest = ledger.digest(request, arguments, action.revision)
    if digest != action.digest or request.session != action.session:
        raise SettlementError(
            f"action {action_id} was admitted for another request; settle it with the request as "
            "it ran"
        )
    return action
