"""The API over HTTP. Only this, ``bodies`` and ``mounts`` know the HTTP library.

``HttpApi`` is what answers: it finds the route, the caller and the body of a request, calls the
handler and sends what comes of it. ``HttpServer`` makes the protocol object of each connection.
Whatever goes wrong becomes ``application/problem+json`` (RFC 9457).
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any, NoReturn, cast

import msgspec
from aiohttp import HttpVersion10, StreamReader
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web import BaseRequest, Response, Server, StreamResponse
from aiohttp.web_protocol import RequestHandler

from remit.api.bodies import whole_body
from remit.api.decoding import body_of, encoded, query_of
from remit.api.frame import JSON_MEDIA, Access, Call, Parts, Problem, Reply, Route
from remit.api.mounts import Mount, Passing
from remit.api.problems import RETRY_AFTER, problem_of
from remit.api.routing import RouteTable
from remit.credentials import Right
from remit.errors import RemitError
from remit.identity.model import Identity, Peer, RequestFacts

PROBLEM_MEDIA = "application/problem+json"
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_LARGE = 65_536
"""Bytes of a body from which on it matters whether the client reads it."""
_LINGER = 2.0
"""Seconds in which the rest of a refused body is read, so that the client sees the answer."""

_log = logging.getLogger("remit.api")


class HttpApi:
    """Answers HTTP requests by a table of routes."""

    def __init__(self, parts: Parts, routes: Iterable[Route], mounts: Sequence[Mount] = ()) -> None:
        self._parts = parts
        self._mounts = {mount.prefix: mount for mount in mounts}
        self._limits = parts.config.limits
        self._table = RouteTable(routes)
        self.active = 0
        """Requests that are being answered at this moment."""

    def server(self) -> HttpServer:
        """A server that hands the requests of its connections to this."""
        return HttpServer(self)

    @property
    def parts(self) -> Parts:
        """What the handlers work with."""
        return self._parts

    async def answer(self, request: BaseRequest) -> StreamResponse:
        """Answer one request, whatever is wrong with it or with the server.

        Raises:
            ConnectionError: the answer broke off, or nobody is there any more to read it.
        """
        connection = cast(_Connection, request.protocol)
        connection.answering = True
        self.active += 1
        try:
            return await self._answered(request, monotonic(), self._request_id(request))
        finally:
            connection.answering = False
            connection.departed = _nothing
            self.active -= 1

    async def _answered(
        self, request: BaseRequest, started: float, request_id: str
    ) -> StreamResponse:
        route: Route | None = None
        try:
            if request.version < HttpVersion10:
                raise Problem(505, "http-version", "The server speaks HTTP/1.1 and HTTP/1.0.")
            path, _, query = _target(request)
            mount = self._mounts.get(path[: path.find("/", 1) + 1])
            if mount is not None:
                return await self._passed(mount, request, started, request_id)
            if request.method == "OPTIONS":
                return self._finished(_empty({"Allow": self._table.allowed(path)}), request_id)
            route, params = self._table.find(request.method, path)
            reply = await self._replied(request, request_id, route, params, query)
            response = await self._sent(request, request_id, route, reply)
        except Exception as error:  # noqa: BLE001 - everything is answered
            if request.writer.output_size > 0:
                _cut(request, error, request_id, route)
            response = self._refused(error, request_id, route)
        self._tell(request, request_id, route, response.status, monotonic() - started)
        return response

    async def _passed(
        self, mount: Mount, request: BaseRequest, started: float, request_id: str
    ) -> StreamResponse:
        """Have a gateway answer, in the way of its protocol also where it refuses."""
        facts = _facts(request, mount.credentials(request))
        try:
            who = await self._identified(facts, mount.rights)
            passing = Passing(
                request=request,
                who=who,
                facts=facts,
                request_id=request_id,
                base_url=self.base_url(request),
                on_departure=partial(setattr, request.protocol, "departed"),
            )
            response = await mount.answer(passing)
        except Exception as error:  # noqa: BLE001 - everything is answered
            if request.writer.output_size > 0:
                _cut(request, error, request_id, None)
            response = mount.refused(request, self._problem(error, request_id, None), request_id)
        if not response.prepared:
            self._finished(response, request_id)
        self._tell(request, request_id, None, response.status, monotonic() - started)
        return response

    def _request_id(self, request: BaseRequest) -> str:
        given = request.headers.get("X-Request-ID", "")
        if _REQUEST_ID.fullmatch(given):
            return given
        return f"r_{self._parts.entropy(12).hex()}"

    async def _replied(
        self,
        request: BaseRequest,
        request_id: str,
        route: Route,
        params: Mapping[str, str],
        query: str,
    ) -> Reply:
        shown = tuple(request.headers.getall("Authorization", ()))
        who = await self._identified(_facts(request, shown), route.rights)
        asked = query_of(route, query)
        raw = await self._body(request, route)
        call = Call(
            parts=self._parts,
            route=route,
            who=who,
            params=params,
            query=asked,
            body=body_of(route, raw, self._limits.depth),
            raw=raw,
            headers=request.headers,
            request_id=request_id,
            base_url=self.base_url(request),
        )
        limit = asyncio.timeout(self._limits.request_time + route.waits)
        try:
            async with limit:
                return await route.handler(call)
        except TimeoutError:
            if not limit.expired():
                raise
            raise Problem(
                503,
                "timed-out",
                "The server did not finish in time. What was asked for may still happen: ask "
                "again with the same Idempotency-Key, or look.",
                headers={"Retry-After": str(RETRY_AFTER)},
            ) from None

    async def _identified(
        self, facts: RequestFacts, rights: frozenset[Right] | Access
    ) -> Identity | None:
        """Who calls, if it matters.

        Raises:
            AuthenticationError: nobody, or somebody with a bad credential.
            Problem: none of the rights.
        """
        if isinstance(rights, Access):
            return None
        identity = await self._parts.authenticator.authenticate(facts)
        _entitled(identity, rights)
        return identity

    async def _body(self, request: BaseRequest, route: Route) -> bytes:
        """The whole body, within the limits of size and time."""
        headers = request.headers
        if not request.can_read_body:
            return b""
        limit = self._limits.body * route.bodies
        if route.body is None:
            raise Problem(400, "unexpected-body", "This takes no body.")
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Problem(
                415,
                "unsupported-encoding",
                "Send the body as it is, without Content-Encoding.",
                headers={"Accept-Encoding": "identity"},
            )
        if not _is_json(headers.get("Content-Type", "")):
            raise Problem(
                route.wrong_media,
                "unsupported-media-type",
                f"Send JSON in UTF-8, with Content-Type: {JSON_MEDIA}.",
                headers={"Accept": JSON_MEDIA},
            )
        return await whole_body(request, limit, self._limits.request_time)

    def base_url(self, request: BaseRequest) -> str:
        """Where clients reach this server: ``https://host`` without a slash at the end."""
        public = self._parts.config.server.public_url
        if public is not None:
            return public
        host = request.headers.get("Host", "")
        return f"{request.scheme}://{host if _HOST.fullmatch(host) else 'localhost'}"

    async def _sent(
        self, request: BaseRequest, request_id: str, route: Route, reply: Reply
    ) -> StreamResponse:
        status = reply.status or route.status
        if reply.stream is not None:
            return await self._streamed(request, request_id, route, reply)
        if reply.body is None and (route.reply is None or status in (204, 304)):
            return self._finished(_empty(reply.headers, status), request_id)
        headers = {"Content-Type": reply.media or route.media, **reply.headers}
        body = reply.body if isinstance(reply.body, bytes) else encoded(reply.body)
        response = self._finished(Response(status=status, body=body, headers=headers), request_id)
        if len(body) >= _LARGE:
            async with asyncio.timeout(self._limits.request_time):
                await response.prepare(request)
                await response.write_eof()
        return response

    async def _streamed(
        self, request: BaseRequest, request_id: str, route: Route, reply: Reply
    ) -> StreamResponse:
        """Send a body part by part; a client that stops reading is cut off."""
        headers = {"Content-Type": reply.media or route.media, **reply.headers}
        response = StreamResponse(status=reply.status or route.status, headers=headers)
        self._finished(response, request_id)
        patience = self._limits.request_time
        stream = reply.stream
        try:
            await response.prepare(request)
            if request.method != "HEAD" and stream is not None:
                async for part in stream:
                    async with asyncio.timeout(patience):
                        await response.write(part)
                    if self._parts.changes.draining:
                        break
            async with asyncio.timeout(patience):
                await response.write_eof()
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
        return response

    def _refused(self, error: Exception, request_id: str, route: Route | None) -> StreamResponse:
        return self.problem(self._problem(error, request_id, route), request_id)

    def _problem(self, error: Exception, request_id: str, route: Route | None) -> Problem:
        problem = error if isinstance(error, Problem) else None
        if isinstance(error, RemitError):
            problem = problem_of(error)
        if problem is None:
            detail = f"The server failed. Its log says more under the id {request_id}."
            problem = Problem(500, "internal", detail)
        if problem.status >= 500:
            _log.error("request failed", extra=_about(error, request_id, route))
        return problem

    def problem(self, problem: Problem, request_id: str) -> StreamResponse:
        """The response that says what went wrong."""
        body = encoded(problem.document(request_id))
        headers = {"Content-Type": PROBLEM_MEDIA, **problem.headers}
        closes = headers.pop("Connection", "") == "close"
        response = Response(status=problem.status, body=body, headers=headers)
        if closes:
            response.force_close()
        return self._finished(response, request_id)

    def _finished(self, response: StreamResponse, request_id: str) -> StreamResponse:
        headers = response.headers
        headers["X-Request-ID"] = request_id
        headers.setdefault("Cache-Control", "no-store")
        headers["X-Content-Type-Options"] = "nosniff"
        if self._parts.changes.draining:
            response.force_close()
        return response

    def _tell(
        self,
        request: BaseRequest,
        request_id: str,
        route: Route | None,
        status: int,
        seconds: float,
    ) -> None:
        if route is not None and self._parts.measures is not None:
            self._parts.measures.answered(route, status, seconds)
        level = logging.INFO if status >= 400 else logging.DEBUG
        if _log.isEnabledFor(level):
            template = None if route is None else route.path
            _log.log(
                level,
                "request",
                extra={
                    "request_id": request_id,
                    "method": request.method,
                    "route": template,
                    "status": status,
                    "ms": round(seconds * 1000, 2),
                },
            )


