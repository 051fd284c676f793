"""``remit serve`` on PostgreSQL: nodes behind any balancer are one server."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.load import Tally, check_log, load
from benchmarks.policies import text
from fleet_servers import FleetFolder
from fleet_world import records_of

from remit.audit.record import Record
from remit.storage.conformance import verify_log
from remit.storage.postgres import PostgresStore


async def test_three_nodes_are_one_server(tmp_path: Path, database_url: str) -> None:
    """Load on all nodes at once; what any of them acknowledged is in the one log, once."""
    fleet = FleetFolder(tmp_path, database_url, text(3), 3)
    key = fleet.key()
    nodes = [await asyncio.to_thread(fleet.start, number) for number in range(3)]
    tallies = [Tally() for _ in nodes]
    try:
        until = time.monotonic() + 2
        await asyncio.gather(
            *(
                load(
                    (node.host, node.port), key, tally, lambda: time.monotonic() < until, clients=4
                )
                for node, tally in zip(nodes, tallies, strict=True)
            )
        )
        with PostgresStore(database_url) as store:
            members = store.members()
    finally:
        for node in nodes:
            await asyncio.to_thread(node.stop)
    assert [each.name for each in members] == ["node0", "node1", "node2"]
    assert [each.leads for each in members].count(True) == 1
    assert len({each.revision for each in members}) == 1
    assert all(abs(each.skew) < 1 for each in members)
    with PostgresStore(database_url) as store:
        assert store.read(verify_log) > 100
        records: list[Record] = records_of(store)
    for tally in tallies:
        assert tally.problems == []
        assert len(tally.decisions) > 10
        assert check_log(enumerate(records), tally) == []
