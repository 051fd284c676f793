from __future__ import annotations

from random import Random
from types import MappingProxyType

import msgspec
import pytest
from conditions_made_up import lowered, make_scope, outcome_of, referenced
from hypothesis import given, settings
from hypothesis import strategies as st

from remit import text as texts
from remit.model import Finding, Outcome, Principal, Session, SessionId
from remit.policy.checking import check_condition
from remit.policy.comparison import ConditionError, MissingFact, Pattern, kind, wide_part
from remit.policy.evaluate import MAX_SEEN, Scope, ToolFacts, evaluate, trace, value_of
from remit.policy.expressions import parse
from remit.policy.operations import MAX_SIZE, arithmetic, moment
from remit.policy.render import MAX_WIDTH, render
from remit.policy.types import Environment

CONSTANTS = {"company": "@corp.com", "teams": ("red", "blue")}
ENVIRONMENT = Environment(constants=CONSTANTS, on_result=True)
AGENT = Principal(id="inventory-bot", roles=("reader",), team="warehouse")
SESSION = Session(id=SessionId("s1"), principal=AGENT, started_at=0, labels=("untrusted",),
                  calls={"db.query": 3, "DB.Query": 1}, intent="restock", depth=1)  # fmt: skip
SCOPE = Scope(
    agent=AGENT,
    user=Principal(id="ada", kind="person", roles=("buyer",)),
    session=SESSION,
    tool=ToolFacts(name="db.query", does=("read", "write"), declared=True),
    now=1_716_211_845_123_456_789,  # Monday 2024-05-20 13:30:45 UTC
    context={"ticket": "T-1", "nested": {"a": 1}},
    outcome=Outcome(status="ok", duration=5),
    result={"rows": [{"id": 1}]},
    findings=(Finding(kind="secret", where="args.body", message="a key"),),
    constants=CONSTANTS,
)


def run(text, args=None, *, restricts=False, **changes):
    """What a condition comes to; both evaluators must say the same."""
    node = parse(text)
    check_condition(node, ENVIRONMENT)
    scope = msgspec.structs.replace(SCOPE, args=args or {}, **changes)
    found = outcome_of(lambda: referenced(node, restricts)(scope))
    assert outcome_of(lambda: lowered(node, restricts, CONSTANTS)(scope)) == found
    return found[1]


def error(text, args=None, **changes):
    found = run(text, args, **changes)
    assert isinstance(found, str), found
    return found


