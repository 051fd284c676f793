"""Runs the MCP conformance suite against a URL and gives its result check by check."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from installing import LOCKS, NODE, Peers

Checks = dict[str, Counter[str]]
"""How often each check of each scenario (``scenario/check``) ended in which status."""

ERAS = {
    "2025-11-25": ["--spec-version", "2025-11-25"],
    "2026-07-28": ["--spec-version", "2026-07-28"],
    "every scenario": [],
}
"""Options by era. The last has the scenarios of extensions as well, which the server lacks."""

_STAMP = re.compile(r"-\d{4}-\d\d-\d\dT[-\dZ]*$")


def run_suite(peers: Peers, url: str, era: str, *, key: str = "") -> Checks:
    """Run all scenarios of an era; with ``key``, every request carries it."""
    authorize = ["--import", str(LOCKS / "authorize.mjs")] if key else []
    with tempfile.TemporaryDirectory() as results:
        options = ["--url", url, "--suite", "all", "-o", results, *ERAS[era]]
        done = subprocess.run(
            [str(NODE), *authorize, str(peers.conformance), "server", *options],
            env={**os.environ, "REMIT_KEY": key},
            capture_output=True,
            text=True,
            timeout=300,
        )
        checks = _read(Path(results))
    assert checks, f"the suite ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return checks


def totals(checks: Checks) -> tuple[int, int]:
    """Checks that passed and that failed, as the suite counts them."""
    counted: Counter[str] = sum(checks.values(), Counter())
    return counted["SUCCESS"], counted["FAILURE"]


def _read(results: Path) -> Checks:
    checks: Checks = {}
    for file in results.glob("*/checks.json"):
        scenario = _STAMP.sub("", file.parent.name).removeprefix("server-")
        for check in json.loads(file.read_bytes()):
            if check["status"] != "INFO":  # one for each event of a stream, however it was cut
                name = f"{scenario}/{check['id']}"
                checks.setdefault(name, Counter())[check["status"]] += 1
    return checks
