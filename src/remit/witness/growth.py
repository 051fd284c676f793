"""Whether a log has only grown since a checkpoint that was kept."""

from __future__ import annotations

from remit.audit.checkpoint import Checkpoint
from remit.audit.merkle import verify_consistency
from remit.errors import AuditError
from remit.witness.remote import RemoteLog


def check_growth(log: RemoteLog, kept: Checkpoint, shown: Checkpoint) -> None:
    """Check that the log of ``shown`` begins with that of ``kept``. Both are verified already.

    Raises:
        AuditError: it does not: records were deleted or changed, or somebody is shown another log.
        Unavailable: the server does not give the proof.
    """
    if kept.origin != shown.origin:
        raise AuditError(f"the log is {shown.origin!r} now, but was {kept.origin!r}")
    if shown.size < kept.size:
        raise AuditError(
            f"rollback: the log had {kept.size} records and shows {shown.size}; records were "
            "deleted, or an old copy of it is shown"
        )
    if kept.size == 0:
        return
    proof = [] if kept.size == shown.size else log.consistency(kept.size, shown.size)
    try:
        verify_consistency(kept.size, shown.size, kept.root, shown.root, proof)
    except AuditError as error:
        raise AuditError(f"fork: {error}") from None
