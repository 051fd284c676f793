from __future__ import annotations

from random import Random

import msgspec
import pytest
from conditions_made_up import Maker, make_scope, outcome_of, referenced
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.policy.checking import check, check_condition
from remit.policy.expressions import parse
from remit.policy.signatures import constant_text, suggestion
from remit.policy.tokens import ExpressionFault
from remit.policy.types import (
    BOOL,
    DOUBLE,
    DYN,
    INT,
    LIST,
    MAP,
    NULL,
    NUMBER,
    STRING,
    STRINGS,
    Environment,
    Field,
    Type,
    comparable,
    declared,
    from_schema,
    named,
    type_of,
)

ARGS = Type(
    "map",
    fields={
        "query": Field(STRING),
        "count": Field(INT),
        "ratio": Field(DOUBLE),
        "amount": Field(NUMBER),
        "dry": Field(BOOL),
        "tags": Field(STRINGS),
        "any": Field(DYN),
        "items": Field(LIST),
        "numbers": Field(Type("list", NUMBER)),
        "open": Field(MAP),
        "to": Field(Type("map", fields={"name": Field(STRING), "mail": Field(STRING, True)}), True),
        "note": Field(STRING, optional=True),
    },
)
CONSTANTS = {"company": "@corp.com", "limit": 10, "teams": ["red", "blue"], "shape": {"a": 1}}
ENVIRONMENT = Environment(args=ARGS, constants=CONSTANTS, labels=frozenset({"untrusted", "secret"}),
                          tools=frozenset({"db.query", "send_email"}))  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("null", NULL), ("true", BOOL), ("1", INT), ("1.5", DOUBLE), ('"a"', STRING),
        ("[1, 2]", Type("list", INT)), ("[1, 2.5]", Type("list", NUMBER)), ('[1, "a"]', LIST),
        ("[]", LIST), ('{"a": 1}', MAP), ("args.query", STRING), ('args["count"]', INT),
        ("args.any.b.c", DYN), ("args.any[0]", DYN), ("args.tags[0]", STRING),
        ("args.open.x", DYN), ('args.open["x"]', DYN), ("args.items[0]", DYN),
        ("agent.roles", STRINGS), ("now.hour", INT), ("session.calls(args.query)", INT),
        ("company", STRING), ("limit", INT), ("teams", STRINGS), ("shape.a", INT),
        ("findings[0].kind", STRING), ("context.x", DYN), ("tool.declared", BOOL),
        ("has(args.note)", BOOL), ("has(context.a)", BOOL), ("has(user.id)", BOOL),
        ("!args.dry", BOOL), ("-args.count", INT), ("-args.any", NUMBER),
        ("args.count + 1", INT), ("args.count + 1.5", DOUBLE), ("args.amount * 2", NUMBER),
        ("args.any * 2", NUMBER), ("args.any * 2.0", DOUBLE), ("args.any + 2", DYN),
        ("args.any + args.any", DYN), ('args.any + "a"', DYN), ('args.query + "a"', STRING),
        ("args.tags + args.tags", STRINGS), ("args.count % 2", INT),
        ("args.dry ? 1 : 2", INT), ('args.dry ? 1 : "a"', DYN), ("args.dry ? 1 : 2.0", NUMBER),
        ("args.query.split(',')", STRINGS), ("args.query.size()", INT), ("size(args.tags)", INT),
        ("args.any.trim()", STRING), ("args.any.size()", INT), ("int(args.query)", INT),
        ("double(args.count)", DOUBLE), ("string(args.dry)", STRING),
        ("min(args.count, 3)", INT), ("max(args.numbers)", NUMBER), ("max(args.any)", NUMBER),
        ("min(args.any, 1)", NUMBER), ("max(args.items)", NUMBER),
        ("sql(args.query).read_only", BOOL), ('sql(args.query, "postgres").reads', STRINGS),
        ("shell(args.query).flags('rm')", STRINGS), ("json(args.query)", DYN),
        ("args.tags.map(x, size(x))", Type("list", INT)),
        ("args.tags.filter(x, x == company)", STRINGS),
        ("args.open.map(k, k)", Type("list", STRING)), ("args.any.all(x, x)", BOOL),
        ("args.tags.exists_one(x, x.contains('a'))", BOOL), ("flows(args, untrusted)", BOOL),
        ('flows(args.any, "secret")', BOOL), ('args.count in [1, 2.5]', BOOL),
        ('"a" in args.open', BOOL), ("args.any in args.any", BOOL), ("args.count == 1.5", BOOL),
        ("args.query == null", BOOL), ("args.tags == args.items", BOOL),
        ("agent.team == null", BOOL),
        ("args.any < 3", BOOL), ('args.query < "b"', BOOL), ("args.query.matches(company)", BOOL),
        ("args.query.matches('^' + company)", BOOL), ('session.calls("db.query")', INT),
        ("args.tags == []", BOOL), ("session.intent.contains('x')", BOOL),
    ],
)  # fmt: skip
def test_type(text, expected):
    assert check(parse(text), ENVIRONMENT) == expected


