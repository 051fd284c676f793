"""What the user said, read once: the values in it, and the kinds of action that it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct

from remit.provenance import lexicon
from remit.provenance.forms import (
    chunks,
    code,
    decimal,
    digest,
    exact,
    identity,
    number,
    phrases,
    words,
)
from remit.provenance.moments import moments

MAX_READ = 40_000
"""Characters of the user's words that are read; what is behind them grounds nothing."""

_QUOTED = re.compile(r"'([^'\n]{1,200})'|\"([^\"\n]{1,200})\"|`([^`\n]{1,200})`|“([^”\n]{1,200})”")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s?(?:%|percent\b|per cent\b)")
_NUMERAL = re.compile(r"(?<![\w.-])[$€£¥]?\d[\d,]*(?:\.\d+)?(?![\w-])")
_NAME = re.compile(r"\b[A-ZÀ-Þ][\w'’]+")
_MONEY = re.compile(r"[$€£¥]\s?\d[\d,]*(?:\.\d+)?|\b\d[\d,]*\.\d+\b|\b\d{3,}\b")
_THING = "|".join(sorted(lexicon.THINGS, key=len, reverse=True))
_NUMBERED = re.compile(
    rf"(?:#|\b(?:ids?|numbers?|no\.?|nr\.?|(?:{_THING})s?)[ :=]{{1,2}}['\"]?)(\d+)\b", re.IGNORECASE
)
_TO_SELF = re.compile(
    r"\b(?:to (?:me|myself|my own)|(?:send|email|mail|forward|text|message|cc|copy|invite) "
    r"(?:me|myself))\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.,;:!?()\n\"'•*–—-]+(?:\s|$)|\n|^\s*\d+[.)]")
_COUNTS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class UserWords(Struct, frozen=True, kw_only=True):
    """What a text says, as far as calls can be held against it."""

    forms: frozenset[bytes]
    """Digests of every value and phrase in it."""
    numbers: frozenset[str]
    percents: frozenset[str]
    dates: frozenset[str]
    times: frozenset[str]
    minutes: frozenset[int]
    names: frozenset[bytes]
    """Digests under which records are designated: phrases, money, people, superlatives."""
    bases: tuple[str, ...]
    """Its words in their base forms, in order."""
    verbs: frozenset[str]
    """Those of them that ask for something."""
    things: frozenset[str]
    delegates: bool
    """Whether it asks to do what another text says."""
    to_self: bool
    """Whether something is to be sent to the user."""


def person(name: str) -> bytes:
    """The digest under which an address is designated by the name of its owner."""
    return digest(f"person:{name}")


def superlative(field: str, end: str) -> bytes:
    """The digest under which the record with the most or the least of a field is designated."""
    return digest(f"{end}:{field}")


@lru_cache(maxsize=256)
def read(text: str) -> UserWords:
    """Read what the user said."""
    text = text[:MAX_READ]
    time = moments(text)
    tokens = words(text)
    bases = tuple(lexicon.base(word) for word in words(time.rest))
    forms = {digest(form) for form in _values(text, time.rest)}
    spoken = {digest(f"w:{phrase}") for phrase in phrases(tokens)}
    spoken -= {digest(f"w:{word}") for word in lexicon.STOP}
    numerals = [found[0] for found in _NUMERAL.finditer(time.rest)]
    numbers = {form for each in numerals if (form := number(each)) is not None}
    numbers |= {str(place) for place, word in enumerate(_COUNTS, 1) if word in tokens}
    return UserWords(
        forms=frozenset(forms | spoken),
        numbers=frozenset(numbers),
        percents=frozenset(filter(None, (decimal(each[1]) for each in _PERCENT.finditer(text)))),
        dates=time.dates,
        times=time.times,
        minutes=time.minutes,
        names=frozenset(spoken | forms | _designators(text, time.rest, tokens)),
        bases=bases,
        verbs=frozenset(_asking(time.rest)),
        things=lexicon.things(word for word in bases if word not in lexicon.STOP),
        delegates=_delegates(bases),
        to_self=_TO_SELF.search(text) is not None,
    )


def figures(text: str) -> list[str]:
    """The numbers, dates and times in a text, in the forms that ``read`` gives them."""
    time = moments(text)
    found = {form for each in _NUMERAL.findall(time.rest) if (form := number(each)) is not None}
    found |= {str(_COUNTS.index(word) + 1) for word in words(time.rest) if word in _COUNTS}
    return sorted(found | time.dates | time.times)


def _values(text: str, rest: str) -> set[str]:
    """The forms of every value in the text: identifiers, numbers, what stands in quotes."""
    found = {identity(piece) for piece in chunks(text)}
    found = {form for form in found if not _is_count(form)}
    found |= {f"n:{numeral}" for match in _NUMBERED.finditer(rest) if (numeral := number(match[1]))}
    for match in _QUOTED.finditer(text):
        quoted = next(filter(None, match.groups()))
        found.add(identity(quoted))
    found |= {f"c:{joined}" for joined in _codes(list(chunks(rest)))}
    return found


def _is_count(form: str) -> bool:
    """Whether a value is a small number: it says how many, unless a noun goes before it."""
    return form.startswith("n:") and form[2:].lstrip("-").isdigit() and len(form) < 6


def _codes(pieces: list[str]) -> set[str]:
    """Codes that are written in groups, such as an account number in blocks of four."""
    found = set()
    for start in range(len(pieces)):
        for stop in range(start + 2, min(start + 10, len(pieces) + 1)):
            joined = " ".join(pieces[start:stop])
            if not all(any(c.isdigit() for c in piece) for piece in pieces[start + 1 : stop]):
                break
            if (bare := code(joined)) is not None:
                found.add(bare)
    return found


def _designators(text: str, rest: str, tokens: list[str]) -> set[bytes]:
    """What names a record besides its title: sums of money, people, superlatives."""
    found = {
        digest(f"money:{form}")
        for match in _MONEY.finditer(rest)
        if (form := number(match[0])) is not None
    }
    found |= {person(exact(match[0])) for match in _NAME.finditer(text)}
    for word in tokens:
        if word in lexicon.SUPERLATIVES:
            end, fields = lexicon.SUPERLATIVES[word]
            found |= {superlative(field, end) for field in fields}
    return found


def _asking(text: str) -> Iterator[str]:
    """The verbs that ask: in their base form, where an order or a wish starts.

    ``email`` asks in "and email her", not in "the email that I got"; ``sent`` never does.
    """
    for clause in _CLAUSE.split(text):
        tokens = words(clause)
        for place, token in enumerate(tokens):
            if token in lexicon.VERBS and (place == 0 or tokens[place - 1] in lexicon.OPENERS):
                yield token


def _delegates(bases: tuple[str, ...]) -> bool:
    """Whether the words ask to follow orders that stand elsewhere: a verb, then the noun."""
    for index, word in enumerate(bases):
        if word in lexicon.FOLLOW:
            near = bases[index + 1 : index + 5]
            if any(each in lexicon.ORDERS for each in near):
                return True
    return False
