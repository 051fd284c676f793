"""Made-up messages: JSON as no library writes it, around the words that matter."""

from __future__ import annotations

import json

from attacks import ATTACKS
from hypothesis import strategies as st

_NAMES = st.sampled_from(
    ["safe", "danger", "Danger", "ｄanger", "danger\u200b", "danger ", " danger", "dan\u00adger"]
)
_METHODS = st.sampled_from(["tools/call", "tools/list", "ping", "Tools/Call", "resources/read"])
_KEYS = st.sampled_from(
    ["jsonrpc", "id", "method", "params", "name", "arguments", "_meta", "result", "error", "Name"]
)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    _NAMES,
    _METHODS,
)


def _written(text: str, escapes: int) -> str:
    """A string literal, with some of its characters escaped as only some writers do."""
    if escapes == 0:
        return json.dumps(text, ensure_ascii=False)
    return '"' + "".join(f"\\u{ord(each):04x}" for each in text if ord(each) < 0x10000) + '"'


def _object(pairs: list[tuple[str, str]], space: str) -> str:
    return "{" + f",{space}".join(f"{key}:{space}{value}" for key, value in pairs) + "}"


_literals = _SCALARS.map(lambda value: json.dumps(value, ensure_ascii=False))
_keys = st.builds(_written, _KEYS, st.integers(0, 3).map(lambda n: int(n == 3)))
_spaces = st.sampled_from(["", "", " ", "\t", "\r", "\u00a0"])
_values = st.recursive(
    _literals,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
        st.builds(_object, st.lists(st.tuples(_keys, inner), max_size=4), _spaces),
    ),
    max_leaves=8,
)


@st.composite
def _calls(draw: st.DrawFn) -> str:
    """Something close to a call, with members twice, swapped, nested or missing."""
    name = draw(st.builds(_written, _NAMES, st.integers(0, 1)))
    params = [('"name"', name), ('"arguments"', "{}")]
    params += draw(st.lists(st.tuples(_keys, _values), max_size=2))
    inner = _object(draw(st.permutations(params)), draw(_spaces))
    members = [
        ('"jsonrpc"', '"2.0"'),
        ('"id"', draw(st.sampled_from(["1", '"a"', "null", "1.5", "true", "[]"]))),
        ('"method"', json.dumps(draw(_METHODS))),
        ('"params"', inner),
    ]
    members += draw(st.lists(st.tuples(_keys, st.one_of(_values, st.just(inner))), max_size=2))
    kept = draw(st.permutations(members))[draw(st.sampled_from([0, 0, 0, 1])) :]
    whole = _object(kept, draw(_spaces))
    return draw(st.sampled_from([whole, whole, whole, f"[{whole}]", whole + whole, f" {whole}\r"]))


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """An attack with some bytes changed, or two attacks cut together."""
    body = bytearray(draw(st.sampled_from(ATTACKS)).body[:4000])
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(0, len(body) - 1)))
        body[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
    return bytes(body)


messages = st.one_of(
    _calls().map(lambda text: text.encode("utf-8", "surrogatepass")),
    _mutated(),
    _values.map(str.encode),
    st.binary(max_size=60),
)
"""Bytes that come as one message."""
lines = messages.map(lambda message: message.replace(b"\n", b" "))
"""The same as a line."""
