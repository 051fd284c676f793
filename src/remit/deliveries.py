"""Messages to webhooks as they wait for delivery, and when a failed one is tried again. Pure.

The rows are kept by the store, put there in one transaction with the place in the log up to which
messages were made, so that none is lost and none is made twice. A message is sent at least once:
whoever receives it tells a repetition by its id.
"""

from __future__ import annotations

from typing import Literal, NewType, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

DeliveryId = NewType("DeliveryId", str)

EventKind: TypeAlias = Literal[
    "approval.pending",
    "approval.vote",
    "approval.approved",
    "approval.rejected",
    "approval.withdrawn",
    "approval.expired",
    "approval.used",
    "stop.set",
    "stop.lifted",
    "budget.reached",
    "budget.overrun",
    "budget.raised",
    "budget.reset",
    "runaway.seen",
]
"""What can happen that is worth telling."""

FIRST_PAUSE = 1_000_000_000
"""Nanoseconds from the first failure to the second attempt; then twice as long each time."""
LONGEST_PAUSE = 600_000_000_000
PATIENCE = 86_400_000_000_000
"""Nanoseconds after which a message that nobody took is given up: one day."""
CLAIM = 60_000_000_000
"""Nanoseconds for which a message belongs to the process that is about to send it."""


class Delivery(Struct, frozen=True, kw_only=True):
    """One message for one webhook. What it says is looked up when it is sent."""

    id: DeliveryId
    webhook: str
    """Name of the webhook."""
    event: EventKind
    subject: str
    """Id of the approval or the stop that it happened to."""
    position: int
    """Of the record that says so."""
    at: int
    """When it happened, nanoseconds since the Unix epoch."""
    next_at: int
    """When it is to be sent (again)."""
    attempts: int = 0


def claimed(delivery: Delivery, now: int) -> Delivery:
    """The message while one process sends it; if that dies, it is sent again afterwards."""
    return replace(delivery, next_at=now + CLAIM, attempts=delivery.attempts + 1)


def failed(delivery: Delivery, now: int) -> Delivery | None:
    """The message after an attempt that failed; None when it is given up."""
    if now - delivery.at >= PATIENCE:
        return None
    doublings = min(delivery.attempts - 1, 20)
    return replace(delivery, next_at=now + min(FIRST_PAUSE << doublings, LONGEST_PAUSE))
