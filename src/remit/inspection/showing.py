"""Text for people, in which nothing can hide. No I/O."""

from __future__ import annotations

import json
import re
from typing import Any

from remit import text


def visible(value: Any) -> str:
    """A JSON value as text in which every character can be seen.

    What is not drawn, and letters that look Latin and are not, are given by their code.
    """
    return shown(json.dumps(value, ensure_ascii=False, separators=(", ", ": "), default=dict))


def shown(line: str) -> str:
    """A line with what is not drawn, and words that look Latin and are not, by their codes."""
    if line.isascii() and line.isprintable():
        return line
    hidden = set(text.invisibles(line))
    drawn = "".join(
        _code(letter) if at in hidden or not letter.isprintable() else letter
        for at, letter in enumerate(line)
    )
    return _WORD.sub(_told_apart, drawn)


_WORD = re.compile(r"\w+")


def _told_apart(word: re.Match[str]) -> str:
    letters = word.group()
    if not text.looks_alike(letters):
        return letters
    return "".join(each if each.isascii() else _code(each) for each in letters)


def _code(letter: str) -> str:
    return f"<U+{ord(letter):04X}>"
