"""What a running server knows of itself: the policy in force, its faults, and whether it leaves.

No I/O. All of it lives in one event loop; ``PolicyInForce`` may be read from any thread.
"""

from __future__ import annotations

import asyncio
from types import MappingProxyType

from remit.guard.needs import ToolNeeds
from remit.policy import PolicySet


class PolicyInForce:
    """The policy that decides, and what is wrong with the one that should replace it."""

    def __init__(self, policies: PolicySet) -> None:
        self._needs = ToolNeeds(policies)
        self.fault: str | None = None
        """Why the documents on disk are not in force, in words; None when they are."""

    @property
    def current(self) -> PolicySet:
        """The policy in force. Replaced whole, never changed."""
        return self._needs.policies

    @property
    def needs(self) -> ToolNeeds:
        """What the policy in force wants to know of tools."""
        return self._needs

    def replace(self, policies: PolicySet) -> None:
        """Put another policy in force. Its record is in the log already."""
        self._needs = ToolNeeds(policies)
        self.fault = None


class Health:
    """What does not work at the moment, by part: shown by ``/readyz``."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    @property
    def texts(self) -> MappingProxyType[str, str]:
        """What is wrong, by the part that it is wrong with."""
        return MappingProxyType(self._texts)

    def set(self, part: str, text: str) -> None:
        """Say what is wrong with ``part``."""
        self._texts[part] = text

    def clear(self, part: str) -> None:
        """Say that ``part`` works."""
        self._texts.pop(part, None)


class Changes:
    """Wakes whoever waits for news: of an approval, of the stop switch, of the server's end.

    A topic is any text, such as an approval's id. What other processes change is not announced, so
    a waiter looks again after a while all the same.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether the server is about to end: nobody may wait for anything any more."""
        return self._draining

    def announce(self, topic: str) -> None:
        """Wake everybody who waits for ``topic``. To be called in the event loop."""
        for waiter in self._waiting.get(topic, ()):
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, topic: str, seconds: float) -> bool:
        """Wait for news of ``topic``; False when there were none in ``seconds``.

        Comes back at once, with False, while the server is draining.
        """
        if self._draining or seconds <= 0:
            return False
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiting.setdefault(topic, set())
        waiters.add(waiter)
        try:
            await asyncio.wait_for(waiter, seconds)
        except TimeoutError:
            return False
        finally:
            waiters.discard(waiter)
            if not waiters:
                self._waiting.pop(topic, None)
        return not self._draining

    def drain(self) -> None:
        """Send everybody home, now and from now on."""
        self._draining = True
        for topic in list(self._waiting):
            self.announce(topic)
