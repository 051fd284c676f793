"""Governed ``async def`` functions: same decisions, no blocked loop, no action left open."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from guarding import (
    EMBEDDED,
    RULES,
    decisions,
    open_guard,
    outcomes,
    settled,
    store_of,
    unsettled,
    write_policy,
)
from remit import Denied, Guard
from remit.storage.sqlite import SqliteStore

pytestmark = pytest.mark.usefixtures("transport")


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with open_guard(tmp_path) as opened:
        yield opened


def test_async_functions_stay_async_and_are_decided(guard: Guard) -> None:
    ran: list[str] = []

    @guard.tool
    async def note(text: str) -> str:
        await asyncio.sleep(0)
        ran.append(text)
        return text

    async def main() -> None:
        async with guard.session(agent="bot", user="ada"):
            assert await note("a") == "a"
            with pytest.raises(Denied, match="no-drop"):
                await note("drop")

    assert inspect.iscoroutinefunction(note)
    asyncio.run(main())
    assert ran == ["a"]
    assert decisions(guard) == ["note allow", "note deny"]
    assert outcomes(guard) == ["note ok"]


def test_many_tasks_share_one_session(guard: Guard) -> None:
    @guard.tool
    async def note(text: str) -> str:
        await asyncio.sleep(0)
        return text

    async def main() -> list[str]:
        async with guard.session(agent="bot") as session:
            found = await asyncio.gather(*(note(str(n)) for n in range(40)))
            stored = store_of(guard).read(lambda view: view.session(session.id))
            assert stored is not None
            assert stored.calls == {"note": 40}
            return found

    assert asyncio.run(main()) == [str(n) for n in range(40)]
    assert outcomes(guard) == ["note ok"] * 40


def test_cancellation_while_it_runs_is_recorded(guard: Guard) -> None:
    started = asyncio.Event()

    @guard.tool
    async def note(text: str) -> None:
        started.set()
        await asyncio.sleep(60)

    async def main() -> None:
        async with guard.session(agent="bot"):
            task = asyncio.create_task(note("a"))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert outcomes(guard) == ["note cancelled"]


def test_time_out_is_recorded(guard: Guard) -> None:
    @guard.tool
    async def note(text: str) -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        async with guard.session(agent="bot"):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(note("a"), 0.1)

    asyncio.run(main())
    assert outcomes(guard) == ["note cancelled"]


class SlowStore(SqliteStore):
    """A real store whose submitted work waits until it is let through."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()

    def submit(self, work: Callable[[Any], Any]) -> Future[Any]:
        def waiting(transaction: Any) -> Any:
            self.asked.set()
            self.gate.wait(10)
            return work(transaction)

        return super().submit(waiting)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[Guard, SlowStore]]:
    store = SlowStore(tmp_path / "slow.db")
    with Guard.open(write_policy(tmp_path, RULES), store=store) as guard:
        yield guard, store
    store.close()


@EMBEDDED
def test_cancelled_between_admission_and_action_settles_as_not_run(
    slow: tuple[Guard, SlowStore],
) -> None:
    guard, store = slow
    ran: list[str] = []

    @guard.tool
    async def note(text: str) -> None:
        ran.append(text)

    async def main() -> None:
        with guard.session(agent="bot", keep=True):
            store.gate.clear()
            store.asked.clear()
            task = asyncio.create_task(note("a"))
            await asyncio.to_thread(store.asked.wait, 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            store.gate.set()

    asyncio.run(main())
    assert settled(guard, ["note not-run"])
    assert ran == []
    assert unsettled(guard) == 0


@EMBEDDED
def test_cancelled_while_it_settles_still_records_what_happened(
    slow: tuple[Guard, SlowStore],
) -> None:
    guard, store = slow

    @guard.tool
    async def note(text: str) -> str:
        store.gate.clear()
        store.asked.clear()
        return text

    async def main() -> None:
        with guard.session(agent="bot", keep=True):
            task = asyncio.create_task(note("a"))
            await asyncio.to_thread(store.asked.wait, 5)
            await asyncio.sleep(0.05)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            store.gate.set()

    asyncio.run(main())
    assert settled(guard, ["note ok"])


@EMBEDDED
def test_a_slow_store_does_not_block_the_loop(slow: tuple[Guard, SlowStore]) -> None:
    guard, store = slow

    @guard.tool
    async def note(text: str) -> str:
        return text

    async def main() -> int:
        with guard.session(agent="bot", keep=True):
            store.gate.clear()
            task = asyncio.create_task(note("a"))
            ticks = 0
            for _ in range(20):
                await asyncio.sleep(0.005)
                ticks += 1
            assert not task.done()
            store.gate.set()
            await task
            return ticks

    assert asyncio.run(main()) == 20


def test_permits_in_async_code(guard: Guard) -> None:
    async def main() -> None:
        async with guard.session(agent="bot"):
            async with guard.permit_async("note", {"text": "a"}) as permit:
                assert permit.arguments == {"text": "a"}
                permit.result = "kept"
            assert permit.result == "kept"
            with pytest.raises(Denied):
                async with guard.permit_async("note", {"text": "drop"}):
                    raise AssertionError("the block ran")
            with pytest.raises(KeyError):
                async with guard.permit_async("note", {"text": "b"}):
                    raise KeyError

    asyncio.run(main())
    assert outcomes(guard) == ["note ok", "note error"]


def test_coroutines_that_are_dropped_are_settled(guard: Guard) -> None:
    @guard.tool
    async def note(text: str) -> None:
        await asyncio.sleep(60)

    async def later() -> AsyncIterator[int]:
        yield 1

    plain = guard.wrap(lambda text: later(), name="note")

    async def main() -> None:
        running = note("a")
        running.send(None)  # type: ignore[attr-defined]
        while not decisions(guard):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # the admission is on record; now it reaches the loop
        running.send(None)  # type: ignore[attr-defined]
        running.close()  # type: ignore[attr-defined]

    with guard.session(agent="bot", keep=True):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        assert settled(guard, ["note cancelled"])
        plain("b")
        assert settled(guard, ["note cancelled", "note cancelled"])
