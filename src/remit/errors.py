"""Every exception that Remit raises.

    RemitError
    ├── PolicyError            a policy document is faulty; nothing was loaded
    ├── ConfigError            a setting, a file or a key is missing or wrong
    ├── InvalidRequest         a request that cannot be decided: it was not run
    │   └── InvalidArgument    an argument that is not JSON, too large or too deep
    ├── Refused                policy or state said no (or not yet): it was not run
    │   ├── Denied             it may not run
    │   ├── ApprovalRequired   a person must approve it; carries the handle
    │   └── Unavailable        the governor or its store did not answer
    ├── ObligationError        an obligation of an allow cannot be carried out
    ├── Withheld               it ran, but its result may not be shown
    ├── OutcomeNotRecorded     it ran, but its outcome could not be written; carries the result
    ├── SettlementError        this outcome does not belong to that admission
    ├── ApprovalError          an approval cannot make this transition
    ├── AuthenticationError    the caller did not prove who it is
    ├── MalformedReply         a model API answered what cannot be read; none of it was passed on
    ├── StoreError             the store failed; nothing was acknowledged
    │   ├── StoreLocked        another process holds it for too long
    │   ├── StoreFull          no room on the disk
    │   ├── StoreReadOnly      it cannot be written
    │   ├── StoreTooNew        it was written by a newer Remit
    │   └── StoreCorrupt       it does not hold together
    └── AuditError             a log, a proof or a signature does not verify

Every message says what happened and what to do next. Errors that stop an action are raised
before it runs, with two exceptions that say so: ``Withheld`` and ``OutcomeNotRecorded``.
"""

# Errors are named after what happened (Denied, Withheld), as a reader of a traceback needs it.
# ruff: noqa: N818

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from remit.model import Admission, ApprovalId, Fault, Reason


class RemitError(Exception):
    """Root of all errors that Remit raises on purpose."""


class PolicyError(RemitError):
    """One or more policy documents are faulty. Nothing was loaded; all faults are listed."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        head = "1 fault in the policy" if count == 1 else f"{count} faults in the policy"
        super().__init__("\n".join([f"{head}; nothing was loaded.", *map(str, self.faults)]))


class ConfigError(RemitError):
    """A setting, a file or a key that Remit needs is missing or wrong."""


class InvalidRequest(RemitError):
    """The request cannot be decided, so it was not run."""


class InvalidArgument(InvalidRequest):
    """An argument that cannot be put before policy. ``where`` names it, e.g. ``args.rows[3]``."""

    def __init__(self, where: str, problem: str) -> None:
        self.where = where
        self.problem = problem
        super().__init__(f"{where}: {problem}")


class Refused(RemitError):
    """The action was not run. ``reasons`` says why, strictest first."""

    def __init__(
        self, message: str, *, reasons: Sequence[Reason] = (), admission: Admission | None = None
    ) -> None:
        self.reasons = tuple(reasons)
        self.admission = admission
        super().__init__(message)


class Denied(Refused):
    """The action may not run."""


class ApprovalRequired(Refused):
    """A person must approve the action first.

    ``approval`` is the handle; the same call made again after approval runs once.
    """

    def __init__(
        self,
        message: str,
        *,
        approval: ApprovalId,
        reasons: Sequence[Reason] = (),
        admission: Admission | None = None,
    ) -> None:
        self.approval = approval
        super().__init__(message, reasons=reasons, admission=admission)


class Unavailable(Refused):
    """The governor or its store did not answer, so the action was not run."""


class Withheld(RemitError):
    """The action ran and its outcome is recorded, but policy withholds the result."""

    def __init__(self, message: str, *, reasons: Sequence[Reason] = ()) -> None:
        self.reasons = tuple(reasons)
        super().__init__(message)


class OutcomeNotRecorded(RemitError):
    """The action HAS RUN, but its outcome could not be recorded.

    ``result`` (or ``error``) is for the host program, not for the model. The session admits
    nothing more until the outcome is recorded.
    """

    def __init__(
        self, message: str, *, result: Any = None, error: BaseException | None = None
    ) -> None:
        self.result = result
        self.error = error
        super().__init__(message)


class SettlementError(RemitError):
    """The outcome cannot be recorded: no such action, settled before, or another request."""


class ObligationError(RemitError):
    """An obligation cannot be carried out, so what it was a condition of does not hold."""


class ApprovalError(RemitError):
    """The approval is not in a state, or the person not in a position, for this step."""


class AuthenticationError(RemitError):
    """The caller did not prove who it is. The message never says how close a secret came.

    ``refresh`` names the token issuer whose keys, fetched anew, might change the answer.
    """

    def __init__(self, message: str, *, refresh: str | None = None) -> None:
        self.refresh = refresh
        super().__init__(message)


class MalformedReply(RemitError):
    """What a model API answered cannot be read, so nobody can say what it asks for.

    ``before`` holds the events of a stream that came before it and are whole.
    """

    def __init__(self, message: str, before: Sequence[Any] = ()) -> None:
        self.before = tuple(before)
        super().__init__(message)


class StoreError(RemitError):
    """The store failed. Nothing that was not acknowledged has happened."""


class StoreLocked(StoreError):
    """Another process holds the store."""


class StoreFull(StoreError):
    """There is no room left for the store."""


class StoreReadOnly(StoreError):
    """The store cannot be written."""


class StoreTooNew(StoreError):
    """The store was written by a newer version of Remit."""


class StoreCorrupt(StoreError):
    """The store does not hold together."""


class AuditError(RemitError):
    """A log, a proof, a checkpoint or a signature does not verify."""
