"""The type checker of the condition language: what can be known to be wrong is wrong at load.

Unknown names, fields, methods and functions, wrong arguments, comparisons that could never hold
and optional fields read without ``has()`` are faults with a place and a suggestion. No I/O.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from remit.policy.comparison import Pattern
from remit.policy.expressions import MACROS, label_name
from remit.policy.functions import READERS
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
    STRINGS,
    VARIABLES,
    Environment,
    Field,
    Type,
    common,
    comparable,
    named,
    record,
    same_kind,
    type_of,
)

Path: TypeAlias = tuple[str, ...]
Paths: TypeAlias = frozenset[Path]
_NONE: Paths = frozenset()

MAX_LOOPS = 3

METHODS: dict[str, tuple[Type, ...]] = {
    "contains": (STRING, BOOL),
    "startsWith": (STRING, BOOL),
    "endsWith": (STRING, BOOL),
    "matches": (STRING, BOOL),
    "lowerAscii": (STRING,),
    "upperAscii": (STRING,),
    "trim": (STRING,),
    "split": (STRING, STRINGS),
}
"""Methods of strings: types of the parameters, then of what they return."""

FUNCTIONS = ("size", "int", "double", "string", "min", "max", "flows", "has")

_HABITS = {
    "len": "size",
    "length": "size",
    "count": "size",
    "lower": "lowerAscii",
    "tolower": "lowerAscii",
    "tolowercase": "lowerAscii",
    "upper": "upperAscii",
    "toupper": "upperAscii",
    "touppercase": "upperAscii",
    "strip": "trim",
    "startswith": "startsWith",
    "endswith": "endsWith",
    "hasprefix": "startsWith",
    "hassuffix": "endsWith",
    "includes": "contains",
    "match": "matches",
    "regex": "matches",
    "search": "matches",
    "any": "exists",
    "some": "exists",
    "every": "all",
    "float": "double",
    "str": "string",
    "exists": "has",
    "defined": "has",
    "arguments": "args",
    "params": "args",
    "input": "args",
    "ctx": "context",
    "principal": "agent",
}


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
        checker.fault(node, message, "split the condition into several rules")
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
        found.append(ExpressionFault(node.offset, node.width, message, _truth(node, result)))
    if faults is not None:
        faults += found
    elif found:
        raise found[0]


def _truth(node: Node, found: Type) -> str:
    if found.kind in ("string", "list", "map"):
        return f"write size({node.text}) > 0"
    if found.kind in NUMERIC:
        return f"write {node.text} != 0"
    return "compare it with something, e.g. == null"


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """Return ``did you mean X?`` for a word close to one of ``known``, or None."""
    candidates = list(known)
    habit = _HABITS.get(word.lower())
    if habit in candidates:
        return f"did you mean {habit}?"
    lower = {candidate.lower(): candidate for candidate in candidates}
    close = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    if close:
        return f"did you mean {lower[close[0]]}?"
    return f"known here: {', '.join(candidates)}" if 0 < len(candidates) <= 12 else None


class _Checker:
    """One walk over one expression.

    ``safe`` carries the optional fields that are known to be there: ``a`` in ``has(a) && a == 1``.
    """

    def __init__(self, environment: Environment, faults: list[ExpressionFault]) -> None:
        self._environment = environment
        self._faults = faults
        self._elements: dict[str, Type] = {}

    def fault(self, node: Node, message: str, hint: str | None = None) -> Type:
        return self._fault_at(node.offset, node.width, message, hint)

    def _fault_at(self, offset: int, width: int, message: str, hint: str | None) -> Type:
        self._faults.append(ExpressionFault(offset, width, message, hint))
        return DYN

    def value(self, node: Node, safe: Paths) -> Type:
        """The type of a node that must be a plain value, not a record."""
        found = self.type(node, safe)
        if found.kind == "record":
            assert found.fields is not None
            example = f"{node.text}.{next(iter(found.fields))}"
            return self.fault(node, f"`{node.text}` has fields", f"write e.g. {example}")
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
        assert isinstance(node, MapDisplay)
        for _, entry in node.entries:
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
            return self.fault(node, message, "add `on: result` to the rule")
        if name in VARIABLES:
            return VARIABLES[name]
        if name in environment.constants:
            return type_of(environment.constants[name])
        known = ["args", *VARIABLES, *environment.constants, *self._elements]
        return self.fault(node, f"there is no variable `{name}`", suggestion(name, known))

    def _member(self, node: Member, safe: Paths) -> Type:
        operand = self.type(node.operand, safe)
        found = self._field(node, operand)
        if found is None:
            return DYN
        if found.optional and path(node) not in safe:
            route = node.text
            message = f"`{route}` may be missing"
            hint = f"write has({route}) && ..."
            return self._fault_at(node.at, len(node.name), message, hint)
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
            self._fault_at(node.at, len(node.name), message, hint)
            return None
        found = operand.fields.get(node.name)
        if found is None:
            message = f"`{node.operand.text}` has no field `{node.name}`"
            hint = suggestion(node.name, operand.fields)
            if node.name in (operand.methods or {}):
                hint = f"write {node.operand.text}.{node.name}(...)"
            self._fault_at(node.at, len(node.name), message, hint)
        return found

    def _presence(self, node: Presence, safe: Paths) -> Type:
        self._field(node, self.type(node.operand, safe))
        return BOOL

    def _index(self, node: Index, safe: Paths) -> Type:
        operand, index = self.type(node.operand, safe), self.value(node.index, safe)
        if operand.kind == "list":
            self._expect(node.index, index, INT, "an element of a list is asked for by number")
            return operand.element or DYN
        if operand.kind in ("map", "record") and operand.fields is not None:
            if isinstance(node.index, Constant) and isinstance(node.index.value, str):
                return self._known_key(node, operand, node.index.value, safe)
            return self.fault(node.index, "the name of a field is written out", 'write ["name"]')
        if operand.kind == "map":
            self._expect(node.index, index, STRING, "a field of a map is asked for by name")
        elif operand.kind != "dyn":
            return self.fault(node.operand, f"{operand} cannot be indexed")
        return DYN

    def _known_key(self, node: Index, operand: Type, key: str, safe: Paths) -> Type:
        assert operand.fields is not None
        found = operand.fields.get(key)
        if found is None or operand.kind == "record":
            message = f"`{node.operand.text}` has no field `{key}`"
            hint = f"write {node.operand.text}.{key}" if found else suggestion(key, operand.fields)
            return self.fault(node.index, message, hint)
        if found.optional and path(node) not in safe:
            hint = f'write "{key}" in {node.operand.text} && ...'
            return self.fault(node.index, f"`{node.text}` may be missing", hint)
        return found.type

    # Operators

    def _unary(self, node: Unary, safe: Paths) -> Type:
        operand = self.value(node.operand, safe)
        if node.operator == "!":
            self._expect(node.operand, operand, BOOL, "`!` turns true and false around")
            return BOOL
        self._expect(node.operand, operand, NUMBER, "`-` goes before a number")
        return NUMBER if operand.kind == "dyn" else operand

    def _logic(self, node: Logic, safe: Paths) -> Type:
        for operand in node.operands:
            found = self.value(operand, safe)
            self._expect(operand, found, BOOL, f"`{node.operator}` joins conditions")
            safe |= known_present(operand, node.operator == "&&")
        return BOOL

    def _choice(self, node: Choice, safe: Paths) -> Type:
        condition = self.value(node.condition, safe)
        self._expect(node.condition, condition, BOOL, "`?` follows a condition")
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
                        self.fault(side, f"`{node.operator}` does not order {found}")
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
        self.fault(node, f"{left} and {right} cannot be compared by `{node.operator}`", hint)

    def _in(self, node: Binary, left: Type, right: Type) -> None:
        if right.kind == "list":
            if right.element is not None and not comparable(left, right.element):
                self.fault(node, f"{left} is never an element of {right}")
        elif right.kind == "map":
            self._expect(node.left, left, STRING, "the keys of a map are strings")
        elif right.kind == "string":
            hint = f"write {node.right.text}.contains({node.left.text})"
            self.fault(node, "`in` looks into a list or a map, not into a string", hint)
        elif right.kind != "dyn":
            hint = f"write {node.left.text} == {node.right.text}"
            self.fault(node, f"`in` looks into a list or a map, not into {right}", hint)

    def _arithmetic(self, node: Binary, left: Type, right: Type) -> Type:
        sign, kinds = node.operator, {left.kind, right.kind} - {"dyn"}
        if sign == "+" and kinds in ({"string"}, {"list"}):
            return common((left, right)) if left.kind == right.kind else DYN
        if kinds - NUMERIC or (sign == "%" and "double" in kinds):
            hint = None
            if sign == "+" and "string" in kinds and len(kinds) > 1:
                number = node.right if left.kind == "string" else node.left
                hint = f"write string({number.text})"
            return self.fault(node, f"`{sign}` does not work on {left} and {right}", hint)
        if left.kind == right.kind == "int":
            return INT
        if sign == "+" and not (left.kind in NUMERIC and right.kind in NUMERIC):
            return DYN
        return DOUBLE if "double" in kinds else NUMBER

    def _expect(self, node: Node, found: Type, wanted: Type, message: str) -> bool:
        if found.kind == "dyn" or same_kind(found, wanted):
            return True
        hint = None
        if wanted is STRING and found.kind in ("bool", *NUMERIC):
            hint = f"write string({node.text})"
        elif wanted is BOOL:
            hint = _truth(node, found)
        self.fault(node, f"{message}; this is {found}", hint)
        return False

    # Calls

    def _function(self, node: FunctionCall, safe: Paths) -> Type:
        if node.name == "flows":
            return self._flows(node, safe)
        arguments = [self.value(argument, safe) for argument in node.arguments]
        if node.name in READERS:
            return self._reader(node, arguments)
        match node.name:
            case "size":
                return self._sized(node, arguments)
            case "int" | "double" | "string":
                return self._conversion(node, arguments)
            case "min" | "max":
                return self._extreme(node, arguments)
        if node.name in METHODS or node.name in MACROS:
            target = node.arguments[0].text if node.arguments else "value"
            hint: str | None = f"write {target}.{node.name}(...)"
        else:
            hint = suggestion(node.name, [*FUNCTIONS, *READERS])
        message = f"there is no function `{node.name}`"
        return self._fault_at(node.offset, len(node.name), message, hint)

    def _count(self, node: Node, name: str, given: int, least: int, most: int) -> bool:
        if least <= given <= most:
            return True
        wanted = str(least) if least == most else f"{least} to {most}"
        plural = "" if wanted == "1" else "s"
        self.fault(node, f"`{name}` takes {wanted} argument{plural}, not {given}")
        return False

    def _sized(self, node: FunctionCall | MethodCall, arguments: Sequence[Type]) -> Type:
        if self._count(node, "size", len(arguments), 1, 1):
            found = arguments[0]
            if found.kind not in ("dyn", "string", "list", "map"):
                self.fault(node, f"{found} has no size")
        return INT

    def _conversion(self, node: FunctionCall, arguments: Sequence[Type]) -> Type:
        result = named(node.name)
        if self._count(node, node.name, len(arguments), 1, 1):
            accepted = {"dyn", "string", *NUMERIC} | ({"bool"} if result is STRING else set())
            if arguments[0].kind not in accepted:
                self.fault(node, f"{arguments[0]} cannot be made {result}")
        return result

    def _extreme(self, node: FunctionCall, arguments: Sequence[Type]) -> Type:
        if not arguments:
            return self.fault(node, f"`{node.name}` needs at least one number")
        if len(arguments) == 1:
            if arguments[0].kind not in ("dyn", "list"):
                hint = f"write {node.name}({node.arguments[0].text}, ...)"
                return self.fault(node, f"`{node.name}` takes a list or several numbers", hint)
            arguments = [arguments[0].element or DYN]
        for found in arguments:
            if found.kind not in ("dyn", *NUMERIC):
                return self.fault(node, f"`{node.name}` compares numbers, not {found}")
        return common(arguments) if all(a.kind in NUMERIC for a in arguments) else NUMBER

    def _flows(self, node: FunctionCall, safe: Paths) -> Type:
        if not self._count(node, "flows", len(node.arguments), 2, 2):
            return BOOL
        value, label = node.arguments
        self.value(value, safe)
        name = label_name(label)
        if name is None:
            self.fault(label, "a label is written as a name", "write flows(args, untrusted)")
        elif self._environment.labels is not None and name not in self._environment.labels:
            hint = suggestion(name, sorted(self._environment.labels))
            self.fault(label, f"there is no label `{name}`", hint)
        return BOOL

    def _reader(self, node: FunctionCall, arguments: Sequence[Type]) -> Type:
        reader = READERS[node.name]
        most = len(reader.parameters)
        if self._count(node, node.name, len(arguments), most - reader.optional, most):
            for argument, found, wanted in zip(
                node.arguments, arguments, reader.parameters, strict=False
            ):
                self._expect(argument, found, named(wanted), f"`{node.name}` reads {wanted}")
        if reader.returns != "object":
            return named(reader.returns)
        methods = {name: tuple(map(named, types)) for name, types in reader.methods.items()}
        return record(methods, **{name: named(of) for name, of in reader.fields.items()})

    def _method(self, node: MethodCall, safe: Paths) -> Type:
        target = self.type(node.target, safe)
        arguments = [self.value(argument, safe) for argument in node.arguments]
        if target.kind == "record":
            return self._call(node, target.methods or {}, arguments)
        if node.name == "size":
            return self._sized(node, [target, *arguments])
        if target.kind not in ("dyn", "string"):
            if node.name in METHODS:
                return self._wrong_target(node, target)
            known = ["size", *MACROS] if target.kind in ("list", "map") else []
            message = f"{target} has no method `{node.name}`"
            return self._fault_at(node.at, len(node.name), message, suggestion(node.name, known))
        return self._call(node, METHODS, arguments)

    def _wrong_target(self, node: MethodCall, target: Type) -> Type:
        message = f"`{node.name}` is a method of strings, this is {target}"
        hint = None
        if target.kind == "list":
            arguments = ", ".join(argument.text for argument in node.arguments)
            hint = f"write {node.target.text}.exists(x, x.{node.name}({arguments}))"
            if node.name == "contains":
                hint = f"write {arguments} in {node.target.text}"
        return self._fault_at(node.at, len(node.name), message, hint)

    def _call(
        self, node: MethodCall, methods: Mapping[str, tuple[Type, ...]], arguments: Sequence[Type]
    ) -> Type:
        if node.name not in methods:
            message = f"there is no method `{node.name}`"
            known = [*methods, "size", *MACROS] if methods is METHODS else list(methods)
            if node.name in READERS or node.name in ("int", "double", "string"):
                hint: str | None = f"write {node.name}({node.target.text})"
            else:
                hint = suggestion(node.name, known)
            return self._fault_at(node.at, len(node.name), message, hint)
        *wanted, result = methods[node.name]
        if self._count(node, node.name, len(arguments), len(wanted), len(wanted)):
            for argument, found, each in zip(node.arguments, arguments, wanted, strict=True):
                self._expect(argument, found, each, f"`{node.name}` takes {each}")
            if node.name == "matches":
                self._pattern(node.arguments[0])
            if node.name == "calls":
                self._counted(node.arguments[0])
        return result

    def _pattern(self, node: Node) -> None:
        pattern = constant_text(node, self._environment.constants)
        if pattern is None:
            message = "a pattern is known at load, so that it is checked and compiled once"
            self.fault(node, message, 'write "..." or a constant from define:')
            return
        try:
            Pattern(pattern)
        except ValueError as error:
            hint = "patterns are RE2: no look-around, no back-references"
            self.fault(node, f"this is not a pattern: {error}", hint)

    def _counted(self, node: Node) -> None:
        tools = self._environment.tools
        if tools is None or not isinstance(node, Constant) or str(node.value) in tools:
            return
        hint = suggestion(str(node.value), sorted(tools))
        self.fault(node, f"there is no tool `{node.value}`", hint)

    def _comprehension(self, node: Comprehension, safe: Paths) -> Type:
        over, name = self.value(node.over, safe), node.variable
        if over.kind not in ("dyn", "list", "map"):
            self._fault_at(
                node.at, len(node.macro), f"`{node.macro}` walks a list or a map, not {over}", None
            )
        if name == "args" or name in VARIABLES or name in self._environment.constants:
            self.fault(node, f"`{name}` has a meaning already", "choose another name for elements")
        elif name in self._elements:
            self.fault(node, f"`{name}` names an outer element", "choose another name")
        outer = self._elements
        element = STRING if over.kind == "map" else over.element or DYN
        self._elements = {**outer, name: element}
        body = self.value(node.body, safe)
        self._elements = outer
        if node.macro != "map":
            self._expect(node.body, body, BOOL, f"`{node.macro}` asks a condition")
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


def constant_text(node: Node, constants: Mapping[str, Any]) -> str | None:
    """Return the string that ``node`` is known to be at load: written, defined, or joined."""
    match node:
        case Constant(value=str() as written):
            return written
        case Variable():
            found = constants.get(node.name)
            return found if isinstance(found, str) else None
        case Binary(operator="+"):
            left = constant_text(node.left, constants)
            right = constant_text(node.right, constants)
            return None if left is None or right is None else left + right
    return None
