"""A running server, a real Envoy that asks it, and an application behind Envoy."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import aiohttp
from egress_world import World
from outside import outside

from remit.config.file import parse_config
from remit.gateway.hosted import HostedSessions
from remit.gateway.llm_sessions import CredentialSessions
from remit.server.assembly import assemble
from remit.server.running import RunningServer, ports_of_their_own

Form = Literal["grpc", "http"]
DEPLOY = Path(__file__).parents[2] / "deploy" / "envoy"
HOST = "inventory.corp.example"
POLICY = """
remit: 1
default: deny
agents:
  inventory-bot: {roles: [clerk], team: warehouse}
people:
  ada: {roles: [security-team]}
tools:
  - {match: "http.get *", does: read}
  - {match: "http.post *", does: write}
  - {match: "http.put *", does: write}
  - {match: "http.get inventory.corp.example/feedback", does: read, returns: [untrusted]}
rules:
  - {id: reading, agents: [inventory-bot], tools: ["http.get *"], effect: allow}
  - {id: no-admin, tools: ["http.* */admin*"], effect: deny, because: Not for agents.}
  - id: small-orders
    agents: [inventory-bot]
    tools: ["http.post inventory.corp.example/orders"]
    when: args.body.quantity <= 10
    effect: allow
  - id: large-orders
    tools: ["http.post */orders"]
    when: args.body.quantity > 10
    effect: ask
    approvers: [ada]
  - id: own-cost-centre
    agents: [inventory-bot]
    tools: ["http.post inventory.corp.example/costs"]
    effect: allow
    obligations: [{rewrite: {args.headers.x-cost-centre: "'warehouse'"}}]
  - id: capped
    agents: [inventory-bot]
    tools: ["http.post inventory.corp.example/capped"]
    effect: allow
    obligations: [{cap: {args.body.quantity: 5}}]
  - id: no-emails
    tools: ["http.get */customers"]
    on: result
    effect: allow
    obligations: [{redact: ["result.body.*.email"]}]
  - id: careful
    tools: ["http.post *"]
    after: untrusted
    effect: deny
    because: The session has read what strangers wrote.
"""
CONFIG = f"""
[server]
listen = ["127.0.0.1:0"]
socket = ""
drain = "1s"
[envoy]
hosts = ["{HOST}"]
grpc = ["127.0.0.1:0"]
tls = false
headers = ["x-cost-centre"]
"""


class Envoy:
    """One Envoy process."""

    def __init__(self, config: str, folder: Path) -> None:
        self._place = folder / "admin"
        self._place.unlink(missing_ok=True)
        path = folder / "envoy.yaml"
        path.write_text(config)
        command = [
            str(Path(sys.executable).with_name("envoy")), "-c", str(path), "--concurrency", "1",
            "-l", "error", "--use-dynamic-base-id", "--admin-address-path", str(self._place),
        ]  # fmt: skip
        self._log = (folder / "envoy.log").open("wb")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        self.url = ""

    async def ready(self) -> None:
        async with asyncio.timeout(20), aiohttp.ClientSession() as client:
            while not self._place.exists() or not self._place.read_text():
                await asyncio.sleep(0.05)
            admin = f"http://{self._place.read_text()}"
            while True:
                async with client.get(f"{admin}/ready") as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.05)
            async with client.get(f"{admin}/listeners") as answer:
                found = re.search(r"agents::([0-9.]+:[0-9]+)", await answer.text())
            assert found is not None
            self.url = f"http://{found[1]}"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()


def envoy_config(form: Form, remit: int, application: int, changes: dict[str, str]) -> str:
    """The configuration that is shipped, with the ports of a test."""
    text = (DEPLOY / f"{form}.yaml").read_text()
    ports = {"10000": 0, "9901": 0, "5000": application, "8702": remit, "8700": remit}
    text = re.sub(r"port_value: (\d+)", lambda found: f"port_value: {ports[found[1]]}", text)
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    return text


class Line:
    """A connection that can be cut, as it is when a server is killed."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server
        self._open: set[asyncio.Transport] = set()
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._joined, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        self._server.close()
        for each in self._open:
            each.abort()

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._open |= {writer.transport, far_writer.transport}
        await asyncio.gather(
            self._carry(reader, far_writer), self._carry(far_reader, writer), return_exceptions=True
        )

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()


class EnvoyWorld(World):
    """What a test works with."""

    envoy: Envoy
    line: Line
    """Between Envoy and Remit."""

    async def ask(
        self, method: str, path: str, *, key: str | None = None, **options: Any
    ) -> tuple[int, str, Any]:
        """What a client of Envoy gets: status, body, headers."""
        headers = {"Host": HOST, **options.pop("headers", {})}
        if key != "":
            headers["X-Remit-Key"] = key or self.key
        async with (
            aiohttp.ClientSession() as client,
            client.request(method, self.envoy.url + path, headers=headers, **options) as answer,
        ):
            return answer.status, await answer.text(), answer.headers


@asynccontextmanager
async def envoy_world(
    folder: Path, form: Form, policy: str = POLICY, changes: dict[str, str] | None = None
) -> AsyncIterator[EnvoyWorld]:
    """Everything, running; Remit in this event loop."""
    os.makedirs(folder, exist_ok=True)
    (folder / "remit.yaml").write_text(policy)
    async with outside(folder) as found:
        made = EnvoyWorld(found, folder)
        assembled = assemble(parse_config(CONFIG, "remit.toml", folder), _no_fetch)
        sessions = CredentialSessions(HostedSessions(assembled.parts), 3600.0)
        mounts, listeners = ports_of_their_own(assembled.parts, sessions)
        made.server = RunningServer(assembled, mounts=mounts, listeners=listeners)
        await made.server.start()
        made.key = made.issue("inventory-bot")
        url = made.server.urls[0] if form == "http" else made.server.gateway_urls["envoy"][0]
        made.line = Line(int(url.rpartition(":")[2]))
        await made.line.start()
        config = envoy_config(form, made.line.port, found.plain, changes or {})
        made.envoy = Envoy(config, folder)
        try:
            await made.envoy.ready()
            yield made
        finally:
            made.envoy.close()
            await made.line.cut()
            assert await made.server.stop()


async def _no_fetch(url: str) -> bytes:
    raise OSError(url)
