"""Checked conditions as Python expressions: what the generated decision functions are made of.

The common cases (a string compared with a literal, a number with a bound, a role in a list) are
decided inline after one test of the type; everything else calls the same functions as the
reference evaluator, with the same offsets. Local variables that the generated function must have:
``args``, ``context``, ``agent``, ``user``, ``session``, ``tool``, ``result``, ``outcome``, ``now``,
``findings`` and ``resolved``, as ``remit.policy.evaluate.Scope`` describes them. No I/O.

Generated code binds values on the way with ``:=``; loops become lambdas, because ``:=`` may not
stand in the iterable of a comprehension.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

from remit import text
from remit.policy import comparison, inline, operations, origins
from remit.policy import python as py
from remit.policy.evaluate import compiled, is_record, load_reader, loop_limit
from remit.policy.expressions import label_name
from remit.policy.functions import READERS
from remit.policy.origins import ORIGINS
from remit.policy.python import Bindings
from remit.policy.signatures import constant_text
from remit.policy.syntax import (
    Binary,
    Choice,
    Comprehension,
    Constant,
    FunctionCall,
    Index,
    ListDisplay,
    Logic,
    MapDisplay,
    Member,
    MethodCall,
    Node,
    Presence,
    Unary,
    Variable,
    root,
)
from remit.policy.types import BOOL, INT, STRING, STRINGS, VARIABLES


def lower(node: Node, *, restricts: bool, bindings: Bindings) -> ast.expr:
    """Return a Python expression that gives the bool that ``evaluate`` gives, and raises alike.

    ``node`` has been checked without a fault. ``restricts``: whether the rule denies, asks or
    defers rather than allows. Every call must get the same ``bindings`` as the function that the
    expressions go into.
    """
    return _Lowering(bindings, loop_limit(node)).truth(node, 1 if restricts else -1)


@dataclass(frozen=True, slots=True)
class _Value:
    """A lowered expression and what is known of what it gives."""

    code: ast.expr
    kind: str | None = None
    """``bool``, ``int``, ``string`` or ``strings`` where that is certain."""
    absent: ast.expr | None = None
    """What raises if the expression gives ``ABSENT``; None if it never does."""


_TRUSTED = {id(BOOL): "bool", id(INT): "int", id(STRING): "string", id(STRINGS): "strings"}
_UNKNOWN = object()

_NS_SECOND = 1_000_000_000
_NS_MINUTE = 60 * _NS_SECOND
_NS_HOUR = 60 * _NS_MINUTE
_NS_DAY = 24 * _NS_HOUR


class _Lowering:
    def __init__(self, bindings: Bindings, limit: int) -> None:
        self._bindings = bindings
        self._limit = py.constant(limit)
        self._most = limit
        self._elements: dict[str, str] = {}

    # Values

    def truth(self, node: Node, polarity: int) -> ast.expr:
        """An expression that gives a bool or raises."""
        value = self.value(node, polarity)
        if value.kind == "bool":
            return value.code
        first, again = self._hold(value.code)
        is_bool = py.either(
            py.compare(first, "is", py.constant(True)), py.compare(again, "is", py.constant(False))
        )
        refuse = self._call(comparison.not_bool, self._sure(value, again), node.offset)
        return py.choose(is_bool, again, refuse)

    def plain(self, node: Node, polarity: int = 0) -> ast.expr:
        """An expression that gives the value or raises."""
        return self._certain(self.value(node, polarity))

    def _certain(self, value: _Value) -> ast.expr:
        if value.absent is None:
            return value.code
        first, again = self._hold(value.code)
        there = py.compare(first, "is not", self._bindings.bind(operations.ABSENT))
        return py.choose(there, again, value.absent)

    def value(self, node: Node, polarity: int) -> _Value:
        """An expression that gives the value, ``ABSENT`` or raises."""
        known = self._known(node)
        if known is not _UNKNOWN:
            return self._constant(known)
        match node:
            case Variable():
                return self._variable(node)
            case Member():
                return self._member(node)
            case Presence():
                return self._presence(node, polarity > 0)
            case Index():
                return self._index(node)
            case Unary():
                return self._unary(node, polarity)
            case Binary():
                return self._binary(node, polarity)
            case Logic():
                parts = [self.truth(operand, polarity) for operand in node.operands]
                return _Value((py.both if node.operator == "&&" else py.either)(*parts), "bool")
            case Choice():
                return self._choice(node, polarity)
        return self._compound(node, polarity)

    def _compound(self, node: Node, polarity: int) -> _Value:
        match node:
            case FunctionCall():
                return self._function(node)
            case MethodCall():
                return self._method(node, polarity)
            case Comprehension():
                return self._comprehension(node, polarity)
            case ListDisplay():
                return _Value(ast.List([self.plain(item) for item in node.items], ast.Load()))
        entries = cast(MapDisplay, node).entries
        keys = [py.constant(cast(Constant, key).value) for key, _ in entries]
        return _Value(ast.Dict(list(keys), [self.plain(entry) for _, entry in entries]))

    def _known(self, node: Node) -> Any:
        """The value of a node that is known now, or ``_UNKNOWN``."""
        constants = self._bindings.constants
        match node:
            case Constant():
                return node.value
            case Variable() if not self._is_variable(node.name):
                return constants[node.name]
            case ListDisplay():
                items = [self._known(item) for item in node.items]
                return _UNKNOWN if _UNKNOWN in items else items
            case Binary(operator="+"):
                joined = constant_text(node, constants)
                return _UNKNOWN if joined is None else joined
        return _UNKNOWN

    def _is_variable(self, name: str) -> bool:
        return name in self._elements or name in VARIABLES or name == "args"

    def _constant(self, value: Any) -> _Value:
        if value is None or isinstance(value, bool | int | float | str):
            kind = {bool: "bool", int: "int", str: "string"}.get(type(value))
            return _Value(py.constant(value), kind)
        return _Value(self._bindings.bind(value))

    def _hold(self, code: ast.expr) -> tuple[ast.expr, ast.expr]:
        """The expression, evaluated once and given a name; and that name, for every later use."""
        if isinstance(code, ast.Name | ast.Constant):
            return code, code
        temporary = self._bindings.fresh()
        return py.assign(temporary, code), py.name(temporary)

    def _sure(self, value: _Value, held: ast.expr) -> ast.expr:
        """``held``, which holds ``value``, once it is certain that it is there."""
        if value.absent is None:
            return held
        there = py.compare(held, "is not", self._bindings.bind(operations.ABSENT))
        return py.choose(there, held, value.absent)

    def _call(
        self, function: Callable[..., Any], *arguments: ast.expr | bool | int | str
    ) -> ast.expr:
        code = [a if isinstance(a, ast.expr) else py.constant(a) for a in arguments]
        return py.call(self._bindings.bind(function), *code)

    def _has_type(self, first: ast.expr, kind: type) -> ast.expr:
        return inline.has_type(self._bindings, first, kind)

    # Names and fields

    def _variable(self, node: Variable) -> _Value:
        if node.name in self._elements:
            return _Value(py.name(self._elements[node.name]))
        code = self._bindings.variable(node.name)
        if node.name == "findings":
            return _Value(self._call(operations.finding_maps, code))
        return _Value(code)

    def _member(self, node: Member) -> _Value:
        if is_record(node.operand):
            return self._field(node)
        fact = root(node) == "context"
        missing = self._call(operations.absent, node.name, fact, node.at)
        get = (py.constant(node.name), self._bindings.bind(operations.ABSENT))
        if self._is_object(node.operand):
            code = py.method(self._bindings.variable(node.operand.name), "get", *get)
            return _Value(code, absent=missing)
        operand = self.value(node.operand, 0)
        first, again = self._hold(operand.code)
        slow = self._call(operations.member, self._sure(operand, again), node.name, fact, node.at)
        code = py.choose(self._has_type(first, dict), py.method(again, "get", *get), slow)
        return _Value(code, absent=missing)

    def _presence(self, node: Presence, wide: bool) -> _Value:
        if is_record(node.operand):
            return self._field_presence(node)
        operand = self.value(node.operand, 0)
        first, again = self._hold(operand.code)
        there = py.compare(py.constant(node.name), "in", again)
        if wide:
            alike = self._call(operations.present, again, node.name, True, node.at)
            there = py.either(there, alike)
        sure = self._sure(operand, again)
        slow = self._call(operations.present, sure, node.name, wide, node.at)
        return _Value(py.choose(self._has_type(first, dict), there, slow), "bool")

    def _is_object(self, node: Node) -> TypeGuard[Variable]:
        """Whether ``node`` is ``args`` or ``context``, which are maps for certain."""
        return isinstance(node, Variable) and node.name in ("args", "context")

    def _index(self, node: Index) -> _Value:
        operand, index = self.plain(node.operand), self.plain(node.index)
        fact = root(node) == "context"
        return _Value(self._call(operations.element, operand, index, fact, node.offset))

    def _field(self, node: Member) -> _Value:
        operand = node.operand
        if not isinstance(operand, Variable):
            return _Value(py.attribute(self._record(operand), node.name))
        fields = VARIABLES[operand.name].fields
        assert fields is not None, "a record"
        kind = _TRUSTED.get(id(fields[node.name].type))
        if operand.name == "now":
            return _Value(self._time(node.name), kind)
        return _Value(py.attribute(self._record(operand), node.name), kind)

    def _record(self, node: Node) -> ast.expr:
        if isinstance(node, FunctionCall):
            return self._read(node)
        name = cast(Variable, node).name
        code = self._bindings.variable(name)
        if name != "user":
            return code
        known = py.compare(code, "is not", py.constant(None))
        return py.choose(known, code, self._call(operations.no_user, node.offset))

    def _field_presence(self, node: Presence) -> _Value:
        if isinstance(node.operand, Variable) and node.operand.name == "now":
            return _Value(py.constant(True), "bool")
        record = self._record(node.operand)
        if root(node.operand) == "user":
            record = self._bindings.variable("user")
        there = py.compare(py.attribute(record, node.name), "is not", py.constant(None))
        if root(node.operand) == "user":
            there = py.both(py.compare(record, "is not", py.constant(None)), there)
        return _Value(there, "bool")

    def _time(self, field: str) -> ast.expr:
        """A field of ``now``; the cheap ones by arithmetic on nanoseconds since 1970."""
        now = self._bindings.variable("now")
        units = {"epoch": (_NS_SECOND, 0), "minute": (_NS_MINUTE, 60), "hour": (_NS_HOUR, 24)}
        if field in units:
            unit, cycle = units[field]
            code: ast.expr = ast.BinOp(now, ast.FloorDiv(), py.constant(unit))
            return ast.BinOp(code, ast.Mod(), py.constant(cycle)) if cycle else code
        return py.attribute(self._call(operations.moment, now), field)

    # Operators

    def _unary(self, node: Unary, polarity: int) -> _Value:
        if node.operator == "!":
            return _Value(py.negate(self.truth(node.operand, -polarity)), "bool")
        return _Value(self._call(operations.negated, self.plain(node.operand), node.offset))

    def _choice(self, node: Choice, polarity: int) -> _Value:
        chosen, otherwise = self.value(node.chosen, polarity), self.value(node.otherwise, polarity)
        kind = chosen.kind if chosen.kind == otherwise.kind else None
        parts = self._certain(chosen), self._certain(otherwise)
        return _Value(py.choose(self.truth(node.condition, 0), *parts), kind)

    def _binary(self, node: Binary, polarity: int) -> _Value:
        match node.operator:
            case "==":
                return _Value(self._equal(node, polarity > 0), "bool")
            case "!=":
                return _Value(py.negate(self._equal(node, polarity < 0)), "bool")
            case "in":
                return _Value(self._in(node, polarity > 0), "bool")
            case "<" | "<=" | ">" | ">=":
                return _Value(self._ordered(node), "bool")
        left, right = self.plain(node.left), self.plain(node.right)
        return _Value(self._call(operations.arithmetic, left, right, node.operator, node.at))

    def _equal(self, node: Binary, wide: bool) -> ast.expr:
        for literal, other in ((node.right, node.left), (node.left, node.right)):
            known = self._known(literal)
            if known is None:
                value = self._known(other)
                if value is not _UNKNOWN:
                    return py.constant(value is None)
                return py.compare(self.plain(other), "is", py.constant(None))
            if isinstance(known, str | int):
                return self._equal_literal(node, known, other, wide)
        return self._call(
            comparison.equal, self.plain(node.left), self.plain(node.right), wide, node.at
        )

    def _equal_literal(self, node: Binary, known: str | int, other: Node, wide: bool) -> ast.expr:
        value = self.value(other, 0)
        first, again = self._hold(value.code)
        literal, sure = py.constant(known), self._sure(value, again)
        sides = (sure, literal) if other is node.left else (literal, sure)
        slow = self._call(comparison.equal, *sides, wide, node.at)
        if isinstance(known, str):
            fast = inline.same(self._bindings, again, known, wide)
        else:
            fast = py.compare(again, "==", literal)
        return py.choose(self._has_type(first, type(known)), fast, slow)

    def _ordered(self, node: Binary) -> ast.expr:
        for literal, other in ((node.right, node.left), (node.left, node.right)):
            known = self._known(literal)
            if isinstance(known, int | float) and not isinstance(known, bool):
                return self._ordered_literal(node, known, other)
        left, right = self.plain(node.left), self.plain(node.right)
        return self._call(comparison.ordered, left, right, node.operator, node.at)

    def _ordered_literal(self, node: Binary, known: float, other: Node) -> ast.expr:
        value = self.value(other, 0)
        first, again = self._hold(value.code)
        literal, left = py.constant(known), other is node.left
        fast = (again, node.operator, literal) if left else (literal, node.operator, again)
        sure = self._sure(value, again)
        sides = (sure, literal) if left else (literal, sure)
        slow = self._call(comparison.ordered, *sides, node.operator, node.at)
        # Doubles other than NaN, which alone differs from itself, compare inline too.
        quick = inline.is_number(self._bindings, first, again)
        return py.choose(quick, py.compare(*fast), slow)

    def _in(self, node: Binary, wide: bool) -> ast.expr:
        items = self._known(node.right)
        if (
            isinstance(items, list | tuple)
            and 0 < len(items) <= self._most
            and all(isinstance(item, str) for item in items)
        ):
            return self._in_strings(node, items, wide)
        container = self.value(node.right, 0)
        wanted = self._known(node.left)
        if container.kind == "strings" and isinstance(wanted, str):
            folded = py.constant(text.fold(wanted) if wide else None)
            return self._call(comparison.names, container.code, text.normal(wanted), folded)
        left, right = self.plain(node.left), self._certain(container)
        return self._call(comparison.is_in, left, right, wide, self._limit, node.at)

    def _in_strings(self, node: Binary, items: Sequence[str], wide: bool) -> ast.expr:
        """``value in ["a", "b"]``, by a look into a set."""
        bind = self._bindings.bind
        value = self.value(node.left, 0)
        first, again = self._hold(value.code)
        fast = inline.is_one_of(self._bindings, again, items, wide)
        sure = self._sure(value, again)
        slow = self._call(comparison.is_in, sure, bind(items), wide, self._limit, node.at)
        return py.choose(self._has_type(first, str), fast, slow)

    # Loops

    def _comprehension(self, node: Comprehension, polarity: int) -> _Value:
        over = self._call(comparison.elements, self.plain(node.over), self._limit, node.at)
        parameter = self._bindings.fresh()
        self._elements[node.variable] = parameter
        if node.macro == "map":
            body = self.plain(node.body)
        else:
            body = self.truth(node.body, polarity if node.macro in ("all", "exists") else 0)
        del self._elements[node.variable]
        loop = operations.LOOPS[node.macro]
        kind = None if node.macro in ("map", "filter") else "bool"
        return _Value(self._call(loop, over, py.function(parameter, body)), kind)

    # Calls

    def _function(self, node: FunctionCall) -> _Value:
        if node.name in READERS:
            return _Value(self._read(node))
        if node.name in ORIGINS:
            return _Value(self._origin(node), "bool")
        arguments = [self.plain(argument) for argument in node.arguments]
        if node.name == "found":
            known = self._bindings.variable("findings")
            return _Value(self._call(operations.found, known, *arguments), "bool")
        if node.name in operations.EXTREMES:
            numbers = arguments[0] if len(arguments) == 1 else py.sequence(arguments)
            return _Value(self._call(operations.EXTREMES[node.name], numbers, node.offset))
        kind = node.name if node.name in ("int", "string") else None
        function = operations.FUNCTIONS[node.name]
        kind = "int" if node.name == "size" else kind
        return _Value(self._call(function, *arguments, node.offset), kind)

    def _origin(self, node: FunctionCall) -> ast.expr:
        known = self._bindings.variable("provenance")
        if node.name == "asked_for":
            kind = label_name(node.arguments[0]) or ""
            return self._call(origins.asked_for, known, self._bindings.variable("tool"), kind)
        value = self.plain(node.arguments[0])
        if node.name in origins.LABELLED:
            label = label_name(node.arguments[1]) or ""
            session = self._bindings.variable("session")
            return self._call(origins.about, node.name, known, session, value, label)
        return self._call(origins.QUESTIONS[node.name], known, value)

    def _read(self, node: FunctionCall) -> ast.expr:
        reader = READERS[node.name]
        arguments = py.sequence([self.plain(argument) for argument in node.arguments])
        extra = py.sequence([self._bindings.variable("resolved")] if reader.resolved else [])
        function = self._bindings.bind(load_reader(node.name))
        return self._call(operations.read, function, arguments, extra, node.name, node.offset)

    def _method(self, node: MethodCall, polarity: int) -> _Value:
        if is_record(node.target):
            return self._record_method(node)
        wide = polarity > 0
        if node.name == "matches":
            pattern = constant_text(node.arguments[0], self._bindings.constants)
            assert pattern is not None, "checked at load"
            bound = self._bindings.bind(compiled(pattern))
            target = self.plain(node.target)
            return _Value(self._call(comparison.matches, target, bound, wide, node.at), "bool")
        if node.name in comparison.STRING_TESTS:
            return _Value(self._tested(node, wide), "bool")
        arguments = [self.plain(argument) for argument in (node.target, *node.arguments)]
        function = operations.METHODS[node.name]
        kind = {"size": "int", "split": None}.get(node.name, "string")
        return _Value(self._call(function, *arguments, node.at), kind)

    def _record_method(self, node: MethodCall) -> _Value:
        record = self._record(node.target)
        arguments = [self.plain(argument) for argument in node.arguments]
        if isinstance(node.target, Variable):
            function = operations.RECORD_METHODS[node.name]
            kind = "int" if node.name == "calls" else None
            return _Value(self._call(function, record, *arguments, node.at), kind)
        bound, given = py.attribute(record, node.name), py.sequence(arguments)
        extra = py.sequence([])
        return _Value(self._call(operations.read, bound, given, extra, node.name, node.at))

    def _tested(self, node: MethodCall, wide: bool) -> ast.expr:
        """``a.contains(b)`` and the like; inline for ASCII strings and a literal ``b``."""
        part = self._known(node.arguments[0])
        needle = comparison.wide_part(part) if isinstance(part, str) else None
        # Blanks at the ends of what is looked for need the full comparison.
        if not isinstance(part, str) or (wide and needle is not None and needle != needle.strip()):
            target, argument = self.plain(node.target), self.plain(node.arguments[0])
            return self._call(comparison.tested, target, argument, node.name, wide, node.at)
        value = self.value(node.target, 0)
        first, again = self._hold(value.code)
        fast = inline.tested(self._bindings, again, node.name, part, wide)
        sure = self._sure(value, again)
        slow = self._call(comparison.tested, sure, part, node.name, wide, node.at)
        quick = py.both(self._has_type(first, str), py.method(again, "isascii"))
        return py.choose(quick, fast, slow)


__all__ = ["Bindings", "lower"]
