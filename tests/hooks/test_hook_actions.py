"""The same deed has the same name, whichever host it is done in."""

from __future__ import annotations

from typing import Any

import pytest

from remit.errors import InvalidRequest
from remit.hooks.actions import TypedAction, typed
from remit.hooks.answers import AFTER, BEFORE, EVENTS, FAILED, PROMPT
from remit.hooks.payloads import read_question

PATCH = "*** Begin Patch\n*** Update File: a.py\n*** Move to: b.py\n@@\n-x\n+y\n*** End Patch"


def asked(host: str, tool: str, given: Any, **more: Any) -> TypedAction:
    event = next(name for name, what in EVENTS[host].items() if what == BEFORE)
    usual = {"session_id": "s", "tool_name": tool, "tool_input": given}
    payload: dict[str, Any] = {
        "copilot": {"sessionId": "s", "toolName": tool, "toolArgs": given},
        "opencode": {"sessionID": "s", "tool": tool, "args": given},
        "cursor": {**usual, "conversation_id": "s"},
    }.get(host, usual)
    return typed(read_question(host, event, {"cwd": "/work", **payload, **more}))


COMMANDS = [
    ("claude-code", "Bash", {"command": "echo x > out"}),
    ("codex", "Bash", {"command": "echo x > out"}),
    ("gemini", "run_shell_command", {"command": "echo x > out"}),
    ("copilot", "bash", {"command": "echo x > out", "description": "d"}),
    ("opencode", "bash", {"command": "echo x > out"}),
    ("cursor", "Shell", {"command": "echo x > out"}),
]
READS = [
    ("claude-code", "Read", {"file_path": "/work/a"}),
    ("codex", "view_image", {"path": "a"}),
    ("gemini", "read_file", {"file_path": "a"}),
    ("copilot", "view", {"path": "/work/a"}),
    ("opencode", "read", {"filePath": "./a"}),
    ("cursor", "Read", {"file_path": "/work/b/../a"}),
]
WRITES = [
    ("claude-code", "Write", {"file_path": "/work/a", "content": "new"}),
    ("claude-code", "Edit", {"file_path": "a", "old_string": "old", "new_string": "new"}),
    ("gemini", "replace", {"file_path": "a", "old_string": "old", "new_string": "new"}),
    ("copilot", "create", {"path": "/work/a", "file_text": "new"}),
    ("opencode", "edit", {"filePath": "/work/a", "oldString": "old", "newString": "new"}),
    ("cursor", "Write", {"file_path": "/work/a", "content": "new"}),
]


@pytest.mark.parametrize(("host", "tool", "given"), COMMANDS)
def test_commands(host: str, tool: str, given: dict[str, Any]) -> None:
    found = asked(host, tool, given)
    assert found.action.name == "shell.run"
    assert found.action.kind == "shell"
    assert found.arguments["writes"] == ["/work/out"]
    assert found.arguments["programs"] == ["echo"]
    assert found.same == {"command": "command"}


@pytest.mark.parametrize(("host", "tool", "given"), READS)
def test_reads(host: str, tool: str, given: dict[str, Any]) -> None:
    found = asked(host, tool, given)
    assert (found.action.name, found.arguments["paths"]) == ("file.read", ["/work/a"])


@pytest.mark.parametrize(("host", "tool", "given"), WRITES)
def test_writes(host: str, tool: str, given: dict[str, Any]) -> None:
    found = asked(host, tool, given)
    assert (found.action.name, found.arguments["paths"]) == ("file.write", ["/work/a"])
    assert found.arguments["content"] == "new"


@pytest.mark.parametrize(
    ("host", "tool", "given", "name"),
    [
        ("claude-code", "WebFetch", {"url": "https://a.example", "prompt": "p"}, "web.fetch"),
        ("gemini", "web_fetch", {"prompt": "read https://a.example please"}, "web.fetch"),
        ("opencode", "webfetch", {"url": "https://a.example", "format": "text"}, "web.fetch"),
        ("gemini", "google_web_search", {"query": "q"}, "web.search"),
        ("claude-code", "Grep", {"pattern": "x"}, "file.search"),
        ("copilot", "glob", {"pattern": "*.py", "paths": ["src"]}, "file.search"),
        ("claude-code", "Agent", {"prompt": "p"}, "agent.start"),
        ("copilot", "task", {"prompt": "p"}, "agent.start"),
        ("claude-code", "TodoWrite", {"todos": []}, "agent.note"),
        ("claude-code", "mcp__GitHub__create_issue", {"title": "t"}, "github.create_issue"),
        ("codex", "mcp__github__create_issue", {"title": "t"}, "github.create_issue"),
        ("claude-code", "Unheard_of", {"a": 1}, "other.Unheard_of"),
        # What is missing or odd makes a tool unknown, and so the worst.
        ("claude-code", "Bash", {}, "other.Bash"),
        ("claude-code", "Read", {"path": 1}, "other.Read"),
        ("gemini", "web_fetch", {"prompt": "read it"}, "other.web_fetch"),
        ("codex", "apply_patch", {"command": "*** Begin Patch\n*** Odd: x\n"}, "other.apply_patch"),
        ("codex", "apply_patch", {"command": "nothing"}, "other.apply_patch"),
    ],
)
def test_other_tools(host: str, tool: str, given: dict[str, Any], name: str) -> None:
    assert asked(host, tool, given).action.name == name


