"""Which answer a refusal becomes, for gateways whose clients speak plain HTTP."""

from __future__ import annotations

from remit.api.decoding import encoded
from remit.api.frame import Problem
from remit.api.problems import problem_of
from remit.errors import ApprovalRequired, Denied, OutcomeNotRecorded, RemitError, Withheld
from remit.protocols.http_target import HttpFault

_SECOND = 1_000_000_000


def problem_for(error: Exception, now: int) -> Problem:
    """The problem to answer with.

    Args:
        error: what was raised on the way of a request.
        now: nanoseconds since the Unix epoch.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, HttpFault):
        return Problem(error.status, error.code, error.message, headers={"Connection": "close"})
    if isinstance(error, Denied):
        return _denied(error, now)
    if isinstance(error, ApprovalRequired):
        members = {"approval": error.approval}
        return Problem(403, "approval-required", str(error), members=members)
    if isinstance(error, Withheld):
        return Problem(403, "withheld", str(error))
    if isinstance(error, OutcomeNotRecorded):
        return Problem(503, "outcome-not-recorded", str(error))
    found = problem_of(error) if isinstance(error, RemitError) else None
    return found or Problem(
        500, "internal", "Remit failed, so nothing was sent. Its log says more."
    )


def told(problem: Problem) -> bytes:
    """The body that says what went wrong, as JSON (RFC 9457)."""
    document = problem.document("")
    del document["request_id"]
    return encoded(document)


def _denied(refusal: Denied, now: int) -> Problem:
    """429 where waiting helps, else 403."""
    retry_at = refusal.admission.retry_at if refusal.admission is not None else None
    if retry_at is None:
        return Problem(403, "denied", str(refusal))
    seconds = max(1, -(-(retry_at - now) // _SECOND))
    return Problem(429, "limit", str(refusal), headers={"Retry-After": str(seconds)})
