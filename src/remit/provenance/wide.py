"""The wide form of text: what stays the same when a value is disguised or cut to pieces.

Of a text its letters and digits are kept, case folded, without anything between them. A copy is
found again when it keeps one identifier (an address, a number of four digits or more, a long code)
or enough letters and digits in a row, whatever its case, spacing, Unicode form or encoding
(percent, base64, hex, reversed). Blocks of ``BLOCK`` bytes are remembered, every ``DENSE`` bytes at
the beginning of a text, more rarely further on; a question looks at every place. So a copy from the
beginning is found that has ``BLOCK + DENSE - 1`` bytes in a row, about four words; one from the
rest, ``BLOCK + SPARSE - 1``. A shorter one without an identifier need not be: that is the stated
bound.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator

import re2
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from remit import text
from remit.provenance.forms import numbered

BLOCK = 16
"""Bytes of a block: what AES takes, so that one call makes the digests of all."""
DENSE = 4
"""Bytes from one remembered block to the next in the first ``BEGINNING``."""
SPARSE = 16
"""The same in the rest."""
BEGINNING = 4_096
"""Bytes of letters and digits that are remembered densely."""
WHOLE = 64
"""Bytes of letters and digits up to which a text is also recognised as a whole."""
MAX_QUERY = 65_536
"""Characters of an argument that are read closely."""

_LOWER = bytes(range(256)).lower()
_CONTROL = bytes([*range(9), *range(14, 28), 127])
_OTHERS = bytes(code for code in range(128) if not chr(code).isalnum())
_WORD = re.compile(r"[^\W_]+")
_MARKED = re2.compile(
    rb"[^\s\"'<>(){}\[\],;|]*(?:[0-9@/_]|[^\s\"'<>(){}\[\],;|]\.[^\s\"'<>(){}\[\],;|])"
    rb"[^\s\"'<>(){}\[\],;|]*"
)
_SIGN = re.compile(rb"[@/_]|(?<=.)\.(?=.)")
_DIGITS = b"0123456789"
_GAP = re.compile(r"\s{2,}")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}[ :]?){4,}")

# AES stands here for a function that mixes well, over many blocks in one call. The key is no
# secret; half of each result is thrown away, so that nothing can be turned back.
_MIXING = Cipher(algorithms.AES(b"remit/provenance"), modes.ECB())  # noqa: S305


def marks(value: str) -> set[int]:
    """Digests of what a text is recognised by: remembered when it is read."""
    form = _form(value)
    letters = _letters(form)
    found = set(map(numbered, identifiers(form)))
    found.update(_blocks(letters[: BEGINNING + BLOCK - 1], range(0, BLOCK, DENSE)))
    found.update(_blocks(letters[BEGINNING:], range(0, BLOCK, SPARSE)))
    return found


def whole(value: str) -> int | None:
    """The digest of a short text as a whole; None where nothing is in it, or much."""
    letters = _letters(_form(value))
    return numbered(letters) if 0 < len(letters) <= WHOLE else None


def traces(value: str) -> set[int]:
    """Digests by which a copy of something in a text is found again: blocks at every place."""
    form = _form(value)
    letters = _letters(form)
    found = set(map(numbered, identifiers(form)))
    if 0 < len(letters) <= WHOLE:
        found.add(numbered(letters))
    found.update(_blocks(letters, range(BLOCK)))
    return found


def _form(value: str) -> bytes:
    """A text in the wide form of ``text.fold``, as UTF-8; blanks as they are."""
    if value.isascii():
        return value.encode().translate(_LOWER, _CONTROL)
    return text.fold(value).encode("utf-8", "surrogatepass")


def _letters(form: bytes) -> bytes:
    """The letters and digits of a text."""
    if form.isascii():
        return form.translate(None, _OTHERS)
    folded = form.decode("utf-8", "surrogatepass")
    return "".join(_WORD.findall(folded)).encode("utf-8", "surrogatepass")


def _blocks(letters: bytes, starts: Iterable[int]) -> memoryview[int]:
    """The digests of the whole blocks in a text, divided from each of some places on."""
    size = len(letters)
    if size < BLOCK:
        return memoryview(b"").cast("Q")
    laid = b"".join(letters[at : size - (size - at) % BLOCK] for at in starts if at < size)
    return memoryview(_MIXING.encryptor().update(laid)).cast("Q")[::2]


def identifiers(form: bytes) -> Iterator[bytes]:
    """The letters and digits of each identifier in a text."""
    for part in _MARKED.findall(form):
        bare = _letters(part)
        digits = len(bare) - len(bare.translate(None, _DIGITS))
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
