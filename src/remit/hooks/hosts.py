"""The hosts that have hooks: what each of them can be told, and what stays open whatever is done.

Measured on the versions that ``tests/hooks/peers`` pins; ``docs/coding-agents.md`` shows it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from msgspec import Struct


class HookHost(Struct, frozen=True, kw_only=True):
    """One coding agent."""

    name: str
    title: str
    place: Callable[[Path], Path]
    """The file with its hooks, below a home folder."""
    form: Literal["groups", "list", "plugin"]
    """Groups of entries with a matcher, a list of entries, or a module that is loaded."""
    matcher: str = ""
    seconds: int = 1
    """Units of its time-out in a second."""
    rewrites: bool = True
    """Whether policy may change arguments."""
    redacts: str
    """How results are kept from the model."""
    fails: str
    """What it does by itself when a hook fails; Remit's own answer comes first where it can."""
    open: tuple[str, ...]
    """What no hook of it sees or stops."""
    tested: bool = True
    """Whether the real program runs in ``make test-adapters``."""

    @property
    def folder(self) -> str:
        """The part of the home folder by which it is found."""
        return str(self.place(Path("/")).parts[1])


def _codex(home: Path) -> Path:
    return Path(os.environ.get("CODEX_HOME") or home / ".codex") / "hooks.json"


HOSTS: tuple[HookHost, ...] = (
    HookHost(
        name="claude-code",
        title="Claude Code",
        place=lambda home: home / ".claude" / "settings.json",
        form="groups",
        matcher="*",
        redacts="Bash and Read: replaced; any other tool: the turn ends before the model sees it",
        fails="runs the tool when a hook crashes, is missing or is late; with onFailure (2.1.295 "
        "and later; install writes it) it does not, except when a hook prints what is no JSON",
        open=(
            "disableAllHooks, --bare and settings that leave out the user's switch hooks off.",
            "What a command goes on doing in the background after it was admitted.",
        ),
    ),
    HookHost(
        name="codex",
        title="Codex",
        place=_codex,
        form="groups",
        matcher=".*",
        redacts="replaced",
        fails="runs the tool when a hook crashes, is missing, is late, prints what is no JSON, or "
        "exits with 2 and says nothing",
        open=(
            "write_stdin fires no hook: what is typed into a program that already runs is unseen.",
            "Web search runs at the provider; it fires no hook.",
            "Hooks run only once you have reviewed them in Codex (/hooks), and again after each "
            "change of them.",
        ),
    ),
    HookHost(
        name="gemini",
        title="Gemini CLI",
        place=lambda home: home / ".gemini" / "settings.json",
        form="groups",
        matcher=".*",
        seconds=1000,
        redacts="replaced",
        fails="runs the tool when a hook exits with 1, is late, or prints what is no JSON",
        open=("hooksConfig.enabled = false switches hooks off.",),
    ),
    HookHost(
        name="copilot",
        title="GitHub Copilot CLI",
        place=lambda home: home / ".copilot" / "hooks" / "remit.json",
        form="list",
        redacts="replaced",
        fails="refuses when a hook crashes or is missing; runs the tool when one is late or prints "
        "what is no JSON",
        open=("write_bash: what is typed into a program that runs already is one more call.",),
    ),
    HookHost(
        name="opencode",
        title="OpenCode",
        place=lambda home: home / ".config" / "opencode" / "plugin" / "remit.js",
        form="plugin",
        redacts="replaced",
        fails="refuses when the plugin throws, which it does for any fault; runs everything when "
        "the plugin cannot be loaded",
        open=(
            "Without its plugin (deleted, or one that cannot be loaded) it runs on unprotected and "
            "does not say so.",
            "The prompt of the user is not seen, so nothing counts as asked for by them.",
        ),
    ),
    HookHost(
        name="cursor",
        title="Cursor",
        place=lambda home: home / ".cursor" / "hooks.json",
        form="list",
        redacts="MCP tools: replaced; any other tool: not possible",
        fails="documented: refuses with failClosed, which install writes",
        open=(
            "There is no command line of it on a registry: only the form of what is exchanged is "
            "tested, not the program.",
            "Results of tools other than MCP's are shown whatever policy says.",
        ),
        tested=False,
    ),
)


def host_of(name: str) -> HookHost:
    """A host by its name.

    Raises:
        KeyError: there is none.
    """
    return {host.name: host for host in HOSTS}[name]