class HttpServer(Server):
    """The protocol factory: counts connections and gives each its protocol object."""

    def __init__(self, api: HttpApi) -> None:
        limits = api.parts.config.limits
        super().__init__(
            api.answer,
            request_factory=_PlainRequest.make,
            keepalive_timeout=limits.keepalive,
            access_log=None,
            max_line_size=limits.header,
            max_field_size=limits.header,
            lingering_time=_LINGER,
            auto_decompress=False,
            logger=logging.getLogger("remit.http"),
        )
        self.api = api
        self.most = limits.connections

    def close_idle(self) -> None:
        """Close the connections on which nothing is being answered."""
        for connection in self.connections:
            if not cast(_Connection, connection).answering:
                connection.force_close()

    def __call__(self) -> RequestHandler:
        """The protocol object of one new connection."""
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    """One connection: refused when there are too many, and what it shows of its other end."""

    transport_facts: RequestFacts

    def __init__(self, server: HttpServer, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._server = server
        self.answering = False
        self.departed: Callable[[], None] = _nothing

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.departed()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self._server.connections) >= self._server.most:
            cast(asyncio.WriteTransport, transport).write(_FULL)
            transport.close()
            self.force_close()
            return
        self.transport_facts = _transport_facts(transport)
        super().connection_made(transport)

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
        if isinstance(exc, LineTooLong):
            problem = Problem(431, "headers-too-large", "A line of the request's head is too long.")
        elif status < 500:
            problem = Problem(400, "bad-request", "This is not HTTP as the server speaks it.")
        else:
            problem = Problem(500, "internal", "The server failed.")
        api = self._server.api
        response = api.problem(problem, f"r_{api.parts.entropy(12).hex()}")
        response.force_close()
        return response


