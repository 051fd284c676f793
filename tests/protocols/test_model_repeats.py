"""Events that are alike but for one text: what fits was read before, all but the text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.protocols.model_repeats import RepeatedText

TEXTS = st.text() | st.text('a "\\{}[]:,\n', max_size=12)


def event(text: Any, **more: Any) -> bytes:
    return json.dumps({"i": 1, "d": {"content": text}, **more}, ensure_ascii=False).encode()


def learnt(text: str, **more: Any) -> RepeatedText:
    found = RepeatedText("content")
    found.learn(event(text, **more), text)
    return found


def test_another_word_fits() -> None:
    assert learnt("hello").size(event("wörld")) == 6
    assert learnt("").size(event("")) == 0


@pytest.mark.parametrize(
    "other",
    [
        event("hello", more=1),
        event("a").replace(b'"i": 1', b'"i": 2'),
        event('quote"'),
        event("line\n"),
        event("back\\slash"),
        b'{"i": 1, "d": {"content": "\xff"}}',
        b'{"i": 1, "d": {"content": "',
        b'"}}',
        b"",
        # the end and the beginning share bytes
        b'{"i": 1, "d": {"content": "}}',
    ],
)
def test_anything_else_does_not(other: bytes) -> None:
    assert learnt("hello").size(other) == 0


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (event("said\n"), "said\n"),
        (event("x", content="y"), "x"),
        (event("x"), "y"),
        (event(["x"]), "x"),
        (b'{"content": 1, "x": "content"}', "1"),
        (b'{"content": "ab"}', "a"),
    ],
)
def test_what_cannot_be_told_from_its_bytes_is_not_learnt(data: bytes, text: str) -> None:
    found = RepeatedText("content")
    found.learn(data, text)
    assert found.size(data) == 0


def test_learning_ends_where_it_is_in_vain_and_not_before() -> None:
    found = RepeatedText("content")
    for number in range(20):
        found.learn(event("x", n=number), "x")
        assert found.size(event("yy", n=number)) == 2
    for number in range(20):
        found.learn(event("x", n=number), "x")
    assert found.size(event("x", n=19)) == 0


@given(TEXTS, TEXTS)
def test_what_fits_differs_in_the_text_alone(first: str, second: str) -> None:
    size = learnt(first).size(event(second))
    if size:
        assert size == len(second.encode())


@given(TEXTS, st.binary() | TEXTS.map(str.encode))
def test_bytes_that_fit_are_json_with_the_same_things_in_it(first: str, middle: bytes) -> None:
    whole = event(first)
    data = whole.replace(json.dumps(first, ensure_ascii=False).encode(), b'"' + middle + b'"', 1)
    if learnt(first).size(data):
        assert json.loads(data) == {"i": 1, "d": {"content": middle.decode()}}
