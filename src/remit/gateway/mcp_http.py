"""``/mcp/NAME`` of ``remit serve``: MCP servers for clients that speak Streamable HTTP.

This is where a request comes in: whether a page of the web sent it, whether its head and body hold
together, and which server it is for. What it means is decided further on.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Protocol
from urllib.parse import urlsplit

from aiohttp.web import BaseRequest, StreamResponse

from remit.api.bodies import whole_body
from remit.api.frame import Parts, Problem
from remit.api.mounts import Passing
from remit.config.mcp import McpConfig
from remit.credentials import Right
from remit.gateway.hosted import HostedAuthority, HostedSessions
from remit.gateway.llm_departure import AgentGone
from remit.gateway.llm_sessions import CredentialSessions
from remit.gateway.lockfile import LOCK_FILE, LockFile, origin_of
from remit.gateway.mcp_answers import JSON_MEDIA, ClientGone, refusal
from remit.gateway.mcp_bridge import CommandEndpoint
from remit.gateway.mcp_pinning import SupplyChain
from remit.gateway.mcp_relay import UrlEndpoint
from remit.gateway.mcp_sessions import CallerSessions
from remit.guard.enforcement import Enforcement
from remit.guard.opening import beside
from remit.guard.steps import run_async
from remit.inspection.pins import Origin
from remit.protocols import mcp, mcp_headers
from remit.protocols.mcp import McpFault

PREFIX = "/mcp/"
METADATA = "/.well-known/oauth-protected-resource"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?")
_DRAIN_TOPIC = "remit.gateway.mcp"
_FOREVER = 365 * 86_400.0


class McpEndpoint(Protocol):
    """One MCP server, for all clients."""

    async def post(
        self, passing: Passing, headers: Mapping[str, str], data: bytes
    ) -> StreamResponse:
        """Take a message of a client.

        Raises:
            McpFault: it is not passed on.
        """
        ...

    async def get(self, passing: Passing, headers: Mapping[str, str]) -> StreamResponse:
        """Open a stream of what the server has to say."""
        ...

    async def delete(self, passing: Passing, headers: Mapping[str, str]) -> StreamResponse:
        """End a session."""
        ...

    async def drain(self) -> None:
        """End what would never end by itself."""
        ...

    async def close(self) -> None:
        """Settle what is open, and let go of the server."""
        ...


class McpMount:
    """All MCP servers of ``remit.toml``, each under its name (``Mount``)."""

    prefix = PREFIX
    rights = frozenset({Right.AGENT})

    def __init__(
        self,
        parts: Parts,
        servers: Sequence[McpConfig],
        *,
        sessions: CredentialSessions | None = None,
    ) -> None:
        """Put the parts together, in the event loop.

        Args:
            parts: of the server.
            servers: with their secrets among their headers.
            sessions: those that other gateways of the server work in, too.
        """
        self._parts = parts
        self._servers = {server.name: server for server in servers}
        self._authority = HostedAuthority(parts)
        self._enforcements: list[Enforcement] = []
        self._draining: asyncio.Task[None] | None = None
        idle = parts.config.model_gateway.session_idle
        shared = sessions or CredentialSessions(HostedSessions(parts), idle)
        callers = CallerSessions(parts, shared)
        self._endpoints = {server.name: self._endpoint(server, callers) for server in servers}

    def credentials(self, request: BaseRequest) -> tuple[str, ...]:
        """What the request shows of its caller."""
        return tuple(request.headers.getall("Authorization", ()))

    async def answer(self, passing: Passing) -> StreamResponse:
        """Answer one request.

        Raises:
            Problem: it is refused.
        """
        request = passing.request
        name = request.path.removeprefix(PREFIX)
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise Problem(404, "not-found", "There is no such MCP server.")
        self._local_only(request, self._servers[name])
        if self._draining is None:
            self._draining = asyncio.create_task(self._drained())
        try:
            headers = mcp_headers.mcp_headers(request.headers.items())
            if request.method == "POST":
                data = await self._body(request, self._servers[name])
                return await endpoint.post(passing, headers, data)
            if request.method == "GET":
                return await endpoint.get(passing, headers)
            if request.method == "DELETE":
                return await endpoint.delete(passing, headers)
        except McpFault as fault:
            return refusal(mcp.fault_answer(fault), 400)
        except (AgentGone, ClientGone):
            if request.writer.output_size > 0:
                raise ClientGone("the client is gone") from None
            return refusal(b"", 499)
        raise Problem(
            405,
            "method-not-allowed",
            "POST, GET or DELETE.",
            headers={"Allow": "GET, POST, DELETE"},
        )

    def refused(self, request: BaseRequest, problem: Problem, request_id: str) -> StreamResponse:
        """The answer that says why a request was not passed on."""
        headers = dict(problem.headers)
        if problem.status == 401:
            where = f'resource_metadata="{self._base_url(request)}{METADATA}{request.path}"'
            headers["WWW-Authenticate"] = f'Bearer realm="remit", {where}'
        closes = headers.pop("Connection", "") == "close"
        data = {"code": problem.code, "request_id": request_id}
        answer = mcp.error_answer(None, mcp.REFUSED, problem.detail, data)
        response = refusal(answer, problem.status, headers)
        if closes:
            response.force_close()
        return response

    async def close(self) -> None:
        """Settle what is open, and let go of the servers."""
        if self._draining is not None:
            self._draining.cancel()
        for endpoint in self._endpoints.values():
            await endpoint.close()
        for enforcement in self._enforcements:
            await asyncio.to_thread(enforcement.late.close)
            await run_async(enforcement.recover_all())

    def _endpoint(self, server: McpConfig, sessions: CallerSessions) -> McpEndpoint:
        # One for each server: it remembers what the server said of its tools.
        lock = beside(self._parts.config.policy.path, LOCK_FILE)
        origin = origin_of(server.command) if server.url is None else Origin(url=server.url)
        inspector = SupplyChain(LockFile(lock), {server.name: origin})
        enforcement = Enforcement(self._authority, wait=server.hold)
        self._enforcements.append(enforcement)
        made = CommandEndpoint if server.url is None else UrlEndpoint
        return made(server, sessions, enforcement, self._new_id, inspector)

    def _new_id(self) -> str:
        return f"remit-{self._parts.entropy(24).hex()}"

    async def _drained(self) -> None:
        """Wait until the server is about to end."""
        while not self._parts.changes.draining:
            await self._parts.changes.wait(_DRAIN_TOPIC, _FOREVER)
        for endpoint in self._endpoints.values():
            await endpoint.drain()

    async def _body(self, request: BaseRequest, server: McpConfig) -> bytes:
        media = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media != JSON_MEDIA:
            raise Problem(415, "unsupported-media-type", f"Send it as {JSON_MEDIA}.")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Problem(415, "unsupported-encoding", "Send it without Content-Encoding.")
        seconds = self._parts.config.limits.request_time
        return await whole_body(request, server.max_message, seconds)

    def _local_only(self, request: BaseRequest, server: McpConfig) -> None:
        """Refuse what a web page had a browser send: it reaches this place by another's name.

        A page cannot make a browser name an IP address or ``localhost`` for a server of its own,
        so only names are compared.

        Raises:
            Problem: 421 or 403.
        """
        host = request.headers.get("Host", "")
        if not self._own_host(host, server):
            detail = "This server is not known under that name; add it to hosts in its [[mcp]]."
            raise Problem(421, "misdirected", detail)
        origin = request.headers.get("Origin")
        if origin is None or origin in server.origins:
            return
        page = urlsplit(origin).hostname or ""
        if not (_is_loopback(page) and _is_loopback(_hostname(host))):
            detail = "Pages of that origin may not reach it; add it to origins in its [[mcp]]."
            raise Problem(403, "foreign-origin", detail)

    def _own_host(self, host: str, server: McpConfig) -> bool:
        name = _hostname(host)
        if _is_loopback(name) or _is_address(name):
            return True
        public = self._parts.config.server.public_url
        return bool(name) and (
            host.lower() in server.hosts
            or name in server.hosts
            or (public is not None and name == urlsplit(public).hostname)
            or name in {address.rpartition(":")[0] for address in self._parts.config.server.listen}
        )

    def _base_url(self, request: BaseRequest) -> str:
        public = self._parts.config.server.public_url
        if public is not None:
            return public
        host = request.headers.get("Host", "")
        return f"{request.scheme}://{host if _HOST.fullmatch(host) else 'localhost'}"


@lru_cache(maxsize=256)
def _hostname(host: str) -> str:
    found = _HOST.fullmatch(host)
    return "" if found is None else found[1].strip("[]").lower()


@lru_cache(maxsize=256)
def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
