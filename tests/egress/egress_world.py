"""A running server with a forward proxy, servers outside, and names in the test's hands."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvloop
from outside import Outside, outside

from remit import custody
from remit.audit.record import Record, parse_record
from remit.config.file import parse_config
from remit.credentials import Right
from remit.gateway.forward import ForwardProxy
from remit.gateway.forward_addresses import Destinations
from remit.gateway.hosted import HostedSessions
from remit.gateway.llm_sessions import CredentialSessions
from remit.journal import Journal
from remit.model import ApprovalId, Principal
from remit.server.assembly import assemble
from remit.server.running import RunningServer
from remit.storage import Transaction

POLICY = """
remit: 1
default: deny
agents:
  inventory-bot: {roles: [clerk], team: warehouse}
people:
  ada: {roles: [security-team]}
tools:
  - {match: "http.get *", does: read}
  - {match: "http.head *", does: read}
  - {match: "http.post *", does: send}
  - {match: "http.put *", does: send}
  - {match: "http.connect *", does: send}
  - {match: "http.get web.shop.example*", does: read, returns: [untrusted]}
rules:
  - id: reading
    agents: [inventory-bot]
    tools: ["http.get *", "http.head *"]
    effect: allow
  - id: no-admin
    tools: ["http.* */admin*"]
    effect: deny
    because: Nobody's agent administers a shop.
  - id: orders
    agents: [inventory-bot]
    tools: ["http.post *"]
    effect: allow
  - id: no-secrets-out
    tools: ["http.post *"]
    when: found("secret")
    effect: deny
    because: Secrets stay inside.
  - id: tunnels
    agents: [inventory-bot]
    tools: ["http.connect *"]
    when: 'args.host != "evil.example"'
    effect: allow
  - id: no-emails
    tools: ["http.get */customers"]
    on: result
    effect: allow
    obligations:
      - redact: ["result.body.*.email"]
  - id: puts
    tools: ["http.put *"]
    effect: ask
    approvers: [ada]
  - id: quiet-after-web
    tools: ["http.post *"]
    after: untrusted
    effect: deny
    because: The session has read the web.
inspect:
  - {tools: ["http.post *"], arguments: [secret]}
"""

CONFIG = """
[server]
listen = ["127.0.0.1:0"]
socket = ""
drain = "1s"
[egress]
listen = ["127.0.0.1:0"]
upstream_ca = "outside.pem"
hold = "0s"
connect = "2s"
private = [{private}]
inspect = [{inspect}]
body = "64KiB"
"""
INSIDE = '"api.shop.example", "other.shop.example", "web.shop.example"'


async def _no_fetch(url: str) -> bytes:
    raise OSError(url)


class World:
    """What a test works with."""

    def __init__(self, outside: Outside, folder: Path) -> None:
        self.outside = outside
        self.folder = folder
        self.names: dict[str, list[list[str]]] = {}
        """Answers of the name service, one after the other; the last stays."""
        self.lookups: list[str] = []
        self.server: RunningServer
        self.key = ""

    @property
    def proxy(self) -> str:
        """``host:port`` of the proxy."""
        return self.server.gateway_urls["egress"][0].removeprefix("http://")

    @property
    def url(self) -> str:
        """The proxy with a credential, as clients take it."""
        return f"http://inventory-bot:{self.key}@{self.proxy}"

    @property
    def ca(self) -> Path:
        return self.folder / "remit-egress.pem"

    def records(self, kind: str = "") -> list[Record]:
        store = self.server.parts.store
        found = store.read(
            lambda view: [parse_record(kept.body) for kept in view.records(0, 10**6)]
        )
        return [each for each in found if kind in ("", each.kind)]

    async def statuses(self, count: int) -> list[str | None]:
        """How actions ended, once so many have: a tunnel is recorded after its client has gone."""
        async with asyncio.timeout(5):
            while len(found := self.records("outcome")) < count:
                await asyncio.sleep(0.02)
        return [each.status for each in found]

    def issue(self, agent: str) -> str:
        def work(t: Transaction) -> str:
            journal = Journal.begin(t, time.time_ns(), os.urandom)
            return custody.add_key(
                journal,
                Principal(id="test", kind="service"),
                principal=agent,
                kind="agent",
                rights=frozenset({Right.AGENT}),
            ).text

        return self.server.parts.store.write(work)

    def approve(self, approval: str) -> None:
        parts = self.server.parts
        ada = parts.policies.current.person("ada")
        parts.store.write(lambda t: parts.governor.approve(t, ApprovalId(approval), ada))

    async def lookup(self, host: str, port: int) -> Sequence[str]:
        self.lookups.append(host)
        answers = self.names.get(host)
        if answers is None:
            return ["127.0.0.1"] if host.endswith(".shop.example") else []
        return answers.pop(0) if len(answers) > 1 else answers[0]


@asynccontextmanager
async def world(
    folder: Path,
    *,
    inspect: str = "",
    private: str = INSIDE,
    policy: str = POLICY,
    config: str = CONFIG,
) -> AsyncIterator[World]:
    """Everything, running in this event loop."""
    (folder / "remit.yaml").write_text(policy)
    async with outside(folder) as found:
        made = World(found, folder)
        text = config.format(inspect=inspect, private=private)
        assembled = assemble(parse_config(text, "remit.toml", folder), _no_fetch)
        parts = assembled.parts
        sessions = CredentialSessions(HostedSessions(parts), 3600.0)
        egress = parts.config.egress
        assert egress is not None
        proxy = ForwardProxy(
            parts, egress, sessions, destinations=Destinations(egress.private, made.lookup)
        )
        made.server = RunningServer(assembled, listeners=[proxy])
        await made.server.start()
        made.key = made.issue("inventory-bot")
        try:
            yield made
        finally:
            assert await made.server.stop()


@contextmanager
def world_elsewhere(folder: Path, **options: Any) -> Iterator[World]:
    """The same in a thread of its own, for clients that block; on the loop of ``remit serve``."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    context = world(folder, **options)

    def there(work: Callable[[], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            return await work()

        return asyncio.run_coroutine_threadsafe(run(), loop).result(30)

    try:
        made = there(context.__aenter__)
        try:
            yield made
        finally:
            there(lambda: context.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


def names_for(world: World) -> Mapping[str, str]:
    """Variables that send a program through the proxy, and have it trust its authority."""
    return {
        "HTTP_PROXY": world.url,
        "HTTPS_PROXY": world.url,
        "http_proxy": world.url,
        "https_proxy": world.url,
        "NO_PROXY": "",
        "no_proxy": "",
    }
