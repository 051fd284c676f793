"""Threads that do blocking work for event loops, and hold up nobody's exit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_PATIENCE = 10.0
"""Seconds after which a thread without work ends."""


class WorkerThreads:
    """Daemon threads, started as they are needed, at most ``limit`` of them.

    Unlike those of ``concurrent.futures`` they are not waited for when the program ends.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._mutex = threading.Lock()
        self._threads = 0
        self._free = 0
        """Threads that wait for work, less the work that waits for them."""

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have ``work`` done."""
        future: Future[T] = Future()
        self._work.put((future, work))
        with self._mutex:
            starts = self._free <= 0 and self._threads < self._limit
            if starts:
                self._threads += 1
            else:
                self._free -= 1
        if starts:
            threading.Thread(target=self._run, name="remit-client", daemon=True).start()
        return future

    def _run(self) -> None:
        while True:
            try:
                future, work = self._work.get(timeout=_PATIENCE)
            except Empty:
                with self._mutex:
                    if self._work.empty():
                        self._threads -= 1
                        self._free -= 1
                        return
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - whoever waits raises it
                future.set_exception(error)
            del future, work
            with self._mutex:
                self._free += 1
