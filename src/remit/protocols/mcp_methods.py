"""What the methods of MCP mean to a governor: which are actions, under which name, with what. Pure.

A tool of the server NAME is the action ``NAME.tool``; any other governed method is
``NAME/method``, such as ``files/resources/read`` or ``files/sampling/createMessage``. Neither a
dot nor a slash can be part of NAME, so no tool can take the name of a method.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from remit import canonical
from remit.model import Digest
from remit.protocols.mcp import INVALID_PARAMS, McpFault, McpMessage

SERVER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_MAX_TOOL = 256

TOOL_CALL = "tools/call"
TOOL_LIST = "tools/list"

PASSED_TO_SERVER = frozenset(
    {
        "initialize",
        "ping",
        "server/discover",
        "logging/setLevel",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "resources/unsubscribe",
    }
)
"""Requests of clients that are no actions: they begin and end things, or list what there is."""

ASKED_OF_CLIENT = frozenset({"sampling/createMessage", "elicitation/create", "roots/list"})
"""What only a server asks; anything else that it asks is named ``client/METHOD``."""
PASSED_TO_CLIENT = frozenset({"ping"})
"""Requests of servers that are no actions. All others are asked for in the name of the agent:
``sampling/createMessage`` spends its model, ``elicitation/create`` asks its user, ``roots/list``
tells of its folders."""

INTRODUCTIONS = frozenset({"initialize", "server/discover"})
"""Methods whose results say what the server tells models besides its tools."""

LISTS: Mapping[str, tuple[str, str]] = {
    "prompts/list": ("prompts", "prompts/get"),
    "resources/list": ("resources", "resources/read"),
    "resources/templates/list": ("resourceTemplates", "resources/read"),
}
"""By method of a list other than that of tools: the member that holds it, and the method that an
agent must be able to use for anything of it to be named."""

_OWN_META = re.compile(
    r"progressToken|traceparent|tracestate|baggage|io\.modelcontextprotocol/[a-zA-Z]+"
)
_PROTOCOL_PARAMS = frozenset({"_meta", "name", "arguments", "inputResponses", "requestState"})


class Asked(Struct, frozen=True, kw_only=True):
    """A request as an action: what to decide on."""

    action: str
    """As policy sees it: ``files.read_file`` or ``files/resources/read``."""
    tool: str | None
    """The tool's name as its server knows it; None where the request is no call of a tool."""
    arguments: Mapping[str, Any]
    beside: Mapping[str, Any]
    """What the call carries besides its arguments and what the protocol itself needs: unknown
    members of ``params`` and ``_meta``. An approval is bound to it."""


def tool_action(server: str, tool: str) -> str:
    """The name of a tool as policy sees it."""
    return f"{server}.{tool}"


def method_action(server: str, method: str) -> str:
    """The name of a governed method as policy sees it."""
    return f"{server}/{method}"


def asked(server: str, message: McpMessage) -> Asked | None:
    """What a client's request asks for; None where it passes without a decision.

    Raises:
        McpFault: it is a call without the name of a tool, or with arguments that are no object.
    """
    method, params = message.method, message.body
    if method == TOOL_CALL:
        return _tool_call(server, message)
    if method in PASSED_TO_SERVER:
        return None
    if method == "subscriptions/listen":
        return _listening(server, message)
    plain = {name: value for name, value in params.items() if name != "_meta"}
    return Asked(
        action=method_action(server, method),
        tool=None,
        arguments=plain,
        beside=_beside(params, frozenset(params)),
    )


def asked_by_server(server: str, method: str, params: Mapping[str, Any]) -> Asked | None:
    """What a server asks of the client; None where it passes without a decision."""
    if method in PASSED_TO_CLIENT:
        return None
    plain = {name: value for name, value in params.items() if name != "_meta"}
    # A rule on what the client asks is no permission for the server to ask the same.
    asked_of_client = method if method in ASKED_OF_CLIENT else f"client/{method}"
    action = method_action(server, asked_of_client)
    return Asked(action=action, tool=None, arguments=plain, beside={})


def _tool_call(server: str, message: McpMessage) -> Asked:
    params = message.body
    tool, arguments = params.get("name"), params.get("arguments")
    if type(tool) is not str or not 0 < len(tool) <= _MAX_TOOL:
        problem = "The call was not passed on: name is no text of 1 to 256 characters."
        raise McpFault(INVALID_PARAMS, problem, message.id)
    if tool.strip() != tool or any(unicodedata.category(each) == "Cc" for each in tool):
        problem = "The call was not passed on: name begins or ends with a blank, or has a control"
        raise McpFault(INVALID_PARAMS, f"{problem} character: some servers drop these.", message.id)
    if arguments is None:
        arguments = {}
    if type(arguments) is not dict:
        problem = "The call was not passed on: its arguments are no object."
        raise McpFault(INVALID_PARAMS, problem, message.id)
    return Asked(
        action=tool_action(server, tool),
        tool=tool,
        arguments=arguments,
        beside=_beside(params, _PROTOCOL_PARAMS),
    )


def _listening(server: str, message: McpMessage) -> Asked | None:
    """News of named resources is read access to them; other news passes."""
    wanted = message.body.get("notifications")
    uris = wanted.get("resourceSubscriptions") if isinstance(wanted, dict) else None
    if not uris:
        return None
    return Asked(
        action=method_action(server, "resources/subscribe"),
        tool=None,
        arguments={"uris": uris},
        beside={},
    )


def _beside(params: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    meta = params.get("_meta")
    if meta is not None and type(meta) is not dict:
        return {"_meta": meta}
    found = {name: value for name, value in params.items() if name not in known}
    if meta:
        extra = {name: value for name, value in meta.items() if not _OWN_META.fullmatch(name)}
        if extra:
            found["_meta"] = extra
    return found


def bound_schema(schema: Digest | None, beside: Mapping[str, Any]) -> Digest | None:
    """What an approval of the call is bound to besides its arguments.

    Args:
        schema: digest of the tool's input schema, where it is known.
        beside: see ``Asked``.
    """
    return canonical.digest(schema, beside) if beside else schema


def with_arguments(message: McpMessage, changed: Mapping[str, Any]) -> dict[str, Any]:
    """The params of a request whose action is to run with other arguments."""
    params = dict(message.body)
    if message.method == TOOL_CALL:
        return {**params, "arguments": changed}
    if message.method == "subscriptions/listen":
        wanted = {**params["notifications"], "resourceSubscriptions": changed["uris"]}
        return {**params, "notifications": wanted}
    return {**changed, **({"_meta": params["_meta"]} if "_meta" in params else {})}
