"""What a reviewer has to see of a held call: all of it, what came before, and who is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from remit import canonical, standing
from remit.approvals import OPEN, Approval, ApprovalState, state_at
from remit.console import decisions, showing
from remit.console.decisions import FeedRow, Wanted, newest
from remit.console.tree import Labelled, labels_of
from remit.errors import InvalidArgument
from remit.model import Principal, Session, SessionId
from remit.storage import Snapshot

PRIOR = 8
"""Calls of the session that are shown before the held one."""
HASTY = 10_000_000_000
"""Nanoseconds: a yes within ten seconds of the question was hardly thought over."""
_LOOKED_AT = 2_000
_SIMILAR = 2_000
_COMPARED = 500


class Change(Struct, frozen=True, kw_only=True):
    """One place in which two calls differ."""

    path: str
    before: str | None
    """None: it was not there."""
    after: str | None


class HeldCall(Struct, frozen=True, kw_only=True):
    """A held call, and everything around it."""

    approval: Approval
    state: ApprovalState
    arguments: Any
    session: Session | None
    labels: tuple[Labelled, ...]
    prior: tuple[FeedRow, ...]
    decision: int | None
    """Position of the record that holds it."""
    takes: int
    """The most that it costs, in nano-dollars; 0 where nobody said."""
    similar: FeedRow | None
    changes: tuple[Change, ...]
    past: int
    """Calls like it (same agent, tool and shape) that the end of the log has seen run."""
    twins: tuple[Approval, ...]
    """Other pending approvals of identical shape."""


class Reviewer(Struct, frozen=True, kw_only=True):
    """How somebody has decided so far."""

    name: str
    decided: int
    approved: int
    hasty: int
    """Yes within ten seconds."""
    median: int
    """Nanoseconds from question to answer."""


class Coverage(Struct, frozen=True, kw_only=True):
    """What a standing approval would have covered."""

    looked: int
    """Calls of the same agent and tool that were looked at, the newest ones."""
    matched: tuple[FeedRow, ...]
    """Those of them that fit."""


def coverage(
    view: Snapshot, approval: Approval, fits: Mapping[str, str], session: SessionId | None
) -> Coverage:
    """The past calls that would fit, had the standing approval been in force."""
    given = arguments_of(approval)
    exact = standing.exactly(given if isinstance(given, Mapping) else {}, fits)
    wanted = Wanted(agent=approval.requester.id, tool=approval.tool, session=session or "")
    looked, matched = 0, []
    for row in newest(view, wanted, _COMPARED).rows:
        if row.tool != approval.tool or row.agent != approval.requester.id:
            continue
        there = decisions.arguments(view, row.position)
        looked += 1
        if isinstance(there, Mapping) and standing.covers_arguments(fits, exact, there):
            matched.append(row)
    return Coverage(looked=looked, matched=tuple(matched))


def open_ones(view: Snapshot, now: int, limit: int = 200) -> list[Approval]:
    """What waits for people, the one that ends first first; then what waits for its call."""
    found = [each for each in view.approvals(OPEN, limit) if state_at(each, now) in OPEN]
    return sorted(
        found, key=lambda each: (each.state is not ApprovalState.PENDING, each.expires_at)
    )


def held(view: Snapshot, approval: Approval, now: int) -> HeldCall:
    """One of them, with what a person has to know to decide."""
    given = arguments_of(approval)
    session = view.session(approval.session)
    rows = newest(view, Wanted(session=approval.session), 50).rows
    own = next((each for each in reversed(rows) if each.approval == approval.id), None)
    last = rows[0].position + 1 if rows and own is None else 0 if own is None else own.position
    similar, before, past = _similar(view, approval, given)
    return HeldCall(
        approval=approval,
        state=state_at(approval, now),
        arguments=given,
        session=session,
        labels=tuple(labels_of(view, approval.session)),
        prior=tuple(each for each in rows if each.position < last)[:PRIOR],
        decision=None if own is None else own.position,
        takes=0 if own is None else _takes(view, own.position),
        similar=similar,
        changes=tuple(changes(before, given)) if similar is not None else (),
        past=past,
        twins=tuple(
            each
            for each in open_ones(view, now)
            if each.id != approval.id
            and each.state is ApprovalState.PENDING
            and shape(each) == shape(approval)
        ),
    )


def arguments_of(approval: Approval) -> Any:
    """The arguments of a held call; None where they were erased."""
    if not approval.arguments:
        return None
    try:
        return canonical.parse(approval.arguments)
    except InvalidArgument:
        return None


def shape(approval: Approval) -> str:
    """What calls have in common that may be decided together.

    Who asks, which tool, under which rules, policy and terms, and every argument but the texts and
    numbers in it.
    """
    who = [f"{link.kind} {link.id}" for link in approval.requester.chain()]
    outline = _outline(arguments_of(approval))
    whole = [who, approval.tool, approval.rules, approval.revision, str(approval.terms), outline]
    return hashlib.sha256(msgspec.json.encode(whole)).hexdigest()


def reviewers(view: Snapshot, now: int) -> list[Reviewer]:
    """How people have decided lately, those who say yes fastest first."""
    answers: dict[str, list[tuple[bool, int]]] = {}
    for each in view.approvals(tuple(ApprovalState), _LOOKED_AT):
        for vote in each.votes:
            answers.setdefault(vote.by.id, []).append((True, vote.at - each.created_at))
        if state_at(each, now) is ApprovalState.REJECTED and each.closed_by and each.closed_at:
            answers.setdefault(each.closed_by, []).append((False, each.closed_at - each.created_at))
    found = [_reviewer(name, given) for name, given in answers.items()]
    return sorted(found, key=lambda each: (-each.hasty / each.decided, each.name))


def may_decide(approval: Approval, who: Principal) -> str | None:
    """Why somebody cannot say yes, as far as it can be told beforehand; None: they can.

    The governor decides; this only explains a button that would not help.
    """
    if any(link.id == who.id for link in approval.requester.chain()) and not all(
        terms.self_approval for terms in approval.terms
    ):
        return "You are part of this request: somebody else has to approve it."
    if any(vote.by.id == who.id for vote in approval.votes):
        return "You have approved it. It takes another person."
    return None


def changes(before: Any, after: Any) -> Iterable[Change]:
    """Where two calls differ, by path."""
    old, new = dict(_leaves(before, "")), dict(_leaves(after, ""))
    for path in sorted(old.keys() | new.keys()):
        if old.get(path) != new.get(path):
            yield Change(path=path or "(all)", before=old.get(path), after=new.get(path))


def _reviewer(name: str, given: Sequence[tuple[bool, int]]) -> Reviewer:
    times = sorted(took for _, took in given)
    return Reviewer(
        name=name,
        decided=len(given),
        approved=sum(yes for yes, _ in given),
        hasty=sum(yes and took < HASTY for yes, took in given),
        median=times[len(times) // 2],
    )


def _takes(view: Snapshot, position: int) -> int:
    for kept in view.records(position, position + 1):
        return msgspec.json.decode(kept.body, type=_Takes).takes.nano_usd
    return 0


class _Usage(Struct, frozen=True):
    nano_usd: int = 0


class _Takes(Struct, frozen=True):
    takes: _Usage = _Usage()


def _similar(view: Snapshot, approval: Approval, given: Any) -> tuple[FeedRow | None, Any, int]:
    """The last call like it that ran, its arguments, and how many there were."""
    outline = _outline(given)
    wanted = Wanted(agent=approval.requester.id, tool=approval.tool)
    nearest: FeedRow | None = None
    before: Any = None
    count = 0
    for row in newest(view, wanted, _SIMILAR).rows:
        if row.granted and row.tool == approval.tool and row.agent == approval.requester.id:
            there = decisions.arguments(view, row.position) if count < 200 else None
            if nearest is None:
                nearest, before = row, there
            count += there is not None and _outline(there) == outline
    return nearest, before, count


def _outline(value: Any) -> Any:
    """A value without its texts and numbers."""
    if isinstance(value, Mapping):
        return {name: _outline(value[name]) for name in sorted(value)}
    if isinstance(value, list | tuple):
        return ["list", *sorted({msgspec.json.encode(_outline(each)).decode() for each in value})]
    return type(value).__name__


def _leaves(value: Any, path: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _leaves(each, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple) and value:
        for number, each in enumerate(value):
            yield from _leaves(each, f"{path}[{number}]")
    else:
        yield path, value if isinstance(value, str) else showing.pretty(value)
