"""HTTP requests to one place over aiohttp's pool of connections, and as little else as can be.

A gateway needs no cookies, redirects, proxies or encodings of bodies, and passes headers on as they
are. ``aiohttp.ClientSession`` works all that out anew for each request, at twice the cost of the
rest of it. Connections, TLS, time-outs and the reading of answers are aiohttp's own.
"""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.http import HttpProcessingError, StreamWriter
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

_SMALL = 65_536
"""Bytes that are written without waiting until the other side has read some of them."""
_BUFFER = 2**18


class LeanAnswer:
    """The head of an answer, and its body as it comes. To be closed."""

    __slots__ = ("_connection", "_sending", "content", "headers", "host", "status")

    def __init__(
        self,
        status: int,
        headers: CIMultiDictProxy[str],
        content: aiohttp.StreamReader,
        host: str,
    ) -> None:
        self.status = status
        self.headers = headers
        self.content = content
        """Raises what ``LeanClient.send`` does where the rest does not come."""
        self.host = host
        self._connection: aiohttp.connector.Connection | None = None
        self._sending: asyncio.Task[None] | None = None

    @property
    def content_type(self) -> str:
        """The media type, without parameters, in lower case."""
        given = self.headers.get("Content-Type", "application/octet-stream")
        return given.partition(";")[0].strip().lower()

    async def read(self) -> bytes:
        """The whole body."""
        return await self.content.read()

    def close(self) -> None:
        """Let go of the connection; where not all of the answer was read, it ends."""
        if self._sending is not None:
            self._sending.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def release(self) -> None:
        """Give the connection back, if all of the answer came; else it ends."""
        self._ended()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def hold(
        self, connection: aiohttp.connector.Connection, sending: asyncio.Task[None] | None
    ) -> None:
        """Keep the connection until all was read, and what still sends the request."""
        self._connection = connection
        self._sending = sending
        self.content.on_eof(self._ended)

    def _ended(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._sending is not None and not self._sending.done():
            self._sending.cancel()
            connection.close()  # it answered before it had read the request
        else:
            connection.release()


class LeanClient:
    """Sends requests to one place."""

    def __init__(
        self,
        place: str,
        *,
        connections: int,
        connect: float | None,
        silence: float | None,
        keep_alive: float,
        tls: ssl.SSLContext | bool = True,
        decompress: bool = False,
    ) -> None:
        """Get ready; nothing is connected yet. Must be made in the event loop.

        Args:
            place: scheme, host and port, with or without a path.
            connections: most that are open at once; 0: any number.
            connect: seconds in which one must be made.
            silence: seconds that may pass without a byte of an answer.
            keep_alive: seconds that an idle connection is kept.
            tls: the context for ``https``; True: the usual one.
            decompress: whether bodies that came encoded are given decoded.
        """
        self._timeout = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=connect)
        self._silence = silence
        self._decompress = decompress
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=connections,
                ssl=tls,
                keepalive_timeout=keep_alive,
                ttl_dns_cache=60,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        loop = asyncio.get_running_loop()
        self._there = ClientRequest(
            "GET",
            URL(place),
            loop=loop,
            response_class=aiohttp.ClientResponse,
            session=self._session,
        )
        """Says to the pool where connections go."""
        self._loop = loop
        self._host = self._there.headers["Host"]

    async def send(
        self,
        method: str,
        path: str,
        headers: CIMultiDict[str],
        body: bytes | None,
        *,
        patient: bool = False,
    ) -> LeanAnswer:
        """Send a request; its answer once the head of that is there.

        Args:
            method: of HTTP.
            path: with its query, as it is to be sent.
            headers: to send, ``Host`` and ``Content-Length`` being added.
            body: to send, if any.
            patient: whether the other side may stay silent for as long as it likes.

        Raises:
            aiohttp.ClientConnectorError: it did not leave. So ``ConnectionTimeoutError``.
            aiohttp.ClientError: it may have arrived. So ``OSError`` and ``TimeoutError``.
            ValueError: a header cannot be sent.
        """
        connection = await self._connected()
        sending: asyncio.Task[None] | None = None
        try:
            protocol = connection.protocol
            assert protocol is not None
            protocol.set_response_params(
                skip_payload=method == "HEAD",
                read_until_eof=True,
                auto_decompress=self._decompress,
                read_timeout=None if patient else self._silence,
                read_bufsize=_BUFFER,
            )
            writer = StreamWriter(protocol, self._loop)
            headers["Host"] = self._host
            if body is not None:
                headers["Content-Length"] = str(len(body))
            await writer.write_headers(f"{method} {path} HTTP/1.1", headers)
            if body is not None and len(body) > _SMALL:
                sending = asyncio.ensure_future(_written(writer, body))
            else:
                await writer.write_eof(body or b"")
            protocol.start_timeout()
            while True:
                message, content = await protocol.read()
                if not 100 <= message.code <= 199 or message.code == 101:
                    break
        except BaseException as error:
            if sending is not None:
                sending.cancel()
            connection.close()
            if isinstance(error, HttpProcessingError):
                raise aiohttp.ClientPayloadError("the answer is not HTTP") from None
            raise
        answer = LeanAnswer(message.code, message.headers, content, self._host)
        answer.hold(connection, sending)
        return answer

    async def _connected(self) -> aiohttp.connector.Connection:
        connector = self._session.connector
        if connector is None:
            raise aiohttp.ClientConnectionError("the client is closed")
        try:
            return await connector.connect(self._there, traces=[], timeout=self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError("no connection in time") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


async def _written(writer: StreamWriter, body: bytes) -> None:
    """Write a large body; where that fails, reading the answer tells."""
    try:
        await writer.write_eof(body)
    except (aiohttp.ClientError, OSError):
        return
