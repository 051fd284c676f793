"""MCP over standard input and output: ``remit wrap`` between a client and a server's command.

The client starts this process as if it were the server; the server is its child. Lines are passed
on as they came unless policy changed them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import IO

from remit.gateway.mcp_calls import GateSubject, Inspector, WaitNotice
from remit.gateway.mcp_child import ChildSession
from remit.gateway.mcp_process import ChildSettings
from remit.guard.enforcement import Enforcement
from remit.protocols import mcp
from remit.protocols.mcp import McpFault, McpMessage, MessageId

_READ = 65_536
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
        self._client = _StdioClient()
        gate = (server, enforcement, subject, inspector)
        self.session = ChildSession(settings, gate, self._client, log)

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
        await self.session.start()
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
            await self.session.close("the client went away")
            self._client.close()

    async def _last_answers(self) -> None:
        """The client closed its side: what it asked before may still be answered."""
        loop = asyncio.get_running_loop()
        session = self.session
        deadline = loop.time() + session.child.grace
        while session.conversation.busy and loop.time() < deadline:
            if self._client.gone.is_set():
                return
            await asyncio.sleep(0.01)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        held, most = bytearray(), self.session.limits.bytes
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
            if len(held) > most:
                self._log(f"the client sent a line of more than {most:,} bytes")
                return

    async def _client_line(self, line: bytes) -> None:
        try:
            message = mcp.read_message(line, self.session.limits)
        except McpFault as fault:
            await self._client.answer(mcp.fault_answer(fault), fault.id)
            return
        await self.session.from_client(message)


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
