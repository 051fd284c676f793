"""The condition language as a tree: what the parser makes and everything else walks.

Nodes are frozen and compared by identity. Every node knows the text that it was written in and
its place there. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Node:
    """A part of an expression: ``source`` is the whole text, offset and width say which part."""

    source: str
    offset: int
    width: int
    height: int = 1
    """Levels of nodes from here down to the deepest, this one included."""

    @property
    def text(self) -> str:
        """This part as it was written."""
        return self.source[self.offset : self.offset + self.width]

    @property
    def end(self) -> int:
        """Offset of the first character behind it."""
        return self.offset + self.width


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Constant(Node):
    """A literal null, bool, int, double or string."""

    value: bool | int | float | str | None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Variable(Node):
    """A name: a variable, a constant from ``define:``, or an element in a loop."""

    name: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Member(Node):
    """``operand.name``; ``at`` is the offset of the name."""

    operand: Node
    name: str
    at: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Index(Node):
    """``operand[index]``."""

    operand: Node
    index: Node


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Presence(Node):
    """``has(operand.name)``; ``at`` is the offset of the name."""

    operand: Node
    name: str
    at: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Unary(Node):
    """``!operand`` or ``-operand``."""

    operator: Literal["!", "-"]
    operand: Node


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Binary(Node):
    """An arithmetic operator, a comparison or ``in``; ``at`` is the offset of the operator."""

    operator: str
    left: Node
    right: Node
    at: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Logic(Node):
    """``a && b && c`` or ``a || b || c``: two operands or more, read left to right."""

    operator: Literal["&&", "||"]
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Choice(Node):
    """``condition ? chosen : otherwise``."""

    condition: Node
    chosen: Node
    otherwise: Node


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ListDisplay(Node):
    """``[a, b]``."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MapDisplay(Node):
    """``{"key": value}``."""

    entries: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FunctionCall(Node):
    """``name(arguments)``."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MethodCall(Node):
    """``target.name(arguments)``; ``at`` is the offset of the name."""

    target: Node
    name: str
    arguments: tuple[Node, ...]
    at: int


Macro: TypeAlias = Literal["all", "exists", "exists_one", "filter", "map"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Comprehension(Node):
    """``over.macro(variable, body)``; ``at`` is the offset of the macro's name."""

    macro: Macro
    over: Node
    variable: str
    body: Node
    at: int


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below ``node``, in the order they are written."""
    match node:
        case Member() | Presence() | Unary():
            return (node.operand,)
        case Index():
            return (node.operand, node.index)
        case Binary():
            return (node.left, node.right)
        case Logic():
            return node.operands
        case Choice():
            return (node.condition, node.chosen, node.otherwise)
        case ListDisplay():
            return node.items
        case MapDisplay():
            return tuple(part for entry in node.entries for part in entry)
        case FunctionCall():
            return node.arguments
        case MethodCall():
            return (node.target, *node.arguments)
        case Comprehension():
            return (node.over, node.body)
    return ()


def walk(node: Node) -> Iterator[Node]:
    """Yield ``node`` and every node below it."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(reversed(children(current)))


def path(node: Node) -> tuple[str, ...] | None:
    """Return ``("args", "a", "b")`` for ``args.a.b`` or ``args["a"].b``, None for anything else."""
    match node:
        case Variable():
            return (node.name,)
        case Member():
            head = path(node.operand)
            return None if head is None else (*head, node.name)
        case Index(index=Constant(value=str() as key)):
            head = path(node.operand)
            return None if head is None else (*head, key)
    return None


def root(node: Node) -> str | None:
    """Return the variable that a chain of members and indexes starts from, if it is one."""
    while isinstance(node, Member | Index):
        node = node.operand
    return node.name if isinstance(node, Variable) else None


def loops(node: Node) -> int:
    """Return how deep loops over lists are nested in ``node``.

    The body of ``all`` and the like is one level; ``in`` on anything but a written list counts,
    because it walks a list too.
    """
    inner = max((loops(child) for child in children(node)), default=0)
    if isinstance(node, Comprehension):
        return max(loops(node.over), 1 + loops(node.body))
    if isinstance(node, Binary) and node.operator == "in":
        return inner + (not isinstance(node.right, ListDisplay))
    return inner