@pytest.mark.parametrize(
    ("text", "args", "expected"),
    [
        ("args.a == 1", {"a": 1}, True),
        ("args.a == 1", {"a": 1.0}, True),
        ("args.a == 1.5", {"a": 1.5}, True),
        ("args.a == 9007199254740993", {"a": 2.0**53}, False),
        ("args.a == null", {"a": None}, True),
        ("args.a == null", {"a": []}, False),
        ("args.a != 1", {"a": None}, True),
        ("args.a == true", {"a": True}, True),
        ('args.a == "ａ"', {"a": "a"}, True),
        ("args.a == [1, [2.0]]", {"a": [1, [2]]}, True),
        ("args.a == [1, 2]", {"a": (1, 2)}, True),
        ("args.a == [1]", {"a": [1, "a"]}, False),
        ('args.a == {"x": 1, "y": null}', {"a": {"y": None, "x": 1}}, True),
        ('args.a == {"x": 1}', {"a": {"y": 1}}, False),
        ("args.a < 2 && args.a <= 1 && args.a > 0.5 && args.a >= 1", {"a": 1}, True),
        ('args.a < "b" && args.a >= "A"', {"a": "a"}, True),
        ("args.a > 9223372036854775807", {"a": 2**70}, True),
        ("args.a in [1, 2]", {"a": 2.0}, True),
        ('"b" in args.a', {"a": {"b": None}}, True),
        ("args.a in args.b", {"a": "x", "b": []}, False),
        ("args.a in args.b", {"a": None, "b": [1, None]}, True),
        ("args.a + args.b * 2 == 7", {"a": 1, "b": 3}, True),
        ("args.a / 2 == -3 && args.a % 2 == -1", {"a": -7}, True),
        ("args.a / -2 == -3 && args.a % -2 == 1", {"a": 7}, True),
        ("args.a / 2.0 == 3.5 && args.a - 0.5 == 6.5 && args.a * 1.5 == 10.5", {"a": 7}, True),
        ("args.a + 0.5 == 7.5", {"a": 7}, True),
        ("-args.a == 2.5", {"a": -2.5}, True),
        ("-args.a == 2", {"a": -2}, True),
        ('args.a + "b" == "ab"', {"a": "a"}, True),
        ("args.a + [2] == [1, 2]", {"a": (1,)}, True),
        ("size(args.a) == 2", {"a": "é😀"}, True),
        ("args.a.size() == 2", {"a": {"x": 1, "y": 2}}, True),
        ("min(args.a, 2, 3.5) == 1 && max(args.b) == 3.5", {"a": 1, "b": [3.5, 2]}, True),
        ('int(args.a) == 12 && double(args.a) == 12.0 && string(12) == args.a', {"a": "12"}, True),
        ("int(args.a) == -2 && double(3) == 3.0 && int(7) == 7", {"a": -2.9}, True),
        ('double(args.a) == -1500.0', {"a": "-1.5e3"}, True),
        ('string(args.a) == "2" && string(1.5) == "1.5" && string(true) == "true"', {"a": 2.0},
         True),
        ('string(args.a) == "1e+20" && string(false) == "false" && string("x") == "x"',
         {"a": 1e20}, True),
        ('string(args.a) == "1000000000000000"', {"a": 1e15}, True),
        ('args.a.lowerAscii() == "abc É"', {"a": "ABC É"}, True),
        ('args.a.upperAscii() == "ABC é"', {"a": "abc é"}, True),
        ('args.a.trim() == "a b"', {"a": "\u2003\ta b\n"}, True),
        ('args.a.split(",") == ["a", "", "b"]', {"a": "a,,b"}, True),
        ('args.a.split(",") == ["a", "b"]', {"a": "a，b"}, True),
        ('args.a.split("") == ["a", "b"]', {"a": "ab"}, True),
        ('args.a.contains("b") && args.a.startsWith("a") && args.a.endsWith("c")', {"a": "abc"},
         True),
        ('args.a.matches("^a.c$") && !args.a.matches("^b")', {"a": "abc"}, True),
        ('args.a.matches("^ａ") || args.a.matches("^a")', {"a": "ａ"}, True),
        ("args.a.all(x, x > 0)", {"a": []}, True),
        ("args.a.all(x, x > 0) || args.a.exists(x, x > 1)", {"a": [0, 2]}, True),
        ("args.a.exists_one(x, x > 1)", {"a": [0, 2, 3]}, False),
        ("args.a.filter(x, x > 1) == [2, 3]", {"a": [0, 2, 3]}, True),
        ("args.a.map(x, x * 2) == [0, 4]", {"a": [0, 2]}, True),
        ('args.a.all(key, key == "k")', {"a": {"k": 1}}, True),
        ("args.a.b[0].c == 1", {"a": {"b": [{"c": 1}]}}, True),
        ('args["a"]["b"] == 1', {"a": MappingProxyType({"b": 1})}, True),
        ("args.a.b == 1 && has(args.a.b)", {"a": MappingProxyType({"b": 1})}, True),
        ("has(args.a) && !has(args.b) && has(args.a.x)", {"a": {"x": None}}, True),
        ("args.a ? args.b : false", {"a": True, "b": True}, True),
        ("args.a || args.b", {"a": True}, True),
        ("args.a && args.b", {"a": False}, False),
        ("agent.id == 'inventory-bot' && 'reader' in agent.roles && agent.team == 'warehouse'", {},
         True),
        ("user.id == 'ada' && 'buyer' in user.roles && user.team == null && !has(user.team)", {},
         True),
        ("session.intent.startsWith('re') && session.depth == 1 && session.id == 's1'", {}, True),
        ("'untrusted' in session.labels && flows(args, untrusted) && !flows(args, secret)", {},
         True),
        ("session.calls('ＤＢ.query') == 4 && session.calls('x') == 0", {}, True),
        ("tool.name == 'db.query' && tool.declared && 'write' in tool.does", {}, True),
        ("context.ticket == 'T-1' && context.nested.a == 1 && context['ticket'] == 'T-1'", {},
         True),
        ("now.year == 2024 && now.month == 5 && now.day == 20 && now.weekday == 1", {}, True),
        ("now.hour == 13 && now.minute == 30 && now.epoch == 1716211845", {}, True),
        ("outcome.status == 'ok' && outcome.error == null && outcome.duration == 5", {}, True),
        ("result.rows[0].id == 1 && has(result.rows)", {}, True),
        ("findings.exists(f, f.kind == 'secret' && f.where == 'args.body')", {}, True),
        ("'@corp.com' == company && 'red' in teams", {}, True),
        ("sql(args.a).destructive && sql(args.a, 'postgres').statements == 1",
         {"a": "drop table t"}, True),
        ("json(args.a).x == 1", {"a": '{"x": 1}'}, True),
        ("path(args.a).within('/srv')", {"a": "/srv/x"}, True),
    ],
)  # fmt: skip
def test_condition(text, args, expected):
    assert run(text, args) is expected
    assert run(text, args, restricts=True) is expected


