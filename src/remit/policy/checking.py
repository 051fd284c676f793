"""The type checker of the condition language: what can be known to be wrong is wrong at load.

Unknown names, fields, methods and functions, wrong arguments, comparisons that could never hold
and optional fields read without ``has()`` are faults with a place and a suggestion. No I/O.
"""

from __future__ import annotations

from typing import TypeAlias, cast

from remit.policy.origins import ORIGINS
from remit.policy.signatures import METHODS, Calls, Faults, suggestion, truth
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
    children,
    loops,
    path,
)
from remit.policy.tokens import ExpressionFault
from remit.policy.types import (
    BOOL,
    DOUBLE,
    DYN,
    INT,
    MAP,
    NUMBER,
    NUMERIC,
    RESULT_VARIABLES,
    STRING,
    VARIABLES,
    Environment,
    Field,
    Type,
    common,
    comparable,
    same_kind,
    type_of,
)

Path: TypeAlias = tuple[str, ...]
Paths: TypeAlias = frozenset[Path]
_NONE: Paths = frozenset()

MAX_LOOPS = 3


def check(
    node: Node, environment: Environment, faults: list[ExpressionFault] | None = None
) -> Type:
    """Return the type of ``node``; put every fault into ``faults``.

    Raises:
        ExpressionFault: the first fault, when no list is given for them.
    """
    found: list[ExpressionFault] = []
    checker = _Checker(environment, found)
    result = checker.value(node, _NONE)
    if loops(node) > MAX_LOOPS:
        message = f"loops over lists are nested more than {MAX_LOOPS} deep"
        Faults(found).at_node(node, message, "split the condition into several rules")
    found.sort(key=lambda fault: fault.offset)
    if faults is not None:
        faults += found
    elif found:
        raise found[0]
    return result


def check_condition(
    node: Node, environment: Environment, faults: list[ExpressionFault] | None = None
) -> None:
    """Check that ``node`` is a condition: true or false as far as can be known.

    Raises:
        ExpressionFault: the first fault, when no list is given for them.
    """
    found: list[ExpressionFault] = []
    result = check(node, environment, found)
    if not found and result.kind not in ("bool", "dyn"):
        message = f"a condition is true or false, this is {result}"
        found.append(ExpressionFault(node.offset, node.width, message, truth(node, result)))
    if faults is not None:
        faults += found
    elif found:
        raise found[0]