class _PlainRequest(BaseRequest):
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
        return cls(message, payload, protocol, writer, task, asyncio.get_running_loop())

    async def _prepare_hook(self, response: StreamResponse) -> None:
        response.headers.popall("Server", None)


def _nothing() -> None:
    """Nobody wants to know when this connection ends."""


_FULL_BODY = encoded(
    Problem(
        503, "too-many-connections", "The server has as many connections as it takes."
    ).document("")
)
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Content-Type: application/problem+json\r\nCache-Control: no-store\r\n"
    b"Retry-After: %d\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
) % (RETRY_AFTER, len(_FULL_BODY), _FULL_BODY)


def _transport_facts(transport: asyncio.BaseTransport) -> RequestFacts:
    """What the connection itself shows of whoever is at its other end."""
    tls = transport.get_extra_info("ssl_object")
    if tls is not None:
        return RequestFacts(transport="tls", certificate=tls.getpeercert(binary_form=True))
    plain = transport.get_extra_info("socket")
    if plain is None or plain.family != socket.AF_UNIX:
        return RequestFacts(transport="tcp")
    peer = None
    if hasattr(socket, "SO_PEERCRED"):
        size = struct.calcsize("3i")
        packed = plain.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        peer = Peer(*struct.unpack("3i", packed))
    return RequestFacts(transport="unix", peer=peer)


