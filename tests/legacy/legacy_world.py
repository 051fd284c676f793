"""A running server with its reverse proxy, real servers behind it, and what its log says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from remit import custody
from remit.approvals import ApprovalState
from remit.audit.record import Record, parse_record
from remit.config.file import parse_config
from remit.config.legacy import with_legacy_secrets
from remit.credentials import Right
from remit.gateway.legacy import LegacyMount
from remit.journal import Journal
from remit.model import Principal
from remit.server.assembly import assemble
from remit.server.running import RunningServer
from remit.storage import Transaction

EXAMPLE = Path(__file__).parents[2] / "examples" / "legacy"
SECRETS = {"INVENTORY_READ_KEY": "read-key-4711", "INVENTORY_CLERK_KEY": "clerk-key-0815"}
HEAD = '[server]\nlisten = ["127.0.0.1:0"]\nsocket = ""\ndrain = "1s"\n'


class InventoryApp:
    """The inventory application of the example, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "inventory.db"
        self._process = subprocess.Popen(
            [sys.executable, str(EXAMPLE / "inventory_app.py"), "0", str(self.file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **SECRETS},
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.url = line.split()[-1]

    def rows(self, sql: str) -> list[Any]:
        with sqlite3.connect(self.file) as opened:
            return opened.execute(sql).fetchall()

    def orders(self) -> list[Any]:
        """The purchase orders that it has."""
        return self.rows("SELECT product, quantity FROM purchase_orders ORDER BY id")

    def requests(self) -> list[Any]:
        """Method, path and caller of every request that reached it."""
        return self.rows("SELECT method, path, caller FROM requests ORDER BY id")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


class LegacyWorld:
    """A server that can be ended and started again over the same store."""

    def __init__(self, folder: Path, config: str, secrets: Mapping[str, str]) -> None:
        self.folder = folder
        self._config = HEAD + config
        self._secrets = secrets
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.start()

    def start(self) -> None:
        self.server = self._run(self._started())
        self.url = self.server.urls[0]
        self.parts = self.server.parts

    def stop(self) -> None:
        assert self._run(self.server.stop())

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        try:
            self.stop()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(20)
            self._loop.close()

    async def _started(self) -> RunningServer:
        config = parse_config(self._config, "remit.toml", self.folder)
        assembled = assemble(config, _no_fetch)
        servers = with_legacy_secrets(config.legacy, self._secrets.get)
        server = RunningServer(assembled, None, [LegacyMount(assembled.parts, servers)])
        await server.start()
        return server

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def issue(self, name: str, right: Right = Right.AGENT) -> str:
        """A key of an agent, or of a person with another right."""

        def work(t: Transaction) -> str:
            journal = Journal.begin(t, time.time_ns(), os.urandom)
            return custody.add_key(
                journal,
                Principal(id="test", kind="service"),
                principal=name,
                kind="agent" if right is Right.AGENT else "person",
                rights=frozenset({right}),
            ).text

        return self.parts.store.write(work)

    def agent(self, name: str, api: str = "inventory") -> LegacyAgent:
        return LegacyAgent(self, self.issue(name), api)

    def records(self) -> list[Record]:
        return self.parts.store.read(
            lambda view: [parse_record(each.body) for each in view.records(0, view.log_size())]
        )

    def decisions(self, tool: str = "") -> list[str]:
        """Effects of the decisions on tools whose names begin so."""
        return [
            str(each.effect)
            for each in self.records()
            if each.kind == "decision" and (each.tool or "").startswith(tool)
        ]

    def sealed(self) -> list[Any]:
        """The values beside the log: arguments and results."""

        def work(view: Any) -> list[Any]:
            found = [view.values(at) for at in range(view.log_size())]
            return [json.loads(each.canonical) for each in found if each is not None]

        return self.parts.store.read(work)

    def vote(self, *, yes: bool = True) -> None:
        """Have ada decide on the one request that waits."""
        governor, store = self.parts.governor, self.parts.store
        ada = self.parts.policies.current.person("ada")
        [held] = store.read(lambda view: view.approvals((ApprovalState.PENDING,), 10))
        move = governor.approve if yes else governor.reject
        store.write(lambda t: move(t, held.id, ada))

    def pending(self) -> int:
        """How many requests wait for a person."""
        return len(
            self.parts.store.read(lambda view: view.approvals((ApprovalState.PENDING,), 100))
        )


class LegacyAgent:
    """Calls one API through the proxy, as a program that knows only a base URL and a key."""

    def __init__(self, world: LegacyWorld, key: str, api: str) -> None:
        self.world = world
        self.key = key
        self._api = api

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        url = path if path.startswith("http") else f"{self.world.url}/legacy/{self._api}{path}"
        return requests.request(
            method, url, headers=headers, timeout=20, allow_redirects=False, **options
        )

    def order(self, key: str | None = None, **more: Any) -> requests.Response:
        """Order a pallet."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return self("POST", "/purchase-orders", json={"product": 1, "quantity": 2, **more},
                    headers=headers)  # fmt: skip

    def raw(self, data: bytes, *, wait: float = 5.0) -> bytes:
        """Send bytes as they are; what comes back until the connection is closed or silent.

        ``KEY`` stands for the credential.
        """
        host, port = self.world.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=wait) as opened:
            opened.sendall(data.replace(b"KEY", self.key.encode()))
            answer = b""
            try:
                while part := opened.recv(65536):
                    answer += part
                    if _whole(answer):
                        opened.settimeout(0.3)
            except (TimeoutError, ConnectionResetError):
                pass
            return answer


def _whole(answer: bytes) -> bool:
    head, blank, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(blank) and length is not None and len(body) >= int(length[1])


async def _no_fetch(url: str) -> bytes:
    raise OSError(url)


def example_config(url: str) -> str:
    """The example's own configuration, for a server at another URL."""
    text = (EXAMPLE / "remit.toml").read_text()
    document = str(EXAMPLE / "inventory.yaml")
    return text.replace("http://127.0.0.1:5000", url).replace("inventory.yaml", document)


@contextmanager
def legacy_world(
    folder: Path, config: str, policy: str, secrets: Mapping[str, str] = SECRETS
) -> Iterator[LegacyWorld]:
    """Run it until the end of the block."""
    folder.mkdir(exist_ok=True)
    (folder / "remit.yaml").write_text(policy)
    world = LegacyWorld(folder, config, secrets)
    try:
        yield world
    finally:
        world.close()
