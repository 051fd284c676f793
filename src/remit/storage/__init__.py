"""Where state lives: the ``Store`` and ``Transaction`` protocols that every backend implements.

The governor speaks only this interface. ``memory.py`` and ``sqlite.py`` implement it natively;
``conformance.py`` is the suite that each of them passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Protocol, TypeVar

from msgspec import Struct

from remit.approvals import Approval, ApprovalState
from remit.budgets.cells import Cell
from remit.credentials import Credential, CredentialId
from remit.deliveries import Delivery, DeliveryId
from remit.model import ActionId, AdmittedAction, ApprovalId, Digest, Revision, Session, SessionId
from remit.stops import Stop, StopId

T = TypeVar("T")


class SealedValues(Struct, frozen=True, kw_only=True):
    """What a record commits to but does not contain, kept beside the log so it can be erased.

    ``canonical`` is the canonical JSON of the values; the record holds HMAC-SHA-256(salt,
    canonical). ``salt`` is 32 random bytes.
    """

    salt: bytes
    canonical: bytes


class LoggedRecord(Struct, frozen=True, kw_only=True):
    """One record as stored. ``body`` is the exact bytes whose hash is the Merkle leaf."""

    position: int
    at: int
    body: bytes


class KeptReply(Struct, frozen=True, kw_only=True):
    """What was answered to a request that may come again (``Idempotency-Key``).

    Kept for a while, so that the same request gets the same answer and is not carried out twice.
    """

    key: str
    """Who asked, and the key that they gave."""
    at: int
    """When, nanoseconds since the Unix epoch."""
    digest: bytes
    """SHA-256 of the request."""
    body: bytes


class Tally(Struct, frozen=True, kw_only=True):
    """Amounts of one stretch of time, added up from the log: what reports are made of."""

    book: str
    """Which kind of tally."""
    key: str
    """What it is of."""
    at: int
    """Start of the stretch, nanoseconds since the Unix epoch."""
    amounts: tuple[int, ...]


class Snapshot(Protocol):
    """A consistent view of the store. Valid only inside the closure that received it."""

    def session(self, session_id: SessionId) -> Session | None:
        """The session as stored, or None."""
        ...

    def action(self, action_id: ActionId) -> AdmittedAction | None:
        """An admitted action, or None."""
        ...

    def overdue_actions(
        self, session_id: SessionId | None, now: int, limit: int
    ) -> Sequence[AdmittedAction]:
        """Actions still admitted whose lease ended at or before ``now``, oldest lease first.

        ``session_id`` None looks at all sessions.
        """
        ...

    def memory(self, key: str) -> bytes | None:
        """What is remembered under ``key``: what a session has seen, the labels of a resource."""
        ...

    def arrival(self, key: str) -> int | None:
        """The theoretical arrival time (ns) that GCRA keeps under ``key``."""
        ...

    def cell(self, key: str) -> Cell | None:
        """One cell of the budget ledger, or None. Cheap in a transaction: every admission asks."""
        ...

    def cells(self, budget: str | None, limit: int, after: str = "") -> Sequence[Cell]:
        """Cells of one budget or of all (None), by key, from behind the key ``after``."""
        ...

    def approval(self, approval_id: ApprovalId) -> Approval | None:
        """One approval, or None."""
        ...

    def approval_for(self, digest: Digest) -> Approval | None:
        """The newest approval bound to ``digest``, whatever its state."""
        ...

    def approvals(
        self, states: Sequence[ApprovalState], limit: int, after: ApprovalId | None = None
    ) -> Sequence[Approval]:
        """Approvals in any of ``states``, oldest first.

        ``after`` begins behind that approval, whatever its state; none when there is no such one.
        """
        ...

    def stops(self) -> Sequence[Stop]:
        """The stops in force, oldest first. Cheap in a transaction: every admission asks."""
        ...

    def credential(self, credential_id: CredentialId) -> Credential | None:
        """One credential, or None."""
        ...

    def credentials(self) -> Sequence[Credential]:
        """All credentials, revoked and expired ones too, in the order of their first writing."""
        ...

    def reply(self, key: str) -> KeptReply | None:
        """What was answered to the request with this key; None when it is not kept (any more)."""
        ...

    def deliveries(self, now: int, limit: int) -> Sequence[Delivery]:
        """Messages whose ``next_at`` is at or before ``now``, the longest due first."""
        ...

    def cursor(self, name: str) -> int | None:
        """The place in the log that was kept under ``name``."""
        ...

    def live_cells(
        self, budget: str | None, now: int, limit: int, after: str = ""
    ) -> Sequence[Cell]:
        """Cells of a budget or of all (None) in which something counts at ``now``, by key."""
        ...

    def tally(self, book: str, key: str, at: int) -> Tally | None:
        """One tally, or None."""
        ...

    def tallies(self, book: str, since: int, until: int, key: str | None = None) -> Iterator[Tally]:
        """Tallies of a book with ``since <= at < until``, of one key or of all, by key and time."""
        ...

    def document(self, revision: Revision) -> bytes | None:
        """The policy bundle stored under ``revision``, as canonical JSON."""
        ...

    def latest(self) -> int:
        """Time of the newest record (ns since the epoch), 0 for an empty log."""
        ...

    def log_size(self) -> int:
        """Number of records."""
        ...

    def records(self, start: int, stop: int) -> Iterator[LoggedRecord]:
        """Records ``start <= position < stop`` in order."""
        ...

    def hashes(self, indexes: Sequence[int]) -> Sequence[bytes]:
        """Stored tree hashes, 32 bytes each, by stored-hash index (``audit.merkle``).

        Raises:
            StoreCorrupt: one of them is missing.
        """
        ...

    def values(self, position: int) -> SealedValues | None:
        """The erasable values of a record; None when it has none or they were erased."""
        ...

    def checkpoint(self) -> bytes | None:
        """The newest signed checkpoint (a C2SP signed note), or None."""
        ...


class Transaction(Snapshot, Protocol):
    """What a closure given to ``Store.write`` may do. All of it becomes durable, or none."""

    def put_memory(self, key: str, body: bytes) -> None:
        """Remember something under ``key``, instead of what was remembered before."""
        ...

    def put_session(self, session: Session) -> None:
        """Insert or replace a session."""
        ...

    def put_action(self, action: AdmittedAction) -> None:
        """Insert or replace an admitted action."""
        ...

    def put_arrival(self, key: str, at: int) -> None:
        """Keep a theoretical arrival time (ns)."""
        ...

    def put_cell(self, cell: Cell) -> None:
        """Insert or replace a cell of the budget ledger."""
        ...

    def forget_cells(self, before: int, limit: int) -> int:
        """Drop cells in which nothing counted any more at a time (``ends``); how many."""
        ...

    def put_approval(self, approval: Approval) -> None:
        """Insert or replace an approval."""
        ...

    def put_credential(self, credential: Credential) -> None:
        """Insert or replace a credential."""
        ...

    def put_reply(self, reply: KeptReply) -> None:
        """Keep an answer; its key is not taken."""
        ...

    def forget_replies(self, before: int, limit: int) -> int:
        """Drop answers that were given before a time; how many.

        Looks only at the ``limit`` that were put first, so it costs little; call it often.
        """
        ...

    def put_stop(self, stop: Stop) -> None:
        """Insert or replace a stop."""
        ...

    def remove_stop(self, stop_id: StopId) -> bool:
        """Remove a stop; False when there is none."""
        ...

    def put_delivery(self, delivery: Delivery) -> None:
        """Insert or replace a message."""
        ...

    def remove_delivery(self, delivery_id: DeliveryId) -> bool:
        """Remove a message; False when there is none."""
        ...

    def put_cursor(self, name: str, position: int) -> None:
        """Keep a place in the log under ``name``."""
        ...

    def put_tally(self, tally: Tally) -> None:
        """Insert or replace a tally."""
        ...

    def forget_tallies(self, before: int, limit: int) -> int:
        """Drop tallies that start before a time, at most ``limit`` of them; how many."""
        ...

    def put_document(self, revision: Revision, bundle: bytes) -> None:
        """Keep a policy bundle; a second write under the same revision changes nothing."""
        ...

    def append(self, body: bytes, *, at: int, values: SealedValues | None = None) -> int:
        """Append one record to the log, extend the tree by it, and return its position."""
        ...

    def erase(self, position: int) -> bool:
        """Erase the values of a record; False when there were none. The record stays."""
        ...

    def put_checkpoint(self, note: bytes) -> None:
        """Keep the newest signed checkpoint."""
        ...


class Store(Protocol):
    """A durable place for state, shared by the threads of one process.

    Closures may run more than once and together with others in one commit; they must depend only
    on the transaction and on values bound before. An exception in a closure undoes that closure
    alone and is raised to its caller.
    """

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a transaction; return its value once the commit is durable.

        Raises:
            StoreError: nothing that ``work`` did has happened.
        """
        ...

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """Like ``write``, without blocking the calling thread (for event loops)."""
        ...

    def read(self, work: Callable[[Snapshot], T]) -> T:
        """Run ``work`` on a consistent view of what is committed."""
        ...

    def close(self) -> None:
        """Finish running work and release the store. A second call does nothing."""
        ...


__all__ = ["KeptReply", "LoggedRecord", "SealedValues", "Snapshot", "Store", "Tally", "Transaction"]
