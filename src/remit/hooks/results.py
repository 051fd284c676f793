"""What tools gave, in one form for all hosts, and how a host is given something else to show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from remit.hooks.answers import Json, refused, shown_instead, silence
from remit.hooks.payloads import HookQuestion


def result_of(question: HookQuestion) -> dict[str, Any]:
    """What a tool gave, as policy sees it: ``output``, as text."""
    return {"output": _text(question.result)}


def _text(result: Any) -> str:
    if isinstance(result, str):
        return result
    if isinstance(result, dict):
        if isinstance(result.get("stdout"), str):
            return "\n".join(filter(None, (result["stdout"], str(result.get("stderr") or ""))))
        file = result.get("file")
        if isinstance(file, dict) and isinstance(file.get("content"), str):
            return str(file["content"])
        for name in ("textResultForLlm", "llmContent", "output"):
            if isinstance(result.get(name), str):
                return str(result[name])
    return "" if result is None else msgspec.json.encode(result).decode()


def replaced(question: HookQuestion, text: str) -> Json:
    """Have a host show ``text`` instead of what the tool gave, or nothing at all.

    Where the host offers no way for this tool, its turn ends before the model sees anything.
    """
    host = question.host
    if host == "claude-code":
        return _claude(question, text)
    if host == "cursor":
        if question.tool.lower().startswith("mcp"):
            return {"updated_mcp_tool_output": {"output": text}}
        return refused(host, question.event, text)
    return shown_instead(host, text)


def _claude(question: HookQuestion, text: str) -> Json:
    """Claude Code takes another result only in exactly the shape that the tool's has."""
    result = question.result
    new: Any = None
    if isinstance(result, Mapping):
        file = result.get("file")
        if isinstance(result.get("stdout"), str) and not result.get("isImage"):
            new = {**result, "stdout": text, "stderr": ""}
        elif result.get("type") == "text" and isinstance(file, Mapping):
            lines = text.count("\n") + 1
            new = {**result, "file": {**file, "content": text, "numLines": lines}}
    if new is None:
        return refused(question.host, question.event, text)
    told: Json = {"hookEventName": question.event, "updatedToolOutput": new}
    return {"hookSpecificOutput": told}


def unchanged(question: HookQuestion) -> Json:
    """Nothing to object to."""
    return silence(question.host, question.event)
