"""The policy documents, watched: a good change is put in force, a bad one is told of.

The files are looked at rather than subscribed to: that works on every file system. A change
counts once two looks in a row show the same, so that a document that is still being written is
not taken for what somebody meant.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from remit.api.state import PolicyInForce
from remit.errors import ConfigError, PolicyError, StoreError
from remit.governor import Governor
from remit.guard.opening import read_documents
from remit.policy import PolicySet, load
from remit.storage import Store
from remit.storage.bridge import result

_log = logging.getLogger("remit.policy")

_Look = tuple[tuple[str, int, int, int], ...]


class PolicyWatch:
    """Keeps the policy in force that the documents at one path say."""

    def __init__(
        self, path: Path, policies: PolicyInForce, store: Store, clock: Callable[[], int]
    ) -> None:
        self._path = path
        self._policies = policies
        self._store = store
        self._clock = clock
        self._taken = looked(path)
        self._seen = self._taken
        self._reloading = asyncio.Lock()

    async def run(self, interval: float) -> None:
        """Look every ``interval`` seconds, until cancelled."""
        while True:
            await asyncio.sleep(interval)
            await self.look()

    async def look(self) -> None:
        """Look once, and take a change in that two looks have shown."""
        look = await asyncio.to_thread(looked, self._path)
        steady, self._seen = look == self._seen, look
        if steady and look != self._taken:
            await self.reload()

    async def reload(self) -> None:
        """Read the documents now, and put them in force if they are good. Never raises."""
        async with self._reloading:
            self._taken = self._seen = await asyncio.to_thread(looked, self._path)
            try:
                policies = await asyncio.to_thread(self._load)
                if policies.revision != self._policies.current.revision:
                    await self._adopt(policies)
                elif self._policies.fault is not None:
                    self._policies.fault = None
                    _log.info("policy mended", extra={"revision": policies.revision})
            except (PolicyError, ConfigError, StoreError) as error:
                self._refuse(error)
            except Exception as error:  # noqa: BLE001 - the policy in force stays, whatever it was
                _log.error("policy not loaded", extra={"failure": error})
                self._refuse(ConfigError(f"{self._path}: could not be loaded; see the log"))

    def _load(self) -> PolicySet:
        return load(read_documents(self._path))

    async def _adopt(self, policies: PolicySet) -> None:
        """Record a policy, then let it decide.

        Raises:
            StoreError: it could not be recorded, so it does not decide; it is tried again.
        """
        recording = Governor(policies=lambda: policies, clock=self._clock, entropy=os.urandom)
        try:
            await result(self._store.submit(recording.adopt))
        except StoreError:
            self._taken = ()
            raise
        self._policies.replace(policies)
        _log.info("policy in force", extra={"revision": policies.revision})

    def _refuse(self, error: PolicyError | ConfigError | StoreError) -> None:
        text = said(error)
        if text != self._policies.fault:
            self._policies.fault = text
            kept = self._policies.current.revision
            _log.error("policy refused", extra={"fault": text, "in_force": kept})


def said(error: Exception) -> str:
    """What is wrong with the documents, in words; the lines at fault are not quoted."""
    if isinstance(error, PolicyError):
        return "\n".join(f"{fault.at}: {fault.message}" for fault in error.faults)
    return str(error)


def looked(path: Path) -> _Look:
    """What the documents look like from outside: names, sizes, times and files behind them."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return tuple(
            (file.name, status.st_mtime_ns, status.st_size, status.st_ino)
            for file in files
            if file.suffix in (".yaml", ".yml") or file == path
            for status in (file.stat(),)
        )
    except OSError:
        return (("", 0, 0, 0),)
