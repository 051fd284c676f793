"""Text in other forms: what it says once it is decoded, however often it was encoded.

``readings`` gives every form that a text can be read in besides the one it is written in: base64,
base32, hexadecimal, decimal, percent, HTML and backslash escapes, Unicode tags and variation
selectors, compatibility letters, hidden characters, blanks between characters. Decoded text is
decoded again, up to ``DEPTH`` times. ``strings`` gives the texts in a JSON value, so that one that
is split over several places can be put together.

Bounded: at most ``MOST`` readings of a text, each no longer than what it was read from (but for
what NFKC expands). Linear in the length of the text. No I/O.
"""

from __future__ import annotations

import binascii
import html
from collections.abc import Callable, Mapping
from typing import Any

import re2
from msgspec import Struct

from remit import text as texts

DEPTH = 3
"""How many encodings on top of each other are looked through."""
MOST = 160
"""Most readings of one text: more than all pairs of encodings make."""
SHORTEST = 6
"""Fewest characters in a row that count as text when bytes are decoded."""
WHOLE = 4096
"""Longest text, in bytes, that a reading gives whole. Of longer ones it gives what was decoded."""
CONTEXT = 128
"""Bytes before and behind what was decoded that a reading of a long text keeps."""

Decoder = Callable[[str], "str | None"]
"""Gives what a text says in one encoding, None where nothing in it is in that encoding."""


class Reading(Struct, frozen=True):
    """What a text says when it is decoded: decoded parts in their places, with what is around."""

    text: str
    how: tuple[str, ...]
    """Names of the decoders, the outermost first."""


def readings(text: str, *, depth: int = DEPTH) -> tuple[Reading, ...]:
    """What ``text`` says in other encodings, nearest first; empty where it has none.

    The text as it is written is not among them, and no two of them are equal.
    """
    return decoded(text, depth=depth)[0]


def decoded(text: str, *, depth: int = DEPTH) -> tuple[tuple[Reading, ...], bool]:
    """The readings of ``text``, and whether those are all that ``depth`` encodings can give.

    There are more when a text was made to have many: past ``MOST`` of them, or past eight times
    its length (and 64 Ki characters), nothing is decoded any more.
    """
    seen, found = {text}, list[Reading]()
    left = 8 * len(text) + 65_536
    level = [Reading(text, ())]
    for _ in range(depth):
        start = len(found)
        for reading in level:
            for name, decoder in DECODERS.items():
                said = decoder(reading.text)
                if said is None or said in seen:
                    continue
                left -= len(said)
                if left < 0 or len(found) == MOST:
                    return tuple(found), False
                seen.add(said)
                found.append(Reading(said, (*reading.how, name)))
        level = found[start:]
    return tuple(found), True


def plain(text: str) -> str | None:
    """Compatibility letters made plain (NFKC), and what is not drawn left out."""
    return None if text.isascii() else _replaced(_BEYOND_ASCII, text, _made_plain)


def _made_plain(run: bytes) -> bytes | None:
    letters = run.decode("utf-8", "replace")
    made = texts.normal(letters)
    hidden = set(texts.invisibles(made))
    bare = "".join(each for at, each in enumerate(made) if at not in hidden) if hidden else made
    return None if bare == letters else bare.encode()


def tags(text: str) -> str | None:
    """Letters written as Unicode tags, which are not drawn."""
    return None if text.isascii() else _replaced(_TAGGED, text, _untagged)


def _untagged(run: bytes) -> bytes:
    return bytes(ord(each) & 0x7F for each in run.decode())


def selectors(text: str) -> str | None:
    """Bytes written as variation selectors, which are not drawn: U+FE00 is 0, U+E0100 is 16."""
    return None if text.isascii() else _replaced(_SELECTED, text, _unselected)


def _unselected(run: bytes) -> bytes | None:
    codes = map(ord, run.decode())
    return _worth(bytes(code - 0xFE00 if code < 0xFE10 else code - 0xE00F0 for code in codes))


def percent(text: str) -> str | None:
    """``%41`` as in URLs."""
    return _replaced(_PERCENT, text, lambda run: bytes.fromhex(run.replace(b"%", b"").decode()))


def entities(text: str) -> str | None:
    """``&#65;``, ``&#x41;`` and ``&amp;`` as in HTML."""
    if "&" not in text:
        return None
    return _replaced(_ENTITY, text, lambda run: html.unescape(run.decode()).encode())


