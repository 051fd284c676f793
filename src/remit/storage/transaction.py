"""What a closure sees of a SQLite store when it writes.

The transaction of a shared commit keeps what every action writes in memory and gives it to SQLite
in a few statements at the end, so a closure that raises is undone by dropping its writes. A
question that memory cannot answer, and the rarer writes, go to SQLite at once, under a savepoint
of that closure. Rows last seen are remembered for as long as no other process has written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from remit.approvals import Approval
from remit.audit import merkle
from remit.budgets.cells import Cell
from remit.credentials import Credential
from remit.deliveries import Delivery, DeliveryId
from remit.model import (
    ActionId,
    ActionState,
    AdmittedAction,
    Revision,
    Session,
    SessionId,
)
from remit.stops import Stop, StopId
from remit.storage import KeptReply, LoggedRecord, SealedValues, Tally
from remit.storage.encoding import encode
from remit.storage.rows import REMEMBERED, SeenRows, UnwrittenRows
from remit.storage.snapshot import SqliteSnapshot

T = TypeVar("T")

_NEVER = 1 << 63


class SqliteTransaction(SqliteSnapshot):
    """``Transaction`` over the writing connection; one object serves all closures in turn."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._own = UnwrittenRows()  # of the closure that is running
        self._shared = UnwrittenRows()  # of the closures before it in this transaction
        self._own_memory = SeenRows()
        self._memory = SeenRows()
        self._leases: dict[SessionId, int] = {}  # no open lease of the session ends before this
        self._tree: dict[int, bytes] = {}  # stored tree hashes lately used
        self._stops: Sequence[Stop] | None = None  # as the transaction sees them
        self._size = self._time = 0
        self._before = (0, 0)
        self._savepoint = False
        self._version = -1

    # What the leader does, in this order.

    def begin(self) -> None:
        """Start: what is remembered holds only if no other process has written since."""
        version = self._row("PRAGMA data_version")[0]
        if version != self._version:
            self.forget()
            self._size, self._time = super()._tail()
            self._version = version

    def run(self, work: Callable[[SqliteTransaction], T]) -> T:
        """Run one closure; drop what it did when it raises."""
        self._before = (self._size, self._time)
        self._savepoint = False
        try:
            value = work(self)
            if self._savepoint:
                self._connection.execute("RELEASE closure")
        except KeyboardInterrupt:
            raise  # it can come between any two steps here; the leader rolls back everything
        except BaseException:
            self._undo()
            raise
        self._shared.take(self._own)
        self._memory.take(self._own_memory)
        return value

    def flush(self) -> None:
        """Give SQLite everything that the closures wrote."""
        self._shared.flush(self._connection)

    def forget(self) -> None:
        """Drop everything that is only in memory; ``begin`` reads it anew."""
        self._own.clear()
        self._shared.clear()
        self._own_memory.clear()
        self._memory.clear()
        self._leases.clear()
        self._tree.clear()
        self._stops = None
        self._version = -1

    def trim(self) -> None:
        """Keep memory bounded."""
        self._memory.trim()
        if len(self._leases) > REMEMBERED:
            self._leases.clear()
        if len(self._tree) > REMEMBERED:
            self._tree.clear()

    def _undo(self) -> None:
        self._own.clear()
        self._own_memory.clear()
        self._leases.clear()
        self._stops = None
        self._size, self._time = self._before
        if self._savepoint and self._connection.in_transaction:
            self._connection.execute("ROLLBACK TO closure")
            self._connection.execute("RELEASE closure")
            self._memory.cells.clear()  # one that this closure deleted may have been seen as absent

    def _mark(self) -> None:
        """Open the savepoint of this closure, before anything of it reaches SQLite."""
        if not self._savepoint:
            self._shared.flush(self._connection)
            self._connection.execute("SAVEPOINT closure")
            self._savepoint = True

    def _spill(self) -> None:
        """Make SQLite see everything written so far."""
        self._mark()
        self._own.flush(self._connection)

    # Reads: from memory where it knows, else from SQLite.

    def session(self, session_id: SessionId) -> Session | None:
        """The session as stored, or None."""
        for seen in (self._own_memory.sessions, self._memory.sessions):
            if session_id in seen:
                return seen[session_id]
        session = self._memory.sessions[session_id] = super().session(session_id)
        return session

    def action(self, action_id: ActionId) -> AdmittedAction | None:
        """An admitted action, or None."""
        for seen in (self._own_memory.actions, self._memory.actions):
            if action_id in seen:
                return seen[action_id]
        action = self._memory.actions[action_id] = super().action(action_id)
        return action

    def arrival(self, key: str) -> int | None:
        """The theoretical arrival time (ns) kept under ``key``."""
        for seen in (self._own_memory.arrivals, self._memory.arrivals):
            if key in seen:
                return seen[key]
        at = self._memory.arrivals[key] = super().arrival(key)
        return at

    def memory(self, key: str) -> bytes | None:
        """What is remembered under ``key``."""
        for seen in (self._own_memory.memories, self._memory.memories):
            if key in seen:
                return seen[key]
        body = self._memory.memories[key] = super().memory(key)
        return body

    def cell(self, key: str) -> Cell | None:
        """One cell of the budget ledger, or None."""
        for seen in (self._own_memory.cells, self._memory.cells):
            if key in seen:
                return seen[key]
        cell = self._memory.cells[key] = super().cell(key)
        return cell

    def cells(self, budget: str | None, limit: int, after: str = "") -> Sequence[Cell]:
        """Cells of one budget or of all (None), by key, from behind the key ``after``."""
        self._spill()
        return super().cells(budget, limit, after)

    def live_cells(
        self, budget: str | None, now: int, limit: int, after: str = ""
    ) -> Sequence[Cell]:
        """Cells of a budget or of all (None) in which something counts at ``now``, by key."""
        self._spill()
        return super().live_cells(budget, now, limit, after)

    def reply(self, key: str) -> KeptReply | None:
        """What was answered to the request with this key."""
        for written in (self._own, self._shared):
            row = written.replies.get(key)
            if row is not None:
                return KeptReply(key=row[0], at=row[1], digest=row[2], body=row[3])
        return super().reply(key)

    def overdue_actions(
        self, session_id: SessionId | None, now: int, limit: int
    ) -> Sequence[AdmittedAction]:
        """Actions still admitted whose lease ended at or before ``now``, oldest lease first."""
        if session_id is not None and now < self._leases.get(session_id, 0):
            return ()
        self._spill()
        overdue = super().overdue_actions(session_id, now, limit)
        if session_id is not None and not overdue:
            row = self._row(
                "SELECT min(lease_until) FROM actions WHERE open AND session = ?", session_id
            )
            self._leases[session_id] = _NEVER if row[0] is None else row[0]
        return overdue

    def stops(self) -> Sequence[Stop]:
        """The stops in force, oldest first."""
        if self._stops is None:
            self._stops = tuple(super().stops())
        return self._stops

    def latest(self) -> int:
        """Time of the newest record (ns since the epoch), 0 for an empty log."""
        return self._time

    def log_size(self) -> int:
        """Number of records."""
        return self._size

    def records(self, start: int, stop: int) -> Iterator[LoggedRecord]:
        """Records ``start <= position < stop`` in order."""
        self._spill()
        # Read at once: the statement must not stay open across the end of a savepoint.
        rows = self._rows(
            "SELECT position, at, body FROM records WHERE position >= ? AND position < ? "
            "ORDER BY position",
            start,
            stop,
        )
        return (LoggedRecord(position=row[0], at=row[1], body=row[2]) for row in rows)

    def hashes(self, indexes: Sequence[int]) -> Sequence[bytes]:
        """Stored tree hashes, 32 bytes each, by stored index.

        Raises:
            StoreCorrupt: one of them is missing.
        """
        self._spill()
        return super().hashes(indexes)

    def values(self, position: int) -> SealedValues | None:
        """The erasable values of a record; None when it has none or they were erased."""
        self._spill()
        return super().values(position)

    # Writes: those of every action stay in memory, the rare ones go straight to SQLite.

    def put_memory(self, key: str, body: bytes) -> None:
        """Remember something under ``key``, instead of what was remembered before."""
        self._own.memories[key] = (key, body)
        self._own_memory.memories[key] = body

    def put_session(self, session: Session) -> None:
        """Insert or replace a session."""
        self._own.sessions[session.id] = (session.id, encode(session))
        self._own_memory.sessions[session.id] = session

    def put_action(self, action: AdmittedAction) -> None:
        """Insert or replace an admitted action."""
        lease = action.lease_until
        is_open = action.state is ActionState.ADMITTED
        self._own.actions[action.id] = (
            action.id,
            action.session,
            lease,
            is_open,
            encode(action),
        )
        self._own_memory.actions[action.id] = action
        if is_open and lease < self._leases.get(action.session, 0):
            self._leases[action.session] = lease

    def put_arrival(self, key: str, at: int) -> None:
        """Keep a theoretical arrival time (ns)."""
        self._own.arrivals[key] = (key, at)
        self._own_memory.arrivals[key] = at

    def put_cell(self, cell: Cell) -> None:
        """Insert or replace a cell of the budget ledger."""
        self._own.cells[cell.key] = cell
        self._own_memory.cells[cell.key] = cell

    def forget_cells(self, before: int, limit: int) -> int:
        """Drop cells in which nothing counted any more at a time; how many."""
        self._spill()
        cursor = self._connection.execute(
            "DELETE FROM cells WHERE key IN "
            "(SELECT key FROM cells WHERE ends < ? ORDER BY ends, key LIMIT ?)",
            (before, limit),
        )
        self._own_memory.cells.clear()
        self._memory.cells.clear()
        return cursor.rowcount

    def put_approval(self, approval: Approval) -> None:
        """Insert or replace an approval."""
        self._mark()
        self._connection.execute(
            "INSERT INTO approvals (id, digest, state, created_at, body) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, state = excluded.state, "
            "created_at = excluded.created_at, body = excluded.body",
            (
                approval.id,
                approval.digest,
                approval.state.value,
                approval.created_at,
                encode(approval),
            ),
        )

    def put_credential(self, credential: Credential) -> None:
        """Insert or replace a credential."""
        self._mark()
        self._connection.execute(
            "INSERT INTO credentials (id, body) VALUES (?, ?) "
            "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (credential.id, encode(credential)),
        )

    def put_reply(self, reply: KeptReply) -> None:
        """Keep an answer; its key is not taken."""
        self._own.replies[reply.key] = (reply.key, reply.at, reply.digest, reply.body)

    def forget_replies(self, before: int, limit: int) -> int:
        """Drop answers that were given before a time; how many."""
        self._spill()
        cursor = self._connection.execute(
            "DELETE FROM replies WHERE number IN (SELECT number FROM "
            "(SELECT number, at FROM replies ORDER BY number LIMIT ?) WHERE at < ?)",
            (limit, before),
        )
        return cursor.rowcount

    def put_stop(self, stop: Stop) -> None:
        """Insert or replace a stop."""
        self._mark()
        self._stops = None
        self._connection.execute(
            "INSERT INTO stops (id, body) VALUES (?, ?) "
            "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (stop.id, encode(stop)),
        )

    def remove_stop(self, stop_id: StopId) -> bool:
        """Remove a stop; False when there is none."""
        self._mark()
        self._stops = None
        cursor = self._connection.execute("DELETE FROM stops WHERE id = ?", (stop_id,))
        return cursor.rowcount > 0

    def put_delivery(self, delivery: Delivery) -> None:
        """Insert or replace a message."""
        self._mark()
        self._connection.execute(
            "INSERT INTO deliveries (id, next_at, body) VALUES (?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET next_at = excluded.next_at, body = excluded.body",
            (delivery.id, delivery.next_at, encode(delivery)),
        )

    def remove_delivery(self, delivery_id: DeliveryId) -> bool:
        """Remove a message; False when there is none."""
        self._mark()
        cursor = self._connection.execute("DELETE FROM deliveries WHERE id = ?", (delivery_id,))
        return cursor.rowcount > 0

    def put_cursor(self, name: str, position: int) -> None:
        """Keep a place in the log under ``name``."""
        self._mark()
        self._connection.execute(
            "INSERT INTO cursors VALUES (?, ?) "
            "ON CONFLICT DO UPDATE SET position = excluded.position",
            (name, position),
        )

    def put_tally(self, tally: Tally) -> None:
        """Insert or replace a tally."""
        self._mark()
        self._connection.execute(
            "INSERT INTO tallies VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET amounts = excluded.amounts",
            (tally.book, tally.key, tally.at, encode(tally.amounts)),
        )

    def forget_tallies(self, before: int, limit: int) -> int:
        """Drop tallies that start before a time, at most ``limit`` of them; how many."""
        self._mark()
        cursor = self._connection.execute(
            "DELETE FROM tallies WHERE (book, key, at) IN "
            "(SELECT book, key, at FROM tallies WHERE at < ? ORDER BY at LIMIT ?)",
            (before, limit),
        )
        return cursor.rowcount

    def put_document(self, revision: Revision, bundle: bytes) -> None:
        """Keep a policy bundle; a second write under the same revision changes nothing."""
        self._mark()
        self._connection.execute(
            "INSERT INTO documents VALUES (?, ?) ON CONFLICT DO NOTHING", (revision, bundle)
        )

    def append(self, body: bytes, *, at: int, values: SealedValues | None = None) -> int:
        """Append one record to the log, extend the tree by it, and return its position."""
        position = self._size
        hashes = merkle.append(position, merkle.leaf_hash(body), self._known_hashes)
        salt, canonical = (None, None) if values is None else (values.salt, values.canonical)
        self._own.records.append((position, at, b"".join(hashes), body, salt, canonical))
        self._tree.update(enumerate(hashes, merkle.stored_count(position)))
        self._size = position + 1
        self._time = at
        return position

    def erase(self, position: int) -> bool:
        """Erase the values of a record; False when there were none. The record stays."""
        self._spill()
        cursor = self._connection.execute(
            "UPDATE records SET salt = NULL, canonical = NULL "
            "WHERE position = ? AND salt IS NOT NULL",
            (position,),
        )
        self.erased = self.erased or cursor.rowcount > 0
        return cursor.rowcount > 0

    def put_checkpoint(self, note: bytes) -> None:
        """Keep the newest signed checkpoint."""
        self._mark()
        self._connection.execute(
            "INSERT INTO checkpoint VALUES (1, ?) ON CONFLICT DO UPDATE SET note = excluded.note",
            (note,),
        )

    erased = False
    """Whether values were erased since the write-ahead log was last emptied."""

    def _known_hashes(self, indexes: Sequence[int]) -> Sequence[bytes]:
        """Stored hashes of the right edge of the tree, nearly always from memory."""
        tree = self._tree
        try:
            return [tree[index] for index in indexes]
        except KeyError:
            found = self.hashes(indexes)
            tree.update(zip(indexes, found, strict=True))
            return found
