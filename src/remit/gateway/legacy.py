"""The reverse proxy for legacy APIs: who is asked what, and what agents are told.

A request to ``/legacy/NAME/...`` is taken apart strictly, decided on, sent once, and its answer is
decided on (``legacy_exchange``). A write that a person must see is answered with ``202``, a handle
and the URL of its status; it is sent when it was approved and its agent asks for the status, or
sends it again (``legacy_held``).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Mapping, Sequence
from ssl import SSLContext, create_default_context

import aiohttp
from aiohttp.web import BaseRequest, Response, StreamResponse
from msgspec.structs import replace
from multidict import CIMultiDict

from remit import text
from remit.api.bodies import whole_body
from remit.api.decoding import encoded
from remit.api.frame import JSON_MEDIA, Parts, Problem
from remit.api.http import PROBLEM_MEDIA
from remit.api.mounts import Passing
from remit.approvals import Approval, ApprovalState, state_at
from remit.config.legacy import LegacyConfig, LegacySecrets
from remit.credentials import Right
from remit.errors import ApprovalRequired, Denied, OutcomeNotRecorded
from remit.gateway.hosted import HostedAuthority, HostedSessions
from remit.gateway.legacy_answers import ShownAnswer
from remit.gateway.legacy_broker import CredentialBroker
from remit.gateway.legacy_documents import read_document
from remit.gateway.legacy_exchange import AskedRequest, LegacyApi
from remit.gateway.legacy_held import HeldRequest, HeldRequests, same_agent
from remit.gateway.legacy_repeats import RepeatedRequests
from remit.gateway.legacy_upstream import LegacyUpstream
from remit.gateway.llm_sessions import CredentialSessions
from remit.guard.calls import Caller
from remit.guard.enforcement import Enforcement
from remit.guard.steps import run_async
from remit.model import ApprovalId, Does
from remit.protocols.http import HttpReading, action_of, read_exchange
from remit.protocols.http_target import HttpFault, read_target
from remit.protocols.openapi import ApiDocument

_log = logging.getLogger("remit.legacy")
PREFIX = "/legacy/"
_HELD = "-/held/"
"""Below the prefix, where the status of held requests is; no server has such a name."""
_KEY_HEADER = "Idempotency-Key"
_APPROVAL_HEADER = "Remit-Approval"
_MADE = "remit-"
"""With this begins the key of a held request that has none of its own, for when it is sent."""
_POLL = 5
"""Seconds after which an agent may ask again."""
_ENDED = "session-ended"
"""Rule id of the refusal of an ended session."""
_TOKEN_TIME = aiohttp.ClientTimeout(total=10.0)


class LegacyMount:
    """All legacy APIs of ``remit.toml``, each under its name (``Mount``)."""

    prefix = PREFIX
    rights = frozenset({Right.AGENT})

    def __init__(
        self,
        parts: Parts,
        servers: Sequence[tuple[LegacyConfig, LegacySecrets]],
        sessions: CredentialSessions | None = None,
    ) -> None:
        """Put the parts together, in the event loop.

        Args:
            parts: of the server.
            servers: what is configured, with secrets.
            sessions: those that other gateways of the server work in, too.

        Raises:
            ConfigError: an OpenAPI document cannot be used.
        """
        documents = {
            each.name: None if each.openapi is None else read_document(each) for each, _ in servers
        }
        for name, document in documents.items():
            _warn_of_strays(parts, name, document)
        self._parts = parts
        idle = parts.config.model_gateway.session_idle
        self._sessions = sessions or CredentialSessions(HostedSessions(parts), idle)
        self._tokens = aiohttp.ClientSession(timeout=_TOKEN_TIME, trust_env=True)
        self._authority = HostedAuthority(parts)
        self._repeats = RepeatedRequests(parts)
        secure = any(settings.url.startswith("https:") for settings, _ in servers)
        tls = create_default_context() if secure else None
        self._doors = {
            each.name: _Door(self._api(each, kept, tls), documents[each.name])
            for each, kept in servers
        }

    def _api(
        self, settings: LegacyConfig, secrets: LegacySecrets, tls: SSLContext | None
    ) -> LegacyApi:
        enforcement = Enforcement(self._authority, wait=settings.hold)
        enforcement.late.start()
        upstream = LegacyUpstream(settings, tls)
        broker = CredentialBroker(settings.credentials, secrets, self._tokens)
        return LegacyApi(self._parts, upstream, broker, enforcement, self._repeats)

    def credentials(self, request: BaseRequest) -> tuple[str, ...]:
        """The Remit key: as a bearer token, as the password of Basic, or in ``X-API-Key``."""
        found = [_bearer(value) for value in request.headers.getall("Authorization", ())]
        found += [f"Bearer {key}" for key in request.headers.getall("X-API-Key", ())]
        return tuple(dict.fromkeys(found))

    async def answer(self, passing: Passing) -> StreamResponse:
        """Answer one request.

        Raises:
            Problem: it is refused, or nobody answered.
            RemitError: it cannot be decided, or recorded.
        """
        raw = passing.request.raw_path
        if not raw.startswith(PREFIX):
            raise Problem(400, "bad-target", "Send the path alone, not the whole URL.")
        rest = raw[len(PREFIX) :]
        if rest.startswith(_HELD):
            return await self._status(passing, rest[len(_HELD) :])
        name, slash, below = rest.partition("/")
        name, mark, query = name.partition("?")
        door = self._doors.get(name)
        if door is None:
            raise Problem(404, "not-found", "There is no legacy API of that name.")
        target = f"/{below}" if slash else f"/{mark}{query}"
        settings = door.api.settings
        seconds = self._parts.config.limits.request_time
        body = await whole_body(passing.request, settings.max_body, seconds)
        caller = await self._sessions.caller(passing)
        sent = HeldRequest(
            owner=caller.principal,
            method=passing.request.method,
            target=target,
            headers=_pairs(passing.request),
            body=body,
        )
        return await self._asked(passing, door, caller, sent)

    async def _asked(
        self, passing: Passing, door: _Door, caller: Caller, sent: HeldRequest, made: str = ""
    ) -> StreamResponse:
        """Take a request apart, and answer it; with a key that was made for it, if it has none."""
        try:
            asked = _keyed(door.read(sent), made)
        except HttpFault as fault:
            raise Problem(fault.status, fault.code, fault.message) from None
        does = door.api.does(asked.action)
        writes = any(each is not Does.READ for each in does)
        if asked.key is None and writes and door.api.settings.idempotency == "required":
            raise Problem(428, "key-missing", _KEY_MISSING)
        if not writes:
            asked = replace(asked, key=None)
        try:
            return _response(await door.api.answer(caller, asked))
        except ApprovalRequired as held:
            if not writes:
                members = {"approval": held.approval}
                raise Problem(403, "approval-required", str(held), members=members) from None
            if not made:
                door.held.keep(held.approval, replace(sent, key=asked.key or ""))
            url = passing.base_url + PREFIX + _HELD + held.approval
            return _accepted(held.approval, url, asked, str(held))
        except Denied as refusal:
            if any(reason.rule == _ENDED for reason in refusal.reasons):
                self._sessions.forget(caller.session)
            raise _denied(refusal, self._parts.clock()) from None
        except OutcomeNotRecorded as problem:
            raise Problem(503, "outcome-not-recorded", str(problem)) from None

    async def _status(self, passing: Passing, handle: str) -> StreamResponse:
        """What became of a held request. If it is approved and not sent yet, it is sent now."""
        if passing.request.method not in ("GET", "HEAD", "POST"):
            detail = "GET it, or POST."
            raise Problem(405, "method-not-allowed", detail, headers={"Allow": "GET, POST"})
        approval_id = ApprovalId(handle)
        approval = await self._parts.read(lambda view: view.approval(approval_id))
        caller = await self._sessions.caller(passing)
        if approval is None or not same_agent(approval.requester, caller.principal):
            raise Problem(404, "not-found", "There is no such held request of yours.")
        state = state_at(approval, self._parts.clock())
        if state is ApprovalState.PENDING:
            return _pending(approval, passing.base_url + passing.request.raw_path)
        for door in self._doors.values():
            sent = door.held.of(approval_id, caller.principal)
            key = f"{_MADE}{approval_id}"
            if sent is not None and state is ApprovalState.APPROVED:
                return await self._asked(passing, door, caller, sent, key)
            if sent is not None and state is ApprovalState.USED:
                shown = await door.api.before(caller, _keyed(door.read(sent), key))
                if shown is not None:
                    return _response(shown)
        raise _ended(approval, state)

    def refused(self, request: BaseRequest, problem: Problem, request_id: str) -> StreamResponse:
        """The answer that says why a request was not passed on."""
        headers = dict(problem.headers)
        closes = headers.pop("Connection", "") == "close"
        headers["Content-Type"] = PROBLEM_MEDIA
        if problem.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="remit", Basic realm="remit"'
        body = encoded(problem.document(request_id))
        response = Response(status=problem.status, body=body, headers=headers)
        if closes:
            response.force_close()
        return response

    async def close(self) -> None:
        """Record what nobody waited for, and let go of the servers."""
        for door in self._doors.values():
            await door.api.upstream.close()
            await asyncio.to_thread(door.api.enforcement.late.close)
            await run_async(door.api.enforcement.recover_all())
        await self._tokens.close()


class _Door:
    """One server: how requests to it are read, and which of them wait."""

    def __init__(self, api: LegacyApi, document: ApiDocument | None) -> None:
        self.api = api
        self.held = HeldRequests()
        self._document = document
        settings = api.settings
        self._reading = HttpReading(
            headers=tuple(name.lower() for name in settings.headers), graphql=settings.graphql
        )

    def read(self, sent: HeldRequest) -> AskedRequest:
        """Take a request apart.

        Raises:
            HttpFault: it is malformed, or servers could read it differently.
        """
        origin = self.api.upstream.origin
        target = read_target(sent.target)
        exchange = read_exchange(
            sent.method, origin, target, sent.headers, sent.body, self._reading
        )
        key = sent.key or exchange.headers.one(_KEY_HEADER)
        return AskedRequest(
            exchange=exchange, action=action_of(exchange, self._document), key=key or None
        )


def _keyed(asked: AskedRequest, made: str) -> AskedRequest:
    return asked if asked.key is not None or not made else replace(asked, key=made)


def _warn_of_strays(parts: Parts, name: str, document: ApiDocument | None) -> None:
    """Say which tools of the policy are meant for an API and are no operations of it."""
    if document is None:
        return
    names = [text.name(each.name) for each in document.operations]
    for tool in parts.policies.current.tools:
        meant = tool.pattern.startswith(f"{name}.")
        if meant and not any(text.matches(tool.pattern, each) for each in names):
            _log.warning("no such operation", extra={"tool": tool.pattern, "legacy": name})


def _pairs(request: BaseRequest) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers
    )


def _bearer(authorization: str) -> str:
    """A value of ``Authorization``; Basic, which old clients speak, by its password."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "basic":
        return authorization
    try:
        pair = base64.b64decode(rest.strip(), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return authorization
    return f"Bearer {pair.partition(':')[2]}"


def _response(shown: ShownAnswer) -> Response:
    return Response(status=shown.status, body=shown.body, headers=CIMultiDict(shown.headers))


def _accepted(approval: ApprovalId, url: str, asked: AskedRequest, told: str) -> Response:
    """The answer to a write that waits for a person."""
    body = {
        "state": "pending",
        "approval": approval,
        "status_url": url,
        "action": asked.action.action.name,
        "idempotency_key": asked.key,
        "detail": f"{told} It has not been sent. {_NEXT}",
    }
    return _waiting(approval, url, body)


def _pending(approval: Approval, url: str) -> Response:
    body = {
        "state": "pending",
        "approval": approval.id,
        "status_url": url,
        "action": approval.tool,
        "detail": f"A person has not decided yet. {_NEXT}",
    }
    return _waiting(approval.id, url, body)


def _waiting(approval: ApprovalId, url: str, body: Mapping[str, str | None]) -> Response:
    headers = {"Location": url, "Retry-After": str(_POLL), _APPROVAL_HEADER: approval}
    return Response(status=202, body=encoded(body), headers=headers, content_type=JSON_MEDIA)


def _ended(approval: Approval, state: ApprovalState) -> Problem:
    """Why a held request is not sent by asking for its status."""
    members = {"approval": approval.id, "state": state.value}
    if state is ApprovalState.APPROVED:
        detail = (
            "It was approved, but the server does not keep the request any longer. Send the same "
            f"request again, with the same {_KEY_HEADER} if it had one: it is sent once."
        )
        return Problem(409, "send-again", detail, members=members)
    if state is ApprovalState.USED:
        detail = "It was approved and sent. Its answer is not kept any longer."
        return Problem(409, "done-before", detail, members=members)
    detail = f"It is {state.value}, so it was not sent and will not be. {approval.reason}".strip()
    return Problem(403, "denied", detail, members=members)


def _denied(refusal: Denied, now: int) -> Problem:
    """What a refusal becomes: 429 where waiting helps, else 403."""
    retry_at = refusal.admission.retry_at if refusal.admission is not None else None
    if retry_at is None:
        return Problem(403, "denied", str(refusal))
    seconds = max(1, -(-(retry_at - now) // 1_000_000_000))
    return Problem(429, "limit", str(refusal), headers={"Retry-After": str(seconds)})


_KEY_MISSING = (
    f"Give this request an {_KEY_HEADER}, a text of its own: then it can be sent again without "
    "happening twice."
)
_NEXT = (
    "Ask for status_url later, or send the same request again: once it is approved, that sends it."
)
