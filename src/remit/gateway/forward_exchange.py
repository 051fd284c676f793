"""One HTTP request through the forward proxy: decided, sent, its answer looked at and passed on.

It is plain HTTP to a proxy, or what came out of a TLS connection that the proxy opened. Either way
nothing is sent before it was admitted and recorded, and what cannot be read in one way only goes
nowhere.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import aiohttp
from aiohttp.web import BaseRequest, Response, StreamResponse
from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from remit import canonical
from remit.api.bodies import whole_body
from remit.api.frame import Parts, Problem
from remit.config.egress import EgressConfig
from remit.errors import Denied, InvalidArgument, InvalidRequest
from remit.gateway.forward_callers import ProxyCallers
from remit.gateway.forward_upstream import NotAnswered, NotReached, OutsideServers, end_to_end
from remit.gateway.mcp_calls import timed
from remit.guard.authority import Proposed, Settled
from remit.guard.calls import Granted
from remit.guard.enforcement import Enforcement
from remit.guard.steps import run_async
from remit.model import Outcome
from remit.protocols.http import (
    HttpAction,
    HttpExchange,
    HttpReading,
    action_of,
    read_exchange,
    rewritten,
)
from remit.protocols.http_body import read_shown
from remit.protocols.http_headers import HOP_BY_HOP, read_headers
from remit.protocols.http_target import (
    HttpFault,
    HttpOrigin,
    HttpTarget,
    read_absolute,
    read_origin,
    read_target,
)

_log = logging.getLogger("remit.egress")
_PIECE = 65_536
_KEPT_BACK = HOP_BY_HOP | {"alt-svc", "proxy-authenticate", "content-length"}


class Inside(Struct, frozen=True, kw_only=True):
    """What CONNECT was asked for, and who the client is: requests that came over its connection."""

    origin: HttpOrigin
    """``https`` where the proxy opened TLS, ``http`` where there was none."""
    authorization: tuple[str, ...]
    """What the client showed when it asked for the connection."""


class ReadRequest(Struct, frozen=True):
    """A request as it was read: an exchange, and the action that it is."""

    exchange: HttpExchange
    action: HttpAction


class ForwardExchanges:
    """Carries requests to servers outside."""

    def __init__(
        self,
        parts: Parts,
        config: EgressConfig,
        callers: ProxyCallers,
        enforcement: Enforcement,
        servers: OutsideServers,
    ) -> None:
        self._parts = parts
        self._config = config
        self._callers = callers
        self._enforcement = enforcement
        self._servers = servers
        self._reading = HttpReading(headers=config.headers)

    async def answer(self, request: BaseRequest, inside: Inside | None) -> StreamResponse:
        """Answer one request.

        Args:
            request: its body is not read yet.
            inside: where it came over a connection of CONNECT; None: to the proxy itself.

        Raises:
            Problem: or a RemitError: it was not sent, or its answer may not be shown.
            HttpFault: it can be read in several ways.
            ConnectionError: the client is gone.
        """
        pairs = _pairs(request)
        shown = inside.authorization if inside else tuple(_values(pairs, "proxy-authorization"))
        caller = await self._callers.caller(shown, _value(pairs, "traceparent"))
        _plain_headers(pairs)  # what is odd about them is refused before the body is read
        origin, target = _place(request, pairs, inside)
        body = b""
        if request.can_read_body:
            body = await whole_body(
                request, self._config.body, self._parts.config.limits.request_time
            )
        exchange = read_exchange(request.method, origin, target, pairs, body, self._reading)
        asked = ReadRequest(exchange, action_of(exchange))
        proposed = Proposed(
            caller=caller, action=asked.action.action, arguments=asked.action.arguments
        )
        try:
            granted = await run_async(
                self._enforcement.admit(proposed, lambda arguments: _rewritable(asked, arguments))
            )
        except Denied as refusal:
            self._callers.refused(caller, refusal)
            raise
        return await self._sent(request, asked, granted)

    async def _sent(
        self, request: BaseRequest, asked: ReadRequest, granted: Granted
    ) -> StreamResponse:
        """Send what was granted, and pass on what comes of it."""
        try:
            response = await self._send(asked, granted)
        except NotReached as missed:
            await self._settle(granted, Outcome(status="not-run", error=str(missed)))
            status = 403 if missed.code == "private-address" else 502
            raise Problem(status, missed.code, str(missed)) from None
        except NotAnswered as silent:
            await self._settle(granted, Outcome(status="error", error=str(silent)))
            raise Problem(502, "no-answer", str(silent)) from None
        except BaseException:
            self._enforcement.abandon(granted, Outcome(status="cancelled"))
            raise
        try:
            if self._rules(granted):
                return await self._looked_at(request, response, granted)
            if granted.looks_at_result:  # its labels count before anybody reads it
                await self._settle(granted, _outcome(response, None))
                return await self._streamed(request, response)
            return await self._passed(request, response, granted)
        finally:
            response.close() if not response.content.at_eof() else response.release()

    async def _send(self, asked: ReadRequest, granted: Granted) -> aiohttp.ClientResponse:
        exchange = asked.exchange
        target, body = exchange.target.sent, exchange.body.raw
        named: list[tuple[str, str]] = []
        if granted.request.arguments is not asked.action.arguments:
            target, named, body = rewritten(exchange, asked.action, granted.request.arguments)
        changed = {name.lower() for name, _ in named}
        headers = [
            (name, value)
            for name, value in end_to_end(exchange.headers.pairs)
            if name.lower() not in changed
        ]
        headers += named
        if self._rules(granted):  # what is encoded cannot be looked into
            headers = [each for each in headers if each[0].lower() != "accept-encoding"]
            headers.append(("Accept-Encoding", "identity"))
        url = URL(f"{exchange.origin}{target}", encoded=True)
        return await self._servers.send(exchange.method, url, headers, body)

    def _rules(self, granted: Granted) -> bool:
        """Whether policy looks into what comes back, besides labelling the session with it."""
        if not granted.looks_at_result:
            return False
        need = self._parts.policies.needs.of(granted.request.action.name)
        return (
            need.result_rules
            or need.results is not None
            or any(
                each.target.partition(".")[0] == "result"
                for each in granted.admission.decision.obligations
            )
        )

    # Answers

    async def _passed(
        self, request: BaseRequest, response: aiohttp.ClientResponse, granted: Granted
    ) -> StreamResponse:
        """Pass an answer on as it comes; nothing depends on what is in it."""
        outcome = _outcome(response, None)
        try:
            answer = await self._streamed(request, response)
        except BaseException as broken:
            self._enforcement.abandon(granted, outcome)
            if isinstance(broken, aiohttp.ClientError):
                raise ConnectionResetError("the answer broke off") from None
            raise
        await self._settle(granted, outcome)
        return answer

    async def _streamed(
        self, request: BaseRequest, response: aiohttp.ClientResponse
    ) -> StreamResponse:
        answer = StreamResponse(status=response.status, reason=response.reason)
        answer.headers.extend(_shown_headers(response))
        length = response.headers.get("Content-Length")
        if length is not None and "Transfer-Encoding" not in response.headers:
            answer.headers["Content-Length"] = length
        await answer.prepare(request)
        async for piece in response.content.iter_chunked(_PIECE):
            async with asyncio.timeout(self._config.silence):  # a client that reads nothing
                await answer.write(piece)
        await answer.write_eof()
        return answer

    async def _looked_at(
        self, request: BaseRequest, response: aiohttp.ClientResponse, granted: Granted
    ) -> StreamResponse:
        """Read the whole answer, have it decided on, and pass on what may be shown of it."""
        tool = granted.request.action.name
        try:
            raw = await _bounded(response, canonical.MAX_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError):
            await self._settle(granted, Outcome(status="error", error="the answer broke off"))
            raise Problem(502, "no-answer", f"The answer to {tool} broke off.") from None
        result = None if raw is None else _result(response, raw)
        settled = await self._settle(granted, _outcome(response, result))
        if settled.settlement.withheld:
            raise Problem(403, "withheld", settled.refusal)
        if result is None:
            raise Problem(
                403,
                "withheld",
                f"The answer to {tool} is withheld: policy has rules on it, and it is too large or "
                "in an encoding that they cannot look into.",
            )
        assert raw is not None
        media = response.headers.get("Content-Type")
        if settled.settlement.redacted:
            raw, media = _redacted(settled.settlement.result, media)
        answer = Response(status=response.status, reason=response.reason, body=raw)
        headers = _shown_headers(response)
        if media is not None:
            headers["Content-Type"] = media
        headers.popall("Content-Type", None) if media is None else None
        answer.headers.popall("Content-Type", None)
        answer.headers.extend(headers)
        return answer

    async def _settle(self, granted: Granted, outcome: Outcome) -> Settled:
        return await run_async(self._enforcement.settle(granted, timed(granted, outcome)))


def _plain_headers(pairs: list[tuple[str, str]]) -> None:
    """Refuse headers that servers read differently, and what speaks of a connection as a whole.

    Connections to servers are shared by all agents: one that a server takes for somebody's (NTLM,
    Negotiate; RFC 4559) would be theirs for the next agent, too.

    Raises:
        HttpFault: there is one.
    """
    read_headers(pairs)
    scheme = (_value(pairs, "authorization") or "").partition(" ")[0].lower()
    if scheme in ("ntlm", "negotiate"):
        raise HttpFault(
            "connection-authentication",
            "NTLM and Negotiate authenticate a whole connection, and are not let through.",
        )


def _place(
    request: BaseRequest, pairs: list[tuple[str, str]], inside: Inside | None
) -> tuple[HttpOrigin, HttpTarget]:
    """Where a request goes: all that says so must say the same.

    Raises:
        HttpFault: it does not.
    """
    host = _value(pairs, "host")
    if inside is not None:
        target = read_target(request.raw_path)
        if host is None or read_origin(inside.origin.scheme, host) != inside.origin:
            raise HttpFault(
                "host-mismatch",
                f"Host must name {inside.origin.authority}, which this connection was opened for.",
                421,
            )
        return inside.origin, target
    if request.raw_path.startswith("/") or request.raw_path == "*":
        raise HttpFault(
            "not-a-proxy-request",
            "This is a proxy: send the whole URL, as clients do with HTTP_PROXY; "
            "https:// URLs with CONNECT.",
        )
    origin, target = read_absolute(request.raw_path)
    if origin.scheme != "http":
        raise HttpFault("bad-target", "Open https:// URLs with CONNECT.")
    if host is not None and read_origin("http", host) != origin:
        raise HttpFault("host-mismatch", "Host names another place than the URL does.")
    return origin, target


def _rewritable(asked: ReadRequest, arguments: Any) -> None:
    """Refuse, before it is sent, a request that cannot be written as policy wants it.

    Raises:
        InvalidRequest: it cannot.
    """
    if arguments is not asked.action.arguments:
        try:
            rewritten(asked.exchange, asked.action, arguments)
        except HttpFault as fault:
            raise InvalidRequest(fault.message) from None


def _pairs(request: BaseRequest) -> list[tuple[str, str]]:
    """Every header as it was sent; bytes beyond ASCII as Latin-1."""
    return [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers
    ]


def _values(pairs: list[tuple[str, str]], wanted: str) -> list[str]:
    return [value for name, value in pairs if name.lower() == wanted]


def _value(pairs: list[tuple[str, str]], wanted: str) -> str | None:
    found = _values(pairs, wanted)
    return found[0] if found else None


def _outcome(response: aiohttp.ClientResponse, result: Any) -> Outcome:
    """What came of it: an answer, whatever it says."""
    return Outcome(status="ok", result=result or {"status": response.status})


def _result(response: aiohttp.ClientResponse, raw: bytes) -> dict[str, Any] | None:
    """An answer as policy sees it; None where it cannot see all of it."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity" and raw:
        return None
    value = read_shown(response.headers.get("Content-Type"), raw).value
    try:
        result = canonical.check({"status": response.status, "body": value}, "result")
    except InvalidArgument:
        return None
    assert isinstance(result, dict)
    return result


def _redacted(result: Any, media: str | None) -> tuple[bytes, str | None]:
    """What is left of a body, as bytes and their type."""
    body = result.get("body") if isinstance(result, dict) else result
    if body is None:
        return b"", media
    if isinstance(body, str):
        return body.encode(), media
    return json.dumps(body, ensure_ascii=False).encode(), "application/json"


async def _bounded(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    """The whole body; None where it is larger."""
    whole = bytearray()
    async for piece in response.content.iter_chunked(_PIECE):
        whole += piece
        if len(whole) > most:
            return None
    return bytes(whole)


def _shown_headers(response: aiohttp.ClientResponse) -> CIMultiDict[str]:
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in response.headers.items():
        if name.lower() not in _KEPT_BACK and not name.lower().startswith("x-remit-"):
            kept.add(name, value)
    return kept
