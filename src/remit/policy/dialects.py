"""SQL dialects that tools declare, put into the conditions that read their arguments.

``arguments: {query: 'sql:postgres'}`` makes ``sql(args.query)`` in a rule on that tool mean
``sql(args.query, "postgres")``. A dialect that the condition names itself stays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from remit.policy.catalogue import Tool
from remit.policy.syntax import Constant, FunctionCall, Node, path

_PREFIX = "sql:"


def in_dialect(node: Node, tool: Tool) -> Node:
    """The condition as it is meant for ``tool``; the same node where no dialect is declared."""
    declared = {
        name: written.removesuffix("?").removeprefix(_PREFIX)
        for name, written in (tool.arguments or {}).items()
        if written.startswith(_PREFIX)
    }
    found: Node = _rewritten(node, declared) if declared else node
    return found


def _rewritten(part: Any, dialects: Mapping[str, str]) -> Any:
    if isinstance(part, tuple):
        return tuple(_rewritten(each, dialects) for each in part)
    if not isinstance(part, Node):
        return part
    match part:
        case FunctionCall(name="sql", arguments=[operand]):
            place = path(operand)
            if place is not None and place[0] == "args" and len(place) == 2:
                dialect = dialects.get(place[1])
                if dialect is not None:
                    return dataclasses.replace(part, arguments=(operand, _text(part, dialect)))
    fields = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    return dataclasses.replace(
        part, **{name: _rewritten(value, dialects) for name, value in fields.items()}
    )


def _text(near: Node, value: str) -> Constant:
    return Constant(source=near.source, offset=near.end, width=0, value=value)
