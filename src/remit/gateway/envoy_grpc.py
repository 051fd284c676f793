"""``envoy.service.auth.v3.Authorization/Check``: Envoy's external authorization over gRPC.

Needs the extra ``remit[envoy]``.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from typing import Any

import grpc.aio
from google.protobuf.message import DecodeError

from remit.api.frame import Problem
from remit.config import Address
from remit.errors import ConfigError
from remit.gateway import envoy_messages
from remit.gateway.envoy import CheckedRequest, EnvoyDecisions
from remit.gateway.http_problems import problem_for, told

_GATHER = 0.001
"""Seconds that a check waits for others where some are under way: gRPC hands them over one by one,
and those that go on together share the look at the key and the commit."""
_SPARE = 65_536
"""Bytes of a check besides the body of the request."""
_log = logging.getLogger("remit.envoy")


class EnvoyListener:
    """Answers what an Envoy asks over gRPC, on ports of its own (``Listener``)."""

    name = "envoy"
    places: Sequence[Address] = ()
    """gRPC opens its own."""

    def __init__(self, decisions: EnvoyDecisions) -> None:
        self._decisions = decisions
        self._server: grpc.aio.Server | None = None
        self.active = 0
        """Requests that are being answered at this moment."""
        self._gathering: asyncio.Future[None] | None = None

    async def start(self, opened: Sequence[socket.socket]) -> Sequence[str]:
        """Listen; the URLs at which it does.

        Raises:
            ConfigError: a place is taken.
        """
        most = self._decisions.parts.config.limits.body + _SPARE
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", most),
                ("grpc.so_reuseport", 0),
            ]
        )
        service, method = envoy_messages.CHECK.strip("/").split("/")
        check = grpc.unary_unary_rpc_method_handler(self.check)  # of bytes: no serialisers
        handlers = grpc.method_handlers_generic_handler(service, {method: check})
        self._server.add_generic_rpc_handlers((handlers,))
        urls = []
        for address in self._decisions.config.grpc:
            try:
                port = self._server.add_insecure_port(address)
            except RuntimeError:
                raise ConfigError(f"envoy.grpc: {address}: cannot listen there") from None
            urls.append(f"grpc://{address.rpartition(':')[0]}:{port}")
        await self._server.start()
        return urls

    def stop(self) -> None:
        """Nothing yet: Envoy would let nothing through while others still answer."""

    async def close(self) -> None:
        """Answer what is under way, and take no more."""
        if self._server is not None:
            await self._server.stop(1.0)

    async def check(self, asked: Any, context: Any) -> bytes:
        """Answer one question."""
        self.active += 1
        try:
            if self.active > 1:
                await self._gathered()
            return await self._checked(bytes(asked))
        finally:
            self.active -= 1

    async def _gathered(self) -> None:
        """Wait a moment, together with whoever comes meanwhile."""
        if self._gathering is None:
            loop = asyncio.get_running_loop()
            self._gathering = loop.create_future()
            loop.call_later(_GATHER, self._let_go)
        await asyncio.shield(self._gathering)

    def _let_go(self) -> None:
        gathering, self._gathering = self._gathering, None
        if gathering is not None:
            gathering.set_result(None)

    async def _checked(self, asked: bytes) -> bytes:
        decisions = self._decisions
        try:
            request = _read(asked)
            identity = await decisions.identity(request.headers)
            let = await decisions.decide(request, identity, headers=True)
        except Exception as error:  # noqa: BLE001 - everything is answered
            problem = problem_for(error, decisions.parts.clock())
            if problem.status >= 500:
                _log.error("check failed", extra={"failure": error, "code": problem.code})
            return _refusal(problem)
        return envoy_messages.allowed(let.put, let.remove)


def _read(asked: bytes) -> CheckedRequest:
    """What Envoy asks.

    Raises:
        Problem: it is no such message.
    """
    try:
        http = envoy_messages.CheckRequest.FromString(asked).attributes.request.http
        listed = [
            (each.key, (each.raw_value or each.value.encode()).decode("latin-1"))
            for each in http.header_map.headers
        ]
    except DecodeError:
        raise Problem(400, "bad-request", "This is no CheckRequest.") from None
    joined = [(each.key, each.value) for each in http.headers]
    return CheckedRequest(
        method=http.method,
        authority=http.host,
        path=http.path,
        headers=tuple(pair for pair in listed or joined if pair[0][:1] != ":"),
        body=http.raw_body or http.body.encode(),
    )


def _refusal(problem: Problem) -> bytes:
    headers = [
        ("content-type", "application/problem+json"),
        ("x-remit-problem", problem.code),
        *((name.lower(), value) for name, value in problem.headers.items()),
    ]
    shown = [(name, value) for name, value in headers if name != "connection"]
    return envoy_messages.denied(problem.status, shown, told(problem).decode())
