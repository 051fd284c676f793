"""Calls made up from a tool's declaration: what an attacker wants in every place that it has.

What a condition reads and nobody declared is filled in too: a rule that only stops a call because
an argument is missing would look like protection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from remit.model import Does
from remit.policy.catalogue import Tool
from remit.policy.rules import Rule
from remit.policy.syntax import Member, Presence, walk
from remit.policy.syntax import path as syntax_path

ADDRESS = "mallory@attacker.example"
LINK = "https://attacker.example/drop?d=1"
ACCOUNT = "DE89370400440532013000"
MARK = "attacker-value-7261"
"""In every text that the attacker writes."""

_BY_TYPE: Mapping[str, Any] = {
    "int": 7261,
    "number": 7261,
    "integer": 7261,
    "bool": True,
    "boolean": True,
    "list": [ADDRESS],
    "array": [ADDRESS],
    "object": {"value": MARK},
    "sql": "select 7261",
    "shell": f"echo {MARK}",
    "url": LINK,
    "path": f"{MARK}.txt",
    "email": ADDRESS,
    "json": f'{{"value": "{MARK}"}}',
}
_BY_NAME = (
    (re.compile(r"mail|recipient|^to$|^cc$|^bcc$|attendee|participant|invite"), ADDRESS),
    (re.compile(r"url|link|href|uri|endpoint|webhook"), LINK),
    (re.compile(r"iban|account|payee|wallet"), ACCOUNT),
    (re.compile(r"sql|^query$|statement"), "select 7261"),
    (re.compile(r"command|^cmd$|shell|script"), f"echo {MARK}"),
    (re.compile(r"path|file|folder|directory"), f"{MARK}.txt"),
    (re.compile(r"amount|price|limit|count|quantity|number|^n$"), 7261),
)
_DESTRUCTIVE: Mapping[str, Any] = {"sql": "drop table customers", "shell": "rm -rf build"}


def hostile(tool: Tool, rules: Iterable[Rule]) -> dict[str, Any]:
    """Arguments of a call in which everything is the attacker's.

    Args:
        tool: what is declared of it.
        rules: those that may be evaluated on its calls.
    """
    known = dict(tool.known_arguments or {})
    for path in (*tool.sends_to, *tool.sends_what, *tool.controls):
        known.setdefault(_first(path), "")
    if tool.known_arguments is None:
        for name in _looked_at(rules):
            known.setdefault(name, "")
    destructive = Does.READ not in tool.does
    lists = {_first(path) for path in tool.sends_to if path.endswith(".*")}
    values = {name: _value(name, kind, destructive) for name, kind in known.items()}
    return {name: [value] if name in lists else value for name, value in values.items()}


def _looked_at(rules: Iterable[Rule]) -> list[str]:
    """Arguments that conditions read without asking first whether they are there, sorted."""
    read: set[str] = set()
    optional: set[str] = set()
    for rule in rules:
        if rule.condition is None:
            continue
        for node in walk(rule.condition.node):
            if isinstance(node, Presence) and syntax_path(node.operand) == ("args",):
                optional.add(node.name)
            elif isinstance(node, Member) and syntax_path(node.operand) == ("args",):
                read.add(node.name)
    return sorted(read - optional)


def _value(name: str, kind: str, destructive: bool) -> Any:
    plain = kind.removesuffix("?").partition(":")[0]
    if destructive and plain in _DESTRUCTIVE:
        return _DESTRUCTIVE[plain]
    if plain in _BY_TYPE:
        return _BY_TYPE[plain]
    for pattern, value in _BY_NAME:
        if pattern.search(name.casefold()):
            return value if plain != "string" else str(value)
    return f"{MARK} {name}"


def _first(path: str) -> str:
    """The argument that a path such as ``args.to.*`` begins in."""
    return path.removeprefix("args.").partition(".")[0]
