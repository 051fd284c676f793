from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.policy.expressions import MAX_DEPTH, label_name, mentions, parse
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
    children,
    loops,
    path,
    root,
    walk,
)
from remit.policy.tokens import MAX_LENGTH, ExpressionFault


def shape(node):
    """A tree as nested tuples, to compare with."""
    match node:
        case Constant():
            return node.value
        case Variable():
            return node.name
        case Member():
            return (".", shape(node.operand), node.name)
        case Presence():
            return ("has", shape(node.operand), node.name)
        case Index():
            return ("[]", shape(node.operand), shape(node.index))
        case Unary():
            return (node.operator, shape(node.operand))
        case Binary():
            return (node.operator, shape(node.left), shape(node.right))
        case Logic():
            return (node.operator, *map(shape, node.operands))
        case Choice():
            return ("?", *map(shape, children(node)))
        case ListDisplay():
            return [shape(item) for item in node.items]
        case MapDisplay():
            return {key.value: shape(value) for key, value in node.entries}
        case FunctionCall():
            return (node.name, *map(shape, node.arguments))
        case MethodCall():
            return (f".{node.name}", shape(node.target), *map(shape, node.arguments))
        case Comprehension():
            return (node.macro, shape(node.over), node.variable, shape(node.body))
    raise AssertionError(node)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("null", None),
        ("true", True),
        ("false", False),
        ("7", 7),
        ("0x1F", 31),
        ("-7", -7),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1.5", 1.5),
        ("2e3", 2000.0),
        ("1.5e-1", 0.15),
        ("- 1.5", -1.5),
        ('"a"', "a"),
        ("'a\"b'", 'a"b'),
        (r'"\\ \? \" \' \` \a\b\f\n\r\t\v"', "\\ ? \" ' ` \a\b\f\n\r\t\v"),
        (r'"\x41\X42\u00e9\U0001F600\101"', "ABé😀A"),
        (r"r'\d+'", r"\d+"),
        (r'R"a\"', "a\\"),
        ("a", "a"),
        ("a.b.c", (".", (".", "a", "b"), "c")),
        ("a.for", (".", "a", "for")),
        ('a["b"][0]', ("[]", ("[]", "a", "b"), 0)),
        ("-a.b", ("-", (".", "a", "b"))),
        ("!!a", ("!", ("!", "a"))),
        ("a || b && c", ("||", "a", ("&&", "b", "c"))),
        ("a && b && c || d", ("||", ("&&", "a", "b", "c"), "d")),
        ("(a || b) && c", ("&&", ("||", "a", "b"), "c")),
        ("a == 1 && b != 2", ("&&", ("==", "a", 1), ("!=", "b", 2))),
        ("a + b * c - d", ("-", ("+", "a", ("*", "b", "c")), "d")),
        ("a / b % c", ("%", ("/", "a", "b"), "c")),
        ("a - -1", ("-", "a", -1)),
        ("a <= b + 1", ("<=", "a", ("+", "b", 1))),
        ('a in ["x"]', ("in", "a", ["x"])),
        ("a ? b : c ? d : e", ("?", "a", "b", ("?", "c", "d", "e"))),
        ("(a ? b : c) ? d : e", ("?", ("?", "a", "b", "c"), "d", "e")),
        ("[1, [2,],]", [1, [2]]),
        ("[]", []),
        ('{"a": 1, "b": c,}', {"a": 1, "b": "c"}),
        ("{}", {}),
        ("f()", ("f",)),
        ("f(a, 1)", ("f", "a", 1)),
        ("a.f(1).g()", (".g", (".f", "a", 1))),
        ("has(a.b.c)", ("has", (".", "a", "b"), "c")),
        ("a.all(x, x > 0)", ("all", "a", "x", (">", "x", 0))),
        ("a.exists_one(x, x)", ("exists_one", "a", "x", "x")),
        ("a\n  &&\tb", ("&&", "a", "b")),
        ('" or " == "and"', ("==", " or ", "and")),
    ],
)
def test_parse(text, expected):
    assert shape(parse(text)) == expected


def test_a_bool_is_not_read_as_a_number():
    node = parse("true")
    assert isinstance(node, Constant)
    assert node.value is True


