"""From a store's futures to asyncio: awaiting a commit without blocking the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def result(future: Future[T]) -> T:
    """Wait for a future of ``Store.submit`` and give its value, or raise its error.

    Unlike with ``asyncio.wrap_future``, cancelling the waiting task leaves the transaction alone,
    and a loop that was closed in the meantime is no error in the store's thread.
    """
    loop = asyncio.get_running_loop()
    woken = loop.create_future()

    def wake(_: Future[T]) -> None:
        try:
            loop.call_soon_threadsafe(_finish, woken)
        except RuntimeError:
            return

    future.add_done_callback(wake)
    await woken
    return future.result()


def _finish(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
