"""What looking into texts costs, for a megabyte, beside one bare RE2 search of the same bytes."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import re2

from benchmarks.measure import line, verdict
from remit.inspection.inspector import TextInspector
from remit.inspection.signs import INSPECTABLE

SIZE = 1_000_000
CHEAP = ("secret", "hidden-text", "exfiltration")
ROOT = Path(__file__).parents[1]


def run() -> None:
    """Each set of kinds over prose, code and logs; then a small call."""
    print("\ninspection (ms for 1 MB as it is written; the bare search reads all of it)")
    bare = re2.compile(rb"(?i)password|secret|token[a-z]{0,3}\s*[:=]\s*[\"'][^\"']{8}")
    for name, text in _texts().items():
        data = text.encode()
        floor = _best(lambda data=data: list(bare.finditer(data)))
        line(f"{name}: one bare RE2 search", f"{floor:.1f} ms")
        for label, kinds in (("cheap set", CHEAP), ("everything", INSPECTABLE)):
            inspector = TextInspector(kinds)
            took = _best(lambda i=inspector, t=text: i.look({"x": t}, deep=False))
            told = f"{took:.1f} ms, {took / floor:.1f} x the bare search"
            check = verdict(took, 5, at_most=True) if kinds is CHEAP else ""
            line(f"{name}: {label}", told, check)
        everything = TextInspector(INSPECTABLE)
        took = _best(lambda i=everything, t=text: i.look({"x": t}))
        line(f"{name}: everything, decoded too", f"{took:.1f} ms, {took / floor:.1f} x")
    small = {"to": ["ada@corp.example"], "subject": "Hello", "body": "See you at noon, please."}
    inspector = TextInspector(CHEAP)
    took = _best(lambda: [inspector.look(small) for _ in range(200)]) / 200
    line("a call of three short arguments, cheap set, decoded too", f"{took * 1e3:.0f} us")


def _best(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(7):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def _texts() -> dict[str, str]:
    def repeated(paths: list[Path]) -> str:
        text = "\n".join(path.read_text() for path in paths)
        return (text * (SIZE // len(text) + 1))[:SIZE]

    dice = random.Random(1)
    logs = "".join(
        f"2026-11-22 18:45:{dice.randrange(60):02} INFO {uuid.UUID(int=dice.getrandbits(128))} "
        f"took {dice.randrange(900)} ms sha256={dice.getrandbits(256):064x}\n"
        for _ in range(SIZE // 130)
    )
    return {
        # The guide to inspection holds an example of every sign.
        "prose": repeated(
            [p for p in sorted((ROOT / "docs").glob("*.md")) if "insp" not in p.name]
        ),
        "code": repeated(sorted((ROOT / "src" / "remit" / "policy").glob("*.py"))),
        "logs": logs[:SIZE],
    }
