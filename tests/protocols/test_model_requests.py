"""What requests offer the model and tell it, and what becomes of them when something is changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.errors import InvalidRequest
from remit.protocols.model_api import (
    ModelRequest,
    Operation,
    RefusedCall,
    RequestChanges,
)
from remit.protocols.model_format import ModelFormat
from remit.protocols.model_paths import target_of

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
GEMINI = "/v1beta/models/gemini-x:generateContent"


def read(path: str, **body: Any) -> tuple[ModelFormat, ModelRequest]:
    target = target_of("POST", path)
    assert target is not None
    if path != GEMINI:
        body = {"model": "m", **body}
    return target.format, target.format.read_request(json.dumps(body).encode(), target)


def changed(path: str, changes: RequestChanges, **body: Any) -> Any:
    format_, request = read(path, **body)
    return json.loads(format_.write_request(request, changes))


def without(path: str, *names: str, **body: Any) -> Any:
    """A request from which tools were removed."""
    format_, request = read(path, **body)
    tools = tuple(tool for tool in request.tools if tool.name in names)
    assert {tool.name for tool in tools} == set(names)
    return json.loads(format_.write_request(request, RequestChanges(remove=tools)))


def offers(request: ModelRequest) -> list[tuple[str, bool]]:
    return [(tool.name, tool.hosted) for tool in request.tools]


# ---- paths


@pytest.mark.parametrize(
    ("path", "name", "operation", "model", "stream"),
    [
        ("/v1/chat/completions", "openai-chat", Operation.GENERATE, None, None),
        ("/chat/completions", "openai-chat", Operation.GENERATE, None, None),
        ("/v1/completions", "openai-chat", Operation.GENERATE, None, None),
        ("/v1/embeddings", "openai-chat", Operation.EMBED, None, False),
        ("/v1/responses", "openai-responses", Operation.GENERATE, None, None),
        ("/v1/responses/input_tokens", "openai-responses", Operation.COUNT, None, False),
        ("/v1/messages", "anthropic", Operation.GENERATE, None, None),
        ("/v1/messages/count_tokens", "anthropic", Operation.COUNT, None, False),
        ("/v1beta/models/g-1.5:generateContent", "gemini", Operation.GENERATE, "g-1.5", False),
        ("/v1/models/g:streamGenerateContent", "gemini", Operation.GENERATE, "g", True),
        ("/v1beta/tunedModels/g:countTokens", "gemini", Operation.COUNT, "g", False),
        ("/v1beta/models/g:batchEmbedContents", "gemini", Operation.EMBED, "g", False),
        (
            "/v1beta1/projects/p/locations/l/publishers/google/models/g:generateContent",
            "gemini",
            Operation.GENERATE,
            "g",
            False,
        ),
    ],
)
def test_known_paths(
    path: str, name: str, operation: Operation, model: str | None, stream: bool | None
) -> None:
    target = target_of("POST", path)
    assert target is not None
    assert (target.format.name, target.operation) == (name, operation)
    assert (target.model, target.stream) == (model, stream)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses/resp_1",
        "/v1/batches",
        "/v1/threads/t/runs",
        "/v1/realtime",
        "/v1/messages/batches",
        "/v1beta/models/g:batchGenerateContent",
        "/v1beta/cachedContents",
        "/v1/chat/completions/",
        "/v1/../v1/chat/completions",
        "/v1beta/models/a/b:generateContent",
        "/v1/CHAT/completions",
        "",
    ],
)
def test_other_paths_have_no_format(path: str) -> None:
    assert target_of("POST", path) is None


def test_answers_are_not_fetched() -> None:
    assert target_of("GET", "/v1/chat/completions") is None


# ---- what is offered


def test_tools_of_a_chat() -> None:
    _, request = read(
        CHAT,
        tools=[
            {"type": "function", "function": {"name": "read_stock"}},
            {"function": {"name": "untyped"}},
            {"type": "custom", "custom": {"name": "run_sql"}},
            {"type": "web_search_preview"},
        ],
        functions=[{"name": "old"}],
        web_search_options={},
        plugins=[{"id": "file-parser"}],
    )
    assert offers(request) == [
        ("read_stock", False),
        ("untyped", False),
        ("run_sql", False),
        ("hosted.web_search", True),
        ("old", False),
        ("hosted.web_search", True),
        ("hosted.file-parser", True),
    ]


def test_tools_of_a_response() -> None:
    _, request = read(
        RESPONSES,
        input=[
            {"role": "user", "content": "go"},
            {"type": "additional_tools", "tools": [{"type": "function", "name": "late"}]},
        ],
        tools=[
            {"type": "function", "name": "read_stock"},
            {"type": "custom", "name": "run_sql"},
            {"type": "namespace", "name": "crm", "tools": [{"type": "function", "name": "find"}]},
            {"type": "web_search_2025_08_26"},
            {"type": "web_search_preview_2025_03_11"},
            {"type": "code_interpreter"},
            {"type": "mcp", "server_label": "wiki"},
            {"type": "computer_use_preview"},
            {"type": "shell"},
            {"type": "shell", "environment": {"type": "container_auto"}},
            {"type": "tool_search"},
            {"type": "tool_search", "execution": "client"},
            {"type": "apply_patch"},
            {"type": "teleport"},
        ],
        prompt={"id": "pmpt_1"},
    )
    assert offers(request) == [
        ("read_stock", False),
        ("run_sql", False),
        ("crm.find", False),
        ("hosted.web_search", True),
        ("hosted.web_search", True),
        ("hosted.code_execution", True),
        ("hosted.mcp.wiki", True),
        ("computer", False),
        ("shell", False),
        ("hosted.shell", True),
        ("hosted.tool_search", True),
        ("tool_search", False),
        ("apply_patch", False),
        ("hosted.teleport", True),
        ("late", False),
        ("hosted.stored_prompt", True),
    ]


def test_tools_of_a_message() -> None:
    addition = {"type": "tool_definition", "definition": {"name": "late"}}
    _, request = read(
        MESSAGES,
        tools=[
            {"name": "read_stock", "input_schema": {}},
            {"type": "custom", "name": "custom_one"},
            {"type": "bash_20250124", "name": "bash"},
            {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
            {"type": "computer_20250124", "name": "computer"},
            {"type": "browser_toolset_20260801"},
            {"type": "web_search_20260318", "name": "web_search"},
            {"type": "code_execution_20260521", "name": "code_execution"},
            {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"},
            {"type": "mcp_toolset", "mcp_server_name": "wiki"},
        ],
        mcp_servers=[{"type": "url", "name": "wiki", "url": "https://example.com"}],
        messages=[{"role": "user", "content": [{"type": "tool_addition", "tool": addition}]}],
    )
    assert offers(request) == [
        ("read_stock", False),
        ("custom_one", False),
        ("bash", False),
        ("str_replace_based_edit_tool", False),
        ("computer", False),
        ("browser", False),
        ("hosted.web_search", True),
        ("hosted.code_execution", True),
        ("hosted.tool_search", True),
        ("hosted.mcp.wiki", True),
        ("hosted.mcp.wiki", True),
        ("late", False),
    ]


@pytest.mark.parametrize("snake", [False, True])
def test_tools_of_gemini_in_either_spelling(snake: bool) -> None:
    def key(camel: str, under: str) -> str:
        return under if snake else camel

    _, request = read(
        GEMINI,
        tools=[
            {key("functionDeclarations", "function_declarations"): [{"name": "read_stock"}]},
            {key("googleSearch", "google_search"): {}, key("urlContext", "url_context"): {}},
            {key("codeExecution", "code_execution"): {}, "retrieval": None},
            {key("computerUse", "computer_use"): {}},
            {key("mcpServers", "mcp_servers"): [{"name": "wiki"}]},
        ],
        **{key("cachedContent", "cached_content"): "cachedContents/1"},
        **{key("generationConfig", "generation_config"): {"candidateCount": 2}},
    )
    assert offers(request) == [
        ("read_stock", False),
        ("hosted.web_search", True),
        ("hosted.web_fetch", True),
        ("hosted.code_execution", True),
        ("computer", False),
        ("hosted.mcp.wiki", True),
        ("hosted.cached_content", True),
    ]
    assert request.choices == 2


# ---- what is asked


def test_models_that_may_answer() -> None:
    assert read(CHAT, models=["m", "n"])[1].models == ("m", "n")
    assert read(MESSAGES, fallbacks=[{"model": "n"}])[1].models == ("m", "n")
    format_, request = read(GEMINI, requests=[{"model": "models/other"}])
    assert request.models == ("gemini-x", "other")
    assert (format_.name, request.model) == ("gemini", "gemini-x")
    assert read(RESPONSES, prompt={"id": "p"})[1].model == "m"


def test_a_stored_prompt_may_name_the_model() -> None:
    target = target_of("POST", RESPONSES)
    assert target is not None
    assert target.format.read_request(b'{"prompt": {"id": "p"}}', target).model == ""
    with pytest.raises(InvalidRequest, match="model is missing"):
        target.format.read_request(b"{}", target)


def test_limits_streams_and_state_at_the_provider() -> None:
    request = read(CHAT, max_tokens=5, max_completion_tokens=7, n=3, stream=True)[1]
    assert (request.output_limit, request.choices, request.stream) == (7, 3, True)
    assert not request.asked_usage
    assert read(CHAT, stream=True, stream_options={"include_usage": True})[1].asked_usage
    assert read(CHAT)[1].asked_usage
    response = read(RESPONSES, max_output_tokens=9, background=True, previous_response_id="r")[1]
    assert (response.output_limit, response.background, response.chained) == (9, True, True)
    assert read(MESSAGES, max_tokens=4)[1].output_limit == 4
    limit = {"generation_config": {"max_output_tokens": 6}}
    assert read(GEMINI, **limit)[1].output_limit == 6


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"stream": "true"}),
        (CHAT, {"max_tokens": -1}),
        (CHAT, {"max_tokens": True}),
        (CHAT, {"n": 0.5}),
        (CHAT, {"models": "m"}),
        (CHAT, {"models": [7]}),
        (CHAT, {"tools": {}}),
        (CHAT, {"tools": ["x"]}),
        (CHAT, {"tools": [{"type": "function"}]}),
        (CHAT, {"tools": [{"type": 7}]}),
        (CHAT, {"messages": [{"role": "function"}]}),
        (RESPONSES, {"input": ["x"]}),
        (RESPONSES, {"input": [{"type": "function_call", "name": 7}]}),
        (RESPONSES, {"tools": [{"name": "x"}]}),
        (RESPONSES, {"tools": [{"type": "mcp"}]}),
        (MESSAGES, {"tools": [{"type": ["x"]}]}),
        (MESSAGES, {"tools": [{}]}),
        (GEMINI, {"tools": [{"functionDeclarations": [], "function_declarations": []}]}),
        (GEMINI, {"generationConfig": []}),
        (GEMINI, {"toolConfig": {"functionCallingConfig": {"streamFunctionCallArguments": True}}}),
        (GEMINI, {"contents": [{"parts": [{"functionResponse": {}}]}]}),
    ],
)
def test_a_request_that_could_be_read_in_two_ways_is_refused(path: str, body: Any) -> None:
    with pytest.raises(InvalidRequest):
        read(path, **body)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model":"a","model":"b"}', b"\xff", b"{"])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    target = target_of("POST", CHAT)
    assert target is not None
    with pytest.raises(InvalidRequest):
        target.format.read_request(body, target)


# ---- what tools returned


def test_results_in_a_chat() -> None:
    messages = [
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "read_stock"}},
                {"id": "c2", "type": "custom", "custom": {"name": "run_sql"}},
                {"id": 3, "function": {"name": 4}},
                {"id": "c4", "function": {"name": 4}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "1"}]},
        {"role": "tool", "tool_call_id": "c9", "content": "?"},
        {"role": "tool", "content": "?"},
        {"role": "function", "name": "old", "content": "o"},
    ]
    _, request = read(CHAT, messages=messages)
    assert [(found.call_id, found.tool, found.content) for found in request.results] == [
        ("c1", "read_stock", "42"),
        ("c2", "run_sql", [{"type": "text", "text": "1"}]),
        ("c9", "", "?"),
        ("", "", "?"),
        ("", "old", "o"),
    ]
    hidden = RequestChanges(results=((request.results[1], "withheld"),))
    assert changed(CHAT, hidden, messages=messages)["messages"][3]["content"] == "withheld"


def test_results_in_a_response() -> None:
    items = [
        {"role": "user", "content": "go"},
        {"type": "function_call", "call_id": "c1", "name": "find", "namespace": "crm"},
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
        {"type": "computer_call", "call_id": "c2", "action": {}},
        {"type": "computer_call_output", "call_id": "c2", "output": {"image_url": "x"}},
        {"type": "local_shell_call_output", "id": "c3", "output": "{}"},
        {"type": "function_call_output", "call_id": "c4", "name": "named", "output": "x"},
        {"type": "function_call_output", "output": "x"},
    ]
    _, request = read(RESPONSES, input=items)
    assert [(found.call_id, found.tool) for found in request.results] == [
        ("c1", "crm.find"),
        ("c2", "computer"),
        ("c3", ""),
        ("c4", "named"),
        ("", ""),
    ]
    hidden = RequestChanges(results=((request.results[0], "withheld"),))
    assert changed(RESPONSES, hidden, input=items)["input"][2]["output"] == "withheld"
    hidden = RequestChanges(results=((request.results[1], "withheld"),))
    with pytest.raises(InvalidRequest, match="computer cannot be replaced"):
        changed(RESPONSES, hidden, input=items)


def test_results_in_a_message() -> None:
    use = {"type": "tool_use", "id": "t1", "name": "left_click", "toolset_name": "computer"}
    found = {"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": True}
    messages = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "text", "text": "x"}, use]},
        {"role": "user", "content": [found, {"type": "tool_result", "tool_use_id": 7}]},
    ]
    _, request = read(MESSAGES, messages=messages)
    first, second = request.results
    assert (first.call_id, first.tool, first.is_error) == ("t1", "computer.left_click", True)
    assert (second.call_id, second.tool, second.content) == ("", "", None)
    hidden = RequestChanges(results=((first, "withheld"), (second, "too")))
    blocks = changed(MESSAGES, hidden, messages=messages)["messages"][2]["content"]
    assert [block["content"] for block in blocks] == ["withheld", "too"]


def test_results_in_gemini() -> None:
    contents = [
        {"role": "user", "parts": [{"text": "go"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "f1", "name": "read_stock"}}]},
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "f1", "name": "lie", "response": {"n": 1}}},
                {"function_response": {"name": "other", "response": {}, "parts": [{"x": 1}]}},
            ],
        },
    ]
    _, request = read(GEMINI, contents=contents)
    first, second = request.results
    assert (first.call_id, first.tool, first.content) == ("f1", "read_stock", {"n": 1})
    assert (second.call_id, second.tool) == ("", "other")
    assert second.content == {"response": {}, "parts": [{"x": 1}]}
    hidden = RequestChanges(results=((first, "w"), (second, "w")))
    parts = changed(GEMINI, hidden, contents=contents)["contents"][2]["parts"]
    assert parts[0]["functionResponse"] == {"id": "f1", "name": "lie", "response": {"result": "w"}}
    assert parts[1]["function_response"] == {"name": "other", "response": {"result": "w"}}


# ---- changes


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES, GEMINI])
def test_a_request_that_nothing_changes_stays_the_bytes_that_came(path: str) -> None:
    target = target_of("POST", path)
    assert target is not None
    body = b'{ "model" : "m",\n "x": 1.50, "stream": false }\n'
    request = target.format.read_request(body, target)
    assert target.format.write_request(request, RequestChanges(limit_name="max_tokens")) == body


@pytest.mark.parametrize(
    ("body", "name", "expected"),
    [
        ({}, "", {"max_completion_tokens": 8}),
        ({}, "max_tokens", {"max_tokens": 8}),
        ({"max_tokens": 99}, "", {"max_tokens": 8}),
        (
            {"max_tokens": 99, "max_completion_tokens": 1},
            "max_tokens",
            {"max_tokens": 8, "max_completion_tokens": 8},
        ),
    ],
)
def test_the_limit_of_a_chat(body: Any, name: str, expected: Any) -> None:
    limit = RequestChanges(output_limit=8, limit_name=name)
    assert changed(CHAT, limit, **body) == {"model": "m", **expected}


def test_the_limits_of_others() -> None:
    limit = RequestChanges(output_limit=8)
    assert changed(RESPONSES, limit) == {"model": "m", "max_output_tokens": 8}
    assert changed(MESSAGES, limit, max_tokens=9) == {"model": "m", "max_tokens": 8}
    assert changed(GEMINI, limit) == {"generationConfig": {"maxOutputTokens": 8}}
    spelt = {"generation_config": {"max_output_tokens": 9, "seed": 1}}
    assert changed(GEMINI, limit, **spelt) == {
        "generation_config": {"max_output_tokens": 8, "seed": 1}
    }


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
def test_another_model(path: str) -> None:
    assert changed(path, RequestChanges(model="small")) == {"model": "small"}


def test_usage_is_asked_for_where_a_stream_would_not_say_it() -> None:
    ask = RequestChanges(ask_usage=True)
    asked = changed(CHAT, ask, stream=True, stream_options={"include_obfuscation": False})
    assert asked["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    for path in (CHAT, RESPONSES, MESSAGES, GEMINI):
        format_, request = read(path)
        assert format_.write_request(request, ask) == request.raw


def test_open_calls_of_a_kept_conversation_are_answered() -> None:
    refused = (
        RefusedCall(id="call_1", refusal="no"),
        RefusedCall(id="call_2", refusal="no", free_form=True),
    )
    answers = [
        {"type": "function_call_output", "call_id": "call_1", "output": "no"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "no"},
    ]
    change = RequestChanges(refused=refused)
    go = {"role": "user", "content": "go"}
    assert changed(RESPONSES, change, input="go")["input"] == [*answers, go]
    assert changed(RESPONSES, change, input=[go])["input"] == [*answers, go]
    assert changed(RESPONSES, change)["input"] == answers


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        ("required", "required"),
        (function("b"), "auto"),
        (function("a"), function("a")),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [function("b")]}},
            "auto",
        ),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [function("a"), function("b")]},
            },
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [function("a")]}},
        ),
    ],
)
def test_a_choice_fits_the_tools_that_are_left_in_a_chat(choice: Any, left: Any) -> None:
    body = without(CHAT, "b", tools=[function("a"), function("b")], tool_choice=choice)
    assert body == {"model": "m", "tools": [function("a")], "tool_choice": left}


def test_no_tool_is_left_in_a_chat() -> None:
    tools = [function("b")]
    whole = {"tools": tools, "tool_choice": "required", "parallel_tool_calls": True}
    assert without(CHAT, "b", **whole) == {"model": "m"}
    assert without(CHAT, "b", functions=[{"name": "b"}], function_call={"name": "b"}) == {
        "model": "m"
    }
    body = without(CHAT, "b", functions=[{"name": "a"}, {"name": "b"}], function_call={"name": "b"})
    assert body["function_call"] == "auto"
    assert without(CHAT, "hosted.web", plugins=[{"id": "web"}], tools=tools)["tools"] == tools
    assert without(CHAT, "hosted.web_search", web_search_options={}) == {"model": "m"}


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        ("required", "required"),
        ({"type": "function", "name": "b"}, "auto"),
        ({"type": "function", "name": "a"}, {"type": "function", "name": "a"}),
        ({"type": "mcp", "server_label": "wiki"}, "auto"),
        ({"type": "allowed_tools", "tools": [{"type": "function", "name": "b"}]}, "auto"),
        (
            {"type": "allowed_tools", "tools": [{"type": "function", "name": x} for x in "ab"]},
            {"type": "allowed_tools", "tools": [{"type": "function", "name": "a"}]},
        ),
    ],
)
def test_a_choice_fits_the_tools_that_are_left_in_a_response(choice: Any, left: Any) -> None:
    tools = [
        *({"type": "function", "name": name} for name in "ab"),
        {"type": "mcp", "server_label": "wiki"},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "c"}]},
    ]
    body = without(RESPONSES, "b", "hosted.mcp.wiki", "n.c", tools=tools, tool_choice=choice)
    assert body == {"model": "m", "tools": tools[:1], "tool_choice": left}


def test_no_tool_is_left_in_a_response() -> None:
    tools = [{"type": "function", "name": "b"}]
    whole: Any = {"tools": tools, "tool_choice": "auto", "parallel_tool_calls": False}
    assert without(RESPONSES, "b", **whole) == {"model": "m"}
    late = {"type": "additional_tools", "tools": tools}
    assert without(RESPONSES, "b", input=["x", late][1:]) == {"model": "m", "input": []}
    assert without(RESPONSES, "hosted.stored_prompt", prompt={"id": 1}, input="x") == {
        "model": "m",
        "input": "x",
    }


def test_tools_are_removed_from_a_message() -> None:
    def reference(kind: str, **names: str) -> dict[str, Any]:
        return {"type": "tool_addition", "tool": {"type": kind, **names}}

    addition = {"type": "tool_definition", "definition": {"name": "b"}}
    messages = [
        {"role": "user", "content": "go"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "x"},
                {"type": "tool_addition", "tool": addition},
                reference("tool_reference", name="b"),
                reference("mcp_toolset_reference", server_name="wiki"),
                reference("tool_reference", name="a"),
            ],
        },
    ]
    body = without(
        MESSAGES,
        "b",
        "hosted.mcp.wiki",
        tools=[{"name": "a"}, {"name": "b"}, {"type": "mcp_toolset", "mcp_server_name": "wiki"}],
        mcp_servers=[{"name": "wiki"}],
        tool_choice={"type": "tool", "name": "b"},
        messages=messages,
    )
    assert body["tools"] == [{"name": "a"}]
    assert body["tool_choice"] == {"type": "auto"}
    assert "mcp_servers" not in body
    assert body["messages"][1]["content"] == [
        {"type": "text", "text": "x"},
        reference("tool_reference", name="a"),
    ]
    both = [{"name": "a"}, {"name": "b"}]
    assert without(MESSAGES, "b", tools=both) == {"model": "m", "tools": both[:1]}
    whole: Any = {"tools": [{"name": "b"}], "tool_choice": {"type": "any"}}
    assert without(MESSAGES, "b", **whole) == {"model": "m"}
    assert without(MESSAGES, "hosted.mcp.w", mcp_servers=[{"name": "w"}]) == {"model": "m"}


def test_tools_are_removed_from_gemini() -> None:
    def calling(**config: Any) -> dict[str, Any]:
        return {"toolConfig": {"functionCallingConfig": config, "retrievalConfig": {}}}

    tools = [{"functionDeclarations": [{"name": "a"}, {"name": "b"}]}, {"googleSearch": {}}]
    one = [{"functionDeclarations": [{"name": "a"}]}, {"googleSearch": {}}]
    allowed = calling(mode="ANY", allowedFunctionNames=["a", "b"])
    body = without(GEMINI, "b", tools=tools, **allowed)
    assert body == {"tools": one, **calling(mode="ANY", allowedFunctionNames=["a"])}
    none = {"toolConfig": {"retrievalConfig": {}}}
    only = calling(mode="ANY", allowedFunctionNames=["b"])
    assert without(GEMINI, "b", tools=tools, **only) == {"tools": one, **none}
    assert without(GEMINI, "a", "b", tools=tools, **calling(mode="ANY")) == {
        "tools": tools[1:],
        **none,
    }
    assert without(GEMINI, "b", tools=tools, **calling(mode="AUTO")) == {
        "tools": one,
        **calling(mode="AUTO"),
    }
    assert without(GEMINI, "b", tools=tools) == {"tools": one}
    assert without(GEMINI, "a", "b", "hosted.web_search", tools=tools, **allowed) == {}
    assert without(GEMINI, "hosted.cached_content", cachedContent="c") == {}


# ---- anything

MEMBERS = """
model models fallbacks tools functions messages input contents parts content role type name id
function custom tool_calls tool_call_id tool_use_id call_id output tool_choice toolConfig n
functionCallingConfig allowedFunctionNames functionDeclarations functionCall functionResponse
response generationConfig generation_config maxOutputTokens mcp_servers mcpServers plugins
server_label prompt stream allowed_tools namespace tool definition requests
"""
WORDS = """
x tool user function custom mcp namespace tool_use tool_result additional_tools auto any ANY
function_call function_call_output tool_addition tool_definition allowed_tools web_search
"""
NAMES = st.sampled_from(MEMBERS.split())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(WORDS.split()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([CHAT, RESPONSES, MESSAGES, GEMINI]), st.dictionaries(NAMES, VALUES))
def test_any_request_is_read_or_refused_and_loses_all_its_tools(path: str, body: Any) -> None:
    target = target_of("POST", path)
    assert target is not None
    try:
        whole = json.dumps({**body, "model": "m"}).encode()
        request = target.format.read_request(whole, target)
        changes = RequestChanges(remove=request.tools, output_limit=3)
        written = target.format.write_request(request, changes)
    except InvalidRequest:
        return
    again = target.format.read_request(written, target)
    assert again.tools == ()
    assert again.output_limit == 3
