"""Which answer an error of Remit becomes."""

from __future__ import annotations

from remit.api.frame import Problem
from remit.errors import (
    ApprovalError,
    AuthenticationError,
    InvalidArgument,
    InvalidRequest,
    PolicyError,
    RemitError,
    SettlementError,
    StoreError,
    Unavailable,
)

RETRY_AFTER = 1
"""Seconds after which a client may try again what the server could not do now."""

_KINDS: tuple[tuple[type[RemitError], int, str], ...] = (
    (AuthenticationError, 401, "unauthenticated"),
    (InvalidArgument, 400, "invalid-argument"),
    (InvalidRequest, 400, "invalid-request"),
    (SettlementError, 409, "not-to-be-settled"),
    (ApprovalError, 409, "not-to-be-decided"),
    (PolicyError, 422, "policy-faulty"),
    (StoreError, 503, "store-unavailable"),
    (Unavailable, 503, "unavailable"),
)
"""Status and code by error, the first that fits. Any other error is a fault of the server."""

_STORE_DETAIL = "The store does not answer, so nothing was done. The server's log says why."


def problem_of(error: RemitError) -> Problem | None:
    """The problem to answer with; None when the error is nobody's but the server's."""
    for kind, status, code in _KINDS:
        if isinstance(error, kind):
            # A store's message names files and says how they fail: that is for the log.
            detail = _STORE_DETAIL if isinstance(error, StoreError) else str(error)
            return Problem(status, code, detail, headers=_headers(status))
    return None


def _headers(status: int) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="remit"'}
    if status == 503:
        return {"Retry-After": str(RETRY_AFTER)}
    return {}
