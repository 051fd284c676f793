"""What hosts send to their hooks, read into one form."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from remit.errors import InvalidRequest
from remit.hooks.answers import AFTER, BEFORE, EVENTS, FAILED, PROMPT


class HookQuestion(Struct, frozen=True, kw_only=True):
    """One question of a host, whichever host it is."""

    host: str
    event: str
    what: str
    """Of ``answers``: before, after, failed, prompt."""
    session: str
    """The host's own name for its session."""
    cwd: str
    tool: str = ""
    given: Mapping[str, Any] = {}
    """The tool's arguments, as the host knows them."""
    call: str = ""
    """The host's id of the call, or a digest where it gives none: the same before and after."""
    result: Any = None
    error: str = ""
    prompt: str = ""
    server: str = ""
    """The MCP server of the tool, where the host says that apart."""
    server_tool: str = ""

    def call_with(self, given: Mapping[str, Any]) -> str:
        """The call's id once it runs with other arguments."""
        return _digest(self.tool, given) if self.call.startswith(_DIGESTED) else self.call


_NAMES: Mapping[str, Mapping[str, str]] = {
    "claude-code": {"result": "tool_response"},
    "codex": {"result": "tool_response"},
    "gemini": {"result": "tool_response"},
    "copilot": {
        "session": "sessionId",
        "tool": "toolName",
        "given": "toolArgs",
        "result": "toolResult",
    },
    "opencode": {"session": "sessionID", "call": "callID", "tool": "tool", "given": "args"},
    "cursor": {"session": "conversation_id", "result": "tool_output", "error": "error_message"},
}
_USUAL = {
    "session": "session_id",
    "tool": "tool_name",
    "given": "tool_input",
    "call": "tool_use_id",
    "result": "result",
    "error": "error",
    "cwd": "cwd",
    "prompt": "prompt",
    "event": "hook_event_name",
}
_LONGEST = 256
_DIGESTED = "sha256:"


def read_question(host: str, event: str, payload: Mapping[str, Any]) -> HookQuestion:
    """Read what a host sent to a hook.

    Raises:
        InvalidRequest: something is missing that a decision needs, or it is not of that event.
    """
    names = {**_USUAL, **_NAMES[host]}
    what = EVENTS[host][event]
    said = payload.get(names["event"], event)
    if said != event:
        raise InvalidRequest(f"The hook is for {event}, but the host says {str(said)[:80]!r}.")
    session = _text(payload, names["session"])
    cwd = _folder(host, payload)
    if what == PROMPT:
        prompt = payload.get(names["prompt"])
        shown = prompt if isinstance(prompt, str) else ""
        return HookQuestion(
            host=host, event=event, what=what, session=session, cwd=cwd, prompt=shown
        )
    given = _arguments(payload.get(names["given"]))
    tool, call = _text(payload, names["tool"]), payload.get(names["call"])
    context = payload.get("mcp_context")
    context = context if isinstance(context, dict) else {}
    return HookQuestion(
        host=host,
        event=event,
        what=what,
        session=session,
        cwd=cwd,
        tool=tool,
        given=given,
        call=call if isinstance(call, str) and 0 < len(call) <= _LONGEST else _digest(tool, given),
        result=payload.get(names["result"]) if what == AFTER else None,
        error=str(payload.get(names["error"], "it failed")) if what == FAILED else "",
        server=str(context.get("server_name", "")) if what in (BEFORE, AFTER) else "",
        server_tool=str(context.get("tool_name", "")),
    )


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
        raise InvalidRequest(
            f"The host's question has no {name} of up to {_LONGEST} characters, so nothing was "
            "decided."
        )
    return value


def _folder(host: str, payload: Mapping[str, Any]) -> str:
    """The folder that the agent works in; absolute."""
    cwd = payload.get("cwd")
    roots = payload.get("workspace_roots")
    if host == "cursor" and not cwd and isinstance(roots, list) and roots:
        cwd = roots[0]
    if not isinstance(cwd, str) or not cwd.startswith("/") or len(cwd) > 4096:
        raise InvalidRequest("The host's question does not say which folder it is about.")
    return cwd


def _arguments(given: Any) -> Mapping[str, Any]:
    """A tool's arguments; some hosts send them as JSON within JSON."""
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except msgspec.MsgspecError:
            given = None
    if not isinstance(given, dict):
        raise InvalidRequest("The tool's arguments are no JSON object, so nothing was decided.")
    return given


def _digest(tool: str, given: Mapping[str, Any]) -> str:
    text = msgspec.json.encode([tool, given], order="deterministic")
    return f"{_DIGESTED}{hashlib.sha256(text).hexdigest()}"
