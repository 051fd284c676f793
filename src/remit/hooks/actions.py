"""Tools of hosts as typed actions, under the same names for all hosts.

One policy covers every host: ``shell.run``, ``file.read``, ``file.write``, ``web.fetch`` and so on
(``docs/coding-agents.md`` lists them). An MCP tool is ``SERVER.TOOL``, as through the MCP gateway.
A tool that is not known is ``other.NAME``: nobody has declared it, so it counts as the worst.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from remit.hooks.commands import shell_action
from remit.hooks.payloads import HookQuestion
from remit.model import Action

_SHELLS = frozenset({"bash", "run_shell_command", "shell", "terminal", "powershell"})
_READS = frozenset({"read", "read_file", "view", "read_many_files", "notebookread", "view_image"})
_SEARCHES = frozenset(
    {"glob", "grep", "grep_search", "ls", "list_directory", "list", "codebase_search", "lsp"}
)
_WRITES = frozenset(
    {
        "write", "write_file", "edit", "multiedit", "replace", "create", "notebookedit", "delete",
        "strreplace", "str_replace_editor", "patch",
    }
)  # fmt: skip
_FETCHES = frozenset({"webfetch", "web_fetch"})
_WEB_SEARCHES = frozenset({"websearch", "web_search", "google_web_search"})
_CHILDREN = frozenset({"agent", "task", "invoke_agent", "spawn_agent"})
_NOTES = frozenset(
    {
        "todowrite", "todoread", "write_todos", "update_plan", "update_topic", "report_intent",
        "toolsearch", "exitplanmode", "enterplanmode", "enter_plan_mode", "exit_plan_mode",
        "askuserquestion", "ask_user", "request_user_input", "bashoutput", "read_bash", "list_bash",
        "taskoutput", "read_background_output", "list_background_processes", "read_agent",
        "list_agents", "listagents", "get_goal", "create_goal", "update_goal", "skill", "killshell",
        "taskstop", "stop_bash",
    }
)  # fmt: skip
_PATHS = ("file_path", "filePath", "path", "notebook_path", "dir_path", "absolute_path")
_LISTS = ("paths",)
_FILTERS = ("pattern", "glob", "include", "include_pattern")
_NEW_TEXTS = ("content", "new_string", "newString", "new_str", "file_text", "new_source")
_PATCHED = re.compile(r"^\*\*\* (?:Add File|Update File|Delete File|Move to): (.+)$", re.MULTILINE)
_PATCH_LINE = re.compile(r"^\*\*\* (?!Begin Patch$|End Patch$|End of File$)(.*)$", re.MULTILINE)
_PATCHER = frozenset({"apply_patch", "applypatch"})
_URL = re.compile(r"https?://[^\s\"'<>)\]]+", re.IGNORECASE)
_MCP = re.compile(r"mcp__(.+?)__(.+)")
_ODD = re.compile(r"[^a-z0-9_-]+")
_OWN = frozenset({"shell", "file", "web", "agent", "other", "mcp"})


class TypedAction(Struct, frozen=True, kw_only=True):
    """A host's tool call as policy sees it."""

    action: Action
    arguments: Mapping[str, Any]
    same: Mapping[str, str] = {}
    """Arguments that the host's tool has under another name, or the same: those that policy may
    rewrite."""


def typed(question: HookQuestion) -> TypedAction:
    """The action that a host's tool call is."""
    tool, given = question.tool, question.given
    server, name = question.server, question.server_tool
    found = _MCP.fullmatch(tool)
    if found is not None:
        server, name = found[1], found[2]
    if server and name:
        return _mcp(server, name, given)
    known = tool.lower()
    for names, make in _KINDS:
        if known in names:
            made = make(question)
            if made is not None:
                return made
    return TypedAction(action=Action(name=f"other.{tool}"), arguments=dict(given))


def _mcp(server: str, name: str, given: Mapping[str, Any]) -> TypedAction:
    """An MCP tool by the name that the gateway has for it; never by one of this module's."""
    plain = _ODD.sub("-", server.lower()).strip("-_")[:64]
    shown = f"mcp.{plain}.{name}" if plain in _OWN or not plain else f"{plain}.{name}"
    same = {each: each for each in given}
    return TypedAction(action=Action(name=shown, kind="mcp"), arguments=dict(given), same=same)


