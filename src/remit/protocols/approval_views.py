"""Approvals and stops as the server shows them: over HTTP, in streams and to webhooks.

Times are nanoseconds since the Unix epoch.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from remit.approvals import Approval, ApprovalState, state_at
from remit.model import ApprovalId, Digest, Revision, SessionId
from remit.stops import FirstRefusal, Scope, Stop, StopId


class ActorView(Struct, frozen=True, kw_only=True):
    """One link of the chain of who acts on whose behalf."""

    id: str
    kind: Literal["agent", "person", "service"]
    roles: tuple[str, ...]
    team: str | None


class TermsView(Struct, frozen=True, kw_only=True):
    """Who may approve, and how many of them it takes."""

    approvers: tuple[str, ...]
    """People, roles and teams; empty: any person who is not part of the request."""
    quorum: int
    self_approval: bool


class VoteView(Struct, frozen=True, kw_only=True):
    """One person's yes."""

    by: str
    at: int
    reason: str


class ApprovalDetails(Struct, frozen=True, kw_only=True):
    """What only people see who may decide or audit."""

    requester: tuple[ActorView, ...]
    """Who acts, then each one on whose behalf."""
    arguments: Any
    """The whole arguments; null where they were erased."""
    erased: bool
    terms: tuple[TermsView, ...]
    votes: tuple[VoteView, ...]
    digest: Digest
    revision: Revision


class ApprovalView(Struct, frozen=True, kw_only=True):
    """A held call and where it stands."""

    id: ApprovalId
    state: ApprovalState
    tool: str
    session: SessionId
    rules: tuple[str, ...]
    because: str
    created_at: int
    expires_at: int
    closed_at: int | None
    closed_by: str | None
    reason: str
    """What whoever closed it gave as the reason."""
    details: ApprovalDetails | None
    """Null for agents."""


class StopView(Struct, frozen=True, kw_only=True):
    """A stop in force."""

    id: StopId
    scope: Scope
    value: str
    reason: str
    by: str
    at: int


class StopSet(Struct, frozen=True, kw_only=True):
    """A stop that holds from now on."""

    stop: StopView
    position: int
    """Of its record in the log."""
    closed: tuple[ApprovalId, ...]
    """Approvals in its scope: rejected while they were pending, withdrawn once approved."""


class StopSeen(Struct, frozen=True, kw_only=True):
    """A stop, and the first call that it refused."""

    stop: StopView
    first_refusal: FirstRefusal | None


def approval_view(approval: Approval, now: int, *, details: bool) -> ApprovalView:
    """An approval as it stands at ``now``."""
    return ApprovalView(
        id=approval.id,
        state=state_at(approval, now),
        tool=approval.tool,
        session=approval.session,
        rules=approval.rules,
        because=approval.because,
        created_at=approval.created_at,
        expires_at=approval.expires_at,
        closed_at=approval.closed_at,
        closed_by=approval.closed_by,
        reason=approval.reason,
        details=_details(approval) if details else None,
    )


def stop_view(stop: Stop) -> StopView:
    """A stop."""
    return StopView(
        id=stop.id, scope=stop.scope, value=stop.value, reason=stop.reason, by=stop.by, at=stop.at
    )


def _details(approval: Approval) -> ApprovalDetails:
    return ApprovalDetails(
        requester=tuple(
            ActorView(id=link.id, kind=link.kind, roles=link.roles, team=link.team)
            for link in approval.requester.chain()
        ),
        # As they are stored: canonical JSON, in which integers may have any size.
        arguments=msgspec.Raw(approval.arguments) if approval.arguments else None,
        erased=not approval.arguments,
        terms=tuple(
            TermsView(
                approvers=terms.approvers, quorum=terms.quorum, self_approval=terms.self_approval
            )
            for terms in approval.terms
        ),
        votes=tuple(
            VoteView(by=vote.by.id, at=vote.at, reason=vote.reason) for vote in approval.votes
        ),
        digest=approval.digest,
        revision=approval.revision,
    )
