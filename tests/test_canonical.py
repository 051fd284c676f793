import decimal
import enum
import hashlib
import json
import math
import struct
import uuid
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit import canonical
from remit.canonical import JsonLimits
from remit.errors import InvalidArgument

JCS = Path(__file__).parent / "data" / "jcs"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda children: (
        st.lists(children) | st.dictionaries(st.text(st.characters(codec="utf-8")), children)
    ),
    max_leaves=20,
)


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Sly(str):
    """Lies about itself to whoever asks."""

    def __str__(self):
        return "harmless"

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1


class SlyDict(dict):
    def items(self):
        return [("harmless", 1)]


class SlyList(list):
    def __iter__(self):
        return iter(["harmless"])


class Pair(tuple):
    pass


class Number(float):
    pass


# --- RFC 8785 -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in (JCS / "input").iterdir()))
def test_rfc_8785_vectors(name):
    value = canonical.parse((JCS / "input" / f"{name}.json").read_bytes())
    expected = bytes.fromhex((JCS / "outhex" / f"{name}.txt").read_text())
    assert canonical.encode(value) == expected
    assert (JCS / "output" / f"{name}.json").read_bytes() == expected


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ("4340000000000001", "9007199254740994"),
        ("4340000000000002", "9007199254740996"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("8000000000000000", "0"),
        ("0", "0"),
        ("1", "5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("44b52d02c7e14af6", "1e+23"),
        ("41b3de4355555553", "333333333.3333332"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
        ("c46696695dbd1cc3", "-3.3333333333333335e+21"),
        ("3fe0000000000000", "0.5"),
    ],
)
def test_numbers_as_in_ecmascript(bits, text):
    value = struct.unpack(">d", bytes.fromhex(bits.zfill(16)))[0]
    assert canonical.encode(value).decode() == text


def test_numbers_agree_with_the_published_sequence():
    # The first 10,000 lines of the generated ES6 number test of the vectors' README.
    seeds = (JCS / "es6-seeds.txt").read_text().split()
    lines = [f"{seed},{canonical.encode(_double(int(seed, 16))).decode()}" for seed in seeds]
    for offset in range(2000):
        bits = 0x0010000000000000 + offset
        lines.append(f"{bits:x},{canonical.encode(_double(bits)).decode()}")
    block = bytes(32)
    while len(lines) < 10_000:
        block = hashlib.sha256(block).digest()
        for value in struct.unpack("<4d", block):
            if value != 0.0 and math.isfinite(value) and len(lines) < 10_000:
                bits = struct.unpack("<Q", struct.pack("<d", value))[0]
                lines.append(f"{bits:x},{canonical.encode(value).decode()}")
    text = "".join(line + "\n" for line in lines)
    assert (
        hashlib.sha256(text.encode()).hexdigest()
        == "b9f7a8e75ef22a835685a52ccba7f7d6bdc99e34b010992cbc5864cd12be6892"
    )


def _double(bits):
    return struct.unpack(">d", bits.to_bytes(8))[0]


def test_keys_sort_by_utf16_code_units():
    assert canonical.encode({"\ufb33": 1, "\U0001f600": 2, "a": 3}).decode() == (
        '{"a":3,"\U0001f600":2,"\ufb33":1}'
    )


def test_integers_keep_their_digits():
    assert (
        canonical.encode([2**53 + 1, -(10**40)]) == b"[9007199254740993,-" + b"1" + b"0" * 40 + b"]"
    )


def test_encode_takes_read_only_views_and_tuples():
    view = MappingProxyType({"b": (1, []), "a": {}, "c": [None, True, False]})
    assert canonical.encode(view) == b'{"a":{},"b":[1,[]],"c":[null,true,false]}'


@pytest.mark.parametrize(
    ("value", "where", "problem"),
    [
        ("\ud800", "value", "lone surrogate"),
        ({"\udfff": 1}, "value", "lone surrogate"),
        ({1: 2}, "value", "key int '1'"),
        ({None: 2}, "value", "key 'NoneType'"),
        ([math.nan], "value", "nan is not JSON"),
        ({"at": datetime.now(UTC)}, "value", "a datetime is not JSON"),
        (1 << 9000, "value", "too large"),
    ],
)
def test_encode_refuses(value, where, problem):
    with pytest.raises(InvalidArgument, match=problem) as caught:
        canonical.encode(value)
    assert caught.value.where == where


def test_encode_refuses_bottomless_values():
    endless = []
    endless.append(endless)
    with pytest.raises(InvalidArgument, match="128 levels"):
        canonical.encode(endless)


@given(json_values)
def test_encoding_is_json_of_the_same_value(value):
    encoded = canonical.encode(value)
    # Read as doubles, because 6.2e16 is written like an integer that it only approximates.
    assert json.loads(encoded, parse_int=float) == json.loads(json.dumps(value), parse_int=float)
    assert canonical.encode(canonical.parse(encoded)) == encoded


def test_digest_tells_parts_apart():
    assert canonical.digest("ab", "c") != canonical.digest("a", "bc")
    assert canonical.digest({"a": 1}) == hashlib.sha256(b'[{"a":1}]').hexdigest()


# --- check ----------------------------------------------------------------------------------


@given(json_values)
def test_check_copies_json_as_it_is(value):
    assert canonical.check(value) == value
    assert canonical.encode(canonical.check(value)) == canonical.encode(value)


def test_check_shares_nothing_that_can_change():
    rows = [{"id": 1}]
    arguments = {"rows": rows}
    checked = canonical.check(arguments)
    rows[0]["id"] = 2
    arguments["more"] = True
    assert checked == {"rows": [{"id": 1}]}
    flat = {"a": "b"}
    assert canonical.check(flat) is not flat


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Number(1.5), 1.5),
        (Sly("drop"), "drop"),
        ({Sly("drop"): Sly("table")}, {"drop": "table"}),
        (SlyDict(drop=True), {"drop": True}),
        (SlyList(["drop"]), ["drop"]),
        (Pair((1, 2)), [1, 2]),
        ((1, (2,)), [1, [2]]),
        ({"é": "ü", "n": None}, {"é": "ü", "n": None}),
        ("é", "é"),
        (True, True),
        (None, None),
    ],
)
def test_check_returns_plain_types(value, plain):
    checked = canonical.check(value)
    assert json.dumps(checked) == json.dumps(plain)
    assert type(checked) is type(plain)
    if isinstance(checked, dict):
        assert all(type(key) is str for key in checked)


