"""What the APIs of OpenAI have in common: reports of usage, errors, calls in a chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remit.errors import MalformedReply
from remit.protocols.model_api import (
    RequestedCall,
    TokenUsage,
    count,
    part,
    read_arguments,
    text_of,
    write_json,
    written_arguments,
)

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def chat_usage(report: Any) -> TokenUsage | None:
    """The usage of a chat completion; None where it says nothing, or nonsense."""
    if not isinstance(report, Mapping):
        return None
    into = part(report, "prompt_tokens_details")
    out = part(report, "completion_tokens_details")
    try:
        prompt = count(report, "prompt_tokens")
        return TokenUsage(
            input=prompt,
            cache_read=max(count(into, "cached_tokens"), count(report, "prompt_cache_hit_tokens")),
            cache_write=count(into, "cache_write_tokens"),
            # Some count reasoning into the total only.
            output=max(count(report, "completion_tokens"), count(report, "total_tokens") - prompt),
            reasoning=count(out, "reasoning_tokens"),
            input_audio=count(into, "audio_tokens"),
            output_audio=count(out, "audio_tokens"),
        )
    except ValueError:
        return None


def response_usage(report: Any) -> TokenUsage | None:
    """The usage of a response; None where it says nothing, or nonsense."""
    if not isinstance(report, Mapping):
        return None
    into = part(report, "input_tokens_details")
    out = part(report, "output_tokens_details")
    try:
        return TokenUsage(
            input=count(report, "input_tokens"),
            cache_read=count(into, "cached_tokens"),
            cache_write=count(into, "cache_write_tokens"),
            output=count(report, "output_tokens"),
            reasoning=count(out, "reasoning_tokens"),
            input_audio=count(into, "audio_tokens"),
            output_audio=count(out, "audio_tokens"),
        )
    except ValueError:
        return None


def openai_error(status: int, message: str, code: str) -> bytes:
    """An error body as OpenAI's SDKs read it."""
    kind = ERROR_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    error = {"message": message, "type": kind, "param": None, "code": code}
    return write_json({"error": error})


def chat_call(key: str, call_id: str, kind: str, name: str, text: str) -> RequestedCall:
    """A call of a chat completion, its arguments read.

    Raises:
        MalformedReply: it has no name.
    """
    if not name:
        raise MalformedReply("a call without the name of a tool")
    if kind == "custom":
        return RequestedCall(
            key=key, id=call_id, name=name, arguments={"input": text}, free_form=True
        )
    arguments, problem = read_arguments(text)
    return RequestedCall(key=key, id=call_id, name=name, arguments=arguments, problem=problem)


def call_parts(call: Mapping[str, Any]) -> tuple[str, str, str]:
    """Kind, name and input (or a piece of each) of a call in a chat.

    Raises:
        MalformedReply: it is neither of a function nor of a custom tool.
    """
    kind = call.get("type") or ("custom" if "custom" in call else "function")
    if kind not in ("function", "custom") or ("custom" in call and "function" in call):
        raise MalformedReply(f"a tool call of the unknown type {str(kind)[:40]!r}")
    inner = part(call, kind)
    field = "input" if kind == "custom" else "arguments"
    return kind, text_of(inner.get("name"), "name"), text_of(inner.get(field), field)


def call_with(call: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A call in a chat, or its first piece, with other arguments."""
    kind = call_parts(call)[0]
    change = (
        {"input": arguments["input"]}
        if kind == "custom"
        else {"arguments": written_arguments(arguments)}
    )
    return {**call, kind: {**part(call, kind), **change}}


def joined(text: Any, refusal: str, *, apart: bool) -> str:
    """A refusal behind the text before it, if that is one."""
    before = text if isinstance(text, str) else ""
    return f"{before}{SPACE if apart else ''}{refusal}"


SPACE = "\n\n"
"""Between a refusal and what is said before it."""


def comment(blank_lines_count: bool) -> bytes:
    """A comment that may stand between events while a client waits.

    OpenAI's SDK takes every blank line for an event once one has had an id; the blank line is left
    out then, though readers that split at blank lines like it better.
    """
    return b": waiting for a decision\n" + (b"" if blank_lines_count else b"\n")
