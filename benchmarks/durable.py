"""What a governed, durably recorded action costs beside the bare commits that it cannot avoid."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.floor import BareCommit, BareGroupCommit
from benchmarks.measure import in_turn, line, throughput, verdict
from benchmarks.policies import text
from remit import Guard

THREADS = 32
BODY = bytes(700)
"""About what a decision record takes."""


def run() -> None:
    """Measure one caller and 32, each against its floor in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "remit.yaml").write_text(text(100), encoding="utf-8")
        with Guard.open(folder / "remit.yaml") as guard:
            _one_caller(guard, BareCommit(folder / "bare.db"))
            _many_callers(guard, BareGroupCommit(folder / "group.db"))


def _one_caller(guard: Guard, floor: BareCommit) -> None:
    print("\nadmit + settle, one caller, through the SDK, durable, 100 rules")

    @guard.tool(name="tool-0")
    def work(table: str, amount: int) -> int:
        return amount

    def two_commits() -> None:
        floor.append(BODY)
        floor.append(BODY)

    with guard.session(agent="bot", user="ada", intent="benchmark"):
        bare, governed = in_turn([two_commits, lambda: work("customers", 12)], samples=300)
    floor.close()
    line("two bare durable SQLite commits (the floor)", bare)
    line("a governed call: decision and outcome recorded", governed)
    ratio = governed.p50 / bare.p50
    line("ratio of the medians", f"{ratio:.2f}x", verdict(ratio, 1.5, at_most=True))


def _many_callers(guard: Guard, floor: BareGroupCommit) -> None:
    print(f"\n{THREADS} callers in one process, durable, 100 rules")
    arguments = {"table": "customers", "amount": 12}

    def action() -> None:
        with guard.permit("tool-0", arguments) as permit:
            permit.result = 12

    sessions = [guard.session(agent="bot", user="ada") for _ in range(THREADS)]
    calls = [session.bind(action) for session in sessions]

    def governed(number: int) -> None:
        calls[number]()

    bare, actions = [], []
    for _ in range(3):
        bare.append(throughput(lambda _: floor.append(BODY), threads=THREADS, seconds=3))
        actions.append(throughput(governed, threads=THREADS, seconds=3))
    floor.close()
    appends, done = sorted(bare)[1], sorted(actions)[1]
    line("bare group-commit append loop (the floor)", f"{appends:,.0f} appends/s")
    line("governed actions: two durable records each", f"{done:,.0f} actions/s")
    line(
        "durable records against bare appends",
        f"{2 * done / appends:.2f}x",
        verdict(2 * done / appends, 0.5, at_most=False),
    )
    line("whole actions against bare appends", f"{done / appends:.2f}x", "each is two appends")
