"""The guard: where the decisions of a policy are enforced on Python code."""

from remit.guard.calls import Caller
from remit.guard.enforcement import Enforcement
from remit.guard.facade import Guard
from remit.guard.opening import KEY_FILE, STORE_FILE, beside, read_documents
from remit.guard.permits import AsyncPermit, Permit
from remit.guard.scope import SessionScope

__all__ = [
    "KEY_FILE",
    "STORE_FILE",
    "AsyncPermit",
    "Caller",
    "Enforcement",
    "Guard",
    "Permit",
    "SessionScope",
    "beside",
    "read_documents",
]