@pytest.mark.parametrize(
    ("text", "args", "message", "at"),
    [
        # P06: another type than expected is an error, never a mismatch
        ('args.a == "drop"', {"a": ["drop"]}, "`==` between list and string", 7),
        ('args.a == "drop"', {"a": {"x": "drop"}}, "`==` between map and string", 7),
        ('"1" != args.a', {"a": 1}, "`==` between string and int", 4),
        ("args.a == 1", {"a": True}, "`==` between bool and int", 7),
        ("args.a == true", {"a": 1}, "`==` between int and bool", 7),
        ("args.a == [1]", {"a": ["1"]}, "`==` between string and int", 7),
        ('args.a == {"x": 1}', {"a": {"x": True}}, "`==` between bool and int", 7),
        ('args.a == {"a": 1}', {"a": {"a": 1, "ａ": 1}},
         "a map with two keys that read the same", 7),
        ("args.a in [1, 2]", {"a": "1"}, "`==` between string and int", 7),
        ('args.a in ["a"]', {"a": 1}, "`==` between int and string", 7),
        ("1 in args.a", {"a": {"1": 1}}, "the keys of a map are strings, this is int", 2),
        ("1 in args.a", {"a": "1"}, "a list or a map is needed here, this is string", 2),
        ("args.a < 1", {"a": True}, "`<` between bool and int", 7),
        ("args.a < args.b", {"a": "1", "b": 1}, "`<` between string and int", 7),
        ("args.a < 1", {"a": None}, "`<` between null and int", 7),
        ("args.a < 1", {"a": float("nan")}, "a number is NaN", 7),
        ("args.a == 1", {"a": float("nan")}, "a number is NaN", 7),
        ("args.a.contains('x')", {"a": ["x"]}, "`contains` needs a string, this is list", 7),
        ("args.a.contains(args.b)", {"a": "x", "b": 1},
         "`contains` needs a string, this is int", 7),
        ("args.a.matches('x')", {"a": 1}, "`matches` needs a string, this is int", 7),
        ("args.a.matches('x')", {"a": "\ud800"}, "half of a surrogate pair in a string", 7),
        # P13: a field that is absent is no value at all
        ("args.a <= 100", {}, "there is no field `a`", 5),
        ("args.a == null", {}, "there is no field `a`", 5),
        ('args["a"] == 1', {}, "there is no field `a`", 0),
        ("args.a.b == 1", {"a": {}}, "there is no field `b`", 7),
        ("args.a.b == 1", {"a": [1]}, "list has no field `b`", 7),
        ("has(args.a.b)", {}, "there is no field `a`", 9),
        ("has(args.a.b)", {"a": 1}, "int has no field `b`", 11),
        ("args.a[1] == 1", {"a": [1]}, "there is no element 1 in a list of 1", 0),
        ("args.a[-1] == 1", {"a": [1]}, "there is no element -1 in a list of 1", 0),
        ("args.a[0] == 1", {"a": {"0": 1}}, "a map cannot be indexed by int", 0),
        ("args.a[args.b] == 1", {"a": [1], "b": True}, "a list cannot be indexed by bool", 0),
        # Arithmetic
        ("args.a / 0 == 1", {"a": 1}, "division by zero", 7),
        ("args.a % 0 == 1", {"a": 1}, "division by zero", 7),
        ("args.a / 0.0 == 1", {"a": 1}, "division by zero", 7),
        ("args.a + 1 == 1", {"a": 2**63 - 1}, "a number does not fit into 64 bits", 7),
        ("args.a * 2 == 1", {"a": 2**62}, "a number does not fit into 64 bits", 7),
        ("args.a / -1 == 1", {"a": -(2**63)}, "a number does not fit into 64 bits", 7),
        ("args.a % -1 == 1", {"a": -(2**63)}, "a number does not fit into 64 bits", 7),
        ("args.a - 1 == 1", {"a": 2**70}, "a number does not fit into 64 bits", 7),
        ("args.a * 1.5 == 1.0", {"a": 2**70}, "a number does not fit into 64 bits", 7),
        ("-args.a == 1", {"a": -(2**63)}, "a number does not fit into 64 bits", 0),
        ("args.a * 1e300 == 1.0", {"a": 1e300}, "a number is too large for a double, or NaN", 7),
        ("args.a + 1.0 == 1.0", {"a": float("inf")},
         "a number is too large for a double, or NaN", 7),
        ("-args.a == 1", {"a": "1"}, "`-` before string", 0),
        ("-args.a == 1", {"a": float("nan")}, "a number is NaN", 0),
        ("args.a + 1 == 1", {"a": "1"}, "`+` between string and int", 7),
        ("args.a - args.a == 1", {"a": "x"}, "`-` between string and string", 7),
        ("args.a % 2 == 1", {"a": 1.5}, "`%` between double and int", 7),
        ("args.a + 1 == 1", {"a": True}, "`+` between bool and int", 7),
        # Functions
        ("size(args.a) > 0", {"a": 1}, "int has no size", 0),
        ("int(args.a) > 0", {"a": "1.5"}, "this string is not a whole number", 0),
        ("int(args.a) > 0", {"a": " 1"}, "this string is not a whole number", 0),
        ("int(args.a) > 0", {"a": True}, "this bool is not a whole number", 0),
        ("int(args.a) > 0", {"a": "9999999999999999999"}, "a number does not fit into 64 bits", 0),
        ("int(args.a) > 0", {"a": 1e300}, "a number does not fit into 64 bits", 0),
        ("double(args.a) > 0.0", {"a": "NaN"}, "this string is not a number", 0),
        ("double(args.a) > 0.0", {"a": "1e999"}, "a number is too large for a double, or NaN", 0),
        ("double(args.a) > 0.0", {"a": []}, "this list is not a number", 0),
        ("string(args.a) == ''", {"a": None}, "null cannot be written as a string", 0),
        ("min(args.a) > 0", {"a": []}, "min and max need at least one number", 0),
        ("min(args.a) > 0", {"a": 1}, "min and max need at least one number", 0),
        ("max(args.a, 1) > 0", {"a": True}, "min and max compare numbers, this is bool", 0),
        ("max(args.a, 1) > 0", {"a": float("nan")}, "a number is NaN", 0),
        ("args.a.trim() == ''", {"a": 1}, "`trim` needs a string, this is int", 7),
        ("args.a.split(args.b) == []", {"a": "", "b": 1}, "`split` needs a string, this is int", 7),
        ("session.calls(args.a) > 1", {"a": 1}, "`calls` needs a string, this is int", 8),
        ("url(args.a).host == ''", {"a": 1}, "`url` needs a string, this is int", 0),
        ("path('/a').within(args.a)", {"a": 1}, "`within` needs a string, this is int", 11),
        # Conditions
        ("args.a", {"a": 1}, "a condition is true or false, this is int", 0),
        ("!args.a", {"a": None}, "a condition is true or false, this is null", 1),
        ("args.a && true", {"a": "true"}, "a condition is true or false, this is string", 0),
        ("args.a ? true : true", {"a": 1}, "a condition is true or false, this is int", 0),
        ("args.a.all(x, x)", {"a": [True, 1]}, "a condition is true or false, this is int", 14),
        ("args.a.filter(x, x) == []", {"a": [1]}, "a condition is true or false, this is int", 17),
        ("args.a.all(x, x == 1)", {"a": 1}, "a list or a map is needed here, this is int", 7),
        # Left to right: what is evaluated must not fail, even if the other side would decide
        ("args.a == 1 || true", {}, "there is no field `a`", 5),
        ("args.a == 1 && false", {}, "there is no field `a`", 5),
        ("args.a.exists(x, 1 / x == 1)", {"a": [0, 1]}, "division by zero", 19),
        ("flows(args.a, untrusted)", {}, "there is no field `a`", 11),
    ],
)  # fmt: skip
def test_condition_error(text, args, message, at):
    node = parse(text)
    check_condition(node, ENVIRONMENT)
    scope = msgspec.structs.replace(SCOPE, args=args)
    for restricts in (True, False):
        for evaluator in (referenced(node, restricts), lowered(node, restricts, CONSTANTS)):
            with pytest.raises(ConditionError) as caught:
                evaluator(scope)
            assert (caught.value.message, caught.value.offset) == (message, at)


