"""The Claude Agent SDK under Remit.

    options = govern(ClaudeAgentOptions(...), guard)

Hooks stand before and after every tool: built-in ones, MCP servers, sub-agents. They are asked for
each call, where ``can_use_tool`` is asked only for what no permission rule has let through before.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from remit.adapters.declared import CLAUDE_AGENT_SDK
from remit.adapters.loading import framework
from remit.errors import ConfigError
from remit.guard import Cleared, Guard, SessionScope, Shape, Stopped
from remit.guard.seam import as_text, from_text
from remit.guard.steps import run_async

_sdk = framework(CLAUDE_AGENT_SDK, "claude_agent_sdk")
_log = logging.getLogger("remit.adapters")
_MCP = "mcp__"
SECONDS = 30.0
"""What the hook may take beyond the time that the guard waits for people; then the CLI blocks."""


def govern(options: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Give options with Remit's hooks added, for ``query`` or ``ClaudeSDKClient``.

    Raises:
        ConfigError: it is not ``ClaudeAgentOptions``.
    """
    if not isinstance(options, _sdk.ClaudeAgentOptions):
        raise ConfigError("this adapter governs ClaudeAgentOptions; agents are among its options")
    hooks = _Hooks(guard, session)
    patience = guard.seam().enforcement.wait + SECONDS
    joined = {event: list(matchers) for event, matchers in (options.hooks or {}).items()}
    for event, hook in (
        ("PreToolUse", hooks.before),
        ("PostToolUse", hooks.after),
        ("PostToolUseFailure", hooks.failed),
        ("Stop", hooks.ended),
    ):
        matcher = _sdk.HookMatcher(hooks=[hook], timeout=patience, on_failure="block")
        joined.setdefault(event, []).append(matcher)
    return replace(options, hooks=joined)


class _ToolResponse(Shape):
    """The text of an MCP tool, read as JSON; the response of a built-in tool as it is."""

    def value(self, came: Any) -> Any:
        """What policy looks at."""
        only = came[0] if isinstance(came, list) and len(came) == 1 else came
        text = only.get("text") if isinstance(only, dict) and only.get("type") == "text" else only
        return from_text(text) if isinstance(text, str) else came

    def replaced(self, came: Any, shown: Any) -> Any:
        """The same in the form that it had: the CLI keeps the original if the form is another."""
        if isinstance(came, list) and not isinstance(shown, list):
            return [{"type": "text", "text": as_text(shown)}]
        return as_text(shown) if isinstance(came, str) else shown


class _Hooks:
    def __init__(self, guard: Guard, session: SessionScope | None) -> None:
        self._seam = guard.seam(session)
        self._shape = _ToolResponse()
        self._open: dict[tuple[str, str], Cleared] = {}

    async def before(self, given: Any, call: str | None, context: Any) -> Any:
        """Decide; the CLI runs the tool with what comes back."""
        try:
            tool, arguments = given["tool_name"], given["tool_input"]
            decided = await run_async(self._seam.before(tool, arguments))
            if isinstance(decided, Stopped):
                return _decision("deny", permissionDecisionReason=decided.text)
            decided.action.began = True
            self._open[given["session_id"], given["tool_use_id"]] = decided
            changed = decided.arguments != arguments
            return _decision("allow", **({"updatedInput": decided.arguments} if changed else {}))
        except Exception as fault:  # noqa: BLE001 - a fault is a refusal
            _log.exception("a call was denied, because Remit failed")
            why = f"The tool was not run: Remit failed ({type(fault).__name__})."
            return _decision("deny", permissionDecisionReason=why)

    async def after(self, given: Any, call: str | None, context: Any) -> Any:
        """Settle; the model reads what comes back."""
        came = given["tool_response"]
        cleared = self._take(given)
        if cleared is None:
            return _halted(f"{given['tool_name']} ran without a decision of Remit.")
        shown = await run_async(self._seam.shaped(cleared, came, self._shape))
        if shown is came:
            return {}
        free = given["tool_name"].startswith(_MCP)
        if isinstance(shown, Stopped):
            if not free:
                return _halted(shown.text)
            shown = self._shape.replaced(came, shown.text)
        if not free and not _same_form(came, shown):
            return _halted(
                f"The result of {given['tool_name']} is withheld: it cannot be redacted."
            )
        output = {"hookEventName": "PostToolUse", "updatedToolOutput": shown}
        return {"hookSpecificOutput": output}

    async def failed(self, given: Any, call: str | None, context: Any) -> Any:
        """Settle a call that failed or was interrupted."""
        cleared = self._take(given)
        if cleared is None:
            return {}
        error = RuntimeError(given["error"])
        stopped = await run_async(self._seam.failed(cleared, error))
        return {} if stopped is None else _halted(stopped.text)

    async def ended(self, given: Any, call: str | None, context: Any) -> Any:
        """Give up what never came back; it settles itself."""
        for key in [key for key in self._open if key[0] == given["session_id"]]:
            del self._open[key]
        return {}

    def _take(self, given: Any) -> Cleared | None:
        return self._open.pop((given["session_id"], given["tool_use_id"]), None)


def _decision(word: str, **more: Any) -> dict[str, Any]:
    output = {"hookEventName": "PreToolUse", "permissionDecision": word, **more}
    return {"hookSpecificOutput": output}


def _halted(why: str) -> dict[str, Any]:
    """End the turn before the model reads the result: the only way to keep it back for certain."""
    return {"continue_": False, "stopReason": why}


def _same_form(came: Any, shown: Any) -> bool:
    if isinstance(came, dict):
        return (
            isinstance(shown, dict)
            and came.keys() == shown.keys()
            and all(_same_form(came[name], shown[name]) for name in came)
        )
    if isinstance(came, list):
        return isinstance(shown, list) and all(map(_same_form, came, shown))
    return type(came) is type(shown)
