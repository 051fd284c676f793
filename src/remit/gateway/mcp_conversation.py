"""A conversation between one MCP client and one server that may speak at any time.

Whatever carries the messages, each is put before the gate here. Requests are decided on side by
side, so that one which waits for a person holds up no other; what passes without a decision keeps
its order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from remit.gateway.mcp_calls import OpenCall, WaitNotice
from remit.gateway.mcp_gate import McpGate
from remit.protocols import mcp
from remit.protocols.mcp import McpMessage, MessageId, MessageKind
from remit.protocols.mcp_methods import PASSED_TO_CLIENT, PASSED_TO_SERVER

MOST_CALLS = 256
"""Requests of a client that may be open at once."""
MOST_ASKED = 64
"""Requests of a server that may be open at once."""
_BUSY = -32012
_LAST_SETTLES = 5.0
"""Seconds that answers which have come may take to be recorded when a conversation ends."""
CANCELLED = "notifications/cancelled"


class ClientSide(Protocol):
    """Where a conversation's client is."""

    async def answer(self, data: bytes, request_id: MessageId | None) -> None:
        """Send the answer to one of its requests."""
        ...

    async def push(self, message: McpMessage, data: bytes) -> None:
        """Send a notification or a request of the server: ``data``, made of ``message``."""
        ...

    def held(self, message: McpMessage) -> WaitNotice | None:
        """How to tell it that a request of its waits; None where it would not understand."""
        ...


class ServerSide(Protocol):
    """Where a conversation's server is."""

    async def send(self, data: bytes) -> None:
        """Send a message.

        Raises:
            OSError: it cannot be sent.
        """
        ...


