"""One call of a tool is one request to the server, on a connection that is kept."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from test_mcp_http import HELLO, free_port

POLICY = """
remit: 1
default: deny
agents: {bot: {}}
tools: [{match: ["one.*"], does: read}]
rules: [{id: all, tools: ["one.*"], effect: allow}]
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


@pytest.fixture(name="gateway")
async def _gateway(tmp_path: Path) -> AsyncIterator[tuple[str, str, Counting]]:
    counting, upstream, port = Counting(), free_port(), free_port()
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
