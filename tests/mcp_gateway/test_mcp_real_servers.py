"""The published servers behind the gateway, used by the official client over stdio and HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
from installing import Peers
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult
from processes import remit
from real_servers import NAMES, PAGES, SCENARIOS, Call, Scenario
from serving_mcp import AGENT, add_key, serving, table, verified, wrap_command

from mcp import Client, StdioServerParameters

Approve = Callable[[], Awaitable[None]]


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    """The URL of a web server with the pages that are fetched."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            text = PAGES.get(self.path, "").encode()
            self.send_response(200 if text else 404)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture(params=NAMES)
def scenario(request: pytest.FixtureRequest, peers: Peers, data: Path, pages: str) -> Scenario:
    made: Scenario = SCENARIOS[request.param](peers, data, pages)
    return made


def shown(result: CallToolResult) -> str:
    return result.model_dump_json()


async def until(ask: Callable[[], list[dict[str, str]]]) -> list[dict[str, str]]:
    """What is asked for, once it is there."""
    for _ in range(200):
        if found := await asyncio.to_thread(ask):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("nothing is held")


@dataclass
class Used:
    """A client before a governed server, and how to approve what it holds."""

    client: Client
    approve: Approve

    async def call(self, call: Call) -> CallToolResult:
        result = await self.client.call_tool(call.tool, call.arguments)
        assert isinstance(result, CallToolResult)
        return result


async def four_calls(used: Used, scenario: Scenario) -> None:
    """One call of each fate."""
    names = [tool.name for tool in (await used.client.list_tools()).tools]
    assert scenario.allowed.tool in names

    allowed = await used.call(scenario.allowed)
    assert not allowed.is_error, allowed
    assert scenario.allowed.answer in shown(allowed)

    denied = await used.call(scenario.denied)
    assert denied.is_error
    assert "denied" in shown(denied)

    held = asyncio.create_task(used.call(scenario.held))
    await used.approve()
    granted = await held
    assert not granted.is_error, granted
    assert scenario.held.answer in shown(granted)

    redacted = await used.call(scenario.redacted)
    assert not redacted.is_error, redacted
    assert scenario.secret not in shown(redacted)


@asynccontextmanager
async def over_stdio(scenario: Scenario, folder: Path, data: Path) -> AsyncIterator[Used]:
    (folder / "remit.yaml").write_text(scenario.policy)
    environment = ("--env", f"MEMORY_FILE_PATH={data / 'memory.jsonl'}")
    command = wrap_command(scenario.name, scenario.command, *environment)
    parameters = StdioServerParameters(
        command=command[0], args=command[1:], cwd=folder, env=dict(os.environ)
    )

    async def approve() -> None:
        waiting = await until(lambda: json.loads(remit(folder, "approvals", "list", "--json")))
        approval = waiting[0]["id"]
        await asyncio.to_thread(remit, folder, "approvals", "approve", approval, "--as", "grace")

    async with Client(parameters) as client:
        yield Used(client, approve)


@asynccontextmanager
async def over_http(scenario: Scenario, folder: Path, data: Path) -> AsyncIterator[Used]:
    environment = {"MEMORY_FILE_PATH": str(data / "memory.jsonl")}
    servers = table(scenario.name, command=scenario.command, env=environment)
    with serving(folder, scenario.policy, servers) as server:
        key = add_key(folder, AGENT)
        person = add_key(folder, "grace", "--kind", "person", "--right", "reviewer")
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=60) as agent,
            httpx2.AsyncClient(
                headers={"Authorization": f"Bearer {person}"}, base_url=server.url
            ) as grace,
        ):

            async def approve() -> None:
                for _ in range(200):
                    waiting = (await grace.get("/v1/approvals")).json()["items"]
                    if waiting:
                        break
                    await asyncio.sleep(0.05)
                path = f"/v1/approvals/{waiting[0]['id']}/approve"
                answer = await grace.post(path, json={})
                assert answer.status_code == 200, answer.text

            transport = streamable_http_client(server.mcp(scenario.name), http_client=agent)
            async with Client(transport) as client:
                yield Used(client, approve)


@pytest.mark.parametrize("way", [over_stdio, over_http])
async def test_a_published_server_is_governed(way, scenario: Scenario, tmp_path: Path, data: Path):
    async with way(scenario, tmp_path, data) as used:
        await four_calls(used, scenario)
    counts = await asyncio.to_thread(verified, tmp_path)
    assert counts["outcome"] >= 3  # allowed, held and approved, redacted
    assert counts["decision"] >= counts["outcome"] + 1


async def test_without_the_gateway_the_same_calls_all_go_through(
    peers: Peers, data: Path, pages: str
):
    """The variant without protection: the server itself refuses and hides nothing."""
    made = SCENARIOS["filesystem"](peers, data, pages)
    parameters = StdioServerParameters(command=made.command[0], args=made.command[1:])
    async with Client(parameters) as client:
        denied = await client.call_tool(made.denied.tool, made.denied.arguments)
        redacted = await client.call_tool(made.redacted.tool, made.redacted.arguments)
    assert not denied.is_error
    assert made.secret in shown(redacted)
