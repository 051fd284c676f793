"""``remit wrap``: the official SDK's client, a server made with the official SDK, Remit between."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from desk_log import log, outcomes, remit
from mcp.shared.exceptions import MCPError
from mcp_types import CreateMessageResult, ElicitResult, TextContent

from mcp import Client, StdioServerParameters

HERE = Path(__file__).parent
DESK = [sys.executable, str(HERE / "desk_server.py")]
ERAS = ["auto", "legacy"]


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    shutil.copy(HERE / "desk.yaml", tmp_path / "remit.yaml")
    return tmp_path


def wrapped(
    folder: Path, *options: str, command: Sequence[str] = DESK, agent: str = "inventory-bot"
) -> StdioServerParameters:
    arguments = ["-m", "remit", "wrap", "--name", "desk", "--agent", agent, "--wait", "0s"]
    return StdioServerParameters(
        command=sys.executable,
        args=[*arguments, *options, "--", *command],
        cwd=folder,
        env=dict(os.environ),
    )


@asynccontextmanager
async def desk(folder: Path, mode: str, *options: str, **how: Any) -> AsyncIterator[Client]:
    agent = {"agent": how.pop("agent")} if "agent" in how else {}
    async with asyncio.timeout(60):
        async with Client(wrapped(folder, *options, **agent), mode=mode, **how) as client:
            yield client


def said(result: Any) -> str:
    return "".join(block.text for block in result.content)


@pytest.mark.parametrize("mode", ERAS)
async def test_calls_pass_and_are_refused_and_each_is_on_record(folder: Path, mode: str) -> None:
    async with desk(folder, mode) as client:
        assert client.session.protocol_version == {"auto": "2026-07-28"}.get(mode, "2025-11-25")
        allowed = await client.call_tool("echo", {"text": "hello"})
        assert (said(allowed), allowed.is_error) == ("hello", False)
        denied = await client.call_tool("echo", {"text": "no"})
        assert denied.is_error
        assert "No means no." in said(denied)
        failed = await client.call_tool("fail", {"text": "out of ink"})
        assert failed.is_error
        assert "out of ink" in said(failed)
        assert (await client.call_tool("hidden", {})).is_error
    assert outcomes(folder, "desk.echo") == ["ok"]
    assert outcomes(folder, "desk.fail") == ["error"]
    assert outcomes(folder, "desk.hidden") == []
    assert len([each for each in log(folder) if each.kind == "decision"]) == 4


@pytest.mark.parametrize("mode", ERAS)
async def test_tools_that_the_agent_may_not_call_are_not_named(folder: Path, mode: str) -> None:
    async with desk(folder, mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
    assert {"echo", "pay", "account"} <= names
    assert "hidden" not in names
    async with desk(folder, mode, agent="report-bot") as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["echo"]


@pytest.mark.parametrize("mode", ERAS)
async def test_a_result_is_redacted_in_both_its_copies(folder: Path, mode: str) -> None:
    async with desk(folder, mode) as client:
        result = await client.call_tool("account", {"name": "ada"})
    assert result.structured_content["name"] == "ada"
    assert "hunter2" not in str(result)


@pytest.mark.parametrize("mode", ERAS)
async def test_a_held_call_runs_once_after_approval(folder: Path, mode: str) -> None:
    async with desk(folder, mode) as client:
        held = await client.call_tool("pay", {"amount": 500})
        assert held.is_error
        approval = held.meta["remit/approval"]
        assert approval in said(held)
        await asyncio.to_thread(remit, folder, "approvals", "approve", approval, "--as", "ada")
        assert said(await client.call_tool("pay", {"amount": 500})) == "paid 500"
        assert (await client.call_tool("pay", {"amount": 500})).is_error


async def test_a_call_waits_for_a_person_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    async def progress(_: float, __: float | None, message: str | None) -> None:
        told.append(message or "")

    async def approve() -> None:
        while True:
            listed = json.loads(
                await asyncio.to_thread(remit, folder, "approvals", "list", "--json")
            )
            if listed and told:
                handle = listed[0]["id"]
                await asyncio.to_thread(
                    remit, folder, "approvals", "approve", handle, "--as", "ada"
                )
                return
            await asyncio.sleep(0.2)

    async with desk(folder, "auto", "--wait", "40s") as client:
        deciding = asyncio.create_task(approve())
        result = await client.call_tool("pay", {"amount": 700}, progress_callback=progress)
        await deciding
    assert said(result) == "paid 700"
    assert "desk.pay waits" in told[0]


@pytest.mark.parametrize("mode", ERAS)
async def test_resources_and_prompts_are_governed(folder: Path, mode: str) -> None:
    async with desk(folder, mode) as client:
        inside = await client.read_resource("desk://drawer/top")
        assert inside.contents[0].text == "inside top"
        with pytest.raises(MCPError, match="secret drawer stays shut"):
            await client.read_resource("desk://drawer/secret")
        with pytest.raises(MCPError, match="Milk is private"):
            await client.read_resource("desk://note")
        assert "Greet ada" in str(await client.get_prompt("greet", {"name": "ada"}))
    async with desk(folder, mode, agent="report-bot") as client:
        assert (await client.list_prompts()).prompts == []
        assert (await client.list_resources()).resources == []
        with pytest.raises(MCPError, match="not allowed"):
            await client.get_prompt("greet", {"name": "ada"})


async def test_what_a_server_asks_of_the_client_is_governed(folder: Path) -> None:
    sampled: list[Any] = []

    async def sample(_: Any, params: Any) -> CreateMessageResult:
        sampled.append(params)
        text = TextContent(type="text", text="42")
        return CreateMessageResult(role="assistant", content=text, model="m")

    async def elicit(_: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"colour": "red"})

    callbacks = {"sampling_callback": sample, "elicitation_callback": elicit}
    async with desk(folder, "legacy", **callbacks) as client:
        assert said(await client.call_tool("ask_user", {"question": "which?"})) == "red"
        with pytest.raises(MCPError, match="desk/sampling/createMessage"):
            await client.call_tool("ask_model", {"question": "why?"})
    assert sampled == []


async def test_a_server_gets_only_the_environment_that_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CLIENT", "x")
    monkeypatch.setenv("PASSED_ON", "x")
    async with desk(folder, "auto", "--env", "PASSED_ON", "--env", "SET=1") as client:
        result = await client.call_tool("variables", {})
    names = set(result.structured_content["result"])
    assert {"PATH", "PASSED_ON", "SET"} <= names
    assert "SECRET_OF_THE_CLIENT" not in names
    assert "REMIT_CREDENTIAL" not in names


@pytest.mark.parametrize("mode", ERAS)
async def test_a_server_that_dies_is_started_again(folder: Path, mode: str) -> None:
    async with desk(folder, mode) as client:
        await client.list_tools()
        with pytest.raises(MCPError, match="the desk is on fire"):
            await client.call_tool("die", {})
        assert said(await client.call_tool("echo", {"text": "again"})) == "again"


async def test_a_cancelled_call_is_settled(folder: Path) -> None:
    async with desk(folder, "legacy") as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await client.call_tool("slow", {"seconds": 30})
        assert said(await client.call_tool("echo", {"text": "on"})) == "on"
    assert outcomes(folder, "desk.slow") == ["cancelled"]


async def test_a_client_that_vanishes_leaves_nothing_open(folder: Path) -> None:
    command = [sys.executable, "-m", "remit", "wrap", "--name", "desk", "--agent", "inventory-bot"]
    process = await asyncio.create_subprocess_exec(
        *command, "--", *DESK, cwd=folder, stdin=-1, stdout=-1, stderr=-1
    )
    assert process.stdin is not None
    assert process.stdout is not None
    hello = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    for line in (
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
    ):
        process.stdin.write(json.dumps(line).encode() + b"\n")
    await process.stdout.readline()
    call = {"name": "slow", "arguments": {"seconds": 60}}
    line = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}
    process.stdin.write(json.dumps(line).encode() + b"\n")
    await asyncio.sleep(1.0)
    started = time.monotonic()
    process.stdin.close()
    process.stdout._transport.close()  # type: ignore[attr-defined]
    async with asyncio.timeout(20):
        assert await process.wait() == 0
    assert time.monotonic() - started < 15
    assert outcomes(folder, "desk.slow") == ["cancelled"]


@pytest.mark.parametrize("ends", [("file", "pipe"), ("pipe", "file"), ("null", "null")], ids=str)
def test_what_nobody_can_be_behind_is_refused_in_words(folder: Path, ends: tuple[str, str]) -> None:
    written = folder / "ends"
    written.write_text('{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
    command = wrapped(folder)
    with written.open("r+b") as file:
        known = {"file": file, "pipe": subprocess.PIPE, "null": subprocess.DEVNULL}
        done = subprocess.run(
            [command.command, *command.args],
            cwd=folder,
            stdin=known[ends[0]],
            stdout=known[ends[1]],
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert b"pipes of an MCP client" in done.stderr
    assert b"Traceback" not in done.stderr
