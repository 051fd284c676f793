"""The family of a session: who delegated to whom, what each did in order, and its labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from remit.audit.record import parse_record
from remit.console import decisions
from remit.console.decisions import FeedRow, Wanted
from remit.model import Session, SessionId
from remit.storage import Snapshot
from remit.switch import lineage

SCANNED = 10_000
"""Records at the end of the log in which delegated sessions are looked for."""
MOST = 50
"""Sessions that a tree shows."""
CALLS = 100
"""Calls of a session that it shows, the newest ones."""
_STARTED = b'"kind":"session"'
_NAME = re.compile(rb'"session":"([^"\\]{1,200})","status":"started"')


class Labelled(Struct, frozen=True, kw_only=True):
    """A label, and what put it on the session."""

    label: str
    position: int
    at: int
    tool: str


class Branch(Struct, frozen=True, kw_only=True):
    """One session of a tree."""

    session: Session
    calls: tuple[FeedRow, ...]
    """In the order in which they were made."""
    labels: tuple[Labelled, ...]
    grown: Mapping[int, tuple[str, ...]]
    """The labels that came of a call, by the position of its decision."""
    below: tuple[Branch, ...] = ()


def family(view: Snapshot, wanted: SessionId) -> Branch | None:
    """The tree that a session belongs to, from the session that it all began with."""
    if view.session(wanted) is None:
        return None
    top = lineage(view, wanted)[-1]
    below: dict[SessionId, list[SessionId]] = {}
    for name in _started(view):
        session = view.session(name)
        if session is not None and session.parent is not None:
            below.setdefault(session.parent, []).append(name)
    return _branch(view, top, below, [MOST])


def labels_of(view: Snapshot, session: SessionId, before: int | None = None) -> list[Labelled]:
    """The labels of a session in the order in which they came, as far as the log's end shows."""
    found: list[Labelled] = []
    known: set[str] = set()
    for kept in decisions.records_of(view, session, SCANNED):
        if before is not None and kept.position >= before:
            break
        if b'"labels":[' not in kept.body:
            continue
        record = parse_record(kept.body)
        for label in record.labels:
            if label not in known:
                known.add(label)
                source = record.tool or record.kind
                found.append(Labelled(label=label, position=kept.position, at=kept.at, tool=source))
    return found


def _branch(
    view: Snapshot, name: SessionId, below: dict[SessionId, list[SessionId]], left: list[int]
) -> Branch | None:
    session = view.session(name)
    if session is None or left[0] <= 0:
        return None
    left[0] -= 1
    calls = decisions.newest(view, Wanted(session=name), CALLS).rows
    branches = (_branch(view, each, below, left) for each in below.get(name, ()))
    labels = labels_of(view, name)
    return Branch(
        session=session,
        calls=tuple(reversed(calls)),
        labels=tuple(labels),
        grown=_grown(calls, labels),
        below=tuple(each for each in branches if each is not None),
    )


def _grown(calls: Sequence[FeedRow], labels: Sequence[Labelled]) -> dict[int, tuple[str, ...]]:
    """Which call each label came of: the last one of its tool before it. ``calls`` newest first."""
    found: dict[int, tuple[str, ...]] = {}
    for label in labels:
        for call in calls:
            if call.position <= label.position and call.tool == label.tool:
                found[call.position] = (*found.get(call.position, ()), label.label)
                break
    return found


def _started(view: Snapshot) -> list[SessionId]:
    size = view.log_size()
    names = []
    for kept in view.records(max(0, size - SCANNED), size):
        found = _NAME.search(kept.body) if _STARTED in kept.body else None
        if found is not None:
            names.append(SessionId(found[1].decode()))
    return names
