"""The console with 10,000 decisions in the feed: what its pages take, beside a bare answer.

Pages are asked for over HTTP from a real ``remit serve``, in turn with ``/livez``, which is the
floor: what any answer of this server costs here and now.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.measure import line, verdict
from benchmarks.policies import text
from benchmarks.serving import AGENT, ServerProcess, prepare
from remit import Guard
from remit.storage.sqlite import SqliteStore

DECISIONS = 10_000
ROUNDS = 40
TARGET = 50.0
"""Milliseconds, p50."""
PAGES = {
    "the feed": "/console/live",
    "the feed, filtered by what is rare": "/console/live?rule=none-of-them",
    "why": "/console/decisions/{middle}",
    "approvals": "/console/approvals",
    "agents": "/console/agents",
    "costs": "/console/costs",
    "audit": "/console/audit",
    "health": "/console/health",
}


def run() -> None:
    """Print what each page takes."""
    print(f"\nConsole: {DECISIONS:,} decisions in the feed")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, text(100))
        size = _filled(folder)
        key = _person(folder)
        server = ServerProcess(folder)
        try:
            _pages(server, key, size)
        finally:
            server.stop()


def _filled(folder: Path) -> int:
    """Make the decisions in an embedded governor; the size of the log."""
    with Guard.open(folder / "remit.yaml") as guard, guard.session(agent=AGENT):
        for number in range(DECISIONS):
            with guard.permit("tool-0", {"amount": number, "table": "x" * 100}):
                pass
    store = SqliteStore(folder / "remit.db")
    try:
        return store.read(lambda view: view.log_size())
    finally:
        store.close()


def _person(folder: Path) -> str:
    rights = [f"--right={each}" for each in ("auditor", "reviewer", "admin", "editor")]
    command = [sys.executable, "-m", "remit", "agents", "add", "ada", "--kind", "person"]
    key: str = json.loads(subprocess.check_output([*command, *rights, "--json"], cwd=folder))["key"]
    return key


def _pages(server: ServerProcess, key: str, size: int) -> None:
    connection = http.client.HTTPConnection(server.host, server.port)
    cookie = _signed_in(connection, key, f"http://{server.host}:{server.port}")
    middle = size // 2 - (size // 2) % 2 + 1
    floor: list[float] = []
    spent: dict[str, list[float]] = {name: [] for name in PAGES}
    for _ in range(ROUNDS):
        floor.append(_asked(connection, "/livez", cookie))
        for name, path in PAGES.items():
            spent[name].append(_asked(connection, path.format(middle=middle), cookie))
    bare = statistics.median(floor)
    line("a bare answer (/livez), p50", f"{bare:8.2f} ms")
    for name, times in spent.items():
        median = statistics.median(times)
        share = f"{median / bare:6.1f} x the bare answer; {verdict(median, TARGET, at_most=True)}"
        line(f"{name}, p50", f"{median:8.2f} ms", share)


def _signed_in(connection: http.client.HTTPConnection, key: str, origin: str) -> str:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": origin}
    connection.request("POST", "/console/login", urlencode({"key": key}), headers)
    answer = connection.getresponse()
    answer.read()
    cookie = answer.headers["Set-Cookie"]
    assert answer.status == 303, answer.status
    return cookie.partition(";")[0]


def _asked(connection: http.client.HTTPConnection, path: str, cookie: str) -> float:
    """Milliseconds until a page is there."""
    begun = time.perf_counter()
    connection.request("GET", path, headers={"Cookie": cookie})
    answer = connection.getresponse()
    answer.read()
    assert answer.status in (200, 404), (path, answer.status)
    return (time.perf_counter() - begun) * 1000
