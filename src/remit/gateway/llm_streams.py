"""A stream on its way to the agent: what is text leaves at once, a call when it is decided."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Literal

import aiohttp
from aiohttp.web import StreamResponse

from remit.gateway.lean_client import LeanAnswer
from remit.gateway.llm_calls import Decided
from remit.gateway.llm_departure import AgentGone
from remit.gateway.llm_exchange import ModelCall, ModelExchange
from remit.gateway.llm_metering import ModelOutcome
from remit.gateway.llm_upstream import returned_headers
from remit.protocols.model_stream import Broken, Decide, Forward, Output

KEEP_ALIVE = 5.0
"""Seconds of silence after which an agent that waits for a decision hears something."""
_BACKLOG = 1_048_576
"""Bytes read while calls are held, after which no more is read until they are decided."""


class StreamPump:
    """Carries one stream from a model API to an agent, and settles the call."""

    def __init__(self, exchange: ModelExchange, call: ModelCall, answer: LeanAnswer) -> None:
        target = exchange.way.target
        assert target is not None
        asked = exchange.asked
        self._exchange = exchange
        self._call = call
        self._answer = answer
        self._machine = target.format.reply_stream(asked, hide_usage=not asked.asked_usage)
        self._response = StreamResponse(
            status=answer.status, headers=returned_headers(answer.headers)
        )
        self._deciding: dict[asyncio.Task[Decided], str] = {}
        self._over = asyncio.Event()
        """Set when upstream has said all, and the call is settled if its labels matter."""
        self._backlog = 0
        self._broken: str | None = None

    async def run(self) -> StreamResponse:
        """Carry it to its end.

        Raises:
            AgentGone: nobody reads it any more; upstream was let go, what was produced is charged.
            OutcomeNotRecorded: what came of it could not be recorded.
        """
        passing = self._exchange.passing
        self._response.headers["X-Request-ID"] = passing.request_id
        self._response.headers["Cache-Control"] = "no-store"
        try:
            await self._response.prepare(passing.request)
            await self._carry()
            await self._close()
        except (AgentGone, ConnectionError):
            self._answer.close()
            await self._drop()
            await self._settle("cancelled", "the agent went away")
            raise AgentGone from None
        return self._response

    async def _carry(self) -> None:
        """Read upstream and write to the agent until both have all there is."""
        content, machine = self._answer.content, self._machine
        reading: asyncio.Task[bytes] | None = None
        try:
            while not machine.ended:
                if not self._deciding:
                    if reading is None:
                        data = await self._read(content)
                    else:
                        data, reading = await self._read_task(reading), None
                    await self._take(machine.feed(data) if data else machine.finish())
                    continue
                if reading is None and self._backlog < _BACKLOG:
                    reading = asyncio.ensure_future(content.readany())
                await self._wait(reading)
                if reading is not None and reading.done():
                    data, reading = await self._read_task(reading), None
                    self._backlog += len(data)
                    await self._take(machine.feed(data) if data else machine.finish())
        except _CUT:
            await self._take(machine.finish(cut=True))
        finally:
            if reading is not None:
                reading.cancel()
        if machine.ended and self._broken is not None:
            self._answer.close()
        await self._said()
        while self._deciding:
            await self._wait(None)

    async def _read(self, content: aiohttp.StreamReader) -> bytes:
        with self._exchange.departure:
            return await content.readany()

    @staticmethod
    async def _read_task(reading: asyncio.Task[bytes]) -> bytes:
        return await reading

    async def _wait(self, reading: asyncio.Task[bytes] | None) -> None:
        """Wait for a decision, or for more from upstream; keep the agent's connection alive."""
        waiting: set[asyncio.Task[Decided] | asyncio.Task[bytes]] = set(self._deciding)
        if reading is not None:
            waiting.add(reading)
        with self._exchange.departure:
            done, _ = await asyncio.wait(
                waiting, timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED
            )
        if not done:
            await self._write(self._machine.keep_alive)
            return
        for task in [task for task in self._deciding if task in done]:
            key = self._deciding.pop(task)
            decided = task.result()
            self._exchange.desk.release(decided)
            await self._take(self._machine.resolve(key, decided.verdict))
        if not self._deciding:
            self._backlog = 0

    async def _take(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            if isinstance(output, Forward):
                await self._write(output.data)
            elif isinstance(output, Decide):
                task = asyncio.ensure_future(self._decide(output))
                self._deciding[task] = output.call.key
            elif isinstance(output, Broken):
                self._broken = output.reason
                await self._write(self._machine.farewell(output.reason))

    async def _decide(self, wanted: Decide) -> Decided:
        """Have a call decided, knowing all that the model knew when it asked for it."""
        await self._exchange.hosted.ran(self._machine.hosted)
        if self._call.looks_at_result:
            await self._over.wait()
        return await self._exchange.desk.decide(wanted.call)

    async def _write(self, data: bytes) -> None:
        """Write to the agent; one that stops reading is taken to have gone.

        Raises:
            AgentGone: it does not take any more.
        """
        transport = self._exchange.passing.request.transport
        if transport is None:
            raise AgentGone
        if transport.get_write_buffer_size() == 0:
            await self._response.write(data)
            return
        try:
            async with asyncio.timeout(self._exchange.gateway.parts.config.limits.request_time):
                await self._response.write(data)
        except TimeoutError:
            transport.abort()
            raise AgentGone from None

    async def _said(self) -> None:
        """ModelUpstream has said all: record what must be known before calls are decided."""
        if self._call.looks_at_result:
            await self._exchange.hosted.finish(self._machine.hosted, whole=self._broken is None)
            await self._settle(*self._end())
        self._over.set()

    async def _close(self) -> None:
        await self._exchange.hosted.finish(self._machine.hosted, whole=self._broken is None)
        await self._settle(*self._end())
        self._exchange.desk.close(self._machine.id)
        await self._response.write_eof()

    def _end(self) -> tuple[Literal["ok", "error"], str | None]:
        return ("ok", None) if self._broken is None else ("error", self._broken)

    async def _settle(self, status: Literal["ok", "error", "cancelled"], error: str | None) -> None:
        machine = self._machine
        # An SDK that has read the last event goes away without waiting for the end.
        whole = machine.finish_reason is not None and machine.usage is not None
        if whole and status == "cancelled":
            status, error = "ok", None
        await self._call.settle(
            ModelOutcome(
                status=status,
                tokens=machine.usage if whole or status == "ok" else None,
                produced=machine.text_bytes,
                finish=machine.finish_reason,
                model=machine.model,
                http=self._answer.status,
                error=error,
                calls=tuple(self._exchange.desk.names),
            )
        )

    async def _drop(self) -> None:
        """The agent has gone: what it never got never ran."""
        for task in self._deciding:
            task.cancel()
        await asyncio.gather(*self._deciding, return_exceptions=True)
        self._exchange.desk.abandon()
        await self._exchange.hosted.finish(self._machine.hosted, whole=False)


_CUT = (aiohttp.ClientError, TimeoutError)
