"""``/mcp/NAME`` before a command: each session of a client has a server process of its own.

Requests of the stateless era have no session; all that comes with one credential shares a process,
which sees ids of the gateway's own, since two clients may use the same ones.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from aiohttp.web import StreamResponse

from remit.api.mounts import Passing
from remit.canonical import JsonLimits
from remit.config.mcp import McpConfig
from remit.gateway.llm_departure import Departure
from remit.gateway.mcp_answers import KEEPALIVE, HttpAnswer, refusal
from remit.gateway.mcp_calls import Inspector, WaitNotice
from remit.gateway.mcp_child import ChildSession
from remit.gateway.mcp_conversation import CANCELLED
from remit.gateway.mcp_process import ChildSettings
from remit.gateway.mcp_sessions import CallerSessions, Claim, HostedSubject, Owner, claim
from remit.guard.enforcement import Enforcement
from remit.protocols import mcp, mcp_headers
from remit.protocols.mcp import McpFault, McpMessage, MessageId, MessageKind
from remit.protocols.sse import encode_event

_log = logging.getLogger("remit.mcp")
_MOST_KEPT = 64
"""Messages that are kept for a client whose stream is not open."""
_SWEEP = 15.0
_PING = 15.0
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


class _Waiting:
    """A request that an HTTP client waits for."""

    __slots__ = ("answer", "own_id", "reply", "token")

    def __init__(self, own_id: MessageId, token: MessageId | None, reply: HttpAnswer) -> None:
        self.own_id = own_id
        """The id that the client gave it."""
        self.token = token
        self.reply = reply
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()


class BridgeClient:
    """One client over HTTP, as its conversation sees it (``ClientSide``)."""

    def __init__(self, session_id: str, owner: Owner, subject: HostedSubject) -> None:
        self.id = session_id
        """Empty where there is no session."""
        self.owner = owner
        self.subject = subject
        self.waiting: dict[MessageId, _Waiting] = {}
        self.streams = 0
        self.used = monotonic()
        self._kept: deque[bytes] = deque(maxlen=_MOST_KEPT)
        self._news = asyncio.Event()
        self._count = 0

    def next_id(self) -> str:
        """An id for a request of a client that shares its server with others."""
        self._count += 1
        return f"remit-{self._count}"

    @property
    def idle(self) -> float:
        """Seconds since somebody used it; 0 while somebody does."""
        return 0.0 if self.waiting or self.streams else monotonic() - self.used

    async def answer(self, data: bytes, request_id: MessageId | None) -> None:
        """Give the answer to whoever waits for it."""
        waiting = None if request_id is None else self.waiting.get(request_id)
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_result(data)

    async def cancelled(self, notice: McpMessage) -> None:
        """End the HTTP request of a call that the client took back: no answer will come."""
        request_id = notice.body.get("requestId")
        if isinstance(request_id, int | str):
            told = mcp.error_answer(request_id, mcp.UNREACHABLE, "The client cancelled it.")
            await self.answer(told, request_id)

    async def push(self, message: McpMessage, data: bytes) -> None:
        """Send what the server says to the stream that it belongs to, or keep it."""
        waiting, sent = self._concerned(message, data)
        if waiting is None and self.streams == 0 and message.kind is MessageKind.REQUEST:
            waiting = next(reversed(self.waiting.values()), None) if self.waiting else None
        if waiting is not None and waiting.reply.takes_events:
            try:
                await waiting.reply.event(encode_event(sent, "message"))
            except ConnectionError:
                return
        elif self.id:
            self._kept.append(sent)
            self._news.set()

    def held(self, message: McpMessage) -> WaitNotice | None:
        """How to tell the client that its request waits."""
        waiting = None if message.id is None else self.waiting.get(message.id)
        return None if waiting is None else waiting.reply.notice(waiting.token)

    async def stream(self, reply: HttpAnswer, draining: Callable[[], bool]) -> StreamResponse:
        """Send what the server says on a stream of its own, until nobody reads it."""
        self.streams += 1
        try:
            await reply.event(KEEPALIVE)
            while not draining():
                while self._kept:
                    await reply.event(encode_event(self._kept.popleft(), "message"))
                self._news.clear()
                try:
                    async with asyncio.timeout(_PING):
                        await self._news.wait()
                except TimeoutError:
                    await reply.event(KEEPALIVE)
            return await reply.end()
        finally:
            self.streams -= 1

    def wake(self) -> None:
        """Have its streams look whether they should end."""
        self._news.set()

    def _concerned(self, message: McpMessage, data: bytes) -> tuple[_Waiting | None, bytes]:
        """Whose stream a message belongs to, and the message with that one's own ids."""
        params = message.body
        subscription = message.meta.get(SUBSCRIPTION)
        if message.method == "notifications/progress":
            token = params.get("progressToken")
            for waiting in self.waiting.values() if token is not None else ():
                if not self.id and token == _own_token(waiting, self.waiting):
                    changed = {**params, "progressToken": waiting.token}
                    return waiting, mcp.with_body(message, changed)
                if self.id and token == waiting.token:
                    return waiting, data
            return None, data
        if isinstance(subscription, int | str) and subscription in self.waiting:
            waiting = self.waiting[subscription]
            if self.id:
                return waiting, data
            meta = {**message.meta, SUBSCRIPTION: waiting.own_id}
            return waiting, mcp.with_body(message, {**params, "_meta": meta})
        only = next(iter(self.waiting.values())) if len(self.waiting) == 1 else None
        return (only if not self.id else None), data


