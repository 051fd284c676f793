"""What each host's hooks are told, as JSON: only what that host was seen to honour.

Nothing here asks the host's own user (``ask``): one host runs the tool all the same, another waits
for ever, and none leaves an approval on record. Nothing says ``allow`` where saying nothing leaves
the host's own prompts in force. Standard library only: this is part of every hook's start-up.
"""

BEFORE = "before"
"""A tool is about to run."""
AFTER = "after"
"""A tool has run."""
FAILED = "failed"
"""A tool has run and failed."""
PROMPT = "prompt"
"""The user has said something."""

EVENTS: dict[str, dict[str, str]] = {
    "claude-code": {
        "PreToolUse": BEFORE,
        "PostToolUse": AFTER,
        "PostToolUseFailure": FAILED,
        "UserPromptSubmit": PROMPT,
    },
    "codex": {"PreToolUse": BEFORE, "PostToolUse": AFTER, "UserPromptSubmit": PROMPT},
    "gemini": {"BeforeTool": BEFORE, "AfterTool": AFTER, "BeforeAgent": PROMPT},
    "copilot": {"preToolUse": BEFORE, "postToolUse": AFTER, "userPromptSubmitted": PROMPT},
    "opencode": {"before": BEFORE, "after": AFTER},
    "cursor": {
        "preToolUse": BEFORE,
        "postToolUse": AFTER,
        "postToolUseFailure": FAILED,
        "beforeSubmitPrompt": PROMPT,
    },
}
"""The events that are hooked, by host, and what each of them is."""

Json = dict[str, object]


def silence(host: str, event: str) -> Json:
    """Nothing to object to: the host goes on as it would without the hook."""
    if EVENTS[host][event] == BEFORE:
        if host == "opencode":
            return {"decision": "allow"}
        if host == "cursor":
            return {"permission": "allow"}
    if host == "cursor" and EVENTS[host][event] == PROMPT:
        return {"continue": True}
    return {}


def refused(host: str, event: str, reason: str) -> Json:
    """The tool must not run, or what it gave must not be shown."""
    what = EVENTS[host][event]
    if what == BEFORE:
        return _denied(host, event, reason)
    if what in (AFTER, FAILED):
        return _withheld(host, reason)
    return silence(host, event)


def _denied(host: str, event: str, reason: str) -> Json:
    if host in ("claude-code", "codex"):
        told = {"permissionDecision": "deny", "permissionDecisionReason": reason}
        return {"hookSpecificOutput": {"hookEventName": event, **told}}
    if host == "copilot":
        return {"permissionDecision": "deny", "permissionDecisionReason": reason}
    if host == "cursor":
        return {"permission": "deny", "user_message": reason, "agent_message": reason}
    return {"decision": "deny", "reason": reason}


def _withheld(host: str, reason: str) -> Json:
    if host == "claude-code":
        # It shows a result unless it is given another one of just that shape; this ends the turn.
        return {"continue": False, "stopReason": reason}
    if host == "cursor":
        return {"additional_context": reason}
    return shown_instead(host, reason)


def shown_instead(host: str, text: str) -> Json:
    """Show the model ``text`` for what the tool gave; for hosts where any text will do."""
    if host == "codex":
        return {"decision": "block", "reason": text}
    if host == "gemini":
        return {"decision": "deny", "reason": text}
    if host == "copilot":
        return {"modifiedResult": {"textResultForLlm": text, "resultType": "success"}}
    return {"output": text}


def rewritten(host: str, event: str, given: Json) -> Json:
    """The tool is to run with other arguments."""
    if host in ("claude-code", "codex"):
        # Both take other arguments only together with an allow.
        told: Json = {"permissionDecision": "allow", "updatedInput": given}
        return {"hookSpecificOutput": {"hookEventName": event, **told}}
    if host == "gemini":
        return {"hookSpecificOutput": {"hookEventName": event, "tool_input": given}}
    if host == "copilot":
        return {"permissionDecision": "allow", "modifiedArgs": given}
    if host == "cursor":
        return {"permission": "allow", "updated_input": given}
    return {"decision": "allow", "args": given}
