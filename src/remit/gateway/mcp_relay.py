"""``/mcp/NAME`` before a server at a URL: each request of a client is one request to the server.

A session of the client stands for one of the server: the client is given an id of the gateway's
own, which is worth nothing to anybody else. Requests of the stateless era have none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import aiohttp
from aiohttp.web import StreamResponse
from msgspec import Struct

from remit.api.mounts import Passing
from remit.canonical import JsonLimits
from remit.config.mcp import McpConfig
from remit.errors import MalformedReply
from remit.gateway.lean_client import LeanAnswer
from remit.gateway.llm_departure import AgentGone, Departure
from remit.gateway.mcp_answers import JSON_MEDIA, SSE_MEDIA, HttpAnswer, refusal
from remit.gateway.mcp_calls import Inspector, OpenCall
from remit.gateway.mcp_gate import McpGate
from remit.gateway.mcp_peers import McpPeer, PeerTable
from remit.gateway.mcp_pump import EventPump
from remit.gateway.mcp_sessions import CallerSessions, Claim, HostedSubject, claim
from remit.gateway.mcp_upstream import McpUpstream
from remit.guard.enforcement import Enforcement
from remit.protocols import mcp, mcp_headers
from remit.protocols.mcp import McpFault, McpMessage, MessageId, MessageKind
from remit.protocols.mcp_methods import TOOL_CALL
from remit.protocols.sse import EventReader

_log = logging.getLogger("remit.mcp")
_MOST_OPEN = 256
_DRAIN_TIME = 5.0
_CANCELLED = "notifications/cancelled"


class Arrived(Struct, frozen=True):
    """One request of a client, its head read."""

    passing: Passing
    headers: Mapping[str, str]
    """Those that concern MCP."""
    claimed: Claim


class UrlEndpoint:
    """One MCP server at a URL, and its clients."""

    def __init__(
        self,
        config: McpConfig,
        sessions: CallerSessions,
        enforcement: Enforcement,
        new_id: Callable[[], str],
        inspector: Inspector | None = None,
    ) -> None:
        """Put the parts together, in the event loop.

        Args:
            config: the server.
            sessions: who acts.
            enforcement: who decides.
            new_id: an id that nobody guesses.
            inspector: who looks into what passes.
        """
        self.config = config
        self._sessions = sessions
        self._enforcement = enforcement
        self._inspector = inspector
        self._upstream = McpUpstream(config)
        self._limits = JsonLimits(bytes=config.max_message, depth=mcp.MAX_DEPTH)
        self._table = PeerTable(
            self._made, new_id, idle=config.session_idle, most=config.max_sessions
        )
        self._streams: set[LeanAnswer] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    # What clients send

    async def post(
        self, passing: Passing, headers: Mapping[str, str], data: bytes
    ) -> StreamResponse:
        """Take a message of a client.

        Raises:
            McpFault: it is not passed on.
            ConnectionError: the client is gone.
        """
        message = mcp.read_message(data, self._limits)
        mcp_headers.agree(headers, message)
        arrived = Arrived(passing, headers, claim(passing))
        peer = self._peer(arrived, message)
        if peer is None:
            return _no_such_session(message.id)
        if message.kind is MessageKind.REQUEST:
            return await self._request(arrived, peer, message)
        if message.kind is MessageKind.NOTIFICATION:
            return await self._notification(arrived, peer, message)
        return await self._answer(arrived, peer, message)

    async def get(self, passing: Passing, headers: Mapping[str, str]) -> StreamResponse:
        """Open a stream of what the server has to say, or go on with one.

        Raises:
            ConnectionError: the client is gone.
        """
        arrived = Arrived(passing, headers, claim(passing))
        peer = self._peer(arrived, None)
        if peer is None or not peer.id:
            return _no_such_session(None)
        reply = HttpAnswer(passing.request)
        reply.headers["Mcp-Session-Id"] = peer.id
        try:
            response = await self._send("GET", arrived, peer, None, patient=True)
        except (aiohttp.ClientError, OSError) as error:
            return _unreachable(None, f"the server cannot be reached: {error}")
        try:
            if response.status != 200 or not _is_stream(response):
                return _failed(None, response.status)
            self._streams.add(response)
            with Departure(passing):
                return await self._pump(arrived, peer, reply, None).run(response)
        finally:
            self._streams.discard(response)
            response.close()

    async def delete(self, passing: Passing, headers: Mapping[str, str]) -> StreamResponse:
        """End a session."""
        arrived = Arrived(passing, headers, claim(passing))
        peer = self._peer(arrived, None)
        if peer is None or not peer.id:
            return _no_such_session(None)
        try:
            response = await self._send("DELETE", arrived, peer, None)
        except (aiohttp.ClientError, OSError) as error:
            return _unreachable(None, f"the server cannot be reached: {error}")
        response.release()
        if response.status < 400:
            self._table.forget(peer, "the client ended its session")
        return refusal(b"", response.status)

    async def drain(self) -> None:
        """End the streams that would never end by themselves."""
        for response in tuple(self._streams):
            response.close()

    async def close(self) -> None:
        """Settle what is open, and close the connections."""
        self._table.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._upstream.close()

    # Clients

    def _peer(self, arrived: Arrived, message: McpMessage | None) -> McpPeer | None:
        """The client; None where the session that it names is none of its own."""
        shown = arrived.headers.get(mcp_headers.SESSION)
        if shown is not None:
            return self._table.session(shown, arrived.claimed)
        if message is not None and message.method == "initialize":
            return self._table.beginner(arrived.claimed)
        return self._table.caller(arrived.claimed)

    def _made(self, claimed: Claim) -> McpPeer:
        subject = HostedSubject(self._sessions, claimed)
        gate = McpGate(self.config.name, self._enforcement, subject, self._inspector)
        return McpPeer("", claimed.owner, subject, gate, "")

    # Requests

    async def _request(
        self, arrived: Arrived, peer: McpPeer, message: McpMessage
    ) -> StreamResponse:
        assert message.id is not None
        reply = HttpAnswer(arrived.passing.request)
        if peer.id:
            reply.headers["Mcp-Session-Id"] = peer.id
            if message.id in peer.open or len(peer.open) >= _MOST_OPEN:
                problem = "This id belongs to a request that is not answered yet, or too many are."
                raise McpFault(mcp.INVALID_REQUEST, problem, message.id)
        exchange = None
        if not peer.gate.knows_tools:
            exchange = partial(self._exchange, arrived, peer)
        departure = Departure(arrived.passing)
        decided: OpenCall | bytes = b""
        try:
            with departure:
                decided = await peer.gate.request(
                    message, reply.notice(message.progress_token), exchange
                )
        except AgentGone:
            if isinstance(decided, OpenCall):
                peer.gate.abandon(decided, "the client went away before it was sent", "not-run")
            raise
        if isinstance(decided, bytes):
            return await reply.message(decided)
        if peer.id:
            peer.open[message.id] = decided
        try:
            with departure:
                return await self._carried(arrived, peer, reply, decided)
        finally:
            # A call whose answer may come on another stream stays open until then.
            if decided.settled or not decided.resumable:
                if peer.open.get(message.id) is decided:
                    del peer.open[message.id]
                peer.gate.abandon(decided, "the client went away")

    async def _carried(
        self, arrived: Arrived, peer: McpPeer, reply: HttpAnswer, call: OpenCall
    ) -> StreamResponse:
        """Send a call to the server, and its answer to the client."""
        changed = _changed_headers(arrived.headers, call)
        if changed is None:
            why = "policy changed arguments that its headers repeat"
            return await reply.message(await peer.gate.lost(call, why, "not-run"))
        patient = call.message.method == "subscriptions/listen"
        try:
            response = await self._send(
                "POST", arrived, peer, call.data, other=changed, patient=patient
            )
        except aiohttp.ClientConnectorError as error:
            told = await peer.gate.lost(call, f"cannot be reached: {error.strerror}", "not-run")
            return await reply.message(told, 502)
        except (aiohttp.ClientError, OSError) as error:
            told = await peer.gate.lost(call, str(error) or type(error).__name__)
            return await reply.message(told, 502)
        if _is_stream(response) and response.status == 200:
            if patient:
                self._streams.add(response)
            try:
                self._began(peer, reply, call, response)
                return await self._pump(arrived, peer, reply, call).run(response)
            finally:
                self._streams.discard(response)
                self._finish(response, call.settled)
        return await self._whole(peer, reply, call, response)

    async def _whole(
        self, peer: McpPeer, reply: HttpAnswer, call: OpenCall, response: LeanAnswer
    ) -> StreamResponse:
        """An answer that comes in one piece."""
        status = response.status
        try:
            data = await _bounded(response, self.config.max_message)
            if status == 404 and peer.id:
                self._table.forget(peer, "the server ended the session")
            message = mcp.read_message(data, self._limits)
        except (aiohttp.ClientError, OSError, McpFault) as error:
            response.close()
            why = f"it answered {status}" if status != 200 else str(error)
            told = await peer.gate.lost(call, why)
            return await reply.message(told, _shown_status(status))
        answers = message.id == call.message.id or (
            message.kind is MessageKind.ERROR and message.id is None
        )
        if not message.answers or not answers or status in (401, 403, 407):
            told = await peer.gate.lost(call, f"it answered {status}, and not to this request")
            return await reply.message(told, _shown_status(status))
        if status < 400:
            self._began(peer, reply, call, response)
        return await reply.message(await peer.gate.answer(call, message), _shown_status(status))

    def _began(
        self, peer: McpPeer, reply: HttpAnswer, call: OpenCall, response: LeanAnswer
    ) -> None:
        """Take note of the session that an answer to ``initialize`` begins."""
        given = response.headers.get("Mcp-Session-Id")
        if given is not None and not peer.id and call.message.method == "initialize":
            reply.headers["Mcp-Session-Id"] = self._table.begin(peer, given)

    async def _notification(
        self, arrived: Arrived, peer: McpPeer, message: McpMessage
    ) -> StreamResponse:
        if message.method == _CANCELLED:
            request_id = message.body.get("requestId")
            call = peer.open.pop(request_id, None) if isinstance(request_id, int | str) else None
            if call is not None:
                peer.gate.abandon(call, "the client cancelled it")
        return await self._told(arrived, peer, message.raw, message.id)

    async def _answer(self, arrived: Arrived, peer: McpPeer, message: McpMessage) -> StreamResponse:
        """The client's answer to what the server asked."""
        call = None if message.id is None else peer.asked.pop(message.id, None)
        if call is None:
            return refusal(b"", 202)
        return await self._told(arrived, peer, await peer.gate.answer(call, message), None)

    async def _told(
        self, arrived: Arrived, peer: McpPeer, data: bytes, message_id: MessageId | None
    ) -> StreamResponse:
        """Send something that has no answer."""
        try:
            response = await self._send("POST", arrived, peer, data)
        except (aiohttp.ClientError, OSError) as error:
            return _unreachable(message_id, f"the server cannot be reached: {error}")
        response.release()
        if response.status < 300:
            return refusal(b"", 202)
        return _failed(message_id, response.status)

    async def _exchange(
        self, arrived: Arrived, peer: McpPeer, request: bytes, request_id: str
    ) -> McpMessage:
        """Ask the server something in the gateway's own name.

        Raises:
            OSError: there is no answer.
        """
        other = {"mcp-method": "tools/list"} if mcp_headers.METHOD in arrived.headers else {}
        try:
            response = await self._send(
                "POST", arrived, peer, request, other=other, without=mcp_headers.NAME
            )
            try:
                return await self._own_answer(response, request_id)
            finally:
                response.close()
        except (aiohttp.ClientError, McpFault, MalformedReply) as error:
            raise ConnectionError(str(error)) from error

    async def _own_answer(self, response: LeanAnswer, request_id: str) -> McpMessage:
        if not _is_stream(response):
            message = mcp.read_message(
                await _bounded(response, self.config.max_message), self._limits
            )
            if message.id == request_id and message.answers:
                return message
            raise ConnectionError("the server answered something else")
        reader = EventReader(self.config.max_message)
        async for chunk in response.content.iter_any():
            for event in reader.feed(chunk):
                if event.data:
                    message = mcp.read_message(event.data, self._limits)
                    if message.id == request_id and message.answers:
                        return message
        raise ConnectionError("the server did not answer")

    async def _send(
        self,
        method: str,
        arrived: Arrived,
        peer: McpPeer,
        data: bytes | None,
        *,
        other: Mapping[str, str] | None = None,
        without: str = "",
        patient: bool = False,
    ) -> LeanAnswer:
        headers = arrived.passing.request.headers.items()
        kept = headers if not without else [h for h in headers if h[0].lower() != without]
        session = peer.upstream or None
        return await self._upstream.request(method, kept, session, data, other, patient=patient)

    def _pump(
        self, arrived: Arrived, peer: McpPeer, reply: HttpAnswer, call: OpenCall | None
    ) -> EventPump:
        def refuse(data: bytes) -> None:
            self._later(self._refused(arrived, peer, data))

        return EventPump(peer, reply, call, self._limits, refuse)

    async def _refused(self, arrived: Arrived, peer: McpPeer, data: bytes) -> None:
        """Tell the server that what it asked was refused."""
        try:
            headers = {"content-type": JSON_MEDIA}
            response = await self._send("POST", arrived, peer, data, other=headers)
            response.release()
        except (aiohttp.ClientError, OSError) as error:
            _log.warning("refusal not sent", extra={"server": self.config.name, "fault": error})

    def _finish(self, response: LeanAnswer, whole: bool) -> None:
        """Give the connection back, once the little that is left was read."""
        if not whole:
            response.close()
        elif response.content.at_eof():
            response.release()
        else:
            self._later(_drained(response))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _drained(response: LeanAnswer) -> None:
    """Read the end of a stream that said all it had to say."""
    try:
        async with asyncio.timeout(_DRAIN_TIME):
            async for _ in response.content.iter_any():
                pass
        response.release()
    except (aiohttp.ClientError, OSError):
        response.close()


