"""The part of the suite about many callers: isolation, shared commits, futures, misuse."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from remit.errors import StoreError
from remit.model import (
    Revision,
    SessionId,
)
from remit.storage import Snapshot, Transaction
from remit.storage.conformance.samples import (
    Mishap,
    OpensStore,
    a_session,
    fails,
    in_threads,
    raised,
    verify_log,
)


class ConcurrencyConformance(OpensStore):
    """What a store does for many callers, as tests."""

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
                    return t.append(name, at=1)

                answers.append((name, store.write(work)))

        with self.store(tmp_path) as store:
            in_threads(count, body)
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
                    return t.append(name.encode(), at=1)

                if number % 3 == 0:
                    error = raised(Mishap, partial(store.write, fails(work)))
                    assert error.args == ()
                else:
                    store.write(work)

        with self.store(tmp_path) as store:
            in_threads(count, body)
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
            futures = [store.submit(lambda t: t.append(b"f", at=1)) for _ in range(50)]
            failed: Future[None] = store.submit(fails(lambda t: t.append(b"no", at=0)))
            assert [future.result(30) for future in futures] == list(range(50))
            raised(Mishap, lambda: failed.result(30))
            assert store.read(verify_log) == 50

    def test_submit_beside_write(self, tmp_path: Path) -> None:
        """Threads and futures share the log."""

        def body(number: int) -> None:
            for _ in range(25):
                if number % 2:
                    store.write(lambda t: t.append(b"w", at=1))
                else:
                    store.submit(lambda t: t.append(b"f", at=1)).result(30)

        with self.store(tmp_path) as store:
            in_threads(8, body)
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

                def work(_: Snapshot, call: Callable[[], object] = call) -> object:
                    return call()

                raised(StoreError, partial(store.write, work))
                raised(StoreError, partial(store.read, work))
                raised(StoreError, partial(store.submit(work).result, 30))
            assert store.write(lambda t: t.append(b"one", at=1)) == 0

    def test_a_closed_store_refuses(self, tmp_path: Path) -> None:
        """Closing twice does nothing; anything else says that it is closed."""
        store = self.open_store(tmp_path)
        store.write(lambda t: t.append(b"one", at=1))
        store.close()
        store.close()
        calls: tuple[Callable[[], object], ...] = (
            lambda: store.write(lambda t: None),
            lambda: store.submit(lambda t: None),
            lambda: store.read(lambda t: None),
        )
        for call in calls:
            assert "closed" in str(raised(StoreError, call))

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
                    position = store.write(lambda t: t.append(b"x", at=1))
                except StoreError:
                    return
                acknowledged.append(position)
                if len(acknowledged) > 20:
                    go.set()

        in_threads(6, body)
        assert sorted(acknowledged) == list(range(len(acknowledged)))
        if self.durable:
            with self.store(tmp_path) as again:
                assert again.read(verify_log) == len(acknowledged)
