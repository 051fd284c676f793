"""A tunnel that nobody looks into: bytes of a client and of a server, passed on as they are.

What the client sends first must be TLS that asks for the very host that was let through. HTTP
without TLS, which some clients send through CONNECT too, is no tunnel: its requests are decided one
by one. Anything else would pass unseen.
"""

from __future__ import annotations

import asyncio
import ipaddress
from time import monotonic
from typing import cast

from msgspec import Struct

from remit.errors import InvalidRequest
from remit.protocols.tls_hello import ClientHello, read_hello

_LOOK_INTERVAL = 1.0


class TunnelEnd(Struct, frozen=True, kw_only=True):
    """What came of a tunnel."""

    sent: int
    """Bytes from the client."""
    received: int
    server_name: str | None
    hidden: bool = False
    """Whether its first message carried an encrypted one (ECH): browsers always send something
    there, and the name in the clear was the right one all the same."""
    plain: bytes | None = None
    """What the client sent, which is HTTP without TLS; its end is still open."""
    problem: str | None = None
    """Why it was refused before any byte passed; None: it carried what it was opened for."""
    cut: str | None = None
    """Why it was ended before both sides had finished."""


class _Side(asyncio.Protocol):
    """One of the two ends: what comes here goes out at the other."""

    def __init__(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel
        self.other: _Side = self
        self.transport: asyncio.Transport | None = None
        self.count = 0
        self.over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True
        self.tunnel.finish()

    def data_received(self, data: bytes) -> None:
        if not self.tunnel.open:  # no server of TLS does
            self.tunnel.refuse("the server spoke first")
            return
        self.count += len(data)
        self.tunnel.heard()
        if self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        other = self.other.transport
        if other is not None and other.can_write_eof() and not other.is_closing():
            other.write_eof()
        if self.other.over or self.tunnel.half_closed(self):
            self.tunnel.finish()
        return True

    def pause_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        other = self.other.transport
        if other is not None and not other.is_closing():
            other.resume_reading()


class _ClientSide(_Side):
    """The client's end: what comes first is held back until it was looked at."""

    def __init__(self, tunnel: Tunnel) -> None:
        super().__init__(tunnel)
        self._first: bytearray | None = bytearray()

    def data_received(self, data: bytes) -> None:
        if self._first is None:
            super().data_received(data)
            return
        self._first += data
        if self.tunnel.checked(bytes(self._first)):
            first, self._first = bytes(self._first), None
            super().data_received(first)


class Tunnel:
    """One tunnel, from the answer to CONNECT to its end."""

    def __init__(self, host: str, *, patience: float, silence: float, most: float) -> None:
        """Prepare it.

        Args:
            host: that was let through, in its one spelling.
            patience: seconds for the first message of TLS.
            silence: seconds without a byte after which it ends.
            most: seconds that it may last.
        """
        self.client = _ClientSide(self)
        self.server = _Side(self)
        self.client.other, self.server.other = self.server, self.client
        self._host = host
        self._patience = patience
        self._silence = silence
        self._most = most
        self._heard = monotonic()
        self._hello: ClientHello | None = None
        self._problem: str | None = None
        self._cut: str | None = None
        self._plain: bytes | None = None
        self._ended = asyncio.Event()
        self._closing: set[_Side] = set()

    @property
    def open(self) -> bool:
        """Whether bytes may pass: TLS for the right host has begun."""
        return self._hello is not None

    def refuse(self, why: str) -> None:
        """End it before a byte has passed."""
        self._problem = self._problem or why
        self._ended.set()

    def heard(self) -> None:
        """A byte has passed."""
        self._heard = monotonic()

    def finish(self) -> None:
        """One of the ends has gone."""
        self._ended.set()

    def cut(self, why: str) -> None:
        """End it before its time."""
        self._cut = self._cut or why
        self._ended.set()

    def half_closed(self, side: _Side) -> bool:
        """Take note that a side has nothing more to say; whether that is so of both."""
        self._closing.add(side)
        return len(self._closing) == 2

    def checked(self, first: bytes) -> bool:
        """Whether what the client sends first may pass; ends the tunnel if it never may."""
        if 65 <= first[0] <= 90:  # a method of HTTP; TLS begins with 22
            self._plain = first
            self._ended.set()
            return False
        try:
            hello = read_hello(first)
            if hello is None:
                return False
            _check(hello, self._host)
        except InvalidRequest as problem:
            self.refuse(str(problem))
            return False
        self._hello = hello
        return True

    async def run(self) -> TunnelEnd:
        """Pass bytes until it is over. Both ends are connected; both are closed afterwards."""
        begun = monotonic()
        while not self._ended.is_set():
            try:
                async with asyncio.timeout(_LOOK_INTERVAL):
                    await self._ended.wait()
            except TimeoutError:
                self._look(monotonic(), begun)
        return self._closed()

    def _look(self, now: float, begun: float) -> None:
        if self._hello is None and now - begun > self._patience:
            self.refuse("no TLS came")
        elif now - self._heard > self._silence:
            self.cut("nothing was said for too long")
        elif now - begun > self._most:
            self.cut("it lasted too long")

    def _closed(self) -> TunnelEnd:
        plain = None if self.client.over else self._plain
        for side in (self.client, self.server):
            if side.transport is None or (side is self.client and plain is not None):
                continue
            if self._problem is None and self._cut is None:
                side.transport.close()  # what was written still goes out
            else:
                side.transport.abort()
        problem = self._problem
        if plain is None and self._hello is None and problem is None and self._cut is None:
            problem = "no TLS came"
        return TunnelEnd(
            sent=self.client.count,
            received=self.server.count,
            server_name=None if self._hello is None else self._hello.server_name,
            hidden=self._hello is not None and self._hello.hidden,
            plain=plain,
            problem=problem,
            cut=self._cut,
        )


def _check(hello: ClientHello, host: str) -> None:
    """Refuse a first message that asks for anybody but ``host``.

    Raises:
        InvalidRequest: it does, or might.
    """
    if hello.server_name is None:
        if _is_address(host):
            return
        raise InvalidRequest(f"TLS does not say whom it asks for (SNI); {host} was let through")
    if hello.server_name != host:
        raise InvalidRequest(f"TLS asks for {hello.server_name!a}, but {host} was let through")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
