"""Remit: runtime governance for AI agents.

    from remit import Guard, Denied, ApprovalRequired

Everything that a governed program needs is here; the rest of the package is reached by module.
"""

from remit.errors import (
    ApprovalError,
    ApprovalRequired,
    AuditError,
    ConfigError,
    Denied,
    InvalidArgument,
    InvalidRequest,
    OutcomeNotRecorded,
    PolicyError,
    Refused,
    RemitError,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreTooNew,
    Unavailable,
    Withheld,
)
from remit.guard import AsyncPermit, Guard, Permit, SessionScope
from remit.model import Admission, ApprovalId, Effect, Fault, Location, Mode, Reason, SessionId

__version__ = "0.1.0"

__all__ = [
    "Admission",
    "ApprovalError",
    "ApprovalId",
    "ApprovalRequired",
    "AsyncPermit",
    "AuditError",
    "ConfigError",
    "Denied",
    "Effect",
    "Fault",
    "Guard",
    "InvalidArgument",
    "InvalidRequest",
    "Location",
    "Mode",
    "OutcomeNotRecorded",
    "Permit",
    "PolicyError",
    "Reason",
    "Refused",
    "RemitError",
    "SessionId",
    "SessionScope",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoreReadOnly",
    "StoreTooNew",
    "Unavailable",
    "Withheld",
    "__version__",
]