class _Exchange:
    """A request that is not answered yet: first a task that decides, then an open call."""

    __slots__ = ("call", "own", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.call: OpenCall | None = None
        self.own: asyncio.Future[McpMessage] | None = None
        """Set where the gateway itself asks."""


class McpConversation:
    """Puts what a client and a server say to one another before their gate."""

    def __init__(self, gate: McpGate, client: ClientSide, server: ServerSide) -> None:
        self.gate = gate
        self._client = client
        self._server = server
        self._open: dict[MessageId, _Exchange] = {}
        """Requests of the client."""
        self._asked: dict[MessageId, _Exchange] = {}
        """Requests of the server."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.strays = 0
        """Answers to nothing that was asked. They are not passed on."""

    @property
    def busy(self) -> bool:
        """Whether something is not answered yet."""
        return bool(self._open or self._tasks)

    async def exchange(self, request: bytes, request_id: str) -> McpMessage:
        """Ask the server something in the gateway's own name.

        Raises:
            OSError: there is no answer.
        """
        exchange = _Exchange()
        exchange.own = asyncio.get_running_loop().create_future()
        self._open[request_id] = exchange
        try:
            await self._server.send(request)
            async with asyncio.timeout(30):
                return await exchange.own
        except TimeoutError as error:
            raise ConnectionError("the server did not answer") from error
        finally:
            self._open.pop(request_id, None)

    # What the client says

    async def from_client(self, message: McpMessage) -> None:
        """Take a message of the client."""
        if message.kind is MessageKind.REQUEST:
            await self._client_request(message)
        elif message.kind is MessageKind.NOTIFICATION:
            if message.method == CANCELLED:
                self._cancel(self._open, message, "the client cancelled it")
            await self._to_server(message.raw)
        else:
            self._answered_by_client(message)

    async def _client_request(self, message: McpMessage) -> None:
        assert message.id is not None
        if message.id in self._open:
            problem = "This id belongs to a request that is not answered yet."
            await self._refuse(message, mcp.INVALID_REQUEST, problem)
        elif len(self._open) >= MOST_CALLS:
            problem = "Too many requests at once; wait for answers, then send it again."
            await self._refuse(message, _BUSY, problem)
        else:
            exchange = self._open[message.id] = _Exchange()
            if message.method in PASSED_TO_SERVER:
                await self._decide(message, exchange)
            else:
                exchange.task = self._begin(self._decide(message, exchange))

    async def _refuse(self, message: McpMessage, code: int, problem: str) -> None:
        await self._client.answer(mcp.error_answer(message.id, code, problem), message.id)

    async def _decide(self, message: McpMessage, exchange: _Exchange) -> None:
        assert message.id is not None
        decided = await self.gate.request(message, self._client.held(message), self.exchange)
        exchange.task = None
        if isinstance(decided, bytes):
            self._open.pop(message.id, None)
            await self._client.answer(decided, message.id)
            return
        exchange.call = decided
        try:
            await self._server.send(decided.data)
        except OSError as error:
            self._open.pop(message.id, None)
            told = await self.gate.lost(decided, str(error), "not-run")
            await self._client.answer(told, message.id)

    def _answered_by_client(self, message: McpMessage) -> None:
        exchange = None if message.id is None else self._asked.get(message.id)
        if exchange is None or exchange.call is None:
            self.strays += 1
            return
        del self._asked[message.id]  # type: ignore[arg-type]
        self._begin(self._settle_asked(exchange.call, message))

    async def _settle_asked(self, call: OpenCall, message: McpMessage) -> None:
        await self._to_server(await self.gate.answer(call, message))

    # What the server says

    async def from_server(self, message: McpMessage) -> None:
        """Take a message of the server."""
        if message.kind is MessageKind.REQUEST:
            await self._server_request(message)
        elif message.kind is MessageKind.NOTIFICATION:
            self.gate.noticed(message)
            if message.method == CANCELLED:
                self._cancel(self._asked, message, "the server cancelled it")
            await self._client.push(message, message.raw)
        else:
            self._answered_by_server(message)

    def _answered_by_server(self, message: McpMessage) -> None:
        exchange = None if message.id is None else self._open.get(message.id)
        if exchange is not None and exchange.own is not None:
            if not exchange.own.done():
                exchange.own.set_result(message)
        elif exchange is None or exchange.call is None:
            self.strays += 1
        else:
            del self._open[message.id]  # type: ignore[arg-type]
            self._begin(self._settle(exchange.call, message))

    async def _settle(self, call: OpenCall, message: McpMessage) -> None:
        shown = await self.gate.answer(call, message)
        await self._client.answer(shown, message.id)

    async def _server_request(self, message: McpMessage) -> None:
        assert message.id is not None
        if message.id in self._asked or len(self._asked) >= MOST_ASKED:
            problem = "This id is in use, or too many requests are open."
            await self._to_server(mcp.error_answer(message.id, _BUSY, problem))
            return
        exchange = self._asked[message.id] = _Exchange()
        if message.method in PASSED_TO_CLIENT:
            await self._decide_asked(message, exchange)
        else:
            exchange.task = self._begin(self._decide_asked(message, exchange))

    async def _decide_asked(self, message: McpMessage, exchange: _Exchange) -> None:
        assert message.id is not None
        decided = await self.gate.server_request(message)
        exchange.task = None
        if isinstance(decided, bytes):
            self._asked.pop(message.id, None)
            await self._to_server(decided)
        else:
            exchange.call = decided
            await self._client.push(message, decided.data)

    async def _to_server(self, data: bytes) -> None:
        try:
            await self._server.send(data)
        except OSError:
            # Nobody is there to hear it; requests that wait for it are told by ``server_gone``.
            self.strays += 1

    # Ends

    def _cancel(self, table: dict[MessageId, _Exchange], message: McpMessage, why: str) -> None:
        """Settle what was cancelled. Nobody answers it any more."""
        request_id = message.body.get("requestId")
        exchange = table.pop(request_id, None) if isinstance(request_id, int | str) else None
        if exchange is not None:
            self._drop(exchange, why)

    def _drop(self, exchange: _Exchange, why: str) -> None:
        if exchange.task is not None:
            exchange.task.cancel()
        if exchange.call is not None:
            self.gate.abandon(exchange.call, why)
        if exchange.own is not None and not exchange.own.done():
            exchange.own.set_exception(ConnectionError(why))

    async def server_gone(self, why: str) -> None:
        """Answer what the server will not answer any more, and forget what it asked."""
        self.gate.forget_tools()
        for exchange in list(self._asked.values()):
            self._drop(exchange, why)
        self._asked.clear()
        for request_id, exchange in list(self._open.items()):
            if exchange.call is not None:
                del self._open[request_id]
                told = await self.gate.lost(exchange.call, why)
                await self._client.answer(told, request_id)
            elif exchange.own is not None and not exchange.own.done():
                exchange.own.set_exception(ConnectionError(why))

    async def settled(self) -> None:
        """Wait until nothing is being decided or settled any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self, why: str) -> None:
        """End it: settle whatever is open, without waiting for anybody."""
        for exchange in (*self._open.values(), *self._asked.values()):
            self._drop(exchange, why)
        self._open.clear()
        self._asked.clear()
        if self._tasks:  # outcomes on their way to the store
            await asyncio.wait(self._tasks, timeout=_LAST_SETTLES)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.gate.close(why)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()
