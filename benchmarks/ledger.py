"""Reserve and settle with five levels of budgets, audited in the same transactions."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.durable import BODY, THREADS
from benchmarks.floor import BareCommit, BareGroupCommit
from benchmarks.measure import in_turn, line, throughput, verdict
from remit import policy
from remit.governor import Governor
from remit.model import AccessRequest, Action, Estimate, Outcome, Session, Usage
from remit.storage import Transaction
from remit.storage.sqlite import SqliteStore

LEVELS = ("org", "team", "agent", "user", "session")
HEAD = """
remit: 1
agents:
  bot: {roles: [worker], team: ops}
people:
  ada: {team: ops}
tools:
  - {match: [chat], does: send}
rules:
  - {id: all, tools: [chat], effect: allow}
"""
BUDGETS = "budgets:\n" + "".join(
    f"  - {{id: by-{each}, by: {each}, limit: {{usd: 1000000}}, per: month}}\n" for each in LEVELS
)


class Pairs:
    """A governor over a store of its own, called without the SDK in between."""

    def __init__(self, path: Path, text: str, callers: int) -> None:
        self.policies = policy.load({"remit.yaml": text})
        self.store = SqliteStore(path)
        self._governor = Governor(
            policies=lambda: self.policies, clock=time.time_ns, entropy=os.urandom
        )
        principal = self.policies.principal("bot", user="ada")

        def open_session(t: Transaction) -> Session:
            return self._governor.open_session(t, principal)

        sessions = [self.store.write(open_session) for _ in range(callers)]
        estimate = Estimate(usage=Usage(nano_usd=9_000, input_tokens=900, output_tokens=90))
        self._requests = [
            AccessRequest(
                principal=principal,
                session=session.id,
                action=Action(name="chat", kind="model"),
                arguments={"max_tokens": 90},
                estimate=estimate,
            )
            for session in sessions
        ]
        self._outcome = Outcome(status="ok", usage=Usage(nano_usd=100, input_tokens=300))

    def pair(self, number: int = 0) -> None:
        """Reserve, then settle: two durable transactions."""
        request = self._requests[number]
        admission = self.store.write(lambda t: self._governor.admit(t, request))
        assert admission.granted
        self.store.write(lambda t: self._governor.settle(t, admission.id, request, self._outcome))


def run() -> None:
    """Measure one caller and 32, with and without budgets, each against the floor in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        budgeted = Pairs(folder / "budgets.db", HEAD + BUDGETS, THREADS)
        plain = Pairs(folder / "plain.db", HEAD, THREADS)
        _one_caller(budgeted, plain, BareCommit(folder / "bare.db"))
        _many_callers(budgeted, plain, BareGroupCommit(folder / "group.db"))
        budgeted.store.close()
        plain.store.close()


def _one_caller(budgeted: Pairs, plain: Pairs, floor: BareCommit) -> None:
    print("\nreserve + settle, one caller, five levels of budgets, audited")

    def two_commits() -> None:
        floor.append(BODY)
        floor.append(BODY)

    bare, without, with_all = in_turn([two_commits, plain.pair, budgeted.pair], samples=300)
    floor.close()
    line("two bare durable SQLite commits (the floor)", bare)
    line("admit and settle without budgets", without)
    line("with five levels", with_all)
    line("ratio of the medians to the floor", f"{with_all.p50 / bare.p50:.2f}x")
    line("what five levels add", f"{(with_all.p50 / without.p50 - 1) * 100:.0f} %")


def _many_callers(budgeted: Pairs, plain: Pairs, floor: BareGroupCommit) -> None:
    print(f"\n{THREADS} callers, five levels of budgets, audited")
    works: list[tuple[str, Any]] = [
        ("bare", lambda _: floor.append(BODY)),
        ("plain", plain.pair),
        ("budgets", budgeted.pair),
    ]
    found: dict[str, list[float]] = {name: [] for name, _ in works}
    for _ in range(3):
        for name, work in works:
            found[name].append(throughput(work, threads=THREADS, seconds=3))
    floor.close()
    bare, without, with_all = (sorted(each)[1] for each in found.values())
    line("bare group-commit append loop (the floor)", f"{bare:,.0f} appends/s")
    line("admit and settle without budgets", f"{without:,.0f} pairs/s")
    line("with five levels", f"{with_all:,.0f} pairs/s")
    ratio = with_all / bare
    line("pairs against bare appends", f"{ratio:.2f}x", verdict(ratio, 0.25, at_most=False))
