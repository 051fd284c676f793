"""The relay in this process, fed with anything, and what must hold whatever comes.

A client and a lenient server stand at its ends; what decides and records is real. After every
input: nothing was raised, all of it came to an end, no call reached the server that the log does
not grant, and every request was answered.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from readings import Reached, folded
from scripted import run

from remit.audit.record import parse_record
from remit.gateway.mcp_calls import WaitNotice
from remit.gateway.mcp_conversation import CANCELLED, McpConversation
from remit.gateway.mcp_gate import McpGate
from remit.gateway.mcp_local import SessionSubject
from remit.guard import Guard
from remit.protocols import mcp
from remit.protocols.mcp import McpFault, McpMessage, MessageId, MessageKind
from remit.storage.memory import MemoryStore

FROM_SERVER = b"<"
"""Begins a line that the server says by itself."""
_HANGS = 20.0
"""Seconds after which an input counts as a hang."""
_POLICY = """\
remit: 1
default: deny
agents: {inventory-bot: {}}
people: {grace: {roles: [reviewers]}}
rules:
  - {id: all, tools: 'pipe.*', effect: allow}
  - {id: forbidden, tools: pipe.danger, effect: deny}
  - {id: careful, tools: pipe.careful, effect: ask, approvers: [reviewers]}
"""


class Lenient:
    """The server: keeps what reaches it, and answers what it can read."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.conversation: McpConversation | None = None
        self.answering: set[asyncio.Task[None]] = set()

    async def send(self, data: bytes) -> None:
        self.sent.append(data)
        answer, _ = run(data)
        if isinstance(answer, dict):
            task = asyncio.ensure_future(self._answer(mcp.encode_message(answer)))
            self.answering.add(task)
            task.add_done_callback(self.answering.discard)

    async def _answer(self, data: bytes) -> None:
        assert self.conversation is not None
        try:
            message = mcp.read_message(data)
        except McpFault:  # an id that came through so oddly that it cannot be answered
            return
        await self.conversation.from_server(message)


class Client:
    """The client: keeps what it is told."""

    def __init__(self) -> None:
        self.answers: list[MessageId | None] = []
        self.pushed: list[bytes] = []

    async def answer(self, data: bytes, request_id: MessageId | None) -> None:
        assert mcp.read_message(data).answers
        self.answers.append(request_id)

    async def push(self, message: McpMessage, data: bytes) -> None:
        self.pushed.append(data)

    def held(self, message: McpMessage) -> WaitNotice | None:
        return None


class FuzzedRelay:
    """A relay that can be fed again and again. Close it in the end."""

    def __init__(self) -> None:
        self._place = tempfile.TemporaryDirectory()
        policy = Path(self._place.name, "remit.yaml")
        policy.write_text(_POLICY)
        self._store = MemoryStore()
        self._guard = Guard.open(policy, store=self._store)
        self._scope = self._guard.session(agent="inventory-bot")
        self._scope.__enter__()
        self._loop = asyncio.new_event_loop()

    def feed(self, lines: Sequence[bytes]) -> list[str]:
        """Feed lines; what did not hold."""
        return self._loop.run_until_complete(self._feed(lines))

    def close(self) -> None:
        """End it."""
        self._scope.__exit__(None, None, None)
        self._guard.close()
        self._loop.close()
        self._place.cleanup()

    async def _feed(self, lines: Sequence[bytes]) -> list[str]:
        server, client = Lenient(), Client()
        subject = SessionSubject(self._guard, self._scope)
        gate = McpGate("pipe", self._scope.enforcement, subject)
        conversation = server.conversation = McpConversation(gate, client, server)
        before = self._size()
        asked: Counter[MessageId] = Counter()
        cancelled = False
        async with asyncio.timeout(_HANGS):
            for line in lines:
                by_server = line.startswith(FROM_SERVER)
                try:
                    message = mcp.read_message(line.removeprefix(FROM_SERVER))
                except McpFault:
                    continue
                cancelled = cancelled or message.method == CANCELLED
                if by_server:
                    await conversation.from_server(message)
                    continue
                if message.kind is MessageKind.REQUEST and message.id is not None:
                    asked[message.id] += 1
                await conversation.from_client(message)
            await self._settled(conversation, server)
            await conversation.close("the input ended")
        faults = self._undecided(server.sent, before) + _passed_to_client(client.pushed)
        if not cancelled and not any(line.startswith(FROM_SERVER) for line in lines):
            unanswered = asked - Counter(client.answers)
            faults += [f"never answered: {each!r}" for each in unanswered]
        return faults

    async def _settled(self, conversation: McpConversation, server: Lenient) -> None:
        await conversation.settled()
        while server.answering:
            await asyncio.gather(*server.answering)
            await conversation.settled()

    def _size(self) -> int:
        return self._store.read(lambda view: view.log_size())

    def _undecided(self, sent: list[bytes], before: int) -> list[str]:
        records = self._store.read(
            lambda view: [parse_record(each.body) for each in view.records(before, view.log_size())]
        )
        granted = Counter(
            folded((each.tool or "").partition(".")[2])
            for each in records
            if each.kind == "decision" and each.granted
        )
        called = Counter(tool for each in sent for tool in Reached("", each, 0).tools)
        undecided = set(called - granted) | ({"danger"} & called.keys())
        return [f"reached the server undecided: {tool!r}" for tool in undecided]


def _passed_to_client(pushed: list[bytes]) -> list[str]:
    """Nothing that a server asks of a client is allowed by the policy but a ping."""
    messages = [mcp.read_message(data) for data in pushed]
    return [
        f"passed to the client undecided: {each.method!r}"
        for each in messages
        if each.method != "ping" and not each.method.startswith("notifications/")
    ]
