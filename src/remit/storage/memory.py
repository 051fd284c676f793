"""The store in memory: the same behaviour as on disk, for tests and for what need not last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from remit.approvals import Approval, ApprovalState
from remit.audit import merkle
from remit.budgets.cells import Cell
from remit.credentials import Credential, CredentialId
from remit.deliveries import Delivery, DeliveryId
from remit.errors import StoreCorrupt, StoreError
from remit.model import (
    ActionId,
    ActionState,
    AdmittedAction,
    ApprovalId,
    Digest,
    Revision,
    Session,
    SessionId,
)
from remit.stops import Stop, StopId
from remit.storage import KeptReply, LoggedRecord, SealedValues, Snapshot, Tally, Transaction
from remit.storage.encoding import (
    decode_action,
    decode_approval,
    decode_cell,
    decode_credential,
    decode_delivery,
    decode_session,
    decode_stop,
    encode,
)

T = TypeVar("T")


class _Contents:
    """Everything in the store. Structs are kept as bytes, so no caller shares an object with it."""

    def __init__(self) -> None:
        self.sessions: dict[SessionId, bytes] = {}
        self.actions: dict[ActionId, bytes] = {}
        self.open_leases: dict[ActionId, tuple[int, ActionId, SessionId]] = {}
        self.arrivals: dict[str, int] = {}
        self.memories: dict[str, bytes] = {}
        self.cells: dict[str, bytes] = {}
        self.approvals: dict[ApprovalId, bytes] = {}
        self.credentials: dict[CredentialId, bytes] = {}
        self.stops: dict[StopId, bytes] = {}
        self.deliveries: dict[DeliveryId, bytes] = {}
        self.cursors: dict[str, int] = {}
        self.tallies: dict[tuple[str, str, int], Tally] = {}
        self.replies: dict[str, KeptReply] = {}
        self.documents: dict[Revision, bytes] = {}
        self.values: dict[int, SealedValues] = {}
        self.checkpoint: dict[None, bytes] = {}
        self.records: list[LoggedRecord] = []
        self.hashes: list[bytes] = []


class MemorySnapshot:
    """``Snapshot`` over the contents of a ``MemoryStore``."""

    def __init__(self, contents: _Contents) -> None:
        self._contents = contents

    def session(self, session_id: SessionId) -> Session | None:
        """The session as stored, or None."""
        body = self._contents.sessions.get(session_id)
        return None if body is None else decode_session(body)

    def action(self, action_id: ActionId) -> AdmittedAction | None:
        """An admitted action, or None."""
        body = self._contents.actions.get(action_id)
        return None if body is None else decode_action(body)

    def overdue_actions(
        self, session_id: SessionId | None, now: int, limit: int
    ) -> Sequence[AdmittedAction]:
        """Actions still admitted whose lease ended at or before ``now``, oldest lease first."""
        overdue = sorted(
            (lease, action_id)
            for lease, action_id, session in self._contents.open_leases.values()
            if lease <= now and session_id in (None, session)
        )
        return [decode_action(self._contents.actions[item[1]]) for item in overdue[:limit]]

    def memory(self, key: str) -> bytes | None:
        """What is remembered under ``key``."""
        return self._contents.memories.get(key)

    def arrival(self, key: str) -> int | None:
        """The theoretical arrival time (ns) kept under ``key``."""
        return self._contents.arrivals.get(key)

    def cell(self, key: str) -> Cell | None:
        """One cell of the budget ledger, or None."""
        body = self._contents.cells.get(key)
        return None if body is None else decode_cell(body)

    def cells(self, budget: str | None, limit: int, after: str = "") -> Sequence[Cell]:
        """Cells of one budget or of all (None), by key, from behind the key ``after``."""
        kept = (decode_cell(self._contents.cells[key]) for key in sorted(self._contents.cells))
        found = (each for each in kept if each.key > after and budget in (None, each.budget))
        return list(islice(found, limit))

    def approval(self, approval_id: ApprovalId) -> Approval | None:
        """One approval, or None."""
        body = self._contents.approvals.get(approval_id)
        return None if body is None else decode_approval(body)

    def approval_for(self, digest: Digest) -> Approval | None:
        """The newest approval bound to ``digest``, whatever its state."""
        bound = [approval for approval in self._oldest_first() if approval.digest == digest]
        return bound[-1] if bound else None

    def approvals(
        self, states: Sequence[ApprovalState], limit: int, after: ApprovalId | None = None
    ) -> Sequence[Approval]:
        """Approvals in any of ``states``, oldest first; behind ``after``."""
        kept = self._oldest_first()
        if after is not None:
            places = [place for place, each in enumerate(kept, 1) if each.id == after]
            kept = kept[places[0] :] if places else []
        return [approval for approval in kept if approval.state in states][:limit]

    def stops(self) -> Sequence[Stop]:
        """The stops in force, oldest first."""
        kept = [decode_stop(body) for body in self._contents.stops.values()]
        return sorted(kept, key=lambda stop: (stop.at, stop.id))

    def credential(self, credential_id: CredentialId) -> Credential | None:
        """One credential, or None."""
        body = self._contents.credentials.get(credential_id)
        return None if body is None else decode_credential(body)

    def credentials(self) -> Sequence[Credential]:
        """All credentials, in the order of their first writing."""
        return [decode_credential(body) for body in self._contents.credentials.values()]

    def reply(self, key: str) -> KeptReply | None:
        """What was answered to the request with this key."""
        return self._contents.replies.get(key)

    def deliveries(self, now: int, limit: int) -> Sequence[Delivery]:
        """Messages whose ``next_at`` is at or before ``now``, the longest due first."""
        kept = [decode_delivery(body) for body in self._contents.deliveries.values()]
        due = [delivery for delivery in kept if delivery.next_at <= now]
        return sorted(due, key=lambda delivery: (delivery.next_at, delivery.id))[:limit]

    def cursor(self, name: str) -> int | None:
        """The place in the log that was kept under ``name``."""
        return self._contents.cursors.get(name)

    def live_cells(
        self, budget: str | None, now: int, limit: int, after: str = ""
    ) -> Sequence[Cell]:
        """Cells of a budget or of all (None) in which something counts at ``now``, by key."""
        kept = self.cells(budget, len(self._contents.cells), after)
        return [each for each in kept if each.ends > now][:limit]

    def tally(self, book: str, key: str, at: int) -> Tally | None:
        """One tally, or None."""
        return self._contents.tallies.get((book, key, at))

    def tallies(self, book: str, since: int, until: int, key: str | None = None) -> Iterator[Tally]:
        """Tallies of a book with ``since <= at < until``, of one key or of all, by key and time."""
        for place, tally in sorted(self._contents.tallies.items()):
            if place[0] == book and since <= tally.at < until and key in (None, tally.key):
                yield tally

    def document(self, revision: Revision) -> bytes | None:
        """The policy bundle stored under ``revision``."""
        return self._contents.documents.get(revision)

    def latest(self) -> int:
        """Time of the newest record (ns since the epoch), 0 for an empty log."""
        records = self._contents.records
        return records[-1].at if records else 0

    def log_size(self) -> int:
        """Number of records."""
        return len(self._contents.records)

    def records(self, start: int, stop: int) -> Iterator[LoggedRecord]:
        """Records ``start <= position < stop`` in order."""
        return iter(self._contents.records[max(start, 0) : max(stop, 0)])

    def hashes(self, indexes: Sequence[int]) -> Sequence[bytes]:
        """Stored tree hashes, 32 bytes each, by stored index.

        Raises:
            StoreCorrupt: one of them is missing.
        """
        stored = self._contents.hashes
        for index in indexes:
            if not 0 <= index < len(stored):
                raise StoreCorrupt(f"Tree hash {index} is missing from the store.")
        return [stored[index] for index in indexes]

    def values(self, position: int) -> SealedValues | None:
        """The erasable values of a record; None when it has none or they were erased."""
        return self._contents.values.get(position)

    def checkpoint(self) -> bytes | None:
        """The newest signed checkpoint (a C2SP signed note), or None."""
        return self._contents.checkpoint.get(None)

    def _oldest_first(self) -> list[Approval]:
        approvals = [decode_approval(body) for body in self._contents.approvals.values()]
        return sorted(approvals, key=lambda approval: approval.created_at)


class MemoryTransaction(MemorySnapshot):
    """``Transaction`` over the contents of a ``MemoryStore``; it can undo what it did."""

    def __init__(self, contents: _Contents) -> None:
        super().__init__(contents)
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []
        self._size = len(contents.records)

    def undo(self) -> None:
        """Put everything back as it was when the transaction began."""
        for table, key, value in reversed(self._undo):
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
        del self._contents.records[self._size :]
        del self._contents.hashes[merkle.stored_count(self._size) :]

    def put_memory(self, key: str, body: bytes) -> None:
        """Remember something under ``key``, instead of what was remembered before."""
        self._put(self._contents.memories, key, body)

    def put_session(self, session: Session) -> None:
        """Insert or replace a session."""
        self._put(self._contents.sessions, session.id, encode(session))

    def put_action(self, action: AdmittedAction) -> None:
        """Insert or replace an admitted action."""
        self._put(self._contents.actions, action.id, encode(action))
        is_open = action.state is ActionState.ADMITTED
        lease = (action.lease_until, action.id, action.session) if is_open else None
        self._put(self._contents.open_leases, action.id, lease)

    def put_arrival(self, key: str, at: int) -> None:
        """Keep a theoretical arrival time (ns)."""
        self._put(self._contents.arrivals, key, at)

    def put_cell(self, cell: Cell) -> None:
        """Insert or replace a cell of the budget ledger."""
        self._put(self._contents.cells, cell.key, encode(cell))

    def forget_cells(self, before: int, limit: int) -> int:
        """Drop cells in which nothing counted any more at a time; how many."""
        kept = [decode_cell(body) for body in self._contents.cells.values()]
        old = sorted((cell.ends, cell.key) for cell in kept if cell.ends < before)[:limit]
        for _, key in old:
            self._put(self._contents.cells, key, None)
        return len(old)

    def put_approval(self, approval: Approval) -> None:
        """Insert or replace an approval."""
        self._put(self._contents.approvals, approval.id, encode(approval))

    def put_credential(self, credential: Credential) -> None:
        """Insert or replace a credential."""
        self._put(self._contents.credentials, credential.id, encode(credential))

    def put_reply(self, reply: KeptReply) -> None:
        """Keep an answer; its key is not taken."""
        self._put(self._contents.replies, reply.key, reply)

    def forget_replies(self, before: int, limit: int) -> int:
        """Drop answers that were given before a time; how many."""
        replies = self._contents.replies.values()
        old = list(islice((reply.key for reply in replies if reply.at < before), limit))
        for key in old:
            self._put(self._contents.replies, key, None)
        return len(old)

    def put_stop(self, stop: Stop) -> None:
        """Insert or replace a stop."""
        self._put(self._contents.stops, stop.id, encode(stop))

    def remove_stop(self, stop_id: StopId) -> bool:
        """Remove a stop; False when there is none."""
        held = stop_id in self._contents.stops
        self._put(self._contents.stops, stop_id, None)
        return held

    def put_delivery(self, delivery: Delivery) -> None:
        """Insert or replace a message."""
        self._put(self._contents.deliveries, delivery.id, encode(delivery))

    def remove_delivery(self, delivery_id: DeliveryId) -> bool:
        """Remove a message; False when there is none."""
        held = delivery_id in self._contents.deliveries
        self._put(self._contents.deliveries, delivery_id, None)
        return held

    def put_cursor(self, name: str, position: int) -> None:
        """Keep a place in the log under ``name``."""
        self._put(self._contents.cursors, name, position)

    def put_tally(self, tally: Tally) -> None:
        """Insert or replace a tally."""
        self._put(self._contents.tallies, (tally.book, tally.key, tally.at), tally)

    def forget_tallies(self, before: int, limit: int) -> int:
        """Drop tallies that start before a time, at most ``limit`` of them; how many."""
        old = sorted((each.at, place) for place, each in self._contents.tallies.items())
        for at, place in old[:limit]:
            if at < before:
                self._put(self._contents.tallies, place, None)
        return sum(at < before for at, _ in old[:limit])

    def put_document(self, revision: Revision, bundle: bytes) -> None:
        """Keep a policy bundle; a second write under the same revision changes nothing."""
        if revision not in self._contents.documents:
            self._put(self._contents.documents, revision, bundle)

    def append(self, body: bytes, *, at: int, values: SealedValues | None = None) -> int:
        """Append one record to the log, extend the tree by it, and return its position."""
        position = len(self._contents.records)
        self._contents.hashes += merkle.append(position, merkle.leaf_hash(body), self.hashes)
        self._contents.records.append(LoggedRecord(position=position, at=at, body=body))
        if values is not None:
            self._put(self._contents.values, position, values)
        return position

    def erase(self, position: int) -> bool:
        """Erase the values of a record; False when there were none. The record stays."""
        held = position in self._contents.values
        self._put(self._contents.values, position, None)
        return held

    def put_checkpoint(self, note: bytes) -> None:
        """Keep the newest signed checkpoint."""
        self._put(self._contents.checkpoint, None, note)

    def _put(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        """Set a row, or remove it when ``value`` is None; remember what was there."""
        self._undo.append((table, key, table.get(key)))
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value


class MemoryStore:
    """A store that lives as long as the process. Nothing in it is durable."""

    def __init__(self) -> None:
        self._contents = _Contents()
        self._mutex = threading.Lock()
        self._inside = threading.local()
        self._closed = False

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a transaction; when it raises, nothing it did has happened.

        Raises:
            StoreError: the store is closed, or the call came from inside a closure.
        """
        with self._turn():
            transaction = MemoryTransaction(self._contents)
            try:
                return work(transaction)
            except BaseException:
                transaction.undo()
                raise

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """Like ``write``, with the result as a future (which is done already)."""
        future: Future[T] = Future()
        with self._turn():
            transaction = MemoryTransaction(self._contents)
            try:
                value = work(transaction)
            except BaseException as error:  # noqa: BLE001 (the future raises it)
                transaction.undo()
                future.set_exception(error)
                return future
        future.set_result(value)
        return future

    def read(self, work: Callable[[Snapshot], T]) -> T:
        """Run ``work`` on what is committed."""
        with self._turn():
            return work(MemorySnapshot(self._contents))

    def close(self) -> None:
        """Take no more work. A second call does nothing."""
        self._closed = True

    def __enter__(self) -> MemoryStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One closure at a time; none may call the store that runs it."""
        if getattr(self._inside, "running", False):
            raise StoreError(
                "A closure called the store that runs it. Inside a closure, use the transaction "
                "it was given."
            )
        with self._mutex:
            if self._closed:
                raise StoreError("This store is closed. Open it again to go on.")
            self._inside.running = True
            try:
                yield
            finally:
                self._inside.running = False
