"""The guard: where the decisions of a policy are enforced on Python code."""

from remit.guard.calls import Caller
from remit.guard.enforcement import Enforcement
from remit.guard.facade import Guard
from remit.guard.opening import KEY_FILE, STORE_FILE, beside, read_documents
from remit.guard.permits import AsyncPermit, Permit
from remit.guard.scope import SessionScope
from remit.guard.seam import Cleared, Seam, Shape, Stopped, TextShape
from remit.guard.tripwire import is_tripwired, tripwired

__all__ = [
    "KEY_FILE",
    "STORE_FILE",
    "AsyncPermit",
    "Caller",
    "Cleared",
    "Enforcement",
    "Guard",
    "Permit",
    "Seam",
    "SessionScope",
    "Shape",
    "Stopped",
    "TextShape",
    "beside",
    "is_tripwired",
    "read_documents",
    "tripwired",
]
