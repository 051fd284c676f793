"""The published servers: for each a policy, and one call of each fate.

Every call names a tool and arguments. ``allowed`` passes, ``denied`` does not, ``held`` waits for
grace, and what ``redacted`` brings back has ``SECRET`` in it, which the agent must not see.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from installing import Peers

SECRET = "swordfish-4711"
NAMES = ("filesystem", "everything", "memory", "sequential-thinking", "git", "time", "fetch")


@dataclass(frozen=True)
class Call:
    """One call, and a part of what the server says to it."""

    tool: str
    arguments: dict[str, Any]
    answer: str = ""


@dataclass(frozen=True)
class Scenario:
    """A published server and what is done with it."""

    name: str
    command: list[str]
    rules: str
    """YAML rules by the server's name, ``S``."""
    allowed: Call
    denied: Call
    held: Call
    redacted: Call
    secret: str = SECRET

    @property
    def policy(self) -> str:
        """The whole document."""
        return _POLICY + self.rules.replace("S.", f"{self.name}.")


_POLICY = """\
remit: 1
default: deny
agents: {inventory-bot: {}}
people: {grace: {roles: [reviewers]}}
rules:
"""
_REDACT = """\
  - id: secrets-stay
    tools: 'S.*'
    on: result
    when: has(result.content) && result.content.exists(c, has(c.text) && c.text.contains("%s"))
    effect: allow
    obligations:
      - redact: [%s]
"""
_TEXT = "result.content.*.text"


def _rule(name: str, tools: str, effect: str, when: str = "") -> str:
    lines = [f"  - id: {name}", f"    tools: {tools}", f"    effect: {effect}"]
    lines += [f"    when: {when!r}"] if when else []
    lines += ["    approvers: [reviewers]"] if effect == "ask" else []
    return "\n".join(lines) + "\n"


def _rules(allowed: str, denied: str, held: str, redacted: str) -> str:
    """Rules for a server whose calls differ by tool."""
    return (
        _rule("allowed", f"[{allowed}]", "allow")
        + _rule("denied", denied, "deny")
        + _rule("held", held, "ask")
        + _REDACT % (SECRET, redacted)
    )


def filesystem(peers: Peers, data: Path, url: str) -> Scenario:
    (data / "notes.txt").write_text("buy milk")
    (data / "secret.txt").write_text(f"the word is {SECRET}")
    return Scenario(
        "filesystem",
        [*peers.npm_server("filesystem"), str(data)],
        _rules(
            "S.read_text_file",
            "S.write_file",
            "S.create_directory",
            f"{_TEXT}, result.structuredContent.content",
        ),
        Call("read_text_file", {"path": str(data / "notes.txt")}, "buy milk"),
        Call("write_file", {"path": str(data / "written"), "content": "x"}),
        Call("create_directory", {"path": str(data / "made")}, "created"),
        Call("read_text_file", {"path": str(data / "secret.txt")}),
    )


def everything(peers: Peers, data: Path, url: str) -> Scenario:
    return Scenario(
        "everything",
        [*peers.npm_server("everything"), "stdio"],
        _rules("S.echo", "S.get-env", "S.get-sum", _TEXT),
        Call("echo", {"message": "milk"}, "Echo: milk"),
        Call("get-env", {}),
        Call("get-sum", {"a": 2, "b": 3}, "5"),
        Call("echo", {"message": SECRET}),
    )


def memory(peers: Peers, data: Path, url: str) -> Scenario:
    entity = {"name": "Ada", "entityType": "person", "observations": [f"says {SECRET}"]}
    kept = '{"type":"entity","name":"Bob","entityType":"person","observations":["says %s"]}\n'
    seen = "result.structuredContent.entities.*.observations.*"
    (data / "memory.jsonl").write_text(kept % SECRET)
    return Scenario(
        "memory",
        [*peers.npm_server("memory")],
        _rules(
            "S.search_nodes, S.open_nodes",
            "S.delete_entities",
            "S.create_entities",
            f"{_TEXT}, {seen}",
        ),
        Call("search_nodes", {"query": "nobody of this name"}, "entities"),
        Call("delete_entities", {"entityNames": ["Bob"]}),
        Call("create_entities", {"entities": [{**entity, "observations": []}]}, "Ada"),
        Call("open_nodes", {"names": ["Bob"]}),
    )


