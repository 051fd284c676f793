"""Both evaluators against cel-expr-python (the C++ implementation of CEL), on what both know.

A condition is read exactly here: as the test of a `?:` it neither restricts nor permits. Where the
results differ, the difference must be one of the deviations that docs/policy-language.md lists:
`Strict` applies CEL's own operators one at a time under our rules, and must come to our result.
"""

from __future__ import annotations

import operator
from collections import Counter
from fractions import Fraction
from functools import cache
from random import Random
from typing import Any

import msgspec
import pytest
from cel_expr_python import cel
from cel_expr_python.ext import ext_strings
from conditions_made_up import (
    Maker,
    lowered,
    make_args,
    make_scope,
    outcome_of,
    randoms,
    referenced,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remit.policy.checking import check_condition
from remit.policy.comparison import kind
from remit.policy.expressions import parse
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
    Presence,
    Unary,
    Variable,
)
from remit.policy.tokens import ExpressionFault
from remit.policy.types import Environment

INPUTS = 24
CEL = cel.NewEnv(
    variables=dict.fromkeys(["args", "v0", "v1", "v2"], cel.Type.DYN),
    extensions=[ext_strings.ExtStrings()],
)
NUMBERS = ("int", "double")
EXACT = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
counts: Counter[str] = Counter()
deviations: Counter[str] = Counter()


class CelError(Exception):
    """CEL, or our rules on top of it, give no value."""


@cache
def compiled(text: str) -> Any:
    return CEL.compile(text, disable_check=True)


def cel_value(text: str, **data: Any) -> Any:
    found = compiled(text).eval(data=data)
    if found.type().name() == "ERROR":
        raise CelError(str(found.value()))
    return found.plain_value()


def cel_outcome(text: str, args: Any) -> tuple[Any, ...]:
    try:
        return ("value", cel_value(text, args=args))
    except CelError:
        return ("error",)


class Strict:
    """CEL's operators, one at a time, under the rules in which we deviate on purpose."""

    def __init__(self, args: Any) -> None:
        self.variables = {"args": args}
        self.used: set[str] = set()

    def error(self, deviation: str) -> CelError:
        self.used.add(deviation)
        return CelError(deviation)

    def condition(self, node: Any) -> bool:
        found = self.value(node)
        if not isinstance(found, bool):
            raise self.error("a condition is a bool")
        return found

    def value(self, node: Any) -> Any:
        match node:
            case Constant():
                return node.value
            case Variable():
                return self.variables[node.name]
            case Logic():
                self.used.add("left to right")
                test = all if node.operator == "&&" else any
                return test(self.condition(operand) for operand in node.operands)
            case Choice():
                self.used.add("left to right")
                return self.value(node.chosen if self.condition(node.condition) else node.otherwise)
            case Comprehension():
                return self.loop(node)
            case Unary(operator="!"):
                return not self.condition(node.operand)
            case Unary():
                return cel_value("-v0", v0=self.value(node.operand))
            case Binary():
                return self.binary(node.operator, self.value(node.left), self.value(node.right))
            case Member():
                return cel_value(f"v0.{node.name}", v0=self.value(node.operand))
            case Presence():
                return cel_value(f"has(v0.{node.name})", v0=self.value(node.operand))
            case Index():
                return self.index(self.value(node.operand), self.value(node.index))
            case ListDisplay():
                return [self.value(item) for item in node.items]
            case MapDisplay():
                return {key.value: self.value(entry) for key, entry in node.entries}
            case FunctionCall():
                return self.function(node.name, *map(self.value, node.arguments))
        assert isinstance(node, MethodCall)
        values = [self.value(part) for part in (node.target, *node.arguments)]
        if node.name == "split" and values == ["", ""]:
            self.used.add("an empty string has no characters")
            return []
        arguments = ", ".join(f"v{i}" for i in range(1, len(values)))
        data = {f"v{i}": value for i, value in enumerate(values)}
        return cel_value(f"v0.{node.name}({arguments})", **data)

    def loop(self, node: Comprehension) -> Any:
        self.used.add("left to right")
        over = self.value(node.over)
        if not isinstance(over, list | dict):
            raise CelError("not a list")
        results, items = [], list(over)
        for item in items:
            self.variables[node.variable] = item
            found = self.value(node.body) if node.macro == "map" else self.condition(node.body)
            results.append(found)
            if found is {"all": False, "exists": True}.get(node.macro):
                return found
        match node.macro:
            case "filter":
                return [item for item, kept in zip(items, results, strict=True) if kept]
            case "map":
                return results
            case "exists_one":
                return sum(results) == 1
        return node.macro == "all"

    def binary(self, sign: str, a: Any, b: Any) -> Any:
        kinds = (kind(a), kind(b))
        if sign in ("==", "!="):
            return self.equal(a, b) == (sign == "==")
        if sign == "in" and isinstance(b, list):
            return any(self.equal(a, item) for item in b)
        if sign == "in" and isinstance(b, dict) and not isinstance(a, str):
            raise self.error("a key is a string")
        if sign in ("<", "<=", ">", ">=") and kinds == ("bool", "bool"):
            raise self.error("bools have no order")
        if sign in EXACT and set(kinds) == {"int", "double"}:
            return self.exactly(sign, a, b)
        if sign in "+-*/" and set(kinds) == {"int", "double"}:
            self.used.add("an int and a double make a double")
            a, b = float(a), float(b)
        found = cel_value(f"v0 {sign} v1", v0=a, v1=b)
        if isinstance(found, float) and found - found != 0:
            raise self.error("doubles are finite")
        return found

    def equal(self, a: Any, b: Any) -> bool:
        """Whether two values are equal; those of different types cannot be compared."""
        if a is None or b is None:
            return a is b
        if isinstance(a, list) and isinstance(b, list):
            return len(a) == len(b) and all(map(self.equal, a, b))
        if isinstance(a, dict) and isinstance(b, dict):
            return a.keys() == b.keys() and all(self.equal(a[key], b[key]) for key in sorted(a))
        if kind(a) != kind(b) and not {kind(a), kind(b)} <= set(NUMBERS):
            raise self.error("different types cannot be equal")
        if {kind(a), kind(b)} == set(NUMBERS):
            return self.exactly("==", a, b)
        return bool(cel_value("v0 == v1", v0=a, v1=b))

    def exactly(self, sign: str, a: Any, b: Any) -> bool:
        """An int against a double; CEL's C++ makes a double of the int first, losing digits."""
        exact = EXACT[sign](Fraction(a), Fraction(b))
        if exact != cel_value(f"v0 {sign} v1", v0=a, v1=b):
            self.used.add("ints and doubles compare exactly")
        return exact

    def index(self, a: Any, b: Any) -> Any:
        if (isinstance(a, list) and kind(b) != "int") or (
            isinstance(a, dict) and kind(b) != "string"
        ):
            raise self.error("an index is an int, a key is a string")
        return cel_value("v0[v1]", v0=a, v1=b)

    def function(self, name: str, value: Any) -> Any:
        if name == "int" and isinstance(value, bool):
            raise self.error("a bool is not a number")
        if name == "int" and kind(value) == "double" and value == -(2.0**63):
            self.used.add("the least int is an int")
            return -(2**63)
        return cel_value(f"{name}(v0)", v0=value)


