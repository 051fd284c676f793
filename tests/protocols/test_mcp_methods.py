"""Which requests of MCP are actions, under which name, and with what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from remit.model import Digest
from remit.protocols import mcp_methods
from remit.protocols.mcp import McpFault, McpMessage, read_message
from remit.protocols.mcp_methods import asked, asked_by_server


def message(method: str, **params: Any) -> McpMessage:
    value = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return read_message(json.dumps(value).encode())


def test_a_tool_is_named_after_its_server() -> None:
    found = asked("files", message("tools/call", name="read_file", arguments={"path": "/a"}))
    assert found is not None
    assert (found.action, found.tool) == ("files.read_file", "read_file")
    assert found.arguments == {"path": "/a"}
    assert found.beside == {}


def test_a_call_without_arguments_has_none() -> None:
    found = asked("files", message("tools/call", name="list"))
    assert found is not None
    assert found.arguments == {}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"name": ""},
        {"name": 1},
        {"name": "x" * 257},
        {"name": "a "},
        {"name": "a\0"},
        {"name": "a", "arguments": []},
    ],
)
def test_a_call_of_nothing_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(McpFault, match="not passed on"):
        asked("files", message("tools/call", **params))


@pytest.mark.parametrize("method", sorted(mcp_methods.PASSED_TO_SERVER))
def test_what_begins_ends_or_lists_passes(method: str) -> None:
    assert asked("files", message(method)) is None


@pytest.mark.parametrize(
    "method",
    ["resources/read", "resources/subscribe", "prompts/get", "completion/complete", "tasks/get"],
)
def test_all_other_methods_are_actions_that_no_tool_can_pose_as(method: str) -> None:
    found = asked("files", message(method, uri="file:///a", _meta={"progressToken": 1}))
    assert found is not None
    assert found.action == f"files/{method}"
    assert found.tool is None
    assert found.arguments == {"uri": "file:///a"}
    assert found.beside == {}


def test_news_of_resources_is_read_access_to_them() -> None:
    found = asked(
        "files", message("subscriptions/listen", notifications={"resourceSubscriptions": ["a"]})
    )
    assert found is not None
    assert found.action == "files/resources/subscribe"
    assert found.arguments == {"uris": ["a"]}
    others = {"toolsListChanged": True}
    assert asked("files", message("subscriptions/listen", notifications=others)) is None
    assert asked("files", message("subscriptions/listen")) is None


def test_what_servers_ask_is_asked_of_policy_but_for_pings() -> None:
    assert asked_by_server("files", "ping", {}) is None
    found = asked_by_server("files", "sampling/createMessage", {"maxTokens": 5, "_meta": {}})
    assert found is not None
    assert found.action == "files/sampling/createMessage"
    assert found.arguments == {"maxTokens": 5}
    turned = asked_by_server("files", "resources/read", {"uri": "file:///etc/passwd"})
    assert turned is not None
    assert turned.action == "files/client/resources/read"


def test_what_is_carried_beside_the_arguments_is_shown_and_binds_approvals() -> None:
    plain = {"progressToken": 1, "io.modelcontextprotocol/logLevel": "info", "traceparent": "x"}
    quiet = asked("files", message("tools/call", name="a", _meta=plain))
    assert quiet is not None
    assert quiet.beside == {}
    loud = asked("files", message("tools/call", name="a", _meta={**plain, "bcc": "x"}, also=1))
    assert loud is not None
    assert loud.beside == {"also": 1, "_meta": {"bcc": "x"}}
    odd = asked("files", message("tools/call", name="a", _meta=["bcc"]))
    assert odd is not None
    assert odd.beside == {"_meta": ["bcc"]}
    schema = Digest("d")
    assert mcp_methods.bound_schema(schema, {}) == schema
    assert mcp_methods.bound_schema(schema, loud.beside) != schema
    assert mcp_methods.bound_schema(None, loud.beside) is not None


def test_changed_arguments_are_put_back_where_they_were() -> None:
    call = message("tools/call", name="a", arguments={"x": 1}, _meta={"progressToken": 1})
    changed = mcp_methods.with_arguments(call, {"x": 2})
    assert changed == {"name": "a", "arguments": {"x": 2}, "_meta": {"progressToken": 1}}
    read = message("resources/read", uri="a", _meta={"progressToken": 1})
    assert mcp_methods.with_arguments(read, {"uri": "b"}) == {
        "uri": "b",
        "_meta": {"progressToken": 1},
    }
    bare = message("resources/read", uri="a")
    assert mcp_methods.with_arguments(bare, {"uri": "b"}) == {"uri": "b"}
    listen = message("subscriptions/listen", notifications={"resourceSubscriptions": ["a", "b"]})
    assert mcp_methods.with_arguments(listen, {"uris": ["a"]}) == {
        "notifications": {"resourceSubscriptions": ["a"]}
    }
