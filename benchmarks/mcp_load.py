"""Clients of an MCP server over Streamable HTTP, as thin as they can be, in a process of their own.

    python -m benchmarks.mcp_load URL CLIENTS SECONDS [NAME:VALUE ...]

Each client has a connection and a session of its own, and makes one ``tools/call`` after the
other; headers may be given. Prints one line of JSON: calls, seconds, p50 and p99 in milliseconds.
Any answer that is not the expected text ends the run: a fast refusal must not look like speed.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from array import array
from urllib.parse import urlsplit

from benchmarks.connection import Connection
from benchmarks.load import percentile, run_in_loop

TEXT = b"hello world"
CALL = (
    b'{"jsonrpc":"2.0","id":%d,"method":"tools/call",'
    b'"params":{"name":"echo","arguments":{"text":"' + TEXT + b'"}}}'
)
INITIALIZE = (
    b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18",'
    b'"capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}'
)
INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
WARM_UP = 0.3
"""Seconds before calls count."""

_SESSION = re.compile(rb"\r\nmcp-session-id: *([^\r]+)\r\n", re.IGNORECASE)


class Client:
    """One client: its connection, and what its requests begin with."""

    def __init__(self, url: str, headers: list[str]) -> None:
        parts = urlsplit(url)
        self._place = (str(parts.hostname), int(parts.port or 80))
        lines = [
            f"POST {parts.path} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            *headers,
        ]
        self._head = "".join(f"{line}\r\n" for line in lines).encode()
        self._connection = Connection()
        self._calls = 0

    async def end(self) -> None:
        """End the session, and what the gateway started for it."""
        if b"Mcp-Session-Id" in self._head:
            head = self._head.replace(b"POST ", b"DELETE ", 1)
            await self._connection.send(b"%bContent-Length: 0\r\n\r\n" % head)

    def _request(self, body: bytes) -> bytes:
        return b"%bContent-Length: %d\r\n\r\n%b" % (self._head, len(body), body)

    async def start(self) -> None:
        """Connect, and open a session."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self._connection, *self._place)
        head, body = await self._connection.send(self._request(INITIALIZE))
        if b" 200 " not in head[:16]:
            raise RuntimeError(f"initialize: {head!r} {body!r}")
        self._head += b"MCP-Protocol-Version: 2025-06-18\r\n"
        if session := _SESSION.search(head):
            self._head += b"Mcp-Session-Id: %b\r\n" % session[1]
        await self._connection.send(self._request(INITIALIZED))

    async def call(self) -> None:
        """Call the tool once.

        Raises:
            RuntimeError: the answer is not the tool's.
        """
        self._calls += 1
        head, body = await self._connection.send(self._request(CALL % self._calls))
        if b" 200 " not in head[:16] or TEXT not in body or b'"isError":true' in body:
            raise RuntimeError(f"tools/call: {head!r} {body!r}")


async def run(url: str, clients: int, seconds: float, headers: list[str]) -> dict[str, float]:
    """Load the URL."""
    everyone = [Client(url, headers) for _ in range(clients)]
    for client in everyone:
        await client.start()
    spent = array("d")
    clock = time.perf_counter
    counted = clock() + WARM_UP
    end = counted + seconds

    async def work(client: Client) -> None:
        while (begun := clock()) < end:
            await client.call()
            if (ended := clock()) >= counted:
                spent.append(ended - begun)

    await asyncio.gather(*map(work, everyone))
    elapsed = clock() - counted
    for client in everyone:
        await client.end()
    return {
        "calls": len(spent),
        "rate": len(spent) / elapsed,
        "p50": percentile(spent, 0.5),
        "p99": percentile(spent, 0.99),
        "all": sum(client._calls for client in everyone),
    }


if __name__ == "__main__":
    url, clients, seconds, *headers = sys.argv[1:]
    print(json.dumps(run_in_loop(run(url, int(clients), float(seconds), headers))))
