"""One call of a tool is one request to the server, on a connection that is kept."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from desk_gateway import HELLO, free_port
from desk_log import outcomes

POLICY = """
remit: 1
default: deny
agents: {bot: {}}
tools: [{match: ["one.*"], does: read}]
rules:
  - {id: all, tools: ["one.*"], effect: allow}
  - id: hush
    tools: ["one.account"]
    effect: allow
    obligations: [{redact: [result.structuredContent.password]}]
"""


class Counting:
    """A server of one tool that counts what reaches it, and over how many connections."""

    def __init__(self) -> None:
        self.methods: list[str] = []
        self.connections: set[object] = set()
        self.seen: list[dict[str, str]] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.connections.add(request.transport)
        self.seen.append({name.lower(): value for name, value in request.headers.items()})
        message = await request.json()
        self.methods.append(message["method"])
        if "id" not in message:
            return web.Response(status=202)
        result: dict[str, Any] = {"content": [{"type": "text", "text": "done"}]}
        if message["method"] == "tools/list":
            result = {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}
        if message["method"] == "initialize":
            result = {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "one", "version": "1"},
            }
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        return web.json_response(answer, headers={"Mcp-Session-Id": "guessable"})


class Breaking(Counting):
    """A server whose answers to calls come on another stream than the one that was asked on."""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST" and b"tools/call" not in await request.read():
            return await super().answer(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if request.method == "POST":
            await response.write(b"id: 1\nretry: 1\ndata:\n\n")
        else:
            assert request.headers["Last-Event-ID"] == "1"
            account = {"name": "ada", "password": "hunter2"}
            blocks = [{"type": "text", "text": json.dumps(account)}]
            result = {"content": blocks, "structuredContent": account}
            answer = json.dumps({"jsonrpc": "2.0", "id": 7, "result": result})
            await response.write(f"id: 2\ndata: {answer}\n\n".encode())
        await response.write_eof()
        return response


@pytest.fixture(name="gateway")
async def _gateway(tmp_path: Path) -> AsyncIterator[tuple[str, str, Counting]]:
    async with served(tmp_path, Counting()) as found:
        yield found


@asynccontextmanager
async def served(tmp_path: Path, counting: Counting) -> AsyncIterator[tuple[str, str, Counting]]:
    upstream, port = free_port(), free_port()
    runner = web.ServerRunner(web.Server(counting.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", upstream).start()
    (tmp_path / "remit.yaml").write_text(POLICY)
    (tmp_path / "remit.toml").write_text(
        f'[server]\nlisten = ["127.0.0.1:{port}"]\nsocket = ""\n\n[[mcp]]\nname = "one"\n'
        f'url = "http://127.0.0.1:{upstream}/mcp"\nsecret_headers = {{Authorization = "UP"}}\n'
    )
    remit = [sys.executable, "-m", "remit"]
    adding = await asyncio.create_subprocess_exec(
        *remit, "agents", "add", "bot", "--json", cwd=tmp_path, stdout=-1
    )
    key = json.loads((await adding.communicate())[0])["key"]
    log = (tmp_path / "log").open("wb")
    serving = await asyncio.create_subprocess_exec(
        *remit, "serve", cwd=tmp_path, stdout=log, stderr=log, env={**os.environ, "UP": "Up secret"}
    )
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp/one", key, counting
    finally:
        serving.terminate()
        await serving.wait()
        log.close()
        await runner.cleanup()


async def test_one_call_is_one_request_on_a_kept_connection(
    gateway: tuple[str, str, Counting],
) -> None:
    url, key, counting = gateway
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/json, text/event-stream"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def post(message: dict[str, Any], **more: str) -> Any:
            async with session.post(url, json=message, headers=more) as response:
                assert response.status == 200, await response.text()
                return response.headers, await response.json()

        given, _ = await post(HELLO)
        own = {"Mcp-Session-Id": given["Mcp-Session-Id"]}
        assert own["Mcp-Session-Id"] != "guessable"
        call = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "echo"}}
        await post({**call, "id": 1}, **own)
        assert counting.methods == ["initialize", "tools/list", "tools/call"]
        before = len(counting.methods)
        for number in range(20):
            _, answer = await post({**call, "id": 10 + number}, **own)
            assert answer["result"]["content"][0]["text"] == "done"
        assert counting.methods[before:] == ["tools/call"] * 20
    assert len(counting.connections) == 1
    last = counting.seen[-1]
    assert last["authorization"] == "Up secret"
    assert last["mcp-session-id"] == "guessable"
    assert key not in json.dumps(counting.seen)


async def test_an_answer_on_another_stream_is_decided_on_and_stays_so(tmp_path: Path) -> None:
    async with served(tmp_path, Breaking()) as (url, key, _):
        headers = {
            "Authorization": f"Bearer {key}",
            "Accept": "application/json, text/event-stream",
        }
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.post(url, json=HELLO) as response:
                own = {"Mcp-Session-Id": response.headers["Mcp-Session-Id"]}
            params = {"name": "account", "arguments": {}}
            call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
            async with session.post(url, json=call, headers=own) as response:
                assert b"id: 1" in await response.read()
            again = {**own, "Last-Event-ID": "1"}
            for _ in range(2):  # what is shown once more is what was shown before
                async with session.get(url, headers=again) as response:
                    shown = (await response.read()).decode()
                assert "ada" in shown
                assert "[redacted]" in shown
                assert "hunter2" not in shown
    assert outcomes(tmp_path, "one.account") == ["ok"]
