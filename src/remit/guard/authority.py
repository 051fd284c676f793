"""Who decides: a governor in this process, or one elsewhere. What a guard needs of either.

Every method is a flow (``remit.guard.steps``). One that fails before the action raises a
``Refused`` or an ``InvalidRequest``; whatever else it raises is a refusal all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

from msgspec import Struct

from remit.guard.calls import Caller
from remit.guard.steps import Flow
from remit.model import (
    AccessRequest,
    Action,
    Admission,
    ApprovalId,
    Estimate,
    Finding,
    Outcome,
    Session,
    SessionId,
    Settlement,
    TaskRemit,
)


class Proposed(Struct, frozen=True, kw_only=True):
    """A call as an edge proposes it: who calls is up to the authority to say."""

    caller: Caller
    action: Action
    arguments: Mapping[str, Any]
    estimate: Estimate | None = None
    """What it takes at most, where the edge can say."""
    findings: tuple[Finding, ...] = ()
    """What the edge's detectors saw in it."""
    resolved: Mapping[str, str] | None = None
    """Real paths by path, where the edge is on another machine; None: those of this one."""


class Answer(Struct, frozen=True, kw_only=True):
    """What an authority says to a proposed call."""

    request: AccessRequest
    """As it was decided on, and will be settled."""
    admission: Admission
    refusal: str = ""
    """What to tell the agent, where it was not granted."""
    looks_at_result: bool = False
    """Whether the result has to pass policy, or puts labels on the session."""


class Ran(Struct, frozen=True, kw_only=True):
    """A granted call as it ran, and what came of it."""

    request: AccessRequest
    admission: Admission
    outcome: Outcome


class Settled(Struct, frozen=True, kw_only=True):
    """What an authority says to an outcome."""

    settlement: Settlement
    refusal: str = ""
    """What to tell the agent, where the result is withheld."""
    result_rules: bool = False
    """Whether policy has rules on what the tool returns."""
    unread: bool = False
    """Whether the result was too large to be looked at."""


class Authority(Protocol):
    """Admits and settles. May be shared by threads and event loops."""

    def open_session(
        self,
        agent: str,
        user: str | None,
        intent: str | None,
        parent: SessionId | None,
        remit: TaskRemit | None = None,
    ) -> Flow[Session]:
        """Open a session, or with a ``parent`` delegate from it.

        Raises:
            InvalidRequest: the intent or the remit is unusable, or the parent cannot delegate.
            Refused: it may not be opened, or nobody answers.
        """
        ...

    def say(self, session: SessionId, text: str) -> Flow[Session]:
        """Take in what the user said in a session.

        Raises:
            InvalidRequest: the user cannot speak in it, or said nothing.
            Refused: it is not for this program to tell, or nobody answers.
        """
        ...

    def end_session(self, session: SessionId) -> Flow[Session]:
        """End a session.

        Raises:
            Unavailable: nobody answers; the session is still open.
        """
        ...

    def session(self, session: SessionId) -> Flow[Session | None]:
        """A session as it stands; None when there is no such session."""
        ...

    def admit(self, proposed: Proposed, orphaned: Callable[[Answer], None]) -> Flow[Answer]:
        """Decide on a call. The answer is on record before it is given.

        ``orphaned`` is called with an answer that came when nobody waited for it any more.
        """
        ...

    def answered(self, approval: ApprovalId, deadline: float) -> Flow[bool]:
        """Wait for people until a monotonic time; whether they have made up their minds."""
        ...

    def settle(self, ran: Ran, finished: Callable[[Future[Any]], None]) -> Flow[Settled]:
        """Record an outcome and decide on it.

        ``finished`` is called with the future when whoever waited was cancelled.
        """
        ...

    def settle_again(self, ran: Ran) -> Flow[None]:
        """Record an outcome unless it was recorded before."""
        ...

    def close(self) -> None:
        """Release everything. Called once, when nothing is under way any more."""
        ...
