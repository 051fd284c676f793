"""Outcomes that nobody waits for: of generators that were dropped, of calls that were cancelled.

They may come from a finalizer, which runs anywhere, even inside the store while it holds a lock.
So a finalizer only puts the outcome into a queue, and a thread of its own writes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from remit.guard.calls import PendingOutcome


class LateOutcomes:
    """A queue of outcomes and the thread that writes them, started when it is first needed."""

    def __init__(self, write: Callable[[PendingOutcome], None]) -> None:
        self._write = write
        self._queue: SimpleQueue[PendingOutcome | None] = SimpleQueue()
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, pending: PendingOutcome) -> None:
        """Hand over an outcome. Takes no lock, so finalizers may call it."""
        self._queue.put(pending)

    def start(self) -> None:
        """Have the thread run from now on. Not to be called from a finalizer."""
        if self._thread is None:
            with self._mutex:
                if self._thread is None:
                    thread = threading.Thread(target=self._work, name="remit-late", daemon=True)
                    thread.start()
                    self._thread = thread

    def close(self) -> None:
        """Write everything that is left, and stop."""
        with self._mutex:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()
        while True:
            try:
                pending = self._queue.get_nowait()
            except Empty:
                return
            if pending is not None:
                self._write(pending)

    def _work(self) -> None:
        while (pending := self._queue.get()) is not None:
            self._write(pending)
