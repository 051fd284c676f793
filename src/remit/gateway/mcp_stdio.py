"""MCP over standard input and output: ``remit wrap`` between a client and a server's command.

The client starts this process as if it were the server; the server is its child. Lines are passed
on as they came unless policy changed them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import IO

from remit.canonical import JsonLimits
from remit.gateway.mcp_calls import GateSubject, Inspector, WaitNotice
from remit.gateway.mcp_conversation import McpConversation
from remit.gateway.mcp_gate import McpGate
from remit.gateway.mcp_process import ChildListener, ChildServer, ChildSettings
from remit.guard.enforcement import Enforcement
from remit.protocols import mcp
from remit.protocols.mcp import McpFault, McpMessage, MessageId

_READ = 65_536
_INITIALIZE_AGAIN = "remit-initialize"
_WRITE_TIME = 60.0
"""Seconds that a client may leave what it is sent unread."""


class StdioRelay:
    """Between a client at this process's pipes and a server that is its child."""

    def __init__(
        self,
        settings: ChildSettings,
        server: str,
        enforcement: Enforcement,
        subject: GateSubject,
        *,
        inspector: Inspector | None = None,
        log: Callable[[str], None],
    ) -> None:
        """Put the parts together; ``run`` starts the server.

        Args:
            settings: the server's command.
            server: its name in policy.
            enforcement: who decides.
            subject: who acts.
            inspector: who looks into what passes.
            log: where the server's errors go, line by line.
        """
        self._log = log
        self._max_message = settings.max_message
        self._limits = JsonLimits(bytes=settings.max_message, depth=mcp.MAX_DEPTH)
        listener = ChildListener(
            line=self._server_line, ended=self._ended, restarted=self._restarted, log=log
        )
        self.child = ChildServer(settings, listener)
        self._gate = McpGate(server, enforcement, subject, inspector)
        self._client = _StdioClient()
        self.conversation = McpConversation(self._gate, self._client, self.child)
        self._initialize: bytes | None = None
        """How the client began, to begin anew with a server that was started again."""
        self._initialized: bytes | None = None

    async def run(self, source: IO[bytes], sink: IO[bytes], ending: asyncio.Event) -> None:
        """Relay until the client leaves, the server ends for good, or ``ending`` is set.

        Args:
            source: what the client writes; a pipe or socket.
            sink: what it reads.
            ending: set it to end the relay.

        Raises:
            OSError: the server cannot be started.
        """
        reader = await self._client.connect(source, sink)
        await self.child.start()
        reading = asyncio.create_task(self._read(reader))
        leaving = asyncio.create_task(ending.wait())
        gone = asyncio.create_task(self._client.gone.wait())
        try:
            await asyncio.wait((reading, leaving, gone), return_when=asyncio.FIRST_COMPLETED)
            if not ending.is_set() and not self._client.gone.is_set():
                await self._last_answers()
        finally:
            for task in (reading, leaving, gone):
                task.cancel()
            await asyncio.gather(reading, leaving, gone, return_exceptions=True)
            await self.conversation.close("the client went away")
            await self.child.stop()
            self._client.close()

    async def _last_answers(self) -> None:
        """The client closed its side: what it asked before may still be answered."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.child.grace
        while self.conversation.busy and not self._client.gone.is_set() and loop.time() < deadline:
            await asyncio.sleep(0.01)
        await self.child.close_input()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        held = bytearray()
        while chunk := await reader.read(_READ):
            start, end = 0, chunk.find(b"\n")
            while end >= 0:
                held += chunk[start:end]
                line = bytes(held).strip()
                held.clear()
                start, end = end + 1, chunk.find(b"\n", end + 1)
                if line:
                    await self._client_line(line)
            held += chunk[start:]
            if len(held) > self._max_message:
                self._log(f"the client sent a line of more than {self._max_message:,} bytes")
                return

    async def _client_line(self, line: bytes) -> None:
        try:
            message = mcp.read_message(line, self._limits)
        except McpFault as fault:
            await self._client.answer(mcp.fault_answer(fault), fault.id)
            return
        if message.method == "initialize":
            self._initialize = line
        elif message.method == "notifications/initialized":
            self._initialized = line
        await self.conversation.from_client(message)

    async def _server_line(self, line: bytes) -> None:
        try:
            message = mcp.read_message(line, self._limits)
        except McpFault as fault:
            self._log(f"not passed on to the client: {fault.message} {line[:120]!a}")
            return
        if message.id == _INITIALIZE_AGAIN and message.answers:
            return
        await self.conversation.from_server(message)

    async def _ended(self, why: str) -> None:
        await self.conversation.server_gone(why)

    async def _restarted(self) -> None:
        """Begin anew with the server as the client began with the one before.

        Raises:
            OSError: the server does not answer.
        """
        if self._initialize is None:
            return
        began = mcp.read_message(self._initialize, self._limits)
        await self.child.send_now(mcp.encode_message({**began.value, "id": _INITIALIZE_AGAIN}))
        # The answer is read by the same task that waits here, so nothing is awaited: a server
        # takes what comes after ``initialize`` in the order in which it was sent.
        if self._initialized is not None:
            await self.child.send_now(self._initialized)
        await self._client.push_notice("notifications/tools/list_changed")


class _StdioClient:
    """The client at the other end of this process's pipes (``ClientSide``)."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        """Set when it no longer reads."""
        self._writer: asyncio.StreamWriter | None = None
        self._pushes: set[asyncio.Task[None]] = set()

    async def connect(self, source: IO[bytes], sink: IO[bytes]) -> asyncio.StreamReader:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_READ)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
        writing = asyncio.StreamReaderProtocol(asyncio.StreamReader())
        transport, _ = await loop.connect_write_pipe(lambda: writing, sink)
        self._writer = asyncio.StreamWriter(transport, writing, None, loop)
        return reader

    async def answer(self, data: bytes, request_id: MessageId | None) -> None:
        await self._write(data)

    async def push(self, message: McpMessage, data: bytes) -> None:
        await self._write(data)

    async def push_notice(self, method: str) -> None:
        await self._write(mcp.encode_message({"jsonrpc": "2.0", "method": method}))

    def held(self, message: McpMessage) -> WaitNotice | None:
        token = message.progress_token
        if token is None:
            return None
        count = 0

        def tell(told: str) -> None:
            nonlocal count
            count += 1
            task = asyncio.ensure_future(self._write(mcp.progress_notice(token, count, told)))
            self._pushes.add(task)
            task.add_done_callback(self._pushes.discard)

        return WaitNotice(tell)

    async def _write(self, data: bytes) -> None:
        writer = self._writer
        if writer is None or self.gone.is_set():
            return
        if b"\n" in data or b"\r" in data:
            data = data.replace(b"\n", b" ").replace(b"\r", b" ")
        try:
            writer.write(data + b"\n")
            async with asyncio.timeout(_WRITE_TIME):
                await writer.drain()
        except (OSError, TimeoutError):
            self.gone.set()

    def close(self) -> None:
        for task in self._pushes:
            task.cancel()
        if self._writer is not None:
            self._writer.close()
