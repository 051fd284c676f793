"""JSON as Remit trusts it: checked once at the edge, and one canonical form for hashing.

``check`` turns whatever a caller passed into a plain JSON value or says what is wrong with which
argument. ``encode`` gives the canonical bytes of RFC 8785, except that integers of any size keep
their exact digits. ``parse`` reads JSON text without any of the leniencies on which two readers
could disagree. No I/O.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from typing import Any

from msgspec import Struct

from remit.errors import InvalidArgument
from remit.model import Digest

MAX_BYTES = 1_048_576
"""Most bytes of JSON that arguments or a result may take."""

MAX_DEPTH = 64
"""Deepest nesting of lists and objects in arguments or a result."""

MAX_INTEGER_BITS = 8192
"""Largest integer, about 2,466 digits: room for keys in RSA, none for quadratic conversions."""


class JsonLimits(Struct, frozen=True, kw_only=True):
    """How much JSON is accepted: ``bytes`` of UTF-8 (escapes not counted) and ``depth``."""

    bytes: int = MAX_BYTES
    depth: int = MAX_DEPTH


_DEFAULT = JsonLimits()
# Callers wrap checked values in a few levels of their own before they hash them.
_ENCODE_DEPTH = 2 * MAX_DEPTH
_EXACT_INTEGERS = 2.0**53

_INSTEAD = {
    "datetime": "its isoformat()",
    "date": "its isoformat()",
    "time": "its isoformat()",
    "timedelta": "its total_seconds()",
    "Decimal": "a string, or an integer number of the smallest unit",
    "UUID": "its str()",
    "PosixPath": "its str()",
    "WindowsPath": "its str()",
    "bytes": "text, or a base64 string",
    "bytearray": "text, or a base64 string",
    "set": "a sorted list",
    "frozenset": "a sorted list",
    "generator": "a list",
}


class _NotJsonError(Exception):
    """What is wrong, on its way up; every level that it passes adds its key to ``trail``."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.trail: list[str | int] = []

    def located(self, where: str) -> InvalidArgument:
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.trail[::-1])
        return InvalidArgument(where + "".join(steps), self.text)


def check(value: Any, where: str = "args", limits: JsonLimits = _DEFAULT) -> Any:
    """Return ``value`` as a fresh plain JSON value: dict, list, str, int, float, bool or None.

    The result shares no list and no dict with ``value``, so nobody can change it after it was
    decided on. Tuples become lists; subclasses of the JSON types become the plain type.

    Args:
        value: what the caller passed.
        where: its name in the error, such as ``args``.
        limits: most bytes and deepest nesting.

    Raises:
        InvalidArgument: NaN or infinity, a lone surrogate, a key that is not a string, a type that
            is not JSON, too large, too deep (so also a cycle). Names the place.
    """
    if type(value) is dict:
        plain = value.copy()
        size = 2
        for key, item in plain.items():
            if type(item) is str and type(key) is str and item.isascii() and key.isascii():
                size += len(key) + len(item) + 6
            else:
                break
        else:
            if size <= limits.bytes:
                return plain
    try:
        return _Inspection(limits).value(value, 1)
    except _NotJsonError as problem:
        raise problem.located(where) from None


