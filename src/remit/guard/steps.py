"""A governed action as steps, and the two drivers that carry them out: blocking and asyncio.

The flow of an action (admit, wait for a person, settle) is written once, as a generator that
yields what it needs from outside and is sent the answer. ``run`` and ``run_async`` are the only
places that block or await.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, TypeAlias, TypeVar

from msgspec import Struct

from remit.storage import Snapshot, Store, Transaction, bridge

T = TypeVar("T")


class Write(Struct, frozen=True):
    """Run ``work`` in a durable transaction and answer with its value.

    ``abandoned`` is called with the finished future when whoever waited was cancelled or
    interrupted: the transaction may have committed all the same.
    """

    work: Callable[[Transaction], Any]
    abandoned: Callable[[Future[Any]], None] | None = None


class Read(Struct, frozen=True):
    """Run ``work`` on a consistent view and answer with its value."""

    work: Callable[[Snapshot], Any]


class Pause(Struct, frozen=True):
    """Let ``seconds`` pass."""

    seconds: float


Step: TypeAlias = "Write | Read | Pause"
Flow: TypeAlias = Generator[Step, Any, T]


def run(store: Store, flow: Flow[T]) -> T:
    """Carry out a flow, blocking the calling thread."""
    try:
        step = next(flow)
        while True:
            try:
                answer = _perform(store, step)
            except BaseException as error:  # noqa: BLE001 - the flow decides what it means
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


def _perform(store: Store, step: Step) -> Any:
    if isinstance(step, Write):
        try:
            return store.write(step.work)
        except Exception:
            raise
        except BaseException as interrupt:
            _tell(step, interrupt)
            raise
    if isinstance(step, Read):
        return store.read(step.work)
    return time.sleep(step.seconds)


def _tell(step: Write, interrupt: BaseException) -> None:
    if step.abandoned is not None:
        future: Future[Any] = Future()
        future.set_exception(interrupt)
        step.abandoned(future)


async def run_async(store: Store, flow: Flow[T]) -> T:
    """Carry out a flow without blocking the event loop."""
    try:
        step = next(flow)
        while True:
            try:
                answer = await _perform_async(store, step)
            except BaseException as error:  # noqa: BLE001 - the flow decides what it means
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def _perform_async(store: Store, step: Step) -> Any:
    if isinstance(step, Write):
        future = store.submit(step.work)
        try:
            return await bridge.result(future)
        except (asyncio.CancelledError, GeneratorExit):
            if step.abandoned is not None:
                future.add_done_callback(step.abandoned)
            raise
    if isinstance(step, Read):
        return await asyncio.to_thread(store.read, step.work)
    return await asyncio.sleep(step.seconds)
