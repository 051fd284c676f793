"""One request to a model: admitted, sent, sent again elsewhere where nobody took it on.

Each attempt is an action of its own, decided and settled by itself, so that policy sees where a
request goes and nothing is charged twice. It is sent again only with proof that nobody took it on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
from aiohttp.web import Response, StreamResponse
from msgspec import Struct

from remit.api.frame import JSON_MEDIA, Parts, Problem
from remit.api.mounts import Passing
from remit.config.models import GatewayConfig, ModelConfig
from remit.errors import Denied, Refused, Withheld
from remit.gateway.lean_client import LeanAnswer
from remit.gateway.llm_calls import CallDesk
from remit.gateway.llm_departure import AgentGone, Departure
from remit.gateway.llm_metering import LIMIT, MODEL, ModelMeter, ModelOutcome
from remit.gateway.llm_results import ResultDesk
from remit.gateway.llm_routes import ModelWay, action_name
from remit.gateway.llm_sessions import CredentialSessions, ModelConversation
from remit.gateway.llm_tools import HostedTools
from remit.gateway.llm_upstream import (
    ModelUpstream,
    ModelUpstreams,
    NotTakenOn,
    Unanswered,
    returned_headers,
)
from remit.guard.authority import Proposed
from remit.guard.calls import Caller, Granted
from remit.guard.enforcement import Enforcement
from remit.guard.inspecting import seen_in_call
from remit.guard.steps import run_async
from remit.model import Action, Finding, Outcome
from remit.protocols.model_api import (
    ModelRequest,
    ObservedResult,
    OfferedTool,
    Operation,
    RefusedCall,
    RequestChanges,
)

_TURNED_AWAY = frozenset({429, 503, 529})
"""Statuses with which a provider says that it did not take a request on."""
_PAUSE = 0.25
"""Seconds before a request is sent to the same place again; doubled each time."""
_MOST = 64 * 1_048_576
"""Bytes of an answer that is not a stream."""

_log = logging.getLogger("remit.models")


class ModelGateway(Struct, frozen=True, kw_only=True):
    """What all exchanges share."""

    parts: Parts
    config: GatewayConfig
    models: tuple[ModelConfig, ...]
    upstreams: ModelUpstreams
    enforcement: Enforcement
    sessions: CredentialSessions
    results: ResultDesk
    meter: ModelMeter


class ModelCall:
    """One attempt: an admitted call to a model, until what came of it is recorded."""

    def __init__(
        self, gateway: ModelGateway, api: ModelConfig, asked: ModelRequest, granted: Granted
    ) -> None:
        self._gateway = gateway
        self._asked = asked
        self.api = api
        self.granted = granted
        self.settled = False
        """Whether its outcome is recorded, or on its way."""
        arguments = granted.request.arguments
        self.model: str = arguments[MODEL]
        self.limit: int = arguments.get(LIMIT, 0)

    @property
    def looks_at_result(self) -> bool:
        """Whether what it returns has to pass policy, or labels the session."""
        return self.granted.looks_at_result

    async def settle(self, taken: ModelOutcome) -> None:
        """Record what came of it.

        Raises:
            OutcomeNotRecorded: it could not be; the session admits nothing more until it is.
            Withheld: policy does not let the answer through.
        """
        if self.settled:
            return
        self.settled = True
        settled = await run_async(self._gateway.enforcement.settle(self.granted, self._of(taken)))
        if settled.settlement.withheld:
            raise Withheld(settled.refusal, reasons=settled.settlement.decision.reasons)

    def abandon(self, taken: ModelOutcome) -> None:
        """Have it recorded without waiting. Does nothing where it is recorded already."""
        if not self.settled:
            self.settled = True
            self._gateway.enforcement.abandon(self.granted, self._of(taken))

    def _of(self, taken: ModelOutcome) -> Outcome:
        return Outcome(
            status=taken.status,
            result=taken.result(),
            error=taken.error,
            duration=time.monotonic_ns() - self.granted.started,
            usage=self._gateway.meter.usage(self.api, self._asked, self.model, self.limit, taken),
        )


class TurnedAway(Struct, frozen=True):
    """Why nobody took a request on, as the agent is told."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class ModelExchange(Struct, frozen=True, kw_only=True):
    """One request of an agent, read and looked at, on its way to a model."""

    gateway: ModelGateway
    passing: Passing
    way: ModelWay
    asked: ModelRequest
    caller: Caller
    conversation: ModelConversation
    remove: tuple[OfferedTool, ...]
    hosted: HostedTools
    replaced: tuple[tuple[ObservedResult, str], ...]
    """Results, and what the model is shown instead of them."""
    desk: CallDesk
    departure: Departure
    candidates: tuple[ModelConfig, ...]

    async def attempt(self, receive: Receive) -> StreamResponse:
        """Send it until somebody takes it on; what ``receive`` makes of the answer.

        Raises:
            Refused: policy does not let it go.
            Withheld: policy does not let the answer through.
            OutcomeNotRecorded: what came of it could not be recorded.
            Problem: nobody answered.
            AgentGone: nobody waits for the answer any more.
        """
        failure: TurnedAway | None = None
        for api in self.candidates:
            for attempt in range(1 + api.retries):
                if attempt:
                    await asyncio.sleep(_PAUSE * 2 ** (attempt - 1))
                try:
                    call = await self._admitted(api)
                except Refused:
                    if failure is not None:
                        return await self._given_up(failure)
                    await self.hosted.void()
                    raise
                found = await self._sent(call, receive)
                if isinstance(found, StreamResponse):
                    return found
                failure = found
                if failure.status == 429:
                    break
        assert failure is not None
        return await self._given_up(failure)

    async def _given_up(self, failure: TurnedAway) -> StreamResponse:
        await self.hosted.void()
        return Response(status=failure.status, body=failure.body, headers=failure.headers)

    async def _admitted(self, api: ModelConfig) -> ModelCall:
        """Have the attempt decided.

        Raises:
            Refused: it may not be made.
        """
        gateway, asked = self.gateway, self.asked
        limit = 0
        if asked.operation is Operation.GENERATE:
            limit = asked.output_limit or api.max_output
        arguments, name = self._arguments(api, limit), action_name(api, asked.model)
        proposed = Proposed(
            caller=self.caller,
            action=Action(name=name, kind="model"),
            arguments=arguments,
            findings=await self._seen(name),
            estimate=gateway.meter.estimate(api, asked, limit),
        )
        granted = await run_async(gateway.enforcement.admit(proposed))
        call = ModelCall(gateway, api, asked, granted)
        ran = granted.request.arguments
        if any(
            ran.get(name) != arguments[name] for name in arguments if name not in (LIMIT, MODEL)
        ):
            await call.settle(
                ModelOutcome(status="not-run", error="an obligation changes the request")
            )
            raise Denied(
                f"{proposed.action.name} was not run: an obligation changes an argument that is "
                f"only told. Rewrite or cap {LIMIT} and {MODEL} alone.",
                reasons=granted.admission.decision.reasons,
            )
        return call

    async def _seen(self, name: str) -> tuple[Finding, ...]:
        """What is found in all that is said to the model, where policy wants it looked into."""
        need = self.gateway.parts.policies.needs.of(name)
        if need.arguments is None:
            return ()
        return await asyncio.to_thread(seen_in_call, need, {"request": self.asked.body})

    def _arguments(self, api: ModelConfig, limit: int) -> dict[str, Any]:
        """What policy sees of the request: no word of what is said in it."""
        asked, removed = self.asked, {tool.place for tool in self.remove}
        kept = [tool for tool in asked.tools if tool.place not in removed]
        arguments: dict[str, Any] = {
            "api": api.name,
            MODEL: asked.model,
            "operation": asked.operation.value,
            "stream": asked.stream,
            "choices": asked.choices,
            "tools": [tool.name for tool in kept if not tool.hosted],
            "hosted": [tool.name for tool in kept if tool.hosted],
            "bytes": len(asked.raw),
        }
        if limit:
            arguments[LIMIT] = limit
        return arguments

    async def _sent(self, call: ModelCall, receive: Receive) -> StreamResponse | TurnedAway:
        """Make the attempt; a failure if it is proven that nobody took it on."""
        upstream = self.gateway.upstreams.by_name[call.api.name]
        request = self.passing.request
        path, body = self._written(call)
        try:
            with self.departure:
                answer = await upstream.send(request.method, path, request.headers, body)
        except NotTakenOn as problem:
            await call.settle(ModelOutcome(status="not-run", error=str(problem)))
            return self._failure(502, str(problem), "upstream-unreachable")
        except Unanswered as problem:
            await call.settle(ModelOutcome(status="error", error=str(problem)))
            await self.hosted.finish((), whole=False)
            detail = f"{problem}. It may have run, so it was not sent again, and is charged."
            raise Problem(504, "upstream-silent", detail) from None
        except AgentGone:
            await call.settle(ModelOutcome(status="cancelled", error="the agent went away"))
            await self.hosted.finish((), whole=False)
            raise
        except BaseException:
            call.abandon(ModelOutcome(status="cancelled", error="the gateway stopped"))
            self.hosted.abandon()
            raise
        try:
            if answer.status in _TURNED_AWAY:
                return await self._turned_away(call, upstream, answer)
            response: StreamResponse = await receive(self, call, upstream, answer)
            return response
        except BaseException:
            # Where all went well what came of it is on record by now, and this does nothing.
            call.abandon(
                ModelOutcome(status="cancelled", error="the gateway stopped", http=answer.status)
            )
            self.hosted.abandon()
            self.desk.abandon()
            raise
        finally:
            answer.close()

    async def _turned_away(
        self, call: ModelCall, upstream: ModelUpstream, answer: LeanAnswer
    ) -> TurnedAway:
        body = await read_whole(self, answer)
        error = f"{call.api.name} turned it away"
        await call.settle(ModelOutcome(status="error", free=True, http=answer.status, error=error))
        return TurnedAway(
            answer.status,
            upstream.without_key(body),
            returned_headers(answer.headers),
        )

    def _failure(self, status: int, message: str, code: str) -> TurnedAway:
        target = self.way.target
        assert target is not None
        body = target.format.error_body(status, message, code)
        return TurnedAway(status, body, {"Content-Type": JSON_MEDIA})

    def _written(self, call: ModelCall) -> tuple[str, bytes]:
        """Path and body as they go out."""
        target, asked = self.way.target, self.asked
        assert target is not None
        admission = call.granted.admission
        limit = None
        if call.limit and (
            call.limit != asked.output_limit if admission.arguments is not None else False
        ):
            limit = call.limit
        elif call.limit and asked.output_limit is None and admission.reserved:
            limit = call.limit  # what is held pays for so much and no more
        body = target.format.write_request(
            asked,
            RequestChanges(
                remove=self.remove,
                output_limit=limit,
                limit_name=call.api.limit_name,
                ask_usage=asked.stream and not asked.asked_usage,
                refused=self._refusals(),
                results=self.replaced,
                model=call.model if call.model != asked.model else None,
            ),
        )
        path = self.way.path
        if target.model is not None and call.model != asked.model:
            path = path.replace(f"/{target.model}:", f"/{call.model}:", 1)
        return path + self._query(), body

    def _query(self) -> str:
        """The query without the key that the agent may have put there."""
        pairs = self.passing.request.rel_url.raw_query_string.split("&")
        kept = "&".join(pair for pair in pairs if pair and not pair.startswith("key="))
        return f"?{kept}" if kept else ""

    def _refusals(self) -> tuple[RefusedCall, ...]:
        """Calls refused in an answer that the provider keeps: it waits for their results."""
        before = self.asked.body.get("previous_response_id")
        if not isinstance(before, str):
            return ()
        return self.conversation.refused.get(before, ())


Receive = Callable[[ModelExchange, ModelCall, ModelUpstream, LeanAnswer], Any]
"""Makes an answer of what a model API said, and settles the call."""


async def read_whole(exchange: ModelExchange, answer: LeanAnswer) -> bytes:
    """The body of an answer that is not a stream.

    Raises:
        Unanswered: not all of it came, or too much.
        AgentGone: nobody waits for it any more.
    """
    name = answer.host
    body = bytearray()
    try:
        with exchange.departure:
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > _MOST:
                    raise Unanswered(f"the answer has more than {_MOST:,} bytes")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        _log.warning("answer broke off", extra={"host": name, "failure": error})
        raise Unanswered("the answer broke off") from None
    return bytes(body)