@pytest.mark.parametrize(
    ("text", "at", "message", "suggestion"),
    [
        ("", (0, 1), "the expression is empty", "write a condition, e.g. true"),
        ("  \n", (0, 1), "the expression is empty", "write a condition, e.g. true"),
        # P12: operators of other languages are refused with ours, never read as something else
        ("not a", (0, 3), "`not` is not an operator here", "write !"),
        ("NOT(a)", (0, 3), "`NOT` is not an operator here", "write !"),
        ("a and b", (2, 3), "`and` is not an operator here", "write &&"),
        ("a AND b", (2, 3), "`AND` is not an operator here", "write &&"),
        ("a or b", (2, 2), "`or` is not an operator here", "write ||"),
        ("(a OR b)", (3, 2), "`OR` is not an operator here", "write ||"),
        ("a is b", (2, 2), "`is` is not an operator here", "write =="),
        ("a IN b", (2, 2), "`IN` is not an operator here", "write in"),
        ("a not in b", (2, 3), "`not` is not an operator here", "write !(a in ...)"),
        ('a contains "drop"', (2, 8), "`contains` is not an operator here",
         'write a.contains("drop")'),
        ("a matches b", (2, 7), "`matches` is not an operator here", 'write a.matches("text")'),
        ('a.b starts_with "x"', (4, 11), "`starts_with` is not an operator here",
         'write a.b.startsWith("x")'),
        ('a LIKE "x"', (2, 4), "`LIKE` is not an operator here", 'write a.contains("x")'),
        ("a if b else c", (2, 2), "`if` is not an operator here", "write condition ? this : that"),
        ("a foo b", (2, 3), "`foo` is not an operator here",
         "put an operator such as && or == between two values"),
        ("a = 1", (2, 1), "`=` is not part of this language", "write == to compare"),
        ("a === 1", (2, 3), "`===` is not part of this language", "write =="),
        ("a !== 1", (2, 3), "`!==` is not part of this language", "write !="),
        ("a <> 1", (2, 2), "`<>` is not part of this language", "write !="),
        ("a =~ b", (2, 2), "`=~` is not part of this language", 'write value.matches("pattern")'),
        ("a !~ b", (2, 2), "`!~` is not part of this language", 'write !value.matches("pattern")'),
        ("a => 1", (2, 2), "`=>` is not part of this language", "write >= to compare"),
        ("a & b", (2, 1), "`&` is not part of this language", "write &&"),
        ("a | b", (2, 1), "`|` is not part of this language", "write ||"),
        ("a ** 2", (2, 2), "`**` is not part of this language",
         "there is no power operator; multiply"),
        ("a ?? b", (2, 2), "`??` is not part of this language", "write has(a.b) ? a.b : other"),
        ("a // b", (2, 2), "`//` is not part of this language",
         "comments go outside the expression, after # in the YAML"),
        ("a; b", (1, 1), "`;` is not part of this language", None),
        ("1 < a < 3", (6, 1), "comparisons cannot be chained", "write 1 < a && a < ..."),
        ("True", (0, 4), "`True` is not a value", "write true"),
        ("None == a", (0, 4), "`None` is not a value", "write null"),
        ("a == undefined", (5, 9), "`undefined` is not a value", "write null"),
        ("if a", (0, 2), "`if` is a reserved word", "write condition ? this : that"),
        ("for x", (0, 3), "`for` is a reserved word",
         "write list.all(x, ...) or list.exists(x, ...)"),
        ("let", (0, 3), "`let` is a reserved word", None),
        # What is left open, or stands in the wrong place
        ("a &&", (3, 1), "the expression ends where a value is expected", "add the missing value"),
        ("&& a", (0, 2), "`&&` stands where a value is expected", None),
        ("a == == b", (5, 2), "`==` stands where a value is expected", None),
        ("f(,)", (2, 1), "`,` stands where a value is expected", None),
        ("[a", (0, 1), "`[` is never closed", "add ]"),
        ("(a", (0, 1), "`(` is never closed", "add )"),
        ("f(a", (1, 1), "`(` is never closed", "add )"),
        ("a ? b", (2, 1), "`?` is never closed", "add :"),
        ('{"a"', (0, 1), "`{` is never closed", "add :"),
        ("{", (0, 1), "the expression ends where a value is expected", "add the missing value"),
        ("a)", (1, 1), "`)` does not continue the expression",
         "put an operator such as && or == between two values"),
        ('a "b"', (2, 3), '`"b"` does not continue the expression',
         "put an operator such as && or == between two values"),
        ("[1 2]", (3, 1), "`2` does not continue the expression",
         "put an operator such as && or == between two values"),
        ("f(a; b)", (3, 1), "`;` is not part of this language", None),
        ("a..b", (1, 1), "a field name is missing after the dot",
         'write a.name, or a["name"] for any other text'),
        ("a.in", (1, 1), "a field name is missing after the dot",
         'write a.name, or a["name"] for any other text'),
        ("a.null", (1, 1), "a field name is missing after the dot",
         'write a.name, or a["name"] for any other text'),
        ("has(a)", (0, 3), "`has` asks whether one field is there",
         'write has(a.name), or "name" in a for any other text'),
        ("has(a.b, c.d)", (0, 3), "`has` asks whether one field is there",
         'write has(a.name), or "name" in a for any other text'),
        ("a.all(x)", (2, 3), "`all` takes the name of an element and an expression about it",
         "write list.all(x, x > 0)"),
        ("a.map(x.y, x)", (2, 3), "`map` takes the name of an element and an expression about it",
         "write list.map(x, x > 0)"),
        ("{a: 1}", (1, 1), "the key of a map is a string", 'write {"key": value}'),
        ('{"a": 1, "a": 2}', (9, 3), 'the key "a" occurs twice', None),
        # Literals
        ("9223372036854775808", (0, 19), "this number does not fit into 64 bits", None),
        ("99999999999999999999999", (0, 23), "this number does not fit into 64 bits", None),
        ("-9223372036854775809", (1, 19), "this number does not fit into 64 bits", None),
        ("1e999", (0, 5), "this number is too large for a double", None),
        ("1u", (0, 2), "`1u` is not a number",
         "write whole numbers like 1000 or 0x3e8 and fractions like 1.5 or 2e-3"),
        ("007", (0, 3), "`007` is not a number",
         "write whole numbers like 1000 or 0x3e8 and fractions like 1.5 or 2e-3"),
        ("1_000", (0, 5), "`1_000` is not a number",
         "write whole numbers like 1000 or 0x3e8 and fractions like 1.5 or 2e-3"),
        ('"abc', (0, 4), "this string does not end", "add the closing quotation mark"),
        ('"a\nb"', (0, 5), "this string does not end",
         "a string ends on the line it starts on; write \\n for a line break"),
        ('"""a"""', (0, 3), "triple quotation marks are not part of this language",
         "write one quotation mark at each end"),
        (r'"\d"', (1, 2), "`\\d` is not an escape",
         'write \\\\ for a backslash, or r"..." for a pattern'),
        (r'"\U00110000"', (1, 10), "`\\U00110000` is not an escape",
         'write \\\\ for a backslash, or r"..." for a pattern'),
        (r'"\ud800"', (0, 8), "half of a surrogate pair in a string", None),
        ('b"a"', (0, 1), "`b` before a quotation mark has no meaning here",
         'write "text" or r"raw text"'),
        ("\u201cdrop\u201d", (0, 1), "a typographic quotation mark does not start a string",
         "write \" or '"),
        ("аrgs.x", (0, 1), "`а` cannot stand outside a string",
         "names are ASCII; put other text in quotes"),
        ("a\u200b", (1, 1), "`U+200B` cannot stand outside a string",
         "names are ASCII; put other text in quotes"),
    ],
)  # fmt: skip
def test_fault(text, at, message, suggestion):
    with pytest.raises(ExpressionFault) as caught:
        parse(text)
    fault = caught.value
    assert (fault.offset, fault.width) == at
    assert (fault.message, fault.suggestion) == (message, suggestion)
    assert message in str(fault)


