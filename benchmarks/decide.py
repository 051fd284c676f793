"""What one decision costs, at 1 to 1,000 rules."""

from __future__ import annotations

import time
from functools import partial

from benchmarks.measure import in_turn, line, verdict
from benchmarks.policies import load, text
from remit import policy
from remit.model import AccessRequest, Action, Effect, Facts, Session, SessionId

TARGETS = {1: 2.0, 10: 2.0, 100: 2.0, 1000: 5.0}


def run() -> None:
    """Time ``decide`` in turn over the rule counts; check that it decides what it should."""
    print("\ndecide(policies, request, facts): one call, conditions on arguments, one rule matches")
    counts = list(TARGETS)
    calls = []
    for count in counts:
        start = time.perf_counter()
        policies = load(count)
        spent = time.perf_counter() - start
        line(f"load {count} rules ({len(text(count)) / 1024:.0f} KiB)", f"{spent * 1e3:.1f} ms")
        principal = policies.principal("bot", user="ada")
        session = SessionId("s_bench")
        request = AccessRequest(
            principal=principal,
            session=session,
            action=Action(name="tool-0"),
            arguments={"table": "customers", "amount": 12, "note": "monthly restock"},
        )
        facts = Facts(
            now=1_800_000_000_000_000_000,
            session=Session(id=session, principal=principal, started_at=0),
        )
        assert policy.decide(policies, request, facts).effect is Effect.ALLOW
        calls.append(partial(policy.decide, policies, request, facts))
    for count, figure in zip(counts, in_turn(calls, samples=20_000), strict=True):
        line(f"{count} rules", figure, verdict(figure.p50, TARGETS[count], at_most=True))
