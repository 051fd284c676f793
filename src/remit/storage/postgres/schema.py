"""How a PostgreSQL database becomes a store: connecting, migrations, and words for its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from remit.errors import (
    ConfigError,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreTooNew,
)

LOCK_TIME = 10
"""Seconds to wait for other nodes to let go of the head of the log."""
STALL_TIME = 5
"""Seconds that a node may hold the head without a word; then the database takes it away."""
OLDEST_POSTGRES = 150000

_SETTINGS = {
    "synchronous_commit": "on",
    "lock_timeout": f"{LOCK_TIME}s",
    "idle_in_transaction_session_timeout": f"{STALL_TIME}s",
    "statement_timeout": "60s",
    "client_min_messages": "warning",
    "timezone": "UTC",
}
_CONNECTING = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_MIGRATING = 0x52454D54
"""Advisory lock of whoever changes the schema."""


def shown(url: str) -> str:
    """The address of a database as it may be shown: without its password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "the database"
    user = f"{parts['user']}@" if parts.get("user") else ""
    return f"postgresql://{user}{parts.get('host') or ''}/{parts.get('dbname') or ''}"


def connect(url: str, application: str = "remit") -> psycopg.Connection[Any]:
    """A connection set up as the store needs it, outside of any transaction.

    Raises:
        psycopg.Error: there is no connection to be had.
        ConfigError: ``url`` is no address of a database.
    """
    try:
        given = {key: value for key, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError as error:
        raise ConfigError(f"store.url: {str(error).strip()}") from None
    settings = {"application_name": application, **_CONNECTING, **given}
    connection = psycopg.connect(make_conninfo("", **settings), autocommit=True)
    try:
        calls = ", ".join(f"set_config('{name}', %s, false)" for name in _SETTINGS)
        connection.execute(f"SELECT {calls}".encode(), list(_SETTINGS.values()))
    except BaseException:
        connection.close()
        raise
    return connection


def migrations() -> Iterator[tuple[int, str]]:
    """Number and text of every step of the schema, in order."""
    folder = files("remit.storage.postgres") / "migrations"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql"):
            yield int(file.name[:4]), file.read_text(encoding="utf-8")


def migrate(connection: psycopg.Connection[Any]) -> int:
    """Bring the schema up to date, or check that it is; its version.

    A schema that is one step ahead is good as well: during an upgrade nodes of both releases run.

    Raises:
        StoreTooNew: a newer Remit made it, more than a step ahead.
        StoreError: the server is too old.
        psycopg.Error: the database failed.
    """
    if connection.info.server_version < OLDEST_POSTGRES:
        raise StoreError("This PostgreSQL is older than 15. Remit needs 15 or newer.")
    steps = list(migrations())
    newest = steps[-1][0]
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATING,))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (number int PRIMARY KEY, "
            "at timestamptz NOT NULL DEFAULT clock_timestamp())"
        )
        row = connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()
        version: int = row[0] if row else 0
        if version > newest + 1:
            raise StoreTooNew(
                f"The database was made by a newer Remit (schema {version}, this one knows "
                f"{newest}). Upgrade Remit."
            )
        for number, text in steps:
            if number > version:
                connection.execute(text.encode())
                connection.execute("INSERT INTO migrations (number) VALUES (%s)", (number,))
    ensure_months(connection)
    return max(version, newest)


def ensure_months(connection: psycopg.Connection[Any]) -> None:
    """Give the records of this month and of the next two tables of their own, ahead of time.

    A month in which records came before it had one stays with the rest.
    """
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None, "it is asked for the time only"
    first = row[0].replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while first <= row[0] + timedelta(days=62):
        following = (first + timedelta(days=32)).replace(day=1)
        name = f"records_{first:%Y_%m}"
        begins, ends = (int(each.timestamp()) * 10**9 for each in (first, following))
        found = connection.execute("SELECT to_regclass(%s)", (name,)).fetchone()
        if found is not None and found[0] is None:
            # Another node may be doing the same, and a busy log may not let anybody now.
            with suppress(errors.CheckViolation, errors.DuplicateTable, errors.LockNotAvailable):
                statement = (
                    f"CREATE TABLE {name} PARTITION OF records "
                    f"FOR VALUES FROM ({begins}) TO ({ends})"
                )
                connection.execute(statement.encode())
        first = following


def schema_version(connection: psycopg.Connection[Any]) -> int:
    """The version of the schema that is there; 0 where there is none."""
    found = connection.execute("SELECT to_regclass('migrations')").fetchone()
    if found is None or found[0] is None:
        return 0
    row = connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()
    return row[0] if row else 0


def is_lost(error: psycopg.Error) -> bool:
    """Whether an error means that the connection is gone, or about to go."""
    if isinstance(error, errors.IdleInTransactionSessionTimeout | errors.IdleSessionTimeout):
        return True
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and not isinstance(
        error,
        errors.DiskFull
        | errors.LockNotAvailable
        | errors.QueryCanceled
        | errors.SerializationFailure
        | errors.DeadlockDetected
        | errors.OutOfMemory,
    )


def translate(error: psycopg.Error, url: str) -> StoreError:
    """The store's own error for one of PostgreSQL's: what happened and what to do."""
    place, detail = shown(url), f"({type(error).__name__}: {str(error).strip()})"
    if isinstance(error, errors.LockNotAvailable | errors.QueryCanceled):
        return StoreLocked(
            f"{place} was busy for too long: another node held the log. Nothing was written. Try "
            f"again, and look at pg_stat_activity if this goes on. {detail}"
        )
    if isinstance(error, errors.DiskFull | errors.OutOfMemory):
        return StoreFull(
            f"No room is left for {place}. Nothing was written. Make room; the store then goes on "
            f"by itself. {detail}"
        )
    if isinstance(error, errors.ReadOnlySqlTransaction | errors.InsufficientPrivilege):
        return StoreReadOnly(
            f"{place} cannot be written. Nothing was written. Connect to the primary, as a user "
            f"that owns the tables. {detail}"
        )
    if isinstance(error, errors.DataCorrupted | errors.IndexCorrupted):
        return StoreCorrupt(
            f"{place} is damaged. Keep a copy for examination, and restore a backup. {detail}"
        )
    if is_lost(error):
        return StoreError(
            f"{place} does not answer. Nothing was written. Check that PostgreSQL runs and can be "
            f"reached; the store then goes on by itself. {detail}"
        )
    return StoreError(f"{place} could not be used. Nothing was written. {detail}")
