"""The forward proxy: agents reach the Internet through it, and only where policy lets them.

    HTTPS_PROXY=http://inventory-bot:KEY@127.0.0.1:8701

``CONNECT`` to a host that is not looked into is one action, decided by host and port; its tunnel
carries TLS for that very host and nothing else. To a host that is looked into (``inspect``), TLS is
opened here, and every request in it is decided on, as plain ``http://`` requests are. Nothing goes
anywhere, not even a name lookup, before it was admitted.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Coroutine, Sequence
from typing import Any

from aiohttp.web import RequestHandler
from msgspec.structs import replace

from remit.api.frame import Parts
from remit.config import Address
from remit.config.egress import EgressConfig
from remit.errors import Denied, RemitError
from remit.gateway.forward_addresses import Destinations
from remit.gateway.forward_ca import InspectionAuthority
from remit.gateway.forward_callers import ProxyCallers
from remit.gateway.forward_exchange import ForwardExchanges, Inside
from remit.gateway.forward_front import ESTABLISHED, FrontConnection, first_byte
from remit.gateway.forward_http import ProxyHttp
from remit.gateway.forward_tunnel import Tunnel, TunnelEnd
from remit.gateway.forward_upstream import NotReached, OutsideServers, open_tunnel, trusted_roots
from remit.gateway.hosted import HostedAuthority
from remit.gateway.http_problems import problem_for
from remit.gateway.llm_sessions import CredentialSessions
from remit.gateway.mcp_calls import timed
from remit.guard.authority import Proposed
from remit.guard.calls import Granted, shortened
from remit.guard.enforcement import Enforcement
from remit.guard.steps import run_async
from remit.model import AccessRequest, Action, Outcome
from remit.protocols.http_connect import ConnectRequest
from remit.storage import Snapshot
from remit.switch import covering

_WATCH = 5.0
"""Seconds between two looks whether an open tunnel may go on."""
_HANDSHAKE = 10.0
_log = logging.getLogger("remit.egress")


class ForwardProxy:
    """One forward proxy, from ``start`` to ``close``. Lives in the server's event loop."""

    def __init__(
        self,
        parts: Parts,
        config: EgressConfig,
        sessions: CredentialSessions,
        *,
        destinations: Destinations | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            parts: of the server.
            config: ``[egress]``.
            sessions: those that other gateways of the server work in, too.
            destinations: where connections may go; by default as ``config`` says.

        Raises:
            ConfigError: the authority or the roots cannot be used.
        """
        self._parts = parts
        self._config = config
        self._destinations = destinations or Destinations(config.private)
        self._enforcement = Enforcement(HostedAuthority(parts), wait=config.hold)
        self._callers = ProxyCallers(parts, sessions)
        self._authority = (
            InspectionAuthority.open_or_create(config.ca, config.ca_key) if config.inspect else None
        )
        self._servers = OutsideServers(
            self._destinations,
            trusted_roots(config.upstream_ca),
            connect=config.connect,
            silence=config.silence,
        )
        exchanges = ForwardExchanges(parts, config, self._callers, self._enforcement, self._servers)
        self._http = ProxyHttp(
            exchanges.answer,
            parts.clock,
            patience=config.connect,
            keepalive=parts.config.limits.keepalive,
            gone=self._gone,
        )
        self._listening: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0

    # A listener of the server

    name = "egress"

    @property
    def places(self) -> Sequence[Address]:
        """Where it listens."""
        return self._config.listen

    async def start(self, opened: Sequence[socket.socket]) -> Sequence[str]:
        """Listen on sockets; the URLs of the proxy."""
        self._enforcement.late.start()
        loop = asyncio.get_running_loop()
        urls = []
        for each in opened:
            self._listening.append(await loop.create_server(self._front, sock=each))
            host, port = each.getsockname()[:2]
            urls.append(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        return urls

    def stop(self) -> None:
        """Take no more connections; what is under way goes on."""
        for each in self._listening:
            each.close()

    @property
    def active(self) -> int:
        """Requests that are being answered at this moment. Tunnels are not waited for."""
        return self._http.active

    async def close(self) -> None:
        """End everything that is under way, and record it.

        Raises:
            RemitError: it could not be recorded.
        """
        await self._http.shutdown(1.0)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._servers.close()
        await asyncio.to_thread(self._enforcement.late.close)
        await run_async(self._enforcement.recover_all())

    # Connections (``FrontDesk``)

    def _front(self) -> FrontConnection:
        return FrontConnection(self, self._config.connect, self._counted)

    def _counted(self, change: int) -> bool:
        self._connections += change
        return self._connections <= self._config.connections

    def _gone(self) -> None:
        self._connections -= 1

    def http(self) -> RequestHandler:
        """A protocol object for one connection with plain HTTP."""
        return self._http()

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that ends with the proxy."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def connect(self, asked: ConnectRequest, front: FrontConnection) -> None:
        """Decide on a CONNECT, answer it, and carry on with the connection."""
        try:
            if self._config.inspects(asked.origin.host):
                await self._open(asked, front)
            else:
                await self._tunnelled(asked, front)
        except Exception as error:  # noqa: BLE001 - everything is answered
            problem = problem_for(error, self._parts.clock())
            if problem.status >= 500:
                _log.error("CONNECT failed", extra={"failure": error, "code": problem.code})
            front.refuse(
                problem.status, problem.code, problem.detail, tuple(problem.headers.items())
            )

    # TLS that is opened

    async def _open(self, asked: ConnectRequest, front: FrontConnection) -> None:
        """Speak TLS as the host; the requests in it are decided on one by one."""
        await self._callers.caller(asked.authorization)
        assert self._authority is not None
        context = self._authority.context(asked.origin.host)
        inside = Inside(origin=asked.origin, authorization=asked.authorization)
        transport = front.transport
        front.release()
        waiting = _Handshaken(self._gone)
        transport.set_protocol(waiting)
        transport.pause_reading()
        transport.write(ESTABLISHED)
        first = await first_byte(transport, self._config.connect)
        if not first:
            transport.abort()
            return
        transport.resume_reading()
        if first.isupper():  # HTTP without TLS: some clients send that through CONNECT, too
            waiting.pass_on(transport, self._http.inside(_without_tls(inside)))
            return
        loop = asyncio.get_running_loop()
        try:
            opened = await loop.start_tls(
                transport, waiting, context, server_side=True, ssl_handshake_timeout=_HANDSHAKE
            )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            # Another name (SNI), no trust in the authority, or no TLS at all: nothing was sent.
            extra = {"host": asked.origin.host, "says": shortened(error)}
            _log.info("TLS not opened: does the client trust our authority?", extra=extra)
            transport.abort()
            waiting.lost()
            return
        if opened is None:
            waiting.lost()
            return
        waiting.pass_on(opened, self._http.inside(inside))

    # Tunnels

    async def _tunnelled(self, asked: ConnectRequest, front: FrontConnection) -> None:
        host, port = asked.origin.host, asked.origin.port
        caller = await self._callers.caller(asked.authorization, asked.headers.one("traceparent"))
        named = f"[{host}]" if ":" in host else host
        proposed = Proposed(
            caller=caller,
            action=Action(name=f"http.connect {named}:{port}", kind="http"),
            arguments={"method": "CONNECT", "host": host, "port": port},
        )
        try:
            granted = await run_async(self._enforcement.admit(proposed))
        except Denied as refusal:
            self._callers.refused(caller, refusal)
            raise
        tunnel = Tunnel(
            host,
            patience=self._config.connect,
            silence=self._config.silence,
            most=self._config.tunnel,
        )
        try:
            await open_tunnel(self._destinations, host, port, tunnel.server, self._config.connect)
        except NotReached as missed:
            outcome = Outcome(status="not-run", error=str(missed))
            await run_async(self._enforcement.settle(granted, outcome))
            status = 403 if missed.code == "private-address" else 502
            front.refuse(status, missed.code, str(missed))
            return
        except BaseException:
            self._enforcement.abandon(granted, Outcome(status="not-run", error="cut off"))
            raise
        front.release()
        front.transport.set_protocol(tunnel.client)
        tunnel.client.connection_made(front.transport)
        front.transport.write(ESTABLISHED)
        await self._carried(asked, granted, tunnel, front)

    async def _carried(
        self, asked: ConnectRequest, granted: Granted, tunnel: Tunnel, front: FrontConnection
    ) -> None:
        watching = asyncio.get_running_loop().create_task(self._watched(asked, granted, tunnel))
        try:
            end = await tunnel.run()
        except asyncio.CancelledError:
            tunnel.cut("the proxy ends")
            end = await tunnel.run()
            self._enforcement.abandon(granted, _outcome(end))
            self._gone()
            raise
        finally:
            watching.cancel()
        if end.plain is None:
            self._gone()
        else:
            inside = Inside(origin=asked.origin, authorization=asked.authorization)
            handler = self._http.inside(_without_tls(inside))
            front.transport.set_protocol(handler)
            handler.connection_made(front.transport)
            handler.data_received(end.plain)
        try:
            await run_async(self._enforcement.settle(granted, timed(granted, _outcome(end))))
        except RemitError as error:
            _log.error("tunnel not recorded", extra={"failure": error})

    async def _watched(self, asked: ConnectRequest, granted: Granted, tunnel: Tunnel) -> None:
        """Cut a tunnel whose key was revoked, whose session has ended, or that was stopped."""
        request = granted.request
        while True:
            await asyncio.sleep(_WATCH)
            try:
                open_still = await self._parts.read(lambda view: _may_go_on(view, request))
                good = await self._callers.alive(asked.authorization)
            except RemitError:
                tunnel.cut("Remit cannot tell whether it may go on")
                return
            if not open_still or not good:
                tunnel.cut("its session has ended, it was stopped, or its key was revoked")
                return


def _may_go_on(view: Snapshot, request: AccessRequest) -> bool:
    """Whether the session of a tunnel is open, and nobody stopped it."""
    session = view.session(request.session)
    return session is not None and session.ended_at is None and covering(view, request) is None


class _Handshaken(asyncio.Protocol):
    """Keeps what arrives between the end of a TLS handshake and the protocol that reads it."""

    def __init__(self, gone: Any) -> None:
        self._gone = gone
        self._kept = bytearray()
        self._lost = False
        self._over = False

    def data_received(self, data: bytes) -> None:
        self._kept += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost()

    def lost(self) -> None:
        """The connection has ended before anybody took it over."""
        if not self._lost and not self._over:
            self._lost = True
            self._gone()

    def pass_on(self, transport: asyncio.Transport, to: RequestHandler) -> None:
        """Hand the connection over, with what came already."""
        if self._lost:
            return
        self._over = True
        transport.set_protocol(to)
        to.connection_made(transport)
        if self._kept:
            to.data_received(bytes(self._kept))


def _without_tls(inside: Inside) -> Inside:
    return replace(inside, origin=replace(inside.origin, scheme="http"))


def _outcome(end: TunnelEnd) -> Outcome:
    if end.plain is not None:
        told = "HTTP without TLS is no tunnel; each of its requests is decided by itself"
        return Outcome(status="not-run", error=told)
    if end.problem is not None:
        return Outcome(status="not-run", error=f"nothing was passed on: {end.problem}")
    result: dict[str, Any] = {
        "sent": end.sent,
        "received": end.received,
        "server_name": end.server_name or "",
    }
    if end.hidden:
        result["hidden"] = True
    if end.cut is not None:
        result["cut"] = end.cut
    return Outcome(status="ok", result=result)
