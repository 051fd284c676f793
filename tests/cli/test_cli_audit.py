"""``remit audit`` and ``remit tail``: the log for people, for programs and for outsiders."""

import json
import signal
import subprocess
import sys
import time

import pytest


@pytest.fixture
def key(history, remit, tmp_path_factory):
    """The verifier key in a file of its own, elsewhere."""
    file = tmp_path_factory.mktemp("outside") / "key.pub"
    file.write_text(remit("audit", "vkey").out)
    return file


@pytest.fixture
def exported(key, remit, shop):
    assert remit("audit", "export", "-o", "log.jsonl", "--values").code == 0
    return shop / "log.jsonl"


def action_of(remit, tool):
    lines = remit("audit", "tail", "-n", 99, "--json").lines
    return next(each["action"] for each in lines if each.get("tool") == tool)


def test_tail_shows_what_happened_and_why(history, remit):
    shown = remit("audit", "tail").out
    assert "read-only (remit.yaml:" in shown
    assert "large-payment (remit.yaml:" in shown
    assert "inventory-bot for ada" in shown
    assert "restock" in shown


def test_what_an_agent_wrote_cannot_act_on_the_terminal(history, remit):
    for command in (("audit", "tail"), ("audit", "show", action_of(remit, "weather"))):
        shown = remit(*command).out
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "[2J" in shown


def test_tail_for_programs_is_a_document_a_line(history, remit):
    lines = remit("audit", "tail", "-n", 99, "--json").lines
    assert [each["position"] for each in lines] == list(range(len(lines)))
    effects = [each["effect"] for each in lines if each["kind"] == "decision"]
    assert effects == ["allow", "deny", "deny", "ask"]


def test_show_joins_the_records_of_an_action(history, remit):
    action = action_of(remit, "db.query")
    records = remit("audit", "show", action, "--json").json
    assert [each["kind"] for each in records] == ["decision", "outcome"]
    assert records[0]["values"] == {"sql": "select item from stock"}
    assert "select item from stock" in remit("audit", "show", action).out


@pytest.mark.parametrize("name", ["9999", "a_nope", "-1x", "²"])
def test_show_of_what_is_not_there(name, history, remit):
    assert remit("audit", "show", "--", name).code == 2


def test_an_export_verifies_with_the_key_and_without_the_system(exported, key, remit, monkeypatch):
    monkeypatch.chdir(key.parent)
    verified = remit("audit", "verify", exported, "--vkey", key)
    assert verified.code == 0, verified.out
    assert verified.out.startswith("verified")
    report = remit("audit", "verify", exported, "--vkey", key.read_text().strip(), "--json").json
    assert report["verified"] is True
    assert report["counts"]["decision"] == 4


def test_without_a_key_nobody_vouches_for_it(exported, remit):
    verified = remit("audit", "verify", exported, "--json")
    assert verified.code == 1
    assert verified.json["consistent"] is True
    assert verified.json["verified"] is False
    assert "pass --vkey" in remit("audit", "verify", exported).out


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [each.replace(b'"effect":"deny"', b'"effect":"allow"') for each in lines],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: lines[:4] + lines[lines.index(b"\n") :],
        lambda lines: lines[:5],
        lambda lines: [each.replace(b"select item", b"select card") for each in lines],
    ],
    ids=["field", "first-record", "end", "cut", "values"],
)
def test_what_was_changed_does_not_verify(change, exported, key, remit):
    lines = exported.read_bytes().splitlines(keepends=True)
    exported.write_bytes(b"".join(change(lines)))
    verified = remit("audit", "verify", exported, "--vkey", key)
    assert verified.code == 1
    assert verified.out.startswith("does not verify")


def test_another_key_does_not_verify(exported, remit, tmp_path_factory):
    from remit.signing import FileSigner

    other = FileSigner.create(tmp_path_factory.mktemp("other") / "k", "other").vkey
    verified = remit("audit", "verify", exported, "--vkey", other)
    assert verified.code == 1


@pytest.mark.parametrize("spelling", ["file", "text"])
def test_the_private_key_is_not_taken_and_not_shown(spelling, exported, shop, remit):
    private = shop / "remit.key"
    given = private if spelling == "file" else private.read_text().strip()
    refused = remit("audit", "verify", exported, "--vkey", given)
    assert refused.code == 2
    assert private.read_text().strip()[20:] not in refused.err + refused.out


def test_an_old_export_is_caught_by_a_checkpoint_that_was_kept(exported, key, shop, remit):
    from remit import Guard

    assert remit("audit", "verify", exported, "--vkey", key).code == 0
    with (
        Guard.open(shop / "remit.yaml") as guard,
        guard.session(agent="inventory-bot", user="ada", intent="more"),
    ):
        pass
    remit("audit", "checkpoint", "-o", "kept")
    verified = remit("audit", "verify", exported, "--vkey", key, "--since", "kept")
    assert verified.code == 1
    assert "deleted" in verified.out
    remit("audit", "export", "-o", "new.jsonl")
    assert remit("audit", "verify", "new.jsonl", "--vkey", key, "--since", "kept").code == 0


def test_a_receipt_proves_one_record(history, key, shop, remit):
    assert remit("audit", "prove", action_of(remit, "pay"), "-o", "receipt").code == 0
    verified = remit("audit", "verify", "receipt", "--vkey", key)
    assert verified.code == 0
    assert "large-payment" in verified.out
    receipt = shop / "receipt"
    receipt.write_bytes(receipt.read_bytes().replace(b"\nindex ", b"\nindex 1"))
    assert remit("audit", "verify", "receipt", "--vkey", key).code == 1
    assert remit("audit", "verify", "receipt").code == 1


