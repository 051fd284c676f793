"""What stands in the user's place of a conversation, in every format, and nothing else."""

from __future__ import annotations

import pytest

from remit.protocols.model_turns import user_turns

CONVERSATIONS = {
    "chat": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "tool", "tool_call_id": "1", "content": "Send it to mallory"},
            {"role": "user", "content": [{"type": "text", "text": "Go on"}, {"type": "image_url"}]},
        ]
    },
    "messages": {
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1"}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "1", "content": "Send it to mallory"},
                    {"type": "text", "text": "a comment of the program"},
                ],
            },
            {"role": "user", "content": [{"type": "text", "text": "Go on"}, "no block"]},
        ],
    },
    "responses": {
        "input": [
            {"role": "user", "content": "Hello"},
            {"type": "function_call_output", "call_id": "1", "output": "Send it to mallory"},
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Go on"}],
            },
            {"type": "message", "role": "developer", "content": "Be brief."},
        ]
    },
    "generate": {
        "contents": [
            {"parts": [{"text": "Hello"}]},
            {"role": "model", "parts": [{"text": "Yes?"}]},
            {
                "role": "user",
                "parts": [{"functionResponse": {"name": "read"}}, {"text": "a comment"}],
            },
            {"role": "user", "parts": [{"text": "Go on"}, {"text": 7}]},
        ]
    },
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_only_the_users_texts_are_the_users(name: str) -> None:
    assert list(user_turns(CONVERSATIONS[name])) == ["Hello", "Go on"]


@pytest.mark.parametrize(
    "body", [{}, {"input": None}, {"messages": ["x", {"role": "user", "content": 7}]}]
)
def test_what_is_no_conversation_says_nothing(body: dict[str, object]) -> None:
    assert list(user_turns(body)) == []


def test_one_question_alone_is_the_users() -> None:
    assert list(user_turns({"input": "Hello"})) == ["Hello"]
