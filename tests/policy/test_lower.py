from __future__ import annotations

import ast
from random import Random

import pytest
from conditions_made_up import (
    CONSTANTS,
    Maker,
    lowered,
    make_scope,
    outcome_of,
    randoms,
    referenced,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remit.policy.checking import check_condition
from remit.policy.expressions import parse
from remit.policy.lower import lower
from remit.policy.python import Bindings
from remit.policy.tokens import ExpressionFault
from remit.policy.types import Environment

ENVIRONMENT = Environment(constants=CONSTANTS, on_result=True)
INPUTS = 32
counts = {"conditions": 0, "refused": 0, "pairs": 0, "value": 0, "error": 0, "missing": 0}


@settings(max_examples=500, derandomize=True, deadline=None, database=None,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(randoms(), st.integers(0, 2**32))
def test_generated_code_agrees_with_the_reference(random, seed):
    text = Maker(random, common=False).condition()
    node = parse(text)
    faults: list[ExpressionFault] = []
    check_condition(node, ENVIRONMENT, faults)
    counts["conditions"] += 1
    if faults:
        counts["refused"] += 1
        return
    source = Random(seed)
    scopes = [make_scope(source) for _ in range(INPUTS)]
    for restricts in (True, False):
        reference, code = referenced(node, restricts), lowered(node, restricts)
        for scope in scopes:
            expected = outcome_of(lambda: reference(scope))  # noqa: B023
            assert outcome_of(lambda: code(scope)) == expected, (text, restricts, scope)  # noqa: B023
            counts["pairs"] += 1
            counts[expected[0]] += 1


FORMS = [
    "",
    'args.s == "drop"',
    '"drop" == args.s',
    'args.s != "x y"',
    'args.s == " "',
    'args.s == "é"',
    'args.s == "ｄｒｏｐ"',
    'args.m.k == "drop"',
    'context.m.k == "drop"',
    'args["s"] == "drop"',
    "args.p == true",
    "args.n == 3",
    "args.n != 1.0",
    "args.n == args.k",
    "args.s == null",
    "null == null",
    "1 == null",
    "nothing != args.s",
    "args.n < 3",
    "0.5 >= args.n",
    "args.n > args.k",
    "args.s < args.t",
    'args.s in ["drop", "x y"]',
    'args.s in ["drop", "red"]',
    "args.s in []",
    'args.s in ["drop", 1]',
    "args.s in teams",
    "args.n in [1, 2.5]",
    '"admin" in agent.roles',
    '"ＡＤＭＩＮ" in agent.roles',
    "args.s in agent.roles",
    "args.s in args.xs",
    '"k" in args.m',
    '"K" in args.m',
    'args.s.contains("drop")',
    'args.s.contains(" ")',
    'args.s.contains("x y")',
    'args.s.contains(" y")',
    'args.s.contains("")',
    'args.s.startsWith("drop ")',
    'args.s.endsWith("op")',
    "args.s.endsWith(args.t)",
    'args.s.matches("d+r")',
    'args.s.matches("[^a-z]")',
    "args.s.trim().lowerAscii() == args.t.upperAscii()",
    '"a,b".split(",") == args.xs',
    'args.xs.all(x, x == "drop")',
    'args.xs.exists(x, !(x != "drop"))',
    'args.xs.exists_one(x, x == "drop")',
    'args.xs.filter(x, x == "drop").size() > 0',
    'args.xs.map(x, x + "!") == ["drop!"]',
    'args.m.all(key, key == "k")',
    "args.xs.all(x, args.ns.all(y, args.m.exists(z, z == x)))",
    "args.xs.map(x, args.p).all(y, y)",
    'args.p ? args.q : args.s == "drop"',
    "args.p && args.q || !args.p",
    '(args.p ? args.s : args.t) == "drop"',
    "(args.p ? args.n : args.k) > 2",
    "has(args.s) && has(args.m.k) || has(args.m.K)",
    'has(user.id) && user.id == "ada"',
    'user.id == "ada"',
    'agent.team == "red"',
    "has(agent.team)",
    'session.calls("db.query") > 2',
    "flows(args.m.k, untrusted)",
    "flows(args, secret)",
    "copies(args.m.k, untrusted)",
    "now.hour >= 9 && now.minute < 30 && now.epoch > 0 && now.year > 1970 && has(now.day)",
    'outcome.error == "drop"',
    "result == args.s",
    'findings.exists(f, f.kind == "secret")',
    "json(args.s) == args.n",
    'path(args.s).within("/tmp") || path("/tmp/x").hidden',
    "url(args.s).private",
    "min(args.n, args.k) == 1 || max(args.ns) > 2",
    'args.ns[0] == args.n && {"a": args.n, "b": [args.s]} == {"a": 1, "b": ["drop"]}',
    '-args.n == 1 || int(args.s) == 12 || double(args.s) == 1.5 || string(args.p) == "true"',
    "args.n + 1 > args.k - 1 && args.n * 2 == args.k / 2 && args.n % 2 == 1",
    "",
][1:-1]


@pytest.mark.parametrize("text", FORMS)
def test_every_form_agrees_with_the_reference(text):
    node = parse(text)
    check_condition(node, ENVIRONMENT)
    source = Random(1)
    for restricts in (True, False):
        reference, code = referenced(node, restricts), lowered(node, restricts)
        for _ in range(60):
            scope = make_scope(source)
            assert outcome_of(lambda: code(scope)) == outcome_of(lambda: reference(scope))  # noqa: B023


@settings(max_examples=300, derandomize=True, deadline=None, database=None,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(randoms(), st.integers(0, 2**32))
def test_a_rule_that_restricts_holds_wherever_one_that_permits_does(random, seed):
    node = parse(Maker(random, common=False).condition())
    faults: list[ExpressionFault] = []
    check_condition(node, ENVIRONMENT, faults)
    if faults:
        return
    wide, exact = lowered(node, True), lowered(node, False)
    source = Random(seed)
    for _ in range(20):
        scope = make_scope(source)
        if outcome_of(lambda: exact(scope)) == ("value", True):  # noqa: B023
            assert outcome_of(lambda: wide(scope)) != ("value", False), scope  # noqa: B023


def test_the_same_value_is_bound_once():
    bindings = Bindings()
    for text in ('args.a == "x"', 'args.b == "y"'):
        lower(parse(text), restricts=True, bindings=bindings)
    bound = list(bindings.namespace.values())
    assert len(bound) == len({id(value) for value in bound})


def test_variables_may_have_other_names_in_the_code():
    bindings = Bindings({"taken": 1}, variables={"args": "arguments"})
    code = ast.unparse(lower(parse("args.p == true"), restricts=True, bindings=bindings))
    assert "arguments.get('p'" in code
    assert bindings.namespace["taken"] == 1


@pytest.mark.parametrize("form", ["(args.q ? {} : args.p)", "(args.p in [{}])", "[{}][0]", "!{}"])
def test_nested_conditions_become_code_of_proportional_size(form):
    text = "args.p"
    for _ in range(20):
        text = form.format(text)
    code = ast.unparse(lower(parse(text), restricts=True, bindings=Bindings()))
    assert len(code) < 10_000


def test_enough_pairs_were_compared():
    assert counts["pairs"] >= 20_000, counts
    assert min(counts["value"], counts["error"], counts["missing"]) >= 500, counts
