"""How the condition language compares values, and how it fails when they cannot be compared.

One definition for both ways of evaluating: the reference walks the tree and calls these; generated
code decides the common cases inline and calls these for the rest. Every operation either gives the
right answer or raises; none guesses. ``wide`` says how strings are read: by rules that restrict
generously (``text.fold``), otherwise exactly after NFKC (``text.normal``). No I/O.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NoReturn, TypeAlias

import re2

from remit import text

Ordering: TypeAlias = Literal["<", "<=", ">", ">="]


class ConditionError(Exception):
    """A condition cannot be evaluated on these values. The rule denies, whatever its effect."""

    def __init__(self, message: str, offset: int) -> None:
        self.message = message
        self.offset = offset
        super().__init__(message, offset)


class MissingFact(Exception):  # noqa: N818  it is not an error: the decision waits for the fact
    """A condition needs a fact that nobody has given: a context field, or who the user is."""

    def __init__(self, message: str, offset: int) -> None:
        self.message = message
        self.offset = offset
        super().__init__(message, offset)


def kind(value: object) -> str:
    """Return the language's name for the type of ``value``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    for name, types in _KINDS:
        if isinstance(value, types):
            return name
    return "record"


_KINDS: tuple[tuple[str, type | tuple[type, ...]], ...] = (
    ("int", int),
    ("double", float),
    ("string", str),
    ("list", (list, tuple)),
    ("map", Mapping),
)


def mismatch(operator_: str, a: object, b: object, offset: int) -> ConditionError:
    """Return the error for an operator between values that it does not take."""
    return ConditionError(f"`{operator_}` between {kind(a)} and {kind(b)}", offset)


def not_bool(value: object, offset: int) -> NoReturn:
    """Refuse a value that stands where a condition is expected."""
    raise ConditionError(f"a condition is true or false, this is {kind(value)}", offset)


def as_bool(value: object, offset: int) -> bool:
    """Return ``value`` if it is a bool."""
    if value is True or value is False:
        return value
    not_bool(value, offset)


def as_string(value: Any, method: str, offset: int) -> str:
    """Return ``value`` if it is a string; ``method`` is what wants one."""
    if not isinstance(value, str):
        raise ConditionError(f"`{method}` needs a string, this is {kind(value)}", offset)
    return value


# Comparison


def same(a: str, b: str, wide: bool) -> bool:
    """Whether two strings are equal, read exactly or generously."""
    if a == b or text.normal(a) == text.normal(b):
        return True
    return wide and text.fold(a) == text.fold(b)


def equal(a: Any, b: Any, wide: bool, offset: int) -> bool:
    """``a == b``. Null may be compared with anything; other types only with their own.

    Raises:
        ConditionError: the types differ, or a number is NaN.
    """
    if a is None or b is None:
        return a is b
    kinds = kind(a), kind(b)
    match kinds:
        case ("string", "string"):
            return same(a, b, wide)
        case ("int" | "double", "int" | "double"):
            return bool(real(a, offset) == real(b, offset))
        case ("bool", "bool"):
            return bool(a == b)
        case ("list", "list"):
            return len(a) == len(b) and all(
                equal(x, y, wide, offset) for x, y in zip(a, b, strict=True)
            )
        case ("map", "map"):
            return _equal_maps(a, b, wide, offset)
    raise mismatch("==", a, b, offset)


def _equal_maps(a: Mapping[str, Any], b: Mapping[str, Any], wide: bool, offset: int) -> bool:
    a, b = _by_name(a, wide, offset), _by_name(b, wide, offset)
    return a.keys() == b.keys() and all(equal(a[key], b[key], wide, offset) for key in sorted(a))


def _by_name(entries: Mapping[str, Any], wide: bool, offset: int) -> Mapping[str, Any]:
    spell = text.fold if wide else text.normal
    named = {spell(key): value for key, value in entries.items()}
    if len(named) < len(entries):
        raise ConditionError("a map with two keys that read the same", offset)
    return named


def real(value: Any, offset: int) -> Any:
    """Return a number if it is not NaN."""
    if value != value:
        raise ConditionError("a number is NaN", offset)
    return value


_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def ordered(a: Any, b: Any, comparison: Ordering, offset: int) -> bool:
    """``a < b`` and the like, between numbers or between strings (by code point, after NFKC).

    Raises:
        ConditionError: other types, mixed types, or NaN.
    """
    match kind(a), kind(b):
        case ("string", "string"):
            return _ORDER[comparison](text.normal(a), text.normal(b))
        case ("int" | "double", "int" | "double"):
            return _ORDER[comparison](real(a, offset), real(b, offset))
    raise mismatch(comparison, a, b, offset)


def elements(value: Any, limit: int, offset: int) -> Sequence[Any]:
    """Return what a loop walks: the elements of a list or the keys of a map.

    Raises:
        ConditionError: neither list nor map, or more than ``limit`` elements.
    """
    if not isinstance(value, list | tuple | Mapping):
        raise ConditionError(f"a list or a map is needed here, this is {kind(value)}", offset)
    if len(value) > limit:
        message = f"a list of {len(value):,} elements; this condition walks at most {limit:,}"
        raise ConditionError(message, offset)
    return value if isinstance(value, list | tuple) else list(value)