class _Inspection:
    """One walk over a value: copies it and counts bytes as it goes, so that it can stop early."""

    __slots__ = ("depth", "left", "limits")

    def __init__(self, limits: JsonLimits) -> None:
        self.limits = limits
        self.left = limits.bytes
        self.depth = limits.depth

    def value(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            self.text(value)
            return value
        if value is None or kind is bool:
            self.spend(5)
            return value
        if kind is int:
            self.spend(_digits(value) + 1)
            return value
        if kind is dict:
            return self.members(value, depth)
        if kind is list or kind is tuple:
            return self.items(value, depth)
        if kind is float:
            if not math.isfinite(value):
                raise _NotJsonError(f"{value} is not JSON; pass a finite number, or null")
            self.spend(24)
            return value
        return self.value(_plain(value), depth)

    def members(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        self.enter(depth)
        result: dict[str, Any] = {}
        key: Any = None
        for key, item in value.copy().items():
            if not isinstance(key, str):
                raise _NotJsonError(f"the key {_shown(key)} is not a string; JSON keys are strings")
            name = str.__str__(key)
            try:
                self.text(name)
                result[name] = self.value(item, depth + 1)
            except _NotJsonError as problem:
                problem.trail.append(_shown_key(name))
                raise
        if len(result) != len(value):
            raise _NotJsonError("two keys are the same string")
        return result

    def items(self, value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
        self.enter(depth)
        result: list[Any] = []
        for item in tuple(value):
            try:
                result.append(self.value(item, depth + 1))
            except _NotJsonError as problem:
                problem.trail.append(len(result))
                raise
        return result

    def enter(self, depth: int) -> None:
        if depth > self.depth:
            raise _NotJsonError(f"nested more than {self.depth} levels deep (or contains itself)")
        self.spend(2)

    def text(self, value: str) -> None:
        if value.isascii():
            self.spend(len(value) + 3)
            return
        try:
            self.spend(len(value.encode()) + 3)
        except UnicodeEncodeError as error:
            raise _NotJsonError(_surrogate(error.start)) from None

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            most = self.limits.bytes
            raise _NotJsonError(f"larger than {most:,} bytes in all; pass a reference to the data")


def _plain(value: Any) -> Any:
    """The plain value of a subclass, read without calling anything that it may override."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, dict):
        return dict(dict.items(value))
    if isinstance(value, list):
        return list.__getitem__(value, slice(None))
    if isinstance(value, tuple):
        return tuple.__getitem__(value, slice(None))
    name = type(value).__name__
    instead = _INSTEAD.get(name, "strings, numbers, booleans, null, lists or objects of them")
    article = "an" if name[:1] in "AEIOUaeio" else "a"
    raise _NotJsonError(f"{article} {name} is not JSON; pass {instead}")


def _digits(value: int) -> int:
    """Upper estimate of the decimal digits of ``value``."""
    bits = value.bit_length()
    if bits > MAX_INTEGER_BITS:
        raise _NotJsonError(f"an integer of {bits:,} bits is too large; pass it as a string")
    return bits * 77 // 256 + 1


def _surrogate(index: int) -> str:
    return f"lone surrogate at character {index}; it is no text, so it cannot be compared or stored"


def _shown(key: object) -> str:
    return (
        f"{type(key).__name__} {str(key)[:40]!r}"
        if isinstance(key, int | float)
        else repr(type(key).__name__)
    )


def _shown_key(key: str) -> str:
    """A key as it may appear in a message: short, and without lone surrogates."""
    return key[:64].encode("utf-8", "backslashreplace").decode()


def encode(value: Any) -> bytes:
    """Return the canonical JSON of ``value`` (RFC 8785) in UTF-8.

    Deviation: an integer keeps all its digits, where RFC 8785 would round it to a double; two
    different integers must never hash alike. A float that is a whole number is written as one.

    Raises:
        InvalidArgument: ``value`` is not JSON, or nested more than 128 levels deep.
    """
    parts: list[str] = []
    try:
        _write(value, parts.append, 0)
        return "".join(parts).encode()
    except _NotJsonError as problem:
        raise problem.located("value") from None
    except UnicodeEncodeError:
        raise InvalidArgument("value", "has a lone surrogate; it is no text") from None


def digest(*parts: Any) -> Digest:
    """Return the SHA-256, in hex, of the canonical JSON of ``parts`` as one list.

    Raises:
        InvalidArgument: a part is not JSON.
    """
    return Digest(hashlib.sha256(encode(parts)).hexdigest())


def _write(value: Any, put: Callable[[str], None], depth: int) -> None:
    if isinstance(value, str):
        put(encode_basestring(value))
    elif value is None:
        put("null")
    elif value is True:
        put("true")
    elif value is False:
        put("false")
    elif isinstance(value, int):
        _digits(value)
        put(int.__repr__(value))
    elif isinstance(value, float):
        put(_number(value))
    elif depth >= _ENCODE_DEPTH:
        raise _NotJsonError(f"nested more than {_ENCODE_DEPTH} levels deep")
    elif isinstance(value, Mapping):
        _write_object(value, put, depth + 1)
    elif isinstance(value, list | tuple):
        mark = "["
        for item in value:
            put(mark)
            _write(item, put, depth + 1)
            mark = ","
        put("[]" if mark == "[" else "]")
    else:
        _plain(value)


def _write_object(value: Mapping[Any, Any], put: Callable[[str], None], depth: int) -> None:
    for key in value:
        if not isinstance(key, str):
            raise _NotJsonError(f"the key {_shown(key)} is not a string; JSON keys are strings")
    plain = all(map(str.isascii, value))
    mark = "{"
    # RFC 8785 section 3.2.3: keys sort by UTF-16 code units, which differs from code points
    # where characters beyond the basic plane meet U+E000 to U+FFFF.
    for key in sorted(value) if plain else sorted(value, key=_utf16):
        put(mark)
        put(encode_basestring(key))
        put(":")
        _write(value[key], put, depth)
        mark = ","
    put("{}" if mark == "{" else "}")


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def _number(value: float) -> str:
    """A double as ECMAScript writes it (RFC 8785 section 3.2.2.3, ECMA-262 Number::toString)."""
    if not math.isfinite(value):
        raise _NotJsonError(f"{value} is not JSON; pass a finite number, or null")
    if value.is_integer() and abs(value) < _EXACT_INTEGERS:
        return str(int(value))
    sign = "-" if value < 0 else ""
    # Python and ECMAScript agree on the shortest digits; only their placing of the point differs.
    mantissa, _, exponent = float.__repr__(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return f"{sign}{digits}{'0' * (point - count)}"
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"


def parse(data: bytes, where: str = "json", limits: JsonLimits = _DEFAULT) -> Any:
    """Return the value of JSON text, read strictly (RFC 8259, RFC 7493).

    Raises:
        InvalidArgument: not UTF-8, a byte order mark, duplicate keys, NaN or a number beyond the
            range of a double, lone surrogates, trailing data, too large or too deep. Says where.
    """
    if len(data) > limits.bytes:
        raise InvalidArgument(where, f"larger than {limits.bytes:,} bytes")
    if data.count(b"[") + data.count(b"{") > limits.depth:
        _check_nesting(data, where, limits.depth)
    try:
        text = data.decode()
        value = _STRICT.decode(text)
        if "\\u" in text:
            value = _Inspection(JsonLimits(bytes=8 * limits.bytes, depth=limits.depth)).value(
                value, 1
            )
    except _NotJsonError as problem:
        raise problem.located(where) from None
    except UnicodeDecodeError as error:
        raise InvalidArgument(where, f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise InvalidArgument(where, f"not JSON: {error.msg} at {place}") from None
    return value


# A string that never ends is matched up to the end, so that the scan stays linear.
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def _check_nesting(data: bytes, where: str, limit: int) -> None:
    depth = 0
    for match in _BRACKETS.finditer(data):
        mark = match[0]
        if mark in b"[{":
            depth += 1
            if depth > limit:
                problem = f"nested more than {limit} levels deep at byte {match.start()}"
                raise InvalidArgument(where, problem)
        elif mark in b"]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _NotJsonError(f"the key {_shown_key(key)!r} appears twice in one object")
        result[key] = value
    return result


def _refuse_constant(name: str) -> float:
    raise _NotJsonError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _NotJsonError(f"the number {digits[:40]} is beyond the range of a double")
    return value


def _integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_BITS * 77 // 256:
        raise _NotJsonError(
            f"an integer of {len(digits):,} digits is too large; pass it as a string"
        )
    return int(digits)


# Made once: making one costs as much as reading a small message.
_STRICT = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_float=_finite,
    parse_int=_integer,
)
