"""A server as one of a fleet: it hears what other nodes did, and follows the published policy.

A policy that was published (``remit store publish``) counts on every node, whatever documents lie
beside it. A node that cannot put it in force goes on with the one that it has, and says so: in
``/readyz``, in the list of nodes and in its log.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable

from remit.api.frame import Parts
from remit.errors import InvalidArgument, PolicyError, StoreError
from remit.governor import Governor
from remit.policy import load
from remit.policy.bundle import unpack
from remit.server.watching import said
from remit.storage.fleet import Fleet, PublishedPolicy

INTERVAL = 2.0
"""Seconds between two looks, when nobody says that there is news."""
_MOST_SKEW = 5.0
"""Seconds that a clock may differ from the database's before people are told."""

_log = logging.getLogger("remit.fleet")


class FleetWatch:
    """Keeps a node up with the others."""

    def __init__(
        self, parts: Parts, fleet: Fleet, news: Callable[[Parts], Awaitable[None]]
    ) -> None:
        """Watch the fleet of ``parts``; ``news`` tells whoever waits what is new in the log."""
        self._parts = parts
        self._fleet = fleet
        self._news = news
        self._heard = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        fleet.news = self._hear

    def _hear(self) -> None:
        self._loop.call_soon_threadsafe(self._heard.set)

    async def run(self) -> None:
        """Look at all news, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(INTERVAL):
                    await self._heard.wait()
            except TimeoutError:
                pass
            self._heard.clear()
            await self.look()

    async def look(self) -> None:
        """Look once. Never raises."""
        parts = self._parts
        try:
            await self._news(parts)
            published = await asyncio.to_thread(self._fleet.published)
            if published is not None:
                await self._follow(published)
            await self._check_clock()
            parts.faults.clear("fleet")
        except StoreError as error:
            if "fleet" not in parts.faults.texts:
                _log.error("fleet not seen", extra={"failure": error})
            parts.faults.set("fleet", "the database does not answer; the server's log says more")

    async def _follow(self, published: PublishedPolicy) -> None:
        """Put the published policy in force, if it is not.

        Raises:
            StoreError: it could not be recorded; the next look tries again.
        """
        parts = self._parts
        policies = parts.policies
        if policies.current.revision == published.revision:
            parts.faults.clear("published policy")
            return
        try:
            found = await asyncio.to_thread(lambda: load(unpack(published.bundle)))
        except (PolicyError, InvalidArgument) as error:
            text = f"{published.revision} was published and cannot be put in force: {said(error)}"
            if parts.faults.texts.get("published policy") != text:
                _log.error("published policy refused", extra={"fault": text})
            parts.faults.set("published policy", text)
            policies.fault = text
            return
        recording = Governor(policies=lambda: found, clock=parts.clock, entropy=os.urandom)
        await parts.write(recording.adopt)
        policies.replace(found)
        parts.faults.clear("published policy")
        _log.info("published policy in force", extra={"revision": found.revision})

    async def _check_clock(self) -> None:
        for node in await asyncio.to_thread(self._fleet.nodes):
            if node.name == self._fleet.name:
                if abs(node.skew) > _MOST_SKEW:
                    text = f"this clock is {node.skew:+.0f} s from the database's; set it right"
                    self._parts.faults.set("clock", text)
                else:
                    self._parts.faults.clear("clock")
