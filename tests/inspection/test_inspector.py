"""Looking into values: what is planted is found in any form, and what is ordinary is not."""

from __future__ import annotations

import binascii
import random
import uuid
from collections import Counter
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_encodings import FORMS, PLACES

from remit.inspection import encodings
from remit.inspection import inspector as looking
from remit.inspection.inspector import MOST, MOST_OF_A_SIGN, SIGNS, TextInspector, inspector
from remit.inspection.signs import INSPECTABLE

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ROOT = Path(__file__).parents[2]
SECRETS = TextInspector(["secret"])
EVERYTHING = TextInspector(INSPECTABLE)


def token(body: str) -> str:
    number, check = binascii.crc32(body.encode()), ""
    for _ in range(6):
        check = _BASE62[number % 62] + check
        number //= 62
    return f"ghp_{body}{check}"


def signs(found: Any) -> list[str]:
    return [each.sign for each in found]


_BODIES = st.text(_BASE62, min_size=30, max_size=30)
_PIECES = st.lists(st.integers(4, 36), min_size=1, max_size=4)


@settings(max_examples=150)
@given(_BODIES, st.sampled_from(sorted(FORMS)), st.sampled_from(PLACES))
def test_a_planted_secret_is_found_in_any_form(body: str, form: str, place: str) -> None:
    found = SECRETS.look({"to": ["ada"], "body": place.format(FORMS[form](token(body)))})
    assert "github-token" in signs(found), found


@settings(max_examples=60)
@given(_BODIES, st.sampled_from(["base64", "hexadecimal", "percent"]), _PIECES)
def test_a_secret_is_found_in_pieces(body: str, form: str, cuts: list[int]) -> None:
    for whole in (token(body), FORMS[form](token(body))):
        ends = [0, *sorted(set(cuts)), len(whole)]
        parts = [whole[a:b] for a, b in pairwise(ends)]
        for value in (parts, {f"p{at}": part for at, part in enumerate(parts)}):
            assert "github-token" in signs(SECRETS.look(value)), value


@pytest.mark.parametrize("sign", [s for s in SIGNS if s.kind == "secret"], ids=lambda s: s.id)
@pytest.mark.parametrize("form", ["base64", "hexadecimal", "percent", "base32"])
def test_every_kind_of_secret_is_found_once_it_is_decoded(sign: Any, form: str) -> None:
    assert sign.id in signs(SECRETS.look(f"take {FORMS[form](sign.example)} now"))


def test_a_look_without_decoding_would_miss_them() -> None:
    written = FORMS["base64"](token("16C7e42F292c6912E7710c838347Ae"))
    filling = "word " * 20_000
    assert SECRETS.look(written + filling, deep=False) == ()
    assert signs(SECRETS.look(written + filling)) == ["github-token"]


def test_a_finding_says_where_and_in_which_form_but_never_the_secret() -> None:
    secret = token("16C7e42F292c6912E7710c838347Ae")
    [plain] = SECRETS.look({"rows": [{"note": "x"}, {"note": f"key {secret}"}]}, "result")
    assert (plain.kind, plain.sign) == ("secret", "github-token")
    assert plain.where == "result.rows[1].note"
    assert plain.message == "ghp_... (40 characters)"
    [coded] = SECRETS.look({"a": FORMS["hexadecimal"](FORMS["base64"](secret))})
    assert coded.message == "ghp_... (40 characters), written in hexadecimal in base64"
    [named] = SECRETS.look({secret: [True, None, 1.5]})
    assert named.where == f"args.{secret}"


def test_hosts_that_are_listed_are_no_finding() -> None:
    listed = TextInspector(["exfiltration"], ["corp.example", "*.corp.example"])
    for link in (
        "![a](https://corp.example/x.png)",
        "![a](https://img.CORP.example:8443/x.png)",
        "see https://corp.example./",
    ):
        assert signs(listed.look(link)) == [], link
    for link in (
        "![a](https://corp.example@evil.example/x.png)",
        "![a](https://corp.example\\@evil.example/x.png)",
        "![a](//evil.example/x.png)",
        "![a](https:\\\\evil.example/x.png)",
        "![a](HTTPS://evilcorp.example/x.png)",
        "see https://c\u043erp.example/",
    ):
        assert signs(listed.look(link)), link
    assert signs(TextInspector(["exfiltration"]).look("see https://evil.example/")) == []


def test_encoded_text_is_a_carrier_by_itself() -> None:
    carried = FORMS["base64"]("the customers of this quarter are")
    assert "encoded-text" in signs(TextInspector(["exfiltration"]).look({"d": carried}))
    assert signs(SECRETS.look({"d": carried})) == []