def escapes(text: str) -> str | None:
    r"""``\x41``, ``\u0041``, ``\u{41}``, ``\101`` as in program text."""
    if "\\" not in text:
        return None
    return _replaced(_ESCAPE, text, _unescaped)


def _unescaped(written: bytes) -> bytes | None:
    digits = written[1:].strip(b"uUx{}")
    octal = written[1:2] in b"01234567"
    code = int(digits, 8 if octal else 16)
    if 0xD800 <= code < 0xE000 or code > 0x10FFFF:
        return None
    return chr(code).encode()


def hexadecimal(text: str) -> str | None:
    r"""Printable characters in hexadecimal, bare or with blanks, ``0x`` or ``\x`` between."""
    return _replaced(
        _HEX, text, lambda run: _worth(bytes.fromhex(_HEX_NOISE.sub(b"", run).decode()))
    )


def decimal(text: str) -> str | None:
    """Codes of printable characters as numbers: ``104 101 108``."""
    return _replaced(_DECIMAL, text, lambda run: bytes(map(int, _NUMBER.findall(run))))


def base64(text: str) -> str | None:
    """Runs in the alphabet of base64, wherever in the run what is encoded starts."""
    return _replaced(_BASE64, text, _unbase64)


def base64_url(text: str) -> str | None:
    """Runs in the alphabet of base64 for URLs, likewise."""
    return _replaced(_BASE64_URL, text, _unbase64) if "-" in text or "_" in text else None


def base32(text: str) -> str | None:
    """Runs in the alphabet of base32, as names of hosts carry data."""
    return _replaced(_BASE32, text, _unbase32)


def spaced(text: str) -> str | None:
    """Characters, or groups of equal length, with blanks, dots or dashes between, put together."""
    return _replaced(_SPACED, text, lambda run: _GAP.sub(b"", run))


def wrapped(text: str) -> str | None:
    """Long words that go on in the next line, put together; in a long text, lines of such."""
    pattern = _WRAPPED if len(text) <= WHOLE else _LINES
    return _replaced(pattern, text, lambda run: _BREAK.sub(b"", run))


DECODERS: dict[str, Decoder] = {
    "plain": plain,
    "tags": tags,
    "selectors": selectors,
    "percent": percent,
    "entities": entities,
    "escapes": escapes,
    "wrapped": wrapped,
    "hexadecimal": hexadecimal,
    "base64": base64,
    "base64-url": base64_url,
    "base32": base32,
    "decimal": decimal,
    "spaced": spaced,
}
"""Every form that is read, by its name, in the order in which they are tried."""

_BEYOND_ASCII = re2.compile(rb"[^\x00-\x7f]+")
_TAGGED = re2.compile(rb"[\x{e0020}-\x{e007e}]+")
_SELECTED = re2.compile(rb"[\x{fe00}-\x{fe0f}\x{e0100}-\x{e01ef}]{6,}")
_PERCENT = re2.compile(rb"(?:%[0-9A-Fa-f]{2})+")
_ENTITY = re2.compile(rb"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,31});?")
_ESCAPE = re2.compile(
    rb"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,6}\}|U[0-9A-Fa-f]{8}|[0-7]{3})"
)
_PAIR = rb"(?:0x|\\x)?(?:[2-7][0-9A-Fa-f]|0[9AaDd])"
_HEX = re2.compile(rb"(?:%b[ ,:;-]{0,2}){11,}%b" % (_PAIR, _PAIR))
_HEX_NOISE = re2.compile(rb"0x|[^0-9A-Fa-f]")
_NUMBER = re2.compile(rb"[0-9]{2,3}")
_CODE = rb"(?:3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6])"
_DECIMAL = re2.compile(rb"\b(?:%b[ ,;]{1,2}){7,}%b\b" % (_CODE, _CODE))
_BASE64 = re2.compile(rb"[A-Za-z0-9+/]{16,}")
_BASE64_URL = re2.compile(rb"[A-Za-z0-9_-]{16,}")
_BASE32 = re2.compile(rb"(?i)[A-Z2-7]{24,}")
_LETTER, _BETWEEN = rb"[0-9A-Za-z_/+=:]", rb"[ \t\r\n.*|,-]{1,3}"
_SPACED = re2.compile(
    b"|".join(
        rb"\b(?:%b{%d}%b){%d,}%b{1,%d}\b" % (_LETTER, size, _BETWEEN, least, _LETTER, size)
        for size, least in ((1, 9), (2, 7), (3, 5), (4, 3), (5, 3), (6, 3), (8, 2), (10, 2))
    )
)
_GAP = re2.compile(rb"[ \t\r\n.*|,-]+")
_WRAPPED = re2.compile(rb"(?:[0-9A-Za-z+/=_-]{12,}\r?\n[ \t]*)+[0-9A-Za-z+/=_-]+")
_LINES = re2.compile(rb"(?m)(?:^[ \t]*[0-9A-Za-z+/=_-]{24,}\r?\n)+[ \t]*[0-9A-Za-z+/=_-]+")
_BREAK = re2.compile(rb"[\r\n \t]+")
_PRINTED = re2.compile(
    rb"(?:[\t\r\n\x20-\x7e]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}"
    rb"|[\xf0-\xf4][\x80-\xbf]{3}){%d,}" % SHORTEST
)


