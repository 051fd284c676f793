"""``guard.run_tool_calls`` over replies of the real SDKs of OpenAI and Anthropic."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from guarding import decisions, open_guard, outcomes
from remit import Guard, InvalidRequest

CALLS = [("c1", "note", {"text": "a"}), ("c2", "note", {"text": "drop it"})]


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with open_guard(tmp_path) as opened:
        yield opened


def written(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def chat(calls: list[Any] = CALLS) -> ChatCompletion:
    made = [
        {
            "id": i,
            "type": "function",
            "function": {"name": n, "arguments": a if isinstance(a, str) else json.dumps(a)},
        }
        for i, n, a in calls
    ]
    message = {"role": "assistant", "content": None, "tool_calls": made}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
    return ChatCompletion.model_validate(
        {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    )


def responses() -> Response:
    output = [
        {"type": "function_call", "call_id": i, "name": n, "arguments": json.dumps(a)}
        for i, n, a in CALLS
    ]
    return Response.model_validate(
        {
            "id": "x",
            "object": "response",
            "created_at": 1,
            "model": "m",
            "output": output,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }
    )


def messages() -> Message:
    content: list[Any] = [{"type": "text", "text": "I will."}]
    content += [{"type": "tool_use", "id": i, "name": n, "input": a} for i, n, a in CALLS]
    return Message.model_validate(
        {
            "id": "x",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": content,
            "stop_reason": "tool_use",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    )


def note(text: str) -> str:
    return f"wrote {text}"


def answered(message: dict[str, Any]) -> tuple[str, str]:
    """Id and text of one answer, whatever the API."""
    names = ("tool_call_id", "call_id", "tool_use_id")
    return next(message[n] for n in names if n in message), message.get("content") or message[
        "output"
    ]


@pytest.mark.parametrize("reply", [chat(), responses(), messages()], ids=["chat", "resp", "msg"])
@pytest.mark.parametrize("plain", [False, True], ids=["object", "json"])
def test_each_call_of_a_reply_is_decided_by_itself(guard: Guard, reply: Any, plain: bool) -> None:
    given = reply.model_dump(mode="json") if plain else reply
    with guard.session(agent="bot", user="ada"):
        answers = guard.run_tool_calls(given, {"note": note})
    if isinstance(reply, Message):
        (message,) = answers
        assert message["role"] == "user"
        assert [block["is_error"] for block in message["content"]] == [False, True]
        answers = message["content"]
    first, second = map(answered, answers)
    assert first == ("c1", "wrote a")
    assert second[0] == "c2"
    assert "Nothing is dropped here." in second[1]
    assert decisions(guard) == ["note allow", "note deny"]
    assert outcomes(guard) == ["note ok"]


def test_a_message_alone_is_a_reply_too(guard: Guard) -> None:
    with guard.session(agent="bot", user="ada"):
        answers = guard.run_tool_calls(chat().choices[0].message, {"note": note})
    assert len(answers) == 2


def test_a_reply_without_calls_has_no_answers(guard: Guard) -> None:
    assert guard.run_tool_calls(chat([]), {}) == []
    said = messages().model_copy(update={"content": []})
    assert guard.run_tool_calls(said, {}) == []


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (("c", "other", {}), "there is no such tool. There are: note"),
        (("c", "note", "{broken"), "not a JSON object"),
        (("c", "note", "[1]"), "not a JSON object"),
        (("c", "note", {"text": 1, "more": 2}), "unexpected keyword argument"),
        (("c", "note", {"text": "fail"}), "note failed: ValueError: on fail"),
    ],
)
def test_whatever_goes_wrong_is_told_to_the_model(guard: Guard, call: Any, word: str) -> None:
    def strict(text: str) -> str:
        raise ValueError(f"on {text}")

    for run in (guard.run_tool_calls, guard.run_tool_calls_async):
        with guard.session(agent="bot", user="ada"):
            came = run(chat([call]), {"note": strict})
            (answer,) = asyncio.run(came) if asyncio.iscoroutine(came) else came
        assert word in answer["content"]


def test_calls_run_at_the_same_time_in_an_event_loop(guard: Guard) -> None:
    async def main() -> list[Any]:
        both = asyncio.Barrier(2)

        async def meet(text: str) -> dict[str, str]:
            await asyncio.wait_for(both.wait(), 5)
            return {"met": text}

        calls = [("c1", "note", {"text": "a"}), ("c2", "note", {"text": "b"})]
        return await guard.run_tool_calls_async(chat(calls), {"note": meet})

    with guard.session(agent="bot", user="ada"):
        answers = asyncio.run(main())
    assert [json.loads(a["content"]) for a in answers] == [{"met": "a"}, {"met": "b"}]


def test_async_tools_want_the_async_method_and_nothing_has_run_by_then(guard: Guard) -> None:
    ran: list[str] = []

    async def later(text: str) -> None:
        ran.append(text)

    calls = [("c1", "add", {"text": "a"}), ("c2", "note", {"text": "b"})]
    with guard.session(agent="bot", user="ada"), pytest.raises(InvalidRequest, match="_async"):
        guard.run_tool_calls(chat(calls), {"add": ran.append, "note": later})
    assert ran == []
    assert decisions(guard) == []


@pytest.mark.parametrize("reply", ["text", {}, {"choices": []}, None, object()])
def test_what_is_no_reply_is_said_to_be_none(guard: Guard, reply: Any) -> None:
    with pytest.raises(InvalidRequest, match="no reply that run_tool_calls can read"):
        guard.run_tool_calls(reply, {})
