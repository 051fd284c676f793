"""Hooks of coding agents at a server: ``POST /hooks/NAME``, asked by ``remit hook``."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp.web import BaseRequest, Response, StreamResponse
from msgspec import Struct

from remit import canonical
from remit.api.acting import acting, opener
from remit.api.bodies import whole_body
from remit.api.frame import JSON_MEDIA, Parts, Problem
from remit.api.mounts import Passing
from remit.credentials import Right
from remit.errors import InvalidRequest
from remit.gateway.hosted import HostedAuthority
from remit.guard.calls import Caller, possible_paths
from remit.guard.enforcement import Enforcement
from remit.guard.steps import run_async
from remit.hooks.actions import typed
from remit.hooks.answers import BEFORE, EVENTS
from remit.hooks.deciding import HookCaller, HookDesk
from remit.hooks.payloads import HookQuestion, read_question
from remit.identity.model import Identity, may_use
from remit.model import Session
from remit.protocols.wire import SessionOpening
from remit.storage import Transaction

PREFIX = "/hooks/"
_LONGEST_WAIT = 60


class HookBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``remit hook`` sends."""

    event: str
    payload: dict[str, Any]
    """What the host sent."""
    agent: str
    user: str | None = None
    trigger: str = "user"
    wait: int = 0
    """Seconds that a held call waits for a person."""
    resolved: dict[str, str] | None = None
    """Real paths by path, once they were asked for."""


_decode = msgspec.json.Decoder(HookBody).decode


class HookMount:
    """Answers the hooks of coding agents (``Mount``)."""

    prefix = PREFIX
    rights = frozenset({Right.AGENT})

    def __init__(self, parts: Parts) -> None:
        """Put the parts together, in the event loop."""
        self._parts = parts
        self._enforcements: dict[int, Enforcement] = {}

    def credentials(self, request: BaseRequest) -> tuple[str, ...]:
        """What the request shows of its caller."""
        return tuple(request.headers.getall("Authorization", ()))

    async def answer(self, passing: Passing) -> StreamResponse:
        """Answer one question.

        Raises:
            Problem: it cannot be read, or the caller may not act as that agent.
            RemitError: it could not be decided.
        """
        request, limits = passing.request, self._parts.config.limits
        host = request.path.removeprefix(PREFIX)
        if request.method != "POST" or host not in EVENTS:
            raise Problem(404, "not-found", "There is no such host of hooks.")
        body = _body(host, await whole_body(request, 4 * limits.body, limits.request_time))
        question = read_question(host, body.event, body.payload)
        wanted = self._unresolved(question, body)
        if wanted:
            return _json(409, {"resolve": wanted})
        desk = HookDesk(self._enforcement(body.wait), self._parts.store)
        return _json(200, await run_async(desk.answer(question, self._who(passing.identity, body))))

    def refused(self, request: BaseRequest, problem: Problem, request_id: str) -> StreamResponse:
        """The answer that says why a request was not passed on."""
        return _json(problem.status, problem.document(request_id), dict(problem.headers))

    async def close(self) -> None:
        """Record what could not be recorded before."""
        for enforcement in self._enforcements.values():
            await asyncio.to_thread(enforcement.late.close)
            await run_async(enforcement.recover_all())

    def _enforcement(self, wait: int) -> Enforcement:
        if wait not in self._enforcements:
            made = Enforcement(HostedAuthority(self._parts), wait=wait)
            made.late.start()
            self._enforcements[wait] = made
        return self._enforcements[wait]

    def _unresolved(self, question: HookQuestion, body: HookBody) -> list[str]:
        """Paths that policy wants followed to what they really are, on the caller's machine."""
        if question.what != BEFORE or body.resolved is not None:
            return []
        asked = typed(question)
        if not self._parts.policies.needs.of(asked.action.name).paths:
            return []
        return list(possible_paths(asked.arguments))

    def _who(self, identity: Identity, body: HookBody) -> HookCaller:
        parts = self._parts
        opening = SessionOpening(agent=body.agent, user=body.user)
        principal = opener(identity, opening, parts.policies.current)

        def opened(t: Transaction, intent: str | None) -> Session:
            return parts.governor.open_session(t, principal, intent)

        def caller(session: Session) -> Caller:
            if not may_use(identity, session.principal, session.id):
                raise Problem(404, "no-such-session", "There is no such session of yours.")
            return Caller(
                session=session.id,
                principal=acting(identity, session.principal, parts.policies.current),
                narrowed=identity.narrowed,
            )

        owner = f"{identity.principal.id}\n{body.agent}\n{body.user or ''}"
        return HookCaller(
            owner=owner, open=opened, caller=caller, resolved=body.resolved, trigger=body.trigger
        )


def _body(host: str, raw: bytes) -> HookBody:
    try:
        body = _decode(raw)
        canonical.check(body.payload, "payload")
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"The question cannot be read: {error}") from None
    if body.event not in EVENTS[host] or not 0 <= body.wait <= _LONGEST_WAIT:
        raise InvalidRequest("The question is of no known event, or waits too long.")
    return body


def _json(status: int, body: object, headers: dict[str, str] | None = None) -> Response:
    given = {**(headers or {}), "Content-Type": JSON_MEDIA}
    return Response(status=status, body=msgspec.json.encode(body), headers=given)
