"""What 10, 100 and 1,000 nodes with a thousand agents each would do: measured costs, simulated.

    python -m benchmarks.simulate_fleet [--given NODE_US HEAD_US HEAD_EACH_US]

Measured on a real database first, in this run: what an admitted and settled action takes of a
node's processor, and for how long a commit holds the head of the log, as a constant and as a share
of what is in it. Then nodes are simulated event by event: actions come at random, a node works
through what has come, queues for the head, holds it, and begins anew. Nodes that wait gather
bigger groups, up to 256 closures, which is what keeps a fleet alive under load.
"""

from __future__ import annotations

import heapq
import os
import random
import statistics
import sys
import time
from collections import deque
from typing import NamedTuple

from benchmarks.databases import GIVEN, Database, fresh
from benchmarks.measure import line

MAX_GROUP = 256
AGENTS = 1_000
"""On each node."""
SHARD = 100
"""Nodes over one database, where the simulation splits a fleet."""


class Costs(NamedTuple):
    """Seconds."""

    node: float
    """Of a node's processor, for a closure: half of an action."""
    head: float
    """That a commit holds the head, whatever is in it."""
    each: float
    """For every closure in it."""


class Seen(NamedTuple):
    """What came of a simulation."""

    rate: float
    """Actions a second."""
    p50: float
    """Seconds from the call to the durable answer."""
    p99: float
    head: float
    """Share of the time in which somebody held the head."""
    group: float
    """Closures in a commit, on average."""


def simulate(nodes: int, rate: float, costs: Costs, seconds: float = 20.0, seed: int = 10) -> Seen:
    """Simulate a fleet over one database.

    Args:
        nodes: how many.
        rate: closures a second that come to each of them.
        costs: measured.
        seconds: of simulated time, half of which is warm-up.
        seed: of chance.
    """
    chance = random.Random(seed)
    waiting: list[deque[float]] = [deque() for _ in range(nodes)]
    busy = [False] * nodes
    queue: deque[tuple[int, list[float]]] = deque()
    holder: tuple[int, list[float]] | None = None
    events = [(chance.expovariate(rate), number, "come") for number in range(nodes)]
    heapq.heapify(events)
    times: list[float] = []
    groups: list[int] = []
    held = 0.0
    begun = seconds / 2

    def start(number: int, now: float) -> None:
        taken = [waiting[number].popleft() for _ in range(min(MAX_GROUP, len(waiting[number])))]
        busy[number] = True
        ready[number] = taken
        heapq.heappush(events, (now + costs.node * len(taken), number, "drafted"))

    def hold(now: float) -> None:
        nonlocal holder, held
        if holder is None and queue:
            holder = queue.popleft()
            length = costs.head + costs.each * len(holder[1])
            held += length if now > begun else 0.0
            heapq.heappush(events, (now + length, holder[0], "committed"))

    ready: dict[int, list[float]] = {}
    while events:
        now, number, what = heapq.heappop(events)
        if now > seconds:
            break
        if what == "come":
            waiting[number].append(now)
            heapq.heappush(events, (now + chance.expovariate(rate), number, "come"))
        elif what == "drafted":
            queue.append((number, ready[number]))
            hold(now)
        else:
            assert holder is not None
            if now > begun:
                times += [now - came for came in holder[1]]
                groups.append(len(holder[1]))
            holder = None
            busy[number] = False
            hold(now)
        if not busy[number] and waiting[number]:
            start(number, now)
    times.sort()
    count = max(1, len(times))
    return Seen(
        rate=len(times) / (seconds - begun) / 2,
        p50=times[count // 2] if times else 0.0,
        p99=times[int(count * 0.99)] if times else 0.0,
        head=min(1.0, held / (seconds - begun)),
        group=statistics.mean(groups) if groups else 0.0,
    )


def measured() -> Costs:
    """Measure on a real database."""
    from benchmarks.postgres_node import BOT, Node
    from remit.model import AccessRequest, Action, Outcome

    database = None if GIVEN else Database()
    try:
        node = Node(fresh(GIVEN or (database.url() if database else "")), "none")
        governor, store = node.governor, node.store
        sessions = [store.write(lambda t: governor.open_session(t, BOT)) for _ in range(32)]
        requests = [
            AccessRequest(
                principal=BOT,
                session=session.id,
                action=Action(name="tool-0"),
                arguments={"table": "customers", "amount": 12},
            )
            for session in sessions
        ]
        outcome = Outcome(status="ok", result=12)

        def act(size: int, rounds: int) -> tuple[float, float]:
            """Seconds of a commit of ``size`` actions, and of the processor for each closure."""
            took: list[float] = []
            spent = time.process_time()
            for _ in range(rounds):
                begun = time.perf_counter()
                asked = [
                    store.submit(lambda t, n=n: governor.admit(t, requests[n % 32]))
                    for n in range(size)
                ]
                admitted = [each.result() for each in asked]
                took.append(time.perf_counter() - begun)
                said = [
                    store.submit(
                        lambda t, n=n, each=each: governor.settle(
                            t, each.id, requests[n % 32], outcome
                        )
                    )
                    for n, each in enumerate(admitted)
                ]
                for each in said:
                    each.result()
            return min(took), (time.process_time() - spent) / rounds / size / 2

        act(32, 5)
        one, _ = act(1, 100)
        many, processor = act(64, 30)
        store.close()
        each = max(1e-6, (many - one) / 63 - processor)
        return Costs(node=processor, head=one, each=each)
    finally:
        if database is not None:
            database.stop()


def run(costs: Costs) -> None:
    """Print what fleets of several sizes do."""
    line("a closure takes of a node's processor", f"{costs.node * 1e6:.0f} us")
    line(
        "a commit holds the head for", f"{costs.head * 1e6:.0f} us + {costs.each * 1e6:.0f} us each"
    )
    most = MAX_GROUP / (costs.head + costs.each * MAX_GROUP) / 2
    line("one database can order at most", f"{most:,.0f} actions/s, in groups of {MAX_GROUP}")
    for nodes in (10, 100, 1_000):
        shards = max(1, nodes // SHARD)
        for pause in (60, 10):
            seen = simulate(min(nodes, SHARD), 2 * AGENTS / pause, costs)
            line(
                f"{nodes:,} nodes, {AGENTS:,} agents each, an action every {pause} s",
                f"{shards * seen.rate:,.0f} of {nodes * AGENTS / pause:,.0f} actions/s, "
                f"p50 {seen.p50 * 1e3:.0f} ms, p99 {seen.p99 * 1e3:.0f} ms",
                f"head held {seen.head:.0%}, groups of {seen.group:.1f}, {shards} database"
                + ("s" if shards > 1 else ""),
            )


def main() -> None:
    """Measure, or take what was given, and simulate."""
    if sys.argv[1:2] == ["--given"]:
        node, head, each = (float(value) / 1e6 for value in sys.argv[2:5])
        run(Costs(node, head, each))
        return
    if "PYTHONDONTWRITEBYTECODE" in os.environ:
        print("PYTHONDONTWRITEBYTECODE is set: start-up takes longer", file=sys.stderr)
    run(measured())


if __name__ == "__main__":
    main()
