"""What waits to be sent: made from the log, kept in the store, claimed before it is sent.

The log is the list of what happened; ``collect`` turns new records into rows, in one transaction
with the place up to which it has read. No I/O of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from remit import deliveries
from remit.deliveries import Delivery, DeliveryId
from remit.events import Event, happened
from remit.storage import Snapshot, Transaction
from remit.webhooks.settings import WebhookSettings

CURSOR = "webhooks"
"""Name of the place in the log up to which messages were made."""
STRIDE = 10_000
"""Records without news after which the place is stored all the same."""
_DUE = 500


def behind(view: Snapshot, position: int | None) -> tuple[bool, int]:
    """Whether ``collect`` has something to do; and up to where the log was looked at.

    Args:
        view: the store.
        position: what the last call gave; None at the start.
    """
    kept = view.cursor(CURSOR)
    if kept is None:
        return True, view.log_size()
    start = kept if position is None else max(position, kept)
    while True:
        found = happened(view, start)
        if found.events or found.position == start:
            return bool(found.events) or found.position - kept >= STRIDE, found.position
        start = found.position


def collect(t: Transaction, webhooks: Sequence[WebhookSettings]) -> int:
    """Turn what is new in the log into messages. How many.

    The first time there is nothing new: what happened before is not told.
    """
    start = t.cursor(CURSOR)
    if start is None:
        t.put_cursor(CURSOR, t.log_size())
        return 0
    made = 0
    while True:
        found = happened(t, start)
        for delivery in _messages(found.events, webhooks):
            t.put_delivery(delivery)
            made += 1
        if found.position == start:
            break
        start = found.position
    t.put_cursor(CURSOR, start)
    return made


def claim(t: Transaction, now: int, room: Mapping[str, int]) -> list[Delivery]:
    """Take messages that are due, for this process to send. Marked, so that no other takes them.

    Args:
        t: the transaction.
        now: nanoseconds since the epoch.
        room: how many may be taken for each webhook; those of others are dropped.
    """
    left = dict(room)
    taken: list[Delivery] = []
    for waiting in t.deliveries(now, _DUE):
        if waiting.webhook not in left:
            t.remove_delivery(waiting.id)
        elif left[waiting.webhook] > 0:
            left[waiting.webhook] -= 1
            claimed = deliveries.claimed(waiting, now)
            t.put_delivery(claimed)
            taken.append(claimed)
    return taken


def done(t: Transaction, delivery: Delivery) -> None:
    """Drop a message that was taken, or that is of no use any more."""
    t.remove_delivery(delivery.id)


def failed(t: Transaction, delivery: Delivery, now: int) -> bool:
    """Put a message back for another attempt. False when it is given up."""
    again = deliveries.failed(delivery, now)
    if again is None:
        t.remove_delivery(delivery.id)
        return False
    t.put_delivery(again)
    return True


def _messages(events: Iterable[Event], webhooks: Sequence[WebhookSettings]) -> Iterable[Delivery]:
    for event in events:
        for webhook in webhooks:
            if event.kind in webhook.events:
                yield _message(event, webhook.name)


def _message(event: Event, webhook: str) -> Delivery:
    # The same whenever it is made: whoever receives it twice can tell. Ids are random, so it does
    # not come up again in another store.
    name = f"{webhook}.{event.kind}.{event.subject}.{event.position}"
    return Delivery(
        id=DeliveryId(name),
        webhook=webhook,
        event=event.kind,
        subject=event.subject,
        position=event.position,
        at=event.at,
        next_at=event.at,
    )
