"""Records of the log as people and programs see them, for ``tail`` and ``audit``."""

from __future__ import annotations

import time
from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from remit.audit.record import Record, parse_record
from remit.cli import rendering
from remit.storage import LoggedRecord, SealedValues, Snapshot, Store

if TYPE_CHECKING:
    from rich.text import Text

_PAUSE = 0.3
"""Seconds between two looks at the store while following it."""
_CHUNK = 1000
_VALUES_WIDTH = 70
_WORD_WIDTH = 9


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A record, where it is, and its values if they were not erased."""

    position: int
    record: Record
    values: SealedValues | None = None

    @property
    def shown_values(self) -> str | None:
        """The canonical JSON of the values, or None."""
        return None if self.values is None else self.values.canonical.decode()


def entries(snapshot: Snapshot, start: int, stop: int) -> list[Entry]:
    """Records ``start <= position < stop`` with their values."""
    return [_entry(snapshot, logged) for logged in snapshot.records(start, stop)]


def _entry(snapshot: Snapshot, logged: LoggedRecord) -> Entry:
    return Entry(
        position=logged.position,
        record=parse_record(logged.body),
        values=snapshot.values(logged.position),
    )


def last(store: Store, count: int, kinds: Container[str] | None = None) -> tuple[list[Entry], int]:
    """The newest ``count`` records (of ``kinds``, if given), oldest first, and the log's size."""

    def read(snapshot: Snapshot) -> tuple[list[Entry], int]:
        size = stop = snapshot.log_size()
        found: list[Entry] = []
        while stop > 0 and len(found) < count:
            start = max(0, stop - _CHUNK)
            fresh = entries(snapshot, start, stop)
            found[:0] = [each for each in fresh if kinds is None or each.record.kind in kinds]
            stop = start
        return found[max(0, len(found) - count) :], size

    return store.read(read)


def follow(store: Store, start: int) -> Iterator[Entry]:
    """Records from ``start`` on as they are written, without end."""
    while True:
        position = start

        def read(snapshot: Snapshot, position: int = position) -> list[Entry]:
            return entries(snapshot, position, min(snapshot.log_size(), position + _CHUNK))

        fresh = store.read(read)
        yield from fresh
        start += len(fresh)
        if len(fresh) < _CHUNK:
            time.sleep(_PAUSE)


def find(store: Store, name: str) -> list[Entry]:
    """All records of one action, or the one at a position, oldest first; empty if there is none."""

    def read(snapshot: Snapshot) -> list[Entry]:
        size = snapshot.log_size()
        if name.isascii() and name.isdecimal():
            return entries(snapshot, int(name), int(name) + 1) if int(name) < size else []
        return list(_of_action(snapshot, name, size))

    return store.read(read)


def _of_action(snapshot: Snapshot, action: str, size: int) -> Iterator[Entry]:
    needle = action.encode()
    for logged in snapshot.records(0, size):
        if needle in logged.body and parse_record(logged.body).action == action:
            yield _entry(snapshot, logged)


def who(record: Record) -> str:
    """Who acted, and for whom: ``inventory-bot for ada``."""
    return " for ".join(link.id for link in record.principal)


def summary(entry: Entry) -> Text:
    """One record on one line: when, who, what, what was said of it, and by which rule."""
    record = entry.record
    whole = rendering.quiet(f"{_clock(record.at)} ")
    whole.append_text(_verdict(record)).append(" ")
    parts = [who(record), record.tool or record.kind]
    values = entry.shown_values
    if values is not None:
        parts.append(rendering.shortened(values, _VALUES_WIDTH))
    elif record.note is not None:
        parts.append(rendering.shortened(record.note, _VALUES_WIDTH))
    whole.append_text(rendering.text("  ".join(filter(None, parts))))
    if record.error is not None:
        shown = rendering.shortened(record.error, _VALUES_WIDTH)
        whole.append_text(rendering.text(f"  {shown}", "magenta"))
    for rule in record.rules:
        whole.append_text(rendering.quiet(f"  {_rule(rule.id, rule.at)}"))
    return whole


def _verdict(record: Record) -> Text:
    if record.kind == "decision" and record.effect is not None:
        let_through = record.granted and record.effect != "allow"
        shown = f"{record.effect}*" if let_through else record.effect
        return rendering.styled(shown.ljust(_WORD_WIDTH), record.effect)
    shown = record.status or record.kind
    return rendering.styled(shown.ljust(_WORD_WIDTH), record.status or "")


def _rule(name: str, at: str) -> str:
    return f"{name} ({at})" if at else name


def _clock(microseconds: int) -> str:
    return rendering.when(microseconds * 1000).split(" ")[1]


def as_builtins(entry: Entry) -> dict[str, Any]:
    """One record for programs: every field, its position, its time in RFC 3339, its values."""
    fields: dict[str, Any] = msgspec.to_builtins(entry.record)
    return {
        "position": entry.position,
        "time": rendering.timestamp(entry.record.at * 1000),
        **fields,
        "values": None if entry.values is None else msgspec.json.decode(entry.values.canonical),
    }


def print_entries(shown: Sequence[Entry], *, as_json: bool) -> None:
    """Print records, one a line."""
    for entry in shown:
        print_entry(entry, as_json=as_json)


def print_entry(entry: Entry, *, as_json: bool) -> None:
    """Print one record on one line."""
    if as_json:
        rendering.print_json_line(as_builtins(entry))
    else:
        rendering.console().print(summary(entry), soft_wrap=True)
