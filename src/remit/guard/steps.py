"""A governed action as steps, and the two drivers that carry them out: blocking and asyncio.

The flow of an action (admit, wait for a person, settle) is written once, as a generator that
yields what it needs from outside and is sent the answer. ``run`` and ``run_async`` are the only
places that block or await.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future
from typing import Any, TypeAlias, TypeVar

from msgspec import Struct

from remit.storage import bridge

T = TypeVar("T")


class Ask(Struct, frozen=True):
    """Something that takes time and has an answer: a transaction, a request to a server.

    Either blocking (``perform``), or begun without blocking (``begin``); where the second is
    missing, the first runs in a thread.
    """

    perform: Callable[[], Any]
    begin: Callable[[], Future[Any]] | None = None
    abandoned: Callable[[Future[Any]], None] | None = None
    """Called with the finished future when whoever waited was cancelled or interrupted: it may
    have happened all the same."""


class Pause(Struct, frozen=True):
    """Let ``seconds`` pass."""

    seconds: float


class Await(Struct, frozen=True):
    """Something that only an event loop can wait for."""

    begin: Callable[[], Awaitable[Any]]


Step: TypeAlias = "Ask | Pause | Await"
Flow: TypeAlias = Generator[Step, Any, T]


def run(flow: Flow[T]) -> T:
    """Carry out a flow, blocking the calling thread."""
    try:
        step = next(flow)
        while True:
            try:
                answer = _perform(step)
            except BaseException as error:  # noqa: BLE001 - the flow decides what it means
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


def _perform(step: Step) -> Any:
    if isinstance(step, Pause):
        return time.sleep(step.seconds)
    if isinstance(step, Await):
        raise RuntimeError("this flow runs in an event loop only")
    try:
        return step.perform()
    except Exception:
        raise
    except BaseException as interrupt:
        _tell(step, interrupt)
        raise


def _tell(step: Ask, interrupt: BaseException) -> None:
    if step.abandoned is not None:
        future: Future[Any] = Future()
        future.set_exception(interrupt)
        step.abandoned(future)


async def run_async(flow: Flow[T]) -> T:
    """Carry out a flow without blocking the event loop."""
    try:
        step = next(flow)
        while True:
            try:
                answer = await _perform_async(step)
            except BaseException as error:  # noqa: BLE001 - the flow decides what it means
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def _perform_async(step: Step) -> Any:
    if isinstance(step, Pause):
        return await asyncio.sleep(step.seconds)
    if isinstance(step, Await):
        return await step.begin()
    if step.begin is None:
        return await asyncio.to_thread(step.perform)
    future = step.begin()
    try:
        return await bridge.result(future)
    except (asyncio.CancelledError, GeneratorExit):
        if step.abandoned is not None:
            future.add_done_callback(step.abandoned)
        raise
