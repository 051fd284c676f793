"""What each host is told has the form that its documentation prescribes; all there is of Cursor."""

from __future__ import annotations

from typing import Any

import pytest

from remit.hooks import answers
from remit.hooks.answers import AFTER, BEFORE, EVENTS
from remit.hooks.payloads import HookQuestion
from remit.hooks.results import replaced, result_of


def before(host: str) -> str:
    return next(name for name, what in EVENTS[host].items() if what == BEFORE)


def question(host: str, result: Any, tool: str = "Bash") -> HookQuestion:
    event = next(name for name, what in EVENTS[host].items() if what == AFTER)
    return HookQuestion(
        host=host, event=event, what=AFTER, session="s", cwd="/", tool=tool, result=result
    )


def words(value: Any) -> set[str]:
    """Every text in a JSON value."""
    if isinstance(value, dict):
        return set(value) | {word for each in value.values() for word in words(each)}
    return {value} if isinstance(value, str) else set()


@pytest.mark.parametrize("host", EVENTS)
def test_a_refusal_is_never_mistaken(host: str) -> None:
    told = words(answers.refused(host, before(host), "because"))
    assert "deny" in told
    assert "because" in told
    assert not told & {"allow", "ask", "Deny", "defer", "approve"}


@pytest.mark.parametrize("host", EVENTS)
def test_nobody_is_asked_and_nothing_is_waved_through(host: str) -> None:
    """An allow would switch off the host's own prompts; those that need a word get theirs."""
    told = words(answers.silence(host, before(host)))
    assert "ask" not in told
    assert "allow" not in told or host in ("opencode", "cursor")


def test_cursor() -> None:
    assert answers.refused("cursor", "preToolUse", "because") == {
        "permission": "deny",
        "user_message": "because",
        "agent_message": "because",
    }
    assert answers.rewritten("cursor", "preToolUse", {"a": 1})["updated_input"] == {"a": 1}
    assert answers.silence("cursor", "beforeSubmitPrompt") == {"continue": True}
    mcp = question("cursor", "x", "MCP:github")
    assert replaced(mcp, "other") == {"updated_mcp_tool_output": {"output": "other"}}
    assert replaced(question("cursor", "x", "Shell"), "other") == {"additional_context": "other"}


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("plain", "plain"),
        ({"stdout": "a", "stderr": "b"}, "a\nb"),
        ({"type": "text", "file": {"content": "c"}}, "c"),
        ({"textResultForLlm": "d"}, "d"),
        ({"llmContent": "e", "returnDisplay": ""}, "e"),
        ({"odd": 1}, '{"odd":1}'),
        (None, ""),
    ],
)
def test_results_in_one_form(result: Any, text: str) -> None:
    assert result_of(question("claude-code", result)) == {"output": text}


def test_claude_code_gets_a_result_of_the_same_shape_or_ends() -> None:
    bash = {"stdout": "secret", "stderr": "secret", "interrupted": False, "isImage": False}
    told: Any = replaced(question("claude-code", bash), "other")
    new = told["hookSpecificOutput"]["updatedToolOutput"]
    assert new == {**bash, "stdout": "other", "stderr": ""}
    read = {"type": "text", "file": {"filePath": "/a", "content": "secret", "numLines": 1}}
    told = replaced(question("claude-code", read, "Read"), "other\nwords")
    new = told["hookSpecificOutput"]["updatedToolOutput"]
    assert new["file"] == {"filePath": "/a", "content": "other\nwords", "numLines": 2}
    odd = replaced(question("claude-code", [{"text": "secret"}], "mcp__a__b"), "other")
    assert odd == {"continue": False, "stopReason": "other"}


@pytest.mark.parametrize("host", ["codex", "gemini", "copilot", "opencode"])
def test_other_hosts_show_any_text_instead(host: str) -> None:
    assert "other" in words(replaced(question(host, "secret"), "other"))
    assert "secret" not in words(replaced(question(host, "secret"), "other"))
