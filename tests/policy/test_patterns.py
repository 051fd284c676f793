"""Tool name patterns against a regular expression, and against the names they are made of."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.policy.patterns import covers, matches, overlap, specificity

PATTERNS = st.text("ab*", max_size=6)
NAMES = st.text("ab", max_size=6)
ALL_NAMES = ["".join(each) for n in range(8) for each in itertools.product("ab", repeat=n)]


def as_regex(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


@given(PATTERNS, NAMES)
def test_matches_like_a_regular_expression(pattern, name):
    assert matches(pattern, name) is (as_regex(pattern).fullmatch(name) is not None)


@given(PATTERNS, PATTERNS)
def test_covers_and_overlap(wide, narrow):
    fitting = [name for name in ALL_NAMES if matches(narrow, name)]
    both = [name for name in fitting if matches(wide, name)]
    if covers(wide, narrow):
        assert both == fitting
    assert overlap(wide, narrow) is overlap(narrow, wide)
    if len(wide) + len(narrow) <= 7:
        assert overlap(wide, narrow) is bool(both)


@pytest.mark.parametrize(
    ("wide", "narrow"), [("*", "a*b"), ("a*", "a"), ("a*", "ab*"), ("*b", "a*b"), ("a*c", "a*b*c")]
)
def test_what_is_covered(wide, narrow):
    assert covers(wide, narrow)
    assert not covers(narrow, wide)


def test_specificity_puts_names_last_and_long_patterns_behind_short_ones():
    patterns = ["db.query", "*", "db.*", "d*b.*", "db.q*"]
    assert sorted(patterns, key=specificity) == ["*", "d*b.*", "db.*", "db.q*", "db.query"]


def test_many_stars_stay_fast():
    assert not matches("a*" * 5_000 + "b", "a" * 20_000)