def _own_token(waiting: _Waiting, table: Mapping[MessageId, _Waiting]) -> MessageId | None:
    """The token under which a shared server reports: the id that it knows the request by."""
    return next((key for key, each in table.items() if each is waiting), None)


class CommandEndpoint:
    """One MCP server that is started as a command, and its clients."""

    def __init__(
        self,
        config: McpConfig,
        sessions: CallerSessions,
        enforcement: Enforcement,
        new_id: Callable[[], str],
        inspector: Inspector | None = None,
    ) -> None:
        """Put the parts together, in the event loop. The arguments are those of ``UrlEndpoint``."""
        self.config = config
        self._sessions = sessions
        self._enforcement = enforcement
        self._new_id = new_id
        self._inspector = inspector
        self._limits = JsonLimits(bytes=config.max_message, depth=mcp.MAX_DEPTH)
        self._settings = ChildSettings(
            command=config.command, env=config.env, cwd=config.cwd, max_message=config.max_message
        )
        self._named: dict[str, tuple[BridgeClient, ChildSession]] = {}
        self._shared: dict[Owner, tuple[BridgeClient, ChildSession]] = {}
        self._starting: dict[Owner, asyncio.Task[tuple[BridgeClient, ChildSession]]] = {}
        self._sweeping: asyncio.Task[None] | None = None
        self._ending = False

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
        claimed = claim(passing)
        shown = headers.get(mcp_headers.SESSION)
        try:
            if shown is not None:
                found = self._session(shown, claimed)
            elif message.method == "initialize":
                found = await self._begin(self._new_id(), claimed)
            else:
                found = await self._common(claimed)
        except OSError as error:
            told = f"The server cannot be started: {error.strerror or error}"
            return refusal(mcp.error_answer(message.id, mcp.UNREACHABLE, told), 502)
        if found is None:
            told = "There is no such session of yours. Begin one with initialize."
            return refusal(mcp.error_answer(message.id, mcp.INVALID_REQUEST, told), 404)
        client, session = found
        client.used = monotonic()
        client.subject.claimed = claimed
        if message.kind is not MessageKind.REQUEST:
            if client.id:  # without a session nothing of the sort belongs to anything
                await session.from_client(message)
                if message.method == CANCELLED:
                    await client.cancelled(message)
            return refusal(b"", 202)
        return await self._request(passing, client, session, message)

    async def get(self, passing: Passing, headers: Mapping[str, str]) -> StreamResponse:
        """Open a stream of what the server has to say.

        Raises:
            ConnectionError: the client is gone.
        """
        found = self._session(headers.get(mcp_headers.SESSION, ""), claim(passing))
        if found is None:
            told = "There is no such session of yours. Begin one with initialize."
            return refusal(mcp.error_answer(None, mcp.INVALID_REQUEST, told), 404)
        if mcp_headers.LAST_EVENT in headers:
            told = (
                "This server is a command, whose messages are not kept: a stream cannot be gone on "
                "with. Open a new one, without Last-Event-ID."
            )
            return refusal(mcp.error_answer(None, mcp.INVALID_REQUEST, told), 400)
        reply = HttpAnswer(passing.request)
        reply.headers["Mcp-Session-Id"] = found[0].id
        with Departure(passing):
            return await found[0].stream(reply, lambda: self._ending)

    async def delete(self, passing: Passing, headers: Mapping[str, str]) -> StreamResponse:
        """End a session, and its process."""
        shown = headers.get(mcp_headers.SESSION, "")
        found = self._session(shown, claim(passing))
        if found is None:
            told = "There is no such session of yours."
            return refusal(mcp.error_answer(None, mcp.INVALID_REQUEST, told), 404)
        del self._named[shown]
        await found[1].close("the client ended its session")
        return refusal(b"", 200)

    async def drain(self) -> None:
        """End the streams that would never end by themselves."""
        self._ending = True
        for client, _ in (*self._named.values(), *self._shared.values()):
            client.wake()

    async def close(self) -> None:
        """Settle what is open, and end the processes."""
        self._ending = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        open_ones = (*self._named.values(), *self._shared.values())
        self._named.clear()
        self._shared.clear()
        await asyncio.gather(*(session.close("the gateway ended") for _, session in open_ones))

    # Sessions

    def _session(self, session_id: str, claimed: Claim) -> tuple[BridgeClient, ChildSession] | None:
        found = self._named.get(session_id)
        if found is None or found[0].owner != claimed.owner:
            return None
        # One that nobody used is over, whether or not its process has ended already.
        return None if found[0].idle > self.config.session_idle else found

    async def _common(self, claimed: Claim) -> tuple[BridgeClient, ChildSession]:
        """The process that all requests of a caller share."""
        found = self._shared.get(claimed.owner)
        if found is not None:
            return found
        starting = self._starting.get(claimed.owner)
        if starting is None:
            starting = asyncio.ensure_future(self._begin("", claimed))
            self._starting[claimed.owner] = starting
            starting.add_done_callback(lambda _: self._starting.pop(claimed.owner, None))
        return await asyncio.shield(starting)

    async def _begin(self, session_id: str, claimed: Claim) -> tuple[BridgeClient, ChildSession]:
        """Start a process.

        Raises:
            OSError: it cannot be started, or too many run.
        """
        if len(self._named) + len(self._shared) >= self.config.max_sessions:
            await self._sweep()
        if len(self._named) + len(self._shared) >= self.config.max_sessions:
            raise ConnectionError("too many sessions are open; try later")
        subject = HostedSubject(self._sessions, claimed)
        client = BridgeClient(session_id, claimed.owner, subject)
        gate = (self.config.name, self._enforcement, subject, self._inspector)
        session = ChildSession(self._settings, gate, client, self._say)
        await session.start()
        if session_id:
            self._named[session_id] = client, session
        else:
            self._shared[claimed.owner] = client, session
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep_on())
        return client, session

    async def _sweep_on(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            await self._sweep()

    async def _sweep(self) -> None:
        """End the processes that nobody uses."""
        idle = self.config.session_idle
        unused = [key for key, (client, _) in self._named.items() if client.idle > idle]
        ended = [self._named.pop(key) for key in unused]
        owners = [key for key, (client, _) in self._shared.items() if client.idle > idle]
        ended += [self._shared.pop(key) for key in owners]
        await asyncio.gather(*(session.close("nobody used it") for _, session in ended))

    def _say(self, line: str) -> None:
        _log.info("server said", extra={"server": self.config.name, "line": line})

    # Requests

    async def _request(
        self, passing: Passing, client: BridgeClient, session: ChildSession, message: McpMessage
    ) -> StreamResponse:
        assert message.id is not None
        reply = HttpAnswer(passing.request)
        own = message.id
        waiting = _Waiting(own, message.progress_token, reply)
        if client.id:
            reply.headers["Mcp-Session-Id"] = client.id
        else:
            message = _renamed(message, client.next_id())
        assert message.id is not None
        if message.id in client.waiting:
            problem = "This id belongs to a request that is not answered yet."
            raise McpFault(mcp.INVALID_REQUEST, problem, own)
        client.waiting[message.id] = waiting
        try:
            await session.from_client(message)
            with Departure(passing):
                data = await waiting.answer
        finally:
            del client.waiting[message.id]
            client.used = monotonic()
            if not waiting.answer.done() or waiting.answer.cancelled():
                await self._given_up(client, session, message.id)
        return await reply.message(data if client.id else _named_back(data, own))

    async def _given_up(
        self, client: BridgeClient, session: ChildSession, request_id: MessageId
    ) -> None:
        """Cancel a request whose client is gone: nobody could get its answer any more."""
        params = {"requestId": request_id, "reason": "the client went away"}
        value = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
        notice = mcp.read_message(mcp.encode_message(value))
        await asyncio.shield(asyncio.ensure_future(session.from_client(notice)))


def _renamed(message: McpMessage, new_id: str) -> McpMessage:
    """A request under another id, which progress is reported under, too."""
    params = message.body
    if message.progress_token is not None:
        params = {**params, "_meta": {**message.meta, "progressToken": new_id}}
    value: dict[str, Any] = {**message.value, "id": new_id}
    if "params" in value:
        value["params"] = params
    return McpMessage(
        mcp.encode_message(value), message.kind, new_id, message.method, params, value
    )


def _named_back(data: bytes, own: MessageId) -> bytes:
    """An answer under the id that the client knows."""
    value = json.loads(data)
    value["id"] = own
    meta = value.get("result", {}).get("_meta") if isinstance(value.get("result"), dict) else None
    if isinstance(meta, dict) and SUBSCRIPTION in meta:
        meta[SUBSCRIPTION] = own
    return mcp.encode_message(value)