async def _bounded(response: LeanAnswer, most: int) -> bytes:
    """The whole body.

    Raises:
        ConnectionError: it is too large.
        aiohttp.ClientError: it broke off.
    """
    data = await response.content.readany()
    if response.content.at_eof() and len(data) <= most:
        response.release()
        return data
    body = bytearray(data)
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most:
            response.close()
            raise ConnectionError(f"its answer has more than {most:,} bytes")
    response.release()
    return bytes(body)


def _is_stream(response: LeanAnswer) -> bool:
    return response.headers.get("Content-Type", "").lower().startswith(SSE_MEDIA)


def _shown_status(status: int) -> int:
    """The server's status, unless it speaks of the gateway's own credentials, or leads away."""
    return 502 if status in (401, 403, 407) or 300 <= status < 400 or status < 200 else status


def _changed_headers(headers: Mapping[str, str], call: OpenCall) -> dict[str, str] | None:
    """Headers to send in place of the client's; None where they cannot be made to agree."""
    if call.data is call.message.raw:
        return {}
    if any(name.startswith(mcp_headers.PARAM_PREFIX) for name in headers):
        return None
    if mcp_headers.NAME not in headers or call.message.method == TOOL_CALL:
        return {}
    granted = call.granted
    assert granted is not None
    changed = granted.request.arguments.get("uri", granted.request.arguments.get("name"))
    return {mcp_headers.NAME: mcp_headers.encoded(str(changed))}


def _no_such_session(message_id: MessageId | None) -> StreamResponse:
    told = "There is no such session of yours. Begin one with initialize."
    return refusal(mcp.error_answer(message_id, mcp.INVALID_REQUEST, told), 404)


def _unreachable(message_id: MessageId | None, told: str) -> StreamResponse:
    return refusal(mcp.error_answer(message_id, mcp.UNREACHABLE, told), 502)


def _failed(message_id: MessageId | None, status: int) -> StreamResponse:
    told = f"The server answered {status}."
    shown = _shown_status(status) if status >= 300 else 502
    return refusal(mcp.error_answer(message_id, mcp.UNREACHABLE, told), shown)
