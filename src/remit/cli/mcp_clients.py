"""Where MCP clients keep the list of their servers, and how an entry of it is changed in place."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from remit.cli import jsonc
from remit.errors import ConfigError

Entry = Mapping[str, Any]
Change = Callable[[str, Entry], "tuple[str, list[str]] | None"]
"""Takes an entry's name and the entry; gives command and arguments to write, None: as it is."""


class ClientFile(Struct, frozen=True):
    """One file with servers of one client."""

    client: str
    path: Path
    key: str
    """The member that holds the servers."""

    @property
    def backup(self) -> Path:
        """Where the file is kept as it was."""
        return self.path.with_name(f"{self.path.name}.before-remit")

    @property
    def installed(self) -> Path:
        """Where the file is kept as it was written, to see whether it was changed since."""
        return self.path.with_name(f"{self.path.name}.by-remit")


def client_files(home: Path, project: Path) -> dict[str, tuple[ClientFile, ...]]:
    """The files of every known client, below a home and a project folder."""
    support = _support(home)

    def files(client: str, key: str, *paths: Path) -> tuple[ClientFile, ...]:
        return tuple(ClientFile(client, path, key) for path in paths)

    desktop = support / "Claude" / "claude_desktop_config.json"
    return {
        "claude-code": files(
            "claude-code", "mcpServers", home / ".claude.json", project / ".mcp.json"
        ),
        "claude-desktop": files("claude-desktop", "mcpServers", desktop),
        "cursor": files(
            "cursor", "mcpServers", home / ".cursor/mcp.json", project / ".cursor/mcp.json"
        ),
        "vscode": files(
            "vscode", "servers", support / "Code/User/mcp.json", project / ".vscode/mcp.json"
        ),
        "windsurf": files("windsurf", "mcpServers", home / ".codeium/windsurf/mcp_config.json"),
        "codex": files("codex", "mcp_servers", home / ".codex/config.toml"),
        "gemini": files(
            "gemini",
            "mcpServers",
            home / ".gemini/settings.json",
            project / ".gemini/settings.json",
        ),
    }


def _support(home: Path) -> Path:
    if sys.platform == "darwin":
        return home / "Library" / "Application Support"
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming")
    return home / ".config"


def servers_of(file: ClientFile) -> dict[str, Entry]:
    """The servers in a file, by name; those that are started by a command have ``command``.

    Raises:
        ConfigError: it cannot be read or understood.
    """
    value, _ = _parsed(file, read_text(file.path))
    found = value.get(file.key, {}) if isinstance(value, dict) else None
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
        raise ConfigError(f"{file.path}: {file.key} is no table of servers")
    for name, entry in found.items():
        arguments = entry.get("args", [])
        fits = isinstance(entry.get("command", ""), str) and isinstance(arguments, list)
        if not fits or not all(isinstance(each, str) for each in arguments):
            raise ConfigError(f"{file.path}: the command of {name!r} is not text with a list")
    return found


def read_text(path: Path) -> str:
    """The text of a file, line ends as they are.

    Raises:
        ConfigError: it cannot be read, or is no UTF-8.
    """
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def changed(file: ClientFile, text: str, change: Change) -> str:
    """The text with the command of every entry that ``change`` changes, all else as it was.

    Raises:
        ConfigError: it cannot be understood, or cannot be changed without changing more.
    """
    value, spans = _parsed(file, text)
    wanted = json.loads(json.dumps(value, default=str))
    edits: list[tuple[int, int, str]] = []
    for name, entry in value.get(file.key, {}).items():
        new = change(name, entry) if "command" in entry else None
        if new is None:
            continue
        command, arguments = new
        wanted[file.key][name] |= {"command": command, "args": arguments}
        if (file.key, name, "command") not in spans:
            raise ConfigError(f"{file.path}: give {name!r} a table of its own: {_OWN_TABLE}")
        start, end = spans[file.key, name, "command"]
        if (file.key, name, "args") in spans:
            edits.append((start, end, _quoted(command)))
            edits.append((*spans[file.key, name, "args"], _quoted(arguments)))
        else:
            more = "args = " if file.path.suffix == ".toml" else '"args": '
            between = "\n" if file.path.suffix == ".toml" else ", "
            edits.append((start, end, f"{_quoted(command)}{between}{more}{_quoted(arguments)}"))
    for start, end, written in sorted(edits, reverse=True):
        text = text[:start] + written + text[end:]
    if json.loads(json.dumps(_parsed(file, text)[0], default=str)) != wanted:
        raise ConfigError(f"{file.path}: it is written in a way that cannot be changed in place")
    return text


_OWN_TABLE = "[mcp_servers.NAME], with command and args in it"


def _quoted(value: str | list[str]) -> str:
    """A text or a list of texts, in a form that JSON and TOML share."""
    return json.dumps(value).replace("\\/", "/")


def _parsed(file: ClientFile, text: str) -> tuple[Any, jsonc.Spans]:
    try:
        if file.path.suffix == ".toml":
            return tomllib.loads(text), _toml_spans(file.key, text)
        value, spans = jsonc.parse(text) if text.strip() else ({}, {})
    except (tomllib.TOMLDecodeError, ConfigError, RecursionError) as error:
        raise ConfigError(f"{file.path}: {error}; it was left as it is") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{file.path}: it holds no object; it was left as it is")
    return value, spans


_HEADER = re.compile(r"[ \t]*\[\s*([^\[\]]+?)\s*\][ \t]*(?:#.*)?$")
_KEY = re.compile(r"[ \t]*(command|args)[ \t]*=[ \t]*")


def _toml_spans(key: str, text: str) -> jsonc.Spans:
    """Where ``command`` and ``args`` of servers stand that have a table of their own."""
    spans: jsonc.Spans = {}
    name: str | None = None
    at = 0
    lines = text.splitlines(keepends=True)
    for index, line in enumerate(lines):
        header, member = _HEADER.match(line.rstrip("\r\n")), _KEY.match(line)
        if header is not None:
            name = _server_name(key, header.group(1))
        elif member is not None and name is not None:
            start = at + member.end()
            end = _end_of_value(text, start, lines[index:])
            spans[key, name, member.group(1)] = start, end
        at += len(line)
    return spans


def _server_name(key: str, header: str) -> str | None:
    try:
        table = tomllib.loads(f"[{header}]").get(key, {})
    except tomllib.TOMLDecodeError:
        return None
    [name] = table if len(table) == 1 else [None]
    return name if name is not None and table[name] == {} else None


def _end_of_value(text: str, start: int, lines: list[str]) -> int:
    """The end of a TOML value: the shortest run of lines that is one, blanks and comment cut."""
    end = text.rfind("\n", 0, start) + 1
    for line in lines:
        end += len(line)
        for stop in (end, *(start + m.start() for m in re.finditer(r"#", text[start:end]))):
            written = text[start:stop].rstrip()
            try:
                tomllib.loads(f"x = {written}")
            except tomllib.TOMLDecodeError:
                continue
            bare = re.sub(r"[ \t]+#[^\"'\n]*$", "", written)
            return start + len(bare)
    raise ConfigError("a value has no end")
