"""One client's own server process: its messages decided on, its restarts hidden from the client."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from remit.canonical import JsonLimits
from remit.gateway.mcp_calls import GateSubject, Inspector
from remit.gateway.mcp_conversation import ClientSide, McpConversation
from remit.gateway.mcp_gate import McpGate
from remit.gateway.mcp_process import ChildListener, ChildServer, ChildSettings
from remit.guard.enforcement import Enforcement
from remit.protocols import mcp
from remit.protocols.mcp import McpFault, McpMessage, MessageKind, read_message

_INITIALIZE_AGAIN = f"remit-{secrets.token_hex(12)}"
"""An id that no client can take for its own."""
_TOOLS_CHANGED = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'


class ChildSession:
    """A server process, and the conversation that one client has with it."""

    def __init__(
        self,
        settings: ChildSettings,
        gate: tuple[str, Enforcement, GateSubject, Inspector | None],
        client: ClientSide,
        log: Callable[[str], None],
    ) -> None:
        """Put the parts together; ``start`` starts the server.

        Args:
            settings: the server's command.
            gate: the server's name in policy, who decides, who acts, and who looks on.
            client: where the client is.
            log: where the server's errors go, line by line.
        """
        self._log = log
        self._client = client
        self.limits = JsonLimits(bytes=settings.max_message, depth=mcp.MAX_DEPTH)
        listener = ChildListener(
            line=self._line, ended=self._ended, restarted=self._restarted, log=log
        )
        self.child = ChildServer(settings, listener)
        self.gate = McpGate(*gate)
        self.conversation = McpConversation(self.gate, client, self.child)
        self._initialize: McpMessage | None = None
        """How the client began, to begin anew with a server that was started again."""
        self._initialized: bytes | None = None

    async def start(self) -> None:
        """Start the server.

        Raises:
            OSError: it cannot be started.
        """
        await self.child.start()

    async def from_client(self, message: McpMessage) -> None:
        """Take a message of the client."""
        if message.method == "initialize":
            self._initialize = message
        elif message.method == "notifications/initialized":
            self._initialized = message.raw
        await self.conversation.from_client(message)

    async def close(self, why: str) -> None:
        """Settle what is open, and end the server."""
        await self.conversation.close(why)
        await self.child.stop()

    async def _line(self, line: bytes) -> None:
        try:
            message = read_message(line, self.limits)
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
            OSError: the server does not read.
        """
        if self._initialize is None:
            return
        again = {**self._initialize.value, "id": _INITIALIZE_AGAIN}
        # Nothing is awaited: a server takes what comes after ``initialize`` in its order.
        await self.child.send_now(mcp.encode_message(again))
        if self._initialized is not None:
            await self.child.send_now(self._initialized)
        changed = McpMessage(
            _TOOLS_CHANGED,
            MessageKind.NOTIFICATION,
            None,
            "notifications/tools/list_changed",
            {},
            {},
        )
        await self._client.push(changed, changed.raw)
