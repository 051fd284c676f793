"""What nodes on one PostgreSQL do: with and without a budget that all of them share.

The floor, measured in the same run: one connection that only inserts records, in batches of as
many as a group of 32 callers has. Also measured: what a budget in one row costs the plain way, a
transaction for each reservation and each charge. ``synchronous_commit`` and ``fsync`` are on.
``REMIT_BENCH_SECONDS`` says how long each is loaded (5).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

from benchmarks.databases import GIVEN, Database, fresh
from benchmarks.measure import line, verdict

SECONDS = float(os.environ.get("REMIT_BENCH_SECONDS", "5"))
THREADS = 32
_BODY = b"x" * 600
_START = 4.0
"""Seconds that the processes of nodes get to start."""


def inserted(url: str, seconds: float, batch: int = 2 * THREADS) -> float:
    """Records a second that one connection inserts in batches, durably."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE floor (position bigint PRIMARY KEY, body bytea)")
        done, begun = 0, time.monotonic()
        while time.monotonic() - begun < seconds:
            rows = list(range(done, done + batch)), [_BODY] * batch
            connection.execute(
                "INSERT INTO floor SELECT * FROM unnest(%b::bigint[], %b::bytea[])", rows
            )
            done += batch
        return done / (time.monotonic() - begun)


def shared_row(url: str, seconds: float, clients: int = THREADS) -> float:
    """Pairs a second (reserve, charge) of clients that update one row and insert a record."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE row (one int PRIMARY KEY, used bigint)")
        connection.execute("INSERT INTO row VALUES (1, 0)")
        connection.execute("CREATE TABLE taken (id bigserial PRIMARY KEY, body bytea)")
    counts = [0] * clients
    end = time.monotonic() + seconds

    def body(number: int) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while time.monotonic() < end:
                for _ in range(2):
                    with connection.pipeline():
                        connection.execute("BEGIN")
                        connection.execute("UPDATE row SET used = used + 1 WHERE one = 1")
                        connection.execute("INSERT INTO taken (body) VALUES (%b)", (_BODY,))
                        connection.execute("COMMIT")
                counts[number] += 1

    threads = [threading.Thread(target=body, args=(number,)) for number in range(clients)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return sum(counts) / seconds


def fleet(url: str, budget: str, nodes: int, seconds: float) -> dict[str, Any]:
    """Admissions a second of that many nodes, and what one of them takes."""
    start = time.time() + _START
    command = [sys.executable, "-m", "benchmarks.postgres_node", url, budget]
    command += [str(THREADS), str(start), str(seconds)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(nodes)]
    answers = [json.loads(each.communicate()[0]) for each in running]
    return {
        "rate": sum(each["pairs"] for each in answers) / seconds,
        "p50": max(each["p50"] for each in answers),
        "p99": max(each["p99"] for each in answers),
        "cpu": sum(each["cpu"] for each in answers),
        "all": sum(each["all"] for each in answers),
    }


def run() -> None:
    """Print the comparison."""
    print(f"\nPostgreSQL: nodes with {THREADS} callers each, {SECONDS:g} s each, durable")
    database = None if GIVEN else Database()
    try:
        url = GIVEN or (database.url() if database is not None else "")
        _compare(url, database)
    finally:
        if database is not None:
            database.stop()


def _compare(url: str, database: Database | None) -> None:
    floor = inserted(fresh(url), SECONDS)
    row = shared_row(fresh(url), SECONDS)
    line("floor: records inserted in batches", f"{floor:,.0f}/s")
    line("a budget in one row, a transaction each", f"{row:,.0f} pairs/s")
    rates: dict[tuple[str, int], float] = {}
    for budget in ("none", "hot", "hot-apart"):
        for nodes in (1, 2, 3):
            before = 0.0 if database is None else database.cpu()
            seen = fleet(fresh(url), budget, nodes, SECONDS)
            spent = 0.0 if database is None else database.cpu() - before
            rates[budget, nodes] = seen["rate"]
            line(
                f"budget {budget}, {nodes} node{'s' if nodes > 1 else ''}",
                f"{seen['rate']:,.0f} admits/s ({2 * seen['rate'] / floor:.2f} of the floor's "
                f"records), p50 {seen['p50'] * 1e3:.1f} ms, p99 {seen['p99'] * 1e3:.1f} ms, "
                f"CPU {seen['cpu'] / seen['all'] * 1e6:.0f} us a pair in nodes, "
                f"{spent / seen['all'] * 1e6:.0f} us in the database",
            )
    best = max(rates["hot", nodes] for nodes in (1, 2, 3))
    _judge("a hot budget, beside one row", best / row, 10.0)
    _judge("three nodes, beside one", rates["none", 3] / rates["none", 1], 1.5)


def _judge(what: str, value: float, target: float) -> None:
    line(what, f"{value:.2f}x", verdict(value, target, at_most=False))