@pytest.mark.parametrize(
    ("value", "where", "problem"),
    [
        (
            {"rows": [1, {"when": datetime.now(UTC)}]},
            "args.rows[1].when",
            "a datetime is not JSON; pass its isoformat()",
        ),
        ({"d": decimal.Decimal(1)}, "args.d", "pass a string, or an integer number"),
        ({"u": uuid.uuid4()}, "args.u", "an UUID is not JSON"),
        ({"o": object()}, "args.o", "an object is not JSON; pass strings"),
        ({"b": b"x"}, "args.b", "base64"),
        ({"n": [math.nan]}, "args.n[0]", "nan is not JSON"),
        ({"n": math.inf}, "args.n", "inf is not JSON"),
        ({"s": "ab\ud800"}, "args.s", "lone surrogate at character 2"),
        ({"\ud800": 1}, "args.\\ud800", "lone surrogate at character 0"),
        ({3: 1}, "args", "the key int '3' is not a string"),
        ({"x": {(1, 2): 1}}, "args.x", "the key 'tuple' is not a string"),
        ({"i": 1 << 8193}, "args.i", "too large"),
    ],
)
def test_check_names_the_place(value, where, problem):
    with pytest.raises(InvalidArgument) as caught:
        canonical.check(value)
    assert caught.value.where == where
    assert problem in caught.value.problem


def test_check_refuses_keys_that_become_the_same():
    with pytest.raises(InvalidArgument, match="two keys are the same"):
        canonical.check({"a": 1, _Other("a"): 2})


class _Other(str):
    def __eq__(self, other):
        return False

    def __hash__(self):
        return 7


