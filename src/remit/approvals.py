"""Approvals: every state and every transition of one, in this file.

    pending ──approve (quorum reached)──> approved ──use──> used
       │ │ └──reject──> rejected              │
       │ └────withdraw──> withdrawn <─────────┘ withdraw
       └──────expire──> expired <─────────────┘ expire

An approval is bound to the digest of exactly one request (principal chain, tool, full arguments,
tool schema, policy revision) and is used at most once. Everything here is pure: the time is an
argument and each transition returns a new ``Approval``.
"""

from __future__ import annotations

import enum

from msgspec import Struct

from remit.model import (
    ApprovalId,
    ApprovalTerms,
    Digest,
    Principal,
    Revision,
    SessionId,
)


class ApprovalState(enum.Enum):
    """Where an approval stands. ``PENDING`` and ``APPROVED`` are open, the others are final."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    USED = "used"
    WITHDRAWN = "withdrawn"


class Vote(Struct, frozen=True, kw_only=True):
    """One person's yes. A single no rejects."""

    by: Principal
    at: int
    reason: str = ""


class Approval(Struct, frozen=True, kw_only=True):
    """A held request and what people have said of it so far."""

    id: ApprovalId
    digest: Digest
    revision: Revision
    session: SessionId
    requester: Principal
    tool: str
    arguments: bytes
    """Canonical JSON of the full arguments, for the people who decide."""
    rules: tuple[str, ...]
    because: str
    terms: tuple[ApprovalTerms, ...]
    created_at: int
    expires_at: int
    state: ApprovalState = ApprovalState.PENDING
    votes: tuple[Vote, ...] = ()
    closed_by: str | None = None
    closed_at: int | None = None
    reason: str = ""