def test_what_was_encoded_too_often_is_suspicious(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "MOST", 1)
    twice = FORMS["base64"](FORMS["hexadecimal"]("all of these words"))
    assert signs(TextInspector(["hidden-text"]).look(twice)) == ["encoding-layers"]
    assert signs(SECRETS.look(twice)) == []
    assert signs(inspector(frozenset({"injection"})).look({"a": "b"})) == []


def test_findings_are_bounded() -> None:
    many = [f"ada{at}@corp.example" for at in range(500)]
    assert len(EVERYTHING.look(many)) == MOST_OF_A_SIGN
    everything = [sign.example for sign in SIGNS] * 3
    assert len(EVERYTHING.look(everything)) == MOST


def test_nothing_is_looked_for_where_nothing_was_asked_for() -> None:
    assert TextInspector([]).look({"a": "ghp_"}) == ()
    assert EVERYTHING.look({}) == ()
    assert inspector(frozenset({"secret"})) is inspector(frozenset({"secret"}))


def test_long_values_are_not_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "TOGETHER", 10)
    secret = token("16C7e42F292c6912E7710c838347Ae")
    assert SECRETS.look([secret[:20], secret[20:]]) == ()


def test_a_search_that_fails_is_no_clean_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    class Exhausted:
        def Match(self, _: bytes) -> None:
            return None

    broken = TextInspector(["secret"])
    monkeypatch.setattr(broken, "_triggers", Exhausted())
    with pytest.raises(MemoryError, match="could not be searched"):
        broken.look("anything")


def _logs(lines: int) -> str:
    dice = random.Random(7)
    return "".join(
        f"2026-11-22 18:{dice.randrange(60):02}:{dice.randrange(60):02},{dice.randrange(999):03} "
        f"INFO request {uuid.UUID(int=dice.getrandbits(128))} took {dice.randrange(900)} ms "
        f"user={dice.randrange(10**6)} sha256={dice.getrandbits(256):064x} "
        f'git={dice.getrandbits(160):040x} etag="{dice.getrandbits(64):x}"\n'
        for _ in range(lines)
    )


CORPORA = {
    "prose": lambda: "\n".join(
        path.read_text() for path in sorted((ROOT / "docs").glob("*.md")) if "insp" not in path.name
    ),
    "code": lambda: "\n".join(
        path.read_text() for path in sorted((ROOT / "src" / "remit" / "policy").rglob("*.py"))
    ),
    "logs, UUIDs and hashes": lambda: _logs(2000),
}


@pytest.mark.parametrize("corpus", CORPORA)
def test_ordinary_text_has_few_findings(corpus: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = CORPORA[corpus]()
    found = [
        each for at in range(0, len(text), 4000) for each in EVERYTHING.look(text[at : at + 4000])
    ]
    kinds = Counter(each.kind for each in found)
    rate = len(found) / (len(text) / 1e6)
    with capsys.disabled():
        print(f"\n{corpus}: {len(text):,} characters, {rate:.0f} findings/MB, {dict(kinds)}")
    assert kinds["secret"] <= 3 + len(text) // 100_000
    if corpus.startswith("logs"):
        assert rate < 60


@settings(max_examples=80)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=12,
    )
)
def test_no_value_breaks_the_inspector(value: Any) -> None:
    EVERYTHING.look(value)
    assert len(encodings.places(value, "args")) == len(encodings.strings(value))


_HOSTILE = [
    "password=", "://a:", "eyJ", "\u200b", "[x](", "ignore all ", "4111 ", "a.b@", "ghp_", "AKIA",
]  # fmt: skip


@pytest.mark.parametrize("piece", _HOSTILE)
def test_looking_is_linear_in_the_text(piece: str) -> None:
    def took(size: int) -> float:
        text = piece * (size // len(piece))
        start = perf_counter()
        EVERYTHING.look(text, deep=False)
        return perf_counter() - start

    took(10_000)
    assert took(400_000) < 100 * took(40_000) + 0.5


def test_random_text_does_not_exhaust_the_automaton() -> None:
    dice = random.Random(3)
    letters = "".join(chr(dice.randrange(32, 127)) for _ in range(300_000))
    mixed = "".join(dice.choice(SIGNS).example[:12] for _ in range(20_000))
    start = perf_counter()
    EVERYTHING.look(letters, deep=False)
    EVERYTHING.look(mixed, deep=False)
    assert perf_counter() - start < 20
