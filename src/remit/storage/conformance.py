"""The suite that every backend passes. Subclass it in a test module of your own:

    class TestMyStore(StoreConformance):
        durable = True

        def open_store(self, directory: Path) -> Store:
            return MyStore(directory / "my.db")

It is written for pytest (which calls the ``test_`` methods and provides ``tmp_path``), but
imports nothing of it.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from remit.approvals import Approval, ApprovalState
from remit.audit import merkle
from remit.errors import StoreCorrupt, StoreError
from remit.model import (
    ActionId,
    ActionState,
    AdmittedAction,
    ApprovalId,
    ApprovalTerms,
    Digest,
    Principal,
    Revision,
    Session,
    SessionId,
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


def raised(kind: type[E], call: Callable[[], object]) -> E:
    """The exception of ``kind`` that ``call`` raises; fails when it raises none."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def _fails(*works: Callable[[Transaction], object]) -> Callable[[Transaction], None]:
    """A closure that does all of ``works`` and then raises ``Mishap``."""

    def work(t: Transaction) -> None:
        for each in works:
            each(t)
        raise Mishap

    return work


def _in_threads(count: int, body: Callable[[int], None]) -> None:
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
    for position, record in enumerate(t.records(0, size)):
        assert record.position == position
        leaf = merkle.leaf_hash(record.body)
        tree += merkle.append(position, leaf, lambda wanted: [tree[index] for index in wanted])
    assert len(tree) == merkle.stored_count(size)
    for low in range(0, len(tree), 5000):
        part = range(low, min(low + 5000, len(tree)))
        assert list(t.hashes(part)) == tree[low : low + 5000]
    return size


