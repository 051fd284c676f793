"""What MCP servers answer: failures, questions that come back, lists, and changed results. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from remit import canonical
from remit.errors import InvalidArgument
from remit.model import Digest

_MAX_TOLD = 1000


class ListedTool(Struct, frozen=True, kw_only=True):
    """What a server says of one of its tools."""

    schema: Digest
    """Of its input schema."""
    annotations: Mapping[str, Any]
    headers: tuple[str, ...] = ()
    """Names of the arguments that clients repeat in HTTP headers (``x-mcp-header``)."""


def told_failure(result: Mapping[str, Any]) -> str | None:
    """What a tool says of its failure; None where it did not fail."""
    if result.get("isError") is not True:
        return None
    content = result.get("content")
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and isinstance(block.get("text"), str):
            return f"isError: {block['text']}"[:_MAX_TOLD]
    return "isError"


def told_error(error: Mapping[str, Any]) -> str:
    """What a server says of a request that it could not carry out."""
    return f"error {error.get('code')}: {error.get('message')}"[:_MAX_TOLD]


def refused_result(told: str, stands_alone: bool, meta: Mapping[str, Any]) -> dict[str, Any]:
    """A refusal as the result of a tool: the model reads it, and goes on.

    Args:
        told: the words.
        stands_alone: whether the request is of the stateless era.
        meta: the same for programs.
    """
    result: dict[str, Any] = {"content": [{"type": "text", "text": told}], "isError": True}
    if stands_alone:
        result["resultType"] = "complete"
    if meta:
        result["_meta"] = meta
    return result


def questions(result: Mapping[str, Any]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """The questions of a result that needs input first (2026-07-28): by key, method and params.

    One that is no request at all has an empty method.
    """
    if result.get("resultType") in (None, "complete"):
        return {}
    asked = result.get("inputRequests")
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for key, request in (asked if isinstance(asked, dict) else {}).items():
        method = request.get("method") if isinstance(request, dict) else None
        params = request.get("params") if isinstance(request, dict) else None
        found[key] = (
            method if isinstance(method, str) else "",
            params if isinstance(params, dict) else {},
        )
    return found


def tool_facts(tools: Iterable[Any]) -> dict[str, ListedTool]:
    """What a list says of its tools. Of tools with one name the first counts."""
    found: dict[str, ListedTool] = {}
    for tool in tools:
        name = tool.get("name") if isinstance(tool, dict) else None
        if isinstance(name, str) and name not in found:
            annotations = tool.get("annotations")
            schema = tool.get("inputSchema")
            found[name] = ListedTool(
                schema=canonical.digest(schema),
                annotations=annotations if isinstance(annotations, dict) else {},
                headers=_header_arguments(schema),
            )
    return found


def _header_arguments(schema: Any) -> tuple[str, ...]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return ()
    return tuple(
        each["x-mcp-header"]
        for each in properties.values()
        if isinstance(each, dict) and isinstance(each.get("x-mcp-header"), str)
    )


def kept_tools(result: Mapping[str, Any], shown: Callable[[str], bool]) -> Mapping[str, Any]:
    """A list of tools with only those that are to be named; the same object if all are.

    A tool whose name is no text, or the name of one before it, is left out too.
    """
    tools = result.get("tools")
    if not isinstance(tools, list):
        return result
    names: set[str] = set()
    kept: list[Any] = []
    for tool in tools:
        name = tool.get("name") if isinstance(tool, dict) else None
        if isinstance(name, str) and name not in names and shown(name):
            names.add(name)
            kept.append(tool)
    return result if len(kept) == len(tools) else {**result, "tools": kept}


def rewritten(before: Mapping[str, Any], after: Mapping[str, Any]) -> Mapping[str, Any]:
    """The result of a tool after obligations, without the copies that they did not reach.

    A tool says the same twice: as ``structuredContent`` and, for clients that do not know of that,
    as text. What was taken out of one must not be left in the other: text beside changed structured
    content becomes its JSON, and structured content beside changed text is left out.
    """
    after = _well_formed(after)
    if "structuredContent" not in before:
        return after
    if before["structuredContent"] == after.get("structuredContent"):
        left = {name: value for name, value in after.items() if name != "structuredContent"}
        return left if before.get("content") != after.get("content") else after
    if "structuredContent" not in after:
        return {**after, "content": []}
    text = json.dumps(after["structuredContent"], ensure_ascii=False)
    return {**after, "content": [{"type": "text", "text": text}]}


def _well_formed(after: Mapping[str, Any]) -> Mapping[str, Any]:
    """A result that clients can read: a mark where the protocol wants an object or a list goes."""
    found = dict(after)
    if not isinstance(found.get("structuredContent", {}), dict):
        del found["structuredContent"]
    if not isinstance(found.get("content", []), list):
        found["content"] = []
    return found


def shown_to_policy(result: Mapping[str, Any], size: int) -> Mapping[str, Any] | None:
    """A result as rules see it; None where it is too large for them.

    Args:
        result: from strictly read JSON.
        size: bytes that it came in.
    """
    if size <= canonical.MAX_BYTES:
        return result
    try:
        checked: Mapping[str, Any] = canonical.check(result, "result")
    except InvalidArgument:
        return None
    return checked
