"""The MCP server behind every gateway that is measured: one tool, ``echo``, and little work.

    python -m benchmarks.mcp_upstream http PORT
    python -m benchmarks.mcp_upstream stdio

It speaks the era of 2025-06-18 and 2025-11-25 (``initialize``, session ids); what it does not know
it answers with -32601, so that clients of the newer era fall back. The HTTP side is a bare
``asyncio.Protocol``: it must outrun whatever stands before it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
from typing import Any, cast

from benchmarks.load import run_in_loop

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_ECHO: dict[str, Any] = {
    "name": "echo",
    "description": "Echo the text back",
    "inputSchema": {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
    },
}
_sessions = itertools.count(1)


def result(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a method; None for one that is not known."""
    if method == "tools/call":
        text = str(params.get("arguments", {}).get("text", ""))
        return {"content": [{"type": "text", "text": text}], "isError": False}
    if method == "initialize":
        return {
            "protocolVersion": params.get("protocolVersion", "2025-11-25"),
            "capabilities": {"tools": {"listChanged": False}},
            "serverInfo": {"name": "bench", "version": "1"},
        }
    return {"tools/list": {"tools": [_ECHO]}, "ping": {}}.get(method)


def answer(body: bytes) -> tuple[bytes, bool]:
    """The answer to a message (empty for a notification), and whether it opened a session."""
    message = json.loads(body)
    if "id" not in message or "method" not in message:
        return b"", False
    said: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
    found = result(message["method"], message.get("params") or {})
    if found is None:
        said["error"] = {"code": -32601, "message": "Method not found"}
    else:
        said["result"] = found
    return json.dumps(said, separators=(",", ":")).encode(), message["method"] == "initialize"


class Connection(asyncio.Protocol):
    """One HTTP connection: requests in, answers out, in order."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (request := self._request()) is not None:
            self._transport.write(respond(*request))

    def _request(self) -> tuple[bytes, bytes] | None:
        """The method and body of the next request that has arrived whole."""
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return None
        start = end + 4
        if _CHUNKED.search(self._received, 0, end + 2):
            last = self._received.find(b"0\r\n\r\n", start)
            if last < 0:
                return None
            body, stop = _unchunked(bytes(self._received[start:last])), last + 5
        else:
            length = _LENGTH.search(self._received, 0, end + 2)
            stop = start + (int(length[1]) if length else 0)
            if len(self._received) < stop:
                return None
            body = bytes(self._received[start:stop])
        verb = bytes(self._received[: self._received.index(b" ")])
        del self._received[:stop]
        return verb, body


def _unchunked(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        parts.append(rest[:length])
        body = rest[length + 2 :]
    return b"".join(parts)


def respond(verb: bytes, body: bytes) -> bytes:
    """The bytes of an HTTP response."""
    if verb == b"DELETE":
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    if verb != b"POST":
        return b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"
    said, opened = answer(body)
    if not said:
        return b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
    session = b"Mcp-Session-Id: bench-%d\r\n" % next(_sessions) if opened else b""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
    return head % (session, len(said)) + said


async def serve(port: int) -> None:
    """Listen until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", port, backlog=256)
    await server.serve_forever()


def stdio() -> None:
    """Answer lines until the input ends."""
    for line in sys.stdin.buffer:
        said, _ = answer(line)
        if said:
            sys.stdout.buffer.write(said + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    if sys.argv[1] == "http":
        run_in_loop(serve(int(sys.argv[2])))
    else:
        stdio()
