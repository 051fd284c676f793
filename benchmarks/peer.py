"""The peer's figures in the same run: Microsoft's Agent Governance Toolkit, as published.

Install it into an environment of its own and name its Python in ``REMIT_BENCH_AGT``::

    uv venv v && uv pip install --python v/bin/python agent-governance-toolkit-core psutil pyyaml
    REMIT_BENCH_AGT=v/bin/python make bench
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from benchmarks.measure import line

SCRIPTS = Path(__file__).parents[1].parent / "shared" / "bench" / "agt"


def run() -> None:
    """Run the peer's wrapper over 1 to 1,000 rules and print its medians."""
    print("\nthe peer: decision by its wrapper, audit in memory, nothing durable")
    python = os.environ.get("REMIT_BENCH_AGT")
    if python is None or not (SCRIPTS / "bench_govern.py").is_file():
        line("not measured", "", "set REMIT_BENCH_AGT and have ../shared/bench/agt")
        return
    output = subprocess.run(
        [python, "-u", str(SCRIPTS / "bench_govern.py")],
        check=True,
        capture_output=True,
        text=True,
        cwd=SCRIPTS,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    ).stdout
    for row in map(json.loads, filter(None, output.splitlines())):
        line(row["name"], f"p50 {row['p50_us']:9.2f} us   p99 {row['p99_us']:9.2f} us")
