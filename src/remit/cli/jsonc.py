"""JSON with comments and trailing commas, as editors write it: values, and where each stands.

What is written differently by different readers is refused, so that an edit by place cannot mean
something else to the program whose file it is: duplicate keys, control characters, deep nesting.
"""

from __future__ import annotations

import json
import re
from typing import Any

from remit.errors import ConfigError

_BLANK = re.compile(r"(?:[ \t\r\n]|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_PLAIN = re.compile(r"-?[0-9][0-9.eE+-]*|true|false|null")
_DEPTH = 32

Spans = dict[tuple[str | int, ...], tuple[int, int]]


def parse(text: str) -> tuple[Any, Spans]:
    """The value, and start and end of every value in it by its path.

    Raises:
        ConfigError: it is not JSON, even with comments.
    """
    reader = _JsoncReader(text)
    value, end = reader.value(reader.skip(0), ())
    if reader.skip(end) != len(text):
        raise reader.fault(reader.skip(end), "something follows the end")
    return value, reader.spans


class _JsoncReader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.spans: Spans = {}

    def skip(self, at: int) -> int:
        match = _BLANK.match(self.text, at)
        return match.end() if match else at

    def fault(self, at: int, what: str) -> ConfigError:
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        return ConfigError(f"line {line}, column {column}: {what}")

    def value(self, at: int, path: tuple[str | int, ...]) -> tuple[Any, int]:
        if len(path) > _DEPTH:
            raise self.fault(at, "nested too deep")
        opening = self.text[at : at + 1]
        value: Any
        if opening == "{":
            value, end = self._object(at, path)
        elif opening == "[":
            value, end = self._list(at, path)
        else:
            match = (_STRING if opening == '"' else _PLAIN).match(self.text, at)
            if match is None:
                raise self.fault(at, "no JSON value")
            value, end = self._scalar(match), match.end()
        self.spans[path] = at, end
        return value, end

    def _scalar(self, match: re.Match[str]) -> Any:
        try:
            return json.loads(match.group())
        except ValueError:
            raise self.fault(match.start(), "no JSON value") from None

    def _object(self, at: int, path: tuple[str | int, ...]) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        at = self.skip(at + 1)
        while self.text[at : at + 1] != "}":
            match = _STRING.match(self.text, at)
            if match is None:
                raise self.fault(at, "a key is a text in quotation marks")
            key = self._scalar(match)
            if key in found:
                raise self.fault(at, f"the key {key!r} stands here twice")
            colon = self.skip(match.end())
            if self.text[colon : colon + 1] != ":":
                raise self.fault(colon, "a colon is missing")
            found[key], at = self.value(self.skip(colon + 1), (*path, key))
            at = self._next(at, "}")
        return found, at + 1

    def _list(self, at: int, path: tuple[str | int, ...]) -> tuple[list[Any], int]:
        found: list[Any] = []
        at = self.skip(at + 1)
        while self.text[at : at + 1] != "]":
            item, at = self.value(at, (*path, len(found)))
            found.append(item)
            at = self._next(at, "]")
        return found, at + 1

    def _next(self, at: int, closing: str) -> int:
        at = self.skip(at)
        sign = self.text[at : at + 1]
        if sign == ",":
            return self.skip(at + 1)
        if sign != closing:
            raise self.fault(at, f"a comma or {closing} is missing")
        return at
