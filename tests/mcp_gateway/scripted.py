"""A scripted MCP server that keeps whatever reaches it, byte for byte.

    python scripted.py http PORT JOURNAL
    python scripted.py stdio JOURNAL

It is as lenient as the worst server: it runs batches, takes the last of duplicate keys, checks no
header. Tools: any name; the answer says which ran, with its arguments. The journal is what counts:
one line of JSON for each request (``head`` and ``body``, bytes as Latin-1; ``connection``).
Some tools do more: ``leak`` answers with a key of a made-up format, ``slow`` waits for a second.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
from pathlib import Path
from typing import Any, cast

TOOLS = ("safe", "danger", "leak", "slow", "careful")
LEAKED = "the token is AKIAIOSFODNN7EXAMPLE"
RESOURCE = "test://notes"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_sessions = itertools.count(1)
_connections = itertools.count(1)


def listing() -> dict[str, Any]:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    return {"tools": [{"name": name, "inputSchema": schema} for name in TOOLS]}


def result(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a method; None when it is not known."""
    if method == "tools/call":
        name, arguments = params.get("name"), params.get("arguments")
        text = LEAKED if name == "leak" else f"ran {name} with {json.dumps(arguments)}"
        return {"content": [{"type": "text", "text": text}], "isError": False}
    if method == "initialize":
        return {
            "protocolVersion": params.get("protocolVersion", "2025-11-25"),
            "capabilities": {"tools": {}, "resources": {}, "prompts": {}},
            "serverInfo": {"name": "scripted", "version": "1"},
        }
    if method == "resources/read":
        return {"contents": [{"uri": params.get("uri"), "text": "notes"}]}
    known: dict[str, dict[str, Any]] = {
        "tools/list": listing(),
        "resources/list": {"resources": [{"uri": RESOURCE, "name": "notes"}]},
        "prompts/list": {"prompts": []},
        "server/discover": {
            "supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "scripted", "version": "1"},
        },
    }
    return known.get(method, {})


def answer(message: Any) -> Any:
    """The answer to a message or to each of a batch; None when there is none to give."""
    if isinstance(message, list):
        return [said for each in message if (said := answer(each)) is not None]
    if not isinstance(message, dict) or "id" not in message or "method" not in message:
        return None
    params = message.get("params")
    found = result(str(message["method"]), params if isinstance(params, dict) else {})
    return {"jsonrpc": "2.0", "id": message["id"], "result": {"resultType": "complete", **found}}


def run(body: bytes) -> tuple[Any, bool]:
    """What a body is answered with, and whether it opened a session."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None, False
    opened = isinstance(message, dict) and message.get("method") == "initialize"
    return answer(message), opened


class Journal:
    """What reached the server."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("a", encoding="ascii")  # noqa: SIM115

    def write(self, head: bytes, body: bytes, connection: int) -> None:
        entry = {"head": head.decode("latin-1"), "body": body.decode("latin-1")}
        self._file.write(json.dumps({**entry, "connection": connection}) + "\n")
        self._file.flush()


class Connection(asyncio.Protocol):
    """One HTTP connection."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._number = next(_connections)
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (request := self._request()) is not None:
            head, body = request
            self._journal.write(head, body, self._number)
            self._respond(head, body)

    def _request(self) -> tuple[bytes, bytes] | None:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head, start = bytes(self._received[: end + 2]), end + 4
        if _CHUNKED.search(head):
            last = self._received.find(b"0\r\n\r\n", start)
            if last < 0:
                return None
            body, stop = _unchunked(bytes(self._received[start:last])), last + 5
        else:
            length = _LENGTH.search(head)
            stop = start + (int(length[1]) if length else 0)
            if len(self._received) < stop:
                return None
            body = bytes(self._received[start:stop])
        del self._received[:stop]
        return head, body

    def _respond(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"DELETE"):
            self._send(b"200 OK", b"")
        elif not head.startswith(b"POST"):
            self._send(b"405 Method Not Allowed", b"")
        else:
            said, opened = run(body)
            session = b"Mcp-Session-Id: upstream-%d\r\n" % next(_sessions) if opened else b""
            if said is None:
                self._send(b"202 Accepted", b"")
                return
            wait = 1.0 if b'"slow"' in body else 0.0
            text = json.dumps(said).encode()
            kind = b"Content-Type: application/json\r\n" + session
            asyncio.get_running_loop().call_later(wait, self._send, b"200 OK", text, kind)

    def _send(self, status: bytes, body: bytes, headers: bytes = b"") -> None:
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        self._transport.write(b"HTTP/1.1 " + status + b"\r\n" + headers + length + body)


def _unchunked(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        parts.append(rest[:length])
        body = rest[length + 2 :]
    return b"".join(parts)


async def http(port: int, journal: Journal) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(journal), "127.0.0.1", port)
    await server.serve_forever()


def stdio(journal: Journal) -> None:
    for line in sys.stdin.buffer:
        journal.write(b"", line, 1)
        said, _ = run(line)
        if said is not None:
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1] == "http":
        asyncio.run(http(int(sys.argv[2]), Journal(sys.argv[3])))
    else:
        stdio(Journal(sys.argv[2]))
