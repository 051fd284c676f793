"""Words of the condition language: text to tokens, every token with its place.

What other languages write and this one does not (``and``, ``=``, ``=~`` ...) is refused here with
the right spelling, because a condition that loads and never matches is a hole. Offsets and widths
count characters. No I/O.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

MAX_LENGTH = 10_000
"""Longest expression, in characters."""

INT_MIN = -(2**63)
INT_MAX = 2**63 - 1


class ExpressionFault(Exception):  # noqa: N818  the word for what is wrong with a document
    """Something wrong with an expression: where in its text, what, and what to write instead."""

    def __init__(
        self, offset: int, width: int, message: str, suggestion: str | None = None
    ) -> None:
        self.offset = offset
        self.width = max(width, 1)
        self.message = message
        self.suggestion = suggestion
        hint = "" if suggestion is None else f" ({suggestion})"
        super().__init__(f"at {offset}: {message}{hint}")


TokenKind: TypeAlias = Literal["int", "double", "string", "name", "operator", "end"]


class Token(NamedTuple):
    """One token. ``value`` is the decoded literal, the name, or the operator's spelling."""

    kind: TokenKind
    value: int | float | str
    offset: int
    width: int

    @property
    def end(self) -> int:
        """Offset of the first character behind it."""
        return self.offset + self.width


_BLANK = re.compile(r"[ \t\r\n\f]+")
_NUMBER = re.compile(
    r"(?P<hex>0[xX][0-9a-fA-F]+)|(?P<double>[0-9]+(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+))"
    r"|(?P<int>[0-9]+)"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r"&&|\|\||==|!=|<=|>=|[-!*/%+<>?:.,()\[\]{}]")
_FOREIGN = re.compile(r"===|!==|=~|!~|=>|=<|<>|\*\*|//|/\*|#|\?\?|:=|\+\+|\+=|=|&|\||;|[@$^~`\\]")
_STRING = re.compile(r'"(?:[^"\\\n\r]|\\.)*"|' r"'(?:[^'\\\n\r]|\\.)*'")
_RAW = re.compile(r'"[^"\n\r]*"|' r"'[^'\n\r]*'")
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|X([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})"
    r"|(.)|$)"
)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"} | {
    c: c for c in "\\?\"'`"
}

_INSTEAD = {
    "===": "write ==",
    "=": "write == to compare",
    ":=": "write == to compare",
    "=>": "write >= to compare",
    "=<": "write <=",
    "<>": "write !=",
    "!==": "write !=",
    "=~": 'write value.matches("pattern")',
    "!~": 'write !value.matches("pattern")',
    "~": 'write value.matches("pattern")',
    "&": "write &&",
    "|": "write ||",
    "**": "there is no power operator; multiply",
    "??": "write has(a.b) ? a.b : other",
    "//": "comments go outside the expression, after # in the YAML",
    "/*": "comments go outside the expression, after # in the YAML",
    "#": "comments go outside the expression, after # in the YAML",
    "`": 'write "text" with plain quotes',
    "\\": "a backslash only occurs inside a string",
}
_QUOTES = "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u00ab\u00bb\u2032\u2033\uff02\uff07"


def tokenize(text: str) -> list[Token]:
    """Split ``text`` into tokens; the last one has kind ``end``.

    Raises:
        ExpressionFault: too long, or a character, number or string that the language lacks.
    """
    if len(text) > MAX_LENGTH:
        message = f"the expression has {len(text):,} characters; at most {MAX_LENGTH:,} are read"
        raise ExpressionFault(0, 1, message, "split it into several rules")
    tokens: list[Token] = []
    offset = 0
    while offset < len(text):
        if blank := _BLANK.match(text, offset):
            offset = blank.end()
            continue
        token = _token(text, offset)
        tokens.append(token)
        offset = token.end
    tokens.append(Token("end", "", len(text), 0))
    return tokens


def _token(text: str, offset: int) -> Token:
    character = text[offset]
    if character in "\"'":
        return _string(text, offset, offset)
    if character in "0123456789":
        return _number(text, offset)
    if match := _NAME.match(text, offset):
        return _name(text, match)
    if match := _FOREIGN.match(text, offset):
        # `==` and the like start with a foreign one-character spelling; the longer one wins.
        own = _OPERATOR.match(text, offset)
        if own is None or own.end() < match.end():
            raise _foreign(match)
    if match := _OPERATOR.match(text, offset):
        return Token("operator", match.group(), offset, match.end() - offset)
    raise _stray(character, offset)


