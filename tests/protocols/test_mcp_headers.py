"""Headers of an MCP request and its body: they must agree."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from remit.protocols import mcp_headers
from remit.protocols.mcp import REVISION_KEY, McpFault, McpMessage, read_message

MODERN = "2026-07-28"


def message(method: str = "tools/call", **params: Any) -> McpMessage:
    params = {"_meta": {REVISION_KEY: MODERN}, **params}
    value = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return read_message(json.dumps(value).encode())


def test_headers_by_lower_case_name() -> None:
    pairs = [("Mcp-Method", "a"), ("X-Other", "b"), ("Mcp-Param-To", "c"), ("x-other", "d")]
    assert mcp_headers.mcp_headers(pairs) == {"mcp-method": "a", "mcp-param-to": "c"}


@pytest.mark.parametrize("name", ["Mcp-Name", "mcp-session-id", "Mcp-Param-To"])
def test_a_header_that_comes_twice_is_refused(name: str) -> None:
    with pytest.raises(McpFault, match="twice"):
        mcp_headers.mcp_headers([(name, "a"), (name.lower(), "a")])


def test_a_session_id_is_visible_ascii() -> None:
    assert mcp_headers.mcp_headers([("Mcp-Session-Id", "a~!")])["mcp-session-id"] == "a~!"
    for bad in ("", "a b", "ä", "x" * 513):
        with pytest.raises(McpFault, match="no session id"):
            mcp_headers.mcp_headers([("Mcp-Session-Id", bad)])


def test_the_era_of_a_request() -> None:
    assert not mcp_headers.is_stateless({})
    assert not mcp_headers.is_stateless({"mcp-protocol-version": "2025-11-25"})
    assert mcp_headers.is_stateless({"mcp-protocol-version": MODERN})


def test_a_text_that_is_wrapped_is_read_again() -> None:
    assert mcp_headers.decoded(mcp_headers.encoded("ü")) == "ü"


def test_headers_that_agree_or_are_missing_pass() -> None:
    mcp_headers.agree({}, message(name="x"))
    headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "x"}
    mcp_headers.agree(headers, message(name="x"))
    wrapped = base64.b64encode("ü".encode()).decode()
    mcp_headers.agree({"mcp-name": f"=?base64?{wrapped}?="}, message(name="ü"))
    mcp_headers.agree({"mcp-name": "anything"}, message("tools/list"))
    mcp_headers.agree({"mcp-name": "file:///a"}, message("resources/read", uri="file:///a"))


@pytest.mark.parametrize(
    "headers",
    [
        {"mcp-protocol-version": "2025-11-25"},
        {"mcp-method": "tools/list"},
        {"mcp-name": "safe"},
        {"mcp-name": "=?base64?!!!?="},
        {"mcp-name": "=?base64?/w==?="},
        {"mcp-name": "=?base64?eR==?="},
    ],
)
def test_headers_that_say_other_than_the_body_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(McpFault, match="do not match") as caught:
        mcp_headers.agree(headers, message(name="y"))
    assert caught.value.id == 1
    assert caught.value.code == -32020