@pytest.mark.parametrize(
    "text",
    [
        "has(args.note) && args.note == 'x'",
        "!has(args.note) || args.note == 'x'",
        "has(args.note) ? args.note == 'x' : true",
        "!has(args.note) ? true : args.note == 'x'",
        "!(!has(args.note)) && args.note == 'x'",
        "!(!has(args.note) || args.dry) && args.note == 'x'",
        "(has(args.note) && args.dry) && args.note == 'x'",
        "(has(args.note) || has(args.note) && args.dry) && args.note == 'x'",
        "'note' in args && args.note == 'x'",
        "has(args.to) && has(args.to.mail) && args.to.mail == 'x'",
        "has(args.to) && args.to.name == 'x'",
        "has(args.note) && args['note'] == 'x'",
        "has(args.note) && args.tags.all(t, t == args.note)",
        "has(args.to) && [args.to].all(t, has(t.mail) && t.mail == 'x')",
        "!(has(args.note) && args.dry) || args.note == 'x'",
        "has(args.any.x)",
        "has(json(args.query).x) || args.dry",
        "'x' in json(args.query) || args.dry",
    ],
)
def test_a_guard_makes_an_optional_field_readable(text):
    check_condition(parse(text), ENVIRONMENT)


@pytest.mark.parametrize(
    "text",
    [
        "args.note == 'x'",
        "has(args.note) || args.note == 'x'",
        "!has(args.note) && args.note == 'x'",
        "(has(args.note) || args.dry) && args.note == 'x'",
        "has(args.note) ? true : args.note == 'x'",
        "args.note == 'x' && has(args.note)",
        "has(args.to) && has(args.to.mail) || args.to.mail == 'x'",
        "'note' in args || args['note'] == 'x'",
        "('note' in args) == true && args.note == 'x'",
    ],
)
def test_an_optional_field_without_its_guard_is_a_fault(text):
    with pytest.raises(ExpressionFault, match="may be missing"):
        check_condition(parse(text), ENVIRONMENT)