def test_a_reader_that_cannot_read_is_an_error():
    assert error("sql(args.a).read_only", {"a": "selec ("}).startswith("`sql` cannot read this: ")
    assert error("json(args.a) == 1", {"a": "{"}).startswith("`json` cannot read this: ")


@pytest.mark.parametrize(
    ("text", "changes", "message", "at"),
    [
        ("context.gone == 1", {}, "the context does not say `gone`", 8),
        ("context.nested.gone == 1", {}, "the context does not say `gone`", 15),
        ('context["gone"] == 1', {}, "the context does not say `gone`", 0),
        ('context.nested["gone"] == 1', {}, "the context does not say `gone`", 0),
        ("has(context.gone.x)", {}, "the context does not say `gone`", 12),
        ("user.id == 'ada'", {"user": None}, "it is not known on whose behalf the agent acts", 0),
        ("'x' in user.roles", {"user": None}, "it is not known on whose behalf the agent acts", 7),
    ],
)
def test_missing_fact(text, changes, message, at):
    node = parse(text)
    check_condition(node, ENVIRONMENT)
    scope = msgspec.structs.replace(SCOPE, **changes)
    for evaluator in (referenced(node, True), lowered(node, False)):
        with pytest.raises(MissingFact) as caught:
            evaluator(scope)
        assert (caught.value.message, caught.value.offset) == (message, at)