def test_a_long_token_is_shortened_in_a_fault():
    with pytest.raises(ExpressionFault, match="…` does not continue"):
        parse('a "' + "x" * 50 + '"')


def test_an_expression_that_is_too_long_is_refused():
    with pytest.raises(ExpressionFault, match="at most 10,000"):
        parse("a" * (MAX_LENGTH + 1))
    assert parse("a" * MAX_LENGTH)


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("(", ")"), ("[", "]"), ("!", ""), ("f(", ")"), ("a ? b : ", ""), ('{"a":', "}"), ("- ", ""),
     ("a[", "]"), ("a.f(", ")"), ("a.all(x, ", ")"), ("1 + (", ")"),
     ("a || b && c == 1 + 2 * (", ")")],
)  # fmt: skip
def test_deep_nesting_is_a_fault(opening, closing):
    for levels in (2, 6):
        parse(opening * levels + "a" + closing * levels)
    for levels in (MAX_DEPTH + 1, 250):
        with pytest.raises(ExpressionFault, match=f"nested more than {MAX_DEPTH} levels"):
            parse(opening * levels + "a" + closing * levels)


@pytest.mark.parametrize("link", [".b", "[0]", ".f()", " + a", " - a"])
def test_long_chains_are_a_fault(link):
    parse("a" + link * 30)
    with pytest.raises(ExpressionFault, match=f"nested more than {MAX_DEPTH} levels"):
        parse("a" + link * (MAX_DEPTH + 1))


