"""The log over HTTP, checked with nothing but a verifier key: as an outsider would."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from live import Live, config_in, live_server

from remit.audit.checkpoint import open_checkpoint
from remit.audit.merkle import leaf_hash, root, verify_consistency, verify_inclusion
from remit.audit.note import decode_base64
from remit.audit.proof import parse_receipt, verify_receipt
from remit.audit.record import parse_record
from remit.audit.tiles import parse_bundle, parse_tile, tile_reader
from remit.audit.verify import verify_export
from remit.credentials import Right
from remit.model import AccessRequest, Action, Admission, Outcome
from remit.signing import read_vkey
from remit.storage import Transaction


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def live(folder: Path) -> Iterator[Live]:
    with live_server(config_in(folder)) as server:
        act(server, 140)
        server.parts.store.write(server.parts.checkpointer.sign)
        yield server


def act(live: Live, count: int, query: str = "select 1") -> Admission:
    """Let an agent act so many times: two records each."""
    parts = live.parts
    request = AccessRequest(
        principal=parts.policies.current.principal("inventory-bot"),
        session=live.session,
        action=Action(name="db.query"),
        arguments={"query": query},
    )

    def work(t: Transaction) -> Admission:
        admission = parts.governor.admit(t, request)
        parts.governor.settle(t, admission.id, request, Outcome(status="ok", result=3))
        return admission

    admitted = [parts.store.write(work) for _ in range(count)]
    return admitted[-1]


def ask(live: Live, path: str, right: Right = Right.AUDITOR, **query: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {live.keys[right]}"}
    return requests.get(
        f"{live.url}/v1/audit/{path}", params=query or None, headers=headers, timeout=20
    )


def test_the_checkpoint_is_signed(live: Live, folder: Path):
    answer = ask(live, "checkpoint")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    signed = open_checkpoint(answer.content, [read_vkey(folder / "remit.pub")])
    assert signed.checkpoint.size >= 280


def test_the_tiles_rebuild_the_signed_root(live: Live, folder: Path):
    claim = open_checkpoint(
        ask(live, "checkpoint").content, [read_vkey(folder / "remit.pub")]
    ).checkpoint
    cached: dict[str, str] = {}

    def fetch(path: str) -> bytes:
        answer = ask(live, path)
        assert answer.status_code == 200
        cached[path] = answer.headers["Cache-Control"]
        return answer.content

    assert root(claim.size, tile_reader(claim.size, fetch)) == claim.root
    fetch("tile/0/000")
    assert "immutable" in cached["tile/0/000"]
    assert all(".p/" in path for path, said in cached.items() if said == "no-store")


def test_entries_are_the_leaves_of_their_tile(live: Live):
    tile = parse_tile("tile/entries/000")
    bodies = parse_bundle(tile, ask(live, tile.path).content)
    hashes = ask(live, "tile/0/000").content
    assert b"".join(map(leaf_hash, bodies)) == hashes
    assert parse_record(bodies[0]).kind == "policy"


@pytest.mark.parametrize(
    "path", ["0/999", "0/000.p/0", "0/0", "entries/001", "9/000", "0/x000/000", "0/001.p/255"]
)
def test_no_other_path_is_a_tile(live: Live, path: str):
    answer = ask(live, f"tile/{path}")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_inclusion_of_every_tenth_record(live: Live):
    bundle = parse_bundle(parse_tile("tile/entries/000"), ask(live, "tile/entries/000").content)
    for index in range(0, 256, 10):
        answer = ask(live, "proof/inclusion", index=index).json()
        proof = [decode_base64(each) for each in answer["proof"]]
        verify_inclusion(
            index, answer["size"], leaf_hash(bundle[index]), decode_base64(answer["root"]), proof
        )


def test_consistency_from_every_size_on_the_way(live: Live):
    for old in (1, 2, 7, 64, 255, 256, 257):
        before = ask(live, "proof/consistency", old=1, new=old).json()
        now = ask(live, "proof/consistency", old=old).json()
        verify_consistency(
            old,
            now["size"],
            decode_base64(before["root"]),
            decode_base64(now["root"]),
            [decode_base64(each) for each in now["proof"]],
        )


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("proof/inclusion", {"index": 10**6}, 404),
        ("proof/inclusion", {"index": 0, "size": 10**6}, 404),
        ("proof/inclusion", {"index": 0, "size": 0}, 404),
        ("proof/inclusion", {"index": -1}, 400),
        ("proof/inclusion", {}, 400),
        ("proof/consistency", {"old": 0}, 400),
        ("proof/consistency", {"old": 10**6}, 404),
        ("proof/consistency", {"old": 5, "new": 4}, 404),
        ("receipts/a-none", {}, 404),
        ("receipts/a-none", {"record": "session"}, 400),
        ("records", {"limit": 1001}, 400),
        ("records", {"kind": "nothing"}, 400),
        ("records", {"kind": "null"}, 400),
    ],
)
def test_what_there_is_no_answer_to(live: Live, path: str, query: dict[str, Any], status: int):
    assert ask(live, path, **query).status_code == status


@pytest.mark.parametrize("which", ["decision", "outcome"])
def test_a_receipt_stands_alone_also_for_what_was_not_signed_yet(
    live: Live, folder: Path, which: str
):
    action = act(live, 1).id
    answer = ask(live, f"receipts/{action}", record=which)
    receipt = parse_receipt(answer.content)
    signed = verify_receipt(receipt, [read_vkey(folder / "remit.pub")])
    record = parse_record(receipt.extra or b"")
    assert (record.action, record.kind) == (action, which)
    assert receipt.index < signed.checkpoint.size


def test_records_come_page_by_page_and_none_twice(live: Live):
    seen, start = [], 0
    while start is not None:
        page = ask(live, "records", start=start, limit=100).json()
        seen += [each["position"] for each in page["records"]]
        start = page["next"]
    assert seen == list(range(page["size"]))


def test_records_are_filtered(live: Live):
    action = act(live, 1).id
    page = ask(live, "records", action=action).json()
    assert [each["record"]["kind"] for each in page["records"]] == ["decision", "outcome"]
    assert page["next"] is None
    sessions = ask(live, "records", kind="session", session=live.session).json()
    assert [each["record"]["status"] for each in sessions["records"]] == ["started"]
    assert ask(live, "records", tool="none").json()["records"] == []


@pytest.mark.parametrize("values", [False, True])
def test_an_export_verifies_offline(live: Live, folder: Path, values: bool):
    act(live, 1, query="select secret_column")
    answer = ask(live, "export", values=str(values).lower())
    report = verify_export(io.BytesIO(answer.content), [read_vkey(folder / "remit.pub")])
    assert report.verified, report.discrepancies
    assert report.size >= 284
    assert (b"secret_column" in answer.content) is values


def test_an_export_can_be_asked_about(live: Live):
    headers = {"Authorization": f"Bearer {live.keys[Right.AUDITOR]}"}
    answer = requests.head(f"{live.url}/v1/audit/export", headers=headers, timeout=20)
    assert answer.status_code == 200
    assert answer.content == b""


def test_an_agent_sees_nothing_of_the_log(live: Live):
    action = act(live, 1).id
    for path in ("checkpoint", "tile/0/000", "records", f"receipts/{action}", "export"):
        answer = ask(live, path, Right.AGENT)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
