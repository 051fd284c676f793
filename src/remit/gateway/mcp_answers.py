"""How an HTTP request of an MCP client is answered: with one message, or with a stream of events.

Which of the two is left open for as long as can be. A single message needs one write; a stream is
begun when there is something to say before the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp.web import BaseRequest, Response, StreamResponse

from remit.gateway.mcp_calls import WaitNotice
from remit.protocols import mcp
from remit.protocols.mcp import MessageId
from remit.protocols.sse import encode_event

JSON_MEDIA = "application/json"
SSE_MEDIA = "text/event-stream"
KEEPALIVE = b": waiting\n\n"
"""A comment: it tells those in between that the stream is alive, and its reader nothing."""
_SSE_HEADERS = {
    "Content-Type": SSE_MEDIA,
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
_WRITE_TIME = 60.0
"""Seconds that a client may leave what it is sent unread."""


class ClientGone(ConnectionResetError):  # noqa: N818 - what happened
    """The client is not there any more, or does not read."""


class HttpAnswer:
    """The answer to one request, as far as it has got."""

    def __init__(self, request: BaseRequest) -> None:
        self._request = request
        self._stream: StreamResponse | None = None
        self._notices: set[asyncio.Task[None]] = set()
        self.headers: dict[str, str] = {}
        """To be sent along."""

    @property
    def takes_events(self) -> bool:
        """Whether the client reads streams of events."""
        accept = self._request.headers.get("Accept", "").lower()
        return SSE_MEDIA in accept or "text/*" in accept or "*/*" in accept

    @property
    def begun(self) -> bool:
        """Whether a stream of events was begun."""
        return self._stream is not None

    async def event(self, data: bytes) -> None:
        """Send an event, and begin a stream if there is none.

        Raises:
            ClientGone: nobody reads it.
        """
        try:
            if self._stream is None:
                stream = StreamResponse(headers={**_SSE_HEADERS, **self.headers})
                self._stream = stream
                await stream.prepare(self._request)
            async with asyncio.timeout(_WRITE_TIME):
                await self._stream.write(data)
        except (TimeoutError, ConnectionError) as error:
            raise ClientGone("the client does not read") from error

    async def message(self, data: bytes, status: int = 200) -> StreamResponse:
        """Answer with a message, and end it.

        Raises:
            ClientGone: nobody reads it.
        """
        if self._stream is not None:
            await self.event(encode_event(data, "message"))
            return await self.end()
        return Response(
            body=data, status=status, headers={"Content-Type": JSON_MEDIA, **self.headers}
        )

    async def last_event(self, data: bytes) -> StreamResponse:
        """Answer with an event that is the last, or the only one.

        Raises:
            ClientGone: nobody reads it.
        """
        if self._stream is not None:
            await self.event(data)
            return await self.end()
        return Response(body=data, headers={**_SSE_HEADERS, **self.headers})

    async def end(self) -> StreamResponse:
        """End what was begun.

        Raises:
            ClientGone: nobody reads it.
        """
        stream = self._stream
        if stream is None:
            return Response(status=202, headers=self.headers)
        try:
            await stream.write_eof()
        except ConnectionError as error:
            raise ClientGone("the client does not read") from error
        return stream

    def notice(self, token: MessageId | None) -> WaitNotice | None:
        """How to tell the client that its request waits: by progress, if it gave a token."""
        if not self.takes_events:
            return None
        count = 0

        def tell(told: str) -> None:
            nonlocal count
            count += 1
            data = KEEPALIVE
            if token is not None:
                data = encode_event(mcp.progress_notice(token, count, told), "message")
            task = asyncio.ensure_future(self._told(data))
            self._notices.add(task)
            task.add_done_callback(self._notices.discard)

        return WaitNotice(tell)

    async def _told(self, data: bytes) -> None:
        try:
            await self.event(data)
        except ClientGone:
            self._notices.clear()


def refusal(data: bytes, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that is no result."""
    return Response(
        body=data, status=status, headers={"Content-Type": JSON_MEDIA, **(headers or {})}
    )
