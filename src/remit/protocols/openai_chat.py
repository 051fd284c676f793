"""OpenAI's Chat Completions, which vLLM, Ollama, llama.cpp and many others speak too.

Also the older text completions (no tools) and embeddings, which are only metered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from remit.errors import MalformedReply
from remit.protocols.model_api import (
    CallVerdict,
    ModelReply,
    ModelRequest,
    ObservedResult,
    OfferedTool,
    Operation,
    RequestChanges,
    RequestedCall,
    TokenUsage,
    flag,
    glanced,
    hosted_name,
    limit_in,
    listed,
    mentions,
    model_names,
    name_in,
    objects,
    part,
    put_at,
    read_answer,
    read_body,
    remove_places,
    size_of,
    text_of,
    write_json,
)
from remit.protocols.model_format import Target
from remit.protocols.model_stream import ReplyStream
from remit.protocols.openai_chat_stream import ENDS_OF_CALLS, ChatReader
from remit.protocols.openai_words import (
    call_parts,
    call_with,
    chat_call,
    chat_usage,
    joined,
    openai_error,
)

LIMITS = ("max_completion_tokens", "max_tokens")
_SEARCHES = ("web_search_options", "search_parameters")
# Without one of these no answer can hold a call or an error.
_TELLING = (b"tool", b"function", b"custom", b"\\u", b'"error"')


class _WholeMessage(Struct):
    content: str | None = None


class _WholeChoice(Struct):
    message: _WholeMessage
    finish_reason: str | None = None


class _WholeAnswer(Struct):
    """The part of an answer that is looked at when it can hold nothing but text."""

    choices: list[_WholeChoice]
    usage: dict[str, Any]
    model: str | None = None


_whole = msgspec.json.Decoder(_WholeAnswer)


class ChatCompletions:
    """The wire format of ``/v1/chat/completions``, ``/v1/completions`` and ``/v1/embeddings``."""

    name = "openai-chat"

    def read_request(self, body: bytes, target: Target) -> ModelRequest:
        """What a request asks for. See ``ModelFormat``."""
        value = read_body(body)
        models = model_names(value, target.model)
        stream = flag(value, "stream")
        return ModelRequest(
            raw=body,
            body=value,
            operation=target.operation,
            model=models[0],
            models=models,
            stream=stream,
            tools=tuple(_tools(value)),
            results=tuple(_results(value)),
            output_limit=limit_in(value, *LIMITS),
            choices=limit_in(value, "n") or 1,
            asked_usage=not stream or part(value, "stream_options").get("include_usage") is True,
        )

    def write_request(self, request: ModelRequest, changes: RequestChanges) -> bytes:
        """The request to send on. See ``ModelFormat``."""
        ask = changes.ask_usage and not request.asked_usage
        limit = changes.output_limit
        if replace(changes, ask_usage=ask, refused=()).nothing:
            return request.raw
        body = read_body(request.raw)
        # Before anything is removed, everything is where the request has it.
        for result, text in changes.results:
            put_at(body, result.place, text)
        if changes.remove:
            remove_places(body, [tool.place for tool in changes.remove])
            _settle_choice(body)
        if changes.model is not None:
            body["model"] = changes.model
        if limit is not None:
            present = [name for name in LIMITS if body.get(name) is not None]
            for name in present or [changes.limit_name or LIMITS[0]]:
                body[name] = limit
        if ask:
            body["stream_options"] = {**part(body, "stream_options"), "include_usage": True}
        return write_json(body)

    def read_reply(self, body: bytes, request: ModelRequest) -> ModelReply:
        """What a whole answer says. See ``ModelFormat``."""
        quiet = None if mentions(body, _TELLING) else glanced(_whole, body)
        if quiet is not None and request.operation is Operation.GENERATE:
            usage = chat_usage(quiet.usage)
            if usage is not None:  # else every word counts, wherever it is
                return _said(body, quiet, usage)
        value = read_answer(body)
        if not isinstance(value, dict):
            raise MalformedReply("the answer is not a JSON object")
        usage = chat_usage(value.get("usage"))
        model = value.get("model")
        model = model if isinstance(model, str) else None
        if request.operation is not Operation.GENERATE:
            return ModelReply(raw=body, usage=usage, model=model)
        choices = objects(value.get("choices"), "choices")
        calls = [call for number, choice in enumerate(choices) for call in _calls(number, choice)]
        reasons = [text_of(choice.get("finish_reason"), "finish_reason") for choice in choices]
        return ModelReply(
            raw=body,
            calls=tuple(calls),
            usage=usage,
            finish="error" if value.get("error") else next(iter(reasons), None),
            model=model,
            text_bytes=sum(size_of(choice) for choice in choices),
        )

    def write_reply(self, reply: ModelReply, verdicts: Mapping[str, CallVerdict]) -> bytes:
        """The answer to pass on. See ``ModelFormat``."""
        settled = {call.key: call.settled(verdicts[call.key]) for call in reply.calls}
        if all(verdict.unchanged for verdict in settled.values()):
            return reply.raw
        value = read_answer(reply.raw)
        for number, choice in enumerate(value["choices"]):
            _write_choice(number, choice, settled)
        return write_json(value)

    def reply_stream(self, request: ModelRequest, *, hide_usage: bool = False) -> ReplyStream:
        """A machine for the stream that answers. See ``ModelFormat``."""
        return ReplyStream(ChatReader(hide_usage=hide_usage))

    def error_body(self, status: int, message: str, code: str = "remit_refused") -> bytes:
        """An error as JSON. See ``ModelFormat``."""
        return openai_error(status, message, code)


def _said(body: bytes, answer: _WholeAnswer, usage: TokenUsage) -> ModelReply:
    """An answer without a call in it."""
    return ModelReply(
        raw=body,
        usage=usage,
        finish=answer.choices[0].finish_reason if answer.choices else None,
        model=answer.model,
        text_bytes=sum(len((choice.message.content or "").encode()) for choice in answer.choices),
    )


def _tools(body: Mapping[str, Any]) -> Iterator[OfferedTool]:
    for position, tool in enumerate(listed(body.get("tools"), "tools")):
        place = ("tools", position)
        kind = name_in(tool, "type", "tools") if "type" in tool else "function"
        if kind in ("function", "custom"):
            name = name_in(part(tool, kind), "name", f"tools[{position}].{kind}")
            yield OfferedTool(name=name, hosted=False, kind=kind, definition=tool, place=place)
        else:
            yield OfferedTool(
                name=hosted_name(kind), hosted=True, kind=kind, definition=tool, place=place
            )
    for position, tool in enumerate(listed(body.get("functions"), "functions")):
        name = name_in(tool, "name", f"functions[{position}]")
        place = ("functions", position)
        yield OfferedTool(name=name, hosted=False, kind="function", definition=tool, place=place)
    for key in _SEARCHES:
        if body.get(key) is not None:
            yield OfferedTool(
                name="hosted.web_search", hosted=True, kind=key, definition=body[key], place=(key,)
            )
    for position, plugin in enumerate(listed(body.get("plugins"), "plugins")):
        name = hosted_name(name_in(plugin, "id", f"plugins[{position}]"))
        place = ("plugins", position)
        yield OfferedTool(name=name, hosted=True, kind="plugin", definition=plugin, place=place)


def _results(body: Mapping[str, Any]) -> Iterator[ObservedResult]:
    names: dict[str, str] = {}
    for position, message in enumerate(listed(body.get("messages"), "messages")):
        place = ("messages", position, "content")
        content = message.get("content")
        for call in listed(message.get("tool_calls"), "tool_calls"):
            call_id = call.get("id")
            if isinstance(call_id, str):
                names[call_id] = _called(call)
        if message.get("role") == "tool":
            call_id = message.get("tool_call_id")
            call_id = call_id if isinstance(call_id, str) else ""
            tool = names.get(call_id, "")
            yield ObservedResult(call_id=call_id, tool=tool, content=content, place=place)
        elif message.get("role") == "function":
            name = name_in(message, "name", "messages")
            yield ObservedResult(call_id="", tool=name, content=content, place=place)


def _called(call: Mapping[str, Any]) -> str:
    name = part(call, "custom" if "custom" in call else "function").get("name")
    return name if isinstance(name, str) else ""


def _settle_choice(body: dict[str, Any]) -> None:
    """Make the rest of a request fit the tools that are left."""
    for tools, choice in (("tools", "tool_choice"), ("functions", "function_call")):
        if tools not in body:
            continue
        if not body[tools]:
            for name in (tools, choice, "parallel_tool_calls"):
                body.pop(name, None)
        elif choice in body:
            body[choice] = _choice_among(body[choice], body[tools])
    if body.get("plugins") == []:
        del body["plugins"]


def _choice_among(choice: Any, tools: Sequence[Mapping[str, Any]]) -> Any:
    """A choice of tools that names none but ``tools``."""
    names = {_called(tool) or tool.get("name") for tool in tools}
    allowed = part(choice, "allowed_tools")
    if allowed:
        among = listed(allowed.get("tools"), "tool_choice")
        kept = [tool for tool in among if _called(tool) in names]
        return {**choice, "allowed_tools": {**allowed, "tools": kept}} if kept else "auto"
    named = _called(choice) or choice.get("name") if isinstance(choice, dict) else None
    return "auto" if named is not None and named not in names else choice


def _calls(number: int, choice: Mapping[str, Any]) -> Iterator[RequestedCall]:
    message = part(choice, "message")
    for position, call in enumerate(objects(message.get("tool_calls"), "tool_calls")):
        kind, name, text = call_parts(call)
        call_id = text_of(call.get("id"), "id")
        yield chat_call(f"{number}.{position}", call_id, kind, name, text)
    legacy = message.get("function_call")
    if legacy is not None:
        _, name, text = call_parts({"function": legacy})
        yield chat_call(f"{number}.function_call", "", "function", name, text)


def _write_choice(number: int, choice: dict[str, Any], verdicts: Mapping[str, CallVerdict]) -> None:
    message = choice.get("message") or {}
    calls = message.get("tool_calls") or []
    written = [_written(message, call, verdicts[f"{number}.{n}"]) for n, call in enumerate(calls)]
    kept = [call for call in written if call is not None]
    if calls:
        message["tool_calls"] = kept
        if not kept:
            del message["tool_calls"]
    legacy = message.get("function_call")
    if legacy is not None:
        call = _written(message, {"function": legacy}, verdicts[f"{number}.function_call"])
        kept += [call] if call else []
        message["function_call"] = call["function"] if call else None
    if (calls or legacy) and not kept and choice.get("finish_reason") in ENDS_OF_CALLS:
        choice["finish_reason"] = "stop"


def _written(
    message: dict[str, Any], call: dict[str, Any], verdict: CallVerdict
) -> dict[str, Any] | None:
    """A call as decided; None where a refusal stands in the message instead."""
    if not verdict.allowed:
        said = message.get("content")
        message["content"] = joined(said, verdict.refusal, apart=bool(said))
        return None
    return call if verdict.arguments is None else call_with(call, verdict.arguments)
