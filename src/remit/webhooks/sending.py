"""Sends what waits in the outbox. Lives in the server's event loop; nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import aiohttp
import msgspec

from remit.deliveries import Delivery
from remit.storage import Store
from remit.storage.bridge import result
from remit.webhooks import outbox, slack
from remit.webhooks.messages import Message, message
from remit.webhooks.settings import Webhook
from remit.webhooks.signature import ID, signed_headers

INTERVAL = 0.5
"""Seconds between two looks at what waits."""
AT_ONCE = 4
"""Messages under way to one webhook."""
TIME = 10.0
"""Seconds that a receiver has to answer."""
WORRYING = 3
"""Attempts that failed before ``/readyz`` shows it."""

_log = logging.getLogger("remit.webhooks")


class WebhookSender:
    """Delivers messages to the webhooks, each until it is taken or a day is over."""

    def __init__(
        self,
        webhooks: Sequence[Webhook],
        store: Store,
        clock: Callable[[], int],
        session: aiohttp.ClientSession,
        fault: Callable[[str, str | None], None] = lambda part, text: None,
    ) -> None:
        """Take over what to deliver, and to whom.

        Args:
            webhooks: those that there are, with their secrets.
            store: where the outbox is.
            clock: nanoseconds since the Unix epoch.
            session: to send with.
            fault: is told what is wrong with a part (``webhook NAME``); None: nothing any more.
        """
        self._webhooks = {each.settings.name: each for each in webhooks}
        self._settings = [each.settings for each in webhooks]
        self._store = store
        self._clock = clock
        self._session = session
        self._fault = fault
        self._under_way: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._position: int | None = None

    async def look(self) -> None:
        """Make messages of what is new, and begin to send what is due. Every ``INTERVAL``.

        Raises:
            StoreError: the store does not answer; the next look makes up for it.
        """
        if not self._webhooks:
            return
        news, position = await asyncio.to_thread(
            self._store.read, lambda view: outbox.behind(view, self._position)
        )
        if news:
            await result(self._store.submit(lambda t: outbox.collect(t, self._settings)))
        self._position = position
        now = self._clock()
        if not await asyncio.to_thread(self._store.read, lambda view: view.deliveries(now, 1)):
            return
        room = {name: AT_ONCE - self._under_way[name] for name in self._webhooks}
        for delivery in await result(self._store.submit(lambda t: outbox.claim(t, now, room))):
            self._under_way[delivery.webhook] += 1
            task = asyncio.get_running_loop().create_task(self._deliver(delivery))
            self._tasks.add(task)
            task.add_done_callback(partial(self._ended, delivery.webhook))

    async def close(self) -> None:
        """Cut off what is under way; it is sent again by the next server."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, webhook: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._under_way[webhook] -= 1
        error = None if task.cancelled() else task.exception()
        if error is not None:  # it stays claimed for a while and is then sent again
            _log.error("message not sent", extra={"webhook": webhook, "failure": error})

    async def _deliver(self, delivery: Delivery) -> None:
        """Send one message, and store what came of it."""
        webhook = self._webhooks[delivery.webhook]
        told = await asyncio.to_thread(
            self._store.read,
            lambda view: message(view, delivery, webhook.settings, self._clock()),
        )
        problem = None if told is None else await self._sent(webhook, told)
        part = f"webhook {delivery.webhook}"
        if problem is None:
            await result(self._store.submit(lambda t: outbox.done(t, delivery)))
            self._fault(part, None)
            return
        now = self._clock()
        kept = await result(self._store.submit(lambda t: outbox.failed(t, delivery, now)))
        about = {"webhook": delivery.webhook, "id": delivery.id, "attempts": delivery.attempts}
        if not kept:
            _log.error("message given up", extra={**about, "problem": problem})
        elif delivery.attempts >= WORRYING:
            _log.warning("message not taken", extra={**about, "problem": problem})
        if not kept or delivery.attempts >= WORRYING:
            self._fault(part, f"messages are not taken: {problem}")

    async def _sent(self, webhook: Webhook, told: Message) -> str | None:
        """Send once. What went wrong, in words that hold no secret, or None."""
        content = slack.payload(told) if webhook.settings.format == "slack" else told
        body = msgspec.json.encode(content)
        headers = {"Content-Type": "application/json", "User-Agent": "remit", ID: told.id}
        if webhook.key is not None:
            seconds = self._clock() // 1_000_000_000
            headers |= signed_headers(webhook.key, told.id, seconds, body)
        try:
            async with self._session.post(
                webhook.url,
                data=body,
                headers=headers,
                # A redirect could lead where nobody meant the arguments to go.
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=TIME),
            ) as response:
                return None if 200 <= response.status < 300 else f"it answers {response.status}"
        except TimeoutError:
            return f"it does not answer within {TIME:g} s"
        except (aiohttp.ClientError, OSError) as error:
            return f"it cannot be reached ({type(error).__name__})"
