"""The SQLite store: one file, durable before anything is acknowledged, safe between processes.

``write`` and ``submit`` share commits (``remit.storage.commit``); ``read`` runs on connections of
its own and neither waits for writers nor holds them up. Every commit is flushed to the disk
(``synchronous = FULL`` on a write-ahead log); there is no setting that weakens that.
"""

from __future__ import annotations

import os
import sqlite3
from _thread import allocate_lock
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from time import monotonic
from typing import TypeVar

from remit.audit import merkle
from remit.errors import StoreCorrupt, StoreError
from remit.storage import Snapshot, Transaction
from remit.storage.commit import GroupCommit, TransactionLost
from remit.storage.schema import connect, ensure_schema, prepare, translate
from remit.storage.snapshot import SqliteSnapshot
from remit.storage.transaction import SqliteTransaction

T = TypeVar("T")

_IDLE_READERS = 8
_SCRUB_PATIENCE = 500
"""Milliseconds that writers wait for readers when erased values leave the write-ahead log."""
_SCRUB_INTERVAL = 1.0
"""Seconds between two attempts at that while readers are in the way."""


class SqliteStore:
    """A store in one SQLite file.

    Threads share one ``SqliteStore``. Several processes may each open the file; they take turns,
    commit by commit. A process that forks must open it anew in the child.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, timeout: float = 10.0, vfs: str | None = None
    ) -> None:
        """Open the store, creating it (mode 0600) if there is none.

        Args:
            path: The database file. SQLite keeps ``-wal`` and ``-shm`` beside it.
            timeout: Seconds to wait while another process writes before giving up.
            vfs: Name of a registered SQLite VFS to reach the file through, for tests that
                simulate failing disks.

        Raises:
            StoreReadOnly: the file or its directory cannot be written.
            StoreTooNew: a newer Remit wrote it.
            StoreCorrupt: it is damaged, or no database at all.
            StoreLocked: another process held it for longer than ``timeout``.
            StoreError: the place does not do (the message says why).
        """
        self.path = Path(path).absolute()
        self._timeout = timeout
        self._vfs = vfs
        self._readers: list[sqlite3.Connection] = []
        self._reading = 0
        self._closing = False
        self._mutex = allocate_lock()  # guards the three above
        prepare(self.path)
        try:
            connection = connect(self.path, timeout=timeout, vfs=vfs, writes=True)
            try:
                ensure_schema(connection, self.path)
                _check_tail(connection, self.path)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        self._engine = _SqliteEngine(connection, self.path)
        self._commits = GroupCommit(self._engine)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a transaction; return its value once the commit is durable.

        ``work`` may run on another thread that writes at the same moment.

        Raises:
            StoreError: nothing that ``work`` did has happened.
        """
        return self._commits.write(work)

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """Like ``write``, without blocking the calling thread (for event loops)."""
        return self._commits.submit(work)

    def read(self, work: Callable[[Snapshot], T]) -> T:
        """Run ``work`` on a consistent view of what is committed.

        Raises:
            StoreError: the store could not be read.
        """
        self._commits.check_caller()
        connection = self._take_reader()
        sound = False
        try:
            connection.execute("BEGIN")
            snapshot = SqliteSnapshot(connection)
            try:
                return self._commits.run_inside(work, snapshot)
            finally:
                snapshot.end()
                connection.execute("ROLLBACK")
                sound = True
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        finally:
            self._give_back(connection, sound)

    def close(self) -> None:
        """Finish running work and release the store. A second call does nothing."""
        if not self._commits.close():
            return
        with self._mutex:
            self._closing = True
            idle, self._readers = self._readers, []
        for reader in idle:
            reader.close()
        self._engine.close()

    def __enter__(self) -> SqliteStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_reader(self) -> sqlite3.Connection:
        self._commits.check_open()
        with self._mutex:
            if self._readers:
                return self._readers.pop()
        try:
            return connect(self.path, timeout=self._timeout, vfs=self._vfs, writes=False)
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    def _give_back(self, connection: sqlite3.Connection, sound: bool) -> None:
        with self._mutex:
            if sound and not self._closing and len(self._readers) < _IDLE_READERS:
                self._readers.append(connection)
                return
        connection.close()


class _SqliteEngine:
    """The writing connection as the leader of a group commit drives it."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._transaction = SqliteTransaction(connection)
        self._begun = False
        self._sound = True
        self._next_scrub = 0.0

    def begin(self) -> None:
        self._begun = False
        if not self._sound:  # a thread was interrupted in here, and again while it cleaned up
            self.rollback()
        self._sound = False
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._begun = True
            self._transaction.begin()
        except sqlite3.Error as error:
            raise translate(error, self._path) from error

    def run(self, work: Callable[[Transaction], T]) -> T:
        try:
            return self._transaction.run(work)
        except Exception as error:
            problem = translate(error, self._path) if isinstance(error, sqlite3.Error) else None
            if not self._connection.in_transaction:
                lost = problem or StoreError(f"{self._path}: the transaction was lost ({error}).")
                raise TransactionLost(lost) from error
            if problem is not None:
                raise problem from error
            raise

    def commit(self) -> None:
        try:
            self._transaction.flush()
            self._connection.execute("COMMIT")
            self._sound = True
        except sqlite3.Error as error:
            self._begun = False
            raise translate(error, self._path) from error

    def rollback(self) -> None:
        self._begun = False
        self._transaction.forget()
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:  # SQLite has rolled back by itself
            return

    def committed(self) -> bool:
        return self._begun and not self._connection.in_transaction

    def rest(self) -> None:
        self._transaction.trim()
        if self._transaction.erased and monotonic() >= self._next_scrub:
            self._empty_wal()

    def close(self) -> None:
        self._connection.close()

    def _empty_wal(self) -> None:
        """After an erasure: leave no copy of the values in the write-ahead log."""
        execute = self._connection.execute
        try:
            timeout = execute("PRAGMA busy_timeout").fetchone()[0]
            execute(f"PRAGMA busy_timeout = {min(timeout, _SCRUB_PATIENCE)}")
            busy = execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            execute(f"PRAGMA busy_timeout = {timeout}")
        except sqlite3.Error:
            busy = True
        self._transaction.erased = bool(busy)
        if busy:
            self._next_scrub = monotonic() + _SCRUB_INTERVAL


def _check_tail(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the newest record and the tree above it belong together.

    Raises:
        StoreCorrupt: they do not.
    """
    row = connection.execute(
        "SELECT position, tree, body FROM records ORDER BY position DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return
    position, tree, body = row
    read = SqliteSnapshot(connection).hashes
    try:
        expected = merkle.append(position, merkle.leaf_hash(body), read)
        merkle.root(position + 1, read)
    except StoreError as error:
        raise StoreCorrupt(f"{path}: the log has a gap. {error}") from error
    if b"".join(expected) != tree:
        raise StoreCorrupt(
            f"{path}: the newest record ({position}) does not match its hash in the tree. Keep "
            "the file for examination, and go on with a backup or a new file."
        )
