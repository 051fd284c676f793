"""The model API behind every gateway that is measured: Chat Completions, at once or in 100 chunks.

    python -m benchmarks.models_upstream PORT

A bare ``asyncio.Protocol``: it must outrun whatever stands before it. Each chunk is written by
itself, in a turn of the event loop of its own, as a model's tokens come.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import cast

from benchmarks.load import run_in_loop

CHUNKS = 100
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_BASE = {"id": "chatcmpl-1", "created": 1700000000, "model": "gpt-bench"}
_USAGE = {"prompt_tokens": 20, "completion_tokens": 100, "total_tokens": 120}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def whole() -> bytes:
    """A response that is not a stream."""
    message = {"role": "assistant", "content": "hello " * CHUNKS}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    said = {**_BASE, "object": "chat.completion", "choices": [choice], "usage": _USAGE}
    body = _json(said)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


def chunks() -> list[bytes]:
    """The parts of a stream, each an HTTP chunk."""
    said: list[bytes] = []

    def add(delta: object, finish: str | None = None, **more: object) -> None:
        choices = [] if more else [{"index": 0, "delta": delta, "finish_reason": finish}]
        value = {**_BASE, "object": "chat.completion.chunk", "choices": choices, **more}
        said.append(b"data: " + _json(value) + b"\n\n")

    add({"role": "assistant", "content": ""})
    for _ in range(CHUNKS):
        add({"content": "hello "})
    add({}, "stop")
    add({}, usage=_USAGE)
    said.append(b"data: [DONE]\n\n")
    return [b"%x\r\n%b\r\n" % (len(each), each) for each in said]


WHOLE, STREAM = whole(), chunks()
_BEGIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Connection(asyncio.Protocol):
    """One HTTP connection: requests in, answers out."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._received = bytearray()
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._received, 0, end + 2)
        stop = end + 4 + (int(length[1]) if length else 0)
        if len(self._received) < stop:
            return
        streams = b'"stream":true' in self._received[end:stop].replace(b" ", b"")
        del self._received[:stop]
        if not streams:
            self._transport.write(WHOLE)
            return
        self._transport.write(_BEGIN)
        self._next(0)

    def _next(self, number: int) -> None:
        if self._transport.is_closing():
            return
        if number == len(STREAM):
            self._transport.write(b"0\r\n\r\n")
            return
        self._transport.write(STREAM[number])
        self._loop.call_soon(self._next, number + 1)


async def serve(port: int) -> None:
    """Listen until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", port, backlog=256)
    await server.serve_forever()


if __name__ == "__main__":
    run_in_loop(serve(int(sys.argv[1])))
