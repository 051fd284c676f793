"""``remit agents``: keys made, shown once, listed, replaced and revoked."""

import pytest

from remit.audit.record import parse_record
from remit.identity import keys
from remit.storage.sqlite import SqliteStore


def added(remit, *arguments):
    ran = remit("agents", "add", *arguments, "--json")
    assert ran.code == 0, ran.out + ran.err
    return ran.json


def opens(shop, key, now=2_000_000_000 * 10**9):
    with SqliteStore(shop / "remit.db") as store:
        return store.read(lambda t: keys.check_key(key, t.credential, now))


def test_a_key_is_shown_once(shop, remit):
    shown = remit("agents", "add", "inventory-bot", "--note", "nightly")
    assert shown.code == 0
    (key,) = [line for line in shown.out.splitlines() if line.startswith("remit_")]
    assert opens(shop, key).principal == "inventory-bot"
    listed = remit("agents", "list")
    for part in ("inventory-bot", "agent", "active", "never", "nightly"):
        assert part in listed.out
    assert key.rpartition("_")[2] not in listed.out
    assert (shop / "remit.db").read_bytes().find(key.rpartition("_")[2].encode()) < 0


def test_what_is_done_is_in_the_log(shop, remit):
    made = added(remit, "ada", "--kind", "person", "--right", "reviewer")
    remit("agents", "rotate", made["id"])
    remit("agents", "revoke", "ada")
    with SqliteStore(shop / "remit.db") as store:
        records = store.read(lambda t: [parse_record(each.body) for each in t.records(0, 9)])
    assert {each.kind for each in records} == {"credential"}
    notes = [each.note.partition(" ")[0] for each in records]
    assert notes == ["issued", "rotated", "revoked"]
    assert "person ada (reviewer)" in records[0].note
    assert not any(made["key"].rpartition("_")[2] in str(each) for each in records)
    assert records[0].principal[0].kind == "person"


def test_first_key_and_more_keys(shop, remit):
    added(remit, "inventory-bot")
    again = remit("agents", "add", "inventory-bot")
    assert (again.code, "has a key already" in again.err) == (2, True)
    assert "remit agents rotate" in again.err
    assert remit("agents", "key", "inventory-bot").code == 0
    other = remit("agents", "key", "inventory-bot", "--kind", "service", "--right", "agent")
    assert (other.code, "known as agent" in other.err) == (2, True)
    assert len(remit("agents", "list", "--json").json) == 2


def test_a_service_with_its_agents_and_an_end(shop, remit):
    made = added(
        remit,
        "mesh",
        "--kind",
        "service",
        "--right",
        "agent",
        "--as-agent",
        "bot",
        "--expires",
        "90d",
    )
    assert made["agents"] == ["bot"]
    assert made["expires_at"] - made["created_at"] == 90 * 86_400 * 10**9
    assert "20" in remit("agents", "list").out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("ada", "--kind", "person"), "without a right"),
        (("bot", "--right", "admin"), "cannot hold"),
        (("bot", "--expires", "soon"), "not a duration"),
        (("bot", "--expires", "-5d"), "not a duration"),
        (("bot", "--expires", "0d"), "not a duration"),
        (("b\u200bot",), "cannot be seen"),
        (("bot", "--as-agent", "x"), "service"),
    ],
)
def test_what_cannot_be_added(shop, remit, arguments, word):
    ran = remit("agents", "add", *arguments)
    assert ran.code == 2
    assert word in " ".join(ran.err.split())


def test_rotate_and_revoke(shop, remit):
    made = added(remit, "inventory-bot")
    new = remit("agents", "rotate", made["id"], "--grace", "1h", "--json").json
    states = {each["id"]: each["state"] for each in remit("agents", "list", "--json").json}
    assert states == {made["id"]: "active", new["id"]: "active"}
    one = remit("agents", "revoke", new["id"])
    assert f"Revoked {new['id']} of inventory-bot." in one.out
    assert [each["id"] for each in remit("agents", "revoke", "inventory-bot", "--json").json] == [
        made["id"]
    ]
    assert remit("agents", "list").out.strip() == "Nobody has a key."
    every = remit("agents", "list", "--all", "--json").json
    assert {each["state"] for each in every} == {"revoked"}
    assert remit("agents", "rotate", new["id"]).code == 2


def test_expired_keys_are_listed_as_that(shop, remit):
    made = added(remit, "inventory-bot", "--expires", "1s")
    remit("agents", "rotate", made["id"])
    with SqliteStore(shop / "remit.db") as store:
        store.write(
            lambda t: keys.issue(
                t,
                principal="old",
                kind="agent",
                rights=frozenset(keys.Right) & {keys.Right.AGENT},
                now=1,
                entropy=lambda size: b"7" * size,
                expires_at=2,
            )
        )
        store.write(lambda t: keys.record_uses(t, {each.id: 10**18 for each in t.credentials()}))
    shown = remit("agents", "list", "--all")
    assert "expired" in shown.out
    assert "2001" in shown.out


def test_names_that_are_not_there(shop, remit):
    added(remit, "inventory-bot")
    for command in ("revoke", "rotate"):
        assert remit("agents", command, "nobody").code == 2


def test_list_needs_a_store(shop, remit):
    assert remit("agents", "list").code == 2


def test_who_did_it_without_a_user_name(shop, remit, monkeypatch):
    monkeypatch.setattr("remit.cli.agents.os_user", lambda: "")
    added(remit, "inventory-bot")
    with SqliteStore(shop / "remit.db") as store:
        (record,) = store.read(lambda t: [parse_record(each.body) for each in t.records(0, 9)])
    assert [each.id for each in record.principal] == ["somebody on this machine"]
