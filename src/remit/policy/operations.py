"""What fields, arithmetic, loops and functions of the condition language mean on plain JSON values.

Like ``comparison``: one definition for both ways of evaluating; every operation gives the right
answer or raises ``ConditionError`` or ``MissingFact`` with the offset it was given. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias, cast

from remit import text
from remit.budgets.limits import UNITS
from remit.model import Finding, Measure, Session
from remit.policy.comparison import (
    ConditionError,
    MissingFact,
    as_string,
    kind,
    mismatch,
    reads_as,
    real,
)
from remit.policy.functions import ReaderFunction, UnreadableValue
from remit.policy.tokens import INT_MAX, INT_MIN

MAX_SIZE = 4_194_304
"""Longest string (characters) or list (elements) that an operator may build."""

LOOP_LIMITS = (100_000, 100_000, 1_000, 100)
"""Longest list that a loop may walk, by how deep loops are nested in the whole expression."""


class Absent:
    """The type of ``ABSENT``, which generated code uses where a map has no such key."""


ABSENT: Final = Absent()


# Fields and elements


def member(value: Any, name: str, fact: bool, offset: int) -> Any:
    """``value.name`` of a map. ``fact`` says that the value comes from the context.

    Raises:
        MissingFact: the context has no such field.
        ConditionError: a map has no such field, or it is not a map.
    """
    if not isinstance(value, Mapping):
        raise ConditionError(f"{kind(value)} has no field `{name}`", offset)
    if name not in value:
        absent(name, fact, offset)
    return value[name]


def absent(name: str, fact: bool, offset: int) -> NoReturn:
    """Refuse to read a field that is not there."""
    if fact:
        raise MissingFact(f"the context does not say `{name}`", offset)
    raise ConditionError(f"there is no field `{name}`", offset)


def present(value: Any, name: str, wide: bool, offset: int) -> bool:
    """``has(value.name)``. Read generously, a key in another spelling counts as present."""
    if not isinstance(value, Mapping):
        raise ConditionError(f"{kind(value)} has no field `{name}`", offset)
    if name in value or not wide:
        return name in value
    folded = text.fold(name)
    return any(reads_as(key, folded) for key in value)


def element(value: Any, index: Any, fact: bool, offset: int) -> Any:
    """``value[index]`` of a list (from 0) or a map.

    Raises:
        MissingFact: the context has no such field.
        ConditionError: no such element or field, or neither list nor map.
    """
    match kind(value), kind(index):
        case ("list", "int"):
            if not 0 <= index < len(value):
                message = f"there is no element {index} in a list of {len(value)}"
                raise ConditionError(message, offset)
            return value[index]
        case ("map", "string"):
            return member(value, index, fact, offset)
    raise ConditionError(f"a {kind(value)} cannot be indexed by {kind(index)}", offset)


# Loops. ``test`` gives a bool or raises; the first error ends the loop.

Test: TypeAlias = Callable[[Any], bool]


def all_of(items: Sequence[Any], test: Test) -> bool:
    """Whether ``test`` holds for every element; stops at the first for which it does not."""
    return all(map(test, items))


def any_of(items: Sequence[Any], test: Test) -> bool:
    """Whether ``test`` holds for an element; stops at the first for which it does."""
    return any(map(test, items))


def one_of(items: Sequence[Any], test: Test) -> bool:
    """Whether ``test`` holds for exactly one element; looks at all of them."""
    return sum(map(test, items)) == 1


def kept(items: Sequence[Any], test: Test) -> list[Any]:
    """Return the elements for which ``test`` holds."""
    return list(filter(test, items))


def mapped(items: Sequence[Any], give: Callable[[Any], Any]) -> list[Any]:
    """Return what ``give`` makes of each element."""
    return list(map(give, items))


LOOPS: Mapping[str, Callable[[Sequence[Any], Callable[[Any], Any]], Any]] = {
    "all": all_of,
    "exists": any_of,
    "exists_one": one_of,
    "filter": kept,
    "map": mapped,
}


# Arithmetic


def arithmetic(a: Any, b: Any, sign: str, offset: int) -> Any:
    """``a + b``, ``a - b``, ``a * b``, ``a / b`` or ``a % b``.

    An int and a double make a double. ``/`` of ints cuts towards zero; ``%`` takes the sign of
    the left side. ``+`` also joins two strings or two lists.

    Raises:
        ConditionError: other types, division by zero, or a result that does not fit.
    """
    kinds = kind(a), kind(b)
    match kinds:
        case ("int", "int"):
            a, b = within_64_bits(a, offset), within_64_bits(b, offset)
            return within_64_bits(_whole(a, b, sign, offset), offset)
        case ("int" | "double", "int" | "double") if sign != "%":
            return _fraction(_double(a, offset), _double(b, offset), sign, offset)
        case ("string", "string") | ("list", "list") if sign == "+":
            if len(a) + len(b) > MAX_SIZE:
                raise ConditionError(f"the result is longer than {MAX_SIZE:,}", offset)
            return a + b if kinds[0] == "string" else [*a, *b]
    raise mismatch(sign, a, b, offset)


def _whole(a: int, b: int, sign: str, offset: int) -> int:
    match sign:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
    if b == 0:
        raise ConditionError("division by zero", offset)
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    # As in CEL, the remainder does not exist either where the quotient does not fit.
    within_64_bits(quotient, offset)
    return quotient if sign == "/" else a - b * quotient


def _fraction(a: float, b: float, sign: str, offset: int) -> float:
    match sign:
        case "+":
            return _finite(a + b, offset)
        case "-":
            return _finite(a - b, offset)
        case "*":
            return _finite(a * b, offset)
    if b == 0:
        raise ConditionError("division by zero", offset)
    return _finite(a / b, offset)


def negated(value: Any, offset: int) -> Any:
    """``-value`` of a number."""
    match kind(value):
        case "int":
            return within_64_bits(-within_64_bits(value, offset), offset)
        case "double":
            return -real(value, offset)
    raise ConditionError(f"`-` before {kind(value)}", offset)


def within_64_bits(value: int, offset: int) -> int:
    """Return ``value`` if it fits into a signed 64-bit integer."""
    if not INT_MIN <= value <= INT_MAX:
        raise ConditionError("a number does not fit into 64 bits", offset)
    return value


def _double(value: float, offset: int) -> float:
    if isinstance(value, int):
        return float(within_64_bits(value, offset))
    return _finite(value, offset)


def _finite(value: float, offset: int) -> float:
    if value - value != 0:
        raise ConditionError("a number is too large for a double, or NaN", offset)
    return value


# Functions


def size(value: Any, offset: int) -> int:
    """``size(value)``: code points of a string, elements of a list, keys of a map."""
    if not isinstance(value, str | list | tuple | Mapping):
        raise ConditionError(f"{kind(value)} has no size", offset)
    return len(value)


_INT_TEXT = re.compile(r"-?[0-9]{1,19}")
_DOUBLE_TEXT = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,4})?")


def to_int(value: Any, offset: int) -> int:
    """``int(value)`` of a number (cut towards zero) or of decimal digits."""
    match kind(value):
        case "int":
            return within_64_bits(value, offset)
        case "double":
            return within_64_bits(int(_finite(value, offset)), offset)
        case "string" if _INT_TEXT.fullmatch(plain := text.normal(value)):
            return within_64_bits(int(plain), offset)
    raise ConditionError(f"this {kind(value)} is not a whole number", offset)


def to_double(value: Any, offset: int) -> float:
    """``double(value)`` of a number or of a decimal number in digits."""
    match kind(value):
        case "int" | "double":
            return _double(value, offset)
        case "string" if _DOUBLE_TEXT.fullmatch(plain := text.normal(value)):
            return _finite(float(plain), offset)
    raise ConditionError(f"this {kind(value)} is not a number", offset)


def to_string(value: Any, offset: int) -> str:
    """``string(value)`` of a string, a number or a bool."""
    match kind(value):
        case "string":
            return str(value)
        case "bool":
            return "true" if value else "false"
        case "int":
            return str(within_64_bits(value, offset))
        case "double":
            whole = _finite(value, offset).is_integer() and abs(value) < 1e16
            return str(int(value)) if whole else repr(value)
    raise ConditionError(f"{kind(value)} cannot be written as a string", offset)


def least(values: Sequence[Any], offset: int) -> Any:
    """``min(a, b, ...)`` or ``min(list)`` of numbers."""
    return min(_numbers(values, offset))


def greatest(values: Sequence[Any], offset: int) -> Any:
    """``max(a, b, ...)`` or ``max(list)`` of numbers."""
    return max(_numbers(values, offset))


def _numbers(values: Any, offset: int) -> Sequence[Any]:
    if kind(values) != "list" or not values:
        raise ConditionError("min and max need at least one number", offset)
    for value in values:
        if kind(value) not in ("int", "double"):
            raise ConditionError(f"min and max compare numbers, this is {kind(value)}", offset)
        real(value, offset)
    return list(values)


_TO_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_TO_UPPER = {code + 32: code for code in range(ord("A"), ord("Z") + 1)}
_BLANKS = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


def lower_ascii(value: Any, offset: int) -> str:
    """``value.lowerAscii()``, after NFKC."""
    return text.normal(as_string(value, "lowerAscii", offset)).translate(_TO_LOWER)


def upper_ascii(value: Any, offset: int) -> str:
    """``value.upperAscii()``, after NFKC."""
    return text.normal(as_string(value, "upperAscii", offset)).translate(_TO_UPPER)


def trim(value: Any, offset: int) -> str:
    """``value.trim()``: Unicode white space removed from both ends, after NFKC."""
    return text.normal(as_string(value, "trim", offset)).strip(_BLANKS)


def split(value: Any, separator: Any, offset: int) -> list[str]:
    """``value.split(separator)``, after NFKC; an empty separator gives the characters."""
    whole = text.normal(as_string(value, "split", offset))
    at = text.normal(as_string(separator, "split", offset))
    return whole.split(at) if at else list(whole)


FUNCTIONS: Mapping[str, Callable[[Any, int], Any]] = {
    "size": size,
    "int": to_int,
    "double": to_double,
    "string": to_string,
}
EXTREMES: Mapping[str, Callable[[Any, int], Any]] = {"min": least, "max": greatest}
METHODS: Mapping[str, Callable[..., Any]] = {
    "size": size,
    "lowerAscii": lower_ascii,
    "upperAscii": upper_ascii,
    "trim": trim,
    "split": split,
}
"""Methods of strings but the tests; each takes the target, the arguments and the offset."""


# Facts


def read(
    reader: ReaderFunction,
    arguments: Sequence[Any],
    extra: Sequence[Any],
    name: str,
    offset: int,
) -> Any:
    """Call a typed reader, or a method of what one returned, on strings.

    Raises:
        ConditionError: an argument is not a string, or the reader cannot read it.
    """
    strings = [as_string(argument, name, offset) for argument in arguments]
    try:
        return reader(*strings, *extra)
    except UnreadableValue as error:
        raise ConditionError(f"`{name}` cannot read this: {error}", offset) from None


def no_user(offset: int) -> NoReturn:
    """Refuse to read a field of the user when nobody is known to be behind the agent."""
    raise MissingFact("it is not known on whose behalf the agent acts", offset)


def calls(session: Session, tool: Any, offset: int) -> int:
    """``session.calls(tool)``: admitted calls, however the tool's name was spelt.

    Raises:
        ConditionError: the session has used more tools than are counted by name.
    """
    name = text.name(as_string(tool, "calls", offset))
    counts = [count for key, count in session.calls.items() if text.name(key) == name]
    if not counts and "*" in session.calls:
        message = "the session used so many tools that this one is not counted by itself"
        raise ConditionError(message, offset)
    return sum(counts)


def remaining(balances: Mapping[str, Mapping[str, int]], name: str, *rest: Any) -> int | float:
    """``budget.remaining(id, measure)``: what is left for this call, the least of its scopes.

    Dollars and seconds are fractions, everything else is whole.

    Raises:
        MissingFact: that is not known here.
    """
    *measure, offset = rest
    found = balances.get(name)
    if not found:
        raise MissingFact(f"what is left of the budget {name!r} is not known here", offset)
    wanted = measure[0] if measure else next(iter(found))
    unit = UNITS[cast(Measure, wanted)]
    return found[wanted] if unit == 1 else found[wanted] / unit


RECORD_METHODS: Mapping[str, Callable[..., Any]] = {"calls": calls, "remaining": remaining}
"""Methods of variables that are records."""


class Moment(NamedTuple):
    """A time in UTC. ``epoch`` is in seconds; ``weekday`` is 1 for Monday to 7 for Sunday."""

    epoch: int
    year: int
    month: int
    day: int
    hour: int
    minute: int
    weekday: int


def moment(now: int) -> Moment:
    """Return the fields of ``now`` (nanoseconds since the Unix epoch)."""
    epoch = now // 1_000_000_000
    days, second = divmod(epoch, 86_400)
    day = date.fromordinal(days + 719_163)
    return Moment(
        epoch,
        day.year,
        day.month,
        day.day,
        second // 3600,
        second // 60 % 60,
        day.isoweekday(),
    )


def finding_maps(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """Return findings as the maps that conditions see."""
    return [
        {"kind": f.kind, "sign": f.sign, "where": f.where, "message": f.message} for f in findings
    ]


def found(findings: Sequence[Finding], word: str) -> bool:
    """Whether there is a finding of that kind, or of that sign."""
    return any(word in (finding.kind, finding.sign) for finding in findings)


__all__ = ["ABSENT", "LOOP_LIMITS", "MAX_SIZE", "Moment", "arithmetic", "moment"]
