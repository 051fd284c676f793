"""Every sign finds its example and not its counter-example, and the guide says the same."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from remit import policy
from remit.inspection import checksums
from remit.inspection.inspector import SIGNS, TextInspector
from remit.inspection.secrets import is_jwt
from remit.inspection.showing import shown
from remit.inspection.signs import INSPECTABLE, KINDS, Sign

GUIDE = Path(__file__).parents[2] / "docs" / "inspection.md"
HOSTS = ("corp.example", "*.corp.example")
INSPECTOR = TextInspector(INSPECTABLE, HOSTS)
_START, _END = "<!-- signs: written by tests/inspection/test_signs.py -->\n", "<!-- end -->\n"


def found(text: str) -> set[str]:
    return {each.sign for each in INSPECTOR.look({"text": text})}


@pytest.mark.parametrize("sign", SIGNS, ids=lambda sign: sign.id)
def test_a_sign_finds_its_example_and_not_its_counter_example(sign: Sign) -> None:
    assert sign.id in found(sign.example)
    assert sign.id in found(f"one line\n{sign.example}\nanother")
    assert sign.id not in found(sign.counter)


def test_a_password_in_a_url_is_found_whoever_the_user_is_and_however_it_begins() -> None:
    user, password = "inventory_service_account", "7Lp2vTk9Xw5Rt"
    assert "connection-string" in found(f"postgres://{user}:{password}@db.internal/shop")
    assert "connection-string" in found(f"see http://a:b and amqp://bot:{password}@queue:5672")


def test_ids_are_unique_and_kinds_are_known() -> None:
    assert len({sign.id for sign in SIGNS}) == len(SIGNS)
    assert {sign.kind for sign in SIGNS} == set(INSPECTABLE) < set(KINDS)
    assert not {sign.id for sign in SIGNS} & set(KINDS)


def _cell(text: str) -> str:
    return shown(text.replace("\n", "\u2028")).replace("<U+2028>", " ").replace("|", "\\|")


def _example(sign: Sign, text: str) -> str:
    if len(text) > 70:
        text = f"{text[:60]}..."
    if sign.kind == "secret" and len(text) > 24:
        return f"`{_cell(text[:14])}`... ({len(text)} characters)"
    return f"`{_cell(text)}`".replace("``", "` `")


def table() -> str:
    lines = []
    for kind in INSPECTABLE:
        lines += [f"### `{kind}`: {KINDS[kind]}", "", "| sign | catches | found | not found |"]
        lines += ["|---|---|---|---|"]
        lines += [
            f"| `{s.id}` | {_cell(s.catches)} | {_example(s, s.example)} "
            f"| {_example(s, s.counter)} |"
            for s in SIGNS
            if s.kind == kind
        ]
        lines.append("")
    return "\n".join(lines)


def test_the_policy_of_the_guide_is_one() -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.S)
    loaded = policy.load({"remit.yaml": block})
    assert loaded.warnings == ()
    assert loaded.inspections.arguments("send_email") is not None


def test_the_guide_lists_every_sign() -> None:
    guide = GUIDE.read_text()
    before, _, rest = guide.partition(_START)
    _, _, after = rest.partition(_END)
    wanted = f"{before}{_START}{table()}{_END}{after}"
    if os.environ.get("REMIT_WRITE_DOCS"):
        GUIDE.write_text(wanted)
    assert guide == wanted, (
        "write it anew: REMIT_WRITE_DOCS=1 pytest tests/inspection/test_signs.py"
    )


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (checksums.payment_card, b"378282246310005"),
        (checksums.payment_card, b"5555555555554444"),
        (checksums.payment_card, b"30569309025904"),
        (checksums.iban, b"GB82 WEST 1234 5698 7654 32"),
        (checksums.iban, b"NO93 8601 1117 947 and more".upper()),
        (checksums.dni, b"X1234567L"),
        (checksums.verhoeff, b"2363"),
        (checksums.nir, b"2550814168025 38"),
        (checksums.cpf, b"111.444.777-35"),
        (checksums.crc32_base62, b"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"),
    ],
)
def test_a_checksum_notices_any_digit_that_changes(check: object, good: bytes) -> None:
    assert callable(check)
    assert check(good)
    misses = 0
    for at, code in enumerate(good):
        if chr(code).isdigit() and at > 3:
            other = bytes([48 + (code - 48 + 1) % 10])
            misses += bool(check(good[:at] + other + good[at + 1 :]))
    assert misses <= (2 if check is checksums.iban else 0), "what follows an IBAN is not checked"


def test_a_token_in_three_parts_needs_a_header() -> None:
    assert is_jwt(b"eyJhbGciOiJIUzI1NiJ9.x.y")
    assert not is_jwt(b"eyJhIjoxMjM0NTZ9.x.y")
    assert not is_jwt(b"e.x.y")
    assert not is_jwt(b"WzFd.x.y")


def test_corsica_counts_in_a_french_number() -> None:
    assert checksums.nir(b"1 85 05 2A 026 048 53")
    assert not checksums.nir(b"1 85 05 2B 026 048 53")


def test_numbers_that_no_one_has_do_not_count() -> None:
    assert not checksums.payment_card(b"0000000000000000")
    assert not checksums.payment_card(b"1234567812345670")
    assert not checksums.iban(b"ZZ12 1234 1234 1234")
    assert not checksums.cpf(b"111.111.111-11")


def test_words_and_placeholders_have_not_the_entropy_of_a_key() -> None:
    for word in (b"aaaaaaaaaa1", b"abababababab1212", b"justletters", b"1234567890123"):
        assert not checksums.looks_random(word), word
    assert checksums.looks_random(b"q7Lp2vTk9Xw5Rt3Yb1Nm")
    assert checksums.looks_random(b"k3J9s8Qw2z")
