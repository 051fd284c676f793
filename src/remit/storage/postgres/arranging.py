"""What of a group of drafts still holds, now that their node holds the head of the log. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from remit.budgets.cells import Cell
from remit.model import SessionId
from remit.storage.postgres.drafts import Draft, DraftRecord, Place
from remit.storage.postgres.merging import (
    can_move,
    corrected,
    merged,
    moved,
    restamped,
    used,
)

_NOT_KNOWN = object()


class Found(Struct, frozen=True):
    """What a node found when it took the head."""

    size: int
    at: int
    foreign: bool
    """Whether other nodes have committed since the drafts ran."""
    changed: Mapping[Place, Any]
    """Rows that the drafts read and that are not so any more, as they are."""
    restopped: bool = False
    """Whether the stops have changed."""
    overdue: Collection[SessionId] = ()
    """Sessions that have overdue actions."""


class Arranged(Struct):
    """The drafts that hold, in the order of the log, and those that have to run again."""

    size: int
    at: int
    rows: dict[Place, Any] = field(default_factory=dict)
    records: list[DraftRecord] = field(default_factory=list)
    values: list[tuple[Draft, Any]] = field(default_factory=list)
    """What the closures gave, where it is not what is in the draft."""
    stale: list[Draft] = field(default_factory=list)


def arrange(drafts: Sequence[Draft], found: Found) -> Arranged:
    """Decide for each draft whether it holds; the amounts of shared budgets are put together."""
    result = Arranged(size=found.size, at=found.at)
    current = dict(found.changed)
    for draft in drafts:
        place = _Placing(draft, found, current, result)
        if place.holds():
            place.keep()
        else:
            result.stale.append(draft)
            for written in draft.writes:
                if written not in current:
                    current[written] = draft.seen.get(written, _NOT_KNOWN)
    return result


class _Placing:
    """One draft on its way into the log."""

    def __init__(
        self, draft: Draft, found: Found, current: dict[Place, Any], result: Arranged
    ) -> None:
        self._draft = draft
        self._found = found
        self._current = current
        self._result = result
        self._cells: dict[Place, Cell] = {}
        self._used: dict[str, int] = {}
        self._shift = result.size - draft.first
        self._at = max([found.at, result.at, *(record.at for record in draft.records[:1])])

    def holds(self) -> bool:
        """Whether the closure would do the same if it ran now."""
        draft, found = self._draft, self._found
        if (draft.stops and found.restopped) or not draft.overdue.keys().isdisjoint(found.overdue):
            return False
        if draft.error is None and self._shift and draft.records and not can_move(draft.value):
            return False
        return all(self._as_seen(place, value) for place, value in draft.seen.items())

    def keep(self) -> None:
        """Put what the closure did into the result."""
        draft, result, current = self._draft, self._result, self._current
        for place, value in draft.writes.items():
            written = self._cells.get(place, value)
            result.rows[place] = written
            if place in current or written is not value:
                current[place] = written
        for record in draft.records:
            result.records.append(self._placed(record))
            result.at = result.records[-1].at
        result.size += len(draft.records)
        if self._shift and draft.records:
            result.values.append((draft, moved(draft.value, self._shift)))

    def _as_seen(self, place: Place, seen: Any) -> bool:
        current = self._current.get(place, seen)
        if current is seen:
            return True
        kind, key = place
        after = self._draft.writes.get(place)
        if kind != "cells" or after is None or self._draft.looks[key] != 1:
            return False
        if current is _NOT_KNOWN:
            return False
        cell = merged(current, seen, after, self._at)
        if cell is None:
            return False
        self._cells[place] = cell
        self._used[key] = used(current, self._at)
        return True

    def _placed(self, record: DraftRecord) -> DraftRecord:
        """The record with the time and the amounts that are true where it comes to stand."""
        at, body = record.at, record.body
        if self._found.foreign and at < self._result.at:
            at = -(-self._result.at // 1000) * 1000
            body = restamped(body, at)
        if self._used:
            body = corrected(body, self._used)
        return (
            record if body is record.body and at == record.at else record._replace(at=at, body=body)
        )