def sequential_thinking(peers: Peers, data: Path, url: str) -> Scenario:
    def thought(number: int, **more: Any) -> dict[str, Any]:
        first = {"thought": "think", "thoughtNumber": number, "totalThoughts": 9}
        return {**first, "nextThoughtNeeded": False, **more}

    tool = "S.sequentialthinking"
    return Scenario(
        "sequential-thinking",
        peers.npm_server("sequential-thinking"),
        _rule("allowed", tool, "allow")
        + _rule("denied", tool, "deny", "args.thoughtNumber > 5")
        + _rule("held", tool, "ask", "args.thoughtNumber == 5")
        + _REDACT % (SECRET, f"{_TEXT}, result.structuredContent.branches.*"),
        Call("sequentialthinking", thought(1), "thoughtNumber"),
        Call("sequentialthinking", thought(6)),
        Call("sequentialthinking", thought(5), "thoughtNumber"),
        Call("sequentialthinking", thought(2, branchFromThought=1, branchId=SECRET)),
    )


def git(peers: Peers, data: Path, url: str) -> Scenario:
    author = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for who in ("AUTHOR", "COMMITTER"):
        author |= {f"GIT_{who}_NAME": "Ada", f"GIT_{who}_EMAIL": "ada@corp.example"}
    commit = ["commit", "-q", "--allow-empty", "-m", f"the word is {SECRET}"]
    for command in (["init", "-q"], commit):
        subprocess.run(["git", *command], cwd=data, env={**os.environ, **author}, check=True)
    (data / "new.txt").write_text("new")
    place = {"repo_path": str(data)}
    return Scenario(
        "git",
        [*peers.python_server("git"), "--repository", str(data)],
        _rules("S.git_status, S.git_log", "S.git_reset", "S.git_add", _TEXT),
        Call("git_status", place, "new.txt"),
        Call("git_reset", place),
        Call("git_add", {**place, "files": ["new.txt"]}, "staged"),
        Call("git_log", place),
    )


def time(peers: Peers, data: Path, url: str) -> Scenario:
    now = "S.get_current_time"
    convert = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "UTC"}
    return Scenario(
        "time",
        [*peers.python_server("time"), "--local-timezone", "UTC"],
        _rule("allowed", "[S.get_current_time, S.convert_time]", "allow")
        + _rule("denied", now, "deny", "args.timezone == 'Asia/Tokyo'")
        + _rule("held", "S.convert_time", "ask")
        + _REDACT % ("Antarctica/Troll", f"{_TEXT}, result.structuredContent.timezone"),
        Call("get_current_time", {"timezone": "UTC"}, "UTC"),
        Call("get_current_time", {"timezone": "Asia/Tokyo"}),
        Call("convert_time", convert, "12:00"),
        Call("get_current_time", {"timezone": "Antarctica/Troll"}),
        secret="Antarctica/Troll",
    )


def fetch(peers: Peers, data: Path, url: str) -> Scenario:
    """``url`` has the pages ``notes``, ``held`` and ``secret``."""
    tool = "S.fetch"
    return Scenario(
        "fetch",
        [*peers.python_server("fetch"), "--ignore-robots-txt", "--allow-private-ips"],
        _rule("allowed", tool, "allow", f"args.url.startsWith('{url}/')")
        + _rule("denied", tool, "deny", "url(args.url).host != '127.0.0.1'")
        + _rule("held", tool, "ask", "args.url.endsWith('/held')")
        + _REDACT % (SECRET, _TEXT),
        Call("fetch", {"url": f"{url}/notes"}, "buy milk"),
        Call("fetch", {"url": "http://evil.example/"}),
        Call("fetch", {"url": f"{url}/held"}, "held page"),
        Call("fetch", {"url": f"{url}/secret"}),
    )


SCENARIOS: dict[str, Callable[[Peers, Path, str], Scenario]] = dict(
    zip(NAMES, (filesystem, everything, memory, sequential_thinking, git, time, fetch), strict=True)
)
PAGES = {
    "/notes": "buy milk",
    "/held": "held page",
    "/secret": f"the word is {SECRET}",
}
