"""Checksums that identifiers carry, so that a number of the right length is not taken for one.

Each function takes what a pattern matched, blanks and dashes included, and says whether its
checksum fits. No I/O.
"""

from __future__ import annotations

import binascii
import math
from collections import Counter

_BASE62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def digits(written: bytes) -> list[int]:
    """The decimal digits of ``written``."""
    return [code - 48 for code in written if 48 <= code <= 57]


def bare(written: bytes) -> bytes:
    """Letters and digits of ``written``, in capitals."""
    return bytes(code for code in written.upper() if chr(code).isalnum())


def crc32_base62(written: bytes) -> bool:
    """The last six characters are the CRC-32 of those between ``_`` and them, in base 62."""
    body = written.rpartition(b"_")[2]
    number = 0
    for code in body[-6:]:
        number = number * 62 + _BASE62.index(code)
    return number == binascii.crc32(body[:-6])


def luhn(written: bytes) -> bool:
    """ISO/IEC 7812-1 annex B. All digits alike do not count."""
    found = digits(written)
    total = sum(found[-1::-2]) + sum(sum(divmod(2 * each, 10)) for each in found[-2::-2])
    return total % 10 == 0 and len(set(found)) > 1


def mod97(written: bytes) -> bool:
    """ISO 7064 MOD 97-10 as in an IBAN: the first four characters belong at the end."""
    plain = bare(written)
    return int("".join(str(int(chr(code), 36)) for code in plain[4:] + plain[:4])) % 97 == 1


IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28,
    "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
    "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20,
    "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30,
    "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22,
    "SA": 24, "SC": 31, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23,
    "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
"""Characters of an IBAN by country (SWIFT registry)."""


def iban(written: bytes) -> bool:
    """MOD 97-10 over as many characters as those of its country have; others may follow."""
    plain = bare(written)
    length = IBAN_LENGTHS.get(plain[:2].decode(), len(plain) + 1)
    return length <= len(plain) and mod97(plain[:length])


def payment_card(written: bytes) -> bool:
    """A length and a first digit that cards have, and Luhn."""
    found = digits(written)
    fits = {3: (14, 15, 16), 4: (13, 16, 19), 5: (16,), 6: (16, 17, 18, 19), 2: (16,)}
    return len(found) in fits.get(found[0], ()) and luhn(written)


_VERHOEFF = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_PERMUTED = (
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def verhoeff(written: bytes) -> bool:
    """Verhoeff's scheme, as in an Indian Aadhaar number."""
    state = 0
    for place, digit in enumerate(reversed(digits(written))):
        state = int(_VERHOEFF[state][int(_PERMUTED[place % 8][digit])])
    return state == 0


def cpf(written: bytes) -> bool:
    """Brazil: two check digits, each a weighted sum modulo 11."""
    found = digits(written)

    def check(count: int) -> int:
        weights = range(count + 1, 1, -1)
        return sum(w * d for w, d in zip(weights, found, strict=False)) * 10 % 11 % 10

    return check(9) == found[9] and check(10) == found[10] and len(set(found)) > 1


def dni(written: bytes) -> bool:
    """Spain: the letter is the number modulo 23; an X, Y or Z in front stands for 0, 1 or 2."""
    plain = bare(written).decode()
    number = plain[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == plain[-1]


_ODD = (
    1,
    0,
    5,
    7,
    9,
    13,
    15,
    17,
    19,
    21,
    2,
    4,
    18,
    20,
    11,
    3,
    6,
    8,
    12,
    14,
    16,
    10,
    22,
    25,
    24,
    23,
)


def codice_fiscale(written: bytes) -> bool:
    """Italy: the last letter is a sum over the others by their places, modulo 26."""
    plain = bare(written).decode()
    values = [int(each) if each.isdigit() else ord(each) - 65 for each in plain]
    total = sum(_ODD[each] for each in values[0:15:2]) + sum(values[1:15:2])
    return total % 26 == values[15]


def nir(written: bytes) -> bool:
    """France: the last two digits are 97 minus the number before modulo 97 (Corsica: 2A, 2B)."""
    plain = bare(written).decode().replace("2A", "19").replace("2B", "18")
    return 97 - int(plain[:13]) % 97 == int(plain[13:15])


def entropy(written: bytes) -> float:
    """Bits per byte of ``written``, by how often each byte is in it (Shannon)."""
    size = len(written)
    return -sum(n / size * math.log2(n / size) for n in Counter(written).values())


def looks_random(written: bytes) -> bool:
    """Whether a value has the entropy of a key rather than that of a word or a placeholder."""
    has_digits = any(48 <= code <= 57 for code in written)
    has_letters = any(chr(code).isalpha() for code in written)
    least = 3.0 if len(written) < 20 else 3.5
    enough = min(least, math.log2(len(written)) - 0.6)
    return has_digits and has_letters and entropy(written) >= enough
