"""Decisions as the console lists them: read from the end of the log, the newest first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from remit import canonical
from remit.console import showing
from remit.errors import InvalidArgument
from remit.storage import LoggedRecord, Snapshot

SCANNED = 10_000
"""Records that one list looks at, at most."""
_CHUNK = 400
_DECISION = b'"kind":"decision"'


class Link(Struct, frozen=True):
    """One link of the chain of who acts on whose behalf."""

    id: str
    kind: str = "agent"


class RuleLine(Struct, frozen=True):
    """A rule that counted."""

    id: str
    effect: str
    at: str = ""


class _Body(Struct, frozen=True):
    """The part of a record that a list shows. Reading less than all of it is what makes it fast."""

    kind: str
    action: str = ""
    approval: str | None = None
    effect: str = ""
    granted: bool = False
    labels: tuple[str, ...] = ()
    mode: str = "enforce"
    principal: tuple[Link, ...] = ()
    rules: tuple[RuleLine, ...] = ()
    session: str = ""
    tool: str = ""


class Wanted(Struct, frozen=True, kw_only=True):
    """Which decisions to list. Parts of names are enough, in any case; empty: all of them."""

    agent: str = ""
    tool: str = ""
    effect: str = ""
    rule: str = ""
    session: str = ""

    def fits(self, body: _Body) -> bool:
        """Whether a decision is one of them."""
        return (
            (not self.effect or self.effect == body.effect)
            and (not self.session or self.session == body.session)
            and _within(self.tool, body.tool)
            and (not self.agent or any(_within(self.agent, link.id) for link in body.principal))
            and (not self.rule or any(_within(self.rule, rule.id) for rule in body.rules))
        )


class FeedRow(Struct, frozen=True, kw_only=True):
    """One decision in a list."""

    position: int
    at: int
    action: str
    approval: str | None
    effect: str
    granted: bool
    shadow: bool
    labels: tuple[str, ...]
    """Those that it put on the session."""
    principal: tuple[Link, ...]
    rules: tuple[RuleLine, ...]
    session: str
    tool: str
    preview: str
    """The beginning of its arguments, made fit to be shown; empty where they were erased."""

    @property
    def agent(self) -> str:
        """Who acted."""
        return self.principal[0].id if self.principal else ""

    @property
    def rule(self) -> str:
        """The rule that decided."""
        return next((each.id for each in self.rules if each.effect == self.effect), "")


class Listed(Struct, frozen=True, kw_only=True):
    """Some decisions, and where to look on for older ones."""

    rows: tuple[FeedRow, ...]
    older: int | None
    """Position before which to look on; None: the log begins here."""


def newest(
    view: Snapshot, wanted: Wanted, limit: int, before: int | None = None, after: int = -1
) -> Listed:
    """The newest decisions that are wanted.

    Args:
        view: the store.
        wanted: which.
        limit: how many.
        before: only those at lower positions.
        after: only those at higher positions.
    """
    size = view.log_size()
    end = size if before is None else min(before, size)
    floor = max(after + 1, end - SCANNED, 0)
    found: list[FeedRow] = []
    for kept in _backwards(view, floor, end):
        body = _decision(kept)
        if body is not None and wanted.fits(body):
            found.append(_decided(view, kept, body))
            if len(found) == limit:
                return Listed(rows=tuple(found), older=kept.position or None)
    return Listed(rows=tuple(found), older=floor if floor > after + 1 else None)


def arguments(view: Snapshot, position: int) -> Any:
    """What a record commits to, as long as it was not erased; else None."""
    values = view.values(position)
    if values is None:
        return None
    try:
        return canonical.parse(values.canonical)
    except InvalidArgument:
        return None


def records_of(view: Snapshot, session: str, scan: int = 20_000) -> Iterator[LoggedRecord]:
    """The records of a session in the newest part of the log, in order."""
    mark = f'"session":{_word(session)}'.encode()
    size = view.log_size()
    for kept in view.records(max(0, size - scan), size):
        if mark in kept.body:
            yield kept


def _word(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _backwards(view: Snapshot, floor: int, end: int) -> Iterator[LoggedRecord]:
    while end > floor:
        start = max(floor, end - _CHUNK)
        yield from reversed(list(view.records(start, end)))
        end = start


_decoder = msgspec.json.Decoder(_Body)


def _decision(kept: LoggedRecord) -> _Body | None:
    return _decoder.decode(kept.body) if _DECISION in kept.body else None


def _decided(view: Snapshot, kept: LoggedRecord, body: _Body) -> FeedRow:
    values = view.values(kept.position)
    preview = ""
    if values is not None:
        # The beginning of the bytes is enough, however long they are.
        start = values.canonical[:800].decode("utf-8", "replace").removeprefix("{")
        preview = showing.line(start.removesuffix("}"), 140)
    return FeedRow(
        position=kept.position,
        at=kept.at,
        action=body.action,
        approval=body.approval,
        effect=body.effect,
        granted=body.granted,
        shadow=body.mode == "shadow",
        labels=body.labels,
        principal=body.principal,
        rules=body.rules,
        session=body.session,
        tool=body.tool,
        preview=preview,
    )


def _within(part: str, name: str) -> bool:
    return not part or part.casefold() in name.casefold()