def test_presence_of_facts():
    assert run("!has(context.gone) && has(context.ticket)") is True
    assert run("has(user.id)") is True
    assert run("has(user.id)", user=None) is False
    assert (
        run("has(agent.team) && has(now.hour) && has(sql(args.q).reads)", {"q": "select 1"}) is True
    )
    bare = msgspec.structs.replace(AGENT, team=None)
    assert run("has(agent.team)", agent=bare) is False


def test_calls_that_are_not_counted_by_name_are_an_error():
    crowded = msgspec.structs.replace(SESSION, calls={"db.query": 3, "*": 1})
    assert run("session.calls('db.query') == 3", session=crowded) is True
    assert "not counted by itself" in error("session.calls('x') == 0", session=crowded)


SPELLINGS = {
    "P01": "DROP",
    "P02": " drop  ",
    "P03": "ｄｒｏｐ",
    "P04": "dr\u200bop",
    "P05": "drοp",  # with a Greek omicron
    "control": "dr\x00o\x07p",
}


@pytest.mark.parametrize("probe", SPELLINGS)
@pytest.mark.parametrize(
    "text",
    [
        'args.a == "drop"',
        '"drop" == args.a',
        "args.a == args.b",
        'args.a in ["drop", "truncate"]',
        'args.a in ["drop", "x y"]',
        "args.a in args.list",
        '"drop" in args.given',
        'args.a.contains("drop")',
        'args.a.contains("ro")',
        'args.a.startsWith("drop")',
        'args.a.endsWith("op")',
        'args.a.matches("^drop$")',
        'args.a.matches("DROP")',
        '!(args.a != "drop")',
        'true && (false || args.a == "drop")',
        'args.given.exists(x, x == "drop")',
        '!args.given.all(x, x != "drop")',
        'true ? args.a == "drop" : false',
        '[args.a] == ["drop"]',
        '{"k": args.a} == {"k": "drop"}',
    ],
)
def test_other_spellings_meet_a_rule_that_restricts(probe, text):
    args = {"a": SPELLINGS[probe], "b": "drop", "list": ["drop"], "given": [SPELLINGS[probe]]}
    assert run(text, args, restricts=True) is True


