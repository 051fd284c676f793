"""From a SQLite file to a PostgreSQL database: everything, with the log's proofs as they were.

The bytes of the records and the hashes of the tree are carried over as they are, and checked on
the way: the tree is computed anew from the records, and must be the one in the file. Checkpoints
that were signed before the move verify after it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from remit.audit import merkle
from remit.audit.checkpoint import read_checkpoint
from remit.errors import StoreCorrupt, StoreError
from remit.storage.edge import Head
from remit.storage.postgres.schema import connect, migrate, translate
from remit.storage.schema import connect as connect_file
from remit.storage.schema import ensure_schema
from remit.storage.schema import translate as translate_file

_BATCH = 2000


class Copied(NamedTuple):
    """What was copied."""

    records: int
    rows: dict[str, int]
    """By table."""
    root: bytes
    """Of the tree over the records."""


class _Copy(NamedTuple):
    """A table: how it is read there, and what it is called here."""

    name: str
    read: str
    columns: str


_TABLES = (
    _Copy("sessions", "SELECT id, 0, body FROM sessions ORDER BY number", "id, version, body"),
    _Copy(
        "actions",
        "SELECT id, 0, session, lease_until, open, body FROM actions ORDER BY number",
        "id, version, session, lease_until, open, body",
    ),
    _Copy("arrivals", "SELECT key, 0, at FROM arrivals", "key, version, at"),
    _Copy(
        "cells", "SELECT key, 0, budget, ends, body FROM cells", "key, version, budget, ends, body"
    ),
    _Copy("memories", "SELECT key, 0, body FROM memories", "key, version, body"),
    _Copy(
        "replies",
        "SELECT key, 0, at, digest, body FROM replies ORDER BY number",
        "key, version, at, digest, body",
    ),
    _Copy(
        "approvals",
        "SELECT id, 0, digest, state, created_at, body FROM approvals ORDER BY number",
        "id, version, digest, state, created_at, body",
    ),
    _Copy("credentials", "SELECT id, body FROM credentials ORDER BY number", "id, body"),
    _Copy("stops", "SELECT id, body FROM stops", "id, body"),
    _Copy("deliveries", "SELECT id, next_at, body FROM deliveries", "id, next_at, body"),
    _Copy("cursors", "SELECT name, position FROM cursors", "name, position"),
    _Copy("tallies", "SELECT book, key, at, amounts FROM tallies", "book, key, at, amounts"),
    _Copy("documents", "SELECT revision, bundle FROM documents", "revision, bundle"),
    _Copy("checkpoint", "SELECT one, note FROM checkpoint", "one, note"),
)


def copy(path: Path, url: str) -> Copied:
    """Copy a SQLite store into an empty database. All of it arrives, or nothing.

    Args:
        path: the file. Nobody can write to it meanwhile; it is left as it is.
        url: the database.

    Raises:
        StoreCorrupt: the log in the file does not hold together.
        StoreError: the file or the database cannot be used, or the database is not empty.
    """
    if not path.is_file():
        raise StoreError(f"{path}: there is no such file.")
    try:
        source = connect_file(path, timeout=10, vfs=None, writes=True)
        try:
            ensure_schema(source, path)
            source.execute("BEGIN IMMEDIATE")  # nobody writes what would be left behind
            return _into(source, url)
        finally:
            source.close()
    except sqlite3.Error as error:
        raise translate_file(error, path) from error


def _into(source: sqlite3.Connection, url: str) -> Copied:
    try:
        with connect(url) as connection:
            migrate(connection)
            with connection.transaction():
                row = connection.execute("SELECT size, generation FROM head FOR UPDATE").fetchone()
                if row != (0, 0):
                    raise StoreError(
                        "The database holds a store already; nothing was copied. Name an empty one."
                    )
                return _copied(source, connection)
    except psycopg.Error as error:
        raise translate(error, url) from error


def _copied(source: sqlite3.Connection, connection: psycopg.Connection[Any]) -> Copied:
    head = Head(0, 0, 0, 0, b"")
    statement = (
        b"COPY records (position, at, tree, body, salt, canonical) FROM STDIN (FORMAT BINARY)"
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copying:
        copying.set_types(["int8", "int8", "bytea", "bytea", "bytea", "bytea"])
        for record in _checked(source, head):
            copying.write_row(record)
    rows = {}
    for table in _TABLES:
        statement = f"COPY {table.name} ({table.columns}) FROM STDIN".encode()
        count = 0
        with connection.cursor() as cursor, cursor.copy(statement) as copying:
            for row in source.execute(table.read):
                values = list(row)
                if table.name == "actions":
                    values[4] = bool(values[4])
                copying.write_row(values)
                count += 1
        rows[table.name] = count
    tree = _tree_root(source, head)
    connection.execute(
        "UPDATE head SET generation = 1, stopped = 1, size = %s, at = %s, edge = %s",
        (head.size, head.at, head.edge()),
    )
    return Copied(head.size, rows, tree)


def _checked(source: sqlite3.Connection, head: Head) -> Iterator[tuple[Any, ...]]:
    """The records of the file in order, once their hashes have been computed anew."""
    found = source.execute(
        "SELECT position, at, tree, body, salt, canonical FROM records ORDER BY position"
    )
    while rows := found.fetchmany(_BATCH):
        for row in rows:
            position, at, tree, body = row[:4]
            if position != head.size or head.append(body, at) != tree:
                raise StoreCorrupt(
                    f"Record {position} does not fit the tree in the file; nothing was copied. "
                    "'remit audit verify' says what still holds."
                )
            yield row


def _tree_root(source: sqlite3.Connection, head: Head) -> bytes:
    """The root over all records, after a look at what was signed."""
    note = source.execute("SELECT note FROM checkpoint").fetchone()
    if note is not None and read_checkpoint(note[0]).size > head.size:
        raise StoreCorrupt(
            f"{read_checkpoint(note[0]).size} records were signed and {head.size} are in the file; "
            "nothing was copied."
        )
    return head.root() if head.size else merkle.EMPTY_ROOT
