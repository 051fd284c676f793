"""Server processes that misbehave behind ``remit wrap``: the client is answered all the same."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from desk_log import outcomes, remit

POLICY = """
remit: 1
default: deny
agents: {bot: {}}
tools: [{match: ["odd.*"], does: read}]
rules: [{id: all, tools: ["odd.*"], effect: allow}]
"""
ODD = """
import json, os, subprocess, sys, time

def out(text):
    sys.stdout.write(text)
    sys.stdout.flush()

for line in sys.stdin:
    message = json.loads(line)
    name = message.get("params", {}).get("name", message["method"])
    result = {"content": [{"type": "text", "text": "%s %d" % (name, os.getpid())}]}
    if "id" not in message:
        continue
    answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
    if name == "flood":
        while True:
            out("x" * 65536)
    elif name == "chatter":
        out("starting up ...\\n\\n[]\\n")
        out('{"jsonrpc":"2.0","id":"nobody","result":{}}\\n')
        out('{"jsonrpc":"2.0","id":%s,"result":{},"result":{"content":[]}}\\n' % message["id"])
        out(answer + "\\n")
    elif name == "hang up":
        os.close(1)
        time.sleep(60)
    elif name == "die":
        os._exit(1)
    elif name == "leave a child":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)  # left behind"])
        out(answer + "\\n")
    elif name == "twice":
        out(answer + "\\n" + answer + "\\n")
    elif name == "pages":
        out(answer.replace(", ", ",\\r ") + "\\n")
    else:
        out(answer + "\\n")
"""


class Wrapped:
    """``remit wrap`` as a client sees it: lines in, lines out."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self._id = 0

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data + b"\n")

    async def line(self) -> Any:
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            return json.loads(await self.process.stdout.readline())

    async def call(self, tool: str) -> Any:
        self._id += 1
        params = {"name": tool, "arguments": {}}
        call = {"jsonrpc": "2.0", "id": self._id, "method": "tools/call", "params": params}
        self.send(json.dumps(call).encode())
        while True:
            answer = await self.line()
            if answer.get("id") == self._id:
                return answer

    async def text(self, tool: str) -> str:
        return str((await self.call(tool))["result"]["content"][0]["text"])


@asynccontextmanager
async def odd(folder: Path, *options: str) -> AsyncIterator[Wrapped]:
    (folder / "remit.yaml").write_text(POLICY)
    (folder / "odd.py").write_text(ODD)
    wrap = [sys.executable, "-m", "remit", "wrap", "--name", "odd", "--agent", "bot", *options]
    with (folder / "errors").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *wrap, "--", sys.executable, "odd.py", cwd=folder, stdin=-1, stdout=-1, stderr=errors
        )
        yield Wrapped(process, folder)
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(30):
            assert await process.wait() == 0


@pytest.mark.parametrize("tool", ["flood", "hang up", "die"])
async def test_a_server_that_breaks_off_is_ended_and_started_again(
    tmp_path: Path, tool: str
) -> None:
    async with odd(tmp_path, "--max-message", "1MiB") as wrapped:
        first = await wrapped.text("hello")
        broken = await wrapped.call(tool)
        assert broken["error"]["code"] == -32011
        again = await wrapped.text("hello")
        assert again.split()[0] == "hello"
        assert again != first
        with pytest.raises(ProcessLookupError):
            os.kill(int(first.split()[1]), 0)
    assert outcomes(tmp_path, f"odd.{tool}") == ["error"]


async def test_what_is_no_message_is_not_passed_on(tmp_path: Path) -> None:
    async with odd(tmp_path) as wrapped:
        assert (await wrapped.text("chatter")).startswith("chatter")
        assert (await wrapped.text("twice")).startswith("twice")
        assert (await wrapped.text("pages")).startswith("pages")
        assert (await wrapped.text("hello")).startswith("hello")
    assert "appears twice" in (tmp_path / "errors").read_text()
    assert outcomes(tmp_path, "odd.twice") == ["ok"]


async def test_a_carriage_return_does_not_make_two_messages_of_one(tmp_path: Path) -> None:
    hidden = '{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"die"}}'
    async with odd(tmp_path) as wrapped:
        call = f'{{"jsonrpc":"2.0","id":8,"method":"ping","x":\r{hidden}\r}}'
        wrapped.send(call.encode())
        answer = await wrapped.line()
        assert answer["id"] == 8
        assert answer["result"]["content"][0]["text"].startswith("ping")
    assert outcomes(tmp_path, "odd.die") == []


async def test_what_a_client_may_not_send_is_answered(tmp_path: Path) -> None:
    async with odd(tmp_path) as wrapped:
        for data in (b"[]", b"nonsense", b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}'):
            wrapped.send(data)
            answer = await wrapped.line()
            assert answer["error"]["code"] in (-32600, -32700)
        assert (await wrapped.text("hello")).startswith("hello")


async def test_what_a_server_left_behind_is_ended_with_it(tmp_path: Path) -> None:
    async with odd(tmp_path) as wrapped:
        group = int((await wrapped.text("leave a child")).split()[-1])
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            break
        await asyncio.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)


async def test_answers_to_all_requests_come_before_the_end(tmp_path: Path) -> None:
    async with odd(tmp_path) as wrapped:
        for number in range(20):
            params = {"name": "hello", "arguments": {}}
            call = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
            wrapped.send(json.dumps(call).encode())
        assert wrapped.process.stdin is not None
        wrapped.process.stdin.close()
        found = {(await wrapped.line())["id"] for _ in range(20)}
    assert found == set(range(20))
    assert outcomes(tmp_path, "odd.hello") == ["ok"] * 20


def test_a_command_that_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "remit.yaml").write_text(POLICY)
    with pytest.raises(AssertionError, match="cannot be started"):
        remit(tmp_path, "wrap", "--name", "odd", "--agent", "bot", "--", "no-such-program")
    with pytest.raises(AssertionError, match="write lower-case letters"):
        remit(tmp_path, "wrap", "--name", "Odd", "--agent", "bot", "--", "true")
    with pytest.raises(AssertionError, match="it is not set here"):
        remit(tmp_path, "wrap", "--name", "odd", "--agent", "bot", "--env", "NOPE_X", "--", "true")
