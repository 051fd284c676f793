"""What breaks around an action: nothing runs unrecorded, and no outcome is forgotten."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from guarding import RULES, decisions, log, open_guard, outcomes, unsettled, write_policy
from remit import (
    AuditError,
    Guard,
    OutcomeNotRecorded,
    StoreError,
    StoreFull,
    Unavailable,
)
from remit.audit.checkpoint import open_checkpoint
from remit.signing import ExternalSigner, FileSigner
from remit.storage.sqlite import SqliteStore


class FailingStore(SqliteStore):
    """A real store that is out of order while ``broken`` is set to an error."""

    broken: Exception | None = None

    def write(self, work: Callable[[Any], Any]) -> Any:
        if self.broken is not None:
            raise self.broken
        return super().write(work)

    def submit(self, work: Callable[[Any], Any]) -> Future[Any]:
        if self.broken is None:
            return super().submit(work)
        future: Future[Any] = Future()
        future.set_exception(self.broken)
        return future


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[tuple[Guard, FailingStore]]:
    store = FailingStore(tmp_path / "failing.db")
    with Guard.open(write_policy(tmp_path, RULES), store=store) as guard:
        yield guard, store
    store.close()


@pytest.mark.parametrize("problem", [StoreFull("the disk is full"), RuntimeError("a bug in Remit")])
def test_nothing_runs_when_it_cannot_be_admitted(
    failing: tuple[Guard, FailingStore], problem: Exception
) -> None:
    guard, store = failing
    ran: list[str] = []
    note = guard.wrap(lambda text: ran.append(text), name="note")

    @guard.tool(name="note")
    async def later(text: str) -> None:
        ran.append(text)

    with guard.session(agent="bot", keep=True):
        store.broken = problem
        with pytest.raises(Unavailable, match=str(problem)) as caught:
            note("a")
        assert caught.value.__cause__ is problem
        with pytest.raises(Unavailable):
            asyncio.run(later("b"))
        with pytest.raises(Unavailable if isinstance(problem, StoreError) else RuntimeError):
            guard.session(agent="bot")
        store.broken = None
        note("c")
    assert ran == ["c"]
    assert decisions(guard) == ["note allow"]


def test_an_outcome_that_cannot_be_recorded_shuts_the_session_until_it_is(
    failing: tuple[Guard, FailingStore],
) -> None:
    guard, store = failing
    ran: list[str] = []

    @guard.tool
    def note(text: str) -> str:
        ran.append(text)
        if text == "break":
            store.broken = StoreFull("the disk is full")
        return text

    with guard.session(agent="bot", keep=True) as session:
        with pytest.raises(OutcomeNotRecorded, match="HAS RUN") as caught:
            note("break")
        assert caught.value.result == "break"
        with pytest.raises(Unavailable, match="still not recorded"):
            note("a")
        with pytest.raises(Unavailable):
            session.end()
        assert ran == ["break"]
        store.broken = None
        assert note("b") == "b"
    assert outcomes(guard) == ["note ok", "note ok"]
    assert unsettled(guard) == 0


def test_another_session_goes_on(failing: tuple[Guard, FailingStore]) -> None:
    guard, store = failing

    @guard.tool
    def note(text: str) -> str:
        if text == "break":
            store.broken = StoreFull("the disk is full")
        return text

    with guard.session(agent="bot", keep=True), pytest.raises(OutcomeNotRecorded):
        note("break")
    store.broken = None
    with guard.session(agent="bot"):
        assert note("a") == "a"
    assert outcomes(guard) == ["note ok"]
    assert unsettled(guard) == 1


def test_an_error_that_cannot_be_recorded_is_carried(failing: tuple[Guard, FailingStore]) -> None:
    guard, store = failing

    @guard.tool
    async def note(text: str) -> str:
        store.broken = StoreFull("the disk is full")
        raise KeyError(text)

    with guard.session(agent="bot", keep=True):
        with pytest.raises(OutcomeNotRecorded) as caught:
            asyncio.run(note("a"))
        assert isinstance(caught.value.error, KeyError)
        store.broken = None
    guard.close()
    assert store.read(lambda view: view.log_size()) > 0
    assert [r.status for r in log(store) if r.kind == "outcome"] == ["error"]


def test_a_cancellation_stays_one_when_it_cannot_be_recorded(
    failing: tuple[Guard, FailingStore],
) -> None:
    guard, store = failing

    @guard.tool
    def note(text: str) -> str:
        store.broken = StoreFull("the disk is full")
        raise KeyboardInterrupt

    with guard.session(agent="bot", keep=True):
        with pytest.raises(KeyboardInterrupt) as caught:
            note("a")
        assert "could not be recorded" in caught.value.__notes__[0]
        store.broken = None
    guard.close()
    assert [r.status for r in log(store) if r.kind == "outcome"] == ["cancelled"]


def test_close_records_what_is_left_or_says_that_it_could_not(
    failing: tuple[Guard, FailingStore],
) -> None:
    guard, store = failing

    @guard.tool
    def note(text: str) -> str:
        store.broken = StoreFull("the disk is full")
        return text

    with guard.session(agent="bot", keep=True), pytest.raises(OutcomeNotRecorded):
        note("a")
    with pytest.raises(Unavailable, match="still not recorded"):
        guard.close()
    store.broken = None


def test_an_outcome_written_before_an_interrupt_is_not_written_twice(
    failing: tuple[Guard, FailingStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    guard, _ = failing
    write = SqliteStore.write
    interrupt = [False]

    def interrupted(self: SqliteStore, work: Callable[[Any], Any]) -> Any:
        value = write(self, work)
        if interrupt[0]:
            interrupt[0] = False
            raise KeyboardInterrupt
        return value

    monkeypatch.setattr(SqliteStore, "write", interrupted)

    @guard.tool
    def note(text: str) -> str:
        interrupt[0] = text == "a"
        return text

    with guard.session(agent="bot"):
        with pytest.raises(KeyboardInterrupt):
            note("a")
        assert note("b") == "b"
    assert outcomes(guard) == ["note ok", "note ok"]
    assert unsettled(guard) == 0


def test_a_failed_end_does_not_hide_the_error_of_the_block(
    failing: tuple[Guard, FailingStore],
) -> None:
    guard, store = failing

    def broken_block(error: type[Exception] | None) -> None:
        store.broken = None
        with guard.session(agent="bot"):
            store.broken = StoreFull("the disk is full")
            if error is not None:
                raise error

    with pytest.raises(KeyError) as caught:
        broken_block(KeyError)
    assert "not ended" in caught.value.__notes__[0]
    with pytest.raises(Unavailable, match="not ended"):
        broken_block(None)
    store.broken = None


def test_the_log_is_signed_on_close_and_while_it_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def newest(store: Any) -> int:
        note = store.read(lambda view: view.checkpoint())
        key = FileSigner.open(tmp_path / "remit.key").vkey
        return 0 if note is None else open_checkpoint(note, [key]).checkpoint.size

    monkeypatch.setattr("remit.guard.facade.CHECKPOINT_INTERVAL", 0.0)
    with open_guard(tmp_path) as guard:
        assert newest(guard.store) == 0
        note = guard.wrap(lambda text: text, name="note")
        with guard.session(agent="bot"):
            note("a")
            guard.store.write(lambda t: None)  # what was submitted before is done by now
            assert newest(guard.store) >= 4
        size = guard.store.read(lambda view: view.log_size())
    with SqliteStore(tmp_path / "remit.db") as store:
        assert newest(store) == size


def test_a_signer_that_fails_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remit.guard.facade.CHECKPOINT_INTERVAL", 0.0)
    held = FileSigner.create(tmp_path / "elsewhere.key", "log")
    lost = [False]

    def ask(message: bytes) -> bytes:
        if lost[0]:
            raise OSError("the signer is gone")
        return held.sign(message)

    ran: list[str] = []
    with open_guard(tmp_path, key=ExternalSigner(held.vkey, ask)) as guard:
        note = guard.wrap(lambda text: ran.append(text), name="note")
        with guard.session(agent="bot", keep=True):
            lost[0] = True
            note("a")
            guard.store.write(lambda t: None)
            with pytest.raises(Unavailable, match="cannot be signed"):
                note("b")
            assert ran == ["a"]
            lost[0] = False
            note("c")
        lost[0] = True
        note = guard.wrap(lambda text: text, name="note")
        with pytest.raises(OSError, match="the signer is gone"):
            guard.close()
    assert ran == ["a", "c"]


def test_an_altered_or_shortened_log_is_noticed_when_it_is_opened(tmp_path: Path) -> None:
    import sqlite3

    with open_guard(tmp_path) as guard:
        note = guard.wrap(lambda text: text, name="note")
        with guard.session(agent="bot"):
            note("a")
    original = (tmp_path / "remit.db").read_bytes()
    for table, change in (
        ("records", "delete from {t} where position >= 4"),
        ("records", "delete from {t}"),
    ):
        db = sqlite3.connect(tmp_path / "remit.db")
        db.execute(change.format(t=table))
        db.commit()
        db.close()
        with pytest.raises((AuditError, StoreError)):
            Guard.open(tmp_path / "remit.yaml")
        for leftover in tmp_path.glob("remit.db-*"):
            leftover.unlink()
        (tmp_path / "remit.db").write_bytes(original)
    Guard.open(tmp_path / "remit.yaml").close()


def test_a_guard_that_nobody_closes_is_closed_at_the_end_of_the_program(tmp_path: Path) -> None:
    path = write_policy(tmp_path)
    program = f"""
    from remit import Guard
    guard = Guard.open({str(path)!r})
    @guard.tool
    def note(text):
        return text
    with guard.session(agent="bot"):
        note("a")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
    with SqliteStore(tmp_path / "remit.db") as store:
        signed = store.read(lambda view: view.checkpoint())
        assert signed is not None
        assert [r.status for r in log(store) if r.kind == "outcome"] == ["ok"]
