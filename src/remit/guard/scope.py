"""Sessions in a program: which one a governed call belongs to.

The current session is kept in a context variable. Tasks started in a session inherit it; threads
do not, and a call in a thread that was not bound to a session is refused.
"""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from remit import canonical
from remit.errors import RemitError
from remit.guard.calls import Caller
from remit.guard.enforcement import Enforcement
from remit.guard.steps import run, run_async
from remit.model import Principal, Session, SessionId, TaskRemit

P = ParamSpec("P")
R = TypeVar("R")

_current: contextvars.ContextVar[SessionScope | None] = contextvars.ContextVar(
    "remit_session", default=None
)


def caller(
    enforcement: Enforcement,
    context: Mapping[str, Any] | None = None,
    *,
    otherwise: SessionScope | None = None,
) -> Caller:
    """Who calls in this context, or in ``otherwise``; nobody when there is no session."""
    scope = current(enforcement) or otherwise
    if scope is None:
        return Caller()
    return Caller(
        session=scope.id,
        principal=scope.principal,
        context={**scope.context, **context} if context else scope.context,
        trace=scope.trace,
    )


def current(enforcement: Enforcement) -> SessionScope | None:
    """The innermost session of this context that belongs to ``enforcement``, if there is one."""
    scope = _current.get()
    while scope is not None and scope.enforcement is not enforcement:
        scope = scope.outer
    return scope


class SessionScope:
    """One session of one agent, for use in ``with`` or ``async with``.

    Made by ``Guard.session``, ``Guard.resume`` and ``delegate``. Governed calls inside the block
    belong to it. Leaving the block ends the session, unless it was resumed or is to be kept.

    Attributes:
        id: its id; ``Guard.resume`` takes it.
        agent: the agent that acts in it.
        user: the person at the end of its chain, or None.
        principal: who acts, as it was when the session was opened.
        remits: what it is narrowed to, by whoever opened it and by policy.
    """

    def __init__(
        self,
        enforcement: Enforcement,
        stored: Session,
        *,
        context: Mapping[str, Any] | None = None,
        trace: str | None = None,
        keep: bool = False,
    ) -> None:
        self.enforcement = enforcement
        self.id: SessionId = stored.id
        self.agent = stored.principal.id
        person = stored.principal.user
        self.user = None if person is None else person.id
        self.context: Mapping[str, Any] = canonical.check(dict(context or {}), "context")
        self.trace = trace
        self.outer: SessionScope | None = None
        self.principal: Principal = stored.principal
        self.remits = stored.remits
        self._keep = keep
        self._token: contextvars.Token[SessionScope | None] | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """What the session has seen so far, read from the store or asked of the server."""
        stored = run(self.enforcement.authority.session(self.id))
        return () if stored is None else stored.labels

    def delegate(
        self,
        *,
        agent: str,
        intent: str | None = None,
        remit: TaskRemit | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> SessionScope:
        """Open a session for another agent that acts on behalf of this one.

        Its rights are the intersection of both remits, it starts with this session's labels, and
        what it has seen joins this session when it ends. What this session is narrowed to, it is
        narrowed to as well, besides ``remit``.

        Raises:
            InvalidRequest: this session has ended, or delegation would go too deep.
            Unavailable: the store did not answer.
        """
        authority = self.enforcement.authority
        stored = run(authority.open_session(agent, None, intent, self.id, remit))
        return SessionScope(
            self.enforcement, stored, context={**self.context, **(context or {})}, trace=self.trace
        )

    def say(self, text: str) -> None:
        """Tell what the user said after the intent: rules take it for the user's word from now on.

        Only for what certainly comes from the user, never for what a tool or a model wrote.

        Raises:
            InvalidRequest: the session has ended or was delegated, or nothing was said.
            Denied: the server takes that from its hosts only (``user_turns``).
            Unavailable: nobody answered.
        """
        run(self.enforcement.authority.say(self.id, text))

    async def say_async(self, text: str) -> None:
        """As ``say``, without blocking the event loop.

        Raises:
            InvalidRequest: as ``say``.
            Denied: as ``say``.
            Unavailable: as ``say``.
        """
        await run_async(self.enforcement.authority.say(self.id, text))

    def bind(self, fn: Callable[P, R]) -> Callable[P, R]:
        """Give ``fn`` as it runs in this session, for another thread or an executor."""

        @functools.wraps(fn)
        def bound(*args: P.args, **kwargs: P.kwargs) -> R:
            context = contextvars.copy_context()
            context.run(_current.set, self)
            return context.run(fn, *args, **kwargs)

        return bound

    def end(self) -> None:
        """End the session; it admits nothing more. Ending it again changes nothing.

        Raises:
            Unavailable: the store did not answer; the session is still open.
        """
        run(self.enforcement.end_session(self.id))

    def __enter__(self) -> SessionScope:
        self._enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()
        if self._keep:
            return
        try:
            self.end()
        except RemitError as problem:
            if error is None:
                raise
            error.add_note(str(problem))

    async def __aenter__(self) -> SessionScope:
        self._enter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()
        if self._keep:
            return
        try:
            await run_async(self.enforcement.end_session(self.id))
        except RemitError as problem:
            if error is None:
                raise
            error.add_note(str(problem))

    def _enter(self) -> None:
        if self._token is not None:
            raise RuntimeError("this session is already entered; open another one or delegate")
        self.outer = _current.get()
        self._token = _current.set(self)

    def _leave(self) -> None:
        token, self._token = self._token, None
        try:
            if token is not None:
                _current.reset(token)
        except ValueError:
            # Left in another context than it was entered in, as generator fixtures do.
            _current.set(self.outer)
