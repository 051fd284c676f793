"""What an agent is told when its call does not run: what happened, why, where, what to do next."""

from __future__ import annotations

from remit.errors import ApprovalRequired, Denied, Refused, Withheld
from remit.model import Admission, Settlement
from remit.policy import refusal as words


def refusal_text(tool: str, admission: Admission) -> str:
    """The words for an admission that was not granted."""
    text, handle = words(tool, admission.decision), admission.approval
    if handle is None:
        return text
    return (
        f"{text}\nIt waits for approval {handle} (remit approvals show {handle}). Once that is "
        "given, make the same call again; it runs once."
    )


def refusal(text: str, admission: Admission) -> Refused:
    """The exception for an admission that was not granted."""
    reasons, handle = admission.decision.reasons, admission.approval
    if handle is None:
        return Denied(text, reasons=reasons, admission=admission)
    return ApprovalRequired(text, approval=handle, reasons=reasons, admission=admission)


def withheld_text(tool: str, settlement: Settlement) -> str:
    """The words for a result that may not be shown."""
    return words(tool, settlement.decision)


def withheld(text: str, settlement: Settlement) -> Withheld:
    """The exception for a result that may not be shown."""
    return Withheld(text, reasons=settlement.decision.reasons)
