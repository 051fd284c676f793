"""What a gate for MCP works with: who acts, who looks on, and calls that are not answered yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic_ns
from typing import Any, Literal, Protocol

from msgspec import Struct

from remit.guard.calls import Caller, Granted
from remit.model import Finding, Outcome
from remit.protocols.mcp import McpMessage
from remit.protocols.mcp_methods import Asked

BEAT = 5.0
"""Seconds between two notices that a request is held."""

Ended = Literal["error", "cancelled", "not-run"]
Exchange = Callable[[bytes, str], Awaitable[McpMessage]]
"""Sends a request of the gateway's own, with its id, and gives the answer.

Raises:
    OSError: there is none.
"""


class GateSubject(Protocol):
    """Who acts through a gate, and what they may see."""

    async def caller(self, context: Mapping[str, Any]) -> Caller:
        """Who calls, at this moment.

        Raises:
            RemitError: nobody who may.
        """
        ...

    async def visible(self, actions: Sequence[str]) -> frozenset[str]:
        """Those of the actions of which some call could be granted to them."""
        ...


class Inspector(Protocol):
    """Looks into what servers say of their tools, and into what passes."""

    def listed(self, server: str, tools: Sequence[Mapping[str, Any]]) -> None:
        """A list of tools went by."""
        ...

    def introduced(self, server: str, instructions: str | None) -> str | None:
        """A server said what it tells models besides; what they may see of it."""
        ...

    def proposed(self, server: str, tool: str, arguments: Mapping[str, Any]) -> tuple[Finding, ...]:
        """What is to be known of a tool before it is called: changed, shadowing, poisoned."""
        ...

    def question(self, server: str, tool: str) -> Mapping[str, Any] | None:
        """What a person must accept before a tool may be called; None: nothing."""
        ...

    def accept(self, server: str, tool: str) -> None:
        """Put down that a tool was accepted as it is now."""
        ...

    def shown(self, server: str, tools: Sequence[Any]) -> list[Any]:
        """A list of tools as a model may see it."""
        ...

    def returned(self, server: str, tool: str, result: Any) -> tuple[Finding, ...]:
        """What was seen in a result."""
        ...


class OpenCall:
    """One request on its way: what to send for it, and what is open until it is answered."""

    __slots__ = ("asked", "by_server", "data", "granted", "message", "resumable", "settled")

    def __init__(
        self,
        message: McpMessage,
        data: bytes,
        asked: Asked | None = None,
        granted: Granted | None = None,
        *,
        by_server: bool = False,
    ) -> None:
        self.message = message
        self.by_server = by_server
        """Whether the server asks the client, not the other way round."""
        self.data = data
        """To be sent on."""
        self.asked = asked
        self.granted = granted
        """None where it passes without a decision."""
        self.settled = False
        """Whether it was answered, or given up."""
        self.resumable = False
        """Whether its answer may still come on another stream, should this one break off."""


class WaitNotice(Struct, frozen=True):
    """Whom to tell that a request waits: called now and then, with words."""

    tell: Callable[[str], None]


class Heartbeat:
    """Tells now and then that a request is held, from when it is entered until it is left."""

    __slots__ = ("_action", "_held", "_loop", "_since", "_timer")

    def __init__(self, held: WaitNotice, action: str) -> None:
        """Tell ``held`` that ``action`` waits."""
        self._held = held
        self._action = action
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> None:
        self._since = self._loop.time()
        self._timer = self._loop.call_later(BEAT, self._beat)

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _beat(self) -> None:
        waited = round(self._loop.time() - self._since)
        self._held.tell(f"{self._action} waits for a decision since {waited} s")
        self._timer = self._loop.call_later(BEAT, self._beat)


def timed(granted: Granted, outcome: Outcome) -> Outcome:
    """The outcome, and how long it took since it was granted."""
    return Outcome(
        status=outcome.status,
        result=outcome.result,
        error=outcome.error,
        duration=monotonic_ns() - granted.started,
        findings=outcome.findings,
    )