@pytest.mark.parametrize("probe", SPELLINGS)
@pytest.mark.parametrize(
    "text",
    [
        'args.a == "drop"',
        'args.a in ["drop", "truncate"]',
        'args.a.matches("^drop$")',
        '[args.a] == ["drop"]',
        'args.a != "drop" ? false : true',
        '!(args.a != "drop" && true)',
    ],
)
def test_other_spellings_do_not_meet_a_rule_that_permits(probe, text):
    # Full-width letters are the same text by Unicode (NFKC): they are equal either way.
    assert run(text, {"a": SPELLINGS[probe]}) is (probe == "P03")


@pytest.mark.parametrize("probe", SPELLINGS)
def test_a_negated_test_in_a_rule_that_permits_reads_generously(probe):
    args = {"a": SPELLINGS[probe]}
    assert run('!(args.a == "drop")', args) is False
    assert run('args.a != "drop"', args) is False
    assert run('!args.a.contains("drop")', args) is False
    assert run('!["drop"].exists(x, x == args.a)', args) is False


@pytest.mark.parametrize("probe", ["P01", "P02", "P04", "P05", "control"])
def test_a_negated_test_in_a_rule_that_restricts_reads_exactly(probe):
    args = {"a": SPELLINGS[probe]}
    assert run('!(args.a == "drop")', args, restricts=True) is True
    assert run('args.a != "drop"', args, restricts=True) is True


@pytest.mark.parametrize(
    "text",
    [
        '(args.a == "drop" ? 1 : 0) == 1',
        '[args.a].filter(x, x == "drop").size() == 1',
        '[args.a].map(x, x == "drop")[0]',
        '[args.a].exists_one(x, x == "drop")',
        '(args.a == "drop") == true',
    ],
)
def test_where_truth_has_no_direction_strings_are_read_exactly(text):
    assert run(text, {"a": "DROP"}, restricts=True) is False
    assert run(text, {"a": "DROP"}) is False
    assert run(text, {"a": "drop"}) is True


def test_a_rule_that_restricts_finds_fields_in_other_spellings():
    for key in ("CMD", "ｃｍｄ", "c\u200bmd", " cmd"):
        assert run("has(args.cmd)", {key: 1}, restricts=True) is True
        assert run("has(args.cmd)", {key: 1}) is False
        assert run("!has(args.cmd)", {key: 1}) is False
        assert run("has(args.o.cmd)", {"o": {key: 1}}, restricts=True) is True
        assert run('"cmd" in args', {key: 1}, restricts=True) is True
        assert run('"cmd" in args', {key: 1}) is False
    assert run("has(args.cmd)", {"c": 1, "other": 2}, restricts=True) is False


def test_what_is_read_from_a_field_in_another_spelling_is_an_error():
    assert error('has(args.cmd) && args.cmd == "x"', {"CMD": "x"}, restricts=True) == (
        "there is no field `cmd`"
    )


def test_runs_of_blanks_count_as_one_for_a_rule_that_restricts():
    for text in (
        'args.a == "drop table"',
        'args.a in ["drop table", "x"]',
        'args.a.contains("p t")',
        'args.a.startsWith("drop t")',
    ):
        assert run(text, {"a": "DROP \t TABLE"}, restricts=True) is True
        assert run(text, {"a": "DROP \t TABLE"}) is False
    assert run('args.a == "droptable"', {"a": "drop table"}, restricts=True) is False


