"""Google's Gemini API: requests and whole answers. Streams are in ``gemini_stream``.

Requests may spell members ``likeThis`` or ``like_this``; both at once could hide one from us.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from remit.errors import InvalidRequest
from remit.protocols.gemini_parts import (
    answers_in,
    calls_in,
    decided_parts,
    finish_in,
    gemini_usage,
    hosted_in,
    usage_in,
)
from remit.protocols.gemini_stream import GeminiReader, gemini_error
from remit.protocols.model_api import (
    CallVerdict,
    HostedCall,
    ModelReply,
    ModelRequest,
    ObservedResult,
    OfferedTool,
    Operation,
    RequestChanges,
    RequestedCall,
    TokenUsage,
    hosted_name,
    limit_in,
    listed,
    model_names,
    name_in,
    part,
    put_at,
    read_answer,
    read_body,
    remove_places,
    size_of,
    snake,
    write_json,
)
from remit.protocols.model_format import Target
from remit.protocols.model_stream import ReplyStream


class Gemini:
    """The wire format of ``/v1beta/models/NAME:generateContent`` and its kin."""

    name = "gemini"

    def read_request(self, body: bytes, target: Target) -> ModelRequest:
        """What a request asks for. See ``ModelFormat``."""
        value = read_body(body)
        models = list(model_names(value, target.model))
        for each in listed(value.get("requests"), "requests"):
            models.append(name_in(each, "model", "requests").removeprefix("models/"))
        settings = _member(value, "generationConfig")[1]
        calling = _member(_member(value, "toolConfig")[1], "functionCallingConfig")[1]
        if _member(calling, "streamFunctionCallArguments")[1]:
            raise InvalidRequest(
                "streamFunctionCallArguments: a call is decided as a whole; leave it out"
            )
        limit = _member(settings, "maxOutputTokens")[1]
        choices = _member(settings, "candidateCount")[1]
        return ModelRequest(
            raw=body,
            body=value,
            operation=target.operation,
            model=models[0],
            models=tuple(dict.fromkeys(models)),
            stream=target.stream is True,
            tools=tuple(_offered(value)),
            results=tuple(_results(value)),
            output_limit=limit_in({"maxOutputTokens": limit}, "maxOutputTokens"),
            choices=limit_in({"candidateCount": choices}, "candidateCount") or 1,
        )

    def write_request(self, request: ModelRequest, changes: RequestChanges) -> bytes:
        """The request to send on; its model is in the path. See ``ModelFormat``."""
        if replace(changes, ask_usage=False, refused=(), model=None).nothing:
            return request.raw
        body = read_body(request.raw)
        for result, text in changes.results:
            old = {key: value for key, value in _at(body, result.place).items() if key != "parts"}
            put_at(body, result.place, {**old, "response": {"result": text}})
        if changes.remove:
            remove_places(body, [tool.place for tool in changes.remove])
            _settle_tools(body)
        if changes.output_limit is not None:
            key, settings = _member(body, "generationConfig")
            inner = _member(settings, "maxOutputTokens")[0]
            body[key] = {**(settings or {}), inner: changes.output_limit}
        return write_json(body)

    def read_reply(self, body: bytes, request: ModelRequest) -> ModelReply:
        """What a whole answer says. See ``ModelFormat``."""
        value = read_answer(body)
        if request.operation is Operation.COUNT:
            return ModelReply(raw=body, usage=TokenUsage())
        if request.operation is Operation.EMBED:
            return ModelReply(raw=body, usage=gemini_usage(part(value, "usageMetadata") or None))
        answers = answers_in(value)
        counts: dict[int, int] = {}
        calls: list[RequestedCall] = []
        hosted: list[HostedCall] = []
        for answer in answers:
            calls.extend(calls_in(answer, counts))
            hosted_in(answer, hosted)
        models = [answer.get("modelVersion") for answer in answers]
        return ModelReply(
            raw=body,
            calls=tuple(calls),
            hosted=tuple(hosted),
            usage=usage_in(answers),
            finish=next(filter(None, map(finish_in, reversed(answers))), None),
            model=next((model for model in models if isinstance(model, str)), None),
            text_bytes=sum(size_of(answer.get("candidates")) for answer in answers),
        )

    def write_reply(self, reply: ModelReply, verdicts: Mapping[str, CallVerdict]) -> bytes:
        """The answer to pass on. See ``ModelFormat``."""
        settled = {call.key: call.settled(verdicts[call.key]) for call in reply.calls}
        if all(verdict.unchanged for verdict in settled.values()):
            return reply.raw
        value = read_answer(reply.raw)
        counts: dict[int, int] = {}
        for answer in answers_in(value):
            decided_parts(answer, counts, settled)
        return write_json(value)

    def reply_stream(self, request: ModelRequest, *, hide_usage: bool = False) -> ReplyStream:
        """A machine for the stream that answers. See ``ModelFormat``."""
        return ReplyStream(GeminiReader())

    def error_body(self, status: int, message: str, code: str = "remit_refused") -> bytes:
        """An error as JSON. See ``ModelFormat``."""
        return write_json(gemini_error(status, message, code))


def _member(holder: Any, name: str) -> tuple[str, Any]:
    """The key of a member as it is spelt, and the member; ``name`` and None where there is none.

    Raises:
        InvalidRequest: it is there in two spellings, or ``holder`` is no object.
    """
    if holder is None:
        return name, None
    if not isinstance(holder, Mapping):
        raise InvalidRequest(f"{name}: is looked for in what is not an object")
    found = [key for key in (name, snake(name)) if key in holder]
    if len(set(found)) > 1:
        raise InvalidRequest(f"{name}: is there twice, in two spellings")
    return (found[0], holder[found[0]]) if found else (name, None)


def _at(body: Any, place: tuple[str | int, ...]) -> Any:
    for step in place:
        body = body[step]
    return body


def _offered(body: Mapping[str, Any]) -> Iterator[OfferedTool]:
    for position, tool in enumerate(listed(body.get("tools"), "tools")):
        declared, functions = _member(tool, "functionDeclarations")
        servers_key, servers = _member(tool, "mcpServers")
        place = ("tools", position)
        for number, function in enumerate(listed(functions, declared)):
            yield OfferedTool(
                name=name_in(function, "name", declared),
                hosted=False,
                kind="function",
                definition=function,
                place=(*place, declared, number),
            )
        for number, server in enumerate(listed(servers, servers_key)):
            yield OfferedTool(
                name=f"hosted.mcp.{name_in(server, 'name', servers_key)}",
                hosted=True,
                kind="mcp_server",
                definition=server,
                place=(*place, servers_key, number),
            )
        for key, settings in tool.items():
            if key in (declared, servers_key) or settings is None:
                continue
            client = snake(key) == "computer_use"
            yield OfferedTool(
                name="computer" if client else hosted_name(key),
                hosted=not client,
                kind=key,
                definition=settings,
                place=(*place, key),
            )
    key, cached = _member(body, "cachedContent")
    if cached is not None:
        yield OfferedTool(
            name="hosted.cached_content", hosted=True, kind=key, definition=cached, place=(key,)
        )


def _results(body: Mapping[str, Any]) -> Iterator[ObservedResult]:
    names: dict[str, str] = {}
    for position, content in enumerate(listed(body.get("contents"), "contents")):
        for number, each in enumerate(listed(content.get("parts"), "parts")):
            call = _member(each, "functionCall")[1]
            if isinstance(call, Mapping) and isinstance(call.get("id"), str):
                names[call["id"]] = name_in(call, "name", "functionCall")
            key, result = _member(each, "functionResponse")
            if result is None:
                continue
            name = name_in(result, "name", "functionResponse")
            call_id = result.get("id")
            call_id = call_id if isinstance(call_id, str) else ""
            parts = result.get("parts")
            said = result.get("response")
            yield ObservedResult(
                call_id=call_id,
                tool=names.get(call_id, name),
                content=said if parts is None else {"response": said, "parts": parts},
                place=("contents", position, "parts", number, key),
            )


def _settle_tools(body: dict[str, Any]) -> None:
    """Make the rest of a request fit the tools that are left."""
    tools = [
        {key: value for key, value in tool.items() if value != []}
        for tool in body.get("tools") or ()
    ]
    body["tools"] = [tool for tool in tools if tool]
    key, config = _member(body, "toolConfig")
    if not body["tools"]:
        for name in ("tools", key):
            body.pop(name, None)
        return
    inner, calling = _member(config, "functionCallingConfig")
    if not calling:
        return
    names = {
        function.get("name")
        for tool in body["tools"]
        for function in _member(tool, "functionDeclarations")[1] or ()
    }
    allowed_key, allowed = _member(calling, "allowedFunctionNames")
    kept = [name for name in allowed or () if name in names]
    if not names or (allowed and not kept):
        body[key] = {name: value for name, value in config.items() if name != inner}
    elif allowed:
        body[key] = {**config, inner: {**calling, allowed_key: kept}}
