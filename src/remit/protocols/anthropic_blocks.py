"""The content blocks of Anthropic's Messages: which are calls, whose, and what they become."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from remit.errors import MalformedReply
from remit.protocols.model_api import (
    HostedCall,
    RequestedCall,
    TokenUsage,
    checked_arguments,
    count,
    hosted_name,
    part,
    text_of,
)

_HOSTED = ("server_tool_use", "mcp_tool_use")
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def is_hosted(block: Mapping[str, Any]) -> bool:
    """Whether a block is a call that the provider carries out itself."""
    return block.get("type") in _HOSTED


def is_call(block: Any) -> bool:
    """Whether a block is a call for the client: also any that is unknown and named like one."""
    if not isinstance(block, Mapping) or is_hosted(block):
        return False
    kind = block.get("type")
    return isinstance(kind, str) and kind.endswith("tool_use")


def call_name(block: Mapping[str, Any]) -> str:
    """The tool that a call is of, as policy sees it; "" where it has no name."""
    name, toolset = block.get("name"), block.get("toolset_name")
    name = name if isinstance(name, str) else ""
    return f"{toolset}.{name}" if isinstance(toolset, str) and toolset else name


def read_call(key: str, block: Mapping[str, Any], value: Any, problem: str = "") -> RequestedCall:
    """The call that a block asks for, with ``value`` as its input.

    Raises:
        MalformedReply: it has no name.
    """
    name = call_name(block)
    if not name:
        raise MalformedReply("a call without the name of a tool")
    arguments, found = ({}, problem) if problem else checked_arguments(value)
    call_id = text_of(block.get("id"), "id")
    return RequestedCall(key=key, id=call_id, name=name, arguments=arguments, problem=found)


def noted(hosted: list[HostedCall], block: Mapping[str, Any]) -> None:
    """Note a call that the provider carried out, or what came of it."""
    call_id = block.get("id", block.get("tool_use_id"))
    call_id = call_id if isinstance(call_id, str) else ""
    kind = block.get("type")
    if is_hosted(block):
        name = str(block.get("name"))
        server = block.get("server_name")
        full = hosted_name(name) if kind == "server_tool_use" else f"hosted.mcp.{server}.{name}"
        hosted.append(HostedCall(id=call_id, name=full, arguments=block.get("input")))
    elif isinstance(kind, str) and kind.endswith("tool_result"):
        for position, call in enumerate(hosted):
            if call.id == call_id:
                hosted[position] = replace(call, result=block.get("content"))


def text_block(text: str) -> dict[str, Any]:
    """Text as a block."""
    return {"type": "text", "text": text}


def anthropic_usage(report: Any, earlier: Mapping[str, Any] | None = None) -> TokenUsage | None:
    """The usage of a message; None where it says nothing, or nonsense.

    A stream reports twice: what the second report leaves out stays as in the ``earlier`` one.
    """
    if not isinstance(report, Mapping):
        return None
    said = {key: value for key, value in report.items() if value is not None}
    usage = {**(earlier or {}), **said}
    try:
        read = count(usage, "cache_read_input_tokens")
        written = count(usage, "cache_creation_input_tokens")
        return TokenUsage(
            input=count(usage, "input_tokens") + read + written,
            cache_read=read,
            cache_write=written,
            output=count(usage, "output_tokens"),
            reasoning=count(part(usage, "output_tokens_details"), "thinking_tokens"),
        )
    except ValueError:
        return None


def error_value(status: int, message: str) -> dict[str, Any]:
    """An error as Anthropic's SDKs read it."""
    kind = _ERRORS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": message}}