@pytest.mark.parametrize("operator", ["&&", "||"])
def test_long_chains_of_conditions_are_no_nesting(operator):
    node = parse(f" {operator} ".join(["a == 1"] * 1000))
    assert node.height == 3


PIECES = [
    "a", ".", "(", ")", "[", "]", "{", "}", ",", ":", "?", "!", "-", "&&", "||", "==", "<", "in",
    "has(", "all(x,", "1", "1.5", '"s"', "'", '"', "r'", "\\", "true", " ",
]  # fmt: skip


@settings(max_examples=1500, derandomize=True, deadline=None, database=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from(PIECES),
            max_size=30,
        ).map("".join),
    )
)
def test_any_text_is_parsed_or_refused_within_its_bounds(text):
    try:
        node = parse(text)
    except ExpressionFault as found:
        fault = found
    else:
        for part in walk(node):
            assert part.text
            assert part.source is text
            assert all(part.offset <= c.offset and c.end <= part.end for c in children(part))
        return
    assert 0 <= fault.offset <= max(len(text) - 1, 0)
    assert fault.width >= 1


def test_nodes_know_their_text():
    node = parse(" (a + 1) * b.c[0] == has(d.e) ")
    assert node.text == "(a + 1) * b.c[0] == has(d.e)"
    assert [child.text for child in children(node)] == ["(a + 1) * b.c[0]", "has(d.e)"]


def test_nodes_are_compared_by_identity():
    assert parse("a") != parse("a")
    assert len({parse("a"), parse("a")}) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", ("a",)), ('a.b["c"].d', ("a", "b", "c", "d")), ("a[0].b", None), ("f().b", None),
     ("a[b]", None), ('f()["b"]', None)],
)  # fmt: skip
def test_path(text, expected):
    assert path(parse(text)) == expected


@pytest.mark.parametrize(("text", "expected"), [("a.b[0].c", "a"), ("f(a).b", None), ("a", "a")])
def test_root(text, expected):
    assert root(parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", 0), ("a in [1]", 0), ("a in b", 1), ("b.all(x, x)", 1), ("b.all(x, x in c)", 2),
     ("b.map(x, x).all(x, x)", 1), ("b.all(x, c.all(y, y)) && d", 2), ("(a in b) in c", 2)],
)  # fmt: skip
def test_loops(text, expected):
    assert loops(parse(text)) == expected


def test_mentions():
    found = mentions(
        parse(
            'args.a.all(x, x == company) && context.a["b"] == path(args.p).name && has(context.c)'
            ' && session.calls("db.query") > 1 && session.calls(args.t) > 1 && size(args.a) > 0'
            ' && flows(args, untrusted) && flows(args, "secret") && context[args.t] == sql(args.q)'
        )
    )
    assert found.variables == {"args", "company", "context", "session"}
    assert found.facts == {"context.a", "context.a.b", "context.c"}
    assert found.readers == {"path", "sql", "size", "flows"}
    assert found.counters == {"db.query", "*"}
    assert found.labels == {"untrusted", "secret"}


def test_a_label_is_a_name_or_a_string():
    assert label_name(parse("untrusted")) == "untrusted"
    assert label_name(parse('"untrusted"')) == "untrusted"
    assert label_name(parse("1")) is None
    assert label_name(parse("args.x")) is None
