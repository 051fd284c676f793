"""What the suite stores, and how it looks at what came of it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from remit.approvals import Approval
from remit.audit import merkle
from remit.credentials import Credential, CredentialId, Right
from remit.model import (
    ActionId,
    AdmittedAction,
    ApprovalId,
    ApprovalTerms,
    Digest,
    Does,
    Principal,
    Revision,
    Session,
    SessionId,
    TaskRemit,
)
from remit.storage import SealedValues, Snapshot, Store, Transaction

E = TypeVar("E", bound=BaseException)

ADA = Principal(id="ada", kind="person", known="declared")
BOT = Principal(id="inventory-bot", roles=("inventory-reader",), known="declared", on_behalf_of=ADA)
SEALED = SealedValues(salt=b"s" * 32, canonical=b'{"sql":"select * from stock"}')
REVISION = Revision("sha256:" + "0" * 64)


class Mishap(Exception):  # noqa: N818 (not an error of Remit's)
    """What closures of this suite raise."""


def a_session(name: str = "s1", **fields: object) -> Session:
    """A session with every kind of field filled in."""
    session = Session(
        id=SessionId(name),
        principal=BOT,
        started_at=1_700_000_000_000_000_000,
        intent="restock report for May \N{WHITE SMILING FACE}",
        labels=("confidential", "untrusted"),
        calls={"db.query": 2},
        parent=SessionId("s0"),
        depth=1,
        remits=(
            TaskRemit(
                tools=("db.*",),
                does=(Does.READ,),
                only={"who": ("*@corp.example",)},
                amount=9.5,
                by="policy: restock",
            ),
        ),
    )
    return msgspec.structs.replace(session, **fields)


def an_action(name: str, *, session: str = "s1", lease_until: int = 100) -> AdmittedAction:
    """An action that is still admitted."""
    return AdmittedAction(
        id=ActionId(name),
        session=SessionId(session),
        tool="db.query",
        digest=Digest("d" * 64),
        revision=REVISION,
        admitted_at=1,
        lease_until=lease_until,
        labels=("untrusted",),
    )


def an_approval(name: str, *, digest: str = "d", created_at: int = 1) -> Approval:
    """A pending approval."""
    return Approval(
        id=ApprovalId(name),
        digest=Digest(digest),
        revision=REVISION,
        session=SessionId("s1"),
        requester=BOT,
        tool="send_email",
        arguments=b'{"to":"ada"}',
        rules=("external-email",),
        because="It leaves the company.",
        terms=(ApprovalTerms(approvers=("security-team",), quorum=2),),
        created_at=created_at,
        expires_at=created_at + 10,
    )


def a_credential(name: str, **fields: object) -> Credential:
    """A service's key, with every kind of field filled in."""
    credential = Credential(
        id=CredentialId(name),
        digest=b"\x00\xff" * 16,
        principal="billing",
        kind="service",
        rights=(Right.ADMIN, Right.AUDITOR),
        created_at=1,
        expires_at=10,
        agents=("inventory-bot",),
        note="for the nightly run",
    )
    return msgspec.structs.replace(credential, **fields)


def raised(kind: type[E], call: Callable[[], object]) -> E:
    """The exception of ``kind`` that ``call`` raises; fails when it raises none."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def fails(*works: Callable[[Transaction], object]) -> Callable[[Transaction], None]:
    """A closure that does all of ``works`` and then raises ``Mishap``."""

    def work(t: Transaction) -> None:
        for each in works:
            each(t)
        raise Mishap

    return work


def in_threads(count: int, body: Callable[[int], None]) -> None:
    """Run ``body(0..count-1)`` in as many threads at once; raise what the first one raised."""
    problems: list[BaseException] = []
    start = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            start.wait(30)
            body(number)
        except BaseException as error:  # noqa: BLE001 (raised below, in the test's thread)
            problems.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a writer hangs"
    if problems:
        raise problems[0]


def verify_log(t: Snapshot) -> int:
    """Recompute the whole tree from the bodies and compare it with the stored hashes.

    Returns:
        The number of records.
    """
    size = t.log_size()
    tree: list[bytes] = []

    def read(wanted: Sequence[int]) -> list[bytes]:
        return [tree[index] for index in wanted]

    for position, record in enumerate(t.records(0, size)):
        assert record.position == position
        leaf = merkle.leaf_hash(record.body)
        tree += merkle.append(position, leaf, read)
    assert len(tree) == merkle.stored_count(size)
    for low in range(0, len(tree), 5000):
        part = range(low, min(low + 5000, len(tree)))
        assert list(t.hashes(part)) == tree[low : low + 5000]
    return size


class OpensStore(ABC):
    """How a suite gets at the store that it tests."""

    durable = False
    """Whether opening the same directory again gives the same contents."""

    @abstractmethod
    def open_store(self, directory: Path) -> Store:
        """Open the store that lives in ``directory``."""

    @contextmanager
    def store(self, directory: Path) -> Iterator[Store]:
        """An open store, closed afterwards."""
        store = self.open_store(directory)
        try:
            yield store
        finally:
            store.close()