def test_patches_name_every_file() -> None:
    found = asked("codex", "apply_patch", {"command": PATCH})
    assert found.action.name == "file.write"
    assert found.arguments["paths"] == ["/work/a.py", "/work/b.py"]


def test_patches_within_commands_are_patches() -> None:
    """Codex applies them by itself; the hook is told of a command."""
    command = f"apply_patch <<'EOF'\n{PATCH}\nEOF\n"
    found = asked("codex", "Bash", {"command": command})
    assert found.action.name == "file.write"
    assert found.arguments["paths"] == ["/work/a.py", "/work/b.py"]
    assert asked("codex", "Bash", {"command": f"cd / && {command}"}).action.name == "shell.opaque"
    odd = command.replace("*** Move to", "*** Moved to")
    assert asked("codex", "Bash", {"command": odd}).action.name == "shell.opaque"


def test_an_mcp_server_cannot_pass_for_a_tool_of_the_host() -> None:
    for server in ("shell", "file", "Web", "other", "mcp"):
        assert asked("claude-code", f"mcp__{server}__run", {}).action.name.startswith("mcp.")
    context = {"mcp_context": {"server_name": "github", "tool_name": "get"}}
    assert asked("gemini", "mcp_github_get", {}, **context).action.name == "github.get"


@pytest.mark.parametrize(
    ("command", "name", "writes"),
    [
        ("rm -rf build", "shell.run", ["/work/build"]),
        ("cd sub && rm x", "shell.run", ["/work/x", "/work/sub/x"]),
        ("cd /; cd etc; rm x", "shell.run", ["/work/x", "/x", "/work/etc/x", "/etc/x"]),
        ("(cd a; rm x); rm y", "shell.run", ["/work/x", "/work/a/x", "/work/y", "/work/a/y"]),
        ("cd $HOME && rm x", "shell.partial", []),
        ("cd", "shell.partial", []),
        ("cd -", "shell.partial", []),
        ("popd", "shell.partial", []),
        ("ls *.py", "shell.partial", []),
        ("rm -rf ~", "shell.partial", []),
        ("cd a;cd b;cd c;cd d;cd e;cd f", "shell.partial", []),
        ("$X y", "shell.opaque", None),
        ("eval $X", "shell.opaque", None),
        ("echo 'unfinished", "shell.opaque", None),
        (7, "shell.opaque", None),
    ],
)
def test_what_is_understood_of_commands(command: Any, name: str, writes: Any) -> None:
    found = asked("claude-code", "Bash", {"command": command})
    assert found.action.name == name
    assert found.arguments.get("writes") == writes


def test_a_folder_of_the_command() -> None:
    found = asked("opencode", "bash", {"command": "rm x", "workdir": "/elsewhere"})
    assert found.arguments["writes"] == ["/elsewhere/x"]
    assert found.arguments["cwd"] == "/elsewhere"


def test_arguments_as_text_and_calls_without_ids() -> None:
    event = {"sessionId": "s", "cwd": "/", "toolName": "bash"}
    one = read_question("copilot", "preToolUse", {**event, "toolArgs": '{"command": "a"}'})
    two = read_question("copilot", "postToolUse", {**event, "toolArgs": {"command": "a"}})
    assert one.call == two.call
    assert one.call_with({"command": "b"}) != one.call
    with_id = read_question(
        "codex",
        "PreToolUse",
        {"session_id": "s", "cwd": "/", "tool_name": "x", "tool_input": {}, "tool_use_id": "c1"},
    )
    assert with_id.call_with({"command": "b"}) == with_id.call == "c1"


def test_every_phase_is_read() -> None:
    assert {what for events in EVENTS.values() for what in events.values()} == {
        BEFORE,
        AFTER,
        FAILED,
        PROMPT,
    }
    common = {"session_id": "s", "cwd": "/", "tool_name": "Bash", "tool_input": {}}
    failed = read_question("claude-code", "PostToolUseFailure", {**common, "error": "no"})
    assert failed.error == "no"
    cursor = {"conversation_id": "s", "workspace_roots": ["/w"], "prompt": "p"}
    assert read_question("cursor", "beforeSubmitPrompt", cursor).cwd == "/w"
    with pytest.raises(InvalidRequest, match="which folder"):
        read_question("cursor", "preToolUse", {**cursor, "workspace_roots": ["relative"]})
