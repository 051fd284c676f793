"""What a closure sees before its node holds the head of the log: what the node remembers.

Most closures only touch rows that this node wrote last. They run as drafts: nothing is locked
meanwhile, what they read is noted, and what they write is kept. When the group commits, the node
takes the lock on the head and checks what was read; ``arranging`` says what of it still holds.
A closure that asks for more than drafts know is run later, on a ``PostgresTransaction``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from remit.approvals import Approval, ApprovalState
from remit.budgets.cells import Cell
from remit.credentials import Credential, CredentialId
from remit.deliveries import Delivery, DeliveryId
from remit.errors import StoreError
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
from remit.storage import KeptReply, LoggedRecord, SealedValues, Tally
from remit.storage.commit import Later

Kind: TypeAlias = Literal["sessions", "actions", "arrivals", "cells", "memories", "replies"]
"""Tables of which nodes remember rows."""
Place: TypeAlias = tuple[Kind, str]
"""A row: its table and its key."""

REMEMBERED = 16_384
"""Rows kept in memory; all are dropped when there are more."""


class NeedsHead(BaseException):
    """A closure asked for what only a transaction that holds the head can answer.

    No ``Exception``, so that no closure takes it for a failure of its own.
    """


class RememberedRow:
    """A row as this node saw it."""

    __slots__ = ("epoch", "value", "version")

    def __init__(self, version: int | None, value: Any, epoch: int) -> None:
        self.version = version
        """None where there is no such row."""
        self.value = value
        self.epoch = epoch
        """Of the node when it last made sure of it."""


class DraftRecord(NamedTuple):
    """A record that has no certain position yet."""

    at: int
    body: bytes
    values: SealedValues | None


class Draft(Later):
    """One closure of a group: what it read, wrote and gave."""

    __slots__ = (
        "first", "looks", "needs_head", "overdue", "reads", "records", "seen", "stops", "work",
        "writes",
    )  # fmt: skip

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.work = work
        self.reset(0)

    def reset(self, first: int) -> None:
        """Forget what the closure did; its next record would be at position ``first``."""
        self.value = None
        self.error = None
        self.needs_head = False
        self.first = first
        self.reads: dict[Place, RememberedRow] = {}
        """What it was told of rows that no closure before it in the group wrote."""
        self.seen: dict[Place, Any] = {}
        """What it was told of each row."""
        self.looks: dict[str, int] = {}
        """How often it asked for a cell before it wrote it."""
        self.writes: dict[Place, Any] = {}
        self.records: list[DraftRecord] = []
        self.overdue: dict[SessionId, int] = {}
        """Sessions that it took to have no overdue action, and the time."""
        self.stops = False
        """Whether it looked at the stops."""


class Drafts:
    """``Transaction`` for closures that run before their node holds the head."""

    def __init__(
        self,
        fetch: Callable[[Kind, str], tuple[int | None, Any]],
        fetch_stops: Callable[[], tuple[int, Sequence[Stop]]],
    ) -> None:
        """Answer from memory, and what is not there from the database.

        Args:
            fetch: the version and value of a row, (None, None) where there is none.
            fetch_stops: the generation that changed the stops last, and the stops.
        """
        self._fetch = fetch
        self._fetch_stops = fetch_stops
        self.remembered: dict[Place, RememberedRow] = {}
        self.epoch = 0
        """Grows with every commit: what was made sure of before may not hold any more."""
        self.certain = False
        """Whether the node holds the head: then only what it made sure of counts."""
        self.written: dict[Place, Any] = {}
        """By the closures before this one in the group."""
        self.stops_version = -1
        self.size = self.time = 0
        self.calm: dict[SessionId, int] = {}
        """Sessions that are known to have no overdue action up to a time, if certain."""
        self._leases: dict[SessionId, int] = {}
        self._stops: Sequence[Stop] | None = None
        self._draft = Draft(_nothing)

    def begin(self, size: int, time: int) -> None:
        """Begin a group on a log of that size, whose newest record is from ``time``."""
        self.size, self.time = size, time
        self.written.clear()
        self._leases.clear()
        self.certain = False

    def run(self, draft: Draft) -> None:
        """Run a closure; what it gives or raises stays in the draft."""
        before = self.size, self.time
        draft.reset(self.size)
        self._draft = draft
        try:
            draft.value = draft.work(self)
        except NeedsHead:
            draft.needs_head = True
        except Exception as error:  # noqa: BLE001 (it is raised to the caller)
            draft.error = error
        else:
            self.written.update(draft.writes)
            return
        self.size, self.time = before
        draft.writes, draft.records = {}, []

    def forget(self) -> None:
        """Drop everything that is remembered."""
        self.remembered.clear()
        self.written.clear()
        self._leases.clear()
        self._stops = None
        self.stops_version = -1

    def forget_stops(self) -> None:
        """Read the stops anew when they are asked for next."""
        self._stops = None

    def trim(self) -> None:
        """Keep memory bounded."""
        if len(self.remembered) > REMEMBERED:
            self.remembered.clear()

    # What drafts can answer.

    def session(self, session_id: SessionId) -> Session | None:
        """The session as stored, or None."""
        found: Session | None = self._get(("sessions", session_id))
        return found

    def action(self, action_id: ActionId) -> AdmittedAction | None:
        """An admitted action, or None."""
        found: AdmittedAction | None = self._get(("actions", action_id))
        return found

    def arrival(self, key: str) -> int | None:
        """The theoretical arrival time (ns) kept under ``key``."""
        found: int | None = self._get(("arrivals", key))
        return found

    def memory(self, key: str) -> bytes | None:
        """What is remembered under ``key``."""
        found: bytes | None = self._get(("memories", key))
        return found

    def reply(self, key: str) -> KeptReply | None:
        """What was answered to the request with this key."""
        found: KeptReply | None = self._get(("replies", key))
        return found

    def cell(self, key: str) -> Cell | None:
        """One cell of the budget ledger, or None."""
        place: Place = ("cells", key)
        if place not in self._draft.writes:
            looks = self._draft.looks
            looks[key] = looks.get(key, 0) + 1
        found: Cell | None = self._get(place)
        return found

    def overdue_actions(
        self, session_id: SessionId | None, now: int, limit: int
    ) -> Sequence[AdmittedAction]:
        """None, for now: whether that is so is asked when the node holds the head."""
        if session_id is None or now >= self._leases.get(session_id, now + 1):
            raise NeedsHead
        if self.certain and now > self.calm.get(session_id, -1):
            raise NeedsHead
        self._draft.overdue[session_id] = now
        return ()

    def stops(self) -> Sequence[Stop]:
        """The stops in force, oldest first."""
        if self._stops is None:
            self.stops_version, self._stops = self._fetch_stops()
        self._draft.stops = True
        return self._stops

    def latest(self) -> int:
        """Time of the newest record (ns since the epoch), 0 for an empty log."""
        return self.time

    def put_memory(self, key: str, body: bytes) -> None:
        """Remember something under ``key``, instead of what was remembered before."""
        self._put(("memories", key), body)

    def put_session(self, session: Session) -> None:
        """Insert or replace a session."""
        self._put(("sessions", session.id), session)

    def put_action(self, action: AdmittedAction) -> None:
        """Insert or replace an admitted action."""
        lease = action.lease_until
        if action.state is ActionState.ADMITTED:
            self._leases[action.session] = min(lease, self._leases.get(action.session, lease))
        self._put(("actions", action.id), action)

    def put_arrival(self, key: str, at: int) -> None:
        """Keep a theoretical arrival time (ns)."""
        self._put(("arrivals", key), at)

    def put_cell(self, cell: Cell) -> None:
        """Insert or replace a cell of the budget ledger."""
        self._put(("cells", cell.key), cell)

    def put_reply(self, reply: KeptReply) -> None:
        """Keep an answer; its key is not taken."""
        self._put(("replies", reply.key), reply)

    def append(self, body: bytes, *, at: int, values: SealedValues | None = None) -> int:
        """Append one record to the log, and return the position that it will have, if all holds."""
        position = self.size
        self._draft.records.append(DraftRecord(at, body, values))
        self.size, self.time = position + 1, at
        return position

    def _get(self, place: Place) -> Any:
        draft = self._draft
        if place in draft.writes:
            return draft.writes[place]
        if place in self.written:
            value = self.written[place]
        else:
            entry = self.remembered.get(place)
            if entry is None or (self.certain and entry.epoch != self.epoch):
                version, found = self._fetch(*place)
                entry = self.remembered[place] = RememberedRow(version, found, self.epoch)
            draft.reads[place] = entry
            value = entry.value
        draft.seen.setdefault(place, value)
        return value

    def _put(self, place: Place, value: Any) -> None:
        key = place[1]
        if not key.isascii() or "\0" in key:
            _check_text(key)
        self._draft.writes[place] = value

    # What only a transaction that holds the head can answer.

    def cells(self, budget: str | None, limit: int, after: str = "") -> Sequence[Cell]:
        """Cells of one budget or of all (None), by key."""
        raise NeedsHead

    def live_cells(
        self, budget: str | None, now: int, limit: int, after: str = ""
    ) -> Sequence[Cell]:
        """Cells in which something counts at ``now``, by key."""
        raise NeedsHead

    def approval(self, approval_id: ApprovalId) -> Approval | None:
        """One approval, or None."""
        raise NeedsHead

    def approval_for(self, digest: Digest) -> Approval | None:
        """The newest approval bound to ``digest``, whatever its state."""
        raise NeedsHead

    def approvals(
        self, states: Sequence[ApprovalState], limit: int, after: ApprovalId | None = None
    ) -> Sequence[Approval]:
        """Approvals in any of ``states``, oldest first."""
        raise NeedsHead

    def credential(self, credential_id: CredentialId) -> Credential | None:
        """One credential, or None."""
        raise NeedsHead

    def credentials(self) -> Sequence[Credential]:
        """All credentials."""
        raise NeedsHead

    def deliveries(self, now: int, limit: int) -> Sequence[Delivery]:
        """Messages whose ``next_at`` is at or before ``now``."""
        raise NeedsHead

    def cursor(self, name: str) -> int | None:
        """The place in the log that was kept under ``name``."""
        raise NeedsHead

    def tally(self, book: str, key: str, at: int) -> Tally | None:
        """One tally, or None."""
        raise NeedsHead

    def tallies(self, book: str, since: int, until: int, key: str | None = None) -> Iterator[Tally]:
        """Tallies of a book."""
        raise NeedsHead

    def document(self, revision: Revision) -> bytes | None:
        """The policy bundle stored under ``revision``."""
        raise NeedsHead

    def log_size(self) -> int:
        """Number of records."""
        raise NeedsHead

    def records(self, start: int, stop: int) -> Iterator[LoggedRecord]:
        """Records in order."""
        raise NeedsHead

    def hashes(self, indexes: Sequence[int]) -> Sequence[bytes]:
        """Stored tree hashes."""
        raise NeedsHead

    def values(self, position: int) -> SealedValues | None:
        """The erasable values of a record."""
        raise NeedsHead

    def checkpoint(self) -> bytes | None:
        """The newest signed checkpoint, or None."""
        raise NeedsHead

    def forget_cells(self, before: int, limit: int) -> int:
        """Drop cells in which nothing counted any more."""
        raise NeedsHead

    def put_approval(self, approval: Approval) -> None:
        """Insert or replace an approval."""
        raise NeedsHead

    def put_credential(self, credential: Credential) -> None:
        """Insert or replace a credential."""
        raise NeedsHead

    def forget_replies(self, before: int, limit: int) -> int:
        """Drop answers that were given before a time."""
        raise NeedsHead

    def put_stop(self, stop: Stop) -> None:
        """Insert or replace a stop."""
        raise NeedsHead

    def remove_stop(self, stop_id: StopId) -> bool:
        """Remove a stop."""
        raise NeedsHead

    def put_delivery(self, delivery: Delivery) -> None:
        """Insert or replace a message."""
        raise NeedsHead

    def remove_delivery(self, delivery_id: DeliveryId) -> bool:
        """Remove a message."""
        raise NeedsHead

    def put_cursor(self, name: str, position: int) -> None:
        """Keep a place in the log."""
        raise NeedsHead

    def put_tally(self, tally: Tally) -> None:
        """Insert or replace a tally."""
        raise NeedsHead

    def forget_tallies(self, before: int, limit: int) -> int:
        """Drop tallies that start before a time."""
        raise NeedsHead

    def put_document(self, revision: Revision, bundle: bytes) -> None:
        """Keep a policy bundle."""
        raise NeedsHead

    def erase(self, position: int) -> bool:
        """Erase the values of a record."""
        raise NeedsHead

    def put_checkpoint(self, note: bytes) -> None:
        """Keep the newest signed checkpoint."""
        raise NeedsHead


def _nothing(_: Any) -> None:
    return None


def _check_text(key: str) -> None:
    try:
        key.encode()
    except UnicodeEncodeError:
        raise StoreError(
            f"{key!r} is no text that the store can keep: not valid Unicode."
        ) from None
    if "\0" in key:
        raise StoreError(f"{key!r} cannot be kept: it has a NUL character.")
