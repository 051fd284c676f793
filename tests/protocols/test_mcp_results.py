"""What MCP servers answer: failures, questions, lists, and changed results."""

from __future__ import annotations

import json

from remit import canonical
from remit.protocols import mcp_results


def test_what_a_tool_says_of_its_failure() -> None:
    assert mcp_results.told_failure({"content": []}) is None
    text = {"type": "text", "text": "no such file"}
    assert mcp_results.told_failure({"isError": True, "content": [1, {"type": "image"}, text]}) == (
        "isError: no such file"
    )
    assert mcp_results.told_failure({"isError": True, "content": [{"text": 1}]}) == "isError"
    assert mcp_results.told_failure({"isError": True, "content": "x"}) == "isError"
    assert mcp_results.told_error({"code": -1, "message": "m"}) == "error -1: m"


def test_a_refusal_is_a_result_that_the_model_reads() -> None:
    assert mcp_results.refused_result("no", False, {}) == {
        "content": [{"type": "text", "text": "no"}],
        "isError": True,
    }
    modern = mcp_results.refused_result("no", True, {"remit/approval": "ap"})
    assert modern["resultType"] == "complete"
    assert modern["_meta"] == {"remit/approval": "ap"}


def test_questions_of_a_result_that_needs_input() -> None:
    assert mcp_results.questions({"content": []}) == {}
    assert mcp_results.questions({"resultType": "complete", "inputRequests": {"a": {}}}) == {}
    assert mcp_results.questions({"resultType": "input_required", "requestState": "s"}) == {}
    asked = {
        "q": {"method": "elicitation/create", "params": {"message": "m"}},
        "odd": 1,
        "bare": {"method": "roots/list"},
        "worse": {"method": 1, "params": 1},
    }
    assert mcp_results.questions({"resultType": "input_required", "inputRequests": asked}) == {
        "q": ("elicitation/create", {"message": "m"}),
        "odd": ("", {}),
        "bare": ("roots/list", {}),
        "worse": ("", {}),
    }


def test_what_a_list_says_of_tools() -> None:
    schema = {"type": "object", "properties": {"a": {"x-mcp-header": "A"}, "b": {}, "c": 1}}
    tools = [
        {"name": "one", "inputSchema": schema, "annotations": {"readOnlyHint": True}},
        {"name": "one", "inputSchema": {}},
        {"name": "two", "annotations": 1},
        {"name": "three", "inputSchema": {"properties": 1}},
        {"name": 1},
        7,
    ]
    found = mcp_results.tool_facts(tools)
    assert set(found) == {"one", "two", "three"}
    assert found["one"].schema == canonical.digest(schema)
    assert found["one"].annotations == {"readOnlyHint": True}
    assert found["one"].headers == ("A",)
    assert found["two"].annotations == {}
    assert found["three"].headers == ()


def test_a_list_names_only_what_may_be_called() -> None:
    result = {"tools": [{"name": "a"}, {"name": "b"}], "nextCursor": "c"}
    assert mcp_results.kept_tools(result, lambda _: True) is result
    kept = mcp_results.kept_tools(result, lambda name: name == "a")
    assert kept == {"tools": [{"name": "a"}], "nextCursor": "c"}
    double = {"tools": [{"name": "a"}, {"name": "a", "x": 1}, 7, {"name": 1}]}
    assert mcp_results.kept_tools(double, lambda _: True) == {"tools": [{"name": "a"}]}
    odd = {"tools": 1}
    assert mcp_results.kept_tools(odd, lambda _: True) is odd


def test_what_is_taken_out_of_one_copy_is_not_left_in_the_other() -> None:
    secret, hushed = {"password": "hunter2"}, {"password": "[redacted]"}
    text = [{"type": "text", "text": json.dumps(secret)}]
    before = {"content": text, "structuredContent": secret}
    after = mcp_results.rewritten(before, {"content": text, "structuredContent": hushed})
    assert "hunter2" not in json.dumps(after)
    assert after["structuredContent"] == hushed
    bare = [{"type": "text", "text": "[redacted]"}]
    after = mcp_results.rewritten(before, {"content": bare, "structuredContent": secret})
    assert after == {"content": bare}
    assert mcp_results.rewritten(before, {**before, "isError": False}) == {
        **before,
        "isError": False,
    }
    assert mcp_results.rewritten({"content": text}, {"content": bare}) == {"content": bare}


def test_what_was_taken_out_whole_leaves_a_result_that_clients_can_read() -> None:
    secret = {"password": "hunter2"}
    text = [{"type": "text", "text": json.dumps(secret)}]
    before = {"content": text, "structuredContent": secret}
    after = mcp_results.rewritten(before, {**before, "structuredContent": "[redacted]"})
    assert after == {"content": []}
    after = mcp_results.rewritten(before, {**before, "content": "[redacted]"})
    assert after == {"content": []}
    assert mcp_results.rewritten({"content": text}, {"content": "[redacted]"}) == {"content": []}


def test_a_result_too_large_for_rules_is_not_shown_to_them() -> None:
    small = {"content": []}
    assert mcp_results.shown_to_policy(small, 20) is small
    spaced = {"content": []}
    assert mcp_results.shown_to_policy(spaced, 2_000_000) == spaced
    assert mcp_results.shown_to_policy({"content": "x" * 2_000_000}, 2_000_020) is None
