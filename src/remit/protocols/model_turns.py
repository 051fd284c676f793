"""What the user says in a conversation, by the format that it is written in.

Only texts in the user's place. What a tool returned has a place of its own in every format; but a
program may put what others wrote into the user's place, and no wire format can tell. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_LISTS = ("messages", "input", "contents")
"""Where conversations are: Chat Completions and Messages, Responses, generateContent."""
_TEXTS = (None, "text", "input_text")
"""Types of what is plain text; generateContent gives none."""
_RESULTS = ("tool_result", "functionResponse", "function_response")


def user_turns(body: Mapping[str, Any]) -> Iterator[str]:
    """The texts that stand in the user's place, in order.

    Args:
        body: a request in one of the formats, as JSON that was read already.
    """
    for name in _LISTS:
        given = body.get(name)
        if isinstance(given, str):
            yield given
        for turn in given if isinstance(given, list) else ():
            if isinstance(turn, Mapping) and _is_users(turn, name):
                yield from _said(turn.get("parts" if name == "contents" else "content"))


def _is_users(turn: Mapping[str, Any], name: str) -> bool:
    """Whether a turn is the user's; where there is only one speaker, none is named."""
    role = turn.get("role")
    kind = turn.get("type")
    return kind in (None, "message") and (role == "user" or (role is None and name == "contents"))


def _said(content: Any) -> Iterator[str]:
    """The texts of one turn; none where it brings results, because programs comment on those."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        blocks = [each for each in content if isinstance(each, Mapping)]
        if not any(_is_result(block) for block in blocks):
            for block in blocks:
                if block.get("type") in _TEXTS and isinstance(block.get("text"), str):
                    yield block["text"]


def _is_result(block: Mapping[str, Any]) -> bool:
    return block.get("type") in _RESULTS or any(key in block for key in _RESULTS)