@pytest.mark.parametrize(
    ("text", "at", "message", "suggestion"),
    [
        # Names
        ("arg.query == 'x'", (0, 3), "there is no variable `arg`", "did you mean args?"),
        ("input.query == 'x'", (0, 5), "there is no variable `input`", "did you mean args?"),
        ("compny == 'x'", (0, 6), "there is no variable `compny`", "did you mean company?"),
        ("zzzzz", (0, 5), "there is no variable `zzzzz`", None),
        ("result == 1", (0, 6), "`result` is only known after the tool has run",
         "add `on: result` to the rule"),
        ("outcome.status == 'ok'", (0, 7), "`outcome` is only known after the tool has run",
         "add `on: result` to the rule"),
        ("args.qurey == 'x'", (5, 5), "`args` has no field `qurey`", "did you mean query?"),
        ("has(args.qurey)", (9, 5), "`args` has no field `qurey`", "did you mean query?"),
        ("args['qurey'] == 'x'", (5, 7), "`args` has no field `qurey`", "did you mean query?"),
        ("agent.name == 'x'", (6, 4), "`agent` has no field `name`", "known here: id, roles, team"),
        ("agent['id'] == 'x'", (6, 4), "`agent` has no field `id`", "write agent.id"),
        ("session.calls > 1", (8, 5), "`session` has no field `calls`", "write session.calls(...)"),
        ("args.query.size > 1", (11, 4), "string has no field `size`", "write size(args.query)"),
        ("args.query.trim == 'a'", (11, 4), "string has no field `trim`", "write .trim(...)"),
        ("args.count.x == 1", (11, 1), "int has no field `x`", None),
        ("args.tags.length > 0", (10, 6), "list<string> has no field `length`",
         "write size(args.tags)"),
        ("args.note == 'x'", (5, 4), "`args.note` may be missing", "write has(args.note) && ..."),
        ("args['note'] == 'x'", (5, 6), "`args['note']` may be missing",
         'write "note" in args && ...'),
        ("args[args.query] == 'x'", (5, 10), "the name of a field is written out",
         'write ["name"]'),
        ("args.open[0] == 'x'", (10, 1), "a field of a map is asked for by name; this is int",
         "write string(0)"),
        ("args.tags['x'] == 'x'", (10, 3),
         "an element of a list is asked for by number; this is string", None),
        ("args.tags[0.5] == 'x'", (10, 3), "the elements of a list have whole numbers", None),
        ("args.count[0] == 1", (0, 10), "int cannot be indexed", None),
        ("agent", (0, 5), "`agent` has fields", "write e.g. agent.id"),
        ("agent == user", (0, 5), "`agent` has fields", "write e.g. agent.id"),
        ("sql(args.query) == 'x'", (0, 15), "`sql(args.query)` has fields",
         "write e.g. sql(args.query).statements"),
        ("sql(args.query).tables == []", (16, 6), "`sql(args.query)` has no field `tables`",
         "known here: statements, kinds, reads, writes, functions, read_only, destructive"),
        # Operators
        ("!args.query", (1, 10), "`!` turns true and false around; this is string",
         "write size(args.query) > 0"),
        ("!args.count", (1, 10), "`!` turns true and false around; this is int",
         "write args.count != 0"),
        ("-args.query == 1", (1, 10), "`-` goes before a number; this is string", None),
        ("args.dry && args.tags", (12, 9), "`&&` joins conditions; this is list<string>",
         "write size(args.tags) > 0"),
        ("args.count || true", (0, 10), "`||` joins conditions; this is int",
         "write args.count != 0"),
        ("null ? true : false", (0, 4), "`?` follows a condition; this is null",
         "compare it with something, e.g. == null"),
        ("args.query == 1", (0, 15), "string and int cannot be compared by `==`",
         "write string(1) or int(args.query)"),
        ("1.5 != args.query", (0, 17), "double and string cannot be compared by `!=`",
         "write string(1.5) or int(args.query)"),
        ("args.tags == 'x'", (0, 16), "list<string> and string cannot be compared by `==`",
         "write 'x' in args.tags"),
        ("'x' == args.tags", (0, 16), "string and list<string> cannot be compared by `==`",
         "write 'x' in args.tags"),
        ("args.tags == [1]", (0, 16), "list<string> and list<int> cannot be compared by `==`",
         None),
        ("args.dry == 1", (0, 13), "bool and int cannot be compared by `==`", None),
        ("agent.team == 1", (0, 15), "string and int cannot be compared by `==`",
         "write string(1) or int(agent.team)"),
        ("args.query < 1", (0, 14), "string and int cannot be compared by `<`",
         "write string(1) or int(args.query)"),
        ("args.dry < true", (0, 8), "`<` does not order bool", None),
        ("1 >= args.tags", (5, 9), "`>=` does not order list<string>", None),
        ("1 in args.tags", (0, 14), "int is never an element of list<string>", None),
        ("1 in args.open", (0, 1), "the keys of a map are strings; this is int", "write string(1)"),
        ("'a' in args.query", (0, 17), "`in` looks into a list or a map, not into a string",
         "write args.query.contains('a')"),
        ("1 in args.count", (0, 15), "`in` looks into a list or a map, not into int",
         "write 1 == args.count"),
        ("args.query + 1 == 'a'", (0, 14), "`+` does not work on string and int",
         "write string(1)"),
        ("1 + args.query == 'a'", (0, 14), "`+` does not work on int and string",
         "write string(1)"),
        ("args.query - 'a' == 'a'", (0, 16), "`-` does not work on string and string", None),
        ("args.ratio % 2 == 0", (0, 14), "`%` does not work on double and int", None),
        ("args.tags + 'a' == []", (0, 15), "`+` does not work on list<string> and string",
         None),
        # Calls
        ("len(args.query) > 1", (0, 3), "there is no function `len`", "did you mean size?"),
        ("sqll(args.query).read_only", (0, 4), "there is no function `sqll`", "did you mean sql?"),
        ("contains(args.query, 'a')", (0, 8), "there is no function `contains`",
         "write args.query.contains(...)"),
        ("all()", (0, 3), "there is no function `all`", "write value.all(...)"),
        ("size() > 1", (0, 6), "`size` takes 1 argument, not 0", None),
        ("size(1) > 1", (0, 7), "int has no size", None),
        ("args.count.size() > 1", (0, 17), "int has no size", None),
        ("int(args.tags) > 1", (0, 14), "list<string> cannot be made int", None),
        ("int(args.dry) > 1", (0, 13), "bool cannot be made int", None),
        ("int(1, 2) > 1", (0, 9), "`int` takes 1 argument, not 2", None),
        ("min() > 1", (0, 5), "`min` needs at least one number", None),
        ("min(args.count) > 1", (0, 15), "`min` takes a list or several numbers",
         "write min(args.count, ...)"),
        ("max(args.tags) > 1", (0, 14), "`max` compares numbers, not string", None),
        ("max(1, args.query) > 1", (0, 18), "`max` compares numbers, not string", None),
        ("flows(args)", (0, 11), "`flows` takes 2 arguments, not 1", None),
        ("flows()", (0, 7), "`flows` takes 2 arguments, not 0", None),
        ("flows(args, args.query)", (12, 10), "a label is written as a name",
         "write flows(args, untrusted)"),
        ("flows(args, untrustd)", (12, 8), "there is no label `untrustd`",
         "did you mean untrusted?"),
        ("sql().read_only", (0, 5), "`sql` takes 1 to 2 arguments, not 0", None),
        ("url(args.query, 'x').host == 'x'", (0, 20), "`url` takes 1 argument, not 2", None),
        ("url(args.count).host == 'x'", (4, 10), "`url` reads string; this is int",
         "write string(args.count)"),
        ("url(args.tags).host == 'x'", (4, 9), "`url` reads string; this is list<string>", None),
        ("path(args.query).inside('x')", (17, 6), "there is no method `inside`",
         "known here: within"),
        ("path(args.query).within()", (0, 25), "`within` takes 1 argument, not 0", None),
        ("path(args.query).within(1)", (24, 1), "`within` takes string; this is int",
         "write string(1)"),
        ("args.query.contians('a')", (11, 8), "there is no method `contians`",
         "did you mean contains?"),
        ("args.query.lower() == 'a'", (11, 5), "there is no method `lower`",
         "did you mean lowerAscii?"),
        ("args.query.int() == 1", (11, 3), "there is no method `int`", "write int(args.query)"),
        ("args.query.sql() == 1", (11, 3), "there is no method `sql`", "write sql(args.query)"),
        ("args.query.contains(1)", (20, 1), "`contains` takes string; this is int",
         "write string(1)"),
        ("args.query.contains()", (0, 21), "`contains` takes 1 argument, not 0", None),
        ("args.tags.contains('a')", (10, 8),
         "`contains` is a method of strings, this is list<string>", "write 'a' in args.tags"),
        ("args.tags.endsWith('a')", (10, 8),
         "`endsWith` is a method of strings, this is list<string>",
         "write args.tags.exists(x, x.endsWith('a'))"),
        ("args.count.trim() == 'a'", (11, 4), "`trim` is a method of strings, this is int", None),
        ("args.tags.any(1) == 1", (10, 3), "list<string> has no method `any`",
         "did you mean exists?"),
        ("args.count.foo() == 1", (11, 3), "int has no method `foo`", None),
        ("args.query.matches(args.query)", (19, 10),
         "a pattern is known at load, so that it is checked and compiled once",
         'write "..." or a constant from define:'),
        ("args.query.matches(limit)", (19, 5), "`matches` takes string; this is int",
         "write string(limit)"),
        ("args.query.matches('(a')", (19, 4), "this is not a pattern: missing ): (a",
         "patterns are RE2: no look-around, no back-references"),
        (r"args.query.matches(r'(?=a)')", (19, 8),
         "this is not a pattern: invalid perl operator: (?=",
         "patterns are RE2: no look-around, no back-references"),
        (r"args.query.matches(r'\Qa')", (19, 6),
         r"this is not a pattern: \Q...\E is not part of this language; escape each character",
         "patterns are RE2: no look-around, no back-references"),
        ("session.calls('db.qeury') > 1", (14, 10), "there is no tool `db.qeury`",
         "did you mean db.query?"),
        # Loops
        ("args.query.all(x, true)", (11, 3), "`all` walks a list or a map, not string", None),
        ("args.tags.all(x, x)", (17, 1), "`all` asks a condition; this is string",
         "write size(x) > 0"),
        ("args.tags.all(args, true)", (0, 25), "`args` has a meaning already",
         "choose another name for elements"),
        ("args.tags.all(user, true)", (0, 25), "`user` has a meaning already",
         "choose another name for elements"),
        ("args.tags.all(company, true)", (0, 28), "`company` has a meaning already",
         "choose another name for elements"),
        ("args.tags.all(x, args.tags.all(x, true))", (17, 22), "`x` names an outer element",
         "choose another name"),
        ("x == 1 || args.items.all(x, x == 1)", (0, 1), "there is no variable `x`", None),
        ("args.any.all(a, args.any.all(b, args.any.all(c, args.any.all(d, d))))", (0, 69),
         "loops over lists are nested more than 3 deep", "split the condition into several rules"),
        # Conditions
        ("args.query", (0, 10), "a condition is true or false, this is string",
         "write size(args.query) > 0"),
        ("args.count", (0, 10), "a condition is true or false, this is int",
         "write args.count != 0"),
        ("null", (0, 4), "a condition is true or false, this is null",
         "compare it with something, e.g. == null"),
    ],
)  # fmt: skip
def test_fault_of_a_checked_expression(text, at, message, suggestion):
    with pytest.raises(ExpressionFault) as caught:
        check_condition(parse(text), ENVIRONMENT)
    fault = caught.value
    assert (fault.message, fault.suggestion) == (message, suggestion)
    assert (fault.offset, fault.width) == at


