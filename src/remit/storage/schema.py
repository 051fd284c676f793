"""How a SQLite file becomes a store: opening, schema, and the store's words for SQLite's errors."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from remit.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreTooNew,
)

APPLICATION_ID = 0x52454D54
"""``REMT`` in the header of the file, so that ``file`` and we know whose it is."""
SCHEMA_VERSION = 4
OLDEST_SQLITE = (3, 37, 0)
"""STRICT tables."""

_COULD_NOT_GROW = (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
"""How SQLite names a quota or a file size limit; ENOSPC alone is SQLITE_FULL."""

_LEDGER = """
CREATE TABLE cells (
    key TEXT PRIMARY KEY,
    budget TEXT NOT NULL,
    ends INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX cells_by_budget ON cells (budget, key);
CREATE INDEX cells_by_end ON cells (ends);
"""
_TALLIES = """
CREATE TABLE tallies (
    book TEXT NOT NULL,
    key TEXT NOT NULL,
    at INTEGER NOT NULL,
    amounts BLOB NOT NULL,
    PRIMARY KEY (book, key, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX tallies_by_time ON tallies (at);
"""
_MEMORIES = """
CREATE TABLE memories (
    key TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;
"""
_SCHEMA = """
CREATE TABLE records (
    position INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    tree BLOB NOT NULL,      -- the Merkle hashes this record added, 32 bytes each, lowest first
    body BLOB NOT NULL,      -- the exact bytes whose hash is the leaf
    salt BLOB,               -- erasable, as is the next: what the body commits to but does not
    canonical BLOB           -- contain; last, so that reading a body does not read them
) STRICT;
-- Ids are random. Rows in order of arrival keep what one commit changes on few pages.
CREATE TABLE sessions (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE actions (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    session TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
-- Only what is open is in it, so that a sweep over all sessions can read the whole of it.
CREATE INDEX open_actions ON actions (session, lease_until) WHERE open;
CREATE TABLE arrivals (
    key TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE approvals (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX approvals_by_digest ON approvals (digest, created_at);
CREATE INDEX approvals_by_state ON approvals (state, created_at);
CREATE TABLE credentials (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE replies (       -- kept for a while only
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    digest BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE stops (
    id TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    next_at INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX deliveries_by_time ON deliveries (next_at, id);
CREATE TABLE cursors (
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE documents (
    revision TEXT PRIMARY KEY,
    bundle BLOB NOT NULL
) STRICT;
CREATE TABLE checkpoint (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    note BLOB NOT NULL
) STRICT;
"""
_MIGRATIONS = {2: _LEDGER, 3: _TALLIES, 4: _MEMORIES}
"""What a file of the version before is to be given, by version."""


def translate(error: sqlite3.Error, path: Path) -> StoreError:
    """The store's own error for one of SQLite's: what happened and what to do."""
    code: int = getattr(error, "sqlite_errorcode", 0) or 0
    detail = f"({getattr(error, 'sqlite_errorname', type(error).__name__)}: {error})"
    primary = code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return StoreLocked(
            f"{path} is locked: another process has been writing to it for too long. Nothing was "
            f"written. Stop that process, or run one 'remit serve' for all of them. {detail}"
        )
    if primary == sqlite3.SQLITE_FULL or code in _COULD_NOT_GROW:
        return StoreFull(
            f"No room is left for {path}. Nothing was written. Free some space on that disk (or "
            f"raise the quota or size limit); the store then goes on by itself. {detail}"
        )
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return _read_only(path, detail)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreCorrupt(
            f"{path} is damaged or is not a database. Keep the file as it is for examination, "
            f"and go on with a backup or a new file. {detail}"
        )
    if primary == sqlite3.SQLITE_CANTOPEN and not os.access(path.parent, os.W_OK):
        return _read_only(path, detail)
    return StoreError(
        f"{path} could not be used. Nothing was written. Check the disk and the system's log. "
        f"{detail}"
    )


def _read_only(path: Path, detail: str) -> StoreReadOnly:
    advice = (
        "Nothing was written. Give this user write permission for the file and for its directory "
        f"{path.parent} (SQLite keeps its journal there)."
    )
    return StoreReadOnly(f"{path} cannot be written. {advice} {detail}".rstrip())


def prepare(path: Path) -> None:
    """Check the place and create an empty file that only this user may read.

    Raises:
        StoreError: the place does not do, and why.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(
            f"This Python's SQLite is {sqlite3.sqlite_version}; Remit needs 3.37 or newer. Use a "
            "newer Python build."
        )
    if not path.parent.is_dir():
        raise StoreError(f"The directory {path.parent} does not exist. Create it first.")
    try:
        if path.is_dir():
            raise StoreError(f"{path} is a directory. Give the name of a file, such as remit.db.")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        _sync_directory(path.parent)
    except FileExistsError:
        # Asked, not tried: closing a second descriptor would drop this process's locks on it.
        if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
            raise _read_only(path, "") from None
    except PermissionError as error:
        raise _read_only(path, f"({error})") from error
    except OSError as error:
        raise StoreError(f"{path} could not be created: {error}.") from error


def _sync_directory(path: Path) -> None:
    """Make the new file's name durable, not only its content."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def connect(path: Path, *, timeout: float, vfs: str | None, writes: bool) -> sqlite3.Connection:
    """A connection set up as the store needs it. The file must exist.

    Raises:
        sqlite3.Error: SQLite could not open it.
    """
    uri = f"file:{quote(str(path))}?mode=rw" + (f"&vfs={quote(vfs)}" if vfs else "")
    connection = sqlite3.connect(
        uri,
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        execute = connection.execute
        execute("PRAGMA trusted_schema = OFF")
        execute("PRAGMA mmap_size = 0")
        execute("PRAGMA temp_store = MEMORY")
        if writes:
            execute("PRAGMA foreign_keys = ON")
            execute("PRAGMA secure_delete = ON")  # erased values leave nothing in free pages
            execute("PRAGMA cell_size_check = ON")
        else:
            execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def ensure_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Create the schema in an empty file, or check the one that is there.

    Raises:
        StoreTooNew: a newer Remit wrote it.
        StoreError: it belongs to something else, or the disk cannot hold a write-ahead log.
        sqlite3.Error: SQLite failed.
    """
    # In one transaction: another process may be creating the schema at this moment.
    connection.execute("BEGIN")
    try:
        _check_version(connection, path)
    finally:
        connection.execute("ROLLBACK")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(
            f"{path} is on a file system that cannot hold a write-ahead log (it answers "
            f"{mode!r}). Put it on a local disk."
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _check_version(connection, path)
        if not version:
            _execute(connection, _SCHEMA + _LEDGER + _TALLIES + _MEMORIES)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        else:
            for later in range(version + 1, SCHEMA_VERSION + 1):
                _execute(connection, _MIGRATIONS[later])
        if version != SCHEMA_VERSION:
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _execute(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";\n"):
        connection.execute(statement)


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    """The version of our schema that the file holds; 0 when it is empty."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        if application or connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
            raise StoreError(
                f"{path} is a database of another program. Choose another file name for Remit."
            )
        return 0
    if version > SCHEMA_VERSION:
        raise StoreTooNew(
            f"{path} was written by a newer Remit (schema {version}, this one knows "
            f"{SCHEMA_VERSION}). Upgrade Remit, or open a copy made before its upgrade."
        )
    return int(version)
