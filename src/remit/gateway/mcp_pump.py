"""Events of an MCP server on their way to a client: each read, decided on, and passed on."""

from __future__ import annotations

import logging
from collections.abc import Callable

import aiohttp
from aiohttp.web import StreamResponse

from remit.canonical import JsonLimits
from remit.errors import MalformedReply
from remit.gateway.lean_client import LeanAnswer
from remit.gateway.mcp_answers import ClientGone, HttpAnswer
from remit.gateway.mcp_calls import OpenCall
from remit.gateway.mcp_peers import McpPeer
from remit.protocols import mcp
from remit.protocols.mcp import McpFault, McpMessage, MessageKind
from remit.protocols.sse import EventReader, ServerEvent, encode_event

_log = logging.getLogger("remit.mcp")
_MOST_ASKED = 64


class EventPump:
    """One stream of events from a server to a client."""

    def __init__(
        self,
        peer: McpPeer,
        reply: HttpAnswer,
        call: OpenCall | None,
        limits: JsonLimits,
        refuse: Callable[[bytes], None],
    ) -> None:
        """Prepare.

        Args:
            peer: the client.
            reply: what it is sent.
            call: what the stream is to answer; None for one that goes on until somebody ends it.
            limits: of one message.
            refuse: sends the server a refusal of what it asked, without waiting.
        """
        self._peer = peer
        self._reply = reply
        self._call = call
        self._limits = limits
        self._refuse = refuse

    async def run(self, response: LeanAnswer) -> StreamResponse:
        """Pass events on as they come, to the answer or to the end.

        Raises:
            ClientGone: nobody reads them.
        """
        reader = EventReader(self._limits.bytes)
        call, reply, why = self._call, self._reply, "the stream ended without an answer"
        try:
            if call is None:
                await reply.event(_OPEN)
            async for chunk in response.content.iter_any():
                for event in reader.feed(chunk):
                    last = await self._event(event)
                    if last is not None:
                        return await reply.last_event(last)
        except ClientGone:
            raise
        except (aiohttp.ClientError, OSError, MalformedReply) as error:
            why = str(error) or type(error).__name__
        if call is None or (call.resumable and self._peer.open.get(call.message.id or "") is call):
            return await reply.end()
        return await reply.message(await self._peer.gate.lost(call, why))

    async def _event(self, event: ServerEvent) -> bytes | None:
        """Pass one event on; the last one is given back instead."""
        reply, call = self._reply, self._call
        if call is not None and event.has_id and self._peer.id:
            call.resumable = True
        if not event.data:
            if event.has_id or reply.begun:
                await reply.event(event.raw)
            return None
        if event.name not in ("", "message"):
            return None
        try:
            message = mcp.read_message(event.data, self._limits)
        except McpFault as fault:
            _log.warning("not passed on", extra={"server": self._peer.gate.server, "fault": fault})
            return None
        if message.answers:
            return await self._answered(event, message)
        shown: bytes | None = message.raw
        if message.kind is MessageKind.NOTIFICATION:
            self._peer.gate.noticed(message)
        else:
            shown = await self._asked(message)
        if shown is not None:
            await reply.event(_as(event, message, shown))
        return None

    async def _answered(self, event: ServerEvent, message: McpMessage) -> bytes | None:
        """Settle the call that an event answers; given back if it is the one waited for."""
        peer, found = self._peer, self._call
        own = found is not None and (
            message.id == found.message.id
            or (message.id is None and message.kind is MessageKind.ERROR)
        )
        if not own and message.id is not None:
            found = peer.open.pop(message.id, None)
            kept = peer.answered.get(message.id)
            if found is None and kept is not None:
                await self._reply.event(encode_event(kept, "message", event.id))
        if found is None or not (own or message.id is not None):
            return None
        shown = await peer.gate.answer(found, message)
        if event.has_id and peer.id:
            peer.keep(found, shown)
        sent = _as(event, message, shown)
        if own:
            return sent
        await self._reply.event(sent)
        return None

    async def _asked(self, message: McpMessage) -> bytes | None:
        """Decide on what the server asks of the client; None where it is not passed on."""
        peer = self._peer
        if not peer.id or message.id is None:
            return None
        decided = await peer.gate.server_request(message)
        if isinstance(decided, OpenCall):
            if len(peer.asked) < _MOST_ASKED and message.id not in peer.asked:
                peer.asked[message.id] = decided
                return decided.data
            peer.gate.abandon(decided, "too many questions are open")
            decided = mcp.error_answer(message.id, mcp.INVALID_REQUEST, "Too many questions.")
        self._refuse(decided)
        return None


_OPEN = b": open\n\n"


def _as(event: ServerEvent, message: McpMessage, shown: bytes) -> bytes:
    """The event as it came, if its message is shown as it came."""
    if shown is message.raw:
        return event.raw
    return encode_event(shown, "message", event.id)
