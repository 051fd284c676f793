"""Several nodes on one database: one log, no update lost, nothing overspent, and it audits."""

from __future__ import annotations

from collections import Counter

import pytest
from fleet_world import ADA, BOT, Node, audited, in_threads, records_of, stands

from remit.errors import ApprovalError, SettlementError
from remit.stops import Stop
from remit.storage.conformance import verify_log
from remit.storage.postgres import PostgresStore


def test_nodes_share_a_log(database_url: str) -> None:
    """Closures that depend on each other run as if alone, whichever node they run on."""
    nodes = [PostgresStore(database_url) for _ in range(3)]
    answers: list[tuple[bytes, int]] = []

    def body(number: int) -> None:
        store = nodes[number % 3]
        for turn in range(20):
            name = b"%d/%d" % (number, turn)

            def work(t, name=name):  # type: ignore[no-untyped-def]
                t.put_arrival("counter", (t.arrival("counter") or 0) + 1)
                return t.append(name, at=1)

            answers.append((name, store.write(work)))

    in_threads(9, body)
    total = len(answers)
    assert total == 180
    for store in nodes:
        assert store.read(verify_log) == total
        assert store.write(lambda t: t.arrival("counter")) == total
    stored = nodes[0].read(lambda t: [record.body for record in t.records(0, total)])
    assert all(stored[position] == name for name, position in answers)
    for store in nodes:
        store.close()


@pytest.mark.parametrize("window", ["per: month", "rolling: 1h"])
def test_a_shared_budget_is_exact(database_url: str, window: str) -> None:
    """All nodes spend one budget at once, to its last call and not beyond; the log adds up."""
    limit = 150
    nodes = [Node(database_url, limit, window=window) for _ in range(3)]
    for node in nodes:
        node.adopt()
    granted: list[str] = []
    positions: list[int] = []

    def body(number: int) -> None:
        node = nodes[number % 3]
        session = node.session()
        for turn in range(20):
            admission = node.admit(session, n=turn)
            positions.append(admission.position)
            if admission.granted:
                granted.append(admission.id)
                other = nodes[(number + turn) % 3]
                positions.append(other.settle(session, admission, n=turn).position)

    in_threads(12, body)
    assert len(granted) == limit
    stood = stands(nodes[0].store)
    assert (stood.spent, stood.held) == (limit, 0)
    report = audited(nodes[1].store)
    assert report.open_count == 0
    assert len(set(positions)) == len(positions)
    records = records_of(nodes[2].store)
    assert Counter(record.kind for record in records)["outcome"] == limit
    assert all(records[position].kind in ("decision", "outcome") for position in positions)
    for node in nodes:
        node.close()


def test_clocks_a_minute_apart(database_url: str) -> None:
    """The log's time never goes back, whatever the clocks of nodes say."""
    minute = 60_000_000_000
    nodes = [Node(database_url, skew=skew) for skew in (0, minute, -minute)]
    for node in nodes:
        node.adopt()

    def body(number: int) -> None:
        node = nodes[number % 3]
        session = node.session()
        for turn in range(10):
            node.settle(session, node.admit(session, n=turn), n=turn)

    in_threads(6, body)
    report = audited(nodes[0].store)
    assert report.counts["outcome"] == 60
    for node in nodes:
        node.close()


def test_an_approval_is_used_once(database_url: str) -> None:
    """However many nodes make the approved call at the same moment."""
    nodes = [Node(database_url) for _ in range(3)]
    nodes[0].adopt()
    session = nodes[0].session()
    for turn in range(5):
        held = nodes[turn % 3].admit(session, "refund", n=turn)
        assert held.approval is not None
        decided: list[str] = []

        def decide(number: int, approval=held.approval, decided=decided) -> None:  # type: ignore[no-untyped-def]
            node = nodes[number]
            try:
                node.store.write(lambda t: node.governor.approve(t, approval, ADA))
            except ApprovalError:
                return
            decided.append(approval)

        in_threads(3, decide)
        assert len(decided) == 1
        granted: list[bool] = []

        def call(number: int, turn: int = turn, granted: list[bool] = granted) -> None:
            granted.append(nodes[number % 3].admit(session, "refund", n=turn).granted)

        in_threads(6, call)
        assert granted.count(True) == 1
    audited(nodes[0].store)
    for node in nodes:
        node.close()


def test_a_stop_counts_on_every_node_at_once(database_url: str) -> None:
    one, two = Node(database_url), Node(database_url)
    one.adopt()
    session = two.session()
    for turn in range(5):
        assert two.admit(session, n=turn).granted
        stop = one.store.write(lambda t: one.governor.stop(t, "agent", BOT.id, ADA, "odd")).stop
        assert isinstance(stop, Stop)
        assert not two.admit(session, n=turn).granted
        two.store.write(lambda t, stop=stop: two.governor.resume(t, stop.id, ADA))
    audited(one.store)
    one.close()
    two.close()


def test_a_session_learns_on_every_node(database_url: str) -> None:
    """What one node puts on a session binds the next call on another, which remembers it."""
    one, two = Node(database_url), Node(database_url)
    one.adopt()
    session = one.session()
    for turn in range(6):
        node, other = (one, two) if turn % 2 else (two, one)
        admission = node.admit(session, "look", n=turn)
        other.settle(session, admission, "look", n=turn)
        kept = other.store.write(lambda t: t.session(session.id))
        assert kept is not None
        assert kept.calls["look"] == turn + 1
    with pytest.raises(SettlementError):
        one.settle(session, admission, "look", n=5)
    audited(two.store)
    one.close()
    two.close()
