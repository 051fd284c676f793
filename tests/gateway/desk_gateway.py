"""A server of Remit before the desk server, at a URL or as a command, and requests to it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from desk_log import remit

HERE = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, folder: Path, log: str) -> Iterator[None]:
    with (folder / log).open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=output,
            stderr=output,
            env={**os.environ, "DESK_KEY": "upstream-secret", "DESK_TOKEN": "child-secret"},
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / log).read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@dataclass(frozen=True)
class Gateway:
    """A running server, and keys of two agents."""

    folder: Path
    port: int
    keys: dict[str, str]
    kind: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp/desk"


@contextmanager
def gateway_of(folder: Path, kind: str, more: str = "") -> Iterator[Gateway]:
    """Run it; ``more`` are lines of its ``[[mcp]]``."""
    port, upstream = free_port(), free_port()
    shutil.copy(HERE / "desk.yaml", folder / "remit.yaml")
    desk = [sys.executable, str(HERE / "desk_server.py")]
    place = f'url = "http://127.0.0.1:{upstream}/mcp"\nsecret_headers = {{X-Key = "DESK_KEY"}}'
    if kind == "command":
        place = f'command = {json.dumps(desk)}\nsecret_env = {{TOKEN = "DESK_TOKEN"}}'
    (folder / "remit.toml").write_text(
        f'[server]\nlisten = ["127.0.0.1:{port}"]\nsocket = ""\ndrain = "2s"\n\n'
        f'[[mcp]]\nname = "desk"\nhold = "0s"\n{place}\n{more}\n'
    )
    keys = {
        agent: json.loads(remit(folder, "agents", "add", agent, "--json"))["key"]
        for agent in ("inventory-bot", "report-bot")
    }
    with (
        running([*desk, str(upstream)], upstream, folder, "upstream.log"),
        running([sys.executable, "-m", "remit", "serve"], port, folder, "gateway.log"),
    ):
        yield Gateway(folder, port, keys, kind)


def raw(
    gateway: Gateway,
    body: Any = None,
    method: str = "POST",
    agent: str | None = "inventory-bot",
    path: str = "/mcp/desk",
    **headers: str,
) -> tuple[int, dict[str, str], Any]:
    """One request as it is: status, headers, JSON body."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if agent is not None:
        sent["Authorization"] = f"Bearer {gateway.keys[agent]}"
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    try:
        connection.request(method, path, data, sent)
        response = connection.getresponse()
        text = response.read()
        found = {name.lower(): value for name, value in response.getheaders()}
    finally:
        connection.close()
    if "text/event-stream" in found.get("content-type", ""):
        text = [line[5:] for line in text.splitlines() if line.startswith(b"data:")][-1]
    return response.status, found, json.loads(text) if text else None


HELLO = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    },
}
