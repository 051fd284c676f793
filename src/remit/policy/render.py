"""Values as short, safe text: what explanations, logs and terminals may show of an argument."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from remit import text

MAX_WIDTH = 80
"""Longest rendering, in characters."""


def render(value: Any) -> str:
    r"""Return ``value`` as one line of at most 80 printable characters, in JSON's spelling.

    Control, invisible and bidirectional characters come out as ``\u`` escapes, so that a value
    cannot rewrite the terminal or page that shows it.
    """
    parts: list[str] = []
    length = 0
    for part in _parts(value, 0):
        parts.append(part)
        length += len(part)
        if length > MAX_WIDTH:
            return "".join(parts)[: MAX_WIDTH - 1] + "\u2026"
    return "".join(parts)


def _parts(value: Any, depth: int) -> Iterator[str]:
    match value:
        case None:
            yield "null"
        case bool():
            yield "true" if value else "false"
        case int() if abs(value) >= 10**MAX_WIDTH:
            yield f"an int of {value.bit_length():,} bits"
        case int() | float():
            yield repr(value)
        case str():
            yield _quoted(value)
        case list() | tuple() | Mapping() if depth == MAX_WIDTH:
            yield "\u2026"
        case list() | tuple():
            yield from _joined("[", ([item] for item in value), "]", depth)
        case Mapping():
            yield from _joined("{", value.items(), "}", depth)
        case _:
            yield type(value).__name__


def _joined(opening: str, entries: Any, closing: str, depth: int) -> Iterator[str]:
    yield opening
    for number, entry in enumerate(entries):
        if number:
            yield ", "
        if len(entry) == 2:
            yield _quoted(entry[0]) + ": "
        yield from _parts(entry[-1], depth + 1)
    yield closing


def _quoted(value: str) -> str:
    shown = json.dumps(value[:MAX_WIDTH], ensure_ascii=False)
    escaped = "".join(c if c.isprintable() and not _hidden(c) else _escape(c) for c in shown)
    return escaped if len(value) <= MAX_WIDTH else escaped[:-1] + "\u2026"


def _hidden(character: str) -> bool:
    return not character.isascii() and bool(text.invisibles(character))


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\u{{{code:x}}}"