def test_a_receipt_for_programs(history, key, shop, remit):
    shown = remit("audit", "prove", "3", "--json").json
    assert shown["position"] == 3
    (shop / "receipt").write_text(shown["receipt"])
    verified = remit("audit", "verify", "receipt", "--vkey", key, "--json").json
    assert (verified["verified"], verified["position"]) == (True, 3)


def test_what_is_no_export_is_said_to_be_none(history, key, shop, remit):
    for content in (b"", b"hello\n", b"\xff\xfe\n"):
        (shop / "x").write_bytes(content)
        refused = remit("audit", "verify", "x", "--vkey", key)
        assert refused.code == 1
        assert "not an export" in refused.err
    assert remit("audit", "verify", "absent", "--vkey", key).code == 2


def test_an_export_without_values_holds_no_arguments(history, shop, remit):
    remit("audit", "export", "-o", "log.jsonl")
    assert b"select item" not in (shop / "log.jsonl").read_bytes()
    assert (shop / "log.jsonl").stat().st_mode & 0o077 == 0


def test_what_is_erased_is_gone_and_the_log_still_verifies(exported, key, shop, remit):
    action = action_of(remit, "db.query")
    erased = remit("audit", "erase", action, "--as", "grace", "--reason", "asked to", "--json")
    assert erased.code == 0, erased.out
    assert "(erased)" in remit("audit", "show", action).out
    assert remit("audit", "erase", action, "--as", "grace", "--reason", "again").code == 2
    remit("audit", "export", "-o", "after.jsonl", "--values")
    assert b"select item" not in (shop / "after.jsonl").read_bytes()
    assert b"select item" not in (shop / "remit.db").read_bytes()
    assert remit("audit", "verify", "after.jsonl", "--vkey", key).code == 0


def test_only_a_known_person_erases(history, remit):
    action = action_of(remit, "db.query")
    refused = remit("audit", "erase", action, "--as", "mallory", "--reason", "x")
    assert refused.code == 4
    assert remit("audit", "show", action, "--json").json[0]["values"] is not None


def test_an_export_that_cannot_be_written_leaves_nothing(history, shop, remit):
    assert remit("audit", "export", "-o", "absent/log.jsonl").code == 2
    assert remit("audit", "export", "-o", ".").code == 2
    assert not list(shop.glob(".*"))


def test_checkpoint_for_programs(history, remit):
    shown = remit("audit", "checkpoint", "--json").json
    assert shown["checkpoint"].startswith(f"{shown['origin']}\n{shown['size']}\n")
    assert remit("audit", "checkpoint").out == shown["checkpoint"]


def follow(shop, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "remit", *arguments],
        cwd=shop,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests themselves run in the background, interrupts are ignored and inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("command", [("tail",), ("audit", "tail", "-f", "-n", "99")])
def test_tail_follows_what_another_process_does(command, history, shop):
    from remit import Denied, Guard

    following = follow(shop, *command, "--json")
    try:
        seen = [json.loads(following.stdout.readline()) for _ in range(3)]
        assert seen[0]["kind"] in ("decision", "policy")
        with (
            Guard.open(shop / "remit.yaml") as guard,
            guard.session(agent="inventory-bot", user="ada", intent="later"),
            pytest.raises(Denied),
        ):
            guard.wrap(lambda sql: None, name="db.query")("delete from stock")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            entry = json.loads(following.stdout.readline())
            if entry["values"] == {"sql": "delete from stock"}:
                break
        else:
            pytest.fail("the new decision did not show up")
    finally:
        following.send_signal(2)
        _, problems = following.communicate(timeout=10)
    assert following.returncode == 130
    assert problems.strip() == ""


def test_shadow_mode_is_marked(shop, remit):
    from remit import Guard

    policy = shop / "remit.yaml"
    policy.write_text(policy.read_text().replace("default: deny", "default: deny\nmode: shadow"))
    with (
        Guard.open(policy) as guard,
        guard.session(agent="inventory-bot", user="ada", intent="try"),
    ):
        guard.wrap(lambda sql: None, name="db.query")("drop table stock")
    assert "deny* " in remit("audit", "tail").out
    assert "shadow" in remit("check").out
    explained = remit(
        "explain",
        "--agent",
        "inventory-bot",
        "--tool",
        "db.query",
        "--args",
        '{"sql": "drop table a"}',
    )
    assert "not enforced" in explained.out


def test_a_receipt_and_a_witness_who_did_not_sign(exported, key, remit, tmp_path_factory):
    from remit.audit.note import COSIGNATURE, VerifierKey
    from remit.signing import FileSigner

    public = FileSigner.create(tmp_path_factory.mktemp("witness") / "k", "witness").vkey.public
    witness = VerifierKey("witness", COSIGNATURE, public)
    verified = remit("audit", "verify", exported, "--vkey", key, "--witness", witness)
    assert verified.code == 1
    assert "witness" in verified.out


def test_show_for_people_holds_several_records(history, remit):
    shown = remit("audit", "show", action_of(remit, "db.query")).out
    assert shown.count("record ") == 2
    assert "allow, let through" in shown


def test_erase_for_people_names_the_records(history, remit):
    action = action_of(remit, "pay")
    erased = remit("audit", "erase", action, "--as", "grace", "--reason", "asked to")
    assert erased.code == 0, erased.err
    assert erased.out.startswith("Erased the values of ")


def test_a_vkey_that_is_none_says_where_one_is_found(remit, exported):
    refused = remit("audit", "verify", exported, "--vkey", "nonsense")
    assert refused.code == 2
    assert "`remit audit vkey` prints" in refused.err
    assert "nonsense" not in refused.err
