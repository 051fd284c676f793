"""A real ``remit serve`` with an MCP gateway, and a real ``remit wrap``, for tests."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import START, remit, running
from readings import folded

AGENT = "inventory-bot"


@dataclass(frozen=True)
class Server:
    """A running server: its address, and where its files are."""

    url: str
    folder: Path

    def mcp(self, name: str) -> str:
        """The URL of an MCP server behind it."""
        return f"{self.url}/mcp/{name}"


def add_key(folder: Path, name: str, *options: str) -> str:
    """Make a key; its text."""
    key: str = json.loads(remit(folder, "agents", "add", name, *options, "--json"))["key"]
    return key


@contextmanager
def serving(folder: Path, policy: str, servers: str) -> Iterator[Server]:
    """Run ``remit serve``; ``servers`` are the ``[[mcp]]`` tables of its configuration."""
    (folder / "remit.yaml").write_text(policy, encoding="utf-8")
    config = '[server]\nlisten = ["127.0.0.1:0"]\nsocket = ""\ndrain = "1s"\n\n'
    (folder / "remit.toml").write_text(config + servers, encoding="utf-8")
    log = folder / "server.log"
    with running([sys.executable, "-m", "remit", "serve"], log, cwd=folder) as process:
        deadline = time.monotonic() + START
        while not (url := _address(log)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server does not listen:\n{log.read_text()}")
            time.sleep(0.02)
        yield Server(url, folder)


def _address(log: Path) -> str:
    for line in log.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n") and b'"listening"' in line:
            url: str = json.loads(line)["urls"][0]
            return url
    return ""


def table(name: str, *, command: Sequence[str] = (), url: str = "", **more: object) -> str:
    """A ``[[mcp]]`` table."""
    settings: dict[str, object] = {"name": name, **more}
    settings |= {"command": list(command)} if command else {"url": url}
    lines = (f"{key} = {_toml(value)}\n" for key, value in settings.items())
    return "[[mcp]]\n" + "".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {json.dumps(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


def wrap_command(name: str, command: Sequence[str], *options: str) -> list[str]:
    """``remit wrap`` before a server's command."""
    wrap = [sys.executable, "-m", "remit", "wrap", "--name", name, "--agent", AGENT, *options]
    return [*wrap, "--", *command]


def verified(folder: Path) -> dict[str, int]:
    """Export the log of a folder and verify it with the CLI; how many records of each kind."""
    remit(folder, "audit", "export", "-o", "log.jsonl")
    key = remit(folder, "audit", "vkey").strip()
    report = json.loads(remit(folder, "audit", "verify", "log.jsonl", "--vkey", key, "--json"))
    counts: dict[str, int] = report["counts"]
    return counts


def granted_tools(folder: Path) -> list[str]:
    """The tools (folded, without their server) of all calls that the log says were granted."""
    remit(folder, "audit", "export", "-o", "granted.jsonl")
    lines = (folder / "granted.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines if line.startswith('{"a')]
    decisions = [each for each in records if each["kind"] == "decision" and each["granted"]]
    return [folded(each["tool"].partition(".")[2]) for each in decisions]
