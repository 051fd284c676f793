"""Where the keys of a TOML text are. Pure; only for messages, ``tomllib`` reads the values."""

from __future__ import annotations

import re

_HEADER = re.compile(r"\s*\[{1,2}\s*([^\]]+?)\s*\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*'))*)\s*=(.*)$"""
)
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*'""")


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """The line of each table and key of a valid TOML text, from 1; of repeated ones the first."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    closing = ""
    for number, line in enumerate(text.splitlines(), 1):
        if closing:
            closing = "" if closing in line else closing
            continue
        header = _HEADER.match(line)
        if header is not None:
            table = _parts(header[1])
            key, value = table, ""
        else:
            found = _KEY.match(line)
            if found is None:
                continue
            key, value = (*table, *_parts(found[1])), found[2]
        for end in range(1, len(key) + 1):
            lines.setdefault(key[:end], number)
        closing = next((mark for mark in ('"""', "'''") if value.count(mark) % 2), "")
    return lines


def _parts(written: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(written))
