"""Budgets and approvals of a fleet behave as if there were one of each, in one place."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from fleet_world import ADA, Node, in_threads
from linearizability import Operation, approval, budget, linearizable
from msgspec.structs import replace

from remit.errors import ApprovalError
from remit.storage.postgres import engine as engine_module
from remit.storage.postgres.arranging import Arranged, Found, arrange

LIMIT = 40
NODES = 3


class History:
    """Notes what was asked, when, and what was answered."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._mutex = threading.Lock()

    def noted(self, what: str, work: Callable[[], Any]) -> Any:
        asked = time.monotonic()
        result = work()
        with self._mutex:
            self.operations.append(Operation(asked, time.monotonic(), what, result))
        return result


def spend(url: str) -> History:
    """All nodes take from one budget until it has nothing left."""
    nodes = [Node(url, LIMIT) for _ in range(NODES)]
    nodes[0].adopt()
    history = History()

    def body(number: int) -> None:
        node = nodes[number % NODES]
        session = node.session()
        for turn in range(12):
            history.noted("take", lambda turn=turn: node.admit(session, n=turn).granted)

    in_threads(6, body)
    for node in nodes:
        node.close()
    return history


def approve_and_use(url: str, rounds: int) -> list[History]:
    """People approve on all nodes what clients call on all nodes."""
    nodes = [Node(url, LIMIT) for _ in range(NODES)]
    nodes[0].adopt()
    session = nodes[0].session()
    found = []
    for turn in range(rounds):
        asked = nodes[0].admit(session, "refund", n=turn)
        assert asked.approval is not None
        history = History()

        def decide(node: Node, wanted: Any = asked.approval) -> bool:
            try:
                node.store.write(lambda t: node.governor.approve(t, wanted, ADA))
            except ApprovalError:
                return False
            return True

        def use(node: Node, turn: int = turn, wanted: Any = asked.approval) -> bool:
            made = node.admit(session, "refund", n=turn)
            return made.granted and made.approval == wanted

        def body(
            number: int, history: History = history, decide: Any = decide, use: Any = use
        ) -> None:
            node = nodes[number % NODES]
            if number < NODES:
                history.noted("approve", lambda: decide(node))
            history.noted("use", lambda: use(node))

        in_threads(2 * NODES, body)
        found.append(history)
    for node in nodes:
        node.close()
    return found


def test_a_shared_budget_is_linearizable(database_url: str) -> None:
    history = spend(database_url)
    assert sum(bool(each.result) for each in history.operations) == LIMIT
    assert linearizable(history.operations, 0, budget(LIMIT))


def test_approvals_are_linearizable(database_url: str) -> None:
    for history in approve_and_use(database_url, 6):
        assert [each.result for each in history.operations if each.what == "use"].count(True) <= 1
        assert linearizable(history.operations, "pending", approval)


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that take what they remember for the truth, whatever others have written."""

    def naive(drafts: Any, found: Found) -> Arranged:
        return arrange(drafts, replace(found, changed={}, restopped=False))

    monkeypatch.setattr(engine_module, "arrange", naive)


@pytest.mark.usefixtures("trusting")
def test_nodes_that_trust_what_they_remember_are_caught(database_url: str) -> None:
    history = spend(database_url)
    assert not linearizable(history.operations, 0, budget(LIMIT))


TAKEN = [Operation(n, n + 0.5, "take", True) for n in range(3)]


@pytest.mark.parametrize(
    ("history", "holds"),
    [
        (TAKEN, True),
        ([*TAKEN, Operation(4, 5, "take", True)], False),
        ([*TAKEN, Operation(4, 5, "take", False)], True),
        ([*TAKEN[:2], Operation(4, 5, "take", False)], False),
        # Whoever was refused may have come after one whose answer came later.
        ([*TAKEN[:2], Operation(4, 9, "take", True), Operation(5, 6, "take", False)], True),
        ([*TAKEN[:2], Operation(4, 5, "take", False), Operation(6, 9, "take", True)], False),
        # Nobody heard of it: it may have taken the last one.
        ([*TAKEN[:2], Operation(3, math.inf, "take", None), Operation(5, 6, "take", False)], True),
        ([*TAKEN[:2], Operation(7, math.inf, "take", None), Operation(5, 6, "take", False)], False),
    ],
)
def test_the_checker_of_budgets(history: list[Operation], holds: bool) -> None:
    assert linearizable(history, 0, budget(3)) is holds


def test_the_checker_of_approvals() -> None:
    approve, use = Operation(0, 1, "approve", True), Operation(2, 3, "use", True)
    assert linearizable([approve, use], "pending", approval)
    assert linearizable([use._replace(asked=0.5, result=False), approve], "pending", approval)
    assert not linearizable([approve, use, use], "pending", approval)
    assert not linearizable([approve._replace(asked=5, answered=6), use], "pending", approval)
    assert not linearizable([approve, approve], "pending", approval)
