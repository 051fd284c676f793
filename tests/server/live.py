"""The whole server in a thread of the test process: SQLite, real keys, a real socket."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from pathlib import Path

from remit import custody
from remit.api.frame import Parts
from remit.api.mounts import Mount
from remit.config import Config
from remit.config.file import parse_config
from remit.credentials import Kind, Right
from remit.journal import Journal
from remit.model import Principal
from remit.server.assembly import assemble
from remit.server.running import RunningServer
from remit.storage import Transaction
from serving import POLICY

CONFIG = '[server]\nlisten = ["127.0.0.1:0"]\nsocket = ""\ndrain = "1s"\n'

KINDS: dict[Right, Kind] = {
    Right.AGENT: "agent",
    Right.REVIEWER: "person",
    Right.EDITOR: "person",
    Right.AUDITOR: "person",
    Right.ADMIN: "person",
}


class Live:
    """A running server, and the keys that open it."""

    def __init__(self, url: str, parts: Parts, rights: Iterable[Right] = Right) -> None:
        self.url = url
        self.parts = parts
        self.keys = {right: self.issue(right) for right in rights}
        agent = parts.policies.current.principal("inventory-bot")
        self.session = parts.store.write(
            lambda t: parts.governor.open_session(t, agent, None, None).id
        )

    def issue(self, right: Right, *, life: int | None = None, agent: str = "") -> str:
        """A key with one right. Names are random, so that nothing generated meets them."""
        name = agent or f"{right.value}-{os.urandom(6).hex()}"
        if right is Right.AGENT:
            name = agent or "inventory-bot"

        def work(t: Transaction) -> str:
            journal = Journal.begin(t, time.time_ns(), os.urandom)
            return custody.add_key(
                journal,
                Principal(id="test", kind="service"),
                principal=name,
                kind=KINDS[right],
                rights=frozenset({right}),
                expires_at=None if life is None else journal.now + life,
            ).text

        return self.parts.store.write(work)

    def revoke(self, key: str) -> None:
        """Revoke a key."""
        credential = key.split("_")[1]

        def work(t: Transaction) -> None:
            journal = Journal.begin(t, time.time_ns(), os.urandom)
            custody.revoke_key(journal, Principal(id="test", kind="service"), credential)  # type: ignore[arg-type]

        self.parts.store.write(work)


async def _no_fetch(url: str) -> bytes:
    raise OSError(url)


def config_in(folder: Path, policy: str = POLICY, text: str = CONFIG) -> Config:
    (folder / "remit.yaml").write_text(policy)
    return parse_config(text, "remit.toml", folder)


@contextmanager
def live_server(
    config: Config,
    gateways: Callable[[Parts], AbstractAsyncContextManager[Sequence[Mount]]] | None = None,
) -> Iterator[Live]:
    """Run a server until the end of the block, with the mounts that ``gateways`` makes."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> RunningServer:
        assembled = assemble(config, _no_fetch)
        mounts: Sequence[Mount] = ()
        if gateways is not None:
            mounts = await opened.enter_async_context(gateways(assembled.parts))
        server = RunningServer(assembled, mounts=mounts)
        await server.start()
        return server

    opened = AsyncExitStack()
    server = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    try:
        yield Live(server.urls[0], server.parts)
    finally:
        stopped = asyncio.run_coroutine_threadsafe(server.stop(), loop)
        try:
            assert stopped.result(20)
            asyncio.run_coroutine_threadsafe(opened.aclose(), loop).result(20)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(20)
            loop.close()
