"""Rows that a SQLite transaction keeps in memory: those not yet written, and those last seen."""

from __future__ import annotations

import sqlite3

from remit.budgets.cells import Cell
from remit.model import ActionId, AdmittedAction, Session, SessionId
from remit.storage.encoding import encode

REMEMBERED = 8192
"""Rows of each kind kept in memory between transactions; all are dropped when there are more."""
REMEMBERED_BYTES = 16_000_000
"""Bytes of what sessions have seen that are kept in memory between transactions."""


class UnwrittenRows:
    """Rows not yet given to SQLite."""

    __slots__ = ("actions", "arrivals", "cells", "memories", "records", "replies", "sessions")

    def __init__(self) -> None:
        self.sessions: dict[SessionId, tuple[str, bytes]] = {}
        self.actions: dict[ActionId, tuple[str, str, int, bool, bytes]] = {}
        self.arrivals: dict[str, tuple[str, int]] = {}
        self.cells: dict[str, Cell] = {}  # encoded once, however often a commit changes them
        self.memories: dict[str, tuple[str, bytes]] = {}
        self.records: list[tuple[int, int, bytes, bytes, bytes | None, bytes | None]] = []
        self.replies: dict[str, tuple[str, int, bytes, bytes]] = {}

    def take(self, other: UnwrittenRows) -> None:
        """Add the rows of ``other``, which are newer, and leave it empty."""
        if other.sessions:
            self.sessions.update(other.sessions)
            other.sessions.clear()
        if other.actions:
            self.actions.update(other.actions)
            other.actions.clear()
        if other.arrivals:
            self.arrivals.update(other.arrivals)
            other.arrivals.clear()
        if other.cells:
            self.cells.update(other.cells)
            other.cells.clear()
        if other.memories:
            self.memories.update(other.memories)
            other.memories.clear()
        if other.records:
            self.records += other.records
            other.records.clear()
        if other.replies:
            self.replies.update(other.replies)
            other.replies.clear()

    def clear(self) -> None:
        """Forget all rows."""
        self.sessions.clear()
        self.actions.clear()
        self.arrivals.clear()
        self.cells.clear()
        self.memories.clear()
        self.records.clear()
        self.replies.clear()

    def flush(self, connection: sqlite3.Connection) -> None:
        """Give all rows to SQLite."""
        many = connection.executemany
        if self.records:
            many("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", self.records)
        if self.sessions:
            many(
                "INSERT INTO sessions (id, body) VALUES (?, ?) "
                "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                self.sessions.values(),
            )
        if self.actions:
            many(
                "INSERT INTO actions (id, session, lease_until, open, body) "
                "VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "session = excluded.session, lease_until = excluded.lease_until, "
                "open = excluded.open, body = excluded.body",
                self.actions.values(),
            )
        if self.arrivals:
            many(
                "INSERT INTO arrivals VALUES (?, ?) ON CONFLICT DO UPDATE SET at = excluded.at",
                self.arrivals.values(),
            )
        if self.cells:
            many(
                "INSERT INTO cells VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "ends = excluded.ends, body = excluded.body",
                [(key, each.budget, each.ends, encode(each)) for key, each in self.cells.items()],
            )
        if self.memories:
            many(
                "INSERT INTO memories VALUES (?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
                self.memories.values(),
            )
        if self.replies:
            many(
                "INSERT INTO replies (key, at, digest, body) VALUES (?, ?, ?, ?)",
                self.replies.values(),
            )
        self.clear()


class SeenRows:
    """Rows last seen, as the transaction sees them."""

    __slots__ = ("actions", "arrivals", "cells", "memories", "sessions")

    def __init__(self) -> None:
        self.sessions: dict[SessionId, Session | None] = {}
        self.actions: dict[ActionId, AdmittedAction | None] = {}
        self.arrivals: dict[str, int | None] = {}
        self.cells: dict[str, Cell | None] = {}
        self.memories: dict[str, bytes | None] = {}

    def take(self, other: SeenRows) -> None:
        """Add what ``other`` has seen, which is newer, and leave it empty."""
        if other.sessions:
            self.sessions.update(other.sessions)
            other.sessions.clear()
        if other.actions:
            self.actions.update(other.actions)
            other.actions.clear()
        if other.arrivals:
            self.arrivals.update(other.arrivals)
            other.arrivals.clear()
        if other.cells:
            self.cells.update(other.cells)
            other.cells.clear()
        if other.memories:
            self.memories.update(other.memories)
            other.memories.clear()

    def clear(self) -> None:
        """Forget all rows."""
        self.sessions.clear()
        self.actions.clear()
        self.arrivals.clear()
        self.cells.clear()
        self.memories.clear()

    def trim(self) -> None:
        """Keep memory bounded."""
        for seen in (self.sessions, self.actions, self.arrivals, self.cells):
            if len(seen) > REMEMBERED:
                seen.clear()
        if sum(len(body or b"") for body in self.memories.values()) > REMEMBERED_BYTES:
            self.memories.clear()
