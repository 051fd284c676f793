"""News of approvals and stops, for everybody who waits in this process: one watcher for all.

Handlers announce what they change themselves, at once. What other processes on the store change is
seen in the log by the watcher, which looks a few times a second however many wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import TypeVar

from remit.api.frame import Parts
from remit.api.state import Changes
from remit.approvals import Approval
from remit.events import happened

T = TypeVar("T")

APPROVALS = "approvals"
"""The topic of all approvals; that of one is its id."""
STOPS = "stops"
"""The topic of the stop switch."""
LOOK_INTERVAL = 0.25
"""Seconds between two looks at what other processes did."""

_LOOK_AGAIN = 5.0
"""Seconds after which a waiter looks by itself, if the watcher should have failed."""


class Watcher:
    """Reads what is new in the log and tells whoever waits for it.

    ``look`` is to be called every ``LOOK_INTERVAL`` seconds.
    """

    def __init__(self) -> None:
        self._position: int | None = None

    async def look(self, parts: Parts) -> None:
        """Announce what happened since the last look.

        Raises:
            StoreError: the log cannot be read; the next look makes up for it.
        """
        if self._position is None:
            self._position = await parts.read(lambda view: view.log_size())
        while True:
            start = self._position
            found = await parts.read(partial(happened, start=start))
            self._position = found.position
            for event in found.events:
                parts.changes.announce(event.subject)
            for topic in {event.kind.partition(".")[0] for event in found.events}:
                parts.changes.announce(f"{topic}s")
            if found.position == start:
                return


def tell(changes: Changes, *moved: Approval) -> None:
    """Announce approvals that this process has changed."""
    for approval in moved:
        changes.announce(approval.id)
    if moved:
        changes.announce(APPROVALS)


async def until(
    changes: Changes, topic: str, look: Callable[[], Awaitable[T | None]], seconds: float
) -> T | None:
    """Look for something, again at all news of ``topic``, until it is there or time is over.

    Args:
        changes: whoever has news announces them here.
        topic: what the news are of.
        look: gives what is wanted, or None while it is not there.
        seconds: how long to wait at most; 0 looks once.
    """
    deadline = monotonic() + seconds
    while True:
        left = deadline - monotonic()
        # To wait begins before to look: what is announced in between is not missed.
        waiting = asyncio.ensure_future(changes.wait(topic, min(left, _LOOK_AGAIN)))
        try:
            await asyncio.sleep(0)
            found = await look()
            if found is not None or left <= 0 or changes.draining:
                return found
            await waiting
        finally:
            waiting.cancel()
