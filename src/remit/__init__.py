"""Remit: runtime governance for AI agents.

    from remit import Guard, Denied, ApprovalRequired

Everything that a governed program needs is here; the rest of the package is reached by module.
A name is loaded when it is first used, so that a single module (the command line's, a pure layer
under test) can be imported without all others.
"""

from __future__ import annotations

import importlib

# Not imported from typing: that is most of what a short command such as ``remit hook`` would load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from remit.errors import (
        ApprovalError,
        ApprovalRequired,
        AuditError,
        AuthenticationError,
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
    from remit.model import (
        Admission,
        ApprovalId,
        Effect,
        Fault,
        Location,
        Mode,
        Reason,
        SessionId,
        TaskRemit,
    )

__version__ = "0.1.0"

__all__ = [
    "Admission",
    "ApprovalError",
    "ApprovalId",
    "ApprovalRequired",
    "AsyncPermit",
    "AuditError",
    "AuthenticationError",
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
    "TaskRemit",
    "Unavailable",
    "Withheld",
    "__version__",
]

_MODULES = ("remit.errors", "remit.model", "remit.guard")


def __getattr__(name: str) -> object:
    """Load a public name (PEP 562)."""
    if name in __all__:
        for module in _MODULES:
            found: object = getattr(importlib.import_module(module), name, None)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
