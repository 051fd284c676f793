"""The model gateway: a reverse proxy in front of model APIs that governs who uses its base URL.

One request from beginning to end: who asks, in which session; what its tools have returned is taken
in; which tools it may offer; then it is sent (``llm_exchange``) and answered (``llm_replies``,
``llm_streams``). What nothing changes passes byte for byte. Whatever is wrong is told in the words
of the API that was asked, so that its SDK raises what it always raises.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl

from aiohttp.web import BaseRequest, Response, StreamResponse

from remit.api.bodies import whole_body
from remit.api.frame import JSON_MEDIA, Parts, Problem
from remit.api.mounts import Passing
from remit.credentials import Right
from remit.errors import ApprovalRequired, Denied, InvalidRequest, OutcomeNotRecorded, Withheld
from remit.gateway import llm_turns
from remit.gateway.hosted import HostedAuthority, HostedSessions
from remit.gateway.llm_calls import CallDesk
from remit.gateway.llm_departure import AgentGone, Departure
from remit.gateway.llm_exchange import ModelExchange, ModelGateway
from remit.gateway.llm_metering import ModelMeter
from remit.gateway.llm_replies import receive
from remit.gateway.llm_results import ResultDesk
from remit.gateway.llm_routes import FORMATS, NAMED, ModelWay, action_name, candidates, way_of
from remit.gateway.llm_sessions import CredentialSessions
from remit.gateway.llm_tools import offer_of
from remit.gateway.llm_upstream import ModelUpstreams, NotTakenOn, Unanswered, returned_headers
from remit.guard.calls import Caller
from remit.guard.enforcement import Enforcement
from remit.guard.steps import run
from remit.protocols.model_api import ModelRequest

_AGENT = frozenset({Right.AGENT})
_KEYS = ("x-api-key", "x-goog-api-key", "api-key")
"""Headers in which SDKs send their key, besides ``Authorization``."""
_SILENT = "openai-chat"
"""The format whose answers do not say what the provider ran by itself."""
_MAX_WAYS = 256
"""Most paths that are kept; those of Gemini hold names that whoever calls has chosen."""
_NOBODY_THERE = 499
"""Status, in logs only, of an answer that nobody waits for."""
_ENDED = "session-ended"
"""Rule id of the refusal of an ended session."""


def model_mounts(
    parts: Parts, upstreams: ModelUpstreams, sessions: CredentialSessions | None = None
) -> Sequence[ModelMount]:
    """The mounts of the model gateway; none where no model API is configured. In the event loop.

    Args:
        parts: of the server.
        upstreams: the model APIs.
        sessions: those that other gateways of the server work in, too.
    """
    config = parts.config
    if not config.models:
        return ()
    enforcement = Enforcement(HostedAuthority(parts), wait=config.model_gateway.hold)
    gateway = ModelGateway(
        parts=parts,
        config=config.model_gateway,
        models=config.models,
        upstreams=upstreams,
        enforcement=enforcement,
        sessions=sessions
        or CredentialSessions(HostedSessions(parts), config.model_gateway.session_idle),
        results=ResultDesk(parts, enforcement),
        meter=ModelMeter(parts.policies, parts.clock),
    )
    enforcement.late.start()
    asyncio.get_running_loop().run_in_executor(None, gateway.meter.warm)
    return tuple(ModelMount(gateway, prefix) for prefix in (*FORMATS, NAMED))


class ModelMount:
    """The model APIs under one prefix (``Mount``)."""

    def __init__(self, gateway: ModelGateway, prefix: str) -> None:
        self._gateway = gateway
        self.prefix = prefix
        self._ways: dict[tuple[str, str], ModelWay] = {}
        """Where paths go that were asked for before."""

    @property
    def rights(self) -> frozenset[Right]:
        """Agents, and services that act for them."""
        return _AGENT

    def credentials(self, request: BaseRequest) -> tuple[str, ...]:
        """The Remit key, wherever the SDK of the agent puts keys."""
        headers = request.headers
        found = list(headers.getall("Authorization", ()))
        keys = [value for name in _KEYS for value in headers.getall(name, ())]
        query = request.rel_url.raw_query_string
        if "key=" in query:
            keys += [value for name, value in parse_qsl(query) if name == "key"]
        found += [f"Bearer {key}" for key in keys]
        return tuple(dict.fromkeys(found))

    async def answer(self, passing: Passing) -> StreamResponse:
        """Govern one request, and answer it.

        Raises:
            Problem: it is refused, or nobody answered.
            RemitError: it cannot be decided, or recorded.
            ConnectionResetError: nobody waits for the answer any more.
        """
        try:
            return await self._answered(passing)
        except AgentGone:
            if passing.request.writer.output_size > 0:
                raise ConnectionResetError("the agent went away") from None
            return Response(status=_NOBODY_THERE)
        except Denied as refusal:
            raise _denied(refusal, self._gateway.parts.clock()) from None
        except ApprovalRequired as held:
            members = {"approval": held.approval}
            raise Problem(403, "approval-required", str(held), members=members) from None
        except Withheld as withheld:
            raise Problem(403, "withheld", str(withheld)) from None
        except OutcomeNotRecorded as problem:
            raise Problem(503, "outcome-not-recorded", str(problem)) from None

    async def close(self) -> None:
        """Record what nobody waited for. All mounts share it, and a second time does nothing."""
        recover = self._gateway.enforcement.recover_all
        await asyncio.to_thread(lambda: run(recover()))

    def refused(self, request: BaseRequest, problem: Problem, request_id: str) -> StreamResponse:
        """The answer that says why, in the words of the API that was asked."""
        gateway = self._gateway
        try:
            way = way_of(
                gateway.models, self.prefix, "POST", _path(request, self.prefix), format_only=True
            )
            assert way.target is not None
            body = way.target.format.error_body(problem.status, problem.detail, problem.code)
        except Problem:
            body = json.dumps({"error": {"message": problem.detail, "code": problem.code}}).encode()
        headers = dict(problem.headers)
        closes = headers.pop("Connection", "") == "close"
        response = Response(
            status=problem.status, body=body, headers=headers, content_type=JSON_MEDIA
        )
        if closes:
            response.force_close()
        return response

    async def _answered(self, passing: Passing) -> StreamResponse:
        gateway, request = self._gateway, passing.request
        way = self._way(request)
        departure = Departure(passing)
        caller = await gateway.sessions.caller(passing)
        if way.target is None:
            return await self._listed(passing, way, caller, departure)
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            detail = "Send the body as it is, without Content-Encoding."
            raise Problem(415, "unsupported-encoding", detail)
        limits = gateway.parts.config.limits
        try:
            body = await whole_body(request, gateway.config.body, limits.request_time)
        except ConnectionError:
            raise AgentGone from None
        asked = way.target.format.read_request(body, way.target)
        _check(asked)
        try:
            exchange = await self._prepared(passing, way, asked, caller, departure)
            return await exchange.attempt(receive)
        except Denied as refusal:
            if any(reason.rule == _ENDED for reason in refusal.reasons):
                gateway.sessions.forget(caller.session)
            raise

    def _way(self, request: BaseRequest) -> ModelWay:
        """Where a request goes.

        Raises:
            Problem: 404, nothing is there, or it is not let through.
        """
        asked = request.method, _path(request, self.prefix)
        found = self._ways.get(asked)
        if found is None:
            if len(self._ways) >= _MAX_WAYS:
                self._ways.clear()
            found = self._ways[asked] = way_of(self._gateway.models, self.prefix, *asked)
        return found

    async def _prepared(
        self,
        passing: Passing,
        way: ModelWay,
        asked: ModelRequest,
        caller: Caller,
        departure: Departure,
    ) -> ModelExchange:
        """Look at everything in a request before it may go anywhere."""
        gateway = self._gateway
        policies = gateway.parts.policies.current
        found = candidates(gateway.models, way.choices, asked.model)
        for other in asked.models[1:]:
            if not policies.visible(caller.principal, action_name(found[0], other)):
                raise Denied(f"policy does not let this agent use the model {other}.", reasons=())
        conversation = gateway.sessions.conversation(caller.session)
        await llm_turns.take_in(gateway.parts, caller, conversation, asked)
        replaced = await gateway.results.take_in(caller, conversation, asked.results)
        assert way.target is not None
        offer = await offer_of(
            gateway.enforcement,
            policies,
            caller,
            asked,
            silent=way.target.format.name == _SILENT,
            refuse=gateway.config.offered == "refuse",
        )
        return ModelExchange(
            gateway=gateway,
            passing=passing,
            way=way,
            asked=asked,
            caller=caller,
            conversation=conversation,
            remove=offer.remove,
            hosted=offer.hosted,
            replaced=replaced,
            desk=CallDesk(gateway.enforcement, caller, conversation, asked.tools),
            departure=departure,
            candidates=found,
        )

    async def _listed(
        self, passing: Passing, way: ModelWay, caller: Caller, departure: Departure
    ) -> StreamResponse:
        """The models that this agent may use, as the first model API lists them."""
        gateway, api = self._gateway, way.choices[0]
        upstream = gateway.upstreams.by_name[api.name]
        try:
            with departure:
                answer = await upstream.send("GET", way.path, passing.request.headers, None)
                async with answer:
                    body = await answer.read()
        except (NotTakenOn, Unanswered) as problem:
            raise Problem(502, "upstream-unreachable", str(problem)) from None
        if answer.status != 200:
            raise Problem(502, "upstream-failed", f"{api.name} answered {answer.status}.")
        policies = gateway.parts.policies.current

        def may(model: str) -> bool:
            return policies.visible(caller.principal, action_name(api, model))

        return Response(body=_only(body, may, api.name), headers=returned_headers(answer.headers))


def _path(request: BaseRequest, prefix: str) -> str:
    """The path below a mount, as it was sent."""
    return request.raw_path.partition("?")[0][len(prefix) - 1 :]


def _only(body: bytes, may: Callable[[str], bool], name: str) -> bytes:
    """A list of models without those that may not be used.

    Raises:
        Problem: it is no such list.
    """
    try:
        listed = json.loads(body)
        key = "models" if "models" in listed else "data"
        every = listed[key]
        kept = [each for each in every if may(_model_in(each))]
    except (ValueError, KeyError, TypeError):
        raise Problem(
            502, "upstream-malformed", f"{name} did not answer with a list of models."
        ) from None
    if len(kept) == len(every):
        return body
    return json.dumps({**listed, key: kept}).encode()


def _model_in(entry: dict[str, str]) -> str:
    found = entry["id"] if "id" in entry else entry["name"]
    return found.removeprefix("models/")


def _check(asked: ModelRequest) -> None:
    """Refuse what would bring calls past whoever decides them.

    Raises:
        InvalidRequest: says so.
    """
    if asked.background:
        raise InvalidRequest(
            "background: an answer that is fetched later by its id is not let through, because "
            "nobody would decide the calls in it; leave it out"
        )


def _denied(refusal: Denied, now: int) -> Problem:
    """What a refusal becomes: 429 where waiting helps, else 403."""
    retry_at = refusal.admission.retry_at if refusal.admission is not None else None
    if retry_at is None:
        return Problem(403, "denied", str(refusal))
    seconds = max(1, -(-(retry_at - now) // 1_000_000_000))
    headers = {"Retry-After": str(seconds)}
    return Problem(429, "limit", str(refusal), headers=headers)
