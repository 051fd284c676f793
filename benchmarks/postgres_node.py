"""One node of a fleet as a process: a governor over the database, used by many threads.

    python -m benchmarks.postgres_node URL BUDGET THREADS START SECONDS

``BUDGET``: ``none``, ``hot`` (all calls of all nodes count against one), ``hot-apart`` (the same,
but what two nodes did to it is not put together: whoever came second decides again).
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

from benchmarks.policies import text
from remit import policy
from remit.governor import Governor
from remit.model import AccessRequest, Action, Outcome, Principal
from remit.storage.postgres import PostgresStore, arranging

HOT = """budgets:
  - {id: hot, by: org, limit: {calls: 900000000}, per: year, notify: []}
"""
BOT = Principal(id="bot", roles=("clerk",), team="sales", known="declared")
_WARM_UP = 1.0


class Node:
    """A governor, its store, and threads that act."""

    def __init__(self, url: str, budget: str) -> None:
        document = text(100) + ("" if budget == "none" else HOT)
        policies = policy.load({"bench.yaml": document})
        if budget == "hot-apart":
            arranging.merged = lambda *_: None  # type: ignore[assignment]
        self.store = PostgresStore(url)
        self.governor = Governor(policies=lambda: policies, clock=time.time_ns, entropy=os.urandom)
        self.times: list[float] = []
        self.done = self.all = 0

    def act(self, start: float, end: float) -> None:
        """Admit and settle, over and over; what falls into the measured time counts."""
        governor, store = self.governor, self.store
        session = store.write(lambda t: governor.open_session(t, BOT))
        request = AccessRequest(
            principal=BOT,
            session=session.id,
            action=Action(name="tool-0"),
            arguments={"table": "customers", "amount": 12},
        )
        outcome = Outcome(status="ok", result=12)
        while time.time() < end:
            begun = time.perf_counter()
            admission = store.write(lambda t: governor.admit(t, request))
            admitted = time.perf_counter() - begun
            assert admission.granted, admission
            store.write(lambda t, done=admission.id: governor.settle(t, done, request, outcome))
            self.all += 1
            if start <= time.time() < end:
                self.times.append(admitted)
                self.done += 1


def main(url: str, budget: str, threads: str, start: str, seconds: str) -> None:
    """Run, and print what was measured as JSON."""
    node = Node(url, budget)
    begin = float(start)
    end = begin + float(seconds)
    time.sleep(max(0.0, begin - _WARM_UP - time.time()))
    spent = time.process_time()
    running = [threading.Thread(target=node.act, args=(begin, end)) for _ in range(int(threads))]
    for each in running:
        each.start()
    for each in running:
        each.join()
    node.store.close()
    ordered = sorted(node.times)
    print(
        json.dumps(
            {
                "pairs": node.done,
                "all": node.all,
                "p50": ordered[len(ordered) // 2],
                "p99": ordered[int(len(ordered) * 0.99)],
                "cpu": time.process_time() - spent,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