def test_blanks_at_the_ends_of_what_is_looked_for_count():
    for text in ('args.a.contains(" or ")', 'args.a.contains(" or")', 'args.a.endsWith(" or")'):
        assert run(text, {"a": "for"}, restricts=True) is False
        assert run(text, {"a": "1  OR"}, restricts=True) is True
    assert run('args.a.startsWith("or ")', {"a": "  OR\t1=1"}, restricts=True) is True
    assert run('args.a.startsWith("or ")', {"a": "order"}, restricts=True) is False
    assert run('args.a.contains(" ")', {"a": "ab"}, restricts=True) is False
    assert run('args.a.contains("\\u200b")', {"a": "ab"}, restricts=True) is False
    assert run('args.a.contains("\\u200b")', {"a": "a\u200bb"}, restricts=True) is True


def test_a_pattern_with_a_complement_is_not_narrowed_by_reading_generously():
    assert run('args.a.matches("[^a-z]")', {"a": "ABC"}) is True
    assert run('args.a.matches("[^a-z]")', {"a": "ABC"}, restricts=True) is True
    assert run('args.a.matches("^drop table$")', {"a": "DROP  TABLE"}, restricts=True) is True
    assert run('args.a.matches("^\\u200b")', {"a": "\u200bx"}, restricts=True) is True


@pytest.mark.parametrize("pattern", ["(a", "(?=a)", r"\1", r"\Qa", "a{1001}", "["])
def test_a_pattern_that_re2_refuses_is_an_error(pattern):
    with pytest.raises(ValueError, match=r"\w"):
        Pattern(pattern)


def test_an_expensive_pattern_runs_in_linear_time():
    assert run('args.a.matches("^(a+)+$")', {"a": "a" * 50_000 + "b"}, restricts=True) is False


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("args.a.all(x, true)", 100_000),
        ("1 in args.a", 100_000),
        ("args.a.all(x, args.b.all(y, true))", 1_000),
        ("args.a.all(x, x in args.b || true)", 1_000),
        ("args.a.all(x, args.b.all(y, args.b.all(z, true)))", 100),
    ],
)
def test_loops_are_bounded_by_how_deep_they_are_nested(text, limit):
    assert run(text, {"a": [1] * limit, "b": [1]}) is True
    assert error(text, {"a": [1] * (limit + 1), "b": [1]}) == (
        f"a list of {limit + 1:,} elements; this condition walks at most {limit:,}"
    )