def _entitled(identity: Identity, rights: frozenset[Right]) -> None:
    if not (rights & identity.rights):
        wanted = " or ".join(sorted(right.value for right in rights))
        raise Problem(403, "forbidden", f"This takes a credential with the right {wanted}.")


def _facts(request: BaseRequest, authorization: tuple[str, ...]) -> RequestFacts:
    facts = cast(_Connection, request.protocol).transport_facts
    return msgspec.structs.replace(facts, authorization=authorization)


def _target(request: BaseRequest) -> tuple[str, str, str]:
    """The path and the query of a request, as they were sent."""
    raw = request.raw_path
    if not raw.startswith("/") and raw != "*":  # absolute form, RFC 9112 section 3.2.2
        raw = request.rel_url.raw_path_qs
    return raw.partition("?")


def _is_json(content_type: str) -> bool:
    media, _, rest = content_type.partition(";")
    parameters = rest.strip().lower().replace(" ", "").replace('"', "")
    return media.strip().lower() == JSON_MEDIA and parameters in ("", "charset=utf-8")


def _cut(request: BaseRequest, error: Exception, request_id: str, route: Route | None) -> NoReturn:
    """End an answer that cannot go on. Its status is gone, so it must look broken off.

    Raises:
        ConnectionResetError: always.
    """
    if not isinstance(error, ConnectionError):
        _log.error("answer broke off", extra=_about(error, request_id, route))
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("the answer broke off") from error


def _empty(headers: Mapping[str, str], status: int = 204) -> Response:
    return Response(status=status, headers=headers)


def _about(error: BaseException, request_id: str, route: Route | None) -> dict[str, Any]:
    """What a log may say of a failure: its message can quote arguments, so it is left out."""
    return {
        "request_id": request_id,
        "route": None if route is None else route.path,
        "failure": error,
    }