class _Checker:
    """One walk over one expression.

    ``safe`` carries the optional fields that are known to be there: ``a`` in ``has(a) && a == 1``.
    """

    def __init__(self, environment: Environment, faults: list[ExpressionFault]) -> None:
        self._environment = environment
        self._faults = Faults(faults)
        self._calls = Calls(environment, self._faults)
        self._elements: dict[str, Type] = {}

    def value(self, node: Node, safe: Paths) -> Type:
        """The type of a node that must be a plain value, not a record."""
        found = self.type(node, safe)
        if found.kind == "record":
            assert found.fields is not None
            example = f"{node.text}.{next(iter(found.fields))}"
            return self._faults.at_node(node, f"`{node.text}` has fields", f"write e.g. {example}")
        return found

    def type(self, node: Node, safe: Paths) -> Type:
        match node:
            case Constant():
                return type_of(node.value)
            case Variable():
                return self._variable(node)
            case Member():
                return self._member(node, safe)
            case Presence():
                return self._presence(node, safe)
            case Index():
                return self._index(node, safe)
            case Unary():
                return self._unary(node, safe)
            case Binary():
                return self._binary(node, safe)
            case Logic():
                return self._logic(node, safe)
        return self._compound(node, safe)

    def _compound(self, node: Node, safe: Paths) -> Type:
        match node:
            case Choice():
                return self._choice(node, safe)
            case FunctionCall():
                return self._function(node, safe)
            case MethodCall():
                return self._method(node, safe)
            case Comprehension():
                return self._comprehension(node, safe)
            case ListDisplay():
                return Type("list", common([self.value(item, safe) for item in node.items]))
        for _, entry in cast(MapDisplay, node).entries:
            self.value(entry, safe)
        return MAP

    # Names and fields

    def _variable(self, node: Variable) -> Type:
        environment, name = self._environment, node.name
        if name in self._elements:
            return self._elements[name]
        if name == "args":
            return environment.args
        if name in RESULT_VARIABLES and not environment.on_result:
            message = f"`{name}` is only known after the tool has run"
            return self._faults.at_node(node, message, "add `on: result` to the rule")
        if name in VARIABLES:
            return VARIABLES[name]
        if name in environment.constants:
            return type_of(environment.constants[name])
        known = ["args", *VARIABLES, *environment.constants, *self._elements]
        return self._faults.at_node(node, f"there is no variable `{name}`", suggestion(name, known))

    def _member(self, node: Member, safe: Paths) -> Type:
        operand = self.type(node.operand, safe)
        found = self._field(node, operand)
        if found is None:
            return DYN
        if found.optional and path(node) not in safe:
            route = node.text
            message = f"`{route}` may be missing"
            hint = f"write has({route}) && ..."
            return self._faults.at(node.at, len(node.name), message, hint)
        return found.type

    def _field(self, node: Member | Presence, operand: Type) -> Field | None:
        """What is known of a field; None when nothing is known or it is faulty."""
        if operand.kind == "dyn" or (operand.kind == "map" and operand.fields is None):
            return None
        if operand.fields is None:
            message = f"{operand} has no field `{node.name}`"
            methods = METHODS if operand.kind == "string" else ()
            hint = f"write .{node.name}(...)" if node.name in methods else None
            if node.name.lower() in ("length", "size", "len"):
                hint = f"write size({node.operand.text})"
            self._faults.at(node.at, len(node.name), message, hint)
            return None
        found = operand.fields.get(node.name)
        if found is None:
            message = f"`{node.operand.text}` has no field `{node.name}`"
            hint = suggestion(node.name, operand.fields)
            if node.name in (operand.methods or {}):
                hint = f"write {node.operand.text}.{node.name}(...)"
            self._faults.at(node.at, len(node.name), message, hint)
        return found

    def _presence(self, node: Presence, safe: Paths) -> Type:
        self._field(node, self.type(node.operand, safe))
        return BOOL

    def _index(self, node: Index, safe: Paths) -> Type:
        operand, index = self.type(node.operand, safe), self.value(node.index, safe)
        if operand.kind == "list":
            if index.kind == "double":
                return self._faults.at_node(node.index, "the elements of a list have whole numbers")
            message = "an element of a list is asked for by number"
            self._faults.expect(node.index, index, INT, message)
            return operand.element or DYN
        if operand.kind in ("map", "record") and operand.fields is not None:
            if isinstance(node.index, Constant) and isinstance(node.index.value, str):
                return self._known_key(node, operand, node.index.value, safe)
            return self._faults.at_node(
                node.index, "the name of a field is written out", 'write ["name"]'
            )
        if operand.kind == "map":
            self._faults.expect(node.index, index, STRING, "a field of a map is asked for by name")
        elif operand.kind != "dyn":
            return self._faults.at_node(node.operand, f"{operand} cannot be indexed")
        return DYN

    def _known_key(self, node: Index, operand: Type, key: str, safe: Paths) -> Type:
        assert operand.fields is not None
        found = operand.fields.get(key)
        if found is None or operand.kind == "record":
            message = f"`{node.operand.text}` has no field `{key}`"
            hint = f"write {node.operand.text}.{key}" if found else suggestion(key, operand.fields)
            return self._faults.at_node(node.index, message, hint)
        if found.optional and path(node) not in safe:
            hint = f'write "{key}" in {node.operand.text} && ...'
            return self._faults.at_node(node.index, f"`{node.text}` may be missing", hint)
        return found.type

    # Operators

    def _unary(self, node: Unary, safe: Paths) -> Type:
        operand = self.value(node.operand, safe)
        if node.operator == "!":
            self._faults.expect(node.operand, operand, BOOL, "`!` turns true and false around")
            return BOOL
        if not self._faults.expect(node.operand, operand, NUMBER, "`-` goes before a number"):
            return DYN
        return NUMBER if operand.kind == "dyn" else operand

    def _logic(self, node: Logic, safe: Paths) -> Type:
        for operand in node.operands:
            found = self.value(operand, safe)
            self._faults.expect(operand, found, BOOL, f"`{node.operator}` joins conditions")
            safe |= known_present(operand, node.operator == "&&")
        return BOOL

    def _choice(self, node: Choice, safe: Paths) -> Type:
        condition = self.value(node.condition, safe)
        self._faults.expect(node.condition, condition, BOOL, "`?` follows a condition")
        chosen = self.value(node.chosen, safe | known_present(node.condition, True))
        otherwise = self.value(node.otherwise, safe | known_present(node.condition, False))
        return common((chosen, otherwise))

    def _binary(self, node: Binary, safe: Paths) -> Type:
        left, right = self.value(node.left, safe), self.value(node.right, safe)
        match node.operator:
            case "==" | "!=":
                if not comparable(left, right):
                    self._incomparable(node, left, right)
                return BOOL
            case "in":
                self._in(node, left, right)
                return BOOL
            case "<" | "<=" | ">" | ">=":
                for side, found in ((node.left, left), (node.right, right)):
                    if found.kind not in ("dyn", "string", *NUMERIC):
                        self._faults.at_node(side, f"`{node.operator}` does not order {found}")
                        return BOOL
                if "dyn" not in (left.kind, right.kind) and not same_kind(left, right):
                    self._incomparable(node, left, right)
                return BOOL
        return self._arithmetic(node, left, right)

    def _incomparable(self, node: Binary, left: Type, right: Type) -> None:
        hint = None
        if "string" in (left.kind, right.kind) and {left.kind, right.kind} & NUMERIC:
            number = node.left if left.kind in NUMERIC else node.right
            text = node.right if number is node.left else node.left
            hint = f"write string({number.text}) or int({text.text})"
        elif left.kind == "list" and right.kind != "list":
            hint = f"write {node.right.text} in {node.left.text}"
        elif right.kind == "list" and left.kind != "list":
            hint = f"write {node.left.text} in {node.right.text}"
        self._faults.at_node(
            node, f"{left} and {right} cannot be compared by `{node.operator}`", hint
        )

    def _in(self, node: Binary, left: Type, right: Type) -> None:
        if right.kind == "list":
            if right.element is not None and not comparable(left, right.element):
                self._faults.at_node(node, f"{left} is never an element of {right}")
        elif right.kind == "map":
            self._faults.expect(node.left, left, STRING, "the keys of a map are strings")
        elif right.kind == "string":
            hint = f"write {node.right.text}.contains({node.left.text})"
            self._faults.at_node(node, "`in` looks into a list or a map, not into a string", hint)
        elif right.kind != "dyn":
            hint = f"write {node.left.text} == {node.right.text}"
            self._faults.at_node(node, f"`in` looks into a list or a map, not into {right}", hint)

    def _arithmetic(self, node: Binary, left: Type, right: Type) -> Type:
        sign, kinds = node.operator, {left.kind, right.kind} - {"dyn"}
        if sign == "+" and kinds in ({"string"}, {"list"}):
            return common((left, right)) if left.kind == right.kind else DYN
        if kinds - NUMERIC or (sign == "%" and "double" in kinds):
            hint = None
            if sign == "+" and "string" in kinds and kinds & {"bool", *NUMERIC}:
                other = node.right if left.kind == "string" else node.left
                hint = f"write string({other.text})"
            return self._faults.at_node(node, f"`{sign}` does not work on {left} and {right}", hint)
        if left.kind == right.kind == "int":
            return INT
        if sign == "+" and not (left.kind in NUMERIC and right.kind in NUMERIC):
            return DYN
        return DOUBLE if "double" in kinds else NUMBER

    # Calls

    def _function(self, node: FunctionCall, safe: Paths) -> Type:
        if node.name not in ORIGINS:
            return self._calls.function(node, [self.value(a, safe) for a in node.arguments])
        for argument in node.arguments[: 0 if node.name == "asked_for" else 1]:
            self.value(argument, safe)
        return self._calls.origin(node)

    def _method(self, node: MethodCall, safe: Paths) -> Type:
        target = self.type(node.target, safe)
        return self._calls.method(node, target, [self.value(a, safe) for a in node.arguments])

    # Loops

    def _comprehension(self, node: Comprehension, safe: Paths) -> Type:
        over, name = self.value(node.over, safe), node.variable
        if over.kind not in ("dyn", "list", "map"):
            self._faults.at(
                node.at, len(node.macro), f"`{node.macro}` walks a list or a map, not {over}", None
            )
        if name == "args" or name in VARIABLES or name in self._environment.constants:
            self._faults.at_node(
                node, f"`{name}` has a meaning already", "choose another name for elements"
            )
        elif name in self._elements:
            self._faults.at_node(node, f"`{name}` names an outer element", "choose another name")
        outer = self._elements
        element = STRING if over.kind == "map" else over.element or DYN
        self._elements = {**outer, name: element}
        body = self.value(node.body, safe)
        self._elements = outer
        if node.macro != "map":
            self._faults.expect(node.body, body, BOOL, f"`{node.macro}` asks a condition")
        match node.macro:
            case "map":
                return Type("list", body)
            case "filter":
                return Type("list", element)
        return BOOL


def known_present(node: Node, outcome: bool) -> Paths:
    """Return the fields that are certainly there when ``node`` came out as ``outcome``."""
    match node:
        case Presence() if outcome:
            operand = path(node.operand)
            return _NONE if operand is None else frozenset({(*operand, node.name)})
        case Binary(operator="in", left=Constant(value=str() as key)) if outcome:
            operand = path(node.right)
            return _NONE if operand is None else frozenset({(*operand, key)})
        case Unary(operator="!"):
            return known_present(node.operand, not outcome)
        case Logic():
            parts = [known_present(operand, outcome) for operand in children(node)]
            every = (node.operator == "&&") == outcome
            return frozenset.union(*parts) if every else frozenset.intersection(*parts)
    return _NONE
