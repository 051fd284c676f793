"""Common comparisons as inline Python: what generated code decides without a call.

Every function takes the expression of a value that has a name already (``held``), so that it may
occur several times, and gives an expression that agrees with ``remit.policy.comparison``.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence

from remit import text
from remit.policy import comparison
from remit.policy import python as py
from remit.policy.python import Bindings


def has_type(bindings: Bindings, first: ast.expr, kind: type) -> ast.expr:
    """``type(first) is kind``."""
    return py.compare(py.call(bindings.bind(type), first), "is", bindings.bind(kind))


def is_number(bindings: Bindings, first: ast.expr, again: ast.expr) -> ast.expr:
    """Whether a value is an int, or a double other than NaN, which differs from itself."""
    real = py.both(has_type(bindings, again, float), py.compare(again, "==", again))
    return py.either(has_type(bindings, first, int), real)


def same(bindings: Bindings, held: ast.expr, literal: str, wide: bool) -> ast.expr:
    """Whether the string ``held`` equals a literal."""
    plain = py.constant(text.normal(literal))
    equal = py.compare(held, "==", plain)
    if wide:
        folded = text.fold(literal)
        spelt = _folded(bindings, held, [folded])
        return py.either(equal, py.compare(spelt, "==", py.constant(folded)))
    normal = py.compare(py.call(bindings.bind(text.normal), held), "==", plain)
    return py.either(equal, py.both(py.negate(py.method(held, "isascii")), normal))


def is_one_of(bindings: Bindings, held: ast.expr, literals: Sequence[str], wide: bool) -> ast.expr:
    """Whether the string ``held`` equals one of some literals."""
    exact = bindings.bind(frozenset(map(text.normal, literals)))
    equal = py.compare(held, "in", exact)
    if wide:
        folded = frozenset(map(text.fold, literals))
        spelt = _folded(bindings, held, folded)
        return py.either(equal, py.compare(spelt, "in", bindings.bind(folded)))
    normal = py.compare(py.call(bindings.bind(text.normal), held), "in", exact)
    return py.either(equal, py.both(py.negate(py.method(held, "isascii")), normal))


def tested(bindings: Bindings, held: ast.expr, method: str, part: str, wide: bool) -> ast.expr:
    """``held.contains(part)`` and the like for an ASCII string and a part without outer blanks."""
    exact = _test(held, method, text.normal(part))
    needle = comparison.wide_part(part)
    if not wide or needle is None:
        return exact
    return py.either(exact, _test(_folded_ascii(bindings, held, [needle]), method, needle))


def _test(whole: ast.expr, method: str, part: str) -> ast.expr:
    if method == "contains":
        return py.compare(py.constant(part), "in", whole)
    return py.method(whole, method.lower(), py.constant(part))


def _folded(bindings: Bindings, held: ast.expr, wanted: Collection[str]) -> ast.expr:
    """The wide form of a string, as far as it matters to ``wanted``."""
    whole = py.call(bindings.bind(text.fold), held)
    return py.choose(py.method(held, "isascii"), _folded_ascii(bindings, held, wanted), whole)


def _folded_ascii(bindings: Bindings, held: ast.expr, wanted: Collection[str]) -> ast.expr:
    whole = py.call(bindings.bind(text.fold), held)
    if any(" " in part or not part for part in wanted):
        return whole
    # Folding printable ASCII trims it, makes it lower case and shortens runs of blanks, which
    # cannot make or break a part without blanks.
    short = py.method(py.method(held, "strip"), "lower")
    return py.choose(py.method(held, "isprintable"), short, whole)
