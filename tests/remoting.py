"""A whole server in a thread of the test process, and guards that are connected to it."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from remit import Guard, custody
from remit.config.file import parse_config
from remit.credentials import CredentialId, Right
from remit.journal import Journal
from remit.model import Principal
from remit.server.assembly import assemble
from remit.server.running import RunningServer
from remit.storage import Store, Transaction

T = TypeVar("T")

AGENTS = ("bot", "sub-bot", "reader-bot", "stranger", "inventory-bot")

CONFIG = """
[server]
listen = ["127.0.0.1:0"]
socket = "{socket}"
drain = "2s"
[policy]
poll = "50ms"
[signing]
interval = "1h"
{more}
"""


async def _no_fetch(url: str) -> bytes:
    raise OSError(url)


class ServerThread:
    """A server on the policy in ``folder``, with its store and key there; stop it at the end."""

    def __init__(self, folder: Path, *, socket: Path | None = None, more: str = "") -> None:
        # Paths of Unix sockets are short; those of test folders are not.
        self._sockets = tempfile.TemporaryDirectory(prefix="remit")
        self.socket = socket or Path(self._sockets.name) / "s"
        text = CONFIG.format(socket=self.socket, more=more)
        self._config = parse_config(text, "remit.toml", folder)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._running: RunningServer = self._run(self._started())
        self.url = self._running.urls[0]
        self.unix = f"unix://{self.socket}"
        self.store: Store = self._running.parts.store
        self.parts = self._running.parts

    def key(self, principal: str, agents: tuple[str, ...] = (), life: int | None = None) -> str:
        """A new API key: of an agent, or of a service that names ``agents``."""

        def work(t: Transaction) -> str:
            journal = Journal.begin(t, time.time_ns(), os.urandom)
            return custody.add_key(
                journal,
                Principal(id="test", kind="service"),
                principal=principal,
                kind="service" if agents else "agent",
                rights=frozenset({Right.AGENT}),
                agents=agents,
                expires_at=None if life is None else journal.now + life,
                first=False,
            ).text

        return self.store.write(work)

    def revoke(self, key: str) -> None:
        """Revoke an API key, as another process would."""

        def work(t: Transaction) -> None:
            journal = Journal.begin(t, time.time_ns(), os.urandom)
            by = Principal(id="test", kind="service")
            custody.revoke_key(journal, by, CredentialId(key.split("_")[1]))

        self.store.write(work)

    def stop(self) -> None:
        """End the server in good order. A second call does nothing."""
        if self._loop.is_closed():
            return
        assert self._run(self._running.stop())
        self._run(_let_go())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()
        self._sockets.cleanup()

    async def _started(self) -> RunningServer:
        server = RunningServer(assemble(self._config, _no_fetch))
        await server.start()
        return server

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)


async def _let_go() -> None:
    """Let connections that were closed end before their loop does."""
    for _ in range(3):
        await asyncio.sleep(0)


class Servers:
    """The servers that a test has started, and which of them a guard is connected to."""

    def __init__(self, transport: str) -> None:
        self.transport = transport
        self._started: list[ServerThread] = []
        self._stores: list[tuple[Guard, ServerThread]] = []

    def connect(self, folder: Path, **options: Any) -> Guard:
        """A guard that is connected to a new server on the policy in ``folder``."""
        server = ServerThread(folder)
        self._started.append(server)
        url = server.unix if self.transport == "unix" else server.url
        guard = Guard.connect(url, credential=server.key("host", AGENTS), **options)
        self._stores.append((guard, server))
        return guard

    def of(self, guard: Guard) -> ServerThread | None:
        """The server of a guard that was connected here."""
        return next((server for known, server in self._stores if known is guard), None)

    def stop(self) -> None:
        """End all of them."""
        for guard, server in self._stores:
            guard.close()
            server.stop()
