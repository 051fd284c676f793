"""Approvals: every state and every transition of one, in this file.

    pending ──approve (quorum reached)──> approved ──use──> used
       │ │ └──reject, halt──> rejected        │
       │ └────withdraw──> withdrawn <─────────┘ withdraw, halt
       └──────expire──> expired <─────────────┘ expire

An approval is bound to the digest of exactly one request (principal chain, tool, full arguments,
tool schema, policy revision) and is used at most once. Everything here is pure: the time is an
argument and each transition returns a new ``Approval``.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from remit import text
from remit.errors import ApprovalError
from remit.model import (
    ApprovalId,
    ApprovalTerms,
    Decision,
    Digest,
    Principal,
    Reason,
    Revision,
    SessionId,
)

MAX_REASON = 1_000
"""Characters that are kept of what a person gives as the reason."""


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


OPEN = (ApprovalState.PENDING, ApprovalState.APPROVED)
"""The states from which an approval can still move."""


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


def hold(
    approval_id: ApprovalId,
    *,
    decision: Decision,
    digest: Digest,
    session: SessionId,
    requester: Principal,
    tool: str,
    arguments: bytes,
    now: int,
) -> Approval:
    """A new pending approval for a request that ``decision`` asks for or defers."""
    terms = demanded(decision)
    return Approval(
        id=approval_id,
        digest=digest,
        revision=decision.revision,
        session=session,
        requester=requester,
        tool=tool,
        arguments=arguments,
        rules=rules_of(decision),
        because=" ".join(reason.because for reason in _holding(decision) if reason.because),
        terms=terms,
        created_at=now,
        expires_at=now + min(each.expires_after for each in terms),
    )


def demanded(decision: Decision) -> tuple[ApprovalTerms, ...]:
    """The terms of a decision; where its rules set none (a missing fact), the default terms."""
    return decision.terms or (ApprovalTerms(),)


def rules_of(decision: Decision) -> tuple[str, ...]:
    """The ids of the rules that hold the request, in the order of the decision."""
    return tuple(reason.rule for reason in _holding(decision))


def _holding(decision: Decision) -> list[Reason]:
    return [reason for reason in decision.reasons if reason.effect is decision.effect]


def answers(approval: Approval, decision: Decision) -> bool:
    """Whether the approval is for what ``decision`` holds: same revision, rules and terms.

    The same call can be held by other rules on another day (other labels, another context), and
    then needs the people whom those rules name.
    """
    return (
        approval.revision == decision.revision
        and approval.rules == rules_of(decision)
        and approval.terms == demanded(decision)
    )


def state_at(approval: Approval, now: int) -> ApprovalState:
    """The state with the time taken into account: open and past its end is expired."""
    if approval.state in OPEN and now >= approval.expires_at:
        return ApprovalState.EXPIRED
    return approval.state


def approve(
    approval: Approval, by: Principal, now: int, revision: Revision, reason: str = ""
) -> Approval:
    """One person's yes; approved as soon as every term has its quorum.

    A vote counts towards every term that lets this person approve. ``revision`` is the policy in
    force now.

    Raises:
        ApprovalError: it is not pending, not current, or this person cannot approve it (again).
    """
    _require(approval, now, (ApprovalState.PENDING,), "approved")
    _require_current(approval, revision)
    _require_person(approval, by, "approve")
    if not any(_counts(terms, by, approval.requester) for terms in approval.terms):
        raise ApprovalError(_not_entitled(approval, by))
    if text.fold(by.id) in _voters(approval.votes):
        raise ApprovalError(f"{by.id} has approved {approval.id} before; another person must")
    votes = (*approval.votes, Vote(by=by, at=now, reason=reason[:MAX_REASON]))
    if all(_met(terms, votes, approval.requester) for terms in approval.terms):
        return replace(approval, votes=votes, state=ApprovalState.APPROVED)
    return replace(approval, votes=votes)


def reject(approval: Approval, by: Principal, now: int, reason: str = "") -> Approval:
    """One person's no, which is final.

    Raises:
        ApprovalError: it is not pending, or this person is none of its approvers.
    """
    _require(approval, now, (ApprovalState.PENDING,), "rejected")
    _require_person(approval, by, "reject")
    if not any(_named(terms, by) for terms in approval.terms):
        raise ApprovalError(
            f"{by.id} is none of the approvers of {approval.id} ({_approvers(approval)})"
        )
    return _closed(approval, ApprovalState.REJECTED, now, by.id, reason)


def withdraw(approval: Approval, by: Principal, now: int, reason: str = "") -> Approval:
    """Taken back before use: by its requester's side, or by a person who approved it.

    Raises:
        ApprovalError: it is no longer open, or ``by`` is neither.
    """
    _require(approval, now, OPEN, "withdrawn")
    if not _part_of(approval.requester, by) and text.fold(by.id) not in _voters(approval.votes):
        raise ApprovalError(
            f"{approval.id} can be withdrawn by {approval.requester.id}, on whose behalf it acts, "
            f"or by a person who approved it; {by.id} is none of them"
        )
    return _closed(approval, ApprovalState.WITHDRAWN, now, by.id, reason)


def supersede(approval: Approval, now: int, reason: str) -> Approval:
    """Withdrawn by the governor itself: something has made it pointless.

    Raises:
        ApprovalError: it is no longer open.
    """
    _require(approval, now, OPEN, "withdrawn")
    return _closed(approval, ApprovalState.WITHDRAWN, now, None, reason)


def halt(approval: Approval, by: Principal, now: int, reason: str) -> Approval:
    """Closed by the stop switch: rejected while it was pending, withdrawn once approved.

    Its time ends too: the stop refuses the call for as long as it holds, and once it is lifted
    the call may be asked for again.

    Raises:
        ApprovalError: it is no longer open.
    """
    _require(approval, now, OPEN, "stopped")
    pending = approval.state is ApprovalState.PENDING
    state = ApprovalState.REJECTED if pending else ApprovalState.WITHDRAWN
    return _closed(replace(approval, expires_at=now), state, now, by.id, reason)


def expire(approval: Approval, now: int) -> Approval:
    """Expired, once its time has passed; until then, and when it is closed, the same object."""
    if state_at(approval, now) is approval.state:
        return approval
    return _closed(approval, ApprovalState.EXPIRED, now, None, "nobody used it in time")


def use(approval: Approval, now: int, revision: Revision) -> Approval:
    """Used up: its request may run, once.

    Raises:
        ApprovalError: it is not approved, has expired, or was given under another policy.
    """
    _require(approval, now, (ApprovalState.APPROVED,), "used")
    _require_current(approval, revision)
    return _closed(approval, ApprovalState.USED, now, None, "")


def _closed(
    approval: Approval, state: ApprovalState, now: int, by: str | None, reason: str
) -> Approval:
    return replace(approval, state=state, closed_at=now, closed_by=by, reason=reason[:MAX_REASON])


def _require(approval: Approval, now: int, states: Sequence[ApprovalState], what: str) -> None:
    """Refuse unless the approval is in one of ``states`` and its time has not passed."""
    state = state_at(approval, now)
    if state in states:
        return
    advice = {
        ApprovalState.PENDING: "a person must approve it first",
        ApprovalState.APPROVED: "make the call to use it",
    }.get(state, "make the call again to ask anew")
    raise ApprovalError(f"approval {approval.id} is {state.value} and cannot be {what}; {advice}")


def _require_current(approval: Approval, revision: Revision) -> None:
    if approval.revision != revision:
        raise ApprovalError(
            f"the policy has changed since approval {approval.id} was asked for; "
            "make the call again to ask under the policy in force"
        )


def _require_person(approval: Approval, by: Principal, step: str) -> None:
    if by.kind != "person":
        raise ApprovalError(f"{by.id} is a {by.kind}: only a person can {step} {approval.id}")
    if by.known == "unknown":
        raise ApprovalError(
            f"nobody vouches for the identity of {by.id}: declare them under 'people' in the "
            f"policy, or sign in, then {step} {approval.id}"
        )


def _named(terms: ApprovalTerms, by: Principal) -> bool:
    """Whether ``approvers`` lists this person, one of their roles or their team."""
    if not terms.approvers:
        return True
    return any(who in terms.approvers for who in (by.id, by.team, *by.roles))


def _counts(terms: ApprovalTerms, by: Principal, requester: Principal) -> bool:
    """Whether this person's yes counts towards ``terms``."""
    return _named(terms, by) and (terms.self_approval or not _part_of(requester, by))


def _met(terms: ApprovalTerms, votes: Sequence[Vote], requester: Principal) -> bool:
    """Whether enough different people have said yes."""
    people = {text.fold(vote.by.id) for vote in votes if _counts(terms, vote.by, requester)}
    return len(people) >= max(1, terms.quorum)


def _part_of(requester: Principal, who: Principal) -> bool:
    """Whether ``who`` is a link of the requester's chain, however the name is spelt."""
    wanted = text.fold(who.id)
    return any(text.fold(link.id) == wanted for link in requester.chain())


def _voters(votes: Sequence[Vote]) -> set[str]:
    return {text.fold(vote.by.id) for vote in votes}


def _approvers(approval: Approval) -> str:
    names = dict.fromkeys(who for terms in approval.terms for who in terms.approvers)
    return ", ".join(names) or "any person who is no part of the request"


def _not_entitled(approval: Approval, by: Principal) -> str:
    if _part_of(approval.requester, by):
        return (
            f"{by.id} is part of the request {approval.id} and cannot approve it; "
            f"ask another person ({_approvers(approval)})"
        )
    return f"{by.id} is none of the approvers of {approval.id} ({_approvers(approval)})"
