"""The authority of gateways that run inside a server: its governor, and who it authenticated."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any

from msgspec import Struct

from remit.api import news
from remit.api.acting import acting, opener
from remit.api.frame import Parts, Problem
from remit.approvals import ApprovalState, state_at
from remit.guard.calls import Caller
from remit.guard.governing import GoverningAuthority
from remit.guard.needs import ToolNeeds
from remit.guard.steps import Await, Flow
from remit.identity.model import Identity, may_use
from remit.model import ApprovalId, Principal, Session, SessionId, TaskRemit
from remit.policy import PolicySet
from remit.protocols.wire import SessionOpening

_MAX_SESSIONS = 4096


class HostedAuthority(GoverningAuthority):
    """Decides with the governor of the server that it runs in (``Authority``).

    Who acts is in the ``Caller``, made by ``HostedSessions.caller`` from what the credential
    proves. Lives in the server's event loop; only ``run_async`` carries its flows out.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__(
            store=parts.store,
            governor=parts.governor,
            clock=parts.clock,
            checkpointer=parts.checkpointer,
        )
        self._parts = parts

    @property
    def needs(self) -> ToolNeeds:
        """The policy in force, and what it wants to know of tools; replaced whole."""
        return self._parts.policies.needs

    def open_session(
        self,
        agent: str,
        user: str | None,
        intent: str | None,
        parent: SessionId | None,
        remit: TaskRemit | None = None,
    ) -> Flow[Session]:
        """Open a session of a declared agent, as policy knows it: for work of the server itself.

        Sessions of callers are opened by ``HostedSessions``.
        """
        principal = self.needs.policies.principal(agent, user=user)
        return self._written(
            "The session was not opened",
            lambda t: self._governor.open_session(t, principal, intent, parent, remit=remit),
        )

    def answered(self, approval: ApprovalId, deadline: float) -> Flow[bool]:
        """Wait for people until a monotonic time; whether they have made up their minds.

        Comes back early, with False, when the server is about to end.
        """
        parts = self._parts

        async def decided() -> bool | None:
            held = await parts.read(lambda view: view.approval(approval))
            pending = held is not None and (state_at(held, parts.clock()) is ApprovalState.PENDING)
            return None if pending else True

        left = deadline - monotonic()
        found: bool | None = yield Await(
            lambda: news.until(parts.changes, approval, decided, max(0.0, left))
        )
        return bool(found)

    def close(self) -> None:
        """The server closes what it shares with its gateways."""

    def _acting(self, caller: Caller, policies: PolicySet) -> Principal:
        """Who calls: worked out anew for each call, by ``HostedSessions.caller``."""
        return caller.principal


class HostedSessions:
    """The sessions that authenticated callers act in through a gateway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._known: dict[SessionId, _KnownSession] = {}
        """Whose session it is. That never changes; whether it is still open is read each time."""

    async def open(
        self,
        identity: Identity,
        *,
        agent: str | None = None,
        intent: str | None = None,
        remit: TaskRemit | None = None,
    ) -> Session:
        """Open a session for a caller.

        Args:
            identity: who calls.
            agent: whom it acts as; None: itself. A service has to say.
            intent: what the session is for, in the user's words.
            remit: what its task is narrowed to.

        Raises:
            Problem: the caller may not act as that agent.
            RemitError: it could not be opened.
        """
        parts = self._parts
        opening = SessionOpening(agent=agent, intent=intent)
        principal = opener(identity, opening, parts.policies.current)
        session = await parts.write(
            lambda t: parts.governor.open_session(t, principal, intent, remit=remit)
        )
        self._keep(session)
        return session

    async def end(self, session: SessionId) -> None:
        """End a session. Ending it again changes nothing.

        Raises:
            RemitError: it could not be ended.
        """
        self._known.pop(session, None)
        await self._parts.write(lambda t: self._parts.governor.end_session(t, session))

    async def caller(
        self,
        identity: Identity,
        session: SessionId,
        *,
        context: Mapping[str, Any] | None = None,
        trace: str | None = None,
    ) -> Caller:
        """Who calls in a session, with the rights of today.

        Raises:
            Problem: 404, it is no session of the caller's.
        """
        owner = self._known.get(session)
        if owner is None:
            stored = await self._parts.read(lambda view: view.session(session))
            owner = None if stored is None else self._keep(stored)
        if owner is None or not may_use(identity, owner.principal, session):
            detail = "There is no such session of yours. Open one first."
            raise Problem(404, "no-such-session", detail)
        return Caller(
            session=session,
            principal=acting(identity, owner.principal, self._parts.policies.current),
            context=context or {},
            trace=trace,
            narrowed=identity.narrowed,
            remits=owner.remits,
        )

    def _keep(self, session: Session) -> _KnownSession:
        if len(self._known) >= _MAX_SESSIONS:
            self._known.clear()
        known = self._known[session.id] = _KnownSession(session.principal, session.remits)
        return known


class _KnownSession(Struct, frozen=True):
    """What never changes of a session."""

    principal: Principal
    remits: tuple[TaskRemit, ...]
