"""A fleet under load, badly treated: nothing acknowledged is lost, nothing overspent, no fork.

``REMIT_FAULT_ROUNDS`` makes the rounds more than CI has time for (``make soak``: 20 of each).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from benchmarks.databases import GIVEN
from fault_world import FaultyFleet
from fleet_world import discrepancies

from remit.storage.postgres import PostgresStore

ROUNDS = int(os.environ.get("REMIT_FAULT_ROUNDS", "1"))
CLIENTS = 12

pytestmark = pytest.mark.skipif(GIVEN is not None, reason="only a database of its own is killed")


async def test_a_fleet_under_load_loses_nothing(tmp_path: Path) -> None:
    begun = time.monotonic()
    async with FaultyFleet(tmp_path, limit=150 * ROUNDS) as fleet:
        fleet.load(CLIENTS)
        await fleet.leader()
        await fleet.progress(50)
        for _ in range(ROUNDS):
            for fault in (
                fleet.kill_node,
                fleet.kill_leader,
                fleet.kill_database,
                fleet.cut,
                fleet.pause_leader,
            ):
                await fault()
                await fleet.progress(30)
        await fleet.finish()
        seen = fleet.check()
        with PostgresStore(fleet.direct) as store:
            size = store.read(lambda view: view.log_size())
            report = discrepancies(store)
    print(f"{ROUNDS} rounds in {time.monotonic() - begun:.0f} s: {seen}")
    assert size == seen["records"]
    assert report == []
    assert seen["checkpoints"] > 5 * ROUNDS
    assert seen["paid"] > 0
    assert seen["refunds"] > 0
    assert seen["cuts"] > 0
