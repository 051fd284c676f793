"""OpenAI's Responses: requests and whole answers. Streams are in ``openai_responses_stream``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from remit.errors import InvalidRequest, MalformedReply
from remit.protocols.model_api import (
    CallVerdict,
    JsonPath,
    ModelReply,
    ModelRequest,
    ObservedResult,
    OfferedTool,
    Operation,
    RequestChanges,
    TokenUsage,
    flag,
    hosted_name,
    limit_in,
    listed,
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
from remit.protocols.openai_items import (
    call_id_of,
    called_name,
    decided_items,
    finish_of,
    is_call,
    is_hosted,
    name_within,
    read_call,
    read_hosted,
)
from remit.protocols.openai_responses_stream import ResponsesReader
from remit.protocols.openai_words import openai_error, response_usage

_CLIENT_TOOLS = {
    "computer": "computer",
    "computer_use": "computer",
    "computer_use_preview": "computer",
    "local_shell": "shell",
    "apply_patch": "apply_patch",
}
_WITH_TOOLS = ("additional_tools", "tool_search_output")


class Responses:
    """The wire format of ``/v1/responses`` and ``/v1/responses/input_tokens``."""

    name = "openai-responses"

    def read_request(self, body: bytes, target: Target) -> ModelRequest:
        """What a request asks for. See ``ModelFormat``."""
        value = read_body(body)
        stored = part(value, "prompt")
        models = model_names(value, "" if stored and "model" not in value else target.model)
        return ModelRequest(
            raw=body,
            body=value,
            operation=target.operation,
            model=models[0],
            models=models,
            stream=flag(value, "stream"),
            tools=tuple(_offered(value)),
            results=tuple(_results(value)),
            output_limit=limit_in(value, "max_output_tokens"),
            background=flag(value, "background"),
            chained=any(value.get(key) for key in ("previous_response_id", "conversation")),
        )

    def write_request(self, request: ModelRequest, changes: RequestChanges) -> bytes:
        """The request to send on. See ``ModelFormat``."""
        if replace(changes, ask_usage=False).nothing:
            return request.raw
        body = read_body(request.raw)
        for result, text in changes.results:
            if not isinstance(result.content, str | list):
                raise InvalidRequest(f"the result of {result.tool} cannot be replaced by text")
            put_at(body, result.place, text)
        if changes.remove:
            remove_places(body, [tool.place for tool in changes.remove])
            _settle_tools(body)
        if changes.model is not None:
            body["model"] = changes.model
        if changes.output_limit is not None:
            body["max_output_tokens"] = changes.output_limit
        if changes.refused:
            body["input"] = [*_answers(changes), *_input(body)]
        return write_json(body)

    def read_reply(self, body: bytes, request: ModelRequest) -> ModelReply:
        """What a whole answer says. See ``ModelFormat``."""
        value = read_answer(body)
        if not isinstance(value, dict):
            raise MalformedReply("the answer is not a JSON object")
        if request.operation is not Operation.GENERATE:
            return ModelReply(raw=body, usage=TokenUsage())
        items = objects(value.get("output"), "output")
        model = value.get("model")
        return ModelReply(
            raw=body,
            id=text_of(value.get("id"), "id"),
            calls=tuple(
                read_call(str(place), item) for place, item in enumerate(items) if is_call(item)
            ),
            hosted=tuple(read_hosted(item) for item in items if is_hosted(item)),
            usage=response_usage(value.get("usage")),
            finish=finish_of(value),
            model=model if isinstance(model, str) else None,
            text_bytes=size_of(value.get("output")),
        )

    def write_reply(self, reply: ModelReply, verdicts: Mapping[str, CallVerdict]) -> bytes:
        """The answer to pass on. See ``ModelFormat``."""
        settled = {call.key: call.settled(verdicts[call.key]) for call in reply.calls}
        if all(verdict.unchanged for verdict in settled.values()):
            return reply.raw
        value = read_answer(reply.raw)
        keys = {int(key): key for key in settled}
        value["output"] = list(decided_items(value["output"], keys, settled))
        return write_json(value)

    def reply_stream(self, request: ModelRequest, *, hide_usage: bool = False) -> ReplyStream:
        """A machine for the stream that answers. See ``ModelFormat``."""
        return ReplyStream(ResponsesReader())

    def error_body(self, status: int, message: str, code: str = "remit_refused") -> bytes:
        """An error as JSON. See ``ModelFormat``."""
        return openai_error(status, message, code)


def _offered(body: Mapping[str, Any]) -> Iterator[OfferedTool]:
    yield from _tools(body.get("tools"), ("tools",))
    given = body.get("input")
    if isinstance(given, list):
        for position, item in enumerate(given):
            if isinstance(item, dict) and item.get("type") in _WITH_TOOLS:
                yield from _tools(item.get("tools"), ("input", position, "tools"))
    if body.get("prompt") is not None:
        yield OfferedTool(
            name="hosted.stored_prompt",
            hosted=True,
            kind="prompt",
            definition=body["prompt"],
            place=("prompt",),
        )


def _tools(tools: Any, place: JsonPath, namespace: str = "") -> Iterator[OfferedTool]:
    for position, tool in enumerate(listed(tools, str(place[-1]))):
        here = (*place, position)
        kind = name_in(tool, "type", "tools")
        if kind == "namespace":
            yield from _tools(tool.get("tools"), (*here, "tools"), name_in(tool, "name", "tools"))
            continue
        name = _tool_name(tool, kind, namespace)
        hosted = name.startswith("hosted.") and kind not in ("function", "custom")
        yield OfferedTool(name=name, hosted=hosted, kind=kind, definition=tool, place=here)


def _tool_name(tool: Mapping[str, Any], kind: str, namespace: str) -> str:
    if kind in ("function", "custom"):
        return name_within(namespace, name_in(tool, "name", "tools"))
    if kind == "mcp":
        return f"hosted.mcp.{name_in(tool, 'server_label', 'tools')}"
    if kind == "shell":
        local = part(tool, "environment").get("type", "local") == "local"
        return "shell" if local else "hosted.shell"
    if kind == "tool_search" and tool.get("execution") == "client":
        return "tool_search"
    return _CLIENT_TOOLS.get(kind, hosted_name(kind))


def _results(body: Mapping[str, Any]) -> Iterator[ObservedResult]:
    given = body.get("input")
    names: dict[str, str] = {}
    for position, item in enumerate(given if isinstance(given, list) else ()):
        if not isinstance(item, dict):
            raise InvalidRequest(f"input[{position}]: not an object")
        kind = item.get("type")
        if is_call(item):
            try:
                names[call_id_of(item)] = called_name(item)
            except MalformedReply as error:
                raise InvalidRequest(f"input[{position}]: {error}") from None
        elif isinstance(kind, str) and kind.endswith("_output") and "output" in item:
            call_id = item.get("call_id") or item.get("id")
            call_id = call_id if isinstance(call_id, str) else ""
            own = item.get("name")
            yield ObservedResult(
                call_id=call_id,
                tool=names.get(call_id) or (own if isinstance(own, str) else ""),
                content=item["output"],
                place=("input", position, "output"),
            )


def _settle_tools(body: dict[str, Any]) -> None:
    """Make the rest of a request fit the tools that are left."""
    given = body.get("input")
    if isinstance(given, list):
        body["input"] = [
            item
            for item in given
            if not (isinstance(item, dict) and item.get("type") == "additional_tools")
            or item.get("tools")
        ]
    if body.get("tools") is None:
        return
    tools = [tool for tool in body["tools"] if tool.get("type") != "namespace" or tool.get("tools")]
    body["tools"] = tools
    if not tools:
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(name, None)
        return
    choice = body.get("tool_choice")
    if not isinstance(choice, dict):
        return
    left = {_identity(tool) for tool in tools}
    if choice.get("type") == "allowed_tools":
        among = listed(choice.get("tools"), "tool_choice")
        kept = [tool for tool in among if _identity(tool) in left]
        body["tool_choice"] = {**choice, "tools": kept} if kept else "auto"
    elif _identity(choice) not in left:
        body["tool_choice"] = "auto"


def _identity(tool: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a choice of tools knows a tool by."""
    kind = str(tool.get("type"))
    return (kind, tool.get("name") or tool.get("server_label"))


def _answers(changes: RequestChanges) -> Iterator[dict[str, Any]]:
    for call in changes.refused:
        kind = "custom_tool_call_output" if call.free_form else "function_call_output"
        yield {"type": kind, "call_id": call.id, "output": call.refusal}


def _input(body: Mapping[str, Any]) -> list[Any]:
    given = body.get("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return list(given or ())
