"""What an agent is told when its call does not run: what happened, why, where, what to do next."""

from __future__ import annotations

from remit.errors import ApprovalRequired, Denied, Refused, Withheld
from remit.model import Admission, Effect, Reason, Settlement


def refusal(tool: str, admission: Admission, explanation: str | None) -> Refused:
    """The exception for an admission that was not granted.

    Args:
        tool: the tool's name.
        admission: the governor's answer.
        explanation: the text of ``policy.explain``, which also shows values; None when the
            decision came from state that policy does not see.
    """
    decision = admission.decision
    text = explanation or _words(tool, decision.reasons)
    if admission.approval is not None and decision.effect in (Effect.ASK, Effect.DEFER):
        handle = admission.approval
        return ApprovalRequired(
            f"{text}\nIt waits for approval {handle} (remit approvals show {handle}). Once it is "
            "approved, make the same call again; it runs once.",
            approval=handle,
            reasons=decision.reasons,
            admission=admission,
        )
    return Denied(text, reasons=decision.reasons, admission=admission)


def withheld(tool: str, settlement: Settlement) -> Withheld:
    """The exception for a result that may not be shown."""
    reasons = settlement.decision.reasons
    return Withheld(
        f"{tool} ran and its outcome is recorded, but its result is withheld.\n{_lines(reasons)}",
        reasons=reasons,
    )


def _words(tool: str, reasons: tuple[Reason, ...]) -> str:
    return f"{tool} was not run.\n{_lines(reasons)}"


def _lines(reasons: tuple[Reason, ...]) -> str:
    return "\n".join(_line(reason) for reason in reasons if reason.effect is not Effect.ALLOW)


def _line(reason: Reason) -> str:
    place = f" ({reason.at})" if reason.at is not None else ""
    parts = [f"{reason.effect.value} by {reason.rule}{place}", reason.because, reason.instead]
    return ": ".join([parts[0], " ".join(part for part in parts[1:] if part)]).rstrip(": ")
