"""Answers of model APIs on their way to the agent: errors, whole answers, beginnings of streams."""

from __future__ import annotations

import asyncio

from aiohttp.web import Response, StreamResponse

from remit.api.frame import JSON_MEDIA, Problem
from remit.errors import MalformedReply
from remit.gateway.lean_client import LeanAnswer
from remit.gateway.llm_calls import decide_all
from remit.gateway.llm_exchange import ModelCall, ModelExchange, read_whole
from remit.gateway.llm_metering import ModelOutcome
from remit.gateway.llm_streams import StreamPump
from remit.gateway.llm_upstream import ModelUpstream, Unanswered, returned_headers
from remit.protocols.model_api import ModelReply

_STREAM = "text/event-stream"


async def receive(
    exchange: ModelExchange,
    call: ModelCall,
    upstream: ModelUpstream,
    answer: LeanAnswer,
) -> StreamResponse:
    """Make the agent's answer of a model API's, and settle the call.

    Raises:
        Problem: it cannot be passed on.
        Withheld: policy does not let it through.
        OutcomeNotRecorded: what came of it could not be recorded.
        AgentGone: nobody waits for it any more.
    """
    if answer.status >= 300:
        return await _failed(exchange, call, upstream, answer)
    if answer.content_type == _STREAM and exchange.asked.stream:
        return await StreamPump(exchange, call, answer).run()
    try:
        body = await read_whole(exchange, answer)
    except Unanswered as problem:
        await _lost(exchange, call, answer, str(problem))
        raise Problem(502, "upstream-broke-off", _unread(call, str(problem))) from None
    if answer.content_type != JSON_MEDIA:
        problem_text = f"it is {answer.content_type}, not JSON"
        await _lost(exchange, call, answer, problem_text)
        raise Problem(502, "upstream-malformed", _unread(call, problem_text))
    target = exchange.way.target
    assert target is not None
    try:
        reply = target.format.read_reply(body, exchange.asked)
    except MalformedReply as problem:
        await _lost(exchange, call, answer, str(problem))
        raise Problem(502, "upstream-malformed", _unread(call, str(problem))) from None
    written = await _decided(exchange, call, answer, reply)
    return Response(status=answer.status, body=written, headers=returned_headers(answer.headers))


async def _decided(
    exchange: ModelExchange, call: ModelCall, answer: LeanAnswer, reply: ModelReply
) -> bytes:
    """The body that the agent gets, once every call in it is decided."""
    target, desk = exchange.way.target, exchange.desk
    assert target is not None
    await exchange.hosted.finish(reply.hosted, whole=True)
    taken = ModelOutcome(
        status="ok",
        tokens=reply.usage,
        produced=reply.text_bytes,
        finish=reply.finish,
        model=reply.model,
        http=answer.status,
        calls=tuple(each.name for each in reply.calls),
    )
    if not reply.calls:
        await call.settle(taken)
        return reply.raw
    settling = asyncio.ensure_future(call.settle(taken))
    try:
        if call.looks_at_result:  # its labels count for the calls that the model asks for
            await asyncio.shield(settling)
        with exchange.departure:
            decided = await decide_all(desk, reply.calls)
    finally:
        await settling
    for each in decided.values():
        desk.release(each)
    desk.close(reply.id)
    return target.format.write_reply(reply, {key: each.verdict for key, each in decided.items()})


async def _failed(
    exchange: ModelExchange,
    call: ModelCall,
    upstream: ModelUpstream,
    answer: LeanAnswer,
) -> StreamResponse:
    """Pass an error on; where it is about the provider's key, that is not the agent's business."""
    name = call.api.name
    try:
        body = await read_whole(exchange, answer)
    except Unanswered:
        body = b""
    refused = answer.status < 500
    error = f"{name} answered {answer.status}"
    # A request that was refused ran nothing. One that failed inside the provider may have.
    await call.settle(ModelOutcome(status="error", free=refused, http=answer.status, error=error))
    await (exchange.hosted.void() if refused else exchange.hosted.finish((), whole=False))
    if answer.status < 400:
        raise Problem(502, "upstream-redirects", f"{name} redirects, which is not followed.")
    faults = exchange.gateway.parts.faults
    if answer.status == 401:
        faults.set(f"model api {name}", "it refuses Remit's key")
        detail = f"{name} refuses the key that Remit has for it. Tell whoever runs Remit."
        raise Problem(502, "upstream-credential", detail)
    return Response(
        status=answer.status,
        body=upstream.without_key(body),
        headers=returned_headers(answer.headers),
    )


async def _lost(exchange: ModelExchange, call: ModelCall, answer: LeanAnswer, problem: str) -> None:
    """Record that the model may have run and that nobody can say what it took."""
    await exchange.hosted.finish((), whole=False)
    await call.settle(ModelOutcome(status="error", http=answer.status, error=problem))


def _unread(call: ModelCall, problem: str) -> str:
    return (
        f"The answer of {call.api.name} cannot be passed on: {problem}. The request may have run, "
        "so it was not sent again, and is charged."
    )
