"""What the server does without being asked: close what is overdue, sign the log, keep keys fresh.

Each task runs for itself, at its own pace. One that fails says so in ``/readyz`` and in the log,
and tries again; it never takes the server down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from remit.api.budgets import caught_up
from remit.api.frame import Parts
from remit.errors import StoreError
from remit.journal import SWEEP

SWEEP_INTERVAL = 5.0
"""Seconds between two looks for what is overdue."""
TALLY_INTERVAL = 5.0
"""Seconds between two additions to the tallies."""
PATIENCE = 15.0
"""Seconds after which a task counts as failed: a store that hangs does not answer either."""

_log = logging.getLogger("remit.upkeep")


async def sweep(parts: Parts) -> None:
    """Close actions that nobody settled and approvals that nobody answered.

    Raises:
        StoreError: the store does not answer.
    """
    while await parts.write(parts.governor.expire) >= SWEEP:
        await asyncio.sleep(0)


async def tally(parts: Parts) -> None:
    """Add what is new in the log to what forecasts and reports read.

    Raises:
        StoreError: the store does not answer.
    """
    await caught_up(parts)


async def sign(parts: Parts) -> None:
    """Sign the log as it is now.

    Raises:
        StoreError: the store does not answer.
        AuditError: the log is not the one that was signed before.
        ConfigError: the signer does not answer.
    """
    await parts.write(parts.checkpointer.sign)


def leading(work: Callable[[Parts], Awaitable[None]]) -> Callable[[Parts], Awaitable[None]]:
    """The same work, left to the one node of a fleet that leads."""

    async def step(parts: Parts) -> None:
        if parts.leads:
            await work(parts)

    return step


async def repeat(
    parts: Parts, part: str, work: Callable[[Parts], Awaitable[None]], interval: float
) -> None:
    """Do ``work`` every ``interval`` seconds, until cancelled; ``part`` is its name in ``/readyz``.

    While the store does not answer, that is what is said: ``/readyz`` then is 503.
    """
    faults = parts.faults
    while True:
        await asyncio.sleep(interval)
        try:
            async with asyncio.timeout(PATIENCE):
                await work(parts)
        except Exception as error:  # noqa: BLE001 - said, and tried again
            failed = "store" if isinstance(error, StoreError | TimeoutError) else part
            if failed not in faults.texts:
                _log.error("upkeep failed", extra={"part": failed, "failure": error})
            faults.set(failed, f"{type(error).__name__}; the server's log says more")
        else:
            if part in faults.texts or "store" in faults.texts:
                _log.info("upkeep works again", extra={"part": part})
            faults.clear(part)
            faults.clear("store")
