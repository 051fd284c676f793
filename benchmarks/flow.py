"""What it costs to remember where values come from, and to ask."""

from __future__ import annotations

import random
import string
import time
from functools import partial
from typing import Any

from benchmarks import flow_peer
from benchmarks.measure import in_turn, line, verdict
from remit.provenance import digests
from remit.provenance.grounding import Provenance, stored
from remit.provenance.memory import MAX_RECORDS, MAX_SEEN, MAX_TRUSTED, Memory, say
from remit.provenance.observing import Fields, observe

OBSERVE_TARGET = 5.0
"""Milliseconds for each megabyte of a result."""
DECIDE_TARGET = 50.0
"""Microseconds for one ``flows`` or ``from_user``."""

FIELDS = Fields(labels=("untrusted",), platform=("id", "sender", "date"), claimed=("sender",))


def run() -> None:
    """Time ``observe`` by size of the result, and questions over 10,000 remembered values."""
    print("\nwhere values come from: observe(result), then flows(args.body, untrusted)")
    chance = random.Random(7)
    before = say(Memory(), "Please send the report to ada@corp.example")
    for name, size in (("1 KB", 10**3), ("100 KB", 10**5), ("1 MB", 10**6), ("10 MB", 10**7)):
        result = mails(chance, size)
        spent = min(_observed(before, result) for _ in range(5))
        rate = spent * 1e3 / (size / 1e6)
        told = f"{spent * 1e3:.2f} ms, {rate:.1f} ms/MB"
        line(f"observe {name}", told, verdict(rate, OBSERVE_TARGET, at_most=True))
    seen = before
    while digests.count(seen.seen.get("untrusted", ())) < 10_000:
        seen = observe(seen, mails(chance, 30_000), {}, FIELDS)
    known = Provenance(seen)
    known.from_user("x-1")
    calls = {
        "flows(args.body, untrusted), 8 words": partial(
            known.flows, "hello mallory@evil.example how are you doing today", "untrusted"
        ),
        "from_user(args.to)": partial(known.from_user, ["ada@corp.example"]),
    }
    figures = in_turn(list(calls.values()), samples=2000)
    for name, figure in zip(calls, figures, strict=True):
        line(name, figure, verdict(figure.p50, DECIDE_TARGET, at_most=True))
    held = digests.count(seen.seen["untrusted"])
    line(f"memory of a session with {held} values", f"{len(stored(seen)) / 1024:.0f} KiB")
    most = 8 * (MAX_SEEN + MAX_TRUSTED) + MAX_RECORDS * 400
    line("memory of a session, at most, for one label", f"about {most * 4 // 3 // 1024} KiB stored")
    flow_peer.run(mails(chance, 60_000))


def _observed(before: Memory, result: Any) -> float:
    start = time.perf_counter()
    observe(before, result, {}, FIELDS)
    return time.perf_counter() - start


def mails(chance: random.Random, size: int) -> list[dict[str, Any]]:
    """A list of mails of about ``size`` characters."""
    letters = string.ascii_lowercase
    words = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(3000)]
    found: list[dict[str, Any]] = []
    length = 0
    while length < size:
        body = " ".join(chance.choices(words, k=min(150, 1 + size // 8)))
        length += len(body) + 80
        found.append(
            {
                "id": len(found),
                "sender": f"{chance.choice(words)}@{chance.choice(words)}.example",
                "subject": " ".join(chance.choices(words, k=4)),
                "body": body,
                "date": "2024-05-15",
            }
        )
    return found
