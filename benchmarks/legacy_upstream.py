"""The server behind the reverse proxies that are measured: one small answer to everything.

python -m benchmarks.legacy_upstream PORT
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import cast

from benchmarks.load import run_in_loop

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
BODY = json.dumps(
    {"id": 7, "name": "Pallet", "stock": 120, "price": 14.5, "places": ["A1", "B7"], "ok": True}
).encode()
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
) + BODY


class Connection(asyncio.Protocol):
    """One HTTP connection: requests in, answers out."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._received, 0, end + 2)
            stop = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < stop:
                return
            del self._received[:stop]
            self._transport.write(ANSWER)


async def serve(port: int) -> None:
    """Listen until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", port, backlog=256)
    await server.serve_forever()


if __name__ == "__main__":
    run_in_loop(serve(int(sys.argv[1])))
