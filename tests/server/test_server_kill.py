"""kill -9 of a server under load: what was acknowledged is in the log, once, and it verifies."""

from __future__ import annotations

import asyncio
import io
import random
import time
from pathlib import Path

import pytest
from benchmarks.load import Client, Connection, Tally, check_log, load
from benchmarks.policies import text
from benchmarks.serving import ServerProcess, prepare

from remit.audit.export import export_lines
from remit.audit.record import Record, parse_record
from remit.audit.verify import VerificationReport, verify_export
from remit.guard.checkpoints import Checkpointer
from remit.signing import FileSigner
from remit.storage import Snapshot
from remit.storage.sqlite import SqliteStore

ROUNDS = 20
CLIENTS = 16


class Kills:
    """A store, the servers that died on it, and what their clients saw, round after round."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = prepare(folder, text(3))
        self.tally = Tally()
        self.settled_again: list[int] = []
        """Statuses of the repeated settlements of actions whose settlement was not answered."""
        self.signed: bytes | None = None

    async def round(self, seconds: float) -> None:
        """Load a server from its start until it is killed."""
        server = await asyncio.to_thread(ServerProcess, self.folder)
        place, left = (server.host, server.port), dict(self.tally.unsettled)
        self.tally.unsettled.clear()
        try:
            await self._settle_twice(place, left)
            before = len(self.tally.decisions)
            loading = asyncio.create_task(
                load(place, self.key, self.tally, lambda: True, clients=CLIENTS)
            )
            while len(self.tally.decisions) == before and not loading.done():
                await asyncio.sleep(0.005)
            await asyncio.sleep(seconds)
        finally:
            await asyncio.to_thread(server.kill)
        await loading

    async def _settle_twice(self, place: tuple[str, int], left: dict[str, str]) -> None:
        """Say from two connections at once what came of actions that the last server admitted."""
        pair = [Client(await Connection(self.key).connected(*place), self.tally) for _ in range(2)]
        for action, session in left.items():
            both = await asyncio.gather(*(each.settle(action, session) for each in pair))
            self.settled_again += sorted(both)
        for each in pair:
            each.close()

    def check(self) -> VerificationReport:
        """Look at what the dead server left behind, as a restart would find it."""
        signer = FileSigner.open(self.folder / "remit.key")
        with SqliteStore(self.folder / "remit.db") as store:
            store.write(Checkpointer(store, signer, 0).sign)
            note = store.read(lambda view: view.checkpoint())
            bodies = store.read(bodies_of)
        assert note is not None
        assert check_log(enumerate(map(parse_record, bodies)), self.tally) == []
        export = io.BytesIO(b"".join(export_lines(bodies, note)))
        report = verify_export(export, [signer.vkey], since=self.signed)
        assert report.discrepancies == ()
        assert report.verified
        self.signed = note
        return report


def bodies_of(view: Snapshot) -> list[bytes]:
    return [logged.body for logged in view.records(0, view.log_size())]


async def test_20_kills_under_load_lose_nothing(tmp_path: Path) -> None:
    kills, chance = Kills(tmp_path), random.Random(20)
    begun = time.monotonic()
    for _ in range(ROUNDS):
        await kills.round(chance.uniform(0.02, 0.4))
        kills.check()
    tally, report = kills.tally, kills.check()
    print(
        f"{ROUNDS} kills in {time.monotonic() - begun:.0f} s: {len(tally.decisions)} decisions and "
        f"{len(tally.outcomes)} outcomes acknowledged, {report.size} records, "
        f"{len(kills.settled_again) // 2} settled again, {tally.broken} connections broken"
    )
    assert tally.problems == []
    assert tally.broken == ROUNDS * CLIENTS
    assert len(tally.decisions) > 5 * ROUNDS
    pairs = list(zip(kills.settled_again[::2], kills.settled_again[1::2], strict=True))
    # One of the two is first, or both come after the server that died before it could answer.
    assert set(pairs) <= {(200, 409), (409, 409)}
    assert (200, 409) in pairs


def an_outcome(action: str) -> Record:
    return Record(kind="outcome", at=1, action=action, status="ok")


def a_decision(action: str) -> Record:
    return Record(kind="decision", at=1, action=action, effect="allow", granted=True)


LOG = [a_decision("a"), a_decision("b"), an_outcome("a"), an_outcome("b")]
SEEN = Tally(decisions={0: "a", 1: "b"}, outcomes={2: "a", 3: "b"})


@pytest.mark.parametrize(
    ("log", "fault"),
    [
        (LOG[:3], "3: the acknowledged outcome of b is lost"),
        (LOG[:1], "1: the acknowledged decision on b is lost"),
        ([LOG[0], *LOG[2:]], "1: the acknowledged decision on b is lost"),
        ([*LOG, an_outcome("a")], "4: a is settled twice"),
        ([*LOG, a_decision("a")], "4: a is admitted twice"),
        ([LOG[0], a_decision("c"), *LOG[2:]], "1: b was acknowledged and c is there"),
    ],
)
def test_the_check_sees_what_is_missing_or_twice(log: list[Record], fault: str) -> None:
    assert check_log(enumerate(LOG), SEEN) == []
    assert fault in check_log(enumerate(log), SEEN)


async def test_a_store_that_lost_a_record_fails_the_round(tmp_path: Path) -> None:
    """The same check over a real round: one acknowledged record less, and it is not content."""
    kills = Kills(tmp_path)
    await kills.round(0.1)
    assert kills.check().verified
    position = max(kills.tally.decisions)
    with SqliteStore(tmp_path / "remit.db") as store:
        bodies = store.read(bodies_of)
        note = store.read(lambda view: view.checkpoint())
    del bodies[position]
    faults = check_log(enumerate(map(parse_record, bodies)), kills.tally)
    assert faults  # it is lost, or another record is in its place

    assert note is not None
    header, *_, blank, signature = export_lines([*bodies, b"{}"], note)
    export = io.BytesIO(b"".join((header, *(body + b"\n" for body in bodies), blank, signature)))
    report = verify_export(export, [FileSigner.open(tmp_path / "remit.key").vkey])
    assert not report.verified