def test_all_faults_are_collected_in_the_order_of_the_text():
    faults: list[ExpressionFault] = []
    check_condition(parse("args.qurey == 1 && len(x) > 1 && !agent"), ENVIRONMENT, faults)
    assert [fault.offset for fault in faults] == [5, 19, 23, 34]
    check(parse("zzzzz"), ENVIRONMENT, faults)
    assert len(faults) == 5


def test_an_expression_of_a_value_need_not_be_a_condition():
    assert check(parse("args.query"), ENVIRONMENT) == STRING
    with pytest.raises(ExpressionFault, match="no variable"):
        check(parse("nope"), ENVIRONMENT)


def test_arguments_of_unknown_shape_may_have_any_field():
    environment = Environment()
    for text in ("args.x == 1", "has(args.y)", 'args["z"].a == 1', "flows(args, anything)"):
        check_condition(parse(text), environment)
    check_condition(parse('result.x == 1 && outcome.duration > 1 && session.calls("x") > 1'),
                    Environment(on_result=True))  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (None, DYN),
        (True, DYN),
        ({"properties": {"a": {"type": "string"}}},
         Type("map", fields={"a": Field(STRING, optional=True)})),
        ({"type": "object"}, MAP),
        ({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
         Type("map", fields={"a": Field(NUMBER)})),
        ({"type": "object", "properties": {
            "a": {"type": ["string", "null"]}, "b": {"type": ["string", "integer"]}, "c": {},
            "d": {"type": "array", "items": {"type": "boolean"}}, "e": {"type": "array"},
            "f": {"type": ["integer", "number"]}, "g": {"type": "null"}, "h": {"$ref": "#/x"},
            "i": {"type": "object", "properties": {"j": {"type": "number"}}}, "k": {"type": 3}},
          "required": ("a", "b", "c", "d", "e", "f", "g", "h", "i", "k")},
         Type("map", fields={
             "a": Field(Type("string", nullable=True)), "b": Field(DYN), "c": Field(DYN),
             "d": Field(Type("list", BOOL)), "e": Field(LIST), "f": Field(NUMBER), "g": Field(NULL),
             "h": Field(DYN), "i": Field(Type("map", fields={"j": Field(NUMBER, optional=True)})),
             "k": Field(DYN)})),
    ],
)  # fmt: skip
def test_from_schema(schema, expected):
    assert from_schema(schema) == expected


