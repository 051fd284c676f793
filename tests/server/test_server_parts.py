"""The parts of a running server that work without being asked, one by one."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from remit.api.frame import Parts
from remit.api.state import Changes, Health, PolicyInForce
from remit.errors import AuditError, StoreError, StoreLocked
from remit.model import AccessRequest, Action, ActionState
from remit.policy import load
from remit.server import upkeep
from remit.server.logs import JsonLines, log_to
from remit.server.watching import PolicyWatch, looked
from remit.storage.memory import MemoryStore
from serving import POLICY, parts_of, serving

DENIES = POLICY.replace("effect: allow", "effect: deny")


class FailingStore:
    """A store in memory whose writes fail while ``fails`` is set."""

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.fails: Exception | None = None
        self.hangs = False

    def submit(self, work: Callable[[Any], Any]) -> Future[Any]:
        if self.hangs:
            return Future()
        if self.fails is not None:
            failed: Future[Any] = Future()
            failed.set_exception(self.fails)
            return failed
        return self.inner.submit(work)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
def parts() -> Iterator[Parts]:
    made = parts_of(store=FailingStore())
    yield made
    made.store.close()


@pytest.fixture
def failing(parts: Parts) -> FailingStore:
    assert isinstance(parts.store, FailingStore)
    return parts.store


@pytest.fixture
def watched(tmp_path: Path, parts: Parts) -> tuple[PolicyWatch, Path]:
    document = tmp_path / "remit.yaml"
    document.write_text(POLICY)
    return PolicyWatch(document, parts.policies, parts.store, parts.clock), document


# The policy


async def test_a_change_counts_once_it_is_steady(
    watched: tuple[PolicyWatch, Path], parts: Parts
) -> None:
    watch, document = watched
    before = parts.policies.current
    document.write_text(DENIES[:40])  # somebody is writing
    await watch.look()
    assert (parts.policies.current, parts.policies.fault) == (before, None)
    document.write_text(DENIES)
    await watch.look()
    assert parts.policies.current is before
    await watch.look()
    assert parts.policies.current.revision == load({"remit.yaml": DENIES}).revision
    last = parts.store.read(lambda view: list(view.records(0, view.log_size()))[-1])
    assert parts.policies.current.revision.encode() in last.body


async def test_a_policy_that_cannot_be_recorded_is_not_in_force(
    watched: tuple[PolicyWatch, Path], parts: Parts, failing: FailingStore
) -> None:
    watch, document = watched
    before = parts.policies.current
    failing.fails = StoreLocked("held elsewhere")
    document.write_text(DENIES)
    await watch.reload()
    assert parts.policies.current is before
    assert parts.policies.fault == "held elsewhere"
    failing.fails = None
    await watch.look()  # it is tried again without another change
    assert parts.policies.current is not before
    assert parts.policies.fault is None


async def test_a_fault_names_the_place_and_quotes_no_line(
    watched: tuple[PolicyWatch, Path], parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    watch, document = watched
    document.write_text(POLICY + "secret-thing: 1\n")
    await watch.reload()
    await watch.reload()
    assert parts.policies.fault is not None
    assert parts.policies.fault.startswith("remit.yaml:")
    assert "^" not in parts.policies.fault
    refused = [each for each in caplog.records if each.message == "policy refused"]
    assert len(refused) == 1, "said once, not each second"


async def test_whatever_goes_wrong_the_policy_stays(
    watched: tuple[PolicyWatch, Path], parts: Parts, failing: FailingStore
) -> None:
    watch, document = watched
    before = parts.policies.current
    failing.fails = RuntimeError("a bug")
    document.write_text(DENIES)
    await watch.reload()
    assert parts.policies.current is before
    assert "see the log" in str(parts.policies.fault)


async def test_a_folder_is_watched_whole(tmp_path: Path, parts: Parts) -> None:
    (tmp_path / "remit.yaml").write_text(POLICY)
    (tmp_path / "notes.txt").write_text("no policy")
    watch = PolicyWatch(tmp_path, parts.policies, parts.store, parts.clock)
    seen = looked(tmp_path)
    (tmp_path / "notes.txt").write_text("still no policy")
    assert looked(tmp_path) == seen
    (tmp_path / "more.yaml").write_text("remit: 1\nrules: []\n")
    before = parts.policies.current
    running = asyncio.create_task(watch.run(0.01))
    async with asyncio.timeout(5):
        while parts.policies.current is before and parts.policies.fault is None:
            await asyncio.sleep(0.01)
    running.cancel()
    assert parts.policies.fault is None


# Upkeep


async def test_what_is_overdue_is_closed(parts: Parts) -> None:
    now = [1_000_000_000_000_000_000]
    made = parts_of(clock=lambda: now[0])
    principal = made.policies.current.principal("inventory-bot")
    session = await made.write(lambda t: made.governor.open_session(t, principal))
    request = AccessRequest(
        principal=principal, session=session.id, action=Action(name="db.query"), arguments={}
    )
    admission = await made.write(lambda t: made.governor.admit(t, request))
    assert admission.granted
    now[0] += 3_600_000_000_000
    await upkeep.sweep(made)
    action = await made.read(lambda view: view.action(admission.id))
    assert action is not None
    assert action.state is ActionState.EXPIRED
    made.store.close()


async def test_the_log_is_signed(parts: Parts) -> None:
    await upkeep.sign(parts)
    assert parts.store.read(lambda view: view.checkpoint()) is not None


@pytest.mark.parametrize(
    ("error", "part", "status"),
    [
        (StoreError("the disk is gone"), "store", "unavailable"),
        (AuditError("altered"), "signing", "degraded"),
        (ValueError("a bug"), "signing", "degraded"),
    ],
)
async def test_what_fails_is_said_until_it_works(
    parts: Parts, failing: FailingStore, error: Exception, part: str, status: str
) -> None:
    async with serving(parts) as client:
        failing.fails = error
        running = asyncio.create_task(upkeep.repeat(parts, "signing", upkeep.sign, 0.01))
        await asyncio.sleep(0.1)
        answer = await client("GET", "/readyz")
        assert answer.status == (503 if status == "unavailable" else 200)
        assert answer.json["status"] == status
        assert answer.json["faults"] == {
            part: f"{type(error).__name__}; the server's log says more"
        }
        assert str(error) not in answer.body.decode()
        assert (await client("GET", "/livez")).status == 200
        failing.fails = None
        await asyncio.sleep(0.1)
        assert (await client("GET", "/readyz")).json["status"] == "ok"
        running.cancel()


async def test_a_store_that_hangs_does_not_answer(
    parts: Parts, failing: FailingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "PATIENCE", 0.05)
    failing.hangs = True
    running = asyncio.create_task(upkeep.repeat(parts, "sweep", upkeep.sweep, 0.01))
    await asyncio.sleep(0.2)
    assert "store" in parts.faults.texts
    running.cancel()


async def test_a_draining_server_is_not_ready(parts: Parts) -> None:
    async with serving(parts) as client:
        parts.changes.drain()
        answer = await client("GET", "/readyz")
        assert (answer.status, answer.json["status"]) == (503, "draining")


# News


async def test_news_wake_who_waits_for_them() -> None:
    changes = Changes()
    waiting = [asyncio.create_task(changes.wait(topic, 5)) for topic in ("a", "a", "b")]
    await asyncio.sleep(0)
    changes.announce("a")
    changes.announce("a")
    changes.announce("nobody cares")
    assert await asyncio.gather(*waiting[:2]) == [True, True]
    assert not waiting[2].done()
    changes.drain()
    assert await waiting[2] is False
    assert changes.draining
    assert await changes.wait("a", 5) is False


async def test_waiting_has_an_end() -> None:
    changes = Changes()
    assert await changes.wait("a", 0.01) is False
    assert await changes.wait("a", 0) is False
    waiting = asyncio.create_task(changes.wait("a", 5))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert changes._waiting == {}


def test_faults_come_and_go() -> None:
    health = Health()
    health.set("store", "gone")
    assert dict(health.texts) == {"store": "gone"}
    health.clear("store")
    health.clear("store")
    assert not health.texts
    policies = PolicyInForce(load({"remit.yaml": POLICY}))
    policies.fault = "broken"
    policies.replace(load({"remit.yaml": DENIES}))
    assert policies.fault is None


# Logs


def logged(record: logging.LogRecord) -> dict[str, Any]:
    line = JsonLines().format(record)
    assert "\n" not in line
    return json.loads(line)


def record_of(message: str, **added: Any) -> logging.LogRecord:
    record = logging.LogRecord("remit.api", logging.ERROR, "f.py", 1, message, (), None)
    record.__dict__.update(added)
    return record


def test_a_line_says_when_what_and_what_was_added() -> None:
    line = logged(record_of("request", status=404, route=None, place=Path("/a"), text="a\nb"))
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "error",
        "event": "request",
        "from": "remit.api",
        "status": 404,
        "route": None,
        "place": "/a",
        "text": "a\nb",
    }


def test_a_failure_is_shown_without_what_it_quotes() -> None:
    try:
        try:
            raise KeyError("secret")
        except KeyError as inner:
            raise StoreError("the disk is full") from inner
    except StoreError as error:
        shown = logged(record_of("request failed", failure=error))["failure"]
    assert shown["says"] == "the disk is full"
    assert shown["at"][0].startswith(__file__)
    assert shown["cause"]["kind"] == "KeyError"
    assert "secret" not in json.dumps(shown)
    raised = logging.LogRecord("x", logging.ERROR, "f", 1, "m", (), (KeyError, KeyError("k"), None))
    assert logged(raised)["failure"] == {"kind": "KeyError"}


def test_levels_are_those_of_the_configuration() -> None:
    root, ours = logging.getLogger(), logging.getLogger("remit")
    before = (root.handlers[:], root.level, ours.level)
    stream = io.StringIO()
    try:
        log_to(stream, "warning")
        logging.getLogger("remit.server").info("not this")
        logging.getLogger("remit.server").warning("this")
        logging.getLogger("library").info("nor this")
    finally:
        root.handlers[:], root.level = before[0], before[1]
        ours.setLevel(before[2])
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["this"]
