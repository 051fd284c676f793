"""Hooks written into a host's configuration, and taken out again.

Each file is kept beside itself as it was, and as it was written: one that nobody touched since gets
back its bytes, from another one only Remit's own entries go.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from msgspec import Struct

from remit.errors import ConfigError
from remit.hooks.answers import BEFORE, EVENTS, PROMPT
from remit.hooks.hosts import HookHost

SPARE = 45
"""Seconds that a host is to wait for a hook, on top of those that it waits for people: well above
what the hook itself takes before it refuses."""

_OURS = re.compile(r" hook [a-z-]+ --event [A-Za-z]+ --agent ")
_FAILED = "Remit did not answer, so nothing runs. To see why: remit hooks status"
Parse = Callable[[str], Any]
"""Reads JSON as people write it, with comments.

Raises:
    ConfigError: it is none.
"""


class HookCommand(Struct, frozen=True, kw_only=True):
    """What a host is to start."""

    program: tuple[str, ...]
    options: tuple[str, ...]
    """Of ``remit hook``, after ``--event``."""
    wait: int = 0
    """Seconds that a held call waits for a person."""

    def text(self, host: str, event: str) -> str:
        """The command for a POSIX shell: JSON on standard output, or exit code 2 and a reason.

        It refuses by itself when Remit is not there, crashes, or prints anything else; except for
        what the user says, where there is nothing to refuse.
        """
        words = [*self.program, "hook", host, "--event", event, *self.options]
        last = "exit 0" if EVENTS[host][event] == PROMPT else f"echo '{_FAILED}' >&2; exit 2"
        return (
            f"o=$({shlex.join(words)}) && case $o in '{{'*'}}') printf '%s' \"$o\"; exit 0;; esac; "
            f"{last}"
        )


class HookFile(Struct, frozen=True):
    """The file of a host that holds its hooks."""

    host: HookHost
    path: Path

    @property
    def backup(self) -> Path:
        """Where it is kept as it was; an empty file where there was none."""
        return self.path.with_name(f".{self.path.name}.before-remit-hooks")

    @property
    def written(self) -> Path:
        """Where it is kept as it was written, to see whether it was changed since."""
        return self.path.with_name(f".{self.path.name}.by-remit-hooks")

    def text(self) -> str:
        """Its text; empty where it is not there.

        Raises:
            ConfigError: it cannot be read.
        """
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.path}: cannot be read: {error}") from error

    def install(self, command: HookCommand, parse: Parse) -> None:
        """Write the hooks in, instead of any that Remit wrote before.

        Raises:
            ConfigError: the file cannot be read or understood. It stays as it is.
        """
        before = self.text()
        plain = before if self._untouched(before) is None else self._untouched(before) or ""
        if self.host.form == "plugin":
            after = _plugin(self.host, command)
        else:
            settings = without_hooks(_settings(self.path, plain, parse))
            after = json.dumps(with_hooks(self.host, settings, command), indent=2) + "\n"
        if after == before:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.backup.exists():
            self._replace(self.backup, before)
        self._replace(self.written, after)
        self._replace(self.path, after)

    def uninstall(self, parse: Parse) -> None:
        """Take the hooks out.

        Raises:
            ConfigError: the file cannot be read or understood. It stays as it is.
        """
        text = self.text()
        restored = self._untouched(text)
        if restored is None and self.host.form != "plugin" and text:
            settings = _settings(self.path, text, parse)
            left = without_hooks(settings)
            restored = text if left == settings else json.dumps(left, indent=2) + "\n"
        if not restored:
            self.path.unlink(missing_ok=True)
        elif restored != text:
            self._replace(self.path, restored)
        for kept in (self.backup, self.written):
            kept.unlink(missing_ok=True)

    def commands(self, parse: Parse) -> Mapping[str, str]:
        """The commands that Remit wrote into it, by event.

        Raises:
            ConfigError: the file cannot be read or understood.
        """
        if self.host.form == "plugin":
            text = self.text()
            found = re.search(r"^const COMMANDS = (\{.*\})$", text, re.MULTILINE)
            return {} if found is None else dict(json.loads(found[1]))
        hooks = self.settings(parse).get("hooks", {})
        return {
            event: command
            for event, entries in hooks.items()
            for command in map(_command, _entries(entries))
            if command is not None
        }

    def settings(self, parse: Parse) -> dict[str, Any]:
        """What is in it, where it is JSON.

        Raises:
            ConfigError: the file cannot be read or understood.
        """
        return _settings(self.path, self.text(), parse)

    def _untouched(self, text: str) -> str | None:
        """The text before Remit, where the file is as Remit wrote it; else None."""
        if not self.written.exists() or not self.backup.exists():
            return None
        if self.written.read_text(encoding="utf-8") != text:
            return None
        return self.backup.read_text(encoding="utf-8")

    def _replace(self, path: Path, text: str) -> None:
        mode = self.path.stat().st_mode & 0o777 if self.path.exists() else 0o600
        new = path.with_name(f"{path.name}.new")
        new.write_text(text, encoding="utf-8")
        new.chmod(mode)
        os.replace(new, path)


def with_hooks(host: HookHost, settings: dict[str, Any], command: HookCommand) -> dict[str, Any]:
    """A host's settings with Remit's hooks behind those that are there."""
    hooks = dict(settings.get("hooks", {}))
    for event, what in EVENTS[host.name].items():
        entry = _entry(host, event, command)
        if host.form == "groups":
            group: dict[str, Any] = {"hooks": [entry]}
            if what != PROMPT:
                group = {"matcher": host.matcher, **group}
            hooks[event] = [*hooks.get(event, []), group]
        else:
            hooks[event] = [*hooks.get(event, []), entry]
    head = {"version": 1} if host.form == "list" else {}
    return {**head, **settings, "hooks": hooks}


def _entry(host: HookHost, event: str, command: HookCommand) -> dict[str, Any]:
    text, patience = command.text(host.name, event), (command.wait + SPARE) * host.seconds
    if host.name == "copilot":
        return {"type": "command", "bash": text, "timeoutSec": patience}
    if host.name == "cursor":
        closed = EVENTS[host.name][event] != PROMPT
        return {"command": text, "timeout": patience, "failClosed": closed}
    entry: dict[str, Any] = {"type": "command", "command": text, "timeout": patience}
    if host.name == "gemini":
        entry["name"] = "remit"
    if host.name == "claude-code" and EVENTS[host.name][event] == BEFORE:
        entry["onFailure"] = "block"
    return entry


def without_hooks(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A host's settings without Remit's hooks."""
    hooks: dict[str, Any] = {}
    for event, entries in settings.get("hooks", {}).items():
        left = entries
        if isinstance(entries, list):
            left = [kept for each in entries if (kept := _left_of(each)) is not None]
        if left or not entries:
            hooks[event] = left
    rest = {name: value for name, value in settings.items() if name != "hooks"}
    return {**rest, "hooks": hooks} if hooks else rest


