"""Asking MCP servers what they are: started, asked for their tools, ended. Nothing is called."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from remit import canonical
from remit.errors import InvalidArgument
from remit.gateway.mcp_process import ALWAYS_PASSED

_LARGEST = 16 << 20
_PAGES = 100
_PROTOCOL = "2025-06-18"


class ServerCommand(Struct, frozen=True, kw_only=True):
    """How a server is started."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


class ServerAnswer(Struct, frozen=True, kw_only=True):
    """What a server says of itself."""

    tools: tuple[Any, ...] = ()
    instructions: str | None = None
    version: str | None = None
    failure: str | None = None
    """Why it could not be asked."""


async def ask(server: ServerCommand, seconds: float) -> ServerAnswer:
    """Start a server, ask for its tools, end it: within ``seconds``, whatever it does."""
    try:
        async with asyncio.timeout(seconds):
            return await _asked(server)
    except TimeoutError:
        return ServerAnswer(failure=f"no answer within {seconds:g} s")
    except (OSError, ValueError, InvalidArgument) as error:
        return ServerAnswer(failure=str(error) or type(error).__name__)


async def _asked(server: ServerCommand) -> ServerAnswer:
    passed = {name: os.environ[name] for name in ALWAYS_PASSED if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *server.command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**passed, **server.env},
        cwd=server.cwd,
        limit=_LARGEST,
        start_new_session=True,
    )
    try:
        return await _talk(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _talk(process: asyncio.subprocess.Process) -> ServerAnswer:
    began = {
        "protocolVersion": _PROTOCOL,
        "capabilities": {},
        "clientInfo": {"name": "remit", "version": "1"},
    }
    hello = await _request(process, 0, "initialize", began)
    await _send(process, {"jsonrpc": "2.0", "method": "notifications/initialized"})
    tools: list[Any] = []
    params: dict[str, Any] = {}
    capabilities = hello.get("capabilities")
    pages = _PAGES if isinstance(capabilities, dict) and "tools" in capabilities else 0
    for page in range(pages):
        answer = await _request(process, page + 1, "tools/list", params)
        listed = answer.get("tools")
        if not isinstance(listed, list):
            raise ValueError("its list of tools is none")
        tools += listed
        if not isinstance(answer.get("nextCursor"), str):
            break
        params = {"cursor": answer["nextCursor"]}
    info = hello.get("serverInfo")
    version = info.get("version") if isinstance(info, dict) else None
    instructions = hello.get("instructions")
    return ServerAnswer(
        tools=tuple(tools),
        instructions=instructions if isinstance(instructions, str) else None,
        version=version if isinstance(version, str) else None,
    )


async def _send(process: asyncio.subprocess.Process, message: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")
    await process.stdin.drain()


async def _request(
    process: asyncio.subprocess.Process, number: int, method: str, params: Mapping[str, Any]
) -> dict[str, Any]:
    assert process.stdout is not None
    request_id = f"remit-{number}"
    await _send(process, {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
    while line := await process.stdout.readline():
        try:
            message = canonical.parse(line.strip(), "message", canonical.JsonLimits(bytes=_LARGEST))
        except InvalidArgument:
            continue
        if isinstance(message, dict) and message.get("id") == request_id:
            result = message.get("result")
            if not isinstance(result, dict):
                raise ValueError(f"it refuses {method}: {str(message.get('error'))[:200]}")
            return result
    raise ValueError(f"it ended before it answered {method}")