def test_a_schema_of_endless_depth_is_cut_off():
    schema: dict[str, object] = {"type": "array"}
    schema["items"] = schema
    found, depth = from_schema(schema), 0
    while found.element is not None:
        found, depth = found.element, depth + 1
    assert found == DYN
    assert depth == 17


def test_declared_arguments():
    expected = {"query": Field(STRING), "count": Field(INT, optional=True), "x": Field(DYN)}
    assert declared({"query": "sql", "count": "int?", "x": "any"}) == Type("map", fields=expected)
    with pytest.raises(KeyError):
        named("nope")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, NULL), (True, BOOL), (1, INT), (1.5, DOUBLE), ("a", STRING), (("a", "b"), STRINGS),
     ({"a": [1]}, Type("map", fields={"a": Field(Type("list", INT))}))],
)  # fmt: skip
def test_type_of(value, expected):
    assert type_of(value) == expected


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [(DYN, INT, True), (NULL, STRING, True), (INT, DOUBLE, True), (INT, STRING, False),
     (STRINGS, LIST, True), (STRINGS, Type("list", INT), False), (Type("list"), STRINGS, True),
     (STRINGS, Type("list"), True), (LIST, MAP, False), (BOOL, BOOL, True)],
)  # fmt: skip
def test_comparable(a, b, expected):
    assert comparable(a, b) is expected


