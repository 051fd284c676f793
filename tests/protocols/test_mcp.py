"""MCP messages: what is read, what is refused, what is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.canonical import JsonLimits
from remit.protocols import mcp
from remit.protocols.mcp import McpFault, MessageKind, read_message


def request(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", **members}).encode()


def fault(data: bytes) -> McpFault:
    with pytest.raises(McpFault) as caught:
        read_message(data)
    return caught.value


def test_a_request_keeps_its_bytes_and_says_what_it_is() -> None:
    data = b' {"jsonrpc":"2.0", "id":"a", "method":"tools/call", "params":{"name":"x"}, "z":1} '
    message = read_message(data)
    assert message.raw is data
    assert message.kind is MessageKind.REQUEST
    assert (message.id, message.method, message.body) == ("a", "tools/call", {"name": "x"})
    assert message.value["z"] == 1
    assert not message.answers


def test_notifications_results_and_errors() -> None:
    notice = read_message(b'{"jsonrpc":"2.0","method":"notifications/initialized","params":null}')
    assert notice.kind is MessageKind.NOTIFICATION
    assert notice.body == {}
    result = read_message(b'{"jsonrpc":"2.0","id":1,"result":{}}')
    assert result.kind is MessageKind.RESULT
    assert result.answers
    error = read_message(b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"m"}}')
    assert (error.kind, error.id, error.answers) == (MessageKind.ERROR, None, True)


def test_the_meta_of_a_request() -> None:
    plain = read_message(request())
    assert plain.meta == {}
    assert plain.progress_token is None
    assert not plain.stands_alone
    meta = {"progressToken": 7, mcp.REVISION_KEY: "2026-07-28"}
    modern = read_message(request(params={"_meta": meta}))
    assert modern.stands_alone
    assert modern.progress_token == 7
    assert read_message(request(params={"_meta": {"progressToken": "t"}})).progress_token == "t"
    assert read_message(request(params={"_meta": {"progressToken": True}})).progress_token is None
    assert read_message(request(params={"_meta": []})).meta == {}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        b"\xff",
        b'{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe","name":"danger"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":NaN}}',
        b'{"jsonrpc":"2.0","id":1,"method":"a","params":' + b"[" * 80 + b"]" * 80 + b"}",
    ],
)
def test_what_is_not_one_strict_json_text_is_refused(data: bytes) -> None:
    assert fault(data).code == mcp.PARSE_ERROR


def test_a_message_over_the_limit_is_refused() -> None:
    with pytest.raises(McpFault, match="larger than 20 bytes"):
        read_message(request(), JsonLimits(bytes=20))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[]", "batch"),
        (b'[{"jsonrpc":"2.0","id":1,"method":"a"}]', "batch"),
        (b"1", "no object"),
        (b'{"id":1,"method":"a"}', "jsonrpc"),
        (b'{"jsonrpc":"1.0","id":1,"method":"a"}', "jsonrpc"),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","result":{}}', "at once"),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","error":{}}', "at once"),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', "neither"),
        (b'{"jsonrpc":"2.0","id":1}', "neither"),
        (b'{"jsonrpc":"2.0","id":1,"result":[]}', "no object"),
        (b'{"jsonrpc":"2.0","result":{}}', "neither a whole number"),
        (b'{"jsonrpc":"2.0","id":null,"result":{}}', "neither a whole number"),
        (b'{"jsonrpc":"2.0","id":[1],"error":{}}', "neither a whole number"),
        (b'{"jsonrpc":"2.0","id":1,"method":""}', "method"),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', "method"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call "}', "blank"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call\\u200b"}', "blank"),
        (b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}', "no notification"),
        (b'{"jsonrpc":"2.0","id":1,"method":"' + b"m" * 257 + b'"}', "method"),
        (b'{"jsonrpc":"2.0","id":null,"method":"a"}', "neither a whole number"),
        (b'{"jsonrpc":"2.0","id":true,"method":"a"}', "neither a whole number"),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"a"}', "neither a whole number"),
        (b'{"jsonrpc":"2.0","id":99999999999999999999,"method":"a"}', "neither a whole number"),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","params":[]}', "params"),
    ],
)
def test_what_is_no_message_is_refused(data: bytes, said: str) -> None:
    found = fault(data)
    assert found.code == mcp.INVALID_REQUEST
    assert said in found.message


@pytest.mark.parametrize(
    "data",
    [
        b'{"jsonrpc":"2.0","id":1,"method":"a","Method":"b"}',
        b'{"jsonrpc":"2.0","id":1,"method":"a","Params":{}}',
        '{"jsonrpc":"2.0","id":1,"method":"a","param\u017f":{}}'.encode(),
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","NAME":"b"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","\x7f\uff4eame":"b"}}'.encode(),
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Arguments":{}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"x":1,"X":2}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"content":[],"Content":[]}}',
    ],
)
def test_keys_that_a_lenient_reader_takes_for_one_another_are_refused(data: bytes) -> None:
    assert "could be read as" in fault(data).message


def test_a_refusal_answers_the_request_where_it_can() -> None:
    found = fault(b'{"jsonrpc":"2.0","id":"q","method":"a","params":[]}')
    answer = json.loads(mcp.fault_answer(found))
    assert answer["id"] == "q"
    assert answer["error"]["code"] == mcp.INVALID_REQUEST
    assert json.loads(mcp.fault_answer(fault(b"[]")))["id"] is None


def test_answers_and_notices() -> None:
    assert json.loads(mcp.error_answer(1, -1, "m", {"a": 1}))["error"] == {
        "code": -1,
        "message": "m",
        "data": {"a": 1},
    }
    assert json.loads(mcp.result_answer("a", {"x": 1})) == {
        "jsonrpc": "2.0",
        "id": "a",
        "result": {"x": 1},
    }
    notice = json.loads(mcp.progress_notice("t", 2, "waits"))
    assert notice["params"] == {"progressToken": "t", "progress": 2, "message": "waits"}


def test_changed_bodies_go_where_they_were() -> None:
    asked = read_message(request(params={"name": "x"}, other=1))
    assert json.loads(mcp.with_body(asked, {"name": "y"}))["params"] == {"name": "y"}
    assert json.loads(mcp.with_body(asked, {}))["other"] == 1
    result = read_message(b'{"jsonrpc":"2.0","id":1,"result":{}}')
    assert json.loads(mcp.with_body(result, {"a": 1}))["result"] == {"a": 1}
    error = read_message(b'{"jsonrpc":"2.0","id":1,"error":{}}')
    assert json.loads(mcp.with_body(error, {"a": 1}))["error"] == {"a": 1}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


@given(_JSON | st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params"]), _JSON))
def test_any_json_is_read_or_refused(value: Any) -> None:
    data = json.dumps(value).encode()
    try:
        message = read_message(data)
    except McpFault:
        return
    assert message.value == value
    assert message.raw == data


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        assert read_message(data).raw == data
    except McpFault as found:
        assert_refusal(found)


def assert_refusal(found: McpFault) -> None:
    assert found.message
    assert json.loads(mcp.fault_answer(found))["error"]["code"] < 0
