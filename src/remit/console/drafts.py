"""A draft of the policy: its faults by line, and what it would have made of recorded traffic."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct

from remit.audit.record import parse_record
from remit.console import decisions
from remit.console.why import principal_of
from remit.errors import PolicyError
from remit.model import (
    AccessRequest,
    Action,
    Facts,
    Fault,
    Revision,
    Session,
    SessionId,
)
from remit.policy import PolicySet, decide, load
from remit.policy.bundle import unpack
from remit.storage import LoggedRecord, Snapshot

REPLAYED = 1_000
"""Decisions that a draft is tried on, the newest ones whose arguments are kept."""
_SCANNED = 20_000
_REMEMBERED = 200_000
_POLICY = b'"kind":"policy"'
_DECISION = b'"kind":"decision"'


class PublishedRevision(Struct, frozen=True, kw_only=True):
    """A policy that was in force from some time on."""

    position: int
    at: int
    revision: Revision
    mode: str
    by: str
    kept: bool
    """Whether its documents are still there."""


class Difference(Struct, frozen=True, kw_only=True):
    """A recorded call on which a draft would decide otherwise."""

    position: int
    at: int
    agent: str
    tool: str
    preview: str
    was: str
    would: str
    rule: str


class Effects(Struct, frozen=True, kw_only=True):
    """What a draft would change in what was recorded."""

    tried: int
    denied: tuple[Difference, ...]
    held: tuple[Difference, ...]
    allowed: tuple[Difference, ...]


class DiffLine(Struct, frozen=True):
    """A line of a comparison."""

    kind: str
    """``add``, ``cut``, ``same`` or ``file``."""
    text: str


def checked(documents: Mapping[str, str]) -> tuple[PolicySet | None, tuple[Fault, ...]]:
    """The policy that documents make, or what is wrong with them."""
    try:
        policies = load(dict(documents))
    except PolicyError as error:
        return None, tuple(error.faults)
    return policies, policies.warnings


def effects(view: Snapshot, draft: PolicySet) -> Effects:
    """Decide again on recorded calls, by the draft.

    Policy alone is asked: not budgets, limits, approvals or stops, and no context, which is not
    recorded. Labels are those that the session carries now.
    """
    found: dict[str, list[Difference]] = {"deny": [], "ask": [], "defer": [], "allow": []}
    tried = 0
    for kept in _newest_decisions(view):
        if tried >= REPLAYED:
            break
        difference = _tried(view, kept, draft)
        if difference is not None:
            tried += 1
            if difference.was != difference.would:
                found[difference.would].append(difference)
    return Effects(
        tried=tried,
        denied=tuple(found["deny"]),
        held=tuple(found["ask"] + found["defer"]),
        allowed=tuple(found["allow"]),
    )


def revisions(view: Snapshot, limit: int = 50) -> list[PublishedRevision]:
    """The policies that were in force, the newest first."""
    found: list[PublishedRevision] = []
    size = view.log_size()
    for kept in view.records(max(0, size - _REMEMBERED), size):
        if _POLICY not in kept.body:
            continue
        record = parse_record(kept.body)
        revision = Revision(record.revision or "")
        if found and found[-1].revision == revision:
            continue  # the server was started anew
        found.append(
            PublishedRevision(
                position=kept.position,
                at=kept.at,
                revision=revision,
                mode=record.mode or "",
                by=record.principal[0].id if record.principal else "",
                kept=view.document(revision) is not None,
            )
        )
    return found[: -limit - 1 : -1]


def documents_of(view: Snapshot, revision: str) -> Mapping[str, str] | None:
    """The documents of a revision, as long as they are kept."""
    bundle = view.document(Revision(revision))
    return None if bundle is None else unpack(bundle)


def compared(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[DiffLine]:
    """Where two sets of documents differ, with three lines around."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, ""), after.get(name, "")
        if old == new:
            continue
        yield DiffLine("file", name)
        for text in difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=3):
            if not text.startswith(("---", "+++")):
                kind = {"+": "add", "-": "cut", "@": "file"}.get(text[0], "same")
                yield DiffLine(kind, text)


def _newest_decisions(view: Snapshot) -> Iterator[LoggedRecord]:
    size = view.log_size()
    kept = [each for each in view.records(max(0, size - _SCANNED), size) if _DECISION in each.body]
    return reversed(kept)


def _tried(view: Snapshot, kept: LoggedRecord, draft: PolicySet) -> Difference | None:
    """What a draft says of one recorded call; None where too little of it was kept."""
    record = parse_record(kept.body)
    given = decisions.arguments(view, kept.position)
    recorded = principal_of(record.principal)
    if recorded is None or not isinstance(given, Mapping) or record.tool is None:
        return None
    stored = view.session(SessionId(record.session or ""))
    # Who acts has the roles that the draft gives them.
    user = recorded.user
    principal = draft.principal(recorded.id, user=None if user is None else user.id)
    session = Session(
        id=SessionId(record.session or ""),
        principal=principal,
        started_at=kept.at if stored is None else stored.started_at,
        labels=() if stored is None else stored.labels,
        calls={} if stored is None else stored.calls,
    )
    request = AccessRequest(
        principal=principal,
        session=session.id,
        action=Action(name=record.tool),
        arguments=given,
    )
    decision = decide(draft, request, Facts(now=kept.at, session=session))
    rule = next((each.rule for each in decision.reasons if each.effect is decision.effect), "")
    return Difference(
        position=kept.position,
        at=kept.at,
        agent=recorded.id,
        tool=record.tool,
        preview=msgspec.json.encode(given)[:600].decode("utf-8", "replace"),
        was=record.effect or "",
        would=decision.effect.value,
        rule=rule,
    )