class StoreConformance(ABC):
    """What every store does, as tests."""

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

    # What is put can be got.

    def test_an_empty_store_answers(self, tmp_path: Path) -> None:
        """Nothing is stored: None, 0, or nothing, never an error."""

        def check(t: Snapshot) -> None:
            assert t.session(SessionId("s")) is None
            assert t.action(ActionId("a")) is None
            assert t.arrival("k") is None
            assert t.approval(ApprovalId("a")) is None
            assert t.approval_for(Digest("d")) is None
            assert t.document(REVISION) is None
            assert t.values(0) is None
            assert t.checkpoint() is None
            assert t.latest() == 0
            assert t.log_size() == 0
            assert list(t.overdue_actions(None, 1 << 62, 10)) == []
            assert list(t.overdue_actions(SessionId("s"), 1 << 62, 10)) == []
            assert list(t.approvals(tuple(ApprovalState), 10)) == []
            assert list(t.approvals((), 10)) == []
            assert list(t.records(0, 10)) == []
            assert list(t.hashes([])) == []

        with self.store(tmp_path) as store:
            store.read(check)
            store.write(check)

    def test_what_is_put_is_there(self, tmp_path: Path) -> None:
        """Inside the transaction at once, for readers and later transactions after it."""
        session, action, approval = a_session(), an_action("a1"), an_approval("p1")

        def check(t: Snapshot) -> None:
            assert t.session(session.id) == session
            assert t.action(action.id) == action
            assert t.arrival("rate/x") == 7
            assert t.approval(approval.id) == approval
            assert t.approval_for(approval.digest) == approval
            assert t.document(REVISION) == b"{}"
            assert t.values(0) == SEALED
            assert t.checkpoint() == b"note"
            assert t.latest() == 5
            assert t.log_size() == 1
            assert [record.body for record in t.records(0, 1)] == [b"one"]
            assert list(t.hashes([0])) == [merkle.leaf_hash(b"one")]

        def work(t: Transaction) -> None:
            t.put_session(session)
            t.put_action(action)
            t.put_arrival("rate/x", 7)
            t.put_approval(approval)
            t.put_document(REVISION, b"{}")
            assert t.append(b"one", at=5, values=SEALED) == 0
            t.put_checkpoint(b"note")
            check(t)

        with self.store(tmp_path) as store:
            store.write(work)
            store.read(check)
            store.write(check)
            if self.durable:
                store.close()
                with self.store(tmp_path) as again:
                    again.read(check)
                    again.write(check)

    def test_a_second_put_replaces(self, tmp_path: Path) -> None:
        """Except for documents, which never change under their revision."""

        def first(t: Transaction) -> None:
            t.put_session(a_session())
            t.put_action(an_action("a1"))
            t.put_arrival("k", 1)
            t.put_approval(an_approval("p1"))
            t.put_document(REVISION, b"first")
            t.put_checkpoint(b"first")

        used = msgspec.structs.replace(an_approval("p1"), state=ApprovalState.USED)
        settled = msgspec.structs.replace(an_action("a1"), state=ActionState.SETTLED)

        def second(t: Transaction) -> None:
            t.put_session(a_session(labels=("secret",)))
            t.put_action(settled)
            t.put_arrival("k", 2)
            t.put_approval(used)
            t.put_document(REVISION, b"second")
            t.put_checkpoint(b"second")

        def check(t: Snapshot) -> None:
            session = t.session(SessionId("s1"))
            assert session is not None
            assert session.labels == ("secret",)
            assert t.action(settled.id) == settled
            assert t.arrival("k") == 2
            assert t.approval(used.id) == used
            assert list(t.approvals((ApprovalState.PENDING,), 10)) == []
            assert list(t.approvals((ApprovalState.USED,), 10)) == [used]
            assert t.document(REVISION) == b"first"
            assert t.checkpoint() == b"second"

        with self.store(tmp_path) as store:
            store.write(first)
            store.write(second)
            store.read(check)
            store.write(check)

    def test_overdue_actions(self, tmp_path: Path) -> None:
        """Only admitted ones, the lease's end included, oldest lease first, at most ``limit``."""

        def work(t: Transaction) -> None:
            t.put_action(an_action("late", lease_until=90))
            t.put_action(an_action("other", session="s2", lease_until=50))
            t.put_action(an_action("early", lease_until=10))
            t.put_action(an_action("now", lease_until=100))
            t.put_action(an_action("not yet", lease_until=101))
            t.put_action(
                msgspec.structs.replace(
                    an_action("settled", lease_until=5), state=ActionState.SETTLED
                )
            )
            check(t)

        def check(t: Snapshot) -> None:
            def names(session: str | None, now: int, limit: int) -> list[str]:
                session_id = None if session is None else SessionId(session)
                return [action.id for action in t.overdue_actions(session_id, now, limit)]

            assert names(None, 100, 10) == ["early", "other", "late", "now"]
            assert names(None, 100, 2) == ["early", "other"]
            assert names("s1", 100, 10) == ["early", "late", "now"]
            assert names("s1", 9, 10) == []
            assert names("s1", 10, 10) == ["early"]
            assert names("s2", 100, 10) == ["other"]
            assert names("s3", 100, 10) == []

        with self.store(tmp_path) as store:
            store.write(work)
            store.read(check)
            store.write(check)

    def test_overdue_actions_follow_every_change(self, tmp_path: Path) -> None:
        """Whatever a store remembers of leases, settling, failing and admitting anew show."""
        s1 = SessionId("s1")

        def overdue(t: Snapshot, now: int = 100) -> list[str]:
            return [action.id for action in t.overdue_actions(s1, now, 10)]

        def settle(t: Transaction) -> None:
            t.put_action(
                msgspec.structs.replace(an_action("a1", lease_until=50), state=ActionState.SETTLED)
            )
            assert overdue(t) == []

        with self.store(tmp_path) as store:
            store.write(lambda t: t.put_action(an_action("a1", lease_until=50)))
            assert store.write(lambda t: overdue(t, 49)) == []
            assert store.write(overdue) == ["a1"]
            raised(Mishap, lambda: store.write(_fails(settle)))
            assert store.write(overdue) == ["a1"]
            store.write(settle)
            assert store.write(overdue) == []
            store.write(lambda t: t.put_action(an_action("a2", lease_until=60)))
            assert store.write(overdue) == ["a2"]
            assert store.read(overdue) == ["a2"]

    def test_approvals_in_order(self, tmp_path: Path) -> None:
        """Oldest first; the newest one for a digest; the order of writing breaks ties."""

        def work(t: Transaction) -> None:
            for name, digest, created_at in (
                ("c", "d1", 30),
                ("a", "d1", 10),
                ("b", "d2", 20),
                ("e", "d1", 30),
                ("d", "d2", 20),
            ):
                t.put_approval(an_approval(name, digest=digest, created_at=created_at))
            t.put_approval(an_approval("b", digest="d2", created_at=20))

        def check(t: Snapshot) -> None:
            pending = (ApprovalState.PENDING, ApprovalState.PENDING)
            assert [a.id for a in t.approvals(pending, 10)] == ["a", "b", "d", "c", "e"]
            assert [a.id for a in t.approvals(pending, 2)] == ["a", "b"]
            newest = [t.approval_for(Digest(digest)) for digest in ("d1", "d2")]
            assert [a.id for a in newest if a is not None] == ["e", "d"]

        with self.store(tmp_path) as store:
            store.write(work)
            store.read(check)
            store.write(check)

    def test_the_log(self, tmp_path: Path) -> None:
        """Positions without gaps, exact bytes, a tree that verifies, any part readable."""
        bodies = [bytes([number % 256]) * (number * 37 % 3000) for number in range(300)]

        def check(t: Snapshot) -> None:
            assert verify_log(t) == 300
            assert [record.body for record in t.records(0, 300)] == bodies
            assert [record.position for record in t.records(17, 20)] == [17, 18, 19]
            assert [record.at for record in t.records(298, 400)] == [298, 299]
            assert list(t.records(20, 17)) == []
            assert t.latest() == 299
            merkle.root(300, t.hashes)

        with self.store(tmp_path) as store:
            for number in range(0, 300, 3):

                def work(t: Transaction, first: int = number) -> list[int]:
                    return [t.append(bodies[at], at=at) for at in range(first, first + 3)]

                assert store.write(work) == [number, number + 1, number + 2]
            store.read(check)
            store.write(check)
            if self.durable:
                store.close()
                with self.store(tmp_path) as again:
                    again.read(check)
                    assert again.write(lambda t: t.append(b"after", at=300)) == 300
                    assert again.read(verify_log) == 301

    def test_a_hash_that_is_not_there(self, tmp_path: Path) -> None:
        """A proof must not be built on a guess."""
        with self.store(tmp_path) as store:
            store.write(lambda t: t.append(b"one", at=1))
            for index in (-1, 1, 1000):
                raised(StoreCorrupt, lambda index=index: store.read(lambda t: t.hashes([index])))
                raised(StoreCorrupt, lambda index=index: store.write(lambda t: t.hashes([index])))

    def test_erase(self, tmp_path: Path) -> None:
        """The values go, once; the record and the tree stay."""

        def append(t: Transaction) -> None:
            t.append(b"one", at=1, values=SEALED)
            t.append(b"two", at=2)
            t.append(b"three", at=3, values=SEALED)

        def append_and_erase(t: Transaction) -> None:
            position = t.append(b"four", at=4, values=SEALED)
            assert t.values(position) == SEALED
            assert t.erase(position)
            assert t.values(position) is None

        with self.store(tmp_path) as store:
            store.write(append)
            raised(Mishap, lambda: store.write(_fails(lambda t: t.erase(0))))
            assert store.read(lambda t: t.values(0)) == SEALED
            assert store.write(lambda t: t.erase(0)) is True
            assert store.write(lambda t: t.erase(0)) is False
            assert store.write(lambda t: t.erase(1)) is False
            assert store.write(lambda t: t.erase(99)) is False
            store.write(append_and_erase)
            values = store.read(lambda t: [t.values(position) for position in range(4)])
            assert values == [None, None, SEALED, None]
            assert store.read(verify_log) == 4

    # A closure happens whole or not at all.

    def test_a_closure_that_raises_leaves_nothing(self, tmp_path: Path) -> None:
        """Its exception reaches the caller as it is; what was there before is still there."""

        def before(t: Transaction) -> None:
            t.put_session(a_session())
            t.put_action(an_action("a1"))
            t.put_arrival("k", 1)
            t.put_approval(an_approval("p1"))
            t.append(b"one", at=1, values=SEALED)
            t.put_checkpoint(b"first")

        def change(t: Transaction) -> None:
            t.put_session(a_session(labels=()))
            t.put_session(a_session("s2"))
            t.put_action(msgspec.structs.replace(an_action("a1"), state=ActionState.SETTLED))
            t.put_action(an_action("a2"))
            t.put_arrival("k", 2)
            t.put_arrival("k2", 2)
            t.append(b"two", at=2, values=SEALED)

        def change_more(t: Transaction) -> None:
            t.put_approval(msgspec.structs.replace(an_approval("p1"), state=ApprovalState.REJECTED))
            t.put_approval(an_approval("p2"))
            t.put_document(REVISION, b"{}")
            t.put_checkpoint(b"second")
            t.erase(0)
            assert len(list(t.records(0, 9))) == t.log_size()

        def check(t: Snapshot) -> None:
            assert t.session(SessionId("s1")) == a_session()
            assert t.session(SessionId("s2")) is None
            assert t.action(ActionId("a1")) == an_action("a1")
            assert t.action(ActionId("a2")) is None
            assert (t.arrival("k"), t.arrival("k2")) == (1, None)
            assert t.approval(ApprovalId("p1")) == an_approval("p1")
            assert t.approval(ApprovalId("p2")) is None
            assert t.document(REVISION) is None
            assert (t.log_size(), t.latest()) == (1, 1)
            assert t.values(0) == SEALED
            assert t.values(1) is None
            assert t.checkpoint() == b"first"
            assert verify_log(t) == 1

        with self.store(tmp_path) as store:
            store.write(before)
            for works in ((change,), (change_more,), (change, change_more), (change_more, change)):
                raised(Mishap, lambda works=works: store.write(_fails(*works)))
                store.read(check)
                store.write(check)
            assert store.write(lambda t: t.append(b"two again", at=2)) == 1
            assert store.read(verify_log) == 2

    def test_every_exception_undoes(self, tmp_path: Path) -> None:
        """Also those that are not ``Exception``; the store goes on."""
        with self.store(tmp_path) as store:
            for kind in (KeyboardInterrupt, SystemExit, GeneratorExit, StoreError):

                def work(t: Transaction, kind: type[BaseException] = kind) -> None:
                    t.append(b"lost", at=1)
                    raise kind

                raised(kind, lambda work=work: store.write(work))
            assert store.write(lambda t: t.append(b"kept", at=1)) == 0

    def test_a_value_that_cannot_be_kept(self, tmp_path: Path) -> None:
        """It fails its own closure when it is put, not the commit of others."""
        bad = a_session(intent="\ud800")

        with self.store(tmp_path) as store:
            raised(ValueError, lambda: store.write(lambda t: t.put_session(bad)))
            assert store.read(lambda t: t.session(bad.id)) is None

    # Isolation.

    def test_a_reader_sees_one_moment(self, tmp_path: Path) -> None:
        """What commits while it reads is not mixed into what it sees."""
        with self.store(tmp_path) as store:
            store.write(lambda t: t.append(b"one", at=1))
            writer = threading.Thread(target=store.write, args=(lambda t: t.append(b"two", at=2),))

            def look(t: Snapshot) -> tuple[int, int]:
                before = t.log_size()
                writer.start()
                writer.join(0.2)
                return before, t.log_size()

            assert store.read(look) == (1, 1)
            writer.join(30)
            assert store.read(lambda t: t.log_size()) == 2

    def test_nothing_shows_before_commit(self, tmp_path: Path) -> None:
        """A reader beside a running closure sees none of it."""
        seen: list[int] = []
        with self.store(tmp_path) as store:
            reader = threading.Thread(
                target=lambda: seen.append(store.read(lambda t: t.log_size()))
            )

            def work(t: Transaction) -> None:
                t.append(b"one", at=1)
                list(t.records(0, 1))
                reader.start()
                reader.join(0.2)
                raise Mishap

            raised(Mishap, lambda: store.write(work))
            reader.join(30)
            assert seen == [0]

    def test_stored_structs_are_not_shared(self, tmp_path: Path) -> None:
        """Changing a mapping after it was put does not change what is stored for readers."""
        calls = {"db.query": 1}
        with self.store(tmp_path) as store:
            store.write(lambda t: t.put_session(a_session(calls=calls)))
            calls["db.query"] = 99
            session = store.read(lambda t: t.session(SessionId("s1")))
            assert session is not None
            assert session.calls == {"db.query": 1}

    # Many at once.

    def test_writers_at_once(self, tmp_path: Path) -> None:
        """Each closure runs as if alone: no position twice, no update lost, each value its own."""
        count, rounds = 16, 25
        answers: list[tuple[bytes, int]] = []

        def body(number: int) -> None:
            for turn in range(rounds):
                name = b"%d/%d" % (number, turn)

                def work(t: Transaction, name: bytes = name) -> int:
                    t.put_arrival("counter", (t.arrival("counter") or 0) + 1)
                    return t.append(name, at=turn)

                answers.append((name, store.write(work)))

        with self.store(tmp_path) as store:
            _in_threads(count, body)
            total = count * rounds
            assert sorted(position for _, position in answers) == list(range(total))
            stored = store.read(lambda t: [record.body for record in t.records(0, total)])
            assert all(stored[position] == name for name, position in answers)
            assert store.read(lambda t: t.arrival("counter")) == total
            assert store.read(verify_log) == total

    def test_one_failure_among_many(self, tmp_path: Path) -> None:
        """A closure that raises takes nobody with it, and nobody gets its exception."""
        count, rounds = 12, 20

        def body(number: int) -> None:
            for turn in range(rounds):
                name = f"{number}/{turn}"

                def work(t: Transaction, name: str = name) -> int:
                    t.put_arrival("counter", (t.arrival("counter") or 0) + 1)
                    t.put_session(a_session(name))
                    if number % 4 == 1:
                        t.put_document(Revision(name), b"{}")
                    if number % 4 == 2:
                        list(t.records(0, 10))
                    return t.append(name.encode(), at=turn)

                if number % 3 == 0:
                    error = raised(Mishap, lambda work=work: store.write(_fails(work)))
                    assert error.args == ()
                else:
                    store.write(work)

        with self.store(tmp_path) as store:
            _in_threads(count, body)
            kept = [f"{n}/{r}" for n in range(count) if n % 3 for r in range(rounds)]
            size = store.read(verify_log)
            assert size == len(kept)
            assert store.read(lambda t: t.arrival("counter")) == len(kept)
            stored = store.read(lambda t: [record.body.decode() for record in t.records(0, size)])
            assert sorted(stored) == sorted(kept)
            present = store.read(
                lambda t: [
                    t.session(SessionId(f"{n}/{r}")) is not None
                    for n in range(count)
                    for r in range(rounds)
                ]
            )
            assert present == [n % 3 != 0 for n in range(count) for r in range(rounds)]

    # Futures.

    def test_submit(self, tmp_path: Path) -> None:
        """Values and exceptions arrive in the future, in the order in which they were given."""
        with self.store(tmp_path) as store:
            futures = [
                store.submit(lambda t, number=number: t.append(b"%d" % number, at=number))
                for number in range(50)
            ]
            failed: Future[None] = store.submit(_fails(lambda t: t.append(b"no", at=0)))
            assert [future.result(30) for future in futures] == list(range(50))
            raised(Mishap, lambda: failed.result(30))
            assert store.read(verify_log) == 50

    def test_submit_beside_write(self, tmp_path: Path) -> None:
        """Threads and futures share the log."""

        def body(number: int) -> None:
            for turn in range(25):
                if number % 2:
                    store.write(lambda t: t.append(b"w", at=turn))
                else:
                    store.submit(lambda t: t.append(b"f", at=turn)).result(30)

        with self.store(tmp_path) as store:
            _in_threads(8, body)
            assert store.read(verify_log) == 200

    def test_a_callback_may_write(self, tmp_path: Path) -> None:
        """A future's callback runs outside the transaction."""
        done = threading.Event()

        def again(_: Future[int]) -> None:
            store.write(lambda t: t.append(b"two", at=2))
            done.set()

        with self.store(tmp_path) as store:
            store.submit(lambda t: t.append(b"one", at=1)).add_done_callback(again)
            assert done.wait(30)
            assert store.read(verify_log) == 2

    # Misuse.

    def test_a_store_is_not_called_from_its_closure(self, tmp_path: Path) -> None:
        """It is told so, instead of waiting for itself for ever; and it works afterwards."""
        with self.store(tmp_path) as store:
            calls: tuple[Callable[[], object], ...] = (
                lambda: store.write(lambda t: None),
                lambda: store.submit(lambda t: None),
                lambda: store.read(lambda t: None),
            )
            for call in calls:
                raised(StoreError, lambda call=call: store.write(lambda _: call()))
                raised(StoreError, lambda call=call: store.read(lambda _: call()))
                future = store.submit(lambda _, call=call: call())
                raised(StoreError, lambda future=future: future.result(30))
            assert store.write(lambda t: t.append(b"one", at=1)) == 0

    def test_a_closed_store_refuses(self, tmp_path: Path) -> None:
        """Closing twice does nothing; anything else says that it is closed."""
        store = self.open_store(tmp_path)
        store.write(lambda t: t.append(b"one", at=1))
        store.close()
        store.close()
        for call in (store.write, store.submit, store.read):
            assert "closed" in str(raised(StoreError, lambda call=call: call(lambda t: None)))

    def test_closing_finishes_what_runs(self, tmp_path: Path) -> None:
        """Every write either returned or raised; what returned is there."""
        store = self.open_store(tmp_path)
        acknowledged: list[int] = []
        go = threading.Event()

        def body(number: int) -> None:
            if number == 0:
                go.wait(30)
                store.close()
                return
            while True:
                try:
                    acknowledged.append(store.write(lambda t: t.append(b"x", at=1)))
                except StoreError as error:
                    assert "closed" in str(error)
                    return
                if len(acknowledged) > 20:
                    go.set()

        _in_threads(6, body)
        assert sorted(acknowledged) == list(range(len(acknowledged)))
        if self.durable:
            with self.store(tmp_path) as again:
                assert again.read(verify_log) == len(acknowledged)
