"""The floors: the least that a durable log in SQLite can cost from Python.

``BareCommit`` appends one row and commits; ``BareGroupCommit`` lets concurrent callers share a
commit. Neither decides, hashes, checks or indexes anything.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE log (position INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    return connection


class BareCommit:
    """One durable commit per append."""

    def __init__(self, path: Path) -> None:
        self._connection = _connect(path)

    def append(self, body: bytes) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("INSERT INTO log (body) VALUES (?)", (body,))
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()


class BareGroupCommit:
    """Concurrent callers share one durable commit; each returns after it."""

    def __init__(self, path: Path) -> None:
        self._connection = _connect(path)
        self._queue: list[tuple[bytes, list[bool]]] = []
        self._queue_lock = threading.Lock()
        self._commit_lock = threading.Lock()

    def append(self, body: bytes) -> None:
        done = [False]
        with self._queue_lock:
            self._queue.append((body, done))
        with self._commit_lock:
            if done[0]:
                return
            with self._queue_lock:
                batch, self._queue = self._queue, []
            self._connection.execute("BEGIN IMMEDIATE")
            for waiting, _ in batch:
                self._connection.execute("INSERT INTO log (body) VALUES (?)", (waiting,))
            self._connection.execute("COMMIT")
            for _, flag in batch:
                flag[0] = True

    def close(self) -> None:
        self._connection.close()