def test_results_are_bounded_in_size():
    half = "x" * (MAX_SIZE // 2)
    assert len(arithmetic(half, half, "+", 0)) == MAX_SIZE
    with pytest.raises(ConditionError, match="longer than 4,194,304"):
        arithmetic(half + "x", half, "+", 0)
    with pytest.raises(ConditionError, match="longer than 4,194,304"):
        arithmetic([0] * MAX_SIZE, [0], "+", 0)


def test_a_moment_agrees_with_the_calendar():
    assert moment(0) == (0, 1970, 1, 1, 0, 0, 4)
    assert moment(951_782_400 * 10**9) == (951_782_400, 2000, 2, 29, 0, 0, 2)
    assert moment(4_102_444_799 * 10**9) == (4_102_444_799, 2099, 12, 31, 23, 59, 4)


def test_kinds_of_values():
    values = [None, True, 1, 1.0, "", (), [], {}, object()]
    expected = ["null", "bool", "int", "double", "string", "list", "list", "map", "record"]
    assert [kind(value) for value in values] == expected


def test_value_of_gives_any_value():
    assert value_of(parse("args.a + 1"), msgspec.structs.replace(SCOPE, args={"a": 1})) == 2
    with pytest.raises(MissingFact):
        value_of(parse("context.gone"), SCOPE)


@settings(max_examples=500, derandomize=True, deadline=None, database=None)
@given(st.text(max_size=8), st.text(max_size=8))
def test_equal_text_has_equal_wide_forms(a, b):
    assert texts.fold(texts.normal(a)) == texts.fold(a)
    assert run("args.a == args.b", {"a": a, "b": texts.normal(a)}) is True
    for text in ("args.a == args.b", "args.a.contains(args.b)", "args.a.startsWith(args.b)",
                 "args.a.endsWith(args.b)", "args.a in [args.b]"):  # fmt: skip
        node = parse(text)
        scope = msgspec.structs.replace(SCOPE, args={"a": a, "b": b})
        assert evaluate(node, scope, True) or not evaluate(node, scope, False)


def test_the_wide_form_of_a_part_keeps_one_blank_at_an_end():
    assert wide_part("  DROP  table ") == " drop table "
    assert wide_part("a") == "a"
    assert wide_part(" \u200b") is None


# Traces


def seen(text, args=None, **changes):
    node = parse(text)
    check_condition(node, ENVIRONMENT)
    return trace(node, msgspec.structs.replace(SCOPE, args=args or {}, **changes), True)


def test_a_trace_holds_the_values_that_decided():
    found = seen('args.tool == "rm" && args.n > 3 || context.ticket == "x"', {"tool": "RM", "n": 2})
    assert found.value is False
    assert found.error is None
    assert found.seen == (("args.tool", '"RM"'), ("args.n", "2"), ("context.ticket", '"T-1"'))


def test_a_trace_leaves_out_what_was_not_read():
    found = seen('args.a == "x" || args.b == "y"', {"a": "x", "b": "y"})
    assert found.seen == (("args.a", '"x"'),)


def test_a_trace_shows_what_a_reader_was_given_and_gave():
    found = seen("sql(args.q).destructive", {"q": "drop table t"})
    assert found.seen == (("args.q", '"drop table t"'), ("sql(args.q).destructive", "true"))


def test_a_trace_shows_the_element_that_decided():
    found = seen(
        "args.to.all(r, r.endsWith(company))", {"to": ["a@corp.com", "eve@x", "b@corp.com"]}
    )
    assert dict(found.seen)["r"] == '"eve@x"'


def test_a_trace_of_a_failure_holds_the_error():
    found = seen("args.a == 1 && args.b == 1", {"a": 1})
    assert found.value is None
    assert isinstance(found.error, ConditionError)
    assert found.seen == (("args.a", "1"),)
    assert isinstance(seen("user.id == 'ada'", user=None).error, MissingFact)


def test_a_trace_is_bounded():
    text = " && ".join(f"args.a{i} == {i}" for i in range(30))
    assert len(seen(text, {f"a{i}": i for i in range(30)}).seen) == MAX_SEEN


# Rendering


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"), (True, "true"), (False, "false"), (12, "12"), (1.5, "1.5"), ("a", '"a"'),
        ('a"\\b', r'"a\"\\b"'), ("a\nb\x1b[31m", r'"a\nb\u001b[31m"'), ("é😀", '"é😀"'),
        ("a\u200bb\u202ec", r'"a\u200bb\u202ec"'), ("\U000e0041", r'"\u{e0041}"'),
        ("\u2028", r'"\u2028"'), ("\ud800", r'"\ud800"'), ([1, "a", []], '[1, "a", []]'),
        ((), "[]"), ({"a": {"b\n": 1}, "c": 2}, r'{"a": {"b\n": 1}, "c": 2}'), ({}, "{}"),
        (object(), "object"), (10**100, "an int of 333 bits"),
    ],
)  # fmt: skip
def test_render(value, expected):
    assert render(value) == expected


@pytest.mark.parametrize("value", ["x" * 1000, "\x00" * 1000, ["x" * 50] * 50, list(range(10**6))])
def test_a_long_value_is_cut(value):
    found = render(value)
    assert len(found) <= MAX_WIDTH
    assert found.endswith("\u2026")


def test_a_deep_value_is_cut():
    value: list[object] = []
    for _ in range(10_000):
        value = [value]
    assert render(value) == "[" * 79 + "\u2026"


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_a_rendering_is_one_short_printable_line(value):
    found = render(value)
    assert len(found) <= MAX_WIDTH
    assert found.isprintable()
    assert not texts.invisibles(found)


def test_made_up_scopes_are_varied():
    random = Random(1)
    assert len({str(make_scope(random).args) for _ in range(50)}) == 50
