"""Bytes sent as they are: over HTTP by the standard library's client, over pipes by the line."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 10.0
"""Seconds within which everything must be answered: a hang is a fault."""
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "raw", "version": "1"},
    },
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def message(self) -> Any:
        """The JSON-RPC message in it, be it JSON or the last event of a stream."""
        if "text/event-stream" in self.headers.get("content-type", ""):
            events = [line for line in self.body.splitlines() if line.startswith(b"data:")]
            return json.loads(events[-1].removeprefix(b"data:"))
        return json.loads(self.body)


class RawClient:
    """One client of an MCP server over HTTP."""

    def __init__(self, url: str, key: str = "") -> None:
        parts = urlsplit(url)
        self._place, self._path = (str(parts.hostname), int(parts.port or 80)), parts.path
        self.headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        if key:
            self.headers["Authorization"] = f"Bearer {key}"

    def send(self, body: bytes, headers: Mapping[str, str] = {}, method: str = "POST") -> Answer:
        """Send a body; an empty header is left out."""
        connection = http.client.HTTPConnection(*self._place, timeout=TIMEOUT)
        merged = {name: value for name, value in {**self.headers, **headers}.items() if value}
        try:
            connection.request(method, self._path, body, merged)
            response = connection.getresponse()
            seen = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, seen, response.read())
        finally:
            connection.close()

    def ask(self, message: Any, headers: Mapping[str, str] = {}) -> Answer:
        """Send a message."""
        return self.send(json.dumps(message).encode(), headers)

    def open(self) -> RawClient:
        """Initialize; later requests carry the session."""
        answer = self.ask(INITIALIZE)
        assert answer.status == 200, answer
        self.headers["MCP-Protocol-Version"] = "2025-11-25"
        if session := answer.headers.get("mcp-session-id"):
            self.headers["Mcp-Session-Id"] = session
        assert self.ask(INITIALIZED).status in (200, 202)
        return self

    def call(self, tool: str, arguments: Any, identifier: int = 1, **params: Any) -> Answer:
        """Call a tool."""
        params = {"name": tool, "arguments": arguments, **params}
        message = {"jsonrpc": "2.0", "id": identifier, "method": "tools/call", "params": params}
        return self.ask(message)


class RawPipe:
    """One client of an MCP server over stdio."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._lines: Queue[bytes] = Queue()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def close(self) -> None:
        """End the input; the process has to end with it.

        Raises:
            subprocess.TimeoutExpired: it did not, and was killed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join(20)
            self._process.stdout.close()

    def send(self, line: bytes) -> None:
        """Write a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()

    def ask(self, message: dict[str, Any]) -> Any:
        """Send a request, and wait for the answer of its id.

        Raises:
            AssertionError: none came in time.
        """
        self.send(json.dumps(message).encode())
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                said = json.loads(self._lines.get(timeout=max(0.0, deadline - time.monotonic())))
            except Empty:
                raise AssertionError(f"no answer to {message}") from None
            if isinstance(said, dict) and said.get("id") == message["id"]:
                return said

    def open(self) -> RawPipe:
        """Initialize."""
        self.ask(INITIALIZE)
        self.send(json.dumps(INITIALIZED).encode())
        return self


@contextmanager
def piped(command: Sequence[str], folder: Path) -> Iterator[RawPipe]:
    """A client of a command that speaks over its pipes."""
    with (folder / "stderr.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
    pipe = RawPipe(process)
    try:
        yield pipe
    finally:
        pipe.close()
