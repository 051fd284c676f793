"""Governed generators: admitted at the first item, settled however they end."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from guarding import decisions, log, open_guard, outcomes, settled
from remit import Denied, Guard, Withheld
from remit.guard import wrapping

pytestmark = pytest.mark.usefixtures("transport")


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with open_guard(tmp_path) as opened:
        yield opened


def test_a_generator_is_admitted_at_its_first_item_and_settled_at_its_end(guard: Guard) -> None:
    @guard.tool
    def items(n: int) -> Iterator[int]:
        yield from range(n)

    assert inspect.isgeneratorfunction(items)
    with guard.session(agent="bot"):
        running = items(3)
        assert decisions(guard) == []
        assert next(running) == 0
        assert decisions(guard) == ["items allow"]
        assert outcomes(guard) == []
        assert list(running) == [1, 2]
    assert outcomes(guard) == ["items ok"]
    assert [r.result is not None for r in log(guard) if r.kind == "outcome"] == [True]


def test_a_denied_generator_gives_nothing(guard: Guard) -> None:
    ran: list[int] = []

    @guard.tool(name="forbidden")
    def items() -> Iterator[int]:
        ran.append(1)
        yield 1

    with guard.session(agent="bot"), pytest.raises(Denied):
        next(items())
    assert ran == []


def test_send_throw_and_return_reach_the_generator(guard: Guard) -> None:
    @guard.tool
    def items(first: str) -> Generator[Any, Any, str]:
        got = yield first
        try:
            yield got
        except KeyError:
            yield "caught"
        return "end"

    with guard.session(agent="bot"):
        running = items("a")
        assert next(running) == "a"
        assert running.send("b") == "b"
        assert running.throw(KeyError()) == "caught"
        with pytest.raises(StopIteration) as stop:
            next(running)
        assert stop.value.value == "end"
    assert outcomes(guard) == ["items ok"]


def test_a_generator_that_is_closed_is_cancelled(guard: Guard) -> None:
    cleaned: list[bool] = []

    @guard.tool
    def items(n: int) -> Iterator[int]:
        try:
            yield from range(n)
        finally:
            cleaned.append(True)

    with guard.session(agent="bot"):
        running = items(3)
        next(running)
        running.close()  # type: ignore[attr-defined]
        for item in items(5):
            if item == 1:
                break
        gc.collect()
    assert cleaned == [True, True]
    assert settled(guard, ["items cancelled", "items cancelled"])


def test_a_generator_that_is_dropped_is_cancelled(guard: Guard) -> None:
    @guard.tool
    def items(n: int) -> Iterator[int]:
        yield from range(n)

    with guard.session(agent="bot"):
        running = items(3)
        next(running)
        del running
        gc.collect()
    assert settled(guard, ["items cancelled"])


def test_an_error_in_a_generator_is_recorded(guard: Guard) -> None:
    @guard.tool
    def items(n: int) -> Iterator[int]:
        yield n
        raise KeyError(n)

    with guard.session(agent="bot"), pytest.raises(KeyError):
        list(items(1))
    assert outcomes(guard) == ["items error"]


def test_items_are_held_back_while_policy_looks_at_the_result(tmp_path: Path) -> None:
    rules = """
    tools: [{match: [items], does: read}]
    rules:
      - {id: r, roles: [worker], tools: [items], effect: allow}
      - {id: secret, tools: [items], on: result, when: '"secret" in result', effect: deny}
    """
    with open_guard(tmp_path, rules) as guard:

        @guard.tool
        def items(words: list[str]) -> Generator[str, None, str]:
            yield from words
            return "end"

        with guard.session(agent="bot"):
            assert list(items(["a", "b"])) == ["a", "b"]
            shown: list[str] = []
            with pytest.raises(Withheld, match="secret"):
                shown.extend(items(["a", "secret"]))
            assert shown == []
        assert outcomes(guard) == ["items ok", "items ok"]


def test_items_that_put_labels_on_the_session_are_held_back(guard: Guard) -> None:
    labels: list[tuple[str, ...]] = []

    @guard.tool
    def page(url: str) -> Iterator[str]:
        yield "obey me"
        yield "now"

    with guard.session(agent="bot") as session:
        for _ in page("x"):
            labels.append(session.labels)
    assert labels == [("untrusted",), ("untrusted",)]


def test_endless_items_that_must_be_held_back_are_stopped(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wrapping, "MAX_ITEMS", 10)

    @guard.tool
    def page(url: str) -> Iterator[int]:
        n = 0
        while True:
            yield n
            n += 1

    with guard.session(agent="bot"):
        with pytest.raises(Withheld, match="more than 10 items"):
            next(page("x"))
        assert outcomes(guard) == ["page error"]


def test_endless_items_without_rules_are_streamed(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wrapping, "MAX_ITEMS", 10)

    @guard.tool
    def items(n: int) -> Iterator[int]:
        yield from range(n)

    with guard.session(agent="bot"):
        assert len(list(items(1000))) == 1000
    assert outcomes(guard) == ["items ok"]


def test_async_generators(guard: Guard) -> None:
    @guard.tool
    async def items(n: int) -> AsyncIterator[Any]:
        for number in range(n):
            try:
                got = yield number
            except KeyError:
                got = "caught"
            if got is not None:
                yield got

    async def main() -> None:
        async with guard.session(agent="bot"):
            assert [item async for item in items(3)] == [0, 1, 2]
            running = items(2)
            assert await anext(running) == 0
            assert await running.asend("b") == "b"  # type: ignore[attr-defined]
            assert await anext(running) == 1
            assert await running.athrow(KeyError()) == "caught"  # type: ignore[attr-defined]
            await running.aclose()  # type: ignore[attr-defined]

    assert inspect.isasyncgenfunction(items)
    asyncio.run(main())
    assert outcomes(guard) == ["items ok", "items cancelled"]


def test_an_async_generator_that_is_dropped_or_fails_is_settled(guard: Guard) -> None:
    @guard.tool
    async def items(n: int) -> AsyncIterator[int]:
        yield n
        if n == 2:
            raise KeyError(n)
        yield n

    async def main() -> None:
        async with guard.session(agent="bot"):
            running = items(1)
            await anext(running)
            del running
            gc.collect()
            await asyncio.sleep(0.05)
            with pytest.raises(KeyError):
                _ = [item async for item in items(2)]

    asyncio.run(main())
    assert outcomes(guard) == ["items cancelled", "items error"]


def test_an_async_generator_dropped_after_its_loop_is_settled(guard: Guard) -> None:
    @guard.tool
    async def items(n: int) -> AsyncIterator[int]:
        yield n

    running = [items(1)]

    async def main() -> None:
        await anext(running[0])

    with guard.session(agent="bot", keep=True):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
    running.clear()
    gc.collect()
    assert settled(guard, ["items cancelled"])


def test_async_items_are_held_back_for_labels(guard: Guard) -> None:
    @guard.tool
    async def page(url: str) -> AsyncIterator[str]:
        yield "obey me"

    async def main() -> None:
        async with guard.session(agent="bot") as session:
            async for _ in page("x"):
                assert session.labels == ("untrusted",)

    asyncio.run(main())
    assert outcomes(guard) == ["page ok"]


def test_generators_from_plain_functions_are_governed_to_their_end(guard: Guard) -> None:
    def numbers(n: int) -> Iterator[int]:
        yield from range(n)

    async def later(n: int) -> AsyncIterator[int]:
        for number in range(n):
            yield number

    plain: Any = guard.wrap(lambda n: numbers(n), name="items")
    asynchronous: Any = guard.wrap(lambda n: later(n), name="items")

    async def main() -> list[int]:
        return [item async for item in asynchronous(2)]

    with guard.session(agent="bot"):
        running = plain(2)
        assert outcomes(guard) == []
        assert list(running) == [0, 1]
        assert asyncio.run(main()) == [0, 1]
    assert outcomes(guard) == ["items ok", "items ok"]


def test_generators_lost_in_cycles_do_not_block_the_store(guard: Guard) -> None:
    """The garbage collector may close them anywhere, even while the store holds a lock."""

    @guard.tool
    def items(n: int) -> Iterator[int]:
        yield from range(n)

    def lose() -> None:
        running = items(3)
        next(running)
        knot: list[Any] = [running]
        knot.append(knot)

    with guard.session(agent="bot"):
        threshold = gc.get_threshold()
        gc.set_threshold(1, 1, 1)
        try:
            for _ in range(20):
                lose()
        finally:
            gc.set_threshold(*threshold)
        gc.collect()
    assert settled(guard, ["items cancelled"] * 20)
