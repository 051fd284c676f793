"""The client's end of an HTTP connection, as thin as it can be: it is not what is measured."""

from __future__ import annotations

import asyncio
import re
import time
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One kept connection with one request under way at a time."""

    def __init__(self, first: bytes = b"") -> None:
        """Prepare.

        Args:
            first: what an answer's first text looks like, whose coming is timed.
        """
        self._wanted = first
        self._received = bytearray()
        self._waiting: asyncio.Future[tuple[bytes, bytes]] | None = None
        self.first = 0.0
        """When the first text of the answer came (``time.perf_counter``)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self.first and self._wanted in data:
            self.first = time.perf_counter()
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._received, 0, end + 2)
        if length is None and _CHUNKED.search(self._received, 0, end + 2):
            if not self._received.endswith(b"\r\n0\r\n\r\n"):
                return
            stop = len(self._received)
        else:
            stop = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < stop:
                return
        answer = bytes(self._received[: end + 4]), bytes(self._received[end + 4 : stop])
        del self._received[:stop]
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError("the gateway went away"))

    async def send(self, request: bytes) -> tuple[bytes, bytes]:
        """Head and body of the response."""
        self._waiting = asyncio.get_running_loop().create_future()
        self.first = 0.0
        self._transport.write(request)
        return await self._waiting
