"""How a node commits a group of closures: run them as drafts, take the head, check, write.

1. Closures run as drafts (``drafts``): nothing is locked while policies are evaluated.
2. The node locks the one row that says where the log ends. It holds it until the commit is durable,
   so the commits of all nodes have one order, and the log has it too.
3. What the drafts read is checked against the versions of the rows. What holds is kept
   (``arranging``); the rest runs again, now with the head in hand.
4. All is written in a few statements, and committed.

When the connection breaks, the node connects anew and tries again: closures may run more than once.
Where it broke between COMMIT and the answer, the node asks what became of the transaction first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from secrets import token_hex
from time import monotonic, sleep
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from remit.errors import StoreError
from remit.stops import Stop
from remit.storage import Transaction
from remit.storage.commit import TransactionLost
from remit.storage.edge import Head
from remit.storage.encoding import decode_stop
from remit.storage.postgres import rows
from remit.storage.postgres.arranging import Found, arrange
from remit.storage.postgres.drafts import Draft, Drafts, Kind, Place, RememberedRow
from remit.storage.postgres.links import Links
from remit.storage.postgres.schema import is_lost, translate
from remit.storage.postgres.transaction import PostgresTransaction

T = TypeVar("T")

CHANNEL = "remit"
"""What nodes listen to, to hear of approvals, stops and policies at once."""
_AHEAD = 1_000_000_000
"""Nanoseconds by which overdue actions are asked for in advance."""
_PAUSE = 0.05

_HEAD = "SELECT generation, stopped, size, at, edge FROM head"
_LOCK = f"{_HEAD} FOR UPDATE"
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_OVERDUE = (
    "SELECT DISTINCT session FROM actions WHERE open AND session = ANY(%s) AND lease_until <= %s"
)
_MOVE = "UPDATE head SET generation = %s, stopped = %s, size = %s, at = %s, edge = %s"
_MARK = (
    "INSERT INTO marks (node, mark) VALUES (%s, %s) ON CONFLICT (node) "
    "DO UPDATE SET mark = excluded.mark, at = clock_timestamp()"
)
_AGAIN = (errors.SerializationFailure, errors.DeadlockDetected)


class PostgresEngine:
    """The writing connection of a node as the leader of a group commit drives it."""

    def __init__(self, links: Links, timeout: float) -> None:
        """Write over a connection of ``links``; give up after ``timeout`` seconds without one."""
        self._links = links
        self._timeout = timeout
        self._link: psycopg.Connection[Any] | None = None
        self._drafts = Drafts(self._fetch, self._fetch_stops)
        self._units: list[Draft] = []
        self._head: Head | None = None
        """Where the log ended when this node saw it last."""
        self._node = token_hex(12)
        """Stands for this engine in ``marks``."""
        self._mark = 0
        """Of the attempt under way."""
        self._sent = False
        self._committed = False

    def begin(self) -> None:
        """Start a group on what this node knows of the log. Nothing is locked yet.

        Raises:
            StoreError: nothing is known, and the database does not answer.
        """
        self._units = []
        self._committed = self._sent = False
        try:
            if self._head is None:
                self._head = self._patiently(self._read_head)
        except psycopg.Error as error:
            raise translate(error, self._links.url) from error
        self._drafts.begin(self._head.size, self._head.at)

    def run(self, work: Callable[[Transaction], T]) -> T:
        """Run one closure as a draft; gives a ``Later``.

        Raises:
            TransactionLost: the database failed while it ran.
        """
        draft = Draft(work)
        try:
            self._patiently(lambda: self._drafts.run(draft), draft)
        except psycopg.Error as error:
            raise TransactionLost(translate(error, self._links.url)) from error
        self._units.append(draft)
        return draft  # type: ignore[return-value]  # a ``Later``, as the group commit knows

    def commit(self) -> None:
        """Take the head, check the drafts, write and commit; again after a lost connection.

        Raises:
            TransactionLost: the transaction failed; a closure alone may fare better.
            StoreError: nothing became durable.
        """
        if all(not unit.needs_head and _is_idle(unit) for unit in self._units):
            self._committed = True
            return
        deadline, again = monotonic() + self._timeout, False
        while True:
            try:
                self._attempt(again)
                return
            except psycopg.Error as error:
                if self._came_through(error, deadline):
                    return
                again = True

    def rollback(self) -> None:
        """Undo the transaction, if one is open, and forget what was remembered. Never raises."""
        self._units = []
        self._forget()
        if self._link is not None:
            try:
                if not self._link.closed:
                    self._link.execute("ROLLBACK")
            except psycopg.Error:
                self._drop()

    def committed(self) -> bool:
        """Whether the group last begun is durable. Asked after an interrupt."""
        if self._sent and not self._committed:
            self._drop()
            try:
                self._committed = self._patiently(self._has_arrived)
            except psycopg.Error:
                return False
        return self._committed

    def rest(self) -> None:
        """Housekeeping between two groups. Never raises."""
        self._drafts.trim()
        if self._link is not None:
            self._links.rest(self._link)

    def close(self) -> None:
        """Close the connection."""
        self._drop()

    @property
    def size(self) -> int:
        """Of the log, as this node has seen it."""
        head = self._head
        return 0 if head is None else head.size

    # Connections.

    def _connection(self) -> psycopg.Connection[Any]:
        if self._link is None or self._link.closed:
            self._link = self._links.open()
        self._links.work(self._link)
        return self._link

    def _idle_connection(self) -> psycopg.Connection[Any]:
        """The connection, outside of any transaction: what an earlier one left is thrown away."""
        connection = self._connection()
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            self._drop()
            connection = self._connection()
        return connection

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._links.discard(link)

    def _forget(self) -> None:
        self._head = None
        self._drafts.forget()

    def _patiently(self, step: Callable[[], T], draft: Draft | None = None) -> T:
        """Do a step that only reads, on a new connection when the old one is gone."""
        deadline = monotonic() + self._timeout
        while True:
            try:
                value = step()
                problem = None if draft is None else draft.error
                if not isinstance(problem, psycopg.Error):
                    return value
                raise problem
            except psycopg.Error as error:
                if not is_lost(error) or monotonic() >= deadline:
                    raise
                self._drop()
                sleep(_PAUSE)

    def _came_through(self, error: psycopg.Error, deadline: float) -> bool:
        """After a failed attempt: whether it was committed all the same; False to try again.

        Raises:
            TransactionLost: the transaction failed; a closure alone may fare better.
            StoreError: nothing was written, and to try again now does not help.
        """
        lost = is_lost(error)
        if self._sent and lost:
            self._drop()
            try:
                if self._patiently(self._has_arrived):
                    self._forget()
                    self._committed = True
                    return True
            except psycopg.Error as unknown:
                raise StoreError(
                    f"{translate(unknown, self._links.url)} Whether the last group was written "
                    "is not known: it is there or not as a whole."
                ) from unknown
        units = self._units
        self.rollback()
        self._units = units
        if monotonic() >= deadline:
            raise translate(error, self._links.url) from error
        if not lost and not isinstance(error, _AGAIN):
            raise TransactionLost(translate(error, self._links.url)) from error
        if lost:
            self._drop()
            sleep(_PAUSE)
        return False

    def _has_arrived(self) -> bool:
        """Whether the commit that was sent became durable.

        Its connection may not be over for the database yet; but as long as it is not, it holds the
        head.
        """
        connection = self._connection()
        connection.execute(_BEGIN)
        connection.execute(_LOCK)
        row = connection.execute("SELECT mark FROM marks WHERE node = %s", (self._node,)).fetchone()
        connection.execute("ROLLBACK")
        return row is not None and row[0] == self._mark

    # What drafts ask for.

    def _read_head(self) -> Head:
        row = self._connection().execute(_HEAD, binary=True).fetchone()
        assert row is not None, "made with the schema"
        return Head(*row)

    def _fetch(self, kind: Kind, key: str) -> tuple[int | None, Any]:
        return rows.fetch(self._connection(), kind, key)

    def _fetch_stops(self) -> tuple[int, Sequence[Stop]]:
        found = (
            self._connection()
            .execute("SELECT head.stopped, stops.body FROM head LEFT JOIN stops ON true")
            .fetchall()
        )
        stops = [decode_stop(body) for _, body in found if body is not None]
        return found[0][0], sorted(stops, key=lambda stop: (stop.at, stop.id))

    # One attempt to commit.

    def _attempt(self, again: bool) -> None:
        self._sent = False
        connection, drafts, units = self._idle_connection(), self._drafts, self._units
        encoded = rows.encoded(drafts.written)
        head, found = self._take_head(connection, again)
        ready = [] if again else [unit for unit in units if not unit.needs_head]
        arranged = arrange(ready, found)
        drafts.begin(arranged.size, arranged.at)
        drafts.written.update(arranged.rows)
        drafts.certain = True
        records, written = arranged.records, arranged.rows
        exact = [] if again else [unit for unit in units if unit.needs_head]
        for unit in units if again else arranged.stale:
            drafts.run(unit)
            if isinstance(unit.error, psycopg.Error):
                raise unit.error
            if unit.needs_head:
                exact.append(unit)
            else:
                records += unit.records
                written.update(unit.writes)
        # Before the commit: whether that arrived may come out later, and then all of it counts.
        for unit, value in arranged.values:
            unit.value = value
        transaction = PostgresTransaction(connection, head)
        with connection.pipeline():
            rows.append(connection, head, records)
            rows.write(connection, transaction.generation, written, encoded)
            if not exact:
                self._send(connection, transaction)
        if exact:
            for unit in exact:
                self._run_exactly(connection, transaction, unit)
            with connection.pipeline():
                self._send(connection, transaction)
        self._committed = True
        self._remember(transaction, written)

    def _take_head(self, connection: rows.Connection, again: bool) -> tuple[Head, Found]:
        """Lock the head, and look what the drafts were told that is not so any more."""
        drafts, known = self._drafts, self._head
        asked: dict[Any, int] = {}
        for unit in self._units:
            asked.update(unit.overdue)
        horizon = max(asked.values(), default=0) + _AHEAD
        # All that was read is checked, whoever wrote last: nothing rests on what is remembered.
        check = rows.RowCheck({} if again else self._reads())
        with connection.pipeline():
            connection.execute(_BEGIN)
            locked = connection.execute(_LOCK, binary=True, prepare=True)
            overdue = connection.execute(_OVERDUE, (list(asked), horizon), prepare=True)
            check.ask(connection)
        row = locked.fetchone()
        assert row is not None, "made with the schema"
        head = Head(*row)
        late = {session for (session,) in overdue.fetchall()}
        foreign = again or known is None or known.generation != head.generation
        drafts.epoch += 1
        changed = check.changed(drafts.epoch)
        restopped = drafts.stops_version != head.stopped
        if restopped:
            drafts.forget_stops()
        drafts.calm = {session: horizon for session in asked if session not in late}
        return head, Found(head.size, head.at, foreign, changed, restopped, late)

    def _reads(self) -> dict[Place, RememberedRow]:
        """What drafts were told of rows."""
        return {
            place: entry
            for unit in self._units
            if not unit.needs_head
            for place, entry in unit.reads.items()
        }

    def _run_exactly(
        self, connection: rows.Connection, transaction: PostgresTransaction, unit: Draft
    ) -> None:
        """Run a closure on the database, under a savepoint."""
        before = transaction.head.copy()
        connection.execute("SAVEPOINT closure")
        unit.value = unit.error = None
        try:
            unit.value = unit.work(transaction)
            connection.execute("RELEASE closure")
        except Exception as error:
            if isinstance(error, psycopg.Error) and (is_lost(error) or isinstance(error, _AGAIN)):
                raise
            connection.execute("ROLLBACK TO closure")
            connection.execute("RELEASE closure")
            transaction.head = before
            unit.error = (
                translate(error, self._links.url) if isinstance(error, psycopg.Error) else error
            )

    def _send(self, connection: rows.Connection, transaction: PostgresTransaction) -> None:
        """Move the head on, and commit; to be called in a pipeline."""
        head = transaction.head
        moved = (transaction.generation, head.stopped, head.size, head.at, head.edge())
        self._mark += 1
        connection.execute(_MARK, (self._node, self._mark), prepare=True)
        connection.execute(_MOVE, moved, prepare=True)
        if transaction.news:
            connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
        self._sent = True
        connection.execute("COMMIT", prepare=False)

    def _remember(self, transaction: PostgresTransaction, written: dict[Place, Any]) -> None:
        """Take over what is durable now."""
        drafts, head = self._drafts, transaction.head
        generation, remembered = transaction.generation, drafts.remembered
        head.generation = generation
        self._head = head
        for place, value in written.items():
            remembered[place] = RememberedRow(generation, value, drafts.epoch)
        for place in transaction.written:
            remembered.pop(place, None)
        if transaction.swept:
            for place in [each for each in remembered if each[0] in transaction.swept]:
                del remembered[place]
        if head.stopped == generation:
            drafts.forget_stops()


def _is_idle(unit: Draft) -> bool:
    """Whether a closure did nothing and looked at nothing."""
    return not (unit.writes or unit.records or unit.seen or unit.overdue or unit.stops)
