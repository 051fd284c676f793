"""HTTP on the connections of the forward proxy, by the library's parser, with limits of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import StreamReader
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web import BaseRequest, RequestHandler, Response, Server, StreamResponse

from remit.api.frame import Problem
from remit.gateway.forward_exchange import Inside
from remit.gateway.http_problems import problem_for, told

_LINGER = 2.0
_MAX_LINE = 16_384
_log = logging.getLogger("remit.egress")

Answerer = Callable[[BaseRequest, Inside | None], Awaitable[StreamResponse]]


class ProxyHttp(Server):
    """Makes the protocol object of each connection, and answers what comes over it."""

    def __init__(
        self,
        answerer: Answerer,
        clock: Callable[[], int],
        *,
        patience: float,
        keepalive: float,
        gone: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            answerer: answers a request, or raises.
            clock: nanoseconds since the Unix epoch.
            patience: seconds in which the head of a request has to arrive.
            keepalive: seconds that a connection may be silent.
            gone: is told of each connection that ends.
        """
        super().__init__(
            self._answer,
            request_factory=_ProxyRequest.make,
            keepalive_timeout=keepalive,
            access_log=None,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_LINE,
            lingering_time=_LINGER,
            auto_decompress=False,
            logger=logging.getLogger("remit.http"),
        )
        self._answerer = answerer
        self._clock = clock
        self.patience = patience
        self.gone = gone
        self.active = 0
        """Requests that are being answered at this moment."""

    def __call__(self) -> RequestHandler:
        """The protocol object of one connection with plain HTTP."""
        return ProxyConnection(self, None, loop=self._loop, **self._kwargs)

    def inside(self, inside: Inside) -> RequestHandler:
        """The protocol object of a connection that came out of TLS."""
        return ProxyConnection(self, inside, loop=self._loop, **self._kwargs)

    def refused(self, problem: Problem) -> Response:
        """The answer that says why a request was not sent on."""
        headers = {
            "Content-Type": "application/problem+json",
            "Cache-Control": "no-store",
            "X-Remit-Problem": problem.code,
            **problem.headers,
        }
        closes = headers.pop("Connection", "") == "close"
        response = Response(status=problem.status, body=told(problem), headers=headers)
        if closes:
            response.force_close()
        return response

    async def _answer(self, request: BaseRequest) -> StreamResponse:
        connection = cast(ProxyConnection, request.protocol)
        self.active += 1
        try:
            return await self._answerer(request, connection.inside)
        except Exception as error:
            if request.writer.output_size > 0:
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionResetError("the answer broke off") from error
            problem = problem_for(error, self._clock())
            if problem.status >= 500:
                _log.error("request failed", extra={"failure": error, "code": problem.code})
            response = self.refused(problem)
            if request.can_read_body or not isinstance(error, Problem):
                response.force_close()
            return response
        finally:
            self.active -= 1


class ProxyConnection(RequestHandler):
    """One connection: a head that dribbles in is cut off, however slowly."""

    def __init__(self, server: ProxyHttp, inside: Inside | None, **settings: Any) -> None:
        super().__init__(server, **settings)
        self.inside = inside
        self._server = server
        self._pending: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """More bytes. From the first of a request on, its head has a time to be complete."""
        if self._pending is None:
            loop = asyncio.get_running_loop()
            self._pending = loop.call_later(self._server.patience, self._too_slow)
        super().data_received(data)

    def complete(self) -> None:
        """A head is complete."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client has gone."""
        self.complete()
        super().connection_lost(exc)
        self._server.gone()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Answer what is not HTTP, or too much of it."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was sent already")
        problem = Problem(500, "internal", "Remit failed, so nothing was sent.")
        if status < 500:
            problem = Problem(400, "bad-request", "This is not HTTP as the proxy speaks it.")
        response = self._server.refused(problem)
        response.force_close()
        return response

    def _too_slow(self) -> None:
        self._pending = None
        if self.transport is not None:
            self.transport.write(
                b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
            self.force_close()


class _ProxyRequest(BaseRequest):
    """A request whose response does not say which software answers."""

    @classmethod
    def make(
        cls,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> BaseRequest:
        cast(ProxyConnection, protocol).complete()
        return cls(message, payload, protocol, writer, task, asyncio.get_running_loop())

    async def _prepare_hook(self, response: StreamResponse) -> None:
        response.headers.popall("Server", None)
