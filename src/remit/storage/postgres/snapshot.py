"""What a closure sees of a PostgreSQL store when it reads: every question is one SQL statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, LiteralString

import psycopg

from remit.approvals import Approval, ApprovalState
from remit.audit import merkle
from remit.budgets.cells import Cell
from remit.credentials import Credential, CredentialId
from remit.deliveries import Delivery
from remit.errors import StoreCorrupt, StoreError
from remit.model import (
    ActionId,
    AdmittedAction,
    ApprovalId,
    Digest,
    Revision,
    Session,
    SessionId,
)
from remit.stops import Stop
from remit.storage import KeptReply, LoggedRecord, SealedValues, Tally
from remit.storage.encoding import (
    decode_action,
    decode_amounts,
    decode_approval,
    decode_cell,
    decode_credential,
    decode_delivery,
    decode_session,
    decode_stop,
)
from remit.storage.snapshot import locate

PAGE = 256
"""Records that one question asks for."""


class PostgresSnapshot:
    """``Snapshot`` over one connection that is inside a transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._open = True

    def end(self) -> None:
        """From here on the snapshot refuses iteration: its transaction is over."""
        self._open = False

    def session(self, session_id: SessionId) -> Session | None:
        """The session as stored, or None."""
        row = self._row("SELECT body FROM sessions WHERE id = %s", session_id)
        return decode_session(row[0]) if row else None

    def action(self, action_id: ActionId) -> AdmittedAction | None:
        """An admitted action, or None."""
        row = self._row("SELECT body FROM actions WHERE id = %s", action_id)
        return decode_action(row[0]) if row else None

    def overdue_actions(
        self, session_id: SessionId | None, now: int, limit: int
    ) -> Sequence[AdmittedAction]:
        """Actions still admitted whose lease ended at or before ``now``, oldest lease first."""
        if session_id is None:
            rows = self._rows(
                "SELECT body FROM actions WHERE open AND lease_until <= %s "
                "ORDER BY lease_until, id LIMIT %s",
                now,
                limit,
            )
        else:
            rows = self._rows(
                "SELECT body FROM actions WHERE open AND session = %s AND lease_until <= %s "
                "ORDER BY lease_until, id LIMIT %s",
                session_id,
                now,
                limit,
            )
        return [decode_action(row[0]) for row in rows]

    def arrival(self, key: str) -> int | None:
        """The theoretical arrival time (ns) kept under ``key``."""
        row = self._row("SELECT at FROM arrivals WHERE key = %s", key)
        return row[0] if row else None

    def memory(self, key: str) -> bytes | None:
        """What is remembered under ``key``."""
        row = self._row("SELECT body FROM memories WHERE key = %s", key)
        return row[0] if row else None

    def cell(self, key: str) -> Cell | None:
        """One cell of the budget ledger, or None."""
        row = self._row("SELECT body FROM cells WHERE key = %s", key)
        return decode_cell(row[0]) if row else None

    def cells(self, budget: str | None, limit: int, after: str = "") -> Sequence[Cell]:
        """Cells of one budget or of all (None), by key, from behind the key ``after``."""
        rows = self._rows(
            "SELECT body FROM cells WHERE key > %s AND (%s::text IS NULL OR budget = %s) "
            "ORDER BY key LIMIT %s",
            after,
            budget,
            budget,
            limit,
        )
        return [decode_cell(row[0]) for row in rows]

    def live_cells(
        self, budget: str | None, now: int, limit: int, after: str = ""
    ) -> Sequence[Cell]:
        """Cells of a budget or of all (None) in which something counts at ``now``, by key."""
        rows = self._rows(
            "SELECT body FROM cells WHERE ends > %s AND key > %s "
            "AND (%s::text IS NULL OR budget = %s) ORDER BY key LIMIT %s",
            now,
            after,
            budget,
            budget,
            limit,
        )
        return [decode_cell(row[0]) for row in rows]

    def approval(self, approval_id: ApprovalId) -> Approval | None:
        """One approval, or None."""
        row = self._row("SELECT body FROM approvals WHERE id = %s", approval_id)
        return decode_approval(row[0]) if row else None

    def approval_for(self, digest: Digest) -> Approval | None:
        """The newest approval bound to ``digest``, whatever its state."""
        row = self._row(
            "SELECT body FROM approvals WHERE digest = %s "
            "ORDER BY created_at DESC, number DESC LIMIT 1",
            digest,
        )
        return decode_approval(row[0]) if row else None

    def approvals(
        self, states: Sequence[ApprovalState], limit: int, after: ApprovalId | None = None
    ) -> Sequence[Approval]:
        """Approvals in any of ``states``, oldest first; behind ``after``."""
        names = sorted({state.value for state in states})
        if after is None:
            rows = self._rows(
                "SELECT body FROM approvals WHERE state = ANY(%s) "
                "ORDER BY created_at, number LIMIT %s",
                names,
                limit,
            )
        else:
            rows = self._rows(
                "SELECT body FROM approvals WHERE state = ANY(%s) AND (created_at, number) > "
                "(SELECT created_at, number FROM approvals WHERE id = %s) "
                "ORDER BY created_at, number LIMIT %s",
                names,
                after,
                limit,
            )
        return [decode_approval(row[0]) for row in rows]

    def stops(self) -> Sequence[Stop]:
        """The stops in force, oldest first."""
        kept = [decode_stop(row[0]) for row in self._rows("SELECT body FROM stops")]
        return sorted(kept, key=lambda stop: (stop.at, stop.id))

    def credential(self, credential_id: CredentialId) -> Credential | None:
        """One credential, or None."""
        row = self._row("SELECT body FROM credentials WHERE id = %s", credential_id)
        return decode_credential(row[0]) if row else None

    def credentials(self) -> Sequence[Credential]:
        """All credentials, in the order of their first writing."""
        rows = self._rows("SELECT body FROM credentials ORDER BY number")
        return [decode_credential(row[0]) for row in rows]

    def reply(self, key: str) -> KeptReply | None:
        """What was answered to the request with this key."""
        row = self._row("SELECT at, digest, body FROM replies WHERE key = %s", key)
        return KeptReply(key=key, at=row[0], digest=row[1], body=row[2]) if row else None

    def deliveries(self, now: int, limit: int) -> Sequence[Delivery]:
        """Messages whose ``next_at`` is at or before ``now``, the longest due first."""
        rows = self._rows(
            "SELECT body FROM deliveries WHERE next_at <= %s ORDER BY next_at, id LIMIT %s",
            now,
            limit,
        )
        return [decode_delivery(row[0]) for row in rows]

    def cursor(self, name: str) -> int | None:
        """The place in the log that was kept under ``name``."""
        row = self._row("SELECT position FROM cursors WHERE name = %s", name)
        return row[0] if row else None

    def tally(self, book: str, key: str, at: int) -> Tally | None:
        """One tally, or None."""
        row = self._row(
            "SELECT amounts FROM tallies WHERE book = %s AND key = %s AND at = %s", book, key, at
        )
        return Tally(book=book, key=key, at=at, amounts=decode_amounts(row[0])) if row else None

    def tallies(self, book: str, since: int, until: int, key: str | None = None) -> Iterator[Tally]:
        """Tallies of a book with ``since <= at < until``, of one key or of all, by key and time."""
        rows = self._rows(
            "SELECT key, at, amounts FROM tallies WHERE book = %s AND at >= %s AND at < %s "
            "AND (%s::text IS NULL OR key = %s) ORDER BY key, at",
            book,
            since,
            until,
            key,
            key,
        )
        for name, at, amounts in rows:
            yield Tally(book=book, key=name, at=at, amounts=decode_amounts(amounts))

    def document(self, revision: Revision) -> bytes | None:
        """The policy bundle stored under ``revision``."""
        row = self._row("SELECT bundle FROM documents WHERE revision = %s", revision)
        return row[0] if row else None

    def latest(self) -> int:
        """Time of the newest record (ns since the epoch), 0 for an empty log."""
        time: int = self._row("SELECT at FROM head")[0]
        return time

    def log_size(self) -> int:
        """Number of records."""
        size: int = self._row("SELECT size FROM head")[0]
        return size

    def records(self, start: int, stop: int) -> Iterator[LoggedRecord]:
        """Records ``start <= position < stop`` in order."""
        self._check_valid()
        while start < stop:
            rows = self._rows(
                "SELECT position, at, body FROM records WHERE position >= %s AND position < %s "
                "ORDER BY position LIMIT %s",
                start,
                stop,
                PAGE,
            )
            for position, at, body in rows:
                yield LoggedRecord(position=position, at=at, body=body)
                self._check_valid()
            if len(rows) < PAGE:
                return
            start = rows[-1][0] + 1

    def hashes(self, indexes: Sequence[int]) -> Sequence[bytes]:
        """Stored tree hashes, 32 bytes each, by stored index.

        Raises:
            StoreCorrupt: one of them is missing.
        """
        places = [locate(index) if index >= 0 else (-1, 0) for index in indexes]
        wanted = sorted({position for position, _ in places})
        trees: dict[int, bytes] = dict(
            self._rows("SELECT position, tree FROM records WHERE position = ANY(%s)", wanted)
            if wanted
            else ()
        )
        found = []
        for index, (position, place) in zip(indexes, places, strict=True):
            value = trees.get(position, b"")[32 * place : 32 * place + 32]
            if len(value) != merkle.HASH_SIZE:
                raise StoreCorrupt(
                    f"Tree hash {index} (of record {position}) is missing from the database. Keep "
                    "it for examination; 'remit audit verify' says what still holds."
                )
            found.append(value)
        return found

    def values(self, position: int) -> SealedValues | None:
        """The erasable values of a record; None when it has none or they were erased."""
        row = self._row(
            "SELECT salt, canonical FROM records WHERE position = %s AND salt IS NOT NULL",
            position,
        )
        return SealedValues(salt=row[0], canonical=row[1]) if row else None

    def checkpoint(self) -> bytes | None:
        """The newest signed checkpoint (a C2SP signed note), or None."""
        row = self._row("SELECT note FROM checkpoint")
        return row[0] if row else None

    def _check_valid(self) -> None:
        if not self._open:
            raise StoreError(
                "Records were read after the closure that asked for them had ended. Collect what "
                "you need inside the closure."
            )

    def _row(self, sql: LiteralString, *parameters: Any) -> Any:
        return self._connection.execute(sql, parameters, binary=True).fetchone()

    def _rows(self, sql: LiteralString, *parameters: Any) -> list[Any]:
        return self._connection.execute(sql, parameters, binary=True).fetchall()