def is_in(value: Any, container: Any, wide: bool, limit: int, offset: int) -> bool:
    """``value in container``: an element of a list, in order, or a key of a map.

    Raises:
        ConditionError: not a container, longer than ``limit``, or compared with another type.
    """
    items = elements(container, limit, offset)
    if isinstance(container, Mapping) and not isinstance(value, str):
        raise ConditionError(f"the keys of a map are strings, this is {kind(value)}", offset)
    if isinstance(container, Mapping) and not wide:
        return value in container
    return any(equal(value, item, wide, offset) for item in items)


def names(items: Sequence[str], plain: str, folded: str | None) -> bool:
    """``value in items`` for a list of strings, such as the roles of an agent.

    ``plain`` and ``folded`` are the normal and the wide form of the value; ``folded`` is None
    where strings are read exactly.
    """
    if plain in items:
        return True
    if folded is None:
        return any(not item.isascii() and text.normal(item) == plain for item in items)
    return any(reads_as(item, folded) for item in items)


def reads_as(value: str, folded: str) -> bool:
    """Whether the wide form of ``value`` is ``folded``."""
    # Folding never makes ASCII longer.
    if len(value) < len(folded) and value.isascii():
        return False
    return text.fold(value) == folded


def contains(a: str, b: str, wide: bool) -> bool:
    """Whether ``b`` occurs in ``a``."""
    if text.normal(b) in text.normal(a):
        return True
    return wide and (needle := wide_part(b)) is not None and needle in f" {text.fold(a)} "


def starts_with(a: str, b: str, wide: bool) -> bool:
    """Whether ``a`` starts with ``b``."""
    if text.normal(a).startswith(text.normal(b)):
        return True
    needle = wide_part(b) if wide else None
    return needle is not None and f"{text.fold(a)} ".startswith(needle.removeprefix(" "))


def ends_with(a: str, b: str, wide: bool) -> bool:
    """Whether ``a`` ends with ``b``."""
    if text.normal(a).endswith(text.normal(b)):
        return True
    needle = wide_part(b) if wide else None
    return needle is not None and f" {text.fold(a)}".endswith(needle.removesuffix(" "))


def wide_part(part: str) -> str | None:
    """Return the wide form of a string that is looked for inside another.

    Unlike ``text.fold`` it keeps one blank where ``part`` starts or ends with blanks, so that
    looking for ``" or "`` does not find ``order``. None if nothing would be left to look for.
    """
    bare = text.fold(part)
    if not bare:
        return None
    plain = text.normal(part)
    return " " * plain[0].isspace() + bare + " " * plain[-1].isspace()


class Pattern:
    """A regular expression (RE2), compiled for both ways of reading.

    Raises:
        ValueError: RE2 does not accept it.
    """

    __slots__ = ("_exact", "_wide", "text")

    def __init__(self, pattern: str) -> None:
        if r"\Q" in pattern:
            raise ValueError(r"\Q...\E is not part of this language; escape each character")
        options = re2.Options()
        options.log_errors = False
        self.text = pattern
        try:
            self._exact = re2.compile(pattern, options)
            # Both alternatives: [^a-z] matches more letters when case counts than when it does not.
            self._wide = re2.compile(f"(?i:{pattern})|(?-i:{pattern})", options)
        except re2.error as error:
            raise ValueError(error.args[0].decode("utf-8", "replace")) from None

    def exact(self, value: str) -> bool:
        """Whether it matches anywhere in the NFKC form of ``value``."""
        return self._exact.search(text.normal(value).encode()) is not None

    def wide(self, value: str) -> bool:
        """Whether it matches in ``value`` or in its wide form, upper and lower case alike."""
        plain = text.normal(value)
        if self._wide.search(plain.encode()) is not None:
            return True
        folded = text.fold(value)
        if folded != plain and self._wide.search(folded.encode()) is not None:
            return True
        return plain is not value and self._wide.search(value.encode()) is not None


def matches(value: Any, pattern: Pattern, wide: bool, offset: int) -> bool:
    """``value.matches(pattern)``: whether the pattern matches anywhere in the string."""
    string = as_string(value, "matches", offset)
    try:
        return pattern.wide(string) if wide else pattern.exact(string)
    except UnicodeEncodeError:
        raise ConditionError("half of a surrogate pair in a string", offset) from None


StringTest: TypeAlias = Callable[[str, str, bool], bool]
STRING_TESTS: Mapping[str, StringTest] = {
    "contains": contains,
    "startsWith": starts_with,
    "endsWith": ends_with,
}


def tested(a: Any, b: Any, method: str, wide: bool, offset: int) -> bool:
    """``a.contains(b)``, ``a.startsWith(b)`` or ``a.endsWith(b)``."""
    whole, part = as_string(a, method, offset), as_string(b, method, offset)
    return STRING_TESTS[method](whole, part, wide)


__all__ = ["ConditionError", "MissingFact", "Pattern", "equal", "is_in", "matches", "ordered"]
