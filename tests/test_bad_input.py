"""Bad input of every kind: refused with a clear error, and nothing is lost by it.

"Nothing is lost" is checked at the end of each test: the guard goes on, the next good call runs,
and no granted action is left without an outcome.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guarding import HEAD, decisions, log, open_guard, outcomes, stop, unsettled, write_policy
from remit import (
    ConfigError,
    Denied,
    Guard,
    InvalidArgument,
    InvalidRequest,
    PolicyError,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreTooNew,
    Unavailable,
)
from remit.storage.sqlite import SqliteStore


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with open_guard(tmp_path) as opened:
        yield opened
        note = opened.wrap(lambda text: text, name="note")
        with opened.session(agent="bot"):
            assert note("goes on") == "goes on"
        assert unsettled(opened) == 0


def refused(guard: Guard, value: Any, complaint: str) -> None:
    """The value is refused wherever it comes in, by name, and nothing runs."""
    ran: list[object] = []
    note = guard.wrap(lambda text: ran.append(text), name="note")
    with guard.session(agent="bot"):
        with pytest.raises(InvalidArgument, match=complaint) as caught:
            note(value)
        assert caught.value.where.startswith("args")
        with pytest.raises(InvalidArgument, match=complaint):
            note({"inner": [value]})
        with pytest.raises(InvalidArgument, match=complaint), guard.permit("note", {"text": value}):
            ran.append(value)
    assert ran == []


# Policies


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("", "remit"),
        ("remit: 1\n", "no rules"),
        ("remit: 1\ndefault: [deny", "remit.yaml:"),
        ("remit: 1\ndefault: deny\nremit: 1\n", "twice|duplicate|repeated|again"),
        ("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "remit.yaml|remit"),
        ("a: &a [x]\nb: [*a, *a]\n", "alias"),
        ("remit: 1\ndefault: deny\nrules: " + "[" * 5000, "remit.yaml:"),
    ],
)
def test_a_policy_that_is_none(tmp_path: Path, written: str, complaint: str) -> None:
    path = tmp_path / "remit.yaml"
    path.write_text(written)
    with pytest.raises(PolicyError, match=complaint):
        Guard.open(path)
    assert not (tmp_path / "remit.db").exists()
    assert not (tmp_path / "remit.key").exists()


def test_a_policy_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "remit.yaml", tmp_path):
        with pytest.raises(ConfigError, match="remit init"):
            Guard.open(path)
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_is_no_text_or_too_large(tmp_path: Path) -> None:
    path = tmp_path / "remit.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicyError):
        Guard.open(path)
    path.write_bytes(b"#" * (8 * 1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="larger"):
        Guard.open(path)


def test_an_alias_bomb(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]
    path = tmp_path / "remit.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(PolicyError):
        Guard.open(path)


# Arguments


def test_ten_megabytes_of_arguments(guard: Guard) -> None:
    refused(guard, "x" * 10_000_000, "larger")


def test_depth_ten_thousand(guard: Guard) -> None:
    deep: Any = "x"
    for _ in range(10_000):
        deep = [deep]
    refused(guard, deep, "nested")


def test_numbers_that_are_not_json(guard: Guard) -> None:
    for number in (float("nan"), float("inf"), float("-inf")):
        refused(guard, number, "JSON")


def test_lone_surrogates(guard: Guard) -> None:
    refused(guard, "\ud800", "surrogate")
    refused(guard, {"\udfff": 1}, "surrogate")


def test_arguments_that_are_not_json(guard: Guard) -> None:
    for value in (object(), {1: 2}, lambda: None, 1j, threading.Lock()):
        refused(guard, value, "JSON|not a string")


def test_a_value_whose_methods_fail(guard: Guard) -> None:
    class Hostile:
        __pydantic_core_schema__ = None

        def model_dump(self, *, mode: str) -> Any:
            raise RuntimeError("hostile")

        def __repr__(self) -> str:
            raise RuntimeError("hostile")

    ran: list[object] = []
    note = guard.wrap(lambda text: ran.append(text), name="note")
    with guard.session(agent="bot"), pytest.raises(InvalidArgument, match=r"args\.text"):
        note(Hostile())
    assert ran == []


def test_an_unknown_tool(guard: Guard) -> None:
    ran: list[str] = []
    strange = guard.wrap(lambda text: ran.append(text), name="strange")
    with guard.session(agent="bot"), pytest.raises(Denied, match="strange"):
        strange("a")
    for name in ("", " ", "\u200b", "x" * 100_000, "a\nb"):
        with (
            guard.session(agent="bot"),
            pytest.raises((Denied, InvalidArgument, Unavailable)),
            guard.permit(name, {}),
        ):
            ran.append(name)
    assert ran == []


def test_a_tool_name_that_is_no_text(guard: Guard) -> None:
    with (
        guard.session(agent="bot"),
        pytest.raises((InvalidRequest, Denied), match="not run"),
        guard.permit("\ud800", {}),
    ):
        raise AssertionError("the block ran")


def test_a_rule_that_errors(tmp_path: Path) -> None:
    with open_guard(tmp_path, stop("args.word.missing > 1")) as guard:
        ran: list[str] = []
        act = guard.wrap(lambda word: ran.append(word), name="act")
        with guard.session(agent="bot"), pytest.raises(Denied) as caught:
            act("x")
        assert caught.value.reasons[0].rule == "rule-error"
        assert ran == []
        assert decisions(guard) == ["act deny"]


def test_strange_agents_users_and_intents(guard: Guard) -> None:
    note = guard.wrap(lambda text: text, name="note")
    for agent in ("", "b\u043et", "BOT", "x" * 10_000, "bot\u200b"):
        with guard.session(agent=agent), pytest.raises(Denied):
            note("a")
    with pytest.raises(InvalidRequest, match="intent"):
        guard.session(agent="bot", intent="x" * 100_000)


# Stores


def test_a_store_that_is_read_only(tmp_path: Path) -> None:
    with open_guard(tmp_path):
        pass
    if os.geteuid() == 0:
        mounted = sqlite3.connect(tmp_path / "remit.db")
        mounted.close()
        with pytest.raises((StoreReadOnly, StoreError)):
            Guard.open(tmp_path / "remit.yaml", store="/proc/remit.db")
        return
    os.chmod(tmp_path / "remit.db", 0o400)
    with pytest.raises(StoreReadOnly):
        Guard.open(tmp_path / "remit.yaml")


def test_a_store_on_a_full_disk(tmp_path: Path) -> None:
    with open_guard(tmp_path) as guard:
        ran: list[str] = []
        note = guard.wrap(lambda text: ran.append(text), name="note")
        with guard.session(agent="bot", keep=True):
            note("before")
            connection = guard.store._engine._connection  # type: ignore[attr-defined]
            pages = connection.execute("pragma page_count").fetchone()[0]
            connection.execute(f"pragma max_page_count = {pages}")
            with pytest.raises(Unavailable, match=r"room|full") as caught:
                [note(f"{n} " + "x" * 5000) for n in range(1000)]
            assert isinstance(caught.value.__cause__, StoreFull)
            connection.execute("pragma max_page_count = 1073741823")
            count = len(ran)
            note("after")
            assert len(ran) == count + 1
        assert unsettled(guard) == 0


def test_a_store_that_another_process_holds(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "remit.db", timeout=0.2)
    with Guard.open(write_policy(tmp_path), store=store) as guard:
        ran: list[str] = []
        note = guard.wrap(lambda text: ran.append(text), name="note")
        other = sqlite3.connect(tmp_path / "remit.db", isolation_level=None)
        with guard.session(agent="bot", keep=True):
            other.execute("begin immediate")
            with pytest.raises(Unavailable) as caught:
                note("a")
            assert isinstance(caught.value.__cause__, StoreLocked)
            other.execute("rollback")
            note("b")
        other.close()
        assert ran == ["b"]
        assert outcomes(guard) == ["note ok"]
    store.close()


def test_a_store_that_a_newer_remit_wrote(tmp_path: Path) -> None:
    with open_guard(tmp_path):
        pass
    db = sqlite3.connect(tmp_path / "remit.db")
    version = db.execute("pragma user_version").fetchone()[0]
    db.execute(f"pragma user_version = {version + 1}")
    db.commit()
    db.close()
    before = (tmp_path / "remit.db").read_bytes()
    with pytest.raises(StoreTooNew):
        Guard.open(tmp_path / "remit.yaml")
    assert (tmp_path / "remit.db").read_bytes() == before


def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    write_policy(tmp_path)
    (tmp_path / "remit.db").write_text("this is my shopping list\n" * 100)
    with pytest.raises(StoreError):
        Guard.open(tmp_path / "remit.yaml")
    assert (tmp_path / "remit.db").read_text().startswith("this is my shopping list")


def test_a_closed_guard_refuses(tmp_path: Path) -> None:
    with open_guard(tmp_path) as guard:
        note = guard.wrap(lambda text: text, name="note")
        session = guard.session(agent="bot", keep=True)
    with session, pytest.raises(Unavailable, match="closed"):
        note("a")
    guard.close()


def test_a_key_that_others_can_read(tmp_path: Path) -> None:
    with open_guard(tmp_path):
        pass
    os.chmod(tmp_path / "remit.key", 0o644)
    with pytest.raises(ConfigError, match="read the signing key"):
        Guard.open(tmp_path / "remit.yaml")


# Time and company


def test_a_clock_that_jumps_back(tmp_path: Path) -> None:
    now = [time.time_ns()]
    rules = f"{stop('false')}budgets:\n  - {{id: two, by: agent, limit: {{calls: 2}}, per: hour}}\n"
    with open_guard(tmp_path, rules, clock=lambda: now[0]) as guard:
        act = guard.wrap(lambda word: word, name="act")
        with guard.session(agent="bot"):
            act("a")
            now[0] -= 86_400 * 10**9
            act("b")
            with pytest.raises(Denied, match="two"):
                act("c")
        times = [record.at for record in log(guard)]
        assert times == sorted(times)
        assert outcomes(guard) == ["act ok", "act ok"]


def test_two_processes_on_one_file(tmp_path: Path) -> None:
    write_policy(tmp_path)
    program = """
    import sys
    from remit import Guard
    with Guard.open(sys.argv[1]) as guard:
        note = guard.wrap(lambda text: text, name="note")
        with guard.session(agent="bot"):
            for n in range(15):
                note(str(n))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "remit.yaml")]
    child = subprocess.Popen(command)
    with Guard.open(tmp_path / "remit.yaml") as guard:
        note = guard.wrap(lambda text: text, name="note")
        with guard.session(agent="bot"):
            for n in range(15):
                note(str(n))
        assert child.wait(timeout=60) == 0
        assert outcomes(guard) == ["note ok"] * 30
        assert unsettled(guard) == 0


def test_two_programs_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    path = write_policy(tmp_path)
    program = "import sys; from remit import Guard; Guard.open(sys.argv[1]).close()"
    command = [sys.executable, "-c", program, str(path)]
    children = [subprocess.Popen(command) for _ in range(3)]
    assert [child.wait(timeout=60) for child in children] == [0, 0, 0]
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.endswith(("-wal", "-shm"))) == [
        "remit.db",
        "remit.key",
        "remit.pub",
        "remit.yaml",
    ]
    assert HEAD in path.read_text()
