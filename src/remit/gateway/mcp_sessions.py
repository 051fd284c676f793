"""Who acts through the MCP gateway of a server, and in which session.

The header ``X-Remit-Session`` names one. Without it, all that comes with one credential belongs to
one session, whichever server it is for: what an agent read from one counts when it calls another.
That session lasts until nothing came for an hour.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, TypeAlias

from msgspec import Struct

from remit.api.frame import Parts, Problem
from remit.errors import Denied
from remit.gateway.hosted import HostedSessions
from remit.guard.calls import Caller
from remit.identity.model import Identity, Narrowing
from remit.model import Principal, SessionId

SESSION_HEADER = "x-remit-session"
AGENT_HEADER = "x-remit-agent"
"""Names the agent that a service acts as, where it names no session."""
IDLE = 3600.0
"""Seconds without a request after which a session ends that nobody named."""
_MOST = 4096

Owner: TypeAlias = "tuple[str, Principal, Narrowing | None, str | None, str | None]"
"""What two requests have in common that belong together: nobody else may use what one began."""


class Claim(Struct, frozen=True):
    """What a request says of its caller: the credential's identity, and what headers choose."""

    identity: Identity
    session: str | None = None
    agent: str | None = None
    trace: str | None = None

    @property
    def owner(self) -> Owner:
        """Whose request it is. Keys of one agent are its own; what they may do, may differ."""
        identity = self.identity
        return identity.credential, identity.principal, identity.narrowed, self.agent, self.session


def claim(identity: Identity, headers: Mapping[str, str]) -> Claim:
    """What a request says of its caller."""
    return Claim(
        identity,
        headers.get(SESSION_HEADER),
        headers.get(AGENT_HEADER),
        headers.get("traceparent"),
    )


class _Open(Struct):
    session: SessionId
    used: float


class CallerSessions:
    """The sessions that requests belong to."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._sessions = HostedSessions(parts)
        self._open: OrderedDict[Owner, _Open] = OrderedDict()
        self._opening: dict[Owner, asyncio.Task[SessionId]] = {}

    async def caller(self, claimed: Claim, context: Mapping[str, Any]) -> Caller:
        """Who calls.

        Raises:
            Denied: the session is not the caller's, or it may not act as that agent.
            RemitError: no session could be opened.
        """
        try:
            session = claimed.session or _bound(claimed.identity)
            if session is None:
                session = await self._own(claimed)
            return await self._sessions.caller(
                claimed.identity, SessionId(session), context=context, trace=claimed.trace
            )
        except Problem as problem:
            raise Denied(problem.detail) from None

    async def visible(self, claimed: Claim, actions: Sequence[str]) -> frozenset[str]:
        """Those of the actions of which some call could be granted to the caller.

        Raises:
            RemitError: as ``caller``.
        """
        caller = await self.caller(claimed, {})
        policies = self._parts.policies.current
        narrowed, now = claimed.identity.narrowed, self._parts.clock()
        return frozenset(
            each
            for each in actions
            if policies.visible(caller.principal, each)
            and (narrowed is None or narrowed.objection(each, caller.session, now) is None)
        )

    async def _own(self, claimed: Claim) -> SessionId:
        owner = claimed.owner
        found = self._open.get(owner)
        if found is not None and monotonic() - found.used < IDLE:
            found.used = monotonic()
            return found.session
        opening = self._opening.get(owner)
        if opening is None:
            opening = asyncio.ensure_future(self._opened(claimed, found))
            self._opening[owner] = opening
            opening.add_done_callback(lambda _: self._opening.pop(owner, None))
        return await asyncio.shield(opening)

    async def _opened(self, claimed: Claim, old: _Open | None) -> SessionId:
        session = (await self._sessions.open(claimed.identity, agent=claimed.agent)).id
        self._open.pop(claimed.owner, None)
        self._open[claimed.owner] = _Open(session, monotonic())
        if len(self._open) > _MOST:
            self._open.popitem(last=False)
        if old is not None:
            await self._sessions.end(old.session)
        return session


def _bound(identity: Identity) -> str | None:
    """The one session that a credential is bound to.

    Raises:
        Problem: it is bound to several.
    """
    narrowed = identity.narrowed
    if narrowed is None or narrowed.sessions is None:
        return None
    if len(narrowed.sessions) != 1:
        detail = f"This credential is good for several sessions; say which in {SESSION_HEADER}."
        raise Problem(400, "session-missing", detail)
    return next(iter(narrowed.sessions))


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
