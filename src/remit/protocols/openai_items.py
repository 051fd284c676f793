"""The items of OpenAI's Responses: which are calls, whose, and what they become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from remit.errors import MalformedReply
from remit.protocols.model_api import (
    CallVerdict,
    HostedCall,
    RequestedCall,
    checked_arguments,
    hosted_name,
    part,
    read_arguments,
    text_of,
    written_arguments,
)

TEXT_FIELDS = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "mcp_approval_request": "arguments",
}
"""Kinds of calls whose arguments are one string, and where it is."""
_HOSTED = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "image_generation_call": "image_generation",
    "program": "programmatic_tool_calling",
}
CLIENT_NAMES = {
    "computer_call": "computer",
    "local_shell_call": "shell",
    "shell_call": "shell",
    "apply_patch_call": "apply_patch",
    "tool_search_call": "tool_search",
}
_NOT_ARGUMENTS = frozenset(
    ("id", "type", "status", "call_id", "caller", "created_by", "pending_safety_checks")
)


def is_hosted(item: Mapping[str, Any]) -> bool:
    """Whether an item is a call that the provider carries out itself."""
    kind = item.get("type")
    if kind == "shell_call":
        return str(part(item, "environment").get("type", "local")) != "local"
    if kind == "tool_search_call":
        return item.get("execution") != "client"
    return kind in _HOSTED or kind == "mcp_call"


def is_call(item: Any) -> bool:
    """Whether an item is a call for the client: also any that is unknown and named like one."""
    if not isinstance(item, Mapping):
        return False
    kind = item.get("type")
    if not isinstance(kind, str) or is_hosted(item):
        return False
    return kind in TEXT_FIELDS or kind in CLIENT_NAMES or kind.endswith(("_call", "_request"))


def called_name(item: Mapping[str, Any]) -> str:
    """The tool that a call is of, as policy sees it; "" where it has no name."""
    kind = str(item.get("type"))
    if kind not in TEXT_FIELDS:
        return CLIENT_NAMES.get(kind, kind)
    name = text_of(item.get("name"), "name")
    if kind == "mcp_approval_request":
        return f"hosted.mcp.{text_of(item.get('server_label'), 'server_label')}.{name}"
    return name_within(text_of(item.get("namespace"), "namespace"), name)


def name_within(namespace: str, name: str) -> str:
    """The name of a tool in a namespace. One that is its own namespace is in none."""
    return name if namespace in ("", name) else f"{namespace}.{name}"


def call_id_of(item: Mapping[str, Any]) -> str:
    """The id that the result of a call will carry."""
    return text_of(item.get("call_id") or item.get("id"), "call_id")


def read_call(key: str, item: Mapping[str, Any], problem: str = "") -> RequestedCall:
    """The call that an item asks for.

    Raises:
        MalformedReply: it has no name.
    """
    kind = item["type"]
    name = called_name(item)
    if not name:
        raise MalformedReply("a call without the name of a tool")
    if kind == "custom_tool_call":
        arguments: Mapping[str, Any] = {"input": text_of(item.get("input"), "input")}
        found = ""
    elif kind in TEXT_FIELDS:
        arguments, found = read_arguments(text_of(item.get("arguments"), "arguments"))
    else:
        given = {field: item[field] for field in item if field not in _NOT_ARGUMENTS}
        arguments, found = checked_arguments(given)
    return RequestedCall(
        key=key,
        id=call_id_of(item),
        name=name,
        arguments=arguments,
        problem=problem or found,
        free_form=kind == "custom_tool_call",
    )


def read_hosted(item: Mapping[str, Any]) -> HostedCall:
    """The call that the provider has carried out."""
    kind = str(item.get("type"))
    call_id = item.get("id")
    call_id = call_id if isinstance(call_id, str) else ""
    if kind == "mcp_call":
        name = f"hosted.mcp.{item.get('server_label')}.{item.get('name')}"
        text = item.get("arguments")
        arguments = read_arguments(text)[0] if isinstance(text, str) else {}
        result = item.get("output") if item.get("error") is None else item.get("error")
        return HostedCall(id=call_id, name=name, arguments=arguments, result=result)
    name = hosted_name(_HOSTED.get(kind, CLIENT_NAMES.get(kind, kind)))
    given = {field: item[field] for field in item if field not in _NOT_ARGUMENTS}
    result = next((given.pop(field) for field in _RESULTS if field in given), None)
    return HostedCall(id=call_id, name=name, arguments=given, result=result)


_RESULTS = ("results", "outputs", "result")


def item_with(item: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A call with other arguments."""
    kind = item["type"]
    if kind == "custom_tool_call":
        return {**item, "input": arguments["input"]}
    if kind in TEXT_FIELDS:
        return {**item, "arguments": written_arguments(arguments)}
    kept = {field: item[field] for field in item if field in _NOT_ARGUMENTS}
    return {**kept, **{field: arguments[field] for field in arguments if field not in kept}}


def refusal_item(item: Mapping[str, Any], refusal: str) -> dict[str, Any]:
    """The message that stands in the place of a refused call."""
    return {
        "id": f"msg_{item.get('id') or call_id_of(item)}",
        "type": "message",
        "status": "completed",
        "content": [refusal_part(refusal)],
        "role": "assistant",
    }


def refusal_part(text: str) -> dict[str, Any]:
    """Text as a part of a message."""
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def decided_items(
    items: list[dict[str, Any]], keys: Mapping[int, str], verdicts: Mapping[str, CallVerdict]
) -> Iterator[dict[str, Any]]:
    """The items of an answer as decided; ``keys`` names the calls among them by position."""
    for position, item in enumerate(items):
        key = keys.get(position)
        verdict = CallVerdict.allow() if key is None else verdicts[key]
        if not verdict.allowed:
            yield refusal_item(item, verdict.refusal)
        elif verdict.arguments is not None:
            yield item_with(item, verdict.arguments)
        else:
            yield item


def finish_of(response: Mapping[str, Any]) -> str | None:
    """Why a response ended: its status, or what made it incomplete."""
    reason = part(response, "incomplete_details").get("reason") or response.get("status")
    return reason if isinstance(reason, str) else None
