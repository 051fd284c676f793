"""Answers that two readers could understand differently are refused; what else a stream tells."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocols.model_exchanges import (
    CORPUS,
    PATHS,
    Played,
    Player,
    allow,
    asked,
    deny,
    opened,
    play,
)
from remit.errors import MalformedReply
from remit.protocols import model_stream
from remit.protocols.model_api import (
    CallVerdict,
    HostedCall,
    ModelReply,
    ModelRequest,
    RequestedCall,
    TokenUsage,
    read_arguments,
)
from remit.protocols.model_format import ModelFormat
from remit.protocols.model_paths import target_of
from remit.protocols.model_stream import Forward, ReplyStream


def spoken(name: str) -> tuple[ModelFormat, ModelRequest]:
    target = target_of("POST", PATHS[name])
    assert target is not None
    body = b'{"model": "m", "stream": true}'
    return target.format, target.format.read_request(body, target)


def started(name: str, *, hide_usage: bool = False) -> ReplyStream:
    format_, request = spoken(name)
    return format_.reply_stream(request, hide_usage=hide_usage)


def sse(*values: Any) -> bytes:
    return b"".join(
        b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"
        for value in values
    )


def run(name: str, *values: Any, decide: Any = allow) -> Played:
    return Player(started(name), decide).play([sse(*values)])


def whole(name: str, value: Any) -> ModelReply:
    format_, request = spoken(name)
    return format_.read_reply(json.dumps(value).encode(), request)


# ---- chat


def chunk(delta: Any, finish: Any = None, **more: Any) -> dict[str, Any]:
    return {"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish} | more]}


def piece(index: Any, arguments: Any = "", name: Any = None, **more: Any) -> dict[str, Any]:
    inner = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "function": inner} | more]}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([b"[]"], "not a JSON object"),
        ([b'{"tool": 1'], "not JSON"),
        ([chunk(piece(0, name="f")), chunk(piece(0, name="f"))], "two calls under one index"),
        (
            [chunk(piece(0, name="f", id="a")), chunk(piece(0, "1", id="b"))],
            "two calls under one index",
        ),
        (
            [chunk(piece(0, name="f")), chunk(piece(1, name="g")), chunk(piece(0, "{}"))],
            "was complete",
        ),
        ([chunk(piece(1, name="f")), chunk(piece(0, name="g"))], "out of order"),
        ([chunk(piece(0, name="f"), "tool_calls"), chunk(piece(1, name="g"))], "after the end"),
        ([chunk(piece(None, name="f"))], "without an index"),
        ([chunk(piece(-1, name="f"))], "without an index"),
        ([chunk(piece(0, name=7))], "name is not a string"),
        ([chunk(piece(0, name="f", type="browser"))], "unknown type 'browser'"),
        ([chunk(piece(0, name="f", custom={}))], "unknown type"),
        (
            [
                chunk(piece(0, name="f")),
                chunk({"tool_calls": [{"index": 0, "type": "custom", "custom": {}}]}),
            ],
            "changes its type",
        ),
        ([chunk(piece(0)), chunk({}, "tool_calls")], "without the name"),
        ([chunk({"tool_calls": ["x"]})], "not a list of objects"),
        ([chunk("tool")], "not an object"),
        ([chunk({}, index="0", tool=1)], "none of a stream"),
        ([chunk({}, message={"tool_calls": [1]})], "none of a stream"),
        ([chunk({}, 7)], "finish_reason is not a string"),
        ([chunk(piece(0, name="f"))], "in the middle"),
    ],
)
def test_a_chat_that_could_be_read_in_two_ways_is_refused(values: Any, reason: str) -> None:
    played = run("openai_chat", *values, decide=deny)
    assert played.broken is not None
    assert reason in played.broken
    assert b'"tool_calls"' not in played.data


def test_a_chat_ends_its_calls_without_a_reason_too() -> None:
    values = (chunk(piece(0, name="f")), b"[DONE]")
    assert [call.name for call in run("openai_chat", *values).calls] == ["f"]


def test_text_in_odd_places_is_counted() -> None:
    stream = started("openai_chat")
    stream.feed(sse(chunk({"content": "é"}), chunk({"content": "é"})))
    stream.feed(sse(chunk({"reasoning": "ab"}), chunk({"content": [{"text": "xyz"}]})))
    stream.feed(sse(chunk(piece(0, "{}", "f"))))
    assert stream.text_bytes >= 2 + 2 + 2 + 3 + 2


def test_usage_that_was_not_asked_for_is_hidden() -> None:
    report = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9}
    first = chunk({"content": "a"}) | {"usage": None}
    call = chunk(piece(0, "{}", "f")) | {"usage": None}
    last = chunk({}, "tool_calls") | {"usage": report}
    stream = started("openai_chat", hide_usage=True)
    player = Player(stream, deny)
    played = player.play(
        [sse(first, first, call, last, {"choices": [], "usage": report}, b"[DONE]")]
    )
    assert played.data.count(b"usage") == 1  # a server that says it with the end says it anyway
    assert b'"finish_reason":"stop"' in played.data
    assert stream.usage == TokenUsage(input=3, output=6)
    kept = Player(started("openai_chat")).play([sse(first, {"choices": [], "usage": report})])
    assert kept.data == sse(first, {"choices": [], "usage": report})


def test_legacy_function_calls_change_like_others() -> None:
    begin = chunk({"content": None, "function_call": {"name": "f", "arguments": '{"a"'}})
    rest = chunk({"function_call": {"arguments": ":1}"}})
    end = chunk({}, "function_call")
    changed = run(
        "openai_chat", begin, rest, end, decide=lambda _: CallVerdict.modify({"a": 2})
    ).data
    assert changed.count(b"function_call") == 2
    assert rb'"arguments":"{\"a\":2}"' in changed
    reply = whole(
        "openai_chat", {"choices": [{"message": {"function_call": {"name": "f", "arguments": ""}}}]}
    )
    format_, _ = spoken("openai_chat")
    passed = format_.write_reply(reply, {"0.function_call": CallVerdict.modify({"a": 2})})
    assert json.loads(passed)["choices"][0]["message"]["function_call"]["arguments"] == '{"a":2}'


@pytest.mark.parametrize(
    "report", [{"prompt_tokens": -1}, {"prompt_tokens": 1.5}, {"prompt_tokens": True}, 7, None]
)
def test_usage_that_is_nonsense_is_no_usage(report: Any) -> None:
    assert whole("openai_chat", {"choices": [], "usage": report}).usage is None
    response = report and {"input_tokens": next(iter(report.values()))} if report != 7 else 7
    assert whole("openai_responses", {"output": [], "usage": response}).usage is None
    assert whole("anthropic", {"content": [], "usage": response}).usage is None
    gemini = report and {"promptTokenCount": next(iter(report.values()))} if report != 7 else 7
    assert whole("gemini", {"candidates": [], "usageMetadata": gemini}).usage is None


def test_usage_to_the_token() -> None:
    def usage(file: str) -> TokenUsage | None:
        path = CORPUS / file
        if path.suffix == ".sse":
            stream = opened(path)
            Player(stream).play([path.read_bytes()])
            return stream.usage
        format_, request = asked(path)
        return format_.read_reply(path.read_bytes(), request).usage

    chat = TokenUsage(input=82, cache_read=64, output=17, reasoning=5)
    assert usage("openai_chat/text.sse") == usage("openai_chat/text.json") == chat
    response = TokenUsage(input=120, cache_read=100, output=30, reasoning=12)
    assert usage("openai_responses/text.sse") == usage("openai_responses/text.json") == response
    message = TokenUsage(input=2112, cache_read=2000, cache_write=100, output=44)
    assert usage("anthropic/text.sse") == usage("anthropic/text.json") == message
    thought = usage("anthropic/thinking-then-tool.sse")
    assert thought is not None
    assert thought.reasoning == 20
    gemini = TokenUsage(input=20, cache_read=16, output=39, reasoning=30, input_audio=5)
    assert usage("gemini/text.sse") == usage("gemini/text.json") == gemini
    assert usage("gemini/array.json") == gemini
    assert usage("openai_chat/embeddings.json") == TokenUsage(input=8)
    assert usage("anthropic/count-tokens.json") == TokenUsage()
    assert usage("gemini/count-tokens.json") == TokenUsage()
    assert usage("gemini/embed.json") is None


# ---- responses


def item(kind: str = "function_call", **more: Any) -> dict[str, Any]:
    return {"id": "fc_1", "type": kind, "call_id": "c1", "name": "f", "arguments": "{}"} | more


def added(value: Any, index: Any = 0) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": value}


def done(value: Any, index: Any = 0) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": value}


def delta(text: Any, index: Any = 0, kind: str = "delta", **more: Any) -> dict[str, Any]:
    name = f"response.function_call_arguments.{kind}"
    return {"type": name, "output_index": index, "delta": text} | more


def response(kind: str, *items: Any, **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "response": {"id": "r", "output": list(items)} | more}


BEGUN = item(arguments="")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([b'["item"]'], "not a JSON object"),
        ([added(BEGUN), added(BEGUN)], "two calls in one place"),
        ([added(BEGUN, None)], "without its place"),
        ([added(BEGUN), done(item(name="g"))], "changes its identity"),
        ([added(BEGUN), done(item(call_id="c2"))], "changes its identity"),
        ([added(BEGUN), done({"id": "m", "type": "message"})], "becomes something else"),
        ([added(BEGUN), delta('{"a":1}'), done(item())], "do not make the call"),
        ([added(BEGUN), delta("{}"), delta("", kind="done", arguments="{1}")], "do not make"),
        ([added(BEGUN), delta("", kind="done", arguments="{ }"), done(item())], "do not make"),
        ([done(item()), done(item())], "complete twice"),
        ([done(item()), delta("x")], "was complete"),
        ([delta("x")], "has not begun"),
        ([done(item(name=""))], "without the name"),
        ([done(item()), response("completed", item(arguments='{"a":1}'))], "do not make"),
        ([done(item(arguments="")), response("completed", item())], "do not make"),
        (
            [
                done(item("shell_call", action={"commands": ["ls"]})),
                response("completed", item("shell_call", action={"commands": ["rm"]})),
            ],
            "changes after it was complete",
        ),
        ([response("created", item())], "only begun"),
        ([{"type": "response.new", "item": item()}], "unknown type"),
        ([added(BEGUN)], "in the middle"),
        ([{"type": 7, "response": 1}], "type is not a string"),
    ],
)
def test_a_response_that_could_be_read_in_two_ways_is_refused(values: Any, reason: str) -> None:
    played = run("openai_responses", *values, decide=deny)
    assert played.broken is not None
    assert reason in played.broken
    assert b'"function_call"' not in played.data


@pytest.mark.parametrize("name", ["openai_responses", "anthropic"])
@pytest.mark.parametrize("value", [b'{"type": "b"}', b'{"type": "b", "error": 1}'])
def test_an_event_under_a_false_name_is_refused(name: str, value: bytes) -> None:
    played = Player(started(name)).play([b"event: a\ndata: " + value + b"\n\n"])
    assert played.broken == "an event that is called 'a' and is 'b'"


def test_a_call_that_only_the_whole_response_has_is_decided() -> None:
    late = response("completed", item(), item(id="x", call_id="x2", name="g"), status="completed")
    assert [call.name for call in run("openai_responses", late).calls] == ["f", "g"]
    played = run("openai_responses", added(BEGUN), late, decide=deny)
    assert [call.name for call in played.calls] == ["f", "g"]
    assert b'"function_call"' not in played.data
    assert played.broken is None


def test_a_call_that_never_becomes_complete_is_refused_whatever_is_said() -> None:
    cut = response("incomplete", incomplete_details={"reason": "max_output_tokens"})
    played = run("openai_responses", added(BEGUN), delta('{"a'), cut)
    assert [call.problem for call in played.calls] == ["the call never became complete"]
    assert b"function_call" not in played.data
    assert b"The call of f was refused" in played.data


def test_a_call_may_come_without_pieces() -> None:
    played = run("openai_responses", added(item()), delta("", kind="done"), done(item()))
    assert (played.broken, len(played.calls)) == (None, 1)
    changed = run(
        "openai_responses",
        added(item()),
        delta("", kind="done"),
        done(item()),
        decide=lambda _: CallVerdict.modify({"a": 1}),
    )
    assert changed.data.count(rb'"arguments":"{\"a\":1}"') == 2


def test_a_changed_call_of_many_parts_loses_its_parts() -> None:
    begun = added(item("shell_call", action={}))
    command = {"type": "response.shell_call_command.delta", "output_index": 0, "delta": "rm"}
    said = {"type": "response.output_text.delta", "delta": "x"}
    events = [
        value | {"sequence_number": number}
        for number, value in enumerate(
            [begun, command, command, done(item("shell_call", action={"commands": ["rm"]})), said]
        )
    ]
    changed = CallVerdict.modify({"action": {"commands": ["ls"]}})
    played = run("openai_responses", *events, decide=lambda _: changed)
    values = [json.loads(line[6:]) for line in played.data.splitlines() if b"data: " in line]
    assert [value["sequence_number"] for value in values] == [0, 1, 2]
    assert [value["item"]["action"] for value in values[:2]] == [{"commands": ["ls"]}] * 2


def test_a_changed_call_whose_end_repeats_nothing() -> None:
    ended = {"type": "response.function_call_arguments.done", "output_index": 0}
    changed = CallVerdict.modify({"a": 1})
    played = run("openai_responses", added(BEGUN), ended, done(item()), decide=lambda _: changed)
    assert played.data.count(rb"{\"a\":1}") == 1


def test_events_after_a_refused_call_are_counted_anew() -> None:
    events = [
        added(BEGUN) | {"sequence_number": 5},
        done(item()) | {"sequence_number": 6},
        {"type": "response.output_text.delta", "sequence_number": 7, "delta": "x"},
        {"type": "response.other"},
        response("completed", item()) | {"sequence_number": 8},
    ]
    played = run("openai_responses", *events, decide=deny)
    values = [json.loads(line[6:]) for line in played.data.splitlines() if b"data: " in line]
    assert [value.get("sequence_number") for value in values] == [*range(5, 12), None, 12]


def test_hosted_calls_of_a_response_are_noted() -> None:
    path = CORPUS / "openai_responses" / "code-interpreter-and-mcp.sse"
    stream = opened(path)
    Player(stream).play([path.read_bytes()])
    code, wiki = stream.hosted
    assert (code.name, wiki.name) == (
        "hosted.code_execution",
        "hosted.mcp.wiki.ask".replace("wiki", "deepwiki"),
    )
    assert code.arguments["code"] == "print(1)"
    assert wiki == HostedCall(
        id="mcp_1", name="hosted.mcp.deepwiki.ask", arguments={"q": "x"}, result="ok"
    )
    hosted = whole(
        "openai_responses",
        {
            "output": [
                {"type": "shell_call", "environment": {"type": "container"}, "action": {}},
                {"type": "tool_search_call", "execution": "server", "id": 7},
                {"type": "mcp_call", "error": "down"},
            ]
        },
    ).hosted
    assert [call.name for call in hosted] == [
        "hosted.shell",
        "hosted.tool_search",
        "hosted.mcp.None.None",
    ]
    assert (hosted[0].arguments["action"], hosted[2].result) == ({}, "down")


def test_what_a_stream_tells_of_the_whole() -> None:
    path = CORPUS / "openai_responses" / "incomplete.sse"
    stream = opened(path)
    Player(stream).play([path.read_bytes()])
    assert (stream.id, stream.finish_reason) == ("resp_68af", "max_output_tokens")
    assert stream.model == "gpt-5.4-2026-03-05"
    assert stream.text_bytes == len("Bolts: 42 ✓ – größer".encode())
    for name in ("openai_chat", "anthropic", "gemini"):
        path = CORPUS / name / "error-midstream.sse"
        stream = opened(path)
        assert stream.id == ""
        Player(stream).play([path.read_bytes()])
        assert stream.finish_reason == "error"
    path = CORPUS / "openai_responses" / "error-event.sse"
    stream = opened(path)
    Player(stream).play([path.read_bytes()])
    assert stream.finish_reason == "error"


# ---- messages


def block(index: Any, kind: str = "tool_use", **more: Any) -> dict[str, Any]:
    inner = {"type": kind, "id": "t1", "name": "f", "input": {}} | more
    return {"type": "content_block_start", "index": index, "content_block": inner}


def part(index: Any, text: str) -> dict[str, Any]:
    inner = {"type": "input_json_delta", "partial_json": text}
    return {"type": "content_block_delta", "index": index, "delta": inner}


def stop(index: Any) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


ENDING = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": None}
MESSAGE = {"type": "message_start", "message": {"content": []}}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([b'["tool"]'], "not a JSON object"),
        ([block(1)], "out of order"),
        ([block(0), block(0)], "out of order"),
        ([block(None)], "out of order"),
        ([{"type": "content_block_start", "index": 0, "content_block": 7}], "out of order"),
        ([ENDING, block(0)], "out of order"),
        ([block(0, input={"a": 1}), part(0, "{}"), stop(0)], "two inputs"),
        ([block(0), stop(0), part(0, "{}")], "was complete"),
        ([block(0, "mcp_tool_use"), stop(0), stop(0)], "was complete"),
        ([block(0, name=""), stop(0)], "without the name"),
        ([MESSAGE, MESSAGE], "another message"),
        ([{"type": "message_start", "message": {"content": [{"type": "tool_use"}]}}], "a call"),
        ([{"type": "new", "content_block": {"type": "tool_use"}}], "a call"),
        ([block(0)], "in the middle"),
        ([block(0), ENDING], "in the middle"),
    ],
)
def test_a_message_that_could_be_read_in_two_ways_is_refused(values: Any, reason: str) -> None:
    played = run("anthropic", *values, decide=deny)
    assert played.broken is not None
    assert reason in played.broken
    assert b'"tool_use", "id"' not in played.data


def test_an_unknown_kind_of_call_is_decided_too() -> None:
    played = run("anthropic", block(0, "holo_tool_use"), part(0, ""), stop(0))
    assert [call.name for call in played.calls] == ["f"]
    reply = whole("openai_responses", {"output": [{"type": "holo_call", "x": 1, "id": "h"}]})
    assert [(call.name, call.arguments) for call in reply.calls] == [("holo_call", {"x": 1})]


def test_input_that_is_no_object_is_a_problem() -> None:
    played = run("anthropic", block(0, input=None), stop(0), block(1), part(1, "[1]"), stop(1))
    assert [call.problem for call in played.calls] == ["", "arguments: not a JSON object"]
    assert b"The call of f was refused" in played.data


def test_hosted_calls_of_a_message_are_noted_with_their_results() -> None:
    for name, tool in (
        ("web-search-citations.sse", "web_search"),
        ("hosted.json", "code_execution"),
    ):
        path = CORPUS / "anthropic" / name
        if path.suffix == ".sse":
            stream = opened(path)
            Player(stream).play([path.read_bytes()])
            hosted = stream.hosted
        else:
            format_, request = asked(path)
            hosted = format_.read_reply(path.read_bytes(), request).hosted
        assert [call.name for call in hosted] == [f"hosted.{tool}"]
        assert hosted[0].result is not None
    lonely = {"type": "web_search_tool_result", "tool_use_id": "other", "content": 1}
    use = {"type": "mcp_tool_use", "id": "m", "name": "n", "server_name": "s"}
    found = whole("anthropic", {"content": [use, lonely]}).hosted
    assert found == (HostedCall(id="m", name="hosted.mcp.s.n", arguments=None),)


# ---- gemini


def parts(*values: Any, **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(values)}} | more]}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'["call"]', "not a JSON object"),
        (parts({"function_call": {"name": "f"}}), "only some read"),
        (parts({"functionCall": {"name": "f", "willContinue": True}}), "in pieces"),
        (parts({"functionCall": {"partialArgs": [1]}}), "in pieces"),
        (parts({"functionCall": "f"}), "in pieces"),
        (parts({"functionCall": {}}), "without the name"),
        (parts({"functionCall": {"name": "f"}}, index="x"), "no number"),
        (parts("call"), "not a list of objects"),
    ],
)
def test_a_candidate_that_could_be_read_in_two_ways_is_refused(value: Any, reason: str) -> None:
    played = run("gemini", value)
    assert played.broken is not None
    assert reason in played.broken
    assert b'"functionCall"' not in played.data


def test_hosted_calls_of_gemini_are_noted_once() -> None:
    def hosted(name: str) -> list[tuple[str, Any, Any]]:
        path = CORPUS / "gemini" / name
        stream = opened(path)
        Player(stream).play([path.read_bytes()])
        return [(call.name, call.arguments, call.result) for call in stream.hosted]

    code = hosted("code-execution.sse")
    assert code == [
        (
            "hosted.code_execution",
            {"language": "PYTHON", "code": "print(1)"},
            {"outcome": "OUTCOME_OK", "output": "1\n"},
        )
    ]
    assert [name for name, *_ in hosted("grounding.sse")] == [
        "hosted.web_search",
        "hosted.web_fetch",
    ]
    assert hosted("server-side-tool.sse") == [("hosted.file_search", {"query": "x"}, {"ok": 1})]
    lonely = whole("gemini", parts({"executableCode": {}}, {"toolResponse": {"id": "x"}})).hosted
    assert [(call.name, call.result) for call in lonely] == [("hosted.code_execution", None)]


def test_why_gemini_stopped() -> None:
    assert whole("gemini", {"promptFeedback": {"blockReason": "OTHER"}}).finish == "OTHER"
    assert whole("gemini", [parts({"text": "a"}, finishReason="STOP"), parts()]).finish == "STOP"
    assert whole("gemini", {"error": {"code": 1}}).finish == "error"


# ---- all


@pytest.mark.parametrize("name", sorted(PATHS))
@pytest.mark.parametrize("value", [7, "x", None, [1]])
def test_a_body_that_is_no_answer_is_refused(name: str, value: Any) -> None:
    with pytest.raises(MalformedReply):
        whole(name, value)


@pytest.mark.parametrize("name", sorted(PATHS))
def test_every_call_of_a_body_needs_a_verdict(name: str) -> None:
    path = CORPUS / name / "parallel-tools.json"
    if name == "anthropic":
        path = CORPUS / name / "thinking-parallel-tools.json"
    format_, request = asked(path)
    reply = format_.read_reply(path.read_bytes(), request)
    assert reply.calls
    with pytest.raises(KeyError):
        format_.write_reply(reply, {})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1, "a": 2}', "appears twice"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": "\\ud800"}', "lone surrogate"),
        ("{'a': 1}", "not JSON"),
        ('{"a": 1}{}', "not JSON"),
        ("[]", "not a JSON object"),
        ('{"a": 1', "not JSON"),
        (" \n", ""),
        ('{"a": 1}', ""),
    ],
)
def test_arguments_are_read_strictly(text: str, problem: str) -> None:
    arguments, found = read_arguments(text)
    assert problem in found
    assert bool(found) == bool(problem)
    assert arguments == ({"a": 1} if text == '{"a": 1}' else {})


def test_arguments_that_came_as_json_are_checked_too() -> None:
    call = {"functionCall": {"name": "f", "args": {"a": 10**3000}}}
    played = Player(started("gemini")).play([sse(json.dumps(parts(call)).encode())])
    assert played.broken is not None
    reply = whole("gemini", parts({"functionCall": {"name": "f", "args": [1]}}))
    assert reply.calls[0].problem == "arguments: not a JSON object"
    deep: Any = {}
    for _ in range(100):
        deep = {"a": deep}
    assert (
        "levels deep"
        in whole("gemini", parts({"functionCall": {"name": "f", "args": deep}})).calls[0].problem
    )


def test_a_verdict_that_cannot_be_carried_out_refuses() -> None:
    plain = RequestedCall(key="k", id="i", name="sql", arguments={"input": "a"}, free_form=True)
    for arguments in ({"input": 1}, {"query": "x"}, {"input": "a", "b": 1}):
        settled = plain.settled(CallVerdict.modify(arguments))
        assert not settled.allowed
        assert "plain text" in settled.refusal
    assert plain.settled(CallVerdict.modify({"input": "a"})).unchanged
    assert plain.settled(CallVerdict.modify({"input": "b"})).arguments == {"input": "b"}
    assert plain.settled(CallVerdict.deny("no")).refusal == "no"


def test_a_call_is_resolved_once() -> None:
    path = CORPUS / "openai_chat" / "tool.sse"
    stream = opened(path)
    stream.feed(path.read_bytes())
    (call,) = stream.waiting
    assert not stream.done
    stream.resolve(call.key, CallVerdict.allow())
    for key in (call.key, "other"):
        with pytest.raises(KeyError):
            stream.resolve(key, CallVerdict.allow())


def test_nothing_is_read_after_the_end() -> None:
    stream = started("openai_chat")
    assert stream.finish() == []
    assert stream.ended
    assert (stream.feed(sse(chunk({"content": "x"}))), stream.finish(cut=True)) == ([], [])


def test_what_comes_before_a_break_in_the_same_bytes_still_counts() -> None:
    data = sse(chunk({"content": "a"}), b"[]") + b"{}\n\n"
    played = Player(started("openai_chat")).play([data])
    assert played.broken == "a chunk that is not a JSON object"
    assert played.data.startswith(sse(chunk({"content": "a"})))


def test_a_stream_holds_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_stream, "MAX_HELD_BYTES", 500)
    stream = started("openai_chat")
    outputs = stream.feed(sse(chunk({"content": "x"})) + sse(*[chunk(piece(0, "y", None))] * 9))
    assert stream.ended
    assert [type(output) for output in outputs[:1]] == [Forward]


def test_a_comment_ends_with_a_blank_line_where_that_does_no_harm() -> None:
    for name in ("openai_chat", "openai_responses"):
        stream = started(name)
        assert stream.keep_alive.endswith(b"\n\n")
        stream.feed(b"id: 1\ndata: {}\n\n")
        assert not stream.keep_alive.endswith(b"\n\n")


def test_a_refusal_stands_apart_from_what_is_said_before() -> None:
    data = play(CORPUS / "openai_chat" / "text-then-parallel-tools.sse", deny).data
    said = [json.loads(line[6:]) for line in data.splitlines() if line.startswith(b'data: {"id')]
    text = "".join(
        choice["delta"].get("content") or "" for value in said for choice in value["choices"]
    )
    assert text.split("\n\n") == [
        "Let me look.",
        "Refused: read_stock may not be called.",
        "Refused: delete_item may not be called.",
        "Refused: read_stock may not be called.",
    ]


TELLING = 'the "tool_calls" of a function_call: call("x") \\u00e9'


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("openai_chat", chunk({"content": TELLING})),
        ("openai_responses", {"type": "response.output_text.delta", "delta": TELLING}),
        (
            "anthropic",
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": TELLING},
            },
        ),
        ("gemini", parts({"text": TELLING})),
    ],
)
def test_text_that_speaks_of_calls_goes_through_at_once(name: str, value: Any) -> None:
    stream = started(name)
    data = b": hello\n\n" + sse(value)
    assert stream.feed(data) == [Forward(data)]
    assert stream.text_bytes >= len(TELLING)
