"""Anthropic's Messages: requests and whole answers. Streams are in ``anthropic_stream``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from remit.errors import MalformedReply
from remit.protocols.anthropic_blocks import (
    anthropic_usage,
    call_name,
    error_value,
    is_call,
    noted,
    read_call,
    text_block,
)
from remit.protocols.anthropic_stream import MessagesReader
from remit.protocols.model_api import (
    CallVerdict,
    HostedCall,
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

_RUN_BY_CLIENTS = ("bash_", "text_editor_", "computer_", "memory_", "browser_")


class Messages:
    """The wire format of ``/v1/messages`` and ``/v1/messages/count_tokens``."""

    name = "anthropic"

    def read_request(self, body: bytes, target: Target) -> ModelRequest:
        """What a request asks for. See ``ModelFormat``."""
        value = read_body(body)
        models = model_names(value, target.model)
        return ModelRequest(
            raw=body,
            body=value,
            operation=target.operation,
            model=models[0],
            models=models,
            stream=flag(value, "stream"),
            tools=tuple(_offered(value)),
            results=tuple(_results(value)),
            output_limit=limit_in(value, "max_tokens"),
            chained=bool(value.get("thread")),
        )

    def write_request(self, request: ModelRequest, changes: RequestChanges) -> bytes:
        """The request to send on. See ``ModelFormat``."""
        if replace(changes, ask_usage=False, refused=()).nothing:
            return request.raw
        body = read_body(request.raw)
        for result, text in changes.results:
            put_at(body, result.place, text)
        if changes.remove:
            remove_places(body, [tool.place for tool in changes.remove])
            _settle_tools(body, {tool.name for tool in changes.remove})
        if changes.model is not None:
            body["model"] = changes.model
        if changes.output_limit is not None:
            body["max_tokens"] = changes.output_limit
        return write_json(body)

    def read_reply(self, body: bytes, request: ModelRequest) -> ModelReply:
        """What a whole answer says. See ``ModelFormat``."""
        value = read_answer(body)
        if not isinstance(value, dict):
            raise MalformedReply("the answer is not a JSON object")
        if request.operation is not Operation.GENERATE:
            return ModelReply(raw=body, usage=TokenUsage())
        blocks = objects(value.get("content"), "content")
        hosted: list[HostedCall] = []
        for block in blocks:
            noted(hosted, block)
        model = value.get("model")
        return ModelReply(
            raw=body,
            calls=tuple(
                read_call(str(place), block, block.get("input"))
                for place, block in enumerate(blocks)
                if is_call(block)
            ),
            hosted=tuple(hosted),
            usage=anthropic_usage(value.get("usage")),
            finish=text_of(value.get("stop_reason"), "stop_reason") or None,
            model=model if isinstance(model, str) else None,
            text_bytes=size_of(value.get("content")),
        )

    def write_reply(self, reply: ModelReply, verdicts: Mapping[str, CallVerdict]) -> bytes:
        """The answer to pass on. See ``ModelFormat``."""
        settled = {call.key: call.settled(verdicts[call.key]) for call in reply.calls}
        if all(verdict.unchanged for verdict in settled.values()):
            return reply.raw
        value = read_answer(reply.raw)
        blocks = value["content"]
        for key, verdict in settled.items():
            if not verdict.allowed:
                blocks[int(key)] = text_block(verdict.refusal)
            elif verdict.arguments is not None:
                blocks[int(key)]["input"] = dict(verdict.arguments)
        if value.get("stop_reason") == "tool_use" and not any(map(is_call, blocks)):
            value["stop_reason"] = "end_turn"
        return write_json(value)

    def reply_stream(self, request: ModelRequest, *, hide_usage: bool = False) -> ReplyStream:
        """A machine for the stream that answers. See ``ModelFormat``."""
        return ReplyStream(MessagesReader())

    def error_body(self, status: int, message: str, code: str = "remit_refused") -> bytes:
        """An error as JSON; Anthropic's have no place for ``code``. See ``ModelFormat``."""
        return write_json(error_value(status, message))


def _offered(body: Mapping[str, Any]) -> Iterator[OfferedTool]:
    for position, tool in enumerate(listed(body.get("tools"), "tools")):
        yield _tool(tool, ("tools", position))
    for position, server in enumerate(listed(body.get("mcp_servers"), "mcp_servers")):
        yield OfferedTool(
            name=f"hosted.mcp.{name_in(server, 'name', 'mcp_servers')}",
            hosted=True,
            kind="mcp_server",
            definition=server,
            place=("mcp_servers", position),
        )
    for place, block in _blocks(body):
        addition = part(block, "tool")
        if block.get("type") == "tool_addition" and addition.get("type") == "tool_definition":
            yield _tool(part(addition, "definition"), place)


def _tool(tool: Mapping[str, Any], place: JsonPath) -> OfferedTool:
    kind = tool.get("type") or "custom"
    kind = kind if isinstance(kind, str) else name_in(tool, "type", "tools")
    hosted = False
    if kind == "mcp_toolset":
        name, hosted = f"hosted.mcp.{name_in(tool, 'mcp_server_name', 'tools')}", True
    elif kind.startswith(_RUN_BY_CLIENTS) and "_toolset_" in kind:
        name = kind.partition("_toolset_")[0]
    elif kind == "custom" or kind.startswith(_RUN_BY_CLIENTS):
        name = name_in(tool, "name", "tools")
    else:
        name, hosted = hosted_name(kind), True
    return OfferedTool(name=name, hosted=hosted, kind=kind, definition=tool, place=place)


def _blocks(body: Mapping[str, Any]) -> Iterator[tuple[JsonPath, Mapping[str, Any]]]:
    for position, message in enumerate(listed(body.get("messages"), "messages")):
        content = message.get("content")
        if isinstance(content, list):
            for place, block in enumerate(listed(content, "content")):
                yield ("messages", position, "content", place), block


def _results(body: Mapping[str, Any]) -> Iterator[ObservedResult]:
    names: dict[str, str] = {}
    for place, block in _blocks(body):
        call_id = block.get("tool_use_id", block.get("id"))
        call_id = call_id if isinstance(call_id, str) else ""
        if is_call(block):
            names[call_id] = call_name(block)
        elif block.get("type") == "tool_result":
            yield ObservedResult(
                call_id=call_id,
                tool=names.get(call_id, ""),
                content=block.get("content"),
                is_error=block.get("is_error") is True,
                place=(*place, "content"),
            )


def _settle_tools(body: dict[str, Any], removed: set[str]) -> None:
    """Make the rest of a request fit the tools that are left."""
    for message in body.get("messages") or ():
        content = message.get("content")
        if isinstance(content, list):
            message["content"] = [block for block in content if not _names(block, removed)]
    if body.get("mcp_servers") == []:
        del body["mcp_servers"]
    if body.get("tools") is None:
        return
    if not body["tools"]:
        del body["tools"]
        body.pop("tool_choice", None)
        return
    choice = part(body, "tool_choice")
    left = {tool.get("name") for tool in body["tools"]}
    if choice.get("type") == "tool" and choice.get("name") not in left:
        body["tool_choice"] = {"type": "auto"}


def _names(block: Mapping[str, Any], removed: set[str]) -> bool:
    """Whether a block adds a tool by the name of one that was removed."""
    if block.get("type") not in ("tool_addition", "tool_removal"):
        return False
    tool = part(block, "tool")
    return bool({tool.get("name"), f"hosted.mcp.{tool.get('server_name')}"} & removed)
