"""The commands and the routes of a fleet: copying, checking, publishing, listing."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sqlite3
from pathlib import Path

import aiohttp
import psycopg
import pytest
from benchmarks.policies import text
from fleet_servers import FleetFolder
from fleet_world import SIGNER, Node, audited, discrepancies, records_of, stands

from remit.audit.checkpoint import read_checkpoint
from remit.audit.export import export_lines
from remit.audit.verify import verify_export
from remit.cli.app import run
from remit.errors import StoreCorrupt, StoreError, StoreTooNew
from remit.guard.checkpoints import Checkpointer
from remit.storage import Snapshot
from remit.storage.checking import check_log_whole
from remit.storage.postgres import PostgresStore
from remit.storage.postgres.copying import copy
from remit.storage.sqlite import SqliteStore


def filled(path: Path) -> bytes:
    """A SQLite store with a bit of everything; its newest checkpoint."""
    with SqliteStore(path) as store:
        node = Node(store, 50)
        node.adopt()
        session = node.session()
        for turn in range(20):
            admission = node.admit(session, n=turn)
            if turn % 3:
                node.settle(session, admission, n=turn)
        node.admit(session, "refund", n=1)
        store.write(Checkpointer(store, SIGNER, 0).sign)
        note = store.read(lambda view: view.checkpoint())
        node.admit(session, "look", n=1)
    assert note is not None
    return note


def exported(store: SqliteStore | PostgresStore) -> bytes:
    def look(view: Snapshot) -> bytes:
        note = view.checkpoint()
        assert note is not None

        def values(position: int) -> tuple[bytes, bytes] | None:
            sealed = view.values(position)
            return None if sealed is None else (sealed.salt, sealed.canonical)

        bodies = [each.body for each in view.records(0, read_checkpoint(note).size)]
        return b"".join(export_lines(bodies, note, values=values))

    return store.read(look)


def test_a_copy_is_the_same_log(tmp_path: Path, database_url: str) -> None:
    path = tmp_path / "remit.db"
    before = filled(path)
    with SqliteStore(path) as store:
        checked = store.read(check_log_whole)
        original = exported(store)
    done = copy(path, database_url)
    assert done.records == checked.size
    assert done.root == checked.root
    with PostgresStore(database_url) as store:
        assert store.read(check_log_whole) == checked
        assert exported(store) == original
        assert verify_export(io.BytesIO(exported(store)), [SIGNER.vkey]).verified
        assert stands(store).spent + stands(store).held == 20
        # Life goes on where it was, and the log that comes of it contains what was signed before.
        node = Node(store, 50)
        session = node.session()
        node.settle(session, node.admit(session, n=1), n=1)
        audited(store)
        grown = verify_export(io.BytesIO(exported(store)), [SIGNER.vkey], since=before)
        assert grown.verified
        assert grown.since is not None
    with pytest.raises(StoreError, match="holds a store already"):
        copy(path, database_url)


def test_a_damaged_file_is_not_copied(tmp_path: Path, database_url: str) -> None:
    path = tmp_path / "remit.db"
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE records SET body = x'00' WHERE position = 3")
    connection.close()
    with pytest.raises(StoreCorrupt, match="Record 3"):
        copy(path, database_url)
    with PostgresStore(database_url) as store:
        assert store.read(lambda view: view.log_size()) == 0
        assert store.read(lambda view: view.credentials()) == []


def test_tampering_with_the_database_is_found(database_url: str) -> None:
    node = Node(database_url)
    node.adopt()
    session = node.session()
    for turn in range(5):
        node.admit(session, n=turn)
    audited(node.store)
    node.close()
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE records SET body = body || 'x' WHERE position = 2")
    with PostgresStore(database_url) as store, pytest.raises(StoreCorrupt, match="do not match"):
        store.read(check_log_whole)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "DELETE FROM records WHERE position = (SELECT max(position) FROM records)"
        )
    with pytest.raises(StoreCorrupt, match="missing"):
        PostgresStore(database_url)


def test_records_of_a_month_have_a_table(database_url: str) -> None:
    node = Node(database_url)
    node.adopt()
    node.close()
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT tableoid::regclass::text FROM records").fetchall()
        months = connection.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'records'::regclass"
        ).fetchone()
    assert all(re.fullmatch(r"records_\d{4}_\d\d", name) for (name,) in rows)
    assert months is not None
    assert months[0] >= 4  # this month, two to come, and the rest


def test_a_newer_schema_by_one_is_good(database_url: str) -> None:
    """During an upgrade nodes of both releases run; two steps ahead is too far."""
    PostgresStore(database_url).close()
    for step, good in ((1, True), (2, False)):
        with psycopg.connect(database_url) as connection:
            connection.execute(
                "INSERT INTO migrations (number) SELECT max(number) + 1 FROM migrations"
            )
        if good:
            with PostgresStore(database_url) as store:
                assert store.schema_version > step
        else:
            with pytest.raises(StoreTooNew):
                PostgresStore(database_url)


def test_the_commands(
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)

    def told(*arguments: str, code: int = 0) -> dict[str, object]:
        assert run([*arguments, "--json"]) == code, capsys.readouterr()
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    assert told("store", "migrate", code=2)["error"]
    monkeypatch.setenv("REMIT_STORE_URL", database_url)
    assert told("store", "migrate") == {"schema": 1, "records": 0}
    filled(tmp_path / "remit.db")
    copied = told("store", "copy", "remit.db")
    checked = told("store", "check")
    assert checked["records"] == copied["records"]
    assert checked["root"] == copied["root"]
    assert told("store", "nodes") == {"published": None, "nodes": []}
    assert told("store", "copy", "remit.db", code=3)["error"]
    with SqliteStore(tmp_path / "remit.db") as left, PostgresStore(database_url) as store:
        assert discrepancies(store) == []
        assert records_of(store) == records_of(left)


async def test_a_published_policy_reaches_every_node_or_is_reported(
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fleet = FleetFolder(tmp_path, database_url, text(3), 2)
    monkeypatch.setenv("REMIT_STORE_URL", database_url)
    (tmp_path / "new.yaml").write_text(text(5), encoding="utf-8")
    servers = [await asyncio.to_thread(fleet.start, number) for number in range(2)]
    try:
        command = ["store", "publish", str(tmp_path / "new.yaml"), "--as", "ada", "--json"]
        assert await asyncio.to_thread(run, command) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["nodes"] == 2
        assert told["behind"] == {}
        async with aiohttp.ClientSession() as session:
            for server in servers:
                async with session.get(f"http://{server.host}:{server.port}/readyz") as answer:
                    assert (await answer.json())["revision"] == told["revision"]
        # A node that cannot take it in says so, and goes on with the one that it has.
        broken = '{"a.yaml":"remit: 1\\nrules: ["}'
        with PostgresStore(database_url) as store:
            store.publish("sha256:broken", broken.encode(), "ada")  # type: ignore[arg-type]
            for _ in range(100):
                members = store.members()
                if all(node.fault for node in members):
                    break
                await asyncio.sleep(0.1)
        assert all("cannot be put in force" in str(node.fault) for node in members)
        assert {node.revision for node in members} == {told["revision"]}
        assert await asyncio.to_thread(run, ["store", "nodes", "--json"]) == 1
    finally:
        for server in servers:
            await asyncio.to_thread(server.stop)
