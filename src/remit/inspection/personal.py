"""Signs of data about people. Data; see ``signs``.

Identifiers are looked for only where a checksum or a form of their own tells them from any other
number. Examples are numbers that their registries publish for tests.
"""

from __future__ import annotations

from remit.inspection import checksums
from remit.inspection.signs import Check, Sign

_TOP_DOMAIN = "[A-Za-z]{2,24}"


def _number(
    name: str, catches: str, pattern: str, trigger: str, check: Check, example: str, counter: str
) -> Sign:
    return Sign(
        id=name,
        kind="personal-data",
        catches=catches,
        pattern=pattern,
        trigger=trigger,
        example=example,
        counter=counter,
        check=check,
        certain=check,
        together=name == "iban",
    )


def is_phone(written: bytes) -> bool:
    """Whether a number with a plus sign has as many digits as telephones have (E.164)."""
    return 8 <= len(checksums.digits(written)) <= 15


PERSONAL: tuple[Sign, ...] = (
    _number(
        "iban",
        "International bank account numbers: length by country, MOD 97",
        "[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{2,4}){3,8}",
        "[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}",
        checksums.iban,
        "DE89 3704 0044 0532 0130 00",
        "DE88 3704 0044 0532 0130 00",
    ),
    _number(
        "payment-card",
        "Payment cards: 13 to 19 digits that a scheme gives out, Luhn",
        "[2-6][0-9]{3}[ -]?(?:[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{1,7}|[0-9]{6}[ -]?[0-9]{4,5})",
        "[2-6][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}|3[47][0-9]{2}[ -]?[0-9]{6}",
        checksums.payment_card,
        "4111 1111 1111 1111",
        "4111 1111 1111 1112",
    ),
    _number(
        "aadhaar",
        "India, Aadhaar: three groups of four digits, Verhoeff",
        "[2-9][0-9]{3} [0-9]{4} [0-9]{4}",
        "[0-9]{4} [0-9]{4} [0-9]{4}",
        checksums.verhoeff,
        "2341 2341 2346",
        "2341 2341 2345",
    ),
    _number(
        "cpf",
        "Brazil, CPF: 11 digits with dots and a dash, two check digits",
        "[0-9]{3}\\.[0-9]{3}\\.[0-9]{3}-[0-9]{2}",
        "\\.[0-9]{3}-[0-9]{2}",
        checksums.cpf,
        "529.982.247-25",
        "529.982.247-26",
    ),
    _number(
        "dni",
        "Spain, DNI and NIE: the check letter",
        "[0-9XYZ][0-9]{7}-?[A-HJ-NP-TV-Z]",
        "[0-9]{7}-?[A-Z]",
        checksums.dni,
        "12345678Z",
        "12345678A",
    ),
    _number(
        "codice-fiscale",
        "Italy, codice fiscale: 16 characters, the check letter",
        "[A-Z]{6}[0-9]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z]",
        "[A-Z]{6}[0-9]{2}[A-Z]",
        checksums.codice_fiscale,
        "RSSMRA85T10A562S",
        "RSSMRA85T10A562T",
    ),
    _number(
        "nir",
        "France, NIR: 15 digits, MOD 97",
        "[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]) ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
        "[12] ?[0-9]{2} ?[01][0-9] ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3}",
        checksums.nir,
        "2 55 08 14 168 025 38",
        "2 55 08 14 168 025 39",
    ),
    _number(
        "personnummer",
        "Sweden, personnummer: date, dash and four digits, Luhn",
        "[0-9]{2}(?:0[1-9]|1[0-2])(?:[0-2][0-9]|3[01])[-+][0-9]{4}",
        "[0-9]{6}[-+][0-9]{4}",
        checksums.luhn,
        "811228-9874",
        "811228-9875",
    ),
    Sign(
        id="us-ssn",
        kind="personal-data",
        catches="United States, social security numbers; no checksum, so only with their dashes",
        pattern="(?:00[1-9]|0[1-9][0-9]|[1-578][0-9]{2}|6(?:[0-57-9][0-9]|6[0-57-9]))-"
        "(?:0[1-9]|[1-9][0-9])-(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})",
        trigger="[0-9]{3}-[0-9]{2}-[0-9]{4}",
        example="219-09-9999",
        counter="666-09-9999",
    ),
    Sign(
        id="email",
        kind="personal-data",
        catches="E-mail addresses",
        pattern="[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\\.){1,8}" + _TOP_DOMAIN,
        trigger="@[A-Za-z0-9-]{1,8}",
        example="ada@corp.example",
        counter="@decorator",
    ),
    Sign(
        id="phone",
        kind="personal-data",
        catches="Telephone numbers with a country code (E.164)",
        pattern="\\+[1-9](?:[ ().-]{0,2}[0-9]){7,14}",
        trigger="\\+[1-9]",
        example="+49 30 901820",
        counter="+2 -1",
        check=is_phone,
    ),
)
