"""The first bytes of a connection to the forward proxy, and how it changes hands.

Anything but CONNECT goes to the HTTP library from its first byte on. CONNECT is read here, because
what follows it is no HTTP of this connection: it is decided on, answered, and the connection is
given to whoever carries on (a tunnel, or TLS that is looked into).
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, cast

from aiohttp.web import RequestHandler

from remit.protocols.http_connect import MAX_HEAD, ConnectRequest, read_connect
from remit.protocols.http_target import HttpFault

_CONNECT = b"CONNECT "
_PREFACE = b"PRI * HTTP/2.0"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
REASONS = {
    400: "Bad Request",
    403: "Forbidden",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}


async def first_byte(transport: asyncio.Transport, patience: float) -> bytes:
    """The first byte that a client sends next, left where it is; nothing if none comes in time.

    TLS is taken up by the event loop, which has to get all of it: so nothing may be read before.
    """
    original = transport.get_extra_info("socket")
    loop = asyncio.get_running_loop()
    try:
        looking = socket.fromfd(original.fileno(), original.family, socket.SOCK_STREAM)
    except OSError:
        return b""
    with looking:
        arrived = loop.create_future()
        loop.add_reader(looking.fileno(), _arrived, arrived)
        try:
            async with asyncio.timeout(patience):
                await arrived
            return looking.recv(1, socket.MSG_PEEK)
        except (OSError, TimeoutError):
            return b""
        finally:
            loop.remove_reader(looking.fileno())


def _arrived(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class FrontDesk(Protocol):
    """Who takes connections over."""

    def http(self) -> RequestHandler:
        """A protocol object for one connection with plain HTTP."""
        ...

    async def connect(self, asked: ConnectRequest, front: FrontConnection) -> None:
        """Decide on a CONNECT, answer it, and carry on with the connection."""
        ...

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that ends with the proxy."""
        ...


class FrontConnection(asyncio.Protocol):
    """One connection of a client, until it is known what it is."""

    def __init__(self, desk: FrontDesk, patience: float, opened: Callable[[int], bool]) -> None:
        """Wait for the connection.

        Args:
            desk: takes it over.
            patience: seconds that the client has to say what it wants.
            opened: is told of connections that come (1) and go (-1); False: there are too many.
        """
        self._desk = desk
        self._patience = patience
        self._opened = opened
        self._head = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is here."""
        self.transport = cast(asyncio.Transport, transport)
        if not self._opened(1):
            self.refuse(503, "too-many-connections", "The proxy has as many as it takes.")
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._patience, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone before anybody took the connection over."""
        self._opened(-1)
        self._stop_timer()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """More of the first bytes."""
        self._head += data
        if self.transport.is_closing():
            return
        if self._task is not None:  # the client goes on before it was answered
            self.refuse(400, "too-early", "Wait for the answer to CONNECT before sending more.")
            self._task.cancel()
            return
        if bytes(self._head[:8]) != _CONNECT[: len(self._head)]:
            self._hand_over()
            return
        end = self._head.find(b"\r\n\r\n") + 4
        if end > 3 and end <= MAX_HEAD:
            self._stop_timer()
            self._connect(bytes(self._head[:end]), len(self._head) > end)
        elif len(self._head) > MAX_HEAD:
            self.refuse(431, "head-too-large", "The head of the request is too large.")

    def release(self) -> None:
        """Somebody else has the connection from now on, and counts it until it ends."""
        self._stop_timer()
        self._task = None

    def refuse(
        self, status: int, code: str, detail: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Say why not, and close."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        told = {
            "type": f"urn:remit:problem:{code}",
            "title": REASONS[status],
            "status": status,
            "detail": detail,
            "code": code,
        }
        body = json.dumps(told).encode()
        lines = [
            f"HTTP/1.1 {status} {REASONS[status]}",
            "Content-Type: application/problem+json",
            f"Content-Length: {len(body)}",
            "Connection: close",
            f"X-Remit-Problem: {code}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        self.transport.close()

    def _connect(self, head: bytes, early: bool) -> None:
        try:
            asked = read_connect(head)
        except HttpFault as fault:
            self.refuse(fault.status, fault.code, fault.message)
            return
        if early:
            self.refuse(400, "too-early", "Wait for the answer to CONNECT before sending more.")
            return
        self._task = self._desk.begin(self._desk.connect(asked, self))

    def _hand_over(self) -> None:
        self._stop_timer()
        if self._head.startswith(_PREFACE[: len(self._head)]) and len(self._head) >= 3:
            self.refuse(505, "http-version", "HTTP/2 without TLS is not let through.")
            return
        if len(self._head) < 3 and _PREFACE.startswith(bytes(self._head)):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._patience, self._too_slow)
            return
        handler = self._desk.http()
        self.transport.set_protocol(handler)
        handler.connection_made(self.transport)
        handler.data_received(bytes(self._head))

    def _too_slow(self) -> None:
        self.refuse(408, "timed-out", "The request did not arrive in time.")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
