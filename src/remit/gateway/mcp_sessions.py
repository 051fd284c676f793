"""Who acts through the MCP gateway of a server, and in which session.

Sessions are those of the model gateway: ``X-Remit-Session`` names one, and without it all that
comes with one credential belongs to one session, whatever it is for. So what an agent read from one
server counts when it calls another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from remit import remits
from remit.api.frame import Parts, Problem
from remit.api.mounts import Passing
from remit.errors import Denied
from remit.gateway.llm_sessions import (
    AGENT_HEADER,
    SESSION_HEADER,
    TASK_HEADER,
    CredentialSessions,
)
from remit.guard.calls import Caller
from remit.identity.model import Narrowing
from remit.model import Principal

Owner: TypeAlias = "tuple[str, Principal, Narrowing | None, str | None, str | None, str | None]"
"""What two requests have in common that belong together: nobody else may use what one began."""


class Claim(Struct, frozen=True):
    """A request, as far as it says who sends it."""

    passing: Passing
    owner: Owner


def claim(passing: Passing) -> Claim:
    """What a request says of its caller."""
    identity, headers = passing.identity, passing.request.headers
    return Claim(
        passing,
        (
            identity.credential,
            identity.principal,
            identity.narrowed,
            headers.get(AGENT_HEADER),
            headers.get(SESSION_HEADER),
            headers.get(TASK_HEADER),
        ),
    )


class CallerSessions:
    """Who acts in requests, and what they may see."""

    def __init__(self, parts: Parts, sessions: CredentialSessions) -> None:
        self._parts = parts
        self._sessions = sessions

    async def caller(self, claimed: Claim, context: Mapping[str, Any]) -> Caller:
        """Who calls.

        Raises:
            Denied: the session is not the caller's, or it may not act as that agent.
            RemitError: no session could be opened.
        """
        try:
            caller = await self._sessions.caller(claimed.passing)
        except Problem as problem:
            raise Denied(problem.detail) from None
        return replace(caller, context=context)

    async def visible(self, claimed: Claim, actions: Sequence[str]) -> frozenset[str]:
        """Those of the actions of which some call could be granted to the caller.

        Raises:
            RemitError: as ``caller``.
        """
        caller = await self.caller(claimed, {})
        policies, now = self._parts.policies.current, self._parts.clock()
        narrowed = caller.narrowed
        return frozenset(
            each
            for each in actions
            if policies.visible(caller.principal, each)
            and remits.shows(caller.remits, each, policies)
            and (narrowed is None or narrowed.objection(each, caller.session, now) is None)
        )


class HostedSubject:
    """The caller of one request, or of all requests of one client (``GateSubject``)."""

    __slots__ = ("_sessions", "claimed")

    def __init__(self, sessions: CallerSessions, claimed: Claim) -> None:
        self._sessions = sessions
        self.claimed = claimed
        """Of the newest request: a trace belongs to one request only."""

    async def caller(self, context: Mapping[str, Any]) -> Caller:
        """Who calls."""
        return await self._sessions.caller(self.claimed, context)

    async def visible(self, actions: Sequence[str]) -> frozenset[str]:
        """What they may see."""
        return await self._sessions.visible(self.claimed, actions)
