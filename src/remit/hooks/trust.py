"""Whether Codex runs the hooks that are written into its file.

It runs a hook only while its user has reviewed exactly that one: ``config.toml`` keeps digests of
the reviewed hooks under their places in the file.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

from remit.hooks.installing import is_own

_LABELS = {"PreToolUse": "pre_tool_use", "PostToolUse": "post_tool_use"}
_DEFAULT_TIMEOUT = 600


def unreviewed(path: Path, settings: dict[str, Any]) -> list[str]:
    """What keeps Codex from running Remit's hooks, in words; empty where nothing does.

    Args:
        path: of its ``hooks.json``.
        settings: what is in it.
    """
    try:
        config = tomllib.loads(path.with_name("config.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    if config.get("features", {}).get("hooks") is False:
        return ["Codex has hooks switched off: features.hooks in its config.toml"]
    state = config.get("hooks", {}).get("state", {})
    wanted = {
        key: digest for event in _LABELS for key, digest in _reviewable(path, settings, event)
    }
    for key, digest in wanted.items():
        kept = state.get(key, {})
        if kept.get("trusted_hash") != digest or kept.get("enabled") is False:
            return [
                "Codex does not run these hooks until you have reviewed them: start codex, then "
                "/hooks"
            ]
    return []


def _reviewable(path: Path, settings: dict[str, Any], event: str) -> list[tuple[str, str]]:
    """Place and digest of each of Remit's hooks for an event."""
    found: list[tuple[str, str]] = []
    for at, group in enumerate(settings.get("hooks", {}).get(event, [])):
        for within, hook in enumerate(group.get("hooks", [])):
            if is_own(hook):
                key = f"{path}:{_LABELS[event]}:{at}:{within}"
                found.append((key, _digest(event, group.get("matcher"), hook)))
    return found


def _digest(event: str, matcher: str | None, hook: dict[str, Any]) -> str:
    handler = {
        "async": hook.get("async", False),
        "command": hook["command"],
        "timeout": hook.get("timeout", _DEFAULT_TIMEOUT),
        "type": "command",
    }
    identity: dict[str, Any] = {"event_name": _LABELS[event], "hooks": [handler]}
    if matcher is not None:
        identity["matcher"] = matcher
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
