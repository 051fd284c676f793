"""Where SQL text means different things to different databases, before any grammar.

Dialects disagree on where strings and comments end. Text on which they would disagree can hide a
statement from one reader and show it to another, so it is refused, unless the policy names the
dialect and that settles it.
"""

from __future__ import annotations

import re

from remit.policy.readers import UnreadableValue
from remit.text import invisibles

_MYSQL = frozenset({"mysql", "doris", "starrocks"})
_HASH_COMMENTS = _MYSQL | {"bigquery"}
_DOLLAR_QUOTES = frozenset(
    {"postgres", "redshift", "materialize", "risingwave", "duckdb", "snowflake", "databricks"}
)
_BACKTICKS = frozenset(
    {"mysql", "doris", "starrocks", "bigquery", "sqlite", "spark", "spark2", "databricks", "hive",
     "clickhouse", "athena", "drill"}
)  # fmt: skip
_BRACKETS = frozenset({"", "sqlite", "tsql", "fabric"})

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]|\r(?!\n)")
_MARK = re.compile(r"['\"`\[#$]|--|/\*")
_DOLLAR = re.compile(r"\$(\w*)\$")
_QUOTING_PREFIX = re.compile(r"(?<!\w)(?:n?q|u&)$", re.IGNORECASE)
_ODD_BLANK = re.compile(r"[^\S \t\r\n]")
_ODD_BACKSLASHES = re.compile(r"(?<!\\)(?:\\\\)*\\$")


def refuse_ambiguous(text: str, dialect: str) -> None:
    """Check that every database, or every one of ``dialect``, cuts ``text`` the same way.

    Args:
        text: SQL.
        dialect: sqlglot's name of the dialect, or ``""`` when the policy does not say.

    Raises:
        UnreadableValue: it may be cut in two ways; the message says at which character and why.
    """
    control = _CONTROL.search(text)
    if control:
        raise _ambiguous("a control character", control.start())
    at = 0
    while mark := _MARK.search(text, at):
        _check_bare(text, at, mark.start())
        start, sign = mark.start(), mark[0]
        if sign in "'\"`":
            at = _quoted(text, start, dialect)
        elif sign == "--" or sign == "#":
            at = _line_comment(text, start, sign, dialect)
        elif sign == "/*":
            at = _block_comment(text, start)
        elif sign == "$":
            at = _dollar(text, start, dialect)
        else:
            at = _bracket(text, start, dialect)
    _check_bare(text, at, len(text))


def _ambiguous(what: str, at: int) -> UnreadableValue:
    return UnreadableValue(f"sql(): {what} at character {at}: databases read it differently")


def _check_bare(text: str, start: int, end: int) -> None:
    """Outside of quotes and comments there is no place for backslashes and odd blanks."""
    bare = text[start:end]
    if "\\" in bare:
        raise _ambiguous("a backslash outside quotes", start + bare.index("\\"))
    odd = _ODD_BLANK.search(bare)
    hidden = invisibles(bare)
    if odd or hidden:
        raise _ambiguous("a blank that is not ASCII", start + (odd.start() if odd else hidden[0]))


def _quoted(text: str, start: int, dialect: str) -> int:
    mark = text[start]
    if mark == "`" and dialect not in _BACKTICKS:
        raise _ambiguous("a backtick (name the dialect in the policy)", start)
    if _QUOTING_PREFIX.search(text[max(0, start - 3) : start]):
        raise _ambiguous("a q'' or U&'' literal", start)
    at = start
    while True:
        at = text.find(mark, at + 1)
        if at < 0:
            raise _ambiguous("a quote that is never closed", start)
        if _ODD_BACKSLASHES.search(text[start + 1 : at]):
            raise _ambiguous("a backslash before a quote (double the quote instead)", at)
        if text[at + 1 : at + 2] != mark:
            return at + 1
        at += 1


def _line_comment(text: str, start: int, sign: str, dialect: str) -> int:
    if sign == "#":
        if not dialect:
            raise _ambiguous("a # (name the dialect in the policy)", start)
        if dialect not in _HASH_COMMENTS:
            return start + 1
    elif (not dialect or dialect in _MYSQL) and text[start + 2 : start + 3].strip():
        raise _ambiguous("-- without a blank after it", start)
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _block_comment(text: str, start: int) -> int:
    if text.startswith(("/*!", "/*M!", "/*m!"), start):
        raise _ambiguous("a comment that MySQL executes", start)
    end = text.find("*/", start + 2)
    if end < 0:
        raise _ambiguous("a comment that is never closed", start)
    if "/*" in text[start + 2 : end]:
        raise _ambiguous("a comment within a comment", start)
    return end + 2


def _dollar(text: str, start: int, dialect: str) -> int:
    opening = _DOLLAR.match(text, start)
    if not opening:
        return start + 1
    if dialect not in _DOLLAR_QUOTES or re.match(r"\w", text[max(0, start - 1) : start]):
        raise _ambiguous("dollar quotes (name the dialect in the policy)", start)
    end = text.find(opening[0], opening.end())
    if end < 0:
        raise _ambiguous("a dollar quote that is never closed", start)
    return end + len(opening[0])


def _bracket(text: str, start: int, dialect: str) -> int:
    """``[a b]`` is a name to some and an array to others; both must end at the same place."""
    if dialect in _BRACKETS:
        inside = text[start : text.find("]", start) + 1]
        signs = ("--", "/*", ";", "`", "#")
        odd = inside.count("'") % 2 or inside.count('"') % 2
        if not inside or odd or any(sign in inside for sign in signs):
            raise _ambiguous("quotes or comments within brackets", start)
    return start + 1
