"""What functions and methods of the condition language take and return, and what faults say.

The type checker (``remit.policy.checking``) asks here about calls once it knows the types of their
arguments. No I/O.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from remit.inspection.words import KIND_OF
from remit.policy.comparison import Pattern
from remit.policy.expressions import MACROS, label_name
from remit.policy.functions import READERS
from remit.policy.origins import KINDS, LABELLED, ORIGINS
from remit.policy.syntax import Binary, Constant, FunctionCall, MethodCall, Node, Variable
from remit.policy.tokens import ExpressionFault
from remit.policy.types import (
    BOOL,
    DYN,
    INT,
    NUMBER,
    NUMERIC,
    STRING,
    STRINGS,
    VARIABLES,
    Environment,
    Type,
    common,
    named,
    record,
    same_kind,
)

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

FUNCTIONS = ("size", "int", "double", "string", "min", "max", "found", "has", *ORIGINS)

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


def truth(node: Node, found: Type) -> str:
    """Return how to make a condition of a value that is none."""
    if found.kind in ("string", "list", "map"):
        return f"write size({node.text}) > 0"
    if found.kind in NUMERIC:
        return f"write {node.text} != 0"
    return "compare it with something, e.g. == null"


class Faults:
    """Collects what is wrong with one expression."""

    def __init__(self, faults: list[ExpressionFault]) -> None:
        self._faults = faults

    def at_node(self, node: Node, message: str, hint: str | None = None) -> Type:
        """Note a fault of a whole node; gives ``DYN``, so that nothing follows from it."""
        return self.at(node.offset, node.width, message, hint)

    def at(self, offset: int, width: int, message: str, hint: str | None = None) -> Type:
        """Note a fault of ``width`` characters from ``offset`` on."""
        self._faults.append(ExpressionFault(offset, width, message, hint))
        return DYN

    def expect(self, node: Node, found: Type, wanted: Type, message: str) -> bool:
        """Note a fault unless a value of type ``found`` may stand where ``wanted`` is needed."""
        if found.kind == "dyn" or same_kind(found, wanted):
            return True
        hint = None
        if wanted is STRING and found.kind in ("bool", *NUMERIC):
            hint = f"write string({node.text})"
        elif wanted is BOOL:
            hint = truth(node, found)
        self.at_node(node, f"{message}; this is {found}", hint)
        return False


class Calls:
    """Checks calls, given the types of what they are called on and with."""

    def __init__(self, environment: Environment, faults: Faults) -> None:
        self._environment = environment
        self._faults = faults

    def function(self, node: FunctionCall, arguments: Sequence[Type]) -> Type:
        """The type that a call of a function gives; questions of origin have their own method."""
        if node.name in READERS:
            return self._reader(node, arguments)
        match node.name:
            case "size":
                return self._sized(node, arguments)
            case "int" | "double" | "string":
                return self._conversion(node, arguments)
            case "min" | "max":
                return self._extreme(node, arguments)
            case "found":
                return self._found(node)
        if node.name in METHODS or node.name in MACROS:
            target = node.arguments[0].text if node.arguments else "value"
            hint: str | None = f"write {target}.{node.name}(...)"
        else:
            hint = suggestion(node.name, [*FUNCTIONS, *READERS])
        message = f"there is no function `{node.name}`"
        return self._faults.at(node.offset, len(node.name), message, hint)

    def _count(self, node: Node, name: str, given: int, least: int, most: int) -> bool:
        if least <= given <= most:
            return True
        wanted = str(least) if least == most else f"{least} to {most}"
        plural = "" if wanted == "1" else "s"
        self._faults.at_node(node, f"`{name}` takes {wanted} argument{plural}, not {given}")
        return False

    def _sized(self, node: FunctionCall | MethodCall, arguments: Sequence[Type]) -> Type:
        if self._count(node, "size", len(arguments), 1, 1):
            found = arguments[0]
            if found.kind not in ("dyn", "string", "list", "map"):
                self._faults.at_node(node, f"{found} has no size")
        return INT

    def _conversion(self, node: FunctionCall, arguments: Sequence[Type]) -> Type:
        result = named(node.name)
        if self._count(node, node.name, len(arguments), 1, 1):
            accepted = {"dyn", "string", *NUMERIC} | ({"bool"} if result is STRING else set())
            if arguments[0].kind not in accepted:
                self._faults.at_node(node, f"{arguments[0]} cannot be made {result}")
        return result

    def _extreme(self, node: FunctionCall, arguments: Sequence[Type]) -> Type:
        if not arguments:
            return self._faults.at_node(node, f"`{node.name}` needs at least one number")
        if len(arguments) == 1:
            if arguments[0].kind not in ("dyn", "list"):
                hint = f"write {node.name}({node.arguments[0].text}, ...)"
                return self._faults.at_node(
                    node, f"`{node.name}` takes a list or several numbers", hint
                )
            arguments = [arguments[0].element or DYN]
        for found in arguments:
            if found.kind not in ("dyn", *NUMERIC):
                return self._faults.at_node(node, f"`{node.name}` compares numbers, not {found}")
        return common(arguments) if all(a.kind in NUMERIC for a in arguments) else NUMBER

    def _found(self, node: FunctionCall) -> Type:
        """``found(word)``, whose word is written out and known."""
        if not self._count(node, "found", len(node.arguments), 1, 1):
            return BOOL
        word = node.arguments[0]
        known = word.value if isinstance(word, Constant) else None
        if known not in KIND_OF:
            hint = suggestion(known, KIND_OF) if isinstance(known, str) else None
            hint = hint or 'write found("secret")'
            self._faults.at_node(word, "nothing that is looked for has this name", hint)
        return BOOL

    def origin(self, node: FunctionCall) -> Type:
        """A question about where a value is from, whose value has been checked already."""
        if node.name in LABELLED:
            return self._labelled(node)
        if not self._count(node, node.name, len(node.arguments), 1, 1):
            return BOOL
        if node.name == "asked_for":
            kind = node.arguments[0]
            name = label_name(kind)
            if name not in KINDS:
                hint = suggestion(name or "", KINDS) or f"write asked_for({KINDS[0]})"
                self._faults.at_node(kind, "this is no kind of action", hint)
        return BOOL

    def _labelled(self, node: FunctionCall) -> Type:
        """``flows(value, label)`` and the like, whose value has been checked already."""
        if not self._count(node, node.name, len(node.arguments), 2, 2):
            return BOOL
        label = node.arguments[1]
        name = label_name(label)
        if name is None:
            self._faults.at_node(
                label, "a label is written as a name", f"write {node.name}(args, untrusted)"
            )
        elif self._environment.labels is not None and name not in self._environment.labels:
            hint = suggestion(name, sorted(self._environment.labels))
            self._faults.at_node(label, f"there is no label `{name}`", hint)
        return BOOL

    def _reader(self, node: FunctionCall, arguments: Sequence[Type]) -> Type:
        reader = READERS[node.name]
        most = len(reader.parameters)
        if self._count(node, node.name, len(arguments), most - reader.optional, most):
            for argument, found, wanted in zip(
                node.arguments, arguments, reader.parameters, strict=False
            ):
                self._faults.expect(argument, found, named(wanted), f"`{node.name}` reads {wanted}")
        if reader.returns != "object":
            return named(reader.returns)
        methods = {name: tuple(map(named, types)) for name, types in reader.methods.items()}
        return record(methods, **{name: named(of) for name, of in reader.fields.items()})

    def method(self, node: MethodCall, target: Type, arguments: Sequence[Type]) -> Type:
        """The type that a call of a method gives."""
        if target is VARIABLES["budget"] and node.name == "remaining":
            return self._balance(node)
        if target.kind == "record":
            return self._call(node, target.methods or {}, arguments)
        if node.name == "size":
            return self._sized(node, [target, *arguments])
        if target.kind not in ("dyn", "string"):
            if node.name in METHODS:
                return self._wrong_target(node, target)
            known = ["size", *MACROS] if target.kind in ("list", "map") else []
            message = f"{target} has no method `{node.name}`"
            return self._faults.at(node.at, len(node.name), message, suggestion(node.name, known))
        return self._call(node, METHODS, arguments)

    def _balance(self, node: MethodCall) -> Type:
        """``budget.remaining("id")``, with the measure behind it where the budget has several."""
        if not self._count(node, "remaining", len(node.arguments), 1, 2):
            return NUMBER
        for argument in node.arguments:
            if not isinstance(argument, Constant) or not isinstance(argument.value, str):
                message = "a budget is named at load, so that only those that count are looked up"
                self._faults.at_node(argument, message, 'write budget.remaining("id")')
                return NUMBER
        known = self._environment.budgets
        name, *measure = (str(cast(Constant, each).value) for each in node.arguments)
        if known is None:
            return NUMBER
        if name not in known:
            hint = suggestion(name, sorted(known))
            return self._faults.at_node(node.arguments[0], f"there is no budget `{name}`", hint)
        counts = known[name]
        if measure and measure[0] not in counts:
            message = f"the budget `{name}` does not count {measure[0]}"
            return self._faults.at_node(node.arguments[1], message, suggestion(measure[0], counts))
        if not measure and len(counts) > 1:
            message = f"the budget `{name}` counts {' and '.join(counts)}"
            hint = f'write budget.remaining("{name}", "{counts[0]}")'
            return self._faults.at_node(node.arguments[0], message, hint)
        return NUMBER

    def _wrong_target(self, node: MethodCall, target: Type) -> Type:
        message = f"`{node.name}` is a method of strings, this is {target}"
        hint = None
        if target.kind == "list":
            arguments = ", ".join(argument.text for argument in node.arguments)
            hint = f"write {node.target.text}.exists(x, x.{node.name}({arguments}))"
            if node.name == "contains":
                hint = f"write {arguments} in {node.target.text}"
        return self._faults.at(node.at, len(node.name), message, hint)

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
            return self._faults.at(node.at, len(node.name), message, hint)
        *wanted, result = methods[node.name]
        if self._count(node, node.name, len(arguments), len(wanted), len(wanted)):
            for argument, found, each in zip(node.arguments, arguments, wanted, strict=True):
                self._faults.expect(argument, found, each, f"`{node.name}` takes {each}")
            if node.name == "matches":
                self._pattern(node.arguments[0])
            if node.name == "calls":
                self._counted(node.arguments[0])
        return result

    def _pattern(self, node: Node) -> None:
        pattern = constant_text(node, self._environment.constants)
        if pattern is None:
            message = "a pattern is known at load, so that it is checked and compiled once"
            self._faults.at_node(node, message, 'write "..." or a constant from define:')
            return
        try:
            Pattern(pattern)
        except ValueError as error:
            hint = "patterns are RE2: no look-around, no back-references"
            self._faults.at_node(node, f"this is not a pattern: {error}", hint)

    def _counted(self, node: Node) -> None:
        tools = self._environment.tools
        if tools is None or not isinstance(node, Constant) or str(node.value) in tools:
            return
        hint = suggestion(str(node.value), sorted(tools))
        self._faults.at_node(node, f"there is no tool `{node.value}`", hint)


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
