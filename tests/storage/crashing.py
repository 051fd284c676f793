"""Processes that write to a store from many threads until they are killed.

Each runs in a fork of a fork server (a small process without threads), so a round costs
milliseconds. Acknowledged records come through a pipe as ``position name`` lines, written only
after ``write`` has returned.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from remit.model import ActionId, AdmittedAction, Digest, Revision, SessionId
from remit.storage import SealedValues, Snapshot, Transaction
from remit.storage.conformance import verify_log
from remit.storage.sqlite import SqliteStore

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["remit.storage.sqlite", "remit.storage.conformance"])


def an_append(name: bytes, at: int) -> Callable[[Transaction], int]:
    """A closure that writes as an admission does: a record, its values, and state."""

    def work(t: Transaction) -> int:
        t.put_arrival("count", (t.arrival("count") or 0) + 1)
        action = AdmittedAction(
            id=ActionId(name.decode()),
            session=SessionId("s"),
            tool="db.query",
            digest=Digest("d" * 64),
            revision=Revision("r"),
            admitted_at=at,
            lease_until=at,
        )
        t.put_action(action)
        body = name + b" " + b"x" * (hash(name) % 3000)
        return t.append(body, at=at, values=SealedValues(salt=b"s" * 32, canonical=name))

    return work


def keep_writing(store: SqliteStore, pipe: int, tag: str, threads: int = 4) -> None:
    """Write from many threads for ever; one line on ``pipe`` for each acknowledged record."""

    def body(number: int) -> None:
        turn = 0
        while True:
            name = f"{tag}/{number}/{turn}".encode()
            if number == 0:  # one of them comes as a future
                position = store.submit(an_append(name, turn)).result()
            else:
                position = store.write(an_append(name, turn))
            os.write(pipe, b"%d %b\n" % (position, name))
            turn += 1

    for number in range(threads):
        threading.Thread(target=body, args=(number,), daemon=True).start()


def until_killed(path: str, pipe: Connection, tag: str, _seed: int) -> None:
    """Body of a process that is to be killed."""
    keep_writing(SqliteStore(path), pipe.fileno(), tag)
    time.sleep(60)


def until_power_cut(path: str, pipe: Connection, tag: str, seed: int, synchronous: str) -> None:
    """Body of a process whose power fails."""
    from powercut import NAME, PowerCut

    chance = random.Random(seed)
    disk = PowerCut()
    store = SqliteStore(path, vfs=NAME)
    weakened: sqlite3.Connection = store._engine._connection
    weakened.execute(f"PRAGMA synchronous = {synchronous}")
    weakened.execute("PRAGMA wal_autocheckpoint = 60")
    keep_writing(store, pipe.fileno(), tag)
    time.sleep(chance.uniform(0.02, 0.15))
    disk.cut(chance)


class Round:
    """What a store acknowledged to a process that died, round after round on one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.acknowledged: dict[int, bytes] = {}
        self.lost = 0

    def run(self, target: Callable[..., None], tag: str, *rest: object, kill_after: float) -> None:
        """One process from start to death; then check the store it leaves behind.

        ``kill_after``: seconds until it is killed, counted from its first acknowledged record; 0
        lets it end by itself.
        """
        reader, writer = SERVER.Pipe(duplex=False)
        process = SERVER.Process(target=target, args=(str(self.path), writer, tag, *rest))
        process.start()
        writer.close()
        received = bytearray(os.read(reader.fileno(), 1))
        if kill_after:
            time.sleep(kill_after)
            process.kill()
        while part := os.read(reader.fileno(), 1 << 16):
            received += part
        reader.close()
        process.join(30)
        assert process.exitcode is not None
        for line in bytes(received).split(b"\n")[:-1]:
            position, name = line.split()
            self.acknowledged[int(position)] = name
        self.check()

    @classmethod
    def series(
        cls,
        directory: Path,
        target: Callable[..., None],
        count: int,
        *rest: object,
        kill_within: float = 0,
    ) -> tuple[int, int]:
        """``count`` rounds, ten on each file.

        Returns:
            How many records were acknowledged, and how many of them were lost.
        """
        chance = random.Random(count)
        acknowledged = lost = 0
        for first in range(0, count, 10):
            rounds = cls(directory / f"{first}.db")
            for number in range(first, min(first + 10, count)):
                delay = chance.uniform(0.01, kill_within) if kill_within else 0
                rounds.run(target, str(number), number, *rest, kill_after=delay)
            acknowledged += len(rounds.acknowledged) + rounds.lost
            lost += rounds.lost
        return acknowledged, lost

    def check(self) -> None:
        """Open the file as after a restart: it holds together; count what is missing."""
        with SqliteStore(self.path) as store:
            stored = store.read(self._names)
        connection = sqlite3.connect(self.path)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()
        missing = [at for at, name in self.acknowledged.items() if stored.get(at) != name]
        self.lost += len(missing)
        for position in missing:
            del self.acknowledged[position]

    def _names(self, t: Snapshot) -> dict[int, bytes]:
        size = verify_log(t)
        names = {record.position: record.body.split()[0] for record in t.records(0, size)}
        assert t.arrival("count") == (size or None)
        for position in names:
            action = t.action(ActionId(names[position].decode()))
            values = t.values(position)
            assert action is not None
            assert values is not None
            assert values.canonical == names[position]
        return names