def test_types_name_themselves():
    assert [str(each) for each in (STRINGS, Type("list"), NUMBER)] == [
        "list<string>",
        "list",
        "number",
    ]


def test_suggestion_names_all_when_there_are_few_and_nothing_when_there_are_many():
    assert suggestion("zzz", ["one", "two"]) == "known here: one, two"
    assert suggestion("zzz", []) is None
    assert suggestion("zzz", [f"name{i}" for i in range(20)]) is None
    assert suggestion("Name1", [f"name{i}" for i in range(20)]) == "did you mean name1?"


def test_constant_text():
    assert constant_text(parse("'a' + company + 'b'"), CONSTANTS) == "a@corp.comb"
    assert constant_text(parse("limit"), CONSTANTS) is None
    assert constant_text(parse("'a' + limit"), CONSTANTS) is None
    assert constant_text(parse("limit + 'a'"), CONSTANTS) is None
    assert constant_text(parse("args.x"), CONSTANTS) is None


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(st.integers(0, 2**32))
def test_the_checker_never_fails_on_what_the_parser_accepts(seed):
    node = parse(Maker(Random(seed), common=False).condition())
    faults: list[ExpressionFault] = []
    environment = Environment(args=ARGS)
    check_condition(node, environment, faults)
    for fault in faults:
        assert 0 <= fault.offset < len(node.source)
        assert fault.offset + fault.width <= len(node.source)


def test_what_the_checker_accepts_for_declared_arguments_does_not_mix_types():
    environment = Environment(args=ARGS)
    node = parse("args.query == 'x' || args.count > 1 && args.tags.exists(t, t == 'a')")
    check_condition(node, environment)
    scope = msgspec.structs.replace(
        make_scope(Random(1)), args={"query": "y", "count": 2, "tags": ["a"]}
    )
    assert outcome_of(lambda: referenced(node, True)(scope)) == ("value", True)
