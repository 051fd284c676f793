"""``remit stop`` and ``remit resume`` on the file of a store."""

import threading
import time

import pytest

from remit import ApprovalRequired, Denied, Guard


def guarded(shop):
    return Guard.open(shop / "remit.yaml")


def query(guard):
    call = guard.wrap(lambda sql: [["lamp", 4]], name="db.query")
    with guard.session(agent="inventory-bot", user="ada"):
        return call("select item from stock")


def test_from_stop_to_resume(history, shop, remit):
    with guarded(shop) as guard:
        query(guard)
        stopped = remit(
            "stop", "--agent", "inventory-bot", "--reason", "odd", "--as", "ada", "--wait", "0"
        )
        assert stopped.code == 0, stopped.err
        assert "agent inventory-bot, in force after" in stopped.out
        assert f"1 held call was refused: {history}" in stopped.out
        with pytest.raises(Denied) as refused:
            query(guard)
        assert "ada stopped agent inventory-bot: odd." in str(refused.value)
        assert refused.value.reasons[0].rule == "stopped"
        (listed,) = remit("stop", "--list", "--json").json
        assert (listed["scope"], listed["value"], listed["by"]) == (
            "agent",
            "inventory-bot",
            "ada",
        )
        shown = remit("stop", "--list").out
        for part in (listed["id"], "agent inventory-bot", "ada", "odd"):
            assert part in shown
        resumed = remit("resume", listed["id"], "--reason", "fine again")
        assert resumed.code == 0
        assert "agent inventory-bot" in resumed.out
        query(guard)
    assert remit("stop", "--list").out == "Nothing is stopped.\n"
    assert remit("stop", "--list", "--json").json == []
    state = remit("approvals", "show", history, "--json").json
    assert (state["state"], state["closed_by"]) == ("rejected", "ada")


def test_a_process_that_has_the_store_open_is_stopped_and_the_command_says_how_soon(
    history, shop, remit
):
    """The embedded case: a program that calls all the time, in a process that was told nothing."""
    refusals = []
    with guarded(shop) as guard:

        def busy():
            while not refusals:
                try:
                    query(guard)
                except Denied:
                    refusals.append(time.monotonic())

        thread = threading.Thread(target=busy)
        thread.start()
        time.sleep(0.2)
        began = time.monotonic()
        stopped = remit("stop", "--all", "--wait", "5", "--json").json
        thread.join(10)
    print(f"embedded: first refusal {1000 * (refusals[0] - began):.0f} ms after the command")
    first = stopped["first_refusal"]
    assert first["tool"] == "db.query"
    assert first["after_ms"] == round(first["after"] / 1e6, 3)
    assert 0 < stopped["in_force_ms"] < 5000
    assert refusals[0] - began < 5


def test_the_first_refusal_is_shown(history, shop, remit):
    with guarded(shop) as guard:

        def later():
            time.sleep(0.2)
            with pytest.raises(Denied):
                query(guard)

        thread = threading.Thread(target=later)
        thread.start()
        shown = remit("stop", "--tool", "db.*", "--wait", "10")
        thread.join(10)
    assert "First refusal" in shown.out
    assert "db.query" in shown.out
    nothing = remit("stop", "--tool", "web.*", "--wait", "0.05")
    assert "No call came to be refused within 0.05 s." in nothing.out


def test_resume_by_name_lifts_every_such_stop(history, shop, remit):
    for _ in range(2):
        remit("stop", "--tool", "pay", "--wait", "0")
    remit("stop", "--agent", "pay", "--wait", "0")
    assert len(remit("resume", "--tool", "PAY", "--json").json) == 2
    left = remit("stop", "--list", "--json").json
    assert [each["scope"] for each in left] == ["agent"]
    again = remit("resume", "--tool", "pay")
    assert again.code == 2
    assert "remit stop --list" in again.err
    assert remit("resume", "st-none").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--agent", "a", "--tool", "b"),
        ("--all", "--session", "s"),
        ("--agent", ""),
        ("--all", "--wait", "56"),
        ("--all", "--key-file", "remit.yaml"),
        ("--all", "--server", "http://remit.corp.com"),
        ("--all", "--server", "nowhere"),
    ],
)
def test_what_is_meant_must_be_clear(arguments, history, remit):
    assert remit("stop", *arguments).code == 2
    assert remit("stop", "--list", "--json").json == []


def test_it_works_when_the_policy_is_broken_or_gone(history, shop, remit):
    document = (shop / "remit.yaml").read_text()
    (shop / "remit.yaml").write_text("remit: [")
    made = remit("stop", "--all", "--as", "grace", "--wait", "0", "--json")
    assert made.code == 0, made.out
    assert made.json["stop"]["by"] == "grace"
    (shop / "remit.yaml").write_text(document)
    with guarded(shop) as guard, pytest.raises(Denied):
        query(guard)
    (shop / "remit.yaml").unlink()
    assert remit("resume", "--all", "--store", "remit.db").code == 0


def test_who_it_was_is_in_the_log_and_the_log_verifies(history, shop, remit):
    remit("stop", "--all", "--as", "ada", "--reason", "hush-hush", "--wait", "0")
    remit("stop", "--all", "--as", "", "--wait", "0")
    remit("resume", "--all", "--as", "grace")
    remit("audit", "checkpoint", "-o", "now.checkpoint")
    remit("audit", "export", "-o", "log.remit", "--values")
    key = remit("audit", "vkey").out.strip()
    assert remit("audit", "verify", "log.remit", "--vkey", key).code == 0
    log = (shop / "log.remit").read_text()
    records = [line for line in log.splitlines() if '"kind":"stop"' in line]
    assert len(records) == 4
    assert '"id":"ada","kind":"person","known":"declared"' in records[0]
    assert '"id":"somebody on this machine"' in records[1]
    assert all('"id":"grace"' in record for record in records[2:])
    assert not any("hush-hush" in record for record in records)


def test_a_store_that_is_not_there(tmp_path, monkeypatch, remit):
    monkeypatch.chdir(tmp_path)
    stopped = remit("stop", "--all")
    assert stopped.code == 2
    assert "there is no store" in stopped.err


def test_a_stopped_held_call_is_refused_at_once(history, shop, remit):
    seen = []
    with Guard.open(shop / "remit.yaml", wait=30) as guard:
        pay = guard.wrap(lambda order, amount: "paid", name="pay")

        def hold():
            with guard.session(agent="inventory-bot", user="ada"):
                try:
                    pay(8, 901)
                except (Denied, ApprovalRequired) as refused:
                    seen.append(refused)

        thread = threading.Thread(target=hold)
        thread.start()
        time.sleep(0.3)
        remit("stop", "--agent", "inventory-bot", "--as", "grace", "--wait", "0")
        thread.join(5)
        assert not thread.is_alive()
    assert [type(each) for each in seen] == [Denied]
    assert seen[0].reasons[0].rule == "stopped"
