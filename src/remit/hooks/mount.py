"""Hooks of coding agents at a server: ``POST /hooks/NAME``, asked by ``remit hook``."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qsl

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


class HookQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``remit hook`` says of itself."""

    event: str
    agent: str
    user: str | None = None
    trigger: str = "user"
    wait: int = 0
    """Seconds that a held call waits for a person."""


class HookBody(Struct, frozen=True, kw_only=True):
    """What ``remit hook`` sends: the host's question, and real paths once they were asked for."""

    payload: Any
    resolved: dict[str, str] | None = None


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
        query = _query(host, request.rel_url.raw_query_string)
        body = _body(await whole_body(request, 4 * limits.body, limits.request_time))
        question = read_question(host, query.event, body.payload)
        wanted = self._unresolved(question, body)
        if wanted:
            return _marked(409, "paths", "\0".join(wanted).encode())
        desk = HookDesk(self._enforcement(query.wait), self._parts.store)
        who = self._who(passing.identity, query, body.resolved)
        answered = await run_async(desk.answer(question, who))
        return _marked(200, "answer", msgspec.json.encode(answered))

    def refused(self, request: BaseRequest, problem: Problem, request_id: str) -> StreamResponse:
        """The answer that says why a request was not passed on."""
        headers = {**problem.headers, "Content-Type": JSON_MEDIA}
        told = msgspec.json.encode(problem.document(request_id))
        return Response(status=problem.status, body=told, headers=headers)

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

    def _who(
        self, identity: Identity, query: HookQuery, resolved: dict[str, str] | None
    ) -> HookCaller:
        parts = self._parts
        opening = SessionOpening(agent=query.agent, user=query.user)
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

        owner = f"{identity.principal.id}\n{query.agent}\n{query.user or ''}"
        return HookCaller(
            owner=owner, open=opened, caller=caller, resolved=resolved, trigger=query.trigger
        )


def _query(host: str, text: str) -> HookQuery:
    told = dict(parse_qsl(text, keep_blank_values=True))
    try:
        query = msgspec.convert(told, HookQuery, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The hook's options cannot be read: {error}") from None
    if query.event not in EVENTS[host] or not 0 <= query.wait <= _LONGEST_WAIT:
        raise InvalidRequest("The question is of no known event, or waits too long.")
    return query


def _body(raw: bytes) -> HookBody:
    """The host's question; behind it, with zero bytes between, paths and what they really are."""
    question, *paths = raw.split(b"\0")
    try:
        payload = msgspec.json.decode(question)
        texts = [each.decode() for each in paths]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The host's question cannot be read: {error}") from None
    if not isinstance(payload, dict) or len(texts) % 2:
        raise InvalidRequest("The host's question is no JSON object.")
    canonical.check(payload, "payload")
    resolved = dict(zip(texts[::2], texts[1::2], strict=True)) if paths else None
    return HookBody(payload=payload, resolved=resolved)


def _marked(status: int, mark: str, body: bytes) -> Response:
    """An answer that only a server of Remit gives to a hook."""
    return Response(
        status=status, body=body, headers={"Content-Type": JSON_MEDIA, "Remit-Hook": mark}
    )
