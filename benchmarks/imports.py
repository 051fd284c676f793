"""What ``import remit`` costs a program that adopts it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.measure import line, verdict

RUNS = 15


def _seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def run() -> None:
    """Time whole processes: a bare interpreter, and one that imports remit."""
    print("\nimport remit (whole process, median of 15, less a bare interpreter)")
    for code in ("pass", "import remit"):
        _seconds(code)
    bare, remit = [], []
    for _ in range(RUNS):
        bare.append(_seconds("pass"))
        remit.append(_seconds("import remit"))
    added = (statistics.median(remit) - statistics.median(bare)) * 1e3
    line("bare interpreter", f"{statistics.median(bare) * 1e3:.0f} ms")
    line("import remit adds", f"{added:.0f} ms", verdict(added, 150, at_most=True))