def is_own(entry: Any) -> bool:
    """Whether a hook is Remit's."""
    return _command(entry) is not None


def _left_of(entry: Any) -> Any:
    """An entry or a group without what is Remit's; None where nothing is left of it."""
    if _command(entry) is not None:
        return None
    if isinstance(entry, dict) and isinstance(entry.get("hooks"), list) and entry["hooks"]:
        kept = [each for each in entry["hooks"] if _command(each) is None]
        return {**entry, "hooks": kept} if kept else None
    return entry


def _entries(entries: Any) -> list[Any]:
    found: list[Any] = []
    for each in entries if isinstance(entries, list) else []:
        inside = each.get("hooks") if isinstance(each, dict) else None
        found += inside if isinstance(inside, list) else [each]
    return found


def _command(entry: Any) -> str | None:
    """The command of an entry that is Remit's."""
    if not isinstance(entry, dict):
        return None
    text = entry.get("command", entry.get("bash"))
    return text if isinstance(text, str) and _OURS.search(text) else None


def _settings(path: Path, text: str, parse: Parse) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        settings = parse(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}; it was left as it is") from error
    if not isinstance(settings, dict) or not isinstance(settings.get("hooks", {}), dict):
        raise ConfigError(f"{path}: its hooks are no table; it was left as it is")
    return settings


def _plugin(host: HookHost, command: HookCommand) -> str:
    """The module that OpenCode loads."""
    text = (resources.files("remit") / "hooks" / "opencode.js").read_text(encoding="utf-8")
    commands = {event: command.text(host.name, event) for event in EVENTS[host.name]}
    patience = (command.wait + SPARE) * 1000
    return text.replace("__COMMANDS__", json.dumps(commands)).replace("__PATIENCE__", str(patience))
