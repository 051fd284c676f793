"""The wide form of text: what stays the same when a value is disguised or cut to pieces.

A copy is found again when it keeps one identifier (an address, a number of four digits or more, a
long code) or ``RUN`` words in a row, whatever its case, spacing, Unicode form or encoding (percent,
base64, hex, reversed). A copy of fewer words without an identifier is not found: that is the stated
bound.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from remit import text
from remit.provenance.forms import digest

RUN = 4
"""Words in a row that make a copy."""
MAX_QUERY = 65_536
"""Characters of an argument that are read closely."""

_WORD = re.compile(r"[^\W_]+")
_MARKED = re.compile(r"[^\s\"'<>(){}\[\],;|]+")
_GAP = re.compile(r"\s{2,}")
_SIGN = re.compile(r"[@/_]|://|(?<=.)\.(?=.)")
_NO_DIGITS = str.maketrans("", "", "0123456789")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}[ :]?){4,}")


def marks(value: str) -> set[bytes]:
    """Digests of what a text is recognised by."""
    form = text.fold(value)
    tokens = _WORD.findall(form)
    pieces = {piece for piece in form.split() if not piece.isalpha()}
    found = {f"i:{each}" for piece in pieces for each in identifiers(piece)}
    runs = zip(*(tokens[at:] for at in range(RUN)), strict=False)
    found.update(["r:" + "".join(run) for run in runs])
    if 0 < len(tokens) < RUN * 2:
        found.add("i:" + "".join(tokens))
    return {digest(each) for each in found}


def identifiers(piece: str) -> Iterator[str]:
    """The letters and digits of each identifier in a piece of text without blanks."""
    for part in _MARKED.findall(piece):
        bare = "".join(_WORD.findall(part))
        digits = len(bare) - len(bare.translate(_NO_DIGITS))
        marked = _SIGN.search(part) is not None and len(bare) > 4
        if marked or digits >= 4 or (digits and len(bare) > 5):
            yield bare


def readings(value: str) -> Iterator[str]:
    """The text, and what it is when taken for an encoding; at most two layers deep."""
    value = value[:MAX_QUERY]
    seen = {value}
    layer = [value]
    for _ in range(3):
        yield from layer
        fresh = [found for each in layer for found in _decoded(each) if found not in seen]
        layer = list(dict.fromkeys(fresh))[:64]
        seen.update(layer)


def _decoded(value: str) -> Iterator[str]:
    yield from _despaced(value)
    if _PERCENT.search(value):
        yield _unquoted(value)
    for match in _BASE64.finditer(value):
        yield from _text(_debase64(match[0]))
    for match in _HEX.finditer(value):
        yield from _text(binascii.unhexlify(re.sub("[ :]", "", match[0])))


def _despaced(value: str) -> Iterator[str]:
    """Without blanks, where somebody set letters apart."""
    pieces = value.split()
    if len(pieces) > 1 and sum(len(piece) <= 2 for piece in pieces) * 2 > len(pieces):
        yield "".join(pieces)
        yield " ".join("".join(word.split()) for word in _GAP.split(value))


def _unquoted(value: str) -> str:
    def bytes_of(match: re.Match[str]) -> str:
        raw = bytes.fromhex(match[0].replace("%", ""))
        return raw.decode("utf-8", "replace")

    return re.sub(r"(?:%[0-9A-Fa-f]{2})+", bytes_of, value)


def _debase64(value: str) -> bytes:
    plain = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4))
    except (binascii.Error, ValueError):
        return b""


def _text(raw: bytes) -> Iterator[str]:
    try:
        found = raw.decode()
    except UnicodeDecodeError:
        return
    if found and sum(character.isprintable() or character.isspace() for character in found) == len(
        found
    ):
        yield found
