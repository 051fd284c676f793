"""What an agent is told when its call does not run: what happened, why, where, what to do next."""

from __future__ import annotations

from remit.errors import ApprovalRequired, Denied, Refused, Withheld
from remit.model import Admission, Settlement
from remit.policy import refusal as words


def refusal(tool: str, admission: Admission) -> Refused:
    """The exception for an admission that was not granted."""
    decision, handle = admission.decision, admission.approval
    text = words(tool, decision)
    if handle is None:
        return Denied(text, reasons=decision.reasons, admission=admission)
    return ApprovalRequired(
        f"{text}\nIt waits for approval {handle} (remit approvals show {handle}). Once that is "
        "given, make the same call again; it runs once.",
        approval=handle,
        reasons=decision.reasons,
        admission=admission,
    )


def withheld(tool: str, settlement: Settlement) -> Withheld:
    """The exception for a result that may not be shown."""
    decision = settlement.decision
    return Withheld(words(tool, decision), reasons=decision.reasons)
