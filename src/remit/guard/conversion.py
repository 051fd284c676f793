"""Python values as policy sees them: a plain JSON snapshot of every argument and result.

Plain JSON passes as it is. Beyond that there is a closed list of types, each with one meaning:

    dataclass, msgspec struct, pydantic model   object of its fields
    str, int, float, list, dict subclasses      the plain value
    tuple, set, frozenset                       list (sets in canonical order)
    Enum                                        its value
    Decimal                                     number, when it is exactly one; else refused
    datetime, date, time                        ISO 8601 text
    UUID, pathlib path                          text
    bytes, bytearray                            text when UTF-8, else {"base64": "..."}

Everything else is refused: a guess about a value is a hole in a rule.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

from remit import canonical
from remit.errors import InvalidArgument

_SCALARS = frozenset({str, int, float, bool, type(None)})


def to_json(value: Any, where: str) -> Any:
    """Give a plain JSON snapshot of ``value`` that shares nothing mutable with it.

    Args:
        value: what a caller passed or a tool returned.
        where: how errors name it, e.g. ``args.rows``.

    Raises:
        InvalidArgument: it, or something in it, is not on the list above, is NaN or infinite,
            holds a lone surrogate, or is too large or too deep.
    """
    return canonical.check(JsonSnapshot().of(value, where), where)


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether ``value`` is plain JSON to begin with, so that a rewritten one can replace it."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    if depth >= canonical.MAX_DEPTH:
        return False
    if kind is list:
        return all(is_plain(item, depth + 1) for item in value)
    if kind is dict:
        return all(type(k) is str and is_plain(v, depth + 1) for k, v in value.items())
    return False


def is_json_like(value: Any, depth: int = 0) -> bool:
    """Whether ``value`` is plain JSON but for tuples, so that a redacted copy can stand for it."""
    kind = type(value)
    if kind is tuple or kind is list:
        return depth < canonical.MAX_DEPTH and all(is_json_like(v, depth + 1) for v in value)
    if kind is dict:
        return depth < canonical.MAX_DEPTH and all(
            type(k) is str and is_json_like(v, depth + 1) for k, v in value.items()
        )
    return kind in _SCALARS


class JsonSnapshot:
    """One conversion. Counts as it goes, so that shared or endless structures cannot explode."""

    __slots__ = ("_room",)

    def __init__(self) -> None:
        self._room = canonical.MAX_BYTES

    def of(self, value: Any, where: str, depth: int = 0) -> Any:
        """Give plain JSON for ``value``; numbers and characters are left to ``canonical.check``.

        Raises:
            InvalidArgument: a type that is not on the list, too large or too deep.
        """
        self._room -= 1
        if self._room < 0:
            raise InvalidArgument(where, f"is larger than {canonical.MAX_BYTES} bytes as JSON")
        kind = type(value)
        if kind in _SCALARS:
            if kind is str:
                self._room -= len(value)
            return value
        if depth >= canonical.MAX_DEPTH:
            raise InvalidArgument(where, f"is nested deeper than {canonical.MAX_DEPTH} levels")
        if kind is dict:
            return self._object(value.items(), where, depth)
        if kind is list or kind is tuple:
            return self._list(value, where, depth)
        return self._typed(value, where, depth)

    def _object(self, items: Iterable[tuple[Any, Any]], where: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in items:
            name = _text_of(key)
            if name is None:
                raise InvalidArgument(where, f"has the key {_shown(key)}, which is not a string")
            if name in found:
                raise InvalidArgument(where, f"has two keys that both become {name!r}")
            self._room -= len(name)
            found[name] = self.of(item, f"{where}.{name[:60]}", depth + 1)
        return found

    def _list(self, items: Iterable[Any], where: str, depth: int) -> list[Any]:
        return [self.of(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(items)]

    def _typed(self, value: Any, where: str, depth: int) -> Any:
        if isinstance(value, enum.Enum):
            return self.of(value.value, where, depth + 1)
        if isinstance(value, set | frozenset):
            return sorted(self._list(value, where, depth), key=canonical.encode)
        fields = _fields_of(value, where)
        if fields is not None:
            return self._object(fields, where, depth)
        if isinstance(value, dict):
            return self._object(dict.items(value), where, depth)
        if isinstance(value, list | tuple):
            return self._list(value, where, depth)
        simple = _simple(value, where)
        return self.of(simple, where, depth + 1)


def _fields_of(value: Any, where: str) -> Iterable[tuple[str, Any]] | None:
    try:
        return None if isinstance(value, type) else _read_fields(value)
    except Exception as error:
        raise InvalidArgument(where, f"{_shown(value)} cannot be read as JSON") from error


def _read_fields(value: Any) -> Iterable[tuple[str, Any]] | None:
    if isinstance(value, msgspec.Struct):
        return [(name, getattr(value, name)) for name in value.__struct_fields__]
    if dataclasses.is_dataclass(value):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    if hasattr(type(value), "__pydantic_core_schema__"):
        dumped: dict[str, Any] = value.model_dump(mode="json")
        return dumped.items()
    return None


def _simple(value: Any, where: str) -> Any:
    """The JSON form of a value without parts."""
    text = _text_of(value)
    if text is not None:
        return text
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, decimal.Decimal):
        return _number(value, where)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, uuid.UUID | pathlib.PurePath):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return _bytes(bytes(value))
    raise InvalidArgument(
        where,
        f"{_shown(value)} is not JSON; pass a plain value, a dataclass, or leave the parameter "
        "to the host with injected=[...]",
    )


def _text_of(value: Any) -> str | None:
    # str.__str__ gives the characters themselves, whatever a subclass makes of __str__ or __eq__.
    return str.__str__(value) if isinstance(value, str) else None


def _number(value: decimal.Decimal, where: str) -> int | float:
    if not value.is_finite():
        raise InvalidArgument(where, f"is {value}, which is not a JSON number")
    if value.adjusted() > 308 or len(value.as_tuple().digits) > 400:
        raise InvalidArgument(where, "has more digits than a JSON number can carry")
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    if decimal.Decimal(repr(number)) != value:
        raise InvalidArgument(where, f"{value} has more digits than a JSON number can carry")
    return number


def _bytes(value: bytes) -> Any:
    # Text that came as bytes must not slip past rules that read text.
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode("ascii")}


def _shown(value: Any) -> str:
    kind = type(value)
    article = "an" if kind.__qualname__[:1].lower() in "aeiou" else "a"
    return f"{article} {kind.__module__}.{kind.__qualname__}".replace(" builtins.", " ")
