"""A commit whose answer is lost: the node finds out what became of it, and does it once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from benchmarks.databases import GIVEN
from dropping_proxy import DroppingProxy
from fleet_world import Node, discrepancies, records_of

from remit.errors import StoreError, StoreLocked
from remit.storage import Transaction
from remit.storage.conformance import verify_log
from remit.storage.postgres import PostgresStore
from remit.storage.postgres.engine import PostgresEngine

pytestmark = pytest.mark.skipif(GIVEN is not None, reason="the proxy needs the server's socket")


class Between:
    """A proxy in a thread of its own."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        folder = Path(parse_qs(parts.query)["host"][0])
        self.proxy = DroppingProxy(folder)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        port = self._run(self.proxy.start())
        self.url = f"postgresql://postgres@127.0.0.1:{port}{parts.path}?sslmode=disable"

    def _run(self, work):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        self._run(self.proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def between(database_url: str) -> Iterator[Between]:
    found = Between(database_url)
    yield found
    found.close()


def counted(t: Transaction) -> int:
    count = (t.arrival("count") or 0) + 1
    t.put_arrival("count", count)
    t.append(b"%d" % count, at=1)
    return count


def exactly(t: Transaction) -> int:
    """The same on the slow way, by asking what a draft does not know."""
    t.log_size()
    return counted(t)


@pytest.mark.parametrize("work", [counted, exactly])
def test_a_cut_at_the_commit_changes_nothing(between: Between, work) -> None:  # type: ignore[no-untyped-def]
    with PostgresStore(between.url) as store:
        for turn in range(12):
            between.proxy.at_commit = ("before", "after", "")[turn % 3]
            assert store.write(work) == turn + 1
        assert between.proxy.cuts == 8
        assert store.read(verify_log) == 12
        assert store.read(lambda t: t.arrival("count")) == 12


def test_positions_are_right_when_the_answer_was_lost(between: Between, database_url: str) -> None:
    """The draft took another position for its own; the node hears of the commit another way."""
    node, other = Node(between.url), Node(database_url)
    other.adopt()
    session, elsewhere = node.session(), other.session()
    made = []
    for turn in range(6):
        made.append(other.admit(elsewhere, n=turn))
        between.proxy.at_commit = ("after", "before")[turn % 2]
        made.append(node.admit(session, n=turn))
    records = records_of(other.store)
    assert between.proxy.cuts == 6
    assert all(records[each.position].action == each.id for each in made)
    assert discrepancies(other.store) == []
    node.close()
    other.close()


def test_a_node_that_just_tries_again_counts_twice(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgresEngine, "_has_arrived", lambda _: False)
    with PostgresStore(between.url) as store:
        between.proxy.at_commit = "after"
        store.write(counted)
        assert store.read(lambda t: t.arrival("count")) == 2


def test_whoever_holds_the_head_without_a_word_loses_it(
    database_url: str, between: Between
) -> None:
    """As a node does that was stopped in the middle of its commit."""
    with PostgresStore(database_url) as store, PostgresStore(between.url) as paused:
        store.write(counted)
        paused.write(counted)
        between.proxy.holding = True
        thread = threading.Thread(target=lambda: paused.write(counted))
        with psycopg.connect(database_url) as holder:
            holder.execute("SET idle_in_transaction_session_timeout = '1s'")
            holder.execute("SELECT * FROM head FOR UPDATE")
            begun = time.monotonic()
            assert store.write(counted) == 3
            assert time.monotonic() - begun < 8
            with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
                holder.execute("SELECT 1")
        thread.start()
        time.sleep(0.3)
        assert store.write(counted) == 4
        between.proxy.holding = False
        thread.join(30)
        assert store.read(lambda t: t.arrival("count")) == 5
        assert store.read(verify_log) == 5


def test_a_database_that_is_gone_refuses_and_comes_back(between: Between) -> None:
    with PostgresStore(between.url, timeout=0.5) as store:
        assert store.write(counted) == 1
        between.proxy.chance = 1.0
        with pytest.raises(StoreError, match="does not answer"):
            store.write(exactly)
        between.proxy.chance = 0.0
        before = store.read(lambda t: t.arrival("count")) or 0
        assert store.write(counted) == before + 1
        assert store.read(verify_log) == before + 1


def test_a_connection_that_answers_nothing_is_cut(between: Between) -> None:
    """TCP says nothing when a middle box takes everything and passes nothing on."""
    with PostgresStore(between.url, timeout=0.5, patience=1.0) as store:
        store.write(counted)
        between.proxy.holding = True
        with pytest.raises(StoreError):
            store.read(lambda t: t.log_size())
        between.proxy.holding = False
        time.sleep(0.2)
        assert store.write(counted) == 2


def test_a_node_waits_for_the_head_and_not_for_ever(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PostgresStore(database_url) as store:
        store.write(counted)
        link = store._engine._connection()
        link.execute("SET lock_timeout = '300ms'")
        with psycopg.connect(database_url) as holder:
            holder.execute("SELECT * FROM head FOR UPDATE")
            with pytest.raises(StoreLocked, match="busy for too long"):
                store.write(counted)
        assert store.write(counted) == 2