@pytest.mark.parametrize("make", [lambda v: [v], lambda v: {"k": v}, lambda v: (v,)])
def test_check_refuses_depth(make):
    value = 1
    for _ in range(10_000):
        value = make(value)
    with pytest.raises(InvalidArgument, match="more than 64 levels"):
        canonical.check(value)


def test_check_accepts_the_deepest_allowed():
    value = "x"
    for _ in range(canonical.MAX_DEPTH):
        value = [value]
    assert canonical.check(value) == value
    with pytest.raises(InvalidArgument):
        canonical.check([value])


def test_check_refuses_cycles():
    value = {}
    value["self"] = value
    with pytest.raises(InvalidArgument, match="contains itself"):
        canonical.check(value)


def test_check_refuses_shared_references_that_explode():
    value = ["x" * 10] * 10
    for _ in range(40):
        value = [value] * 10
    with pytest.raises(InvalidArgument, match="larger than 1,048,576 bytes"):
        canonical.check(value)


@pytest.mark.parametrize(
    "value", [{"a": "x" * 11_000_000}, ["é" * 600_000], {"a": ["x" * 1_100_000]}]
)
def test_check_refuses_size(value):
    with pytest.raises(InvalidArgument, match="larger than"):
        canonical.check(value)


def test_check_takes_other_limits():
    assert canonical.check({"a": "b"}, limits=JsonLimits(bytes=20))
    with pytest.raises(InvalidArgument, match=r"result\.a: larger than 5 bytes"):
        canonical.check({"a": "b"}, "result", JsonLimits(bytes=5))


@given(json_values)
def test_the_size_estimate_is_never_below_half(value):
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    canonical.check(value, limits=JsonLimits(bytes=8 * size + 64))
    with pytest.raises(InvalidArgument):
        canonical.check([value], limits=JsonLimits(bytes=0))


# --- parse ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not JSON: Expecting value at line 1 column 1"),
        (b'{"a":1,"a":2}', "the key 'a' appears twice"),
        (b'{"x":{"a":1,"b":1,"\\u0061":2}}', "the key 'a' appears twice"),
        (b"NaN", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"1e999", "beyond the range"),
        (b"-1e999", "beyond the range"),
        (b"1 2", "Extra data at line 1 column 3"),
        (b"[1,]", "not JSON"),
        (b"\xef\xbb\xbf1", "not JSON"),
        (b"\xff", "not UTF-8 at byte 0"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b'"\\ud800"', "lone surrogate"),
        (b'{"a":["\\udc00\\ud800"]}', "lone surrogate"),
        (b'"\x01"', "Invalid control character"),
        (b"[" * 65 + b"]" * 65, "nested more than 64 levels deep at byte 64"),
        (b"[" * 10_000, "nested more than 64"),
        (b'{"a":' * 200_000, "nested more than 64"),
        (b'"' + b'\\"' * 400_000 + b"[" * 100, "Unterminated string"),
        (b"1" * 3000, "an integer of 3,000 digits"),
        (b" " * (canonical.MAX_BYTES + 1), "larger than"),
        (b"'a'", "not JSON"),
        (b"01", "not JSON"),
        (b"\xef\xbc\x91", "not JSON"),
    ],
)
def test_parse_refuses(data, problem):
    with pytest.raises(InvalidArgument) as caught:
        canonical.parse(data, "body")
    assert problem in str(caught.value)
    assert caught.value.where.startswith("body")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a":[1,2.5,-0,true,null,"\\ud83d\\ude00"]}', {"a": [1, 2.5, 0, True, None, "😀"]}),
        (b'"' + b"[" * 100 + b'"', "[" * 100),
        (b'["\\"[[["' + b",[]" * 100 + b"]", ['"[[[', *[[]] * 100]),
        (b" 1e2 ", 100.0),
        (b'"\\u00e9"', "é"),
    ],
)
def test_parse_reads(data, value):
    assert canonical.parse(data) == value


@given(st.binary(max_size=60) | st.text().map(lambda s: s.encode("utf-8", "replace")))
def test_parse_raises_nothing_else(data):
    try:
        value = canonical.parse(data)
    except InvalidArgument:
        return
    assert json.loads(data) == value
