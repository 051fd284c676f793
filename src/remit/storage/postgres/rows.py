"""The tables of which nodes remember rows: how rows are read, checked and written, many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import psycopg

from remit.model import ActionState
from remit.storage import KeptReply
from remit.storage.edge import Head
from remit.storage.encoding import decode_action, decode_cell, decode_session, encode
from remit.storage.postgres.drafts import DraftRecord, Kind, Place, RememberedRow

_ABSENT = -1

Connection = psycopg.Connection[Any]


class _Table(NamedTuple):
    """One of the tables."""

    fetch: bytes
    check: bytes
    write: bytes
    decode: Callable[[str, Any], Any]
    """From the key and the columns behind the version."""
    columns: Callable[[Any], tuple[Any, ...]]
    """The columns behind the version."""


def _table(
    name: str,
    key: str,
    columns: Mapping[str, str],
    decode: Callable[[str, Any], Any],
    encoded: Callable[[Any], tuple[Any, ...]],
    kept: str | None = None,
) -> _Table:
    """The statements of a table, from its columns and their types.

    ``kept`` are the columns that a value is made of, where that is not all of them.
    """
    listed = kept or ", ".join(columns)
    prefixed = ", ".join(f"t.{column}" for column in listed.split(", "))
    names = ", ".join(columns)
    arrays = ", ".join(f"%b::{kind}[]" for kind in columns.values())
    updates = ", ".join(f"{column} = excluded.{column}" for column in columns)
    fetch = f"SELECT version, {listed} FROM {name} WHERE {key} = %s"  # noqa: S608 (constants)
    check = (
        f"SELECT k.k, coalesce(t.version, {_ABSENT}), {prefixed} "  # noqa: S608 (constants)
        f"FROM unnest(%b::text[], %b::bigint[]) AS k(k, v) LEFT JOIN {name} t ON t.{key} = k.k "
        f"WHERE coalesce(t.version, {_ABSENT}) <> k.v"
    )
    write = (
        f"INSERT INTO {name} ({key}, version, {names}) SELECT k, %s, {names} "  # noqa: S608
        f"FROM unnest(%b::text[], {arrays}) AS r(k, {names}) ON CONFLICT ({key}) DO UPDATE SET "
        f"version = excluded.version, {updates}"
    )
    return _Table(
        fetch=fetch.encode(),
        check=check.encode(),
        write=write.encode(),
        decode=decode,
        columns=encoded,
    )


_TABLES: dict[Kind, _Table] = {
    "sessions": _table(
        "sessions",
        "id",
        {"body": "bytea"},
        lambda _, row: decode_session(row[0]),
        lambda session: (encode(session),),
    ),
    "actions": _table(
        "actions",
        "id",
        {"session": "text", "lease_until": "bigint", "open": "bool", "body": "bytea"},
        lambda _, row: decode_action(row[0]),
        lambda action: (
            action.session,
            action.lease_until,
            action.state is ActionState.ADMITTED,
            encode(action),
        ),
        kept="body",
    ),
    "arrivals": _table(
        "arrivals", "key", {"at": "bigint"}, lambda _, row: row[0], lambda at: (at,)
    ),
    "cells": _table(
        "cells",
        "key",
        {"budget": "text", "ends": "bigint", "body": "bytea"},
        lambda _, row: decode_cell(row[0]),
        lambda cell: (cell.budget, cell.ends, encode(cell)),
        kept="body",
    ),
    "memories": _table(
        "memories", "key", {"body": "bytea"}, lambda _, row: row[0], lambda body: (body,)
    ),
    "replies": _table(
        "replies",
        "key",
        {"at": "bigint", "digest": "bytea", "body": "bytea"},
        lambda key, row: KeptReply(key=key, at=row[0], digest=row[1], body=row[2]),
        lambda reply: (reply.at, reply.digest, reply.body),
    ),
}

_RECORDS = (
    "INSERT INTO records (position, at, tree, body, salt, canonical) "
    "SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bytea[], %b::bytea[], %b::bytea[], "
    "%b::bytea[])"
)


def fetch(connection: Connection, kind: Kind, key: str) -> tuple[int | None, Any]:
    """The version and the value of one row; (None, None) where there is none."""
    table = _TABLES[kind]
    row = connection.execute(table.fetch, (key,), binary=True, prepare=True).fetchone()
    return (None, None) if row is None else (row[0], table.decode(key, row[1:]))


class RowCheck:
    """Asks the database whether rows that were read are still so."""

    def __init__(self, entries: Mapping[Place, RememberedRow]) -> None:
        self._entries = entries
        self._asked: list[tuple[Kind, psycopg.Cursor[Any]]] = []

    def ask(self, connection: Connection) -> None:
        """Send the questions; to be called in a pipeline."""
        by_kind: dict[Kind, tuple[list[str], list[int]]] = {}
        for (kind, key), entry in self._entries.items():
            keys, versions = by_kind.setdefault(kind, ([], []))
            keys.append(key)
            versions.append(_ABSENT if entry.version is None else entry.version)
        self._asked = [
            (kind, connection.execute(_TABLES[kind].check, lists, binary=True, prepare=True))
            for kind, lists in by_kind.items()
        ]

    def changed(self, epoch: int) -> dict[Place, Any]:
        """Those that are not so any more, as they are. All are up to date afterwards."""
        entries = self._entries
        for entry in entries.values():
            entry.epoch = epoch
        found: dict[Place, Any] = {}
        for kind, cursor in self._asked:
            for key, version, *row in cursor.fetchall():
                entry = entries[kind, key]
                entry.version = None if version == _ABSENT else version
                entry.value = None if version == _ABSENT else _TABLES[kind].decode(key, row)
                found[kind, key] = entry.value
        return found


Encoded = dict[Place, tuple[Any, tuple[Any, ...]]]
"""Rows that were encoded before: the value, and its columns."""


def encoded(rows: Mapping[Place, Any]) -> Encoded:
    """Encode rows ahead of time."""
    return {place: (value, _TABLES[place[0]].columns(value)) for place, value in rows.items()}


def write(
    connection: Connection, generation: int, rows: Mapping[Place, Any], ready: Encoded
) -> None:
    """Insert or replace rows, in the order of their keys."""
    by_kind: dict[Kind, list[tuple[Any, ...]]] = {}
    for place in sorted(rows):
        (kind, key), value = place, rows[place]
        before = ready.get(place)
        columns = (
            before[1] if before is not None and before[0] is value else _TABLES[kind].columns(value)
        )
        by_kind.setdefault(kind, []).append((key, *columns))
    for kind, listed in by_kind.items():
        arrays = [list(column) for column in zip(*listed, strict=True)]
        connection.execute(_TABLES[kind].write, (generation, *arrays), prepare=True)


def append(connection: Connection, head: Head, records: Iterable[DraftRecord]) -> None:
    """Append records to the log behind ``head``, which moves on."""
    rows = []
    for record in records:
        position, values = head.size, record.values
        tree = head.append(record.body, record.at)
        salt, canonical = (None, None) if values is None else (values.salt, values.canonical)
        rows.append((position, record.at, tree, record.body, salt, canonical))
    if rows:
        arrays: list[list[Any] | None] = [list(column) for column in zip(*rows, strict=True)]
        if not any(row[4] for row in rows):
            arrays[4] = arrays[5] = None
        connection.execute(_RECORDS, arrays, prepare=True)


__all__ = ["Connection", "RowCheck", "append", "encoded", "fetch", "write"]