def _shell(question: HookQuestion) -> TypedAction | None:
    given = question.given
    if "command" not in given:
        return None
    folder = given.get("workdir") or given.get("dir_path") or given.get("cwd") or ""
    cwd = posixpath.join(question.cwd, folder) if isinstance(folder, str) else question.cwd
    name, arguments = shell_action(given["command"], posixpath.normpath(cwd))
    if _PATCHER & set(arguments.get("programs", ())):
        # Codex reads a patch out of such a command and applies it by itself.
        found = _patch(question) if len(arguments["programs"]) == 1 else None
        if found is not None:
            return found
        name, arguments = "shell.opaque", {"command": given["command"], "cwd": cwd}
    return TypedAction(
        action=Action(name=name, kind="shell"), arguments=arguments, same={"command": "command"}
    )


def _files(name: str) -> Callable[[HookQuestion], TypedAction | None]:
    def make(question: HookQuestion) -> TypedAction | None:
        given, cwd = question.given, question.cwd
        paths = [given[each] for each in _PATHS if given.get(each)]
        for each in _LISTS:
            listed = given.get(each)
            paths += listed if isinstance(listed, list) else [listed] if listed else []
        if not all(isinstance(path, str) for path in paths) or (
            not paths and name != "file.search"
        ):
            return None
        arguments: dict[str, Any] = {
            "paths": [posixpath.normpath(posixpath.join(cwd, path)) for path in paths or [cwd]]
        }
        texts = {each: given[each] for each in _NEW_TEXTS if each in given}
        if name == "file.write":
            arguments["content"] = "\n".join(map(str, texts.values()))
        elif name == "file.search":
            chosen = (str(given[each]) for each in _FILTERS if each in given)
            arguments |= {"pattern": str(given.get("pattern", "")), "filter": " ".join(chosen)}
        same = {"content": next(iter(texts))} if len(texts) == 1 else {}
        return TypedAction(action=Action(name=name), arguments=arguments, same=same)

    return make


def _patch(question: HookQuestion) -> TypedAction | None:
    """A patch of several files. One with a line that is not understood is of no known kind."""
    text = next((each for each in question.given.values() if isinstance(each, str)), "")
    paths = [path.strip() for path in _PATCHED.findall(text)]
    if not paths or len(_PATCH_LINE.findall(text)) != len(paths):
        return None
    absolute = [posixpath.normpath(posixpath.join(question.cwd, path)) for path in paths]
    arguments = {"paths": list(dict.fromkeys(absolute)), "content": text}
    return TypedAction(action=Action(name="file.write"), arguments=arguments)


def _fetch(question: HookQuestion) -> TypedAction | None:
    given = question.given
    url = given.get("url")
    urls = [url] if isinstance(url, str) else _URL.findall(str(given.get("prompt", "")))
    if not urls:
        return None
    same = {"prompt": "prompt"} if "prompt" in given else {}
    arguments = {"urls": urls, "prompt": str(given.get("prompt", ""))}
    return TypedAction(action=Action(name="web.fetch", kind="http"), arguments=arguments, same=same)


def _as_is(name: str) -> Callable[[HookQuestion], TypedAction | None]:
    def make(question: HookQuestion) -> TypedAction | None:
        same = {each: each for each in question.given}
        return TypedAction(action=Action(name=name), arguments=dict(question.given), same=same)

    return make


_KINDS: tuple[tuple[frozenset[str], Callable[[HookQuestion], TypedAction | None]], ...] = (
    (_SHELLS, _shell),
    (_READS, _files("file.read")),
    (_SEARCHES, _files("file.search")),
    (_WRITES, _files("file.write")),
    (frozenset({"apply_patch"}), _patch),
    (_FETCHES, _fetch),
    (_WEB_SEARCHES, _as_is("web.search")),
    (_CHILDREN, _as_is("agent.start")),
    (_NOTES, _as_is("agent.note")),
)
