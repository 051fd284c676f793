"""The reference evaluator: a plain walk over a checked expression.

It is what generated code (``remit.policy.lower``) must agree with in every case, errors and their
places included, and it is slow. ``trace`` is the same walk, keeping the values that decided, for
explanations. No I/O.

A polarity goes down the tree: 1 where truth leads to restriction, -1 where it leads to permission,
0 where neither can be said. Strings are read generously at 1 and exactly elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, cast

from msgspec import Struct

from remit.model import Finding, Outcome, Principal, Session
from remit.policy import comparison, operations, origins
from remit.policy.comparison import ConditionError, MissingFact, Pattern
from remit.policy.expressions import label_name
from remit.policy.functions import READERS, ReaderFunction
from remit.policy.origins import ORIGINS, Controls, ToolFacts
from remit.policy.render import render
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
    loops,
    root,
)
from remit.policy.types import VARIABLES
from remit.provenance.grounding import Provenance

_EMPTY: Mapping[str, Any] = MappingProxyType({})


class Scope(Struct, frozen=True, kw_only=True):
    """Everything that a condition may look at, for one decision."""

    agent: Principal
    session: Session
    tool: ToolFacts
    controls: Controls = Controls()
    provenance: Provenance | None = None
    """What the session has seen; None: nobody kept that."""
    now: int
    """Nanoseconds since the Unix epoch."""
    args: Mapping[str, Any] = _EMPTY
    context: Mapping[str, Any] = _EMPTY
    user: Principal | None = None
    outcome: Outcome | None = None
    result: Any = None
    findings: tuple[Finding, ...] = ()
    resolved: Mapping[str, str] = _EMPTY
    """Real paths by the path strings found in the arguments, for ``path()``."""
    budget: Mapping[str, Mapping[str, int]] = _EMPTY
    """What is left of budgets, by id and measure, in the integers of the ledger."""
    constants: Mapping[str, Any] = _EMPTY
    """Values from ``define:``."""


class Trace(Struct, frozen=True):
    """How a condition came out: its value or error, and the values that decided."""

    value: bool | None
    """None when it could not be evaluated."""
    error: ConditionError | MissingFact | None
    seen: tuple[tuple[str, str], ...]
    """Parts of the expression as written, with their values rendered, in order of reading."""


MAX_SEEN = 16
"""Most values that a trace keeps."""


def evaluate(node: Node, scope: Scope, restricts: bool) -> bool:
    """Return whether a checked condition holds.

    ``restricts``: whether the rule denies, asks or defers rather than allows.

    Raises:
        MissingFact: it needs a fact that is not there.
        ConditionError: it cannot be evaluated on these values.
    """
    evaluator = _Evaluator(scope, loop_limit(node), None)
    return evaluator.condition(node, 1 if restricts else -1, _EMPTY)


def value_of(node: Node, scope: Scope) -> Any:
    """Return what a checked expression gives, strings in it compared exactly.

    Raises:
        MissingFact: it needs a fact that is not there.
        ConditionError: it cannot be evaluated on these values.
    """
    return _Evaluator(scope, loop_limit(node), None).value(node, 0, _EMPTY)


def trace(node: Node, scope: Scope, restricts: bool) -> Trace:
    """Evaluate like ``evaluate``, keeping the values that were read on the way."""
    seen: dict[str, str] = {}
    evaluator = _Evaluator(scope, loop_limit(node), seen)
    value, error = None, None
    try:
        value = evaluator.condition(node, 1 if restricts else -1, _EMPTY)
    except (ConditionError, MissingFact) as problem:
        error = problem
    return Trace(value, error, tuple(seen.items())[:MAX_SEEN])


def loop_limit(node: Node) -> int:
    """Return how many elements each loop in a checked expression may walk."""
    return operations.LOOP_LIMITS[loops(node)]


_Elements = Mapping[str, Any]


class _Evaluator:
    def __init__(self, scope: Scope, limit: int, seen: dict[str, str] | None) -> None:
        self._scope = scope
        self._limit = limit
        self._seen = seen

    def condition(self, node: Node, polarity: int, elements: _Elements) -> bool:
        return comparison.as_bool(self.value(node, polarity, elements), node.offset)

    def value(self, node: Node, polarity: int, elements: _Elements) -> Any:
        """The value of a node, noted where it is something that was read."""
        found = self._value(node, polarity, elements)
        if self._seen is not None and isinstance(node, Variable | Member | Index | FunctionCall):
            self._seen[node.text] = render(found)
        return found

    def _value(self, node: Node, polarity: int, elements: _Elements) -> Any:
        match node:
            case Constant():
                return node.value
            case Variable():
                return self._variable(node, elements)
            case Member() | Index() | Presence():
                return self._part(node, polarity, elements)
            case Unary():
                return self._unary(node, polarity, elements)
            case Binary():
                return self._binary(node, polarity, elements)
            case Logic():
                return self._logic(node, polarity, elements)
            case Choice():
                chosen = self.condition(node.condition, 0, elements)
                return self.value(node.chosen if chosen else node.otherwise, polarity, elements)
            case FunctionCall():
                return self._function(node, elements)
            case MethodCall():
                return self._method(node, polarity, elements)
            case Comprehension():
                return self._comprehension(node, polarity, elements)
        return self._display(cast("ListDisplay | MapDisplay", node), elements)

    def _display(self, node: ListDisplay | MapDisplay, elements: _Elements) -> Any:
        if isinstance(node, ListDisplay):
            return [self.value(item, 0, elements) for item in node.items]
        return {
            cast(Constant, key).value: self.value(entry, 0, elements) for key, entry in node.entries
        }

    # Names and fields

    def _variable(self, node: Variable, elements: _Elements) -> Any:
        if node.name in elements:
            return elements[node.name]
        if node.name == "findings":
            return operations.finding_maps(self._scope.findings)
        if node.name in PLAIN:
            return getattr(self._scope, node.name)
        return self._scope.constants[node.name]

    def _part(self, node: Member | Index | Presence, polarity: int, elements: _Elements) -> Any:
        if is_record(node.operand):
            assert not isinstance(node, Index), "refused at load"
            return self._field(node, elements)
        operand = self._value(node.operand, 0, elements)
        fact = root(node.operand) == "context"
        match node:
            case Member():
                return operations.member(operand, node.name, fact, node.at)
            case Presence():
                return operations.present(operand, node.name, polarity > 0, node.at)
        index = self.value(node.index, 0, elements)
        return operations.element(operand, index, fact, node.offset)

    def _field(self, node: Member | Presence, elements: _Elements) -> Any:
        """A field of a record, or whether it is there and not null."""
        if isinstance(node, Presence) and root(node.operand) == "user" and not self._scope.user:
            return False
        found = getattr(self._record(node.operand, elements), node.name)
        return found is not None if isinstance(node, Presence) else found

    def _record(self, node: Node, elements: _Elements) -> Any:
        if isinstance(node, FunctionCall):
            return self._read(node, elements)
        name = cast(Variable, node).name
        if name == "now":
            return operations.moment(self._scope.now)
        if name == "user" and self._scope.user is None:
            operations.no_user(node.offset)
        return getattr(self._scope, name)

    # Operators

    def _unary(self, node: Unary, polarity: int, elements: _Elements) -> Any:
        if node.operator == "!":
            return not self.condition(node.operand, -polarity, elements)
        return operations.negated(self.value(node.operand, 0, elements), node.offset)

    def _binary(self, node: Binary, polarity: int, elements: _Elements) -> Any:
        left, right = self.value(node.left, 0, elements), self.value(node.right, 0, elements)
        match node.operator:
            case "==":
                return comparison.equal(left, right, polarity > 0, node.at)
            case "!=":
                # The negation of equal: read generously, `==` holds more often and this less.
                return not comparison.equal(left, right, polarity < 0, node.at)
            case "in":
                return comparison.is_in(left, right, polarity > 0, self._limit, node.at)
            case "<" | "<=" | ">" | ">=":
                return comparison.ordered(left, right, node.operator, node.at)
        return operations.arithmetic(left, right, node.operator, node.at)

    def _logic(self, node: Logic, polarity: int, elements: _Elements) -> bool:
        decisive = node.operator == "||"
        for operand in node.operands:
            if self.condition(operand, polarity, elements) is decisive:
                return decisive
        return not decisive

    def _comprehension(self, node: Comprehension, polarity: int, elements: _Elements) -> Any:
        over = self.value(node.over, 0, elements)
        items = comparison.elements(over, self._limit, node.at)
        inner = polarity if node.macro in ("all", "exists") else 0

        def test(item: Any) -> bool:
            return self.condition(node.body, inner, {**elements, node.variable: item})

        def give(item: Any) -> Any:
            return self.value(node.body, 0, {**elements, node.variable: item})

        return operations.LOOPS[node.macro](items, give if node.macro == "map" else test)

    # Calls

    def _function(self, node: FunctionCall, elements: _Elements) -> Any:
        if node.name in READERS:
            return self._read(node, elements)
        if node.name in ORIGINS:
            return self._origin(node, elements)
        arguments = [self.value(argument, 0, elements) for argument in node.arguments]
        if node.name == "found":
            return operations.found(self._scope.findings, arguments[0])
        if node.name in ("min", "max"):
            numbers = arguments[0] if len(arguments) == 1 else arguments
            return operations.EXTREMES[node.name](numbers, node.offset)
        return operations.FUNCTIONS[node.name](arguments[0], node.offset)

    def _origin(self, node: FunctionCall, elements: _Elements) -> bool:
        scope = self._scope
        if node.name == "asked_for":
            kind = label_name(node.arguments[0]) or ""
            return origins.asked_for(scope.provenance, scope.tool, kind)
        value = self.value(node.arguments[0], 0, elements)
        if node.name in origins.LABELLED:
            label = label_name(node.arguments[1]) or ""
            return origins.about(node.name, scope.provenance, scope.session, value, label)
        answer = origins.QUESTIONS[node.name](scope.provenance, value)
        if self._seen is not None and (why := origins.why(scope.provenance, value)):
            self._seen[f"where {node.arguments[0].text} is from"] = why
        return answer

    def _read(self, node: FunctionCall, elements: _Elements) -> Any:
        arguments = [self.value(argument, 0, elements) for argument in node.arguments]
        extra = (self._scope.resolved,) if READERS[node.name].resolved else ()
        return operations.read(load_reader(node.name), arguments, extra, node.name, node.offset)

    def _method(self, node: MethodCall, polarity: int, elements: _Elements) -> Any:
        if is_record(node.target):
            return self._record_method(node, elements)
        target = self.value(node.target, 0, elements)
        if node.name == "matches":
            text = constant_text(node.arguments[0], self._scope.constants)
            assert text is not None, "checked at load"
            return comparison.matches(target, compiled(text), polarity > 0, node.at)
        arguments = [self.value(argument, 0, elements) for argument in node.arguments]
        if node.name in comparison.STRING_TESTS:
            return comparison.tested(target, arguments[0], node.name, polarity > 0, node.at)
        return operations.METHODS[node.name](target, *arguments, node.at)

    def _record_method(self, node: MethodCall, elements: _Elements) -> Any:
        record = self._record(node.target, elements)
        arguments = [self.value(argument, 0, elements) for argument in node.arguments]
        if isinstance(node.target, Variable):
            return operations.RECORD_METHODS[node.name](record, *arguments, node.at)
        return operations.read(getattr(record, node.name), arguments, (), node.name, node.at)


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Pattern:
    """Return a pattern compiled; the same text again gives the same object."""
    return Pattern(pattern)


@cache
def load_reader(name: str) -> ReaderFunction:
    """Return the function of a reader, importing its parser the first time."""
    return READERS[name].load()


def is_record(node: Node) -> bool:
    """Whether ``node`` is a thing with fields (``agent``, ``sql(x)``) rather than a JSON value."""
    if isinstance(node, Variable):
        return node.name in RECORDS
    return (
        isinstance(node, FunctionCall)
        and getattr(READERS.get(node.name), "returns", "") == "object"
    )


RECORDS = frozenset(name for name, of in VARIABLES.items() if of.kind == "record")
"""Variables that are things with fields. No constant and no element may bear these names."""
PLAIN = frozenset({"args", "context", "result"})
"""Variables that are JSON values."""
