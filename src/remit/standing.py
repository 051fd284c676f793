"""Standing approvals: a person's yes to calls that are yet to come, as narrow as they made it.

A standing approval never stands in for the rules of approvals. When a call is held, an approval of
its own is made for it as ever, and the standing ones that cover it vote on that, each as the person
who gave it; quorum, approvers and self-approval hold as if they had clicked. So the log has one
approval for each call, with who said yes to it. No I/O of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from remit import approvals, canonical, ledger, text
from remit.approvals import Approval, ApprovalState
from remit.audit.record import Record
from remit.errors import ApprovalError, InvalidArgument
from remit.journal import Journal
from remit.model import ApprovalId, ApprovalTerms, Principal, Revision, SessionId
from remit.storage import Snapshot

MEMORY = "standing-approvals"
MOST = 100
"""Standing approvals in force at a time: every held call is held against each of them."""
LONGEST = 24 * 3_600_000_000_000
"""Nanoseconds for which one holds at most."""
MAX_PATTERN = 200
"""Characters of a pattern."""


class StandingApproval(Struct, frozen=True, kw_only=True):
    """A yes to every call that fits: same requester, tool, rules, terms and policy, and arguments.

    ``fits`` has a pattern for every argument, ``*`` standing for any run of characters; a call
    with another argument, or without one of these, is not covered. ``exact`` has the digests of
    those that must stay as they were.
    """

    id: str
    by: Principal
    given_with: ApprovalId
    requester: tuple[tuple[str, str], ...]
    tool: str
    rules: tuple[str, ...]
    terms: tuple[ApprovalTerms, ...]
    revision: Revision
    session: SessionId | None
    """None: any session."""
    until: int
    fits: Mapping[str, str]
    exact: Mapping[str, str]
    at: int


class StandingVote(Struct, frozen=True, kw_only=True):
    """The vote of a standing approval: the approval as it then stands."""

    approval: Approval
    by: Principal
    reason: str


def in_force(view: Snapshot, now: int) -> tuple[StandingApproval, ...]:
    """Those that have not ended."""
    body = view.memory(MEMORY)
    if body is None:
        return ()
    kept = msgspec.json.decode(body, type=tuple[StandingApproval, ...])
    return tuple(each for each in kept if now < each.until)


def votes(journal: Journal, asked: Approval) -> tuple[StandingVote, ...]:
    """The votes that standing approvals cast on a new approval; none of them is stored yet."""
    found: list[StandingVote] = []
    current = asked
    for each in in_force(journal.t, journal.now):
        if current.state is not ApprovalState.PENDING or not covers(each, current, journal.now):
            continue
        reason = f"standing approval {each.id}, given with {each.given_with}"
        try:
            current = approvals.approve(current, each.by, journal.now, each.revision, reason)
        except ApprovalError:
            continue  # its giver cannot say yes to this one, or has done so
        found.append(StandingVote(approval=current, by=each.by, reason=reason))
    return tuple(found)


def give(
    journal: Journal,
    approval: Approval,
    by: Principal,
    *,
    fits: Mapping[str, str],
    until: int,
    session: SessionId | None,
) -> StandingApproval:
    """Say yes to calls like one that ``by`` has just approved.

    Args:
        journal: the transaction.
        approval: the held call, approved by ``by`` or still waiting for others.
        by: who says so.
        fits: a pattern for arguments that may be otherwise; the others stay as they are.
        until: when it ends, nanoseconds since the Unix epoch.
        session: the only session that it holds in; None: any.

    Raises:
        ApprovalError: ``by`` did not approve it, it would hold too long, or a pattern is none.
    """
    arguments = _arguments(approval)
    if not any(vote.by.id == by.id for vote in approval.votes):
        raise ApprovalError(f"{by.id} has to approve {approval.id} before approving calls like it")
    if not journal.now < until <= journal.now + LONGEST:
        raise ApprovalError("a standing approval ends within a day; give a time before that")
    unknown = fits.keys() - arguments.keys()
    if unknown:
        raise ApprovalError(f"the call has no argument {min(unknown)!r}")
    if any(len(pattern) > MAX_PATTERN for pattern in fits.values()):
        raise ApprovalError(f"a pattern has at most {MAX_PATTERN} characters")
    standing = in_force(journal.t, journal.now)
    if len(standing) >= MOST:
        raise ApprovalError(f"{MOST} standing approvals are in force; take some back first")
    made = StandingApproval(
        id=journal.new_id("sa"),
        by=by,
        given_with=approval.id,
        requester=_chain(approval.requester),
        tool=approval.tool,
        rules=approval.rules,
        terms=approval.terms,
        revision=approval.revision,
        session=session,
        until=until,
        fits=dict(fits),
        exact=exactly(arguments, fits),
        at=journal.now,
    )
    _keep(journal, (*standing, made))
    _record(journal, made, by, "standing")
    return made


def take_back(journal: Journal, standing_id: str, by: Principal) -> StandingApproval:
    """End a standing approval; what it has approved already stays as it is.

    Raises:
        ApprovalError: there is none.
    """
    standing = in_force(journal.t, journal.now)
    found = next((each for each in standing if each.id == standing_id), None)
    if found is None:
        raise ApprovalError("there is no such standing approval in force")
    _keep(journal, tuple(each for each in standing if each is not found))
    _record(journal, found, by, "standing-ended")
    return found


def covers(standing: StandingApproval, approval: Approval, now: int) -> bool:
    """Whether it speaks of a held call."""
    return (
        now < standing.until
        and standing.revision == approval.revision
        and standing.rules == approval.rules
        and standing.terms == approval.terms
        and standing.tool == approval.tool
        and standing.session in (None, approval.session)
        and standing.requester == _chain(approval.requester)
        and covers_arguments(standing.fits, standing.exact, _arguments(approval))
    )


def covers_arguments(
    fits: Mapping[str, str], exact: Mapping[str, str], arguments: Mapping[str, Any]
) -> bool:
    """Whether arguments fit: each of those that are named, and no others."""
    if arguments.keys() != fits.keys() | exact.keys():
        return False
    fitting = all(text.matches(fits[name], shown(arguments[name])) for name in fits)
    return fitting and all(_digest(arguments[name]) == exact[name] for name in exact)


def exactly(arguments: Mapping[str, Any], but: Mapping[str, str]) -> dict[str, str]:
    """What ``covers_arguments`` takes as ``exact`` for all arguments that have no pattern."""
    return {name: _digest(value) for name, value in arguments.items() if name not in but}


def shown(value: Any) -> str:
    """An argument as patterns see it: a text as it is, anything else as canonical JSON."""
    return value if isinstance(value, str) else canonical.encode(value).decode()


def _keep(journal: Journal, standing: tuple[StandingApproval, ...]) -> None:
    journal.t.put_memory(MEMORY, msgspec.json.encode(standing))


def _record(journal: Journal, made: StandingApproval, by: Principal, status: str) -> None:
    """Record what was said yes to; the patterns lie beside the log, and can be erased."""
    args, values = journal.seal({"fits": dict(made.fits), "exact": sorted(made.exact)})
    journal.append(
        Record(
            approval=made.given_with,
            args=args,
            at=journal.now // 1000,
            kind="approval",
            note=f"{made.id} until {made.until // 1000}",
            principal=ledger.chain(by),
            revision=made.revision,
            session=made.session,
            status=status,
            tool=made.tool,
        ),
        values,
    )


def _chain(requester: Principal) -> tuple[tuple[str, str], ...]:
    return tuple((link.kind, link.id) for link in requester.chain())


def _arguments(approval: Approval) -> Mapping[str, Any]:
    try:
        found = canonical.parse(approval.arguments)
    except InvalidArgument:
        return {}  # erased
    return found if isinstance(found, dict) else {}


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical.encode(value)).hexdigest()