@settings(max_examples=700, derandomize=True, deadline=None, database=None,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(randoms(), st.integers(0, 2**32))
def test_both_evaluators_agree_with_cel(random, seed):
    text = f"{Maker(random, common=True).condition()} ? true : false"
    node = parse(text)
    faults: list[ExpressionFault] = []
    check_condition(node, Environment(), faults)
    if faults:
        return
    source = Random(seed)
    scope = make_scope(source)
    reference, code = referenced(node, True), lowered(node, True)
    for _ in range(INPUTS):
        args = make_args(source, common=True)
        each = msgspec.structs.replace(scope, args=args)
        ours = outcome_of(lambda: reference(each))  # noqa: B023
        assert outcome_of(lambda: code(each)) == ours  # noqa: B023
        counts["pairs"] += 1
        theirs = cel_outcome(text, args)
        if ours[:2] != theirs[:2] and not (ours[0] == theirs[0] == "error"):
            explain(text, node, args, ours, Strict(args))
        else:
            counts[ours[0]] += 1


def explain(text: str, node: Any, args: Any, ours: tuple[Any, ...], strict: Strict) -> None:
    """Assert that documented deviations, and nothing else, make our result differ from CEL's."""
    try:
        expected: tuple[Any, ...] = ("value", strict.condition(node))
    except CelError:
        expected = ("error",)
    assert ours[: len(expected)] == expected, (text, args, ours, expected)
    assert strict.used, (text, args, ours)
    deviations.update(strict.used)
    counts["deviating"] += 1


def test_enough_pairs_were_compared():
    assert counts["pairs"] >= 10_000, counts
    assert counts["value"] >= 5_000, counts
    assert counts["error"] >= 500, counts


DEVIATIONS = [
    ("left to right", "args.gone == 1 || true", {}, "error", True),
    ("left to right", "[1, 0].all(x, 1 / 0 == 1 && x == 1)", {}, "error", False),
    ("a condition is a bool", "true ? args.n : false", {"n": 1}, "error", 1),
    ("different types cannot be equal", 'args.x == "drop"', {"x": ["drop"]}, "error", False),
    ("different types cannot be equal", 'args.x != "drop"', {"x": 1}, "error", True),
    ("different types cannot be equal", "args.x in [1, 2]", {"x": "1"}, "error", False),
    ("a key is a string", "args.x in args.m", {"x": 1, "m": {"1": 1}}, "error", False),
    ("bools have no order", "args.x < args.y", {"x": False, "y": True}, "error", True),
    ("an int and a double make a double", "args.x * 1.5 == 3.0", {"x": 2}, True, "error"),
    ("doubles are finite", "1.0 / args.x > 5.0", {"x": 0.0}, "error", True),
    ("an index is an int, a key is a string", "args.x[1.0] == 2", {"x": [1, 2]}, "error", True),
    ("a bool is not a number", "int(args.x) == 1", {"x": True}, "error", True),
    ("ints and doubles compare exactly",
     "args.x == 9007199254740992.0", {"x": 2**53 + 1}, False, True),
    ("the least int is an int", "int(args.x) < 0", {"x": -(2.0**63)}, True, "error"),
    ("an empty string has no characters", 'size(args.x.split("")) == 0', {"x": ""}, True, False),
]  # fmt: skip


@pytest.mark.parametrize(("deviation", "text", "args", "ours", "theirs"), DEVIATIONS)
def test_deviation(deviation, text, args, ours, theirs):
    node = parse(text)
    scope = msgspec.structs.replace(make_scope(Random(1)), args=args)
    for run in (referenced(node, False), lowered(node, False)):
        found = outcome_of(lambda: run(scope))  # noqa: B023
        assert (found[1] if found[0] == "value" else found[0]) is ours
    assert cel_outcome(text, args) == (("error",) if theirs == "error" else ("value", theirs))
    strict = Strict(args)
    explain(text, node, args, found, strict)
    assert deviation in strict.used


def test_no_deviation_occurred_that_is_not_listed():
    assert set(deviations) <= {deviation for deviation, *_ in DEVIATIONS}
