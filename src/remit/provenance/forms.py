"""Canonical forms: the one spelling under which a value is remembered and looked up.

Two forms of equality are kept apart. To *trust* a value it must be equal exactly, up to Unicode
NFKC, letter case, and the punctuation that people put around values. To *suspect* a value the wide
form of ``remit.text.fold`` counts, in which look-alike letters are equal and nothing invisible is
left. So an imitation of a trusted address is never taken for it, and a disguised copy of an
untrusted value is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from remit import text

DIGEST = 8
"""Bytes of a digest. Trust hangs on it: another value with the digest of one given value takes
2^64 tries."""

MAX_WORDS = 8
"""Most words of a value that is looked up as one phrase."""

_WORD = re.compile(r"[^\W_]+")
_EDGES = "\"'`“”‘’«»()<>[]{},;:!?.*|"
_NUMBER = re.compile(r"[-+]?[$€£¥]?\s?(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?\s?[$€£¥%]?")
_SCHEME = re.compile(r"^(https?://|mailto:)")
_CODE = re.compile(r"[a-z0-9][a-z0-9 -]{5,46}[a-z0-9]")


def digest(form: str) -> bytes:
    """BLAKE2b of a canonical form, 8 bytes."""
    return blake2b(form.encode("utf-8", "surrogatepass"), digest_size=DIGEST).digest()


def numbered(form: bytes) -> int:
    """The digest of bytes, as the number that a set of digests holds."""
    return int.from_bytes(blake2b(form, digest_size=DIGEST).digest(), "little")


def exact(value: str) -> str:
    """The exact form of a string: NFKC, case-folded, no blanks at its ends."""
    if value.isascii():
        return value.lower().strip()
    return text.normal(text.normal(value).casefold()).strip()


def words(value: str) -> list[str]:
    """The words of a string in its exact form."""
    return _WORD.findall(exact(value))


def number(value: str) -> str | None:
    """The canonical decimal of a string that is one number, with or without a currency sign."""
    stripped = value.strip()
    if not _NUMBER.fullmatch(stripped):
        return None
    return decimal(stripped.strip("$€£¥% ").replace(",", "").replace(" ", "").lstrip("+$€£¥"))


def decimal(value: str | int | float) -> str | None:
    """A number in the one spelling in which numbers are compared, such as ``98.7`` for 98.70."""
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    if not found.is_finite():
        return None
    return format(found.normalize(), "f")


def code(value: str) -> str | None:
    """An account number, phone number or other long identifier without blanks and hyphens."""
    form = exact(value)
    if not _CODE.fullmatch(form):
        return None
    bare = form.replace(" ", "").replace("-", "")
    digits = sum(character.isdigit() for character in bare)
    return bare if digits >= 4 and len(bare) >= 7 else None


def is_plain(form: str) -> bool:
    """Whether a string is made of words only, so that punctuation says nothing."""
    return all(
        chunk.strip(_EDGES).replace("-", "").replace("'", "").isalpha() for chunk in form.split()
    )


@lru_cache(maxsize=1024)
def identity(value: str) -> str:
    """The form under which a whole value is compared exactly.

    Numbers by value, addresses and identifiers character by character, long codes without blanks
    and hyphens, words as a phrase.
    """
    form = exact(value).strip(_EDGES)
    if (numeral := number(form)) is not None:
        return f"n:{numeral}"
    if "@" not in form and "/" not in form and (bare := code(form)) is not None:
        return f"c:{bare}"
    if is_plain(form):
        return f"w:{' '.join(words(form))}"
    return f"x:{link(form)}"


def leaf_form(value: Any) -> str:
    """The form of one JSON value that is neither list nor object."""
    if isinstance(value, str):
        return identity(value)
    numeral = None if value is None or isinstance(value, bool) else decimal(value)
    return f"v:{value}" if numeral is None else f"n:{numeral}"


def link(form: str) -> str:
    """An identifier without what does not tell two of them apart: scheme of the web, last slash."""
    bare = _SCHEME.sub("", form)
    return bare.rstrip("/") if bare else form


def chunks(value: str) -> Iterator[str]:
    """The pieces of a text between blanks, without the punctuation around them."""
    for piece in value.split():
        bare = piece.strip(_EDGES)
        if bare:
            yield bare
        if bare.endswith(("'s", "’s")):
            yield bare[:-2]


def phrases(tokens: list[str], longest: int = MAX_WORDS) -> Iterator[str]:
    """Every run of one to ``longest`` words."""
    for start in range(len(tokens)):
        for stop in range(start + 1, min(start + longest, len(tokens)) + 1):
            yield " ".join(tokens[start:stop])
