"""The blocks of docs/mcp.md, run."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from desk_log import outcomes

from mcp import Client, StdioServerParameters
from remit.config import parse_config
from remit.config.mcp import with_mcp_secrets
from remit.errors import ConfigError

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "mcp.md").read_text(encoding="utf-8")


def block(kind: str) -> str:
    [found] = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


async def test_the_policy_governs_the_command(tmp_path: Path) -> None:
    (tmp_path / "remit.yaml").write_text(block("yaml"))
    shutil.copy(HERE / "desk_server.py", tmp_path)
    entry = json.loads(block("json"))["mcpServers"]["desk"]
    assert entry["command"] == "remit"
    arguments = [sys.executable if each == "python" else each for each in entry["args"]]
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "remit", *arguments],
        cwd=tmp_path,
        env=dict(os.environ),
    )

    def said(result: Any) -> str:
        return "".join(each.text for each in result.content)

    async with asyncio.timeout(60), Client(server) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {"echo", "pay", "account"} <= names
        assert said(await client.call_tool("pay", {"amount": 5})) == "paid 5"
        assert "go through the bank" in said(await client.call_tool("pay", {"amount": 5000}))
        assert "hunter2" not in str(await client.call_tool("account", {"name": "ada"}))
        inside = await client.read_resource("desk://drawer/top")
        assert inside.contents[0].text == "inside top"
    assert outcomes(tmp_path, "desk.pay") == ["ok"]


def test_the_configuration_is_one(tmp_path: Path) -> None:
    config = parse_config(block("toml"), "remit.toml", tmp_path)
    secrets = {"DESK_AUTHORIZATION": "Bearer x", "FILES_TOKEN": "y"}
    desk, files = with_mcp_secrets(config.mcp, secrets.get)
    assert desk.headers == {"Authorization": "Bearer x"}
    assert files.env == {"LOG_LEVEL": "info", "FILES_TOKEN": "y"}
    with pytest.raises(ConfigError, match="DESK_AUTHORIZATION, which is not set"):
        with_mcp_secrets(config.mcp, {}.get)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('name = "a"', "give it a url, or a command"),
        ('name = "a"\nurl = "https://x.corp.com"\ncommand = ["x"]', "give it a url, or a command"),
        ('name = "A"\ncommand = ["x"]', "name"),
        ('name = "a"\nurl = "ftp://x"', "is no URL"),
        ('name = "a"\nurl = "https://u:p@x.corp.com"', "keep credentials out"),
        ('name = "a"\nurl = "http://x.corp.com"', "in the clear"),
        ('name = "a"\nurl = "https://x"\nheaders = {Host = "y"}', "cannot be set as a header"),
        ('name = "a"\ncommand = ["x"]\nhold = "2h"', "hold must be"),
        ('name = "a"\ncommand = ["x"]\nmax_message = "1B"', "max_message must be"),
        ('name = "a"\ncommand = ["x"]\nsession_idle = "10ms"', "session_idle must be"),
        ('name = "a"\ncommand = ["x"]\ntypo = 1', "there is no such setting"),
    ],
)
def test_what_cannot_work_is_said(tmp_path: Path, lines: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(f"[[mcp]]\n{lines}\n", "remit.toml", tmp_path)


def test_secrets_and_names_that_cannot_be(tmp_path: Path) -> None:
    twice = '[[mcp]]\nname = "a"\ncommand = ["x"]\n' * 2
    config = parse_config(twice, "remit.toml", tmp_path)
    with pytest.raises(ConfigError, match="two servers are called a"):
        with_mcp_secrets(config.mcp, {}.get)
    text = '[[mcp]]\nname = "a"\ncommand = ["x"]\nsecret_env = {K = "K"}\n'
    config = parse_config(text, "remit.toml", tmp_path)
    with pytest.raises(ConfigError, match="has a line break"):
        with_mcp_secrets(config.mcp, {"K": "a\nb"}.get)