def _foreign(match: re.Match[str]) -> ExpressionFault:
    spelling = match.group()
    message = f"`{spelling}` is not part of this language"
    return ExpressionFault(match.start(), len(spelling), message, _INSTEAD.get(spelling))


def _stray(character: str, offset: int) -> ExpressionFault:
    if character in _QUOTES:
        message = "a typographic quotation mark does not start a string"
        return ExpressionFault(offset, 1, message, "write \" or '")
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    message = f"`{shown}` cannot stand outside a string"
    return ExpressionFault(offset, 1, message, "names are ASCII; put other text in quotes")


def _name(text: str, match: re.Match[str]) -> Token:
    word, end = match.group(), match.end()
    if text[end : end + 1] in ('"', "'"):
        if word in ("r", "R"):
            return _string(text, match.start(), end, raw=True)
        message = f"`{word}` before a quotation mark has no meaning here"
        raise ExpressionFault(match.start(), len(word), message, 'write "text" or r"raw text"')
    return Token("name", word, match.start(), len(word))


def _number(text: str, offset: int) -> Token:
    match = _NUMBER.match(text, offset)
    assert match is not None, "called on a digit"
    tail = _NAME.match(text, match.end())
    if tail or (text[offset] == "0" and text[offset + 1 : offset + 2].isdigit()):
        width = (tail.end() if tail else match.end()) - offset
        written = text[offset : offset + width]
        hint = "write whole numbers like 1000 or 0x3e8 and fractions like 1.5 or 2e-3"
        raise ExpressionFault(offset, width, f"`{written}` is not a number", hint)
    width = match.end() - offset
    if match["double"] is not None:
        number = float(match["double"])
        if number == float("inf"):
            raise ExpressionFault(offset, width, "this number is too large for a double")
        return Token("double", number, offset, width)
    # One more than INT_MAX passes here for the sake of -9223372036854775808; the parser checks.
    digits = match.group()
    if len(digits) > 20 or (whole := int(digits, 16 if match["hex"] else 10)) > INT_MAX + 1:
        raise ExpressionFault(offset, width, "this number does not fit into 64 bits")
    return Token("int", whole, offset, width)


def _string(text: str, start: int, quote: int, *, raw: bool = False) -> Token:
    match = (_RAW if raw else _STRING).match(text, quote)
    if match is None:
        raise ExpressionFault(start, len(text) - start, "this string does not end", _closing(text))
    if text.startswith(match.group()[0] * 3, quote):
        message = "triple quotation marks are not part of this language"
        raise ExpressionFault(quote, 3, message, "write one quotation mark at each end")
    body = match.group()[1:-1]
    if not raw and "\\" in body:
        body = _unescape(body, quote + 1)
    if any("\ud800" <= c <= "\udfff" for c in body):
        raise ExpressionFault(start, match.end() - start, "half of a surrogate pair in a string")
    return Token("string", body, start, match.end() - start)


def _closing(text: str) -> str:
    if "\n" in text or "\r" in text:
        return "a string ends on the line it starts on; write \\n for a line break"
    return "add the closing quotation mark"


def _unescape(body: str, offset: int) -> str:
    def replace(match: re.Match[str]) -> str:
        number = match[1] or match[2] or match[3] or match[4]
        if number or match[5]:
            code = int(number, 16) if number else int(match[5], 8)
            if code <= 0x10FFFF:
                return chr(code)
        elif match[6] in _SIMPLE:
            return _SIMPLE[match[6]]
        message = f"`{match.group()}` is not an escape"
        hint = 'write \\\\ for a backslash, or r"..." for a pattern'
        raise ExpressionFault(offset + match.start(), len(match.group()), message, hint)

    return _ESCAPE.sub(replace, body)


__all__ = ["INT_MAX", "INT_MIN", "MAX_LENGTH", "ExpressionFault", "Token", "TokenKind", "tokenize"]
