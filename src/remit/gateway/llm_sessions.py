"""Which session a request to a model belongs to, and what the gateway remembers of it.

The header ``X-Remit-Session`` names one; a credential that is bound to one session names that. Any
other credential gets a session of its own, which lasts until no request came for a while. So what
an agent has read in one conversation counts in its next ones too; who wants less opens sessions.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from time import monotonic
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from remit.api.frame import Problem
from remit.api.mounts import Passing
from remit.errors import Denied
from remit.gateway.hosted import HostedSessions
from remit.guard.calls import Caller, Granted
from remit.identity.model import Identity, Narrowing
from remit.model import Principal, SessionId, TaskRemit
from remit.protocols.model_api import RefusedCall

SESSION_HEADER = "X-Remit-Session"
TASK_HEADER = "X-Remit-Task"
"""What the session is narrowed to, as JSON, where it names none: another task, another session."""
AGENT_HEADER = "X-Remit-Agent"
"""Names the agent that a service acts as, where it names no session."""

_ENDED = "session-ended"
"""Rule id of the refusal of an ended session."""
_MAX_SESSIONS = 4096
_MAX_CALLS = 4096
"""Of one session, and of each kind."""

T = TypeVar("T")
_Owner: TypeAlias = "tuple[str, Principal, Narrowing | None, str | None, str | None]"
"""Credential and what it shows, the agent that is named, the task as it is written."""


class SeenResult(Struct, frozen=True):
    """A result that was taken in."""

    digest: bytes
    replacement: str | None
    """What the model is shown instead; None: the result as it came."""


class ModelConversation:
    """What is remembered of one session, in this process."""

    __slots__ = ("_count", "id", "lock", "refused", "released", "said", "seen")

    def __init__(self, session: SessionId) -> None:
        self.id = session
        self._count = 0
        self.lock = asyncio.Lock()
        """Held while results are taken in, so that each is taken in once."""
        self.released: OrderedDict[str, Granted] = OrderedDict()
        """Calls that an agent was given and whose result did not come yet, by call id."""
        self.seen: OrderedDict[str, SeenResult] = OrderedDict()
        """By call id."""
        self.refused: OrderedDict[str, tuple[RefusedCall, ...]] = OrderedDict()
        """Refused calls by the id of the answer that asked for them: the provider keeps that."""
        self.said: OrderedDict[str, None] = OrderedDict()
        """Digests of what the user said."""

    def release(self, call_id: str, granted: Granted) -> None:
        """Take note that an agent is given a call. Some APIs give calls no id."""
        self._count += 1
        tool = granted.request.action.name
        self.seen.pop(call_id, None)
        _put(self.released, call_id or f"{tool}\0{self._count}", granted)

    def returned(self, call_id: str, tool: str) -> Granted | None:
        """The call whose result has come, if it was released here: without an id the oldest."""
        if call_id:
            return self.released.pop(call_id, None)
        oldest = next((key for key in self.released if key.startswith(f"{tool}\0")), None)
        return None if oldest is None else self.released.pop(oldest)

    def take_in(self, call_id: str, seen: SeenResult) -> None:
        """Take note of a result."""
        _put(self.seen, call_id, seen)

    def heard(self, words: str) -> bool:
        """Whether the user said this before."""
        return _mark(words) in self.said

    def hear(self, words: str) -> None:
        """Take note of what the user said."""
        _put(self.said, _mark(words), None)

    def refuse(self, answer: str, refused: tuple[RefusedCall, ...]) -> None:
        """Take note of calls that were refused and are still open at the provider."""
        _put(self.refused, answer, refused)


class _Kept(Struct):
    session: SessionId
    used: float


class CredentialSessions:
    """The sessions that requests belong to."""

    def __init__(self, sessions: HostedSessions, idle: float) -> None:
        """Prepare.

        Args:
            sessions: opens and ends them.
            idle: seconds without a request after which one ends that nobody named.
        """
        self._sessions = sessions
        self._idle = idle
        self._kept: OrderedDict[_Owner, _Kept] = OrderedDict()
        self._opening: dict[_Owner, asyncio.Task[SessionId]] = {}
        self._conversations: OrderedDict[SessionId, ModelConversation] = OrderedDict()

    async def caller(self, passing: Passing) -> Caller:
        """Who calls, in the session that the request belongs to.

        Raises:
            Problem: the session is not the caller's, or none can be chosen.
            RemitError: none could be opened.
        """
        headers = passing.request.headers
        return await self.caller_of(
            passing.identity,
            session=headers.get(SESSION_HEADER),
            agent=headers.get(AGENT_HEADER),
            task=headers.get(TASK_HEADER),
            trace=headers.get("traceparent"),
        )

    async def caller_of(
        self,
        identity: Identity,
        *,
        session: str | None = None,
        agent: str | None = None,
        task: str | None = None,
        trace: str | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Caller:
        """Who calls, in the session that is named, or in one that the credential has.

        Args:
            identity: whose credential it is.
            session: the one that is named, if any.
            agent: whom a service acts as, where no session is named.
            task: what the session that is opened is narrowed to, as JSON.
            trace: W3C ``traceparent``, if there is one.
            context: what the edge knows besides the arguments.

        Raises:
            Problem: the session is not the caller's, or none can be chosen.
            RemitError: none could be opened.
        """
        session = session or _bound(identity)
        if session is None:
            session = await self._own(identity, agent, task)
        elif task is not None:
            raise Problem(
                400,
                "task-of-a-session",
                f"{TASK_HEADER} narrows a session when it is opened, and this one is open: leave "
                "the header out, or open a session with `remit` (POST /v1/sessions).",
            )
        found = SessionId(session)
        return await self._sessions.caller(identity, found, trace=trace, context=context)

    def conversation(self, session: SessionId) -> ModelConversation:
        """What is remembered of a session."""
        found = self._conversations.get(session)
        if found is None:
            found = self._conversations[session] = ModelConversation(session)
            if len(self._conversations) > _MAX_SESSIONS:
                self._conversations.popitem(last=False)
        else:
            self._conversations.move_to_end(session)
        return found

    def forget(self, session: SessionId) -> None:
        """Take note that a session has ended: the next request gets another."""
        for owner in [owner for owner, kept in self._kept.items() if kept.session == session]:
            del self._kept[owner]

    def refused(self, session: SessionId, refusal: Denied) -> None:
        """Take note of a refusal: a session that has ended is not used again."""
        if any(reason.rule == _ENDED for reason in refusal.reasons):
            self.forget(session)

    async def _own(self, identity: Identity, agent: str | None, task: str | None) -> SessionId:
        owner = (identity.credential, identity.principal, identity.narrowed, agent, task)
        kept = self._kept.get(owner)
        if kept is not None and monotonic() - kept.used < self._idle:
            kept.used = monotonic()
            return kept.session
        opening = self._opening.get(owner)
        if opening is None:
            opening = asyncio.ensure_future(self._opened(owner, identity, kept))
            self._opening[owner] = opening
            opening.add_done_callback(lambda _: self._opening.pop(owner, None))
        return await asyncio.shield(opening)

    async def _opened(self, owner: _Owner, identity: Identity, old: _Kept | None) -> SessionId:
        agent, task = owner[-2:]
        remit = None if task is None else _task(task)
        session = (await self._sessions.open(identity, agent=agent, remit=remit)).id
        self._kept.pop(owner, None)
        self._kept[owner] = _Kept(session, monotonic())
        if len(self._kept) > _MAX_SESSIONS:
            self._kept.popitem(last=False)
        if old is not None:
            await self._sessions.end(old.session)
        return session


def _task(written: str) -> TaskRemit:
    """A task remit as a header or an option says it.

    Raises:
        Problem: it is none.
    """
    try:
        return msgspec.json.decode(written, type=TaskRemit)
    except msgspec.MsgspecError as problem:
        raise Problem(
            400,
            "task-malformed",
            f'{TASK_HEADER}: {problem}. Write JSON such as {{"does": ["read"]}}.',
        ) from None


def _bound(identity: Identity) -> str | None:
    """The one session that a credential is bound to.

    Raises:
        Problem: it is bound to several.
    """
    narrowed = identity.narrowed
    if narrowed is None or narrowed.sessions is None:
        return None
    if len(narrowed.sessions) != 1:
        raise Problem(
            400,
            "session-missing",
            f"This credential is good for several sessions; say which in {SESSION_HEADER}.",
        )
    return next(iter(narrowed.sessions))


def _mark(words: str) -> str:
    return hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _put(table: OrderedDict[str, T], key: str, value: T) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > _MAX_CALLS:
        table.popitem(last=False)
