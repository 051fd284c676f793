"""The authenticator of a running server: over its store, with token keys that it keeps fresh."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

from remit.credentials import Credential, CredentialId
from remit.errors import AuthenticationError, ConfigError
from remit.identity import keys
from remit.identity.authenticator import Authenticator
from remit.identity.delegation import DelegationRoot
from remit.identity.model import Identity, RequestFacts
from remit.storage import Store
from remit.storage.bridge import result

Fetch = Callable[[str], Awaitable[bytes]]
"""The document at an ``https`` URL.

Raises:
    OSError: it cannot be had.
"""


class RequestAuthenticator:
    """Finds out who sends a request. Lives in one event loop."""

    def __init__(
        self, authenticator: Authenticator, store: Store, clock: Callable[[], int], fetch: Fetch
    ) -> None:
        self._authenticator = authenticator
        self._store = store
        self._clock = clock
        self._fetch = fetch
        self._fetching: dict[str, asyncio.Task[str | None]] = {}
        self._read: dict[CredentialId, Credential | None] = {}
        """Of this turn of the event loop."""

    @property
    def root(self) -> DelegationRoot:
        """The key that delegation tokens are minted with."""
        return self._authenticator.root

    async def authenticate(self, facts: RequestFacts) -> Identity:
        """Whose request it is. A token key that is not known yet is fetched first, within limits.

        Raises:
            AuthenticationError: it carries no credential, or none that is good.
            StoreError: whether an API key is good cannot be told now.
        """
        try:
            return self._identify(facts)
        except AuthenticationError as problem:
            issuer = problem.refresh
            if issuer is None or not await self._refreshed(issuer):
                raise
        return self._identify(facts)

    async def tend(self) -> Mapping[str, str]:
        """What must be done now and then (each minute, and once before the first request).

        Fetches token keys that are missing or old, and stores when API keys were last used.

        Returns:
            What is wrong, by part (``keys of <issuer>``); empty when nothing is.

        Raises:
            StoreError: the uses could not be stored.
        """
        now = self._clock()
        stale = [name for name, ring in self._authenticator.rings.items() if ring.stale(now)]
        found = await asyncio.gather(*(self._refresh(name) for name in stale))
        uses = self._authenticator.take_uses()
        if uses:
            await result(self._store.submit(lambda t: keys.record_uses(t, uses)))
        told = zip(stale, found, strict=True)
        return {f"keys of {name}": problem for name, problem in told if problem is not None}

    def _identify(self, facts: RequestFacts) -> Identity:
        return self._authenticator.authenticate(facts, self._credential, self._clock())

    def _credential(self, credential_id: CredentialId) -> Credential | None:
        """Read once for the requests that came together, in one turn of the event loop.

        Under load that is most of them, and each read waits for the thread that commits. The next
        turn reads anew, so a revoked key is refused from the next request on.
        """
        if credential_id not in self._read:
            found = self._store.read(lambda snapshot: snapshot.credential(credential_id))
            if not self._read:
                asyncio.get_running_loop().call_soon(self._read.clear)
            self._read[credential_id] = found
        return self._read[credential_id]

    async def _refreshed(self, issuer: str) -> bool:
        """Whether the issuer's keys were loaded anew just now."""
        ring = self._authenticator.rings[issuer]
        if issuer not in self._fetching and not ring.due(self._clock()):
            return False
        return await self._refresh(issuer) is None

    async def _refresh(self, issuer: str) -> str | None:
        """Load the keys of an issuer; whoever wants the same meanwhile waits for the same."""
        task = self._fetching.get(issuer)
        if task is None:
            task = asyncio.create_task(self._load(issuer))
            self._fetching[issuer] = task
            task.add_done_callback(partial(self._fetched, issuer))
        return await asyncio.shield(task)

    def _fetched(self, issuer: str, _: object) -> None:
        del self._fetching[issuer]

    async def _load(self, issuer: str) -> str | None:
        """Fetch and load; what went wrong, in words."""
        ring = self._authenticator.rings[issuer]
        ring.attempted(self._clock())
        try:
            if ring.source.startswith(("https://", "http://")):
                document = await self._fetch(ring.source)
            else:
                document = await asyncio.to_thread(Path(ring.source).read_bytes)
            ring.load(document, self._clock())
        except (OSError, ConfigError) as fault:
            return f"{ring.source}: {fault}"
        return None
