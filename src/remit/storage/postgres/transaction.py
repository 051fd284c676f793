"""What a closure sees of a PostgreSQL store when it writes with the log's head in its hands.

Every statement goes to the database at once, under a savepoint of the closure. Closures come here
that ask what a draft (``drafts``) cannot answer: they are the rare ones.
"""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg

from remit.approvals import Approval
from remit.budgets.cells import Cell
from remit.credentials import Credential
from remit.deliveries import Delivery, DeliveryId
from remit.model import ActionState, AdmittedAction, Revision, Session
from remit.stops import Stop, StopId
from remit.storage import KeptReply, SealedValues, Tally
from remit.storage.edge import Head
from remit.storage.encoding import encode
from remit.storage.postgres.drafts import Kind
from remit.storage.postgres.snapshot import PostgresSnapshot


class PostgresTransaction(PostgresSnapshot):
    """``Transaction`` over the writing connection, while it holds the lock on the head."""

    def __init__(self, connection: psycopg.Connection[Any], head: Head) -> None:
        super().__init__(connection)
        self.head = head
        self.generation = head.generation + 1
        self.written: set[tuple[Kind, str]] = set()
        """Rows that nodes remember and that closures changed here."""
        self.swept: set[Kind] = set()
        """Kinds of rows of which any may have been deleted."""
        self.news = False
        """Whether other nodes are to be told: of approvals, stops, policies."""

    def latest(self) -> int:
        """Time of the newest record (ns since the epoch), 0 for an empty log."""
        return self.head.at

    def log_size(self) -> int:
        """Number of records."""
        return self.head.size

    def put_memory(self, key: str, body: bytes) -> None:
        """Remember something under ``key``, instead of what was remembered before."""
        self.written.add(("memories", key))
        self._do(
            "INSERT INTO memories (key, version, body) VALUES (%s, %s, %s) ON CONFLICT (key) "
            "DO UPDATE SET version = excluded.version, body = excluded.body",
            key,
            self.generation,
            body,
        )

    def put_session(self, session: Session) -> None:
        """Insert or replace a session."""
        self.written.add(("sessions", session.id))
        self._do(
            "INSERT INTO sessions (id, version, body) VALUES (%s, %s, %s) ON CONFLICT (id) "
            "DO UPDATE SET version = excluded.version, body = excluded.body",
            session.id,
            self.generation,
            encode(session),
        )

    def put_action(self, action: AdmittedAction) -> None:
        """Insert or replace an admitted action."""
        self.written.add(("actions", action.id))
        self._do(
            "INSERT INTO actions (id, version, session, lease_until, open, body) "
            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET "
            "version = excluded.version, session = excluded.session, "
            "lease_until = excluded.lease_until, open = excluded.open, body = excluded.body",
            action.id,
            self.generation,
            action.session,
            action.lease_until,
            action.state is ActionState.ADMITTED,
            encode(action),
        )

    def put_arrival(self, key: str, at: int) -> None:
        """Keep a theoretical arrival time (ns)."""
        self.written.add(("arrivals", key))
        self._do(
            "INSERT INTO arrivals (key, version, at) VALUES (%s, %s, %s) ON CONFLICT (key) "
            "DO UPDATE SET version = excluded.version, at = excluded.at",
            key,
            self.generation,
            at,
        )

    def put_cell(self, cell: Cell) -> None:
        """Insert or replace a cell of the budget ledger."""
        self.written.add(("cells", cell.key))
        self._do(
            "INSERT INTO cells (key, version, budget, ends, body) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT (key) DO UPDATE SET version = excluded.version, ends = excluded.ends, "
            "body = excluded.body",
            cell.key,
            self.generation,
            cell.budget,
            cell.ends,
            encode(cell),
        )

    def forget_cells(self, before: int, limit: int) -> int:
        """Drop cells in which nothing counted any more at a time; how many."""
        self.swept.add("cells")
        return self._do(
            "DELETE FROM cells WHERE key IN "
            "(SELECT key FROM cells WHERE ends < %s ORDER BY ends, key LIMIT %s)",
            before,
            limit,
        )

    def put_approval(self, approval: Approval) -> None:
        """Insert or replace an approval."""
        self.news = True
        self._do(
            "INSERT INTO approvals (id, version, digest, state, created_at, body) "
            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET "
            "version = excluded.version, digest = excluded.digest, state = excluded.state, "
            "created_at = excluded.created_at, body = excluded.body",
            approval.id,
            self.generation,
            approval.digest,
            approval.state.value,
            approval.created_at,
            encode(approval),
        )

    def put_credential(self, credential: Credential) -> None:
        """Insert or replace a credential."""
        self._do(
            "INSERT INTO credentials (id, body) VALUES (%s, %s) "
            "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            credential.id,
            encode(credential),
        )

    def put_reply(self, reply: KeptReply) -> None:
        """Keep an answer; its key is not taken."""
        self.written.add(("replies", reply.key))
        self._do(
            "INSERT INTO replies (key, version, at, digest, body) VALUES (%s, %s, %s, %s, %s)",
            reply.key,
            self.generation,
            reply.at,
            reply.digest,
            reply.body,
        )

    def forget_replies(self, before: int, limit: int) -> int:
        """Drop answers that were given before a time; how many."""
        self.swept.add("replies")
        return self._do(
            "DELETE FROM replies WHERE number IN (SELECT number FROM "
            "(SELECT number, at FROM replies ORDER BY number LIMIT %s) AS oldest WHERE at < %s)",
            limit,
            before,
        )

    def put_stop(self, stop: Stop) -> None:
        """Insert or replace a stop."""
        self._stopping()
        self._do(
            "INSERT INTO stops (id, body) VALUES (%s, %s) "
            "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            stop.id,
            encode(stop),
        )

    def remove_stop(self, stop_id: StopId) -> bool:
        """Remove a stop; False when there is none."""
        self._stopping()
        return self._do("DELETE FROM stops WHERE id = %s", stop_id) > 0

    def put_delivery(self, delivery: Delivery) -> None:
        """Insert or replace a message."""
        self._do(
            "INSERT INTO deliveries (id, next_at, body) VALUES (%s, %s, %s) "
            "ON CONFLICT (id) DO UPDATE SET next_at = excluded.next_at, body = excluded.body",
            delivery.id,
            delivery.next_at,
            encode(delivery),
        )

    def remove_delivery(self, delivery_id: DeliveryId) -> bool:
        """Remove a message; False when there is none."""
        return self._do("DELETE FROM deliveries WHERE id = %s", delivery_id) > 0

    def put_cursor(self, name: str, position: int) -> None:
        """Keep a place in the log under ``name``."""
        self._do(
            "INSERT INTO cursors (name, position) VALUES (%s, %s) "
            "ON CONFLICT (name) DO UPDATE SET position = excluded.position",
            name,
            position,
        )

    def put_tally(self, tally: Tally) -> None:
        """Insert or replace a tally."""
        self._do(
            "INSERT INTO tallies (book, key, at, amounts) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (book, key, at) DO UPDATE SET amounts = excluded.amounts",
            tally.book,
            tally.key,
            tally.at,
            encode(tally.amounts),
        )

    def forget_tallies(self, before: int, limit: int) -> int:
        """Drop tallies that start before a time, at most ``limit`` of them; how many."""
        return self._do(
            "DELETE FROM tallies WHERE (book, key, at) IN "
            "(SELECT book, key, at FROM tallies WHERE at < %s ORDER BY at LIMIT %s)",
            before,
            limit,
        )

    def put_document(self, revision: Revision, bundle: bytes) -> None:
        """Keep a policy bundle; a second write under the same revision changes nothing."""
        self.news = True
        self._do(
            "INSERT INTO documents (revision, bundle) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            revision,
            bundle,
        )

    def append(self, body: bytes, *, at: int, values: SealedValues | None = None) -> int:
        """Append one record to the log, extend the tree by it, and return its position."""
        position = self.head.size
        tree = self.head.append(body, at)
        salt, canonical = (None, None) if values is None else (values.salt, values.canonical)
        self._do(
            "INSERT INTO records (position, at, tree, body, salt, canonical) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            position,
            at,
            tree,
            body,
            salt,
            canonical,
        )
        return position

    def erase(self, position: int) -> bool:
        """Erase the values of a record; False when there were none. The record stays."""
        return (
            self._do(
                "UPDATE records SET salt = NULL, canonical = NULL "
                "WHERE position = %s AND salt IS NOT NULL",
                position,
            )
            > 0
        )

    def put_checkpoint(self, note: bytes) -> None:
        """Keep the newest signed checkpoint."""
        self._do(
            "INSERT INTO checkpoint (one, note) VALUES (1, %s) "
            "ON CONFLICT (one) DO UPDATE SET note = excluded.note",
            note,
        )

    def _stopping(self) -> None:
        self.news = True
        self.head.stopped = self.generation

    def _do(self, sql: LiteralString, *parameters: Any) -> int:
        """Run a statement; how many rows it changed."""
        return self._connection.execute(sql, parameters).rowcount