def _changed(text: str, decoded: str) -> str | None:
    return None if decoded == text else decoded


def _replaced(pattern: Any, text: str, decode: Callable[[bytes], bytes | None]) -> str | None:
    """``text`` with what fits the pattern decoded; None where nothing could be."""
    data = text.encode("utf-8", "surrogatepass")
    changes = [
        (match.start(), match.end(), decoded)
        for match in pattern.finditer(data)
        if (decoded := decode(match.group())) is not None
    ]
    if not changes:
        return None
    around = CONTEXT if len(data) > WHOLE else WHOLE
    return _changed(text, _windows(data, changes, around).decode("utf-8", "replace"))


def _windows(data: bytes, changes: list[tuple[int, int, bytes]], around: int) -> bytes:
    """What is left of ``data`` when only the surroundings of each change are kept."""
    parts: list[bytes] = []
    at = 0
    for start, end, decoded in changes:
        if start - at > 2 * around:
            parts += data[at : at + around], _CUT, data[start - around : start], decoded
        else:
            parts += data[at:start], decoded
        at = end
    return b"".join((*parts, data[at : at + around]))


_CUT = b"\n"
_STANDARD = bytes.maketrans(b"-_", b"+/")


def _unbase64(run: bytes) -> bytes | None:
    """What base64 says, read from the place where it says most.

    A run may begin with letters that are no part of what is encoded, as in the path of a URL.
    """
    if run.islower() or run.isupper() or run.isdigit():
        return None
    run, best = run.translate(_STANDARD), None
    for start in range(4):
        usable = (len(run) - start) // 4 * 4
        tail = run[start + usable :]
        filled = tail + b"=" * (4 - len(tail)) if len(tail) > 1 else b""
        found = _worth(binascii.a2b_base64(run[start : start + usable] + filled))
        if found is not None and (best is None or len(found) > len(best)):
            best = found
            if len(found) >= usable * 3 // 4:
                break
    return best


def _unbase32(run: bytes) -> bytes | None:
    """What base32 says (RFC 4648 section 6); the module for it takes whole groups only."""
    size = len(run) * 5 // 8
    bits = int(run.upper().translate(_BASE32_DIGITS), 32) >> (len(run) * 5 - size * 8)
    return _worth(bits.to_bytes(size, "big"))


_BASE32_DIGITS = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHIJKLMNOPQRSTUV"
)


def _worth(data: bytes) -> bytes | None:
    """The parts of decoded bytes that can be read; None where there is hardly any."""
    found = b" ".join(_PRINTED.findall(data))
    return found if len(found) * 2 >= len(data) or len(found) >= 2 * SHORTEST else None


def strings(value: Any, *, keys: bool = True) -> list[str]:
    """Every text in a JSON value, in the order they are written; numbers as they are written.

    ``keys``: also the names of members.
    """
    found: list[str] = []
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            found.append(each)
        elif isinstance(each, Mapping):
            for key, inner in reversed(list(each.items())):
                left.append(inner)
                if keys:
                    left.append(key)
        elif isinstance(each, list | tuple):
            left.extend(reversed(each))
        elif isinstance(each, int | float) and not isinstance(each, bool):
            found.append(str(each))
    return found


def places(value: Any, where: str) -> list[str]:
    """The place of each of ``strings(value)``, such as ``args.rows[2].note``."""
    found: list[str] = []
    left: list[tuple[Any, str]] = [(value, where)]
    while left:
        each, place = left.pop()
        if isinstance(each, Mapping):
            for key, inner in reversed(list(each.items())):
                left += (inner, f"{place}.{key}"), (key, f"{place}.{key}")
        elif isinstance(each, list | tuple):
            left += [(inner, f"{place}[{at}]") for at, inner in enumerate(each)][::-1]
        elif isinstance(each, str | int | float) and not isinstance(each, bool):
            found.append(place)
    return found
